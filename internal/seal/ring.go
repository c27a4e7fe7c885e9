package seal

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"log/slog"
	mrand "math/rand/v2"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// RingConfig is the tunable part of a Ring; zero fields mean the default.
type RingConfig struct {
	Renew   time.Duration         // the age at which a key is replaced; default 24 h
	Now     func() time.Time      // default time.Now
	Metrics prometheus.Registerer // default none

	// Fresh has each start ask the keyring for a new key: the one in the safe is used only while the keyring does not answer. That is a
	// cold start, which is recorded and told as an alarm.
	Fresh bool
	Look  time.Duration // how often the keyring's list of revoked keys is looked at for the node's own; default 5 min
	// Record writes down, in the transaction of what happened, that a key was made (KeyMade) or used at a cold start (ColdStart); default none.
	Record func(ctx context.Context, tx *store.Tx, what string, key KeyID, left time.Duration) error
	// Decided tells which keys are revoked by what is on record; default none.
	Decided Decided
}

// What RingConfig.Record is told.
const (
	KeyMade   = "keys.made"
	ColdStart = "keys.cold-start"
	KeyListed = "keys.listed" // the keyring's list of revoked keys names it, and nobody has said so here
	KeyUndone = "keys.undone" // the archive had it taken back that the key was revoked
)

// Ring is what one node signs with: an Ed25519 key that it made itself and that the keyring has certified. It signs without asking
// anybody for as long as the certificate lasts, replaces the key long before that, and tries again for as long as it takes. Every key
// is archived in the database before its first signature. It is safe for use by many goroutines.
type Ring struct {
	db   *store.DB
	from Keyring
	safe *Safe // nil: keys live in memory only
	node string
	cfg  RingConfig
	log  *slog.Logger

	turn sync.Mutex // one rotation at a time
	key  atomic.Pointer[nodeKey]
	cold atomic.Bool          // the key is of a cold start
	open atomic.Bool          // the key is not in the safe yet
	said atomic.Pointer[said] // roots and lists as the keyring told them last
	look atomic.Int64         // when its list is looked at again, in microseconds

	unsigned, late prometheus.Counter
	missed, lately atomic.Int64 // the same
	told           atomic.Int64 // the minute in which it was last said that messages stay unsigned
}

// NodeURI is the name of a node in its certificates: the plant's source and the node's own name.
func NodeURI(source, node string) string { return source + ":node:" + url.PathEscape(node) }

// OpenRing gives the node its key: the one in the safe if that still may sign, else a new one, for which the keyring must answer. A nil
// safe keeps keys in memory only, so that each start needs the keyring.
func OpenRing(ctx context.Context, db *store.DB, from Keyring, safe *Safe, node string, cfg RingConfig, log *slog.Logger) (*Ring, error) {
	cfg.Renew, cfg.Look = cmp.Or(cfg.Renew, 24*time.Hour), cmp.Or(cfg.Look, saidFor)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	r := &Ring{db: db, from: from, safe: safe, node: node, cfg: cfg, log: log, unsigned: unsignedCounter(), late: lateCounter()}
	if err := r.restore(ctx); err != nil {
		return nil, err
	}
	if r.key.Load() != nil && !cfg.Fresh {
		r.lookUp(ctx)
	}
	if r.key.Load() == nil || cfg.Fresh || r.key.Load().revoked.Load() {
		if err := r.begin(ctx); err != nil {
			return nil, err
		}
	}
	r.measure(cfg.Metrics)
	return r, nil
}

// begin gets a new key, or starts with the one of the safe where the keyring does not answer.
func (r *Ring) begin(ctx context.Context) error {
	err := r.Rotate(ctx)
	if err == nil || r.key.Load() == nil || problem.KindOf(err) != problem.Unavailable {
		return err
	}
	s := r.State()
	if err := r.db.InTx(ctx, func(tx *store.Tx) error { return r.record(ctx, tx, ColdStart, s.Key) }); err != nil {
		return err
	}
	r.cold.Store(true)
	r.log.ErrorContext(ctx, "ALARM: a start without the keyring, with the key that was sealed", "part", "keys", "key", s.Key, "left", s.Left.Round(time.Minute).String(), "err", err)
	return nil
}

// record tells RingConfig.Record, if there is one.
func (r *Ring) record(ctx context.Context, tx *store.Tx, what string, key KeyID) error {
	if r.cfg.Record == nil {
		return nil
	}
	left := time.Duration(0)
	if what == ColdStart {
		left = r.State().Left
	}
	return r.cfg.Record(ctx, tx, what, key, left)
}

// sealedKey is how a node's key is kept.
type sealedKey struct{ Key, Chain []byte }

func (r *Ring) file() string { return keyFile(r.node) }

func keyFile(node string) string { return "node-" + url.PathEscape(node) + ".age" }

// restore takes the key of the safe if it may still sign.
func (r *Ring) restore(ctx context.Context) error {
	if r.safe == nil {
		return nil
	}
	var s sealedKey
	if err := r.safe.read(r.file(), &s); problem.KindOf(err) == problem.NotFound {
		return nil
	} else if err != nil {
		return err
	}
	chain, err := x509.ParseCertificates(s.Chain)
	if err != nil || len(s.Key) != ed25519.SeedSize || len(chain) == 0 {
		return r.safe.locked(r.file(), err)
	}
	k := newNodeKey(ed25519.NewKeyFromSeed(s.Key), chain, chain[0].NotBefore)
	if fits(k, r.node) != nil || !r.cfg.Now().Before(k.to()) {
		return nil
	}
	ended, err := r.ended(ctx, k)
	if err == nil && !ended {
		r.key.Store(k)
	}
	return err
}

// ended tells whether the key was retired or revoked, or was never archived: a database from a backup does not know it.
func (r *Ring) ended(ctx context.Context, k *nodeKey) (bool, error) {
	var a Archived
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		a, err = Find(ctx, tx, k.id)
		return err
	})
	if problem.KindOf(err) == problem.NotFound {
		return true, nil
	}
	if !a.Revoked.IsZero() {
		k.revoked.Store(true)
	}
	return !a.Retired.IsZero() || !a.Revoked.IsZero(), err
}

// Rotate makes a new key, has it certified and archived, and signs with it from then on. If any of that fails the node goes on with
// the key that it has. A key that could not be put into the safe is used, and Run tries to put it there again.
func (r *Ring) Rotate(ctx context.Context) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	k, err := r.make(ctx)
	if err != nil {
		return err
	}
	if err := r.db.InTx(ctx, func(tx *store.Tx) error {
		if err := keep(ctx, tx, Certificate{Key: k.id, Node: r.node, Chain: k.chain, Made: r.cfg.Now()}); err != nil {
			return err
		}
		return r.record(ctx, tx, KeyMade, k.id)
	}); err != nil {
		return err
	}
	r.key.Store(k)
	r.cold.Store(false)
	r.open.Store(r.safe != nil)
	return r.save()
}

// save puts the key into the safe if it is not there yet. It needs turn.
func (r *Ring) save() error {
	if !r.open.Load() {
		return nil
	}
	k, chain := r.key.Load(), []byte(nil)
	for _, c := range k.chain {
		chain = append(chain, c.Raw...)
	}
	if err := r.safe.write(r.file(), sealedKey{k.private.Seed(), chain}); err != nil {
		return err
	}
	r.open.Store(false)
	return nil
}

// saveAgain is save for who does not have the turn.
func (r *Ring) saveAgain() error {
	r.turn.Lock()
	defer r.turn.Unlock()
	return r.save()
}

// make is a new key with its certificate, checked to be what was asked for.
func (r *Ring) make(ctx context.Context) (*nodeKey, error) {
	private, request, err := newRequest(r.node, "")
	if err != nil {
		return nil, err
	}
	chain, err := r.from.Certify(ctx, request)
	if err != nil {
		return nil, err
	}
	k := newNodeKey(private, chain, r.cfg.Now())
	if err := fits(k, r.node); err != nil {
		return nil, err
	}
	if !k.made.Before(k.to()) {
		return nil, &problem.Error{
			Kind: problem.Denied, What: "take the certificate that the keyring gave", Why: "by this node's clock it has ended already, at " + k.to().Format(time.RFC3339),
			Hint: "set the clocks of this node and of the keyring",
		}
	}
	return k, nil
}

// Sign vouches for a digest with the node's key of the moment. It asks nobody and waits for nothing. The error of a node whose
// certificate has ended, or whose key was revoked, is of kind Unavailable: what it signed now, nobody would accept.
func (r *Ring) Sign(p Purpose, digest []byte) (Signature, error) {
	k, now, err := r.ready()
	if err != nil {
		return Signature{}, err
	}
	return sign(k.private, k.id, p, now, digest), nil
}

// ready is the key that signs now and the time to sign with, or why none does. On a clock that was set back to before the key's certificate
// it is the certificate's beginning: it is later than that, and a receiver believes nothing earlier.
func (r *Ring) ready() (*nodeKey, time.Time, error) {
	k, now := r.key.Load(), r.cfg.Now()
	why := ""
	switch {
	case k.revoked.Load():
		why = "its key was revoked"
	case now.After(k.to()):
		why = "its certificate ended at " + k.to().Format(time.RFC3339)
	case now.Before(k.from()):
		return k, k.from(), nil
	default:
		return k, now, nil
	}
	return nil, now, &problem.Error{
		Kind: problem.Unavailable, What: "sign as " + r.node, Why: why + " and the keyring gave no other",
		Hint: "bring the keyring back; holdfast keys status says what it answers",
	}
}

// State is what a node signs with and for how long it still can.
type State struct {
	Node  string        `json:"node"`
	Key   KeyID         `json:"key"`
	From  time.Time     `json:"from"`
	Until time.Time     `json:"until"`
	Renew time.Time     `json:"renew"` // when the key is replaced
	Left  time.Duration `json:"-"`     // of signing without the keyring
	Half  bool          `json:"half"`  // less than half of the time that the keyring may be away is left
	Cold  bool          `json:"cold"`  // the key is of a start without the keyring
}

// State tells how it is with the node's key.
func (r *Ring) State() State {
	k := r.key.Load()
	s := State{Node: r.node, Key: k.id, From: k.from(), Until: k.to(), Renew: r.due(k), Cold: r.cold.Load()}
	s.Left = max(0, s.Until.Sub(r.cfg.Now()))
	s.Half = s.Left < s.Until.Sub(s.Renew)/2
	return s
}

// due is when the key is replaced.
func (r *Ring) due(k *nodeKey) time.Time { return due(k.made, k.to(), r.cfg.Renew) }

// The pace of attempts at a new key while the keyring does not give one.
const (
	firstPause = time.Second
	mostPause  = 30 * time.Second
	lookAgain  = 5 * time.Second // the net under the wakes, which do not cross processes on SQLite: a key that was ended elsewhere
)

// Run replaces the key at its age, and at once if it was retired or revoked or is of a cold start, until ctx ends. Whatever goes wrong, it tries again: after
// a second first, after half a minute at most.
func (r *Ring) Run(ctx context.Context) error {
	changed, cancel := r.db.Subscribe(Topic)
	defer cancel()
	for pause := firstPause; ; {
		wait := lookAgain
		if err := r.renew(ctx); ctx.Err() != nil {
			return nil
		} else if err != nil {
			r.tell(ctx, err)
			wait, pause = jitter(pause), min(2*pause, mostPause)
		} else {
			pause = firstPause
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-r.unlessTrying(changed, pause):
			t.Stop()
			r.look.Store(0) // somebody may have revoked a key
		}
	}
}

// unlessTrying is nil while an attempt is due anyway: a wake must not quicken the pace.
func (r *Ring) unlessTrying(changed <-chan struct{}, pause time.Duration) <-chan struct{} {
	if pause > firstPause {
		return nil
	}
	return changed
}

// renew replaces the key if it is time, or if it is of a cold start. One that could not be put into the safe comes there first; that it cannot
// keeps no key from being replaced.
func (r *Ring) renew(ctx context.Context) error {
	saved := r.saveAgain()
	r.lookUp(ctx)
	k := r.key.Load()
	ended, err := r.ended(ctx, k)
	if err != nil {
		return err
	}
	if !ended && !k.revoked.Load() && !r.cold.Load() && r.cfg.Now().Before(r.due(k)) {
		return saved
	}
	if err := r.Rotate(ctx); err != nil {
		return err
	}
	r.log.InfoContext(ctx, "signs with a new key", "part", "keys", "key", r.key.Load().id, "until", r.key.Load().to())
	return nil
}

// tell logs a failed renewal, as an error once half of the time is gone.
func (r *Ring) tell(ctx context.Context, err error) {
	s, level := r.State(), slog.LevelWarn
	if s.Half {
		level = slog.LevelError
	}
	if r.open.Load() {
		r.log.ErrorContext(ctx, "the new key for signing is not sealed yet: a start without the keyring would not have it", "part", "keys", "err", err)
		return
	}
	r.log.Log(ctx, level, "no new key for signing yet", "part", "keys", "left", s.Left.Round(time.Minute).String(), "err", err)
}

// jitter is d, a quarter more or less, so that nodes do not ask all at once.
func jitter(d time.Duration) time.Duration {
	return d - d/4 + mrand.N(d/2) //nolint:gosec // spreads load, protects nothing
}
