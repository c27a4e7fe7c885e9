package seal

import (
	"bytes"
	"cmp"
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// RestConfig is the tunable part of a Rest; zero fields mean the default.
type RestConfig struct {
	Turn    time.Duration         // how long one epoch is used; default 24 h
	Most    int64                 // how often one epoch's key seals at most; default 2^24
	Ahead   int                   // epochs that lie ready for when the keyring is away; default 7
	Rewrap  time.Duration         // how often it is looked whether the wrapping key was rotated; default 10 min
	Now     func() time.Time      // default time.Now
	Metrics prometheus.Registerer // default none
	Safe    *Safe                 // where the seeds are sealed for a start without the keyring; nil: such a start cannot read
	File    string                // in the safe

	// Record writes down, in a transaction of its own, that PlainDoubted was found; default none.
	Record func(ctx context.Context, tx *store.Tx, what string) error
	// Off has nothing more be sealed; what is sealed is read all the same.
	Off bool
	// Later has a keyring that does not answer be waited for before the plant begins to seal: the node has a key to start without it.
	Later bool
	// Begin tells, in the transaction that would begin it, whether the plant may seal from now on without a person's word: no node of a release
	// that could not read it can be at work. whole tells that nothing unsealed is owed. Default: it may not.
	Begin func(ctx context.Context, tx *store.Tx) (may, whole bool, err error)
}

// PlainDoubted is what RestConfig.Record is told: somebody has reset in the database whether what the plant owes may be unsealed.
const PlainDoubted = "keys.plain-doubted"

// Rest seals what a database keeps. The key of each value is made from the seed of an epoch, which the keyring has wrapped; the seeds
// themselves are in memory, so that neither sealing nor opening asks anybody. Epochs turn by age and use; those of the days to come lie ready
// in the database. It is safe for use by many goroutines and, through the database, by many nodes.
type Rest struct {
	db   *store.DB
	from Wrapper
	cfg  RestConfig
	log  *slog.Logger

	turn     sync.Mutex // one visit to the keyring at a time
	asked    bool       // lazily: the seeds were asked for; guarded by turn
	safeHas  int        // how many seeds the safe has; guarded by turn
	judged   bool       // it was told whether what is not sealed is forged; guarded by turn
	recorded bool       // a database that contradicts was recorded; guarded by turn
	poked    chan struct{}

	mu     sync.RWMutex
	seeds  map[int64][]byte      // by epoch; guarded by mu
	closed map[int64]string      // why an epoch's seed is not shown; guarded by mu
	keys   map[keyOf]cipher.AEAD // guarded by mu
	macs   map[keyOf][]byte      // keys of MACs; guarded by mu

	now      atomic.Pointer[epoch] // by which is sealed; nil: nothing is
	began    atomic.Int64          // since when, microseconds; 0: it has not
	whole    atomic.Bool
	latest   atomic.Int64 // epoch that was used last, also where nothing is sealed any more; 0: none was
	lazy     bool
	trouble  atomic.Pointer[error] // of the last visit to the keyring
	waits    atomic.Bool           // the plant is to begin to seal, and the keyring does not answer
	seedsOut atomic.Bool           // the last epoch goes on beyond its time
	doubted  atomic.Bool           // the database contradicts what the plant's keys have said
	ready    atomic.Int64          // epochs that lie ready
	earlier  atomic.Int64          // epochs that were wrapped by an earlier version of the key when this was last looked at
	rewrapAt atomic.Int64
}

// epoch is the one by which is sealed.
type epoch struct {
	id       int64
	until    time.Time
	used     atomic.Int64 // seals since it was reserved for this process
	reserved int64
}

type keyOf struct {
	epoch int64
	table string
}

func newRest(db *store.DB, from Wrapper, cfg RestConfig, log *slog.Logger) *Rest {
	cfg.Turn, cfg.Most = cmp.Or(cfg.Turn, 24*time.Hour), cmp.Or(cfg.Most, 1<<24)
	cfg.Ahead, cfg.Rewrap = cmp.Or(cfg.Ahead, 7), cmp.Or(cfg.Rewrap, 10*time.Minute)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &Rest{
		db: db, from: from, cfg: cfg, log: log, poked: make(chan struct{}, 1), seeds: map[int64][]byte{}, closed: map[int64]string{}, keys: map[keyOf]cipher.AEAD{},
		macs: map[keyOf][]byte{},
	}
}

// OpenRest opens the seeds of a plant, and begins to seal where that is allowed. With a keyring that does not answer, a plant that has begun
// starts only from a safe.
func OpenRest(ctx context.Context, db *store.DB, from Wrapper, cfg RestConfig, log *slog.Logger) (*Rest, error) {
	r := newRest(db, from, cfg, log)
	err := r.Visit(ctx)
	if err != nil && problem.KindOf(err) == problem.Unavailable {
		err = r.restore(ctx, err)
	}
	if err == nil && r.began.Load() > 0 && !cfg.Off && r.now.Load() == nil {
		err = r.none()
	}
	if err != nil {
		return nil, err
	}
	r.measure(cfg.Metrics)
	return r, nil
}

// LazyRest is for a command: it reads seeds when the first value is opened or sealed, and begins nothing.
func LazyRest(db *store.DB, from Wrapper, cfg RestConfig, log *slog.Logger) *Rest {
	r := newRest(db, from, cfg, log)
	r.lazy = true
	return r
}

// Whole tells whether all that the plant owes is sealed; what is not sealed then is forged.
func (r *Rest) Whole(ctx context.Context, tx *store.Tx) (bool, error) {
	err := r.awake(ctx, tx)
	return r.AllSealed(), err
}

// AllSealed is what this process knows of Whole.
func (r *Rest) AllSealed() bool { return r.whole.Load() && !r.cfg.Off }

// Began is since when the plant seals; the zero time if it does not.
func (r *Rest) Began() time.Time {
	if at := r.began.Load(); at > 0 {
		return store.FromMicros(at)
	}
	return time.Time{}
}

// Alarm is what a person must look at: the plant cannot begin to seal, the last epoch goes on beyond its time, or seeds are refused; "" for nothing.
func (r *Rest) Alarm() string {
	r.mu.RLock()
	shut := len(r.closed)
	r.mu.RUnlock()
	switch {
	case shut > 0:
		return fmt.Sprintf("the keyring refuses the seeds of %d epochs: what they have sealed cannot be read", shut)
	case r.waits.Load():
		return "the plant has not begun to seal, and keeps bodies readable until the keyring answers"
	case r.seedsOut.Load():
		return "no epoch lies ready, and the last one goes on beyond its time until the keyring gives seeds"
	}
	return ""
}

// Seals tells whether what is kept from now on is sealed.
func (r *Rest) Seals() bool { return r.now.Load() != nil && !r.cfg.Off }

// Seal seals a value under the epoch of the moment.
func (r *Rest) Seal(ctx context.Context, tx *store.Tx, c store.Cell, plain []byte) ([]byte, int64, error) {
	if r.cfg.Off {
		return plain, 0, nil
	}
	if err := r.awake(ctx, tx); err != nil {
		return nil, 0, err
	}
	e := r.now.Load()
	if e == nil {
		if r.began.Load() > 0 {
			return nil, 0, r.none()
		}
		return plain, 0, nil
	}
	k, err := r.keyIn(tx, e.id, c)
	if err != nil {
		return nil, 0, err
	}
	if n := e.used.Add(1); n > e.reserved/2 || !r.cfg.Now().Before(e.until) {
		r.poke()
	}
	return k.Seal(make([]byte, 0, len(plain)+k.Overhead()), nil, plain, aad(e.id, c)), e.id, nil //nolint:gosec // the AEAD makes its nonce itself (cipher.NewGCMWithRandomNonce)
}

// none is why nothing can be sealed.
func (r *Rest) none() error {
	p := &problem.Error{
		Kind: problem.Unavailable, What: "seal what is to be kept", Why: "the keyring has given no seed yet",
		Hint: "bring the keyring back; holdfast keys status says what it answers",
	}
	if t := r.trouble.Load(); t != nil {
		p.Cause = *t
	}
	return p
}

// Unseal opens a value.
func (r *Rest) Unseal(ctx context.Context, tx *store.Tx, c store.Cell, epoch int64, sealed []byte) ([]byte, error) {
	if err := r.awake(ctx, tx); err != nil {
		return nil, err
	}
	k, err := r.keyIn(tx, epoch, c)
	if err != nil {
		return nil, err
	}
	plain, err := k.Open(make([]byte, 0, max(0, len(sealed)-k.Overhead())), nil, sealed, aad(epoch, c))
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Integrity, What: "open what is sealed in " + c.Table + ", row " + c.Row, Why: "it was altered, or belongs elsewhere",
			Hint: "the database was altered behind Holdfast: find out by whom",
		}
	}
	return plain, nil
}

// aad is what is bound into a seal beside the value.
func aad(epoch int64, c store.Cell) []byte {
	b := bound(make([]byte, 0, 256), []byte("holdfast/rest/1"), []byte(c.Table), []byte(c.Row), strconv.AppendInt(make([]byte, 0, 20), epoch, 10))
	return bound(b, c.Bound...)
}

// ownKey is a key that was made with a secret of the value's own.
type ownKey struct {
	of  keyOf
	own []byte
	key cipher.AEAD
}

// keyIn is key, which is not made anew for the next value of the same secret in one transaction. Longer it is not kept: who destroys the secret
// destroys the key.
func (r *Rest) keyIn(tx *store.Tx, id int64, c store.Cell) (cipher.AEAD, error) {
	if c.Own == nil {
		return r.key(id, c)
	}
	memo := tx.Memo()
	if last, ok := (*memo).(*ownKey); ok && last.of == (keyOf{id, c.Table}) && bytes.Equal(last.own, c.Own) {
		return last.key, nil
	}
	k, err := r.key(id, c)
	if err == nil {
		*memo = &ownKey{keyOf{id, c.Table}, bytes.Clone(c.Own), k}
	}
	return k, err
}

// key is what seals and opens the values of a table in an epoch. One that is made with a secret of the value's own is made each time.
func (r *Rest) key(id int64, c store.Cell) (cipher.AEAD, error) {
	r.mu.RLock()
	k, seed, why := r.keys[keyOf{id, c.Table}], r.seeds[id], r.closed[id]
	r.mu.RUnlock()
	if k != nil && c.Own == nil {
		return k, nil
	}
	if seed == nil {
		r.poke()
		return nil, missing(id, why)
	}
	k, err := newAEAD(seed, c.Own, restPurpose(c.Table, id))
	if err == nil && c.Own == nil {
		r.mu.Lock()
		r.keys[keyOf{id, c.Table}] = k
		r.mu.Unlock()
	}
	return k, err
}

// ErrRefused is within an error of kind Unavailable where the keyring has answered, and gives the seed no more: a version of its key was withdrawn, or
// somebody has put the epoch into the database.
var ErrRefused = errors.New("the keyring refuses the seed")

// missing is a seed that is not at hand: it is waited for.
func missing(id int64, why string) error {
	p := &problem.Error{
		Kind: problem.Unavailable, What: fmt.Sprintf("open what epoch %d has sealed", id), Why: cmp.Or(why, "its seed is not at hand yet"),
		Hint: "bring the keyring back, with every version of its key that is needed",
	}
	if why != "" {
		p.Cause = ErrRefused
	}
	return p
}

// restPurpose is what the key of a table's values in an epoch is made for.
func restPurpose(table string, id int64) string {
	return "holdfast/rest/1|" + table + "|" + strconv.FormatInt(id, 10)
}

func (r *Rest) poke() {
	select {
	case r.poked <- struct{}{}:
	default:
	}
}

// awake reads the seeds of a command when it first needs one.
func (r *Rest) awake(ctx context.Context, tx *store.Tx) error {
	if !r.lazy {
		return nil
	}
	r.turn.Lock()
	defer r.turn.Unlock()
	if r.asked {
		return nil
	}
	kept, err := readEpochs(ctx, tx)
	if err != nil {
		return err
	}
	if err := r.take(ctx, kept); err != nil {
		return err
	}
	r.asked = true
	return nil
}
