package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"sync"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
)

// How often keys are looked at again. In between a sender may have got others: whom we do not know then is asked for once more.
const (
	readAgain   = 10 * time.Second
	fetchAgain  = 10 * time.Minute
	fetchAtOnce = 10 * time.Second // at most so often for the sake of a key that is not known
	settled     = 2 * time.Second  // a file that was written no longer before it was read may have been written once more since
	refusedFor  = time.Minute      // how long keys tell of one that is not among them; longer than whoever asks waits until it asks again
	mostAsked   = 1000             // keys of strangers that are remembered
	mostKeySet  = 1 << 20          // bytes
)

// unknownYet is the error of keys that could not be had so far: what comes must come again.
func unknownYet(what string, cause error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "find the keys of a sender", Why: what + " cannot be read: nothing that it has signed can be judged",
		Hint: "put it right; what comes is not taken until then, and comes again", Cause: cause,
	}
}

// readings are keys of a file or a secret, read anew while they are used. T is what is made of them, W what is asked of that.
type readings[T, W any] struct {
	load  func() (T, error)
	knows func(T, W) bool
	what  string
	file  string // that load reads, if it does
	only  bool   // no key can come to be known by reading anew: a secret has its name from the configuration
	log   *slog.Logger

	reading sync.Mutex // is held while they are read, so that nobody waits who has them

	mu   sync.Mutex // guards what follows
	have bool
	keys T
	at   time.Time
	was  os.FileInfo // file as it was read, nil if it cannot be told from what was written since
}

// had are the keys as they were read last, whether there are any, and whether that is no longer ago than age.
func (r *readings[T, W]) had(age time.Duration) (keys T, have, fresh bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys, r.have, r.have && time.Since(r.at) < age
}

// read is what was read no longer ago than age, or is read now. Who has keys does not wait for another that reads them anew.
func (r *readings[T, W]) read(age time.Duration) (T, error) {
	keys, have, fresh := r.had(age)
	switch {
	case fresh:
		return keys, nil
	case !have:
		r.reading.Lock()
	case !r.reading.TryLock():
		return keys, nil
	}
	defer r.reading.Unlock()
	if keys, _, fresh = r.had(age); fresh {
		return keys, nil
	}
	if err := r.renew(); err != nil && !have {
		return keys, err
	}
	keys, _, _ = r.had(age)
	return keys, nil
}

// with are the keys, which know what is wanted if anybody does. A key that is not known may be new: they are read at once, since what it signed
// would be refused for good. Should that fail the error is of kind Unavailable.
func (r *readings[T, W]) with(wanted W) (T, error) {
	keys, err := r.read(readAgain)
	if err != nil || r.knows(keys, wanted) || r.complete() {
		return keys, err
	}
	r.reading.Lock()
	defer r.reading.Unlock()
	if err := r.renew(); err != nil {
		return keys, err
	}
	keys, _, _ = r.had(0)
	return keys, nil
}

// renew reads them now, unless they are of a file that nobody has written since; r.reading must be held. Should that fail, the last ones count on.
func (r *readings[T, W]) renew() error {
	if !r.only && r.complete() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.at = time.Now()
		return nil
	}
	was := r.stamp()
	keys, err := r.load()
	r.mu.Lock()
	defer r.mu.Unlock()
	if err == nil {
		r.have, r.keys, r.was, r.at = true, keys, was, time.Now()
		return nil
	}
	r.was = nil
	if r.have && time.Since(r.at) >= readAgain { // else it was logged just now, or strangers would fill the log
		r.log.Error("the keys of a sender cannot be read anew; the last ones count on", "part", "keys", "err", err)
		r.at = time.Now()
	}
	return unknownYet(r.what, err)
}

// stamp is the file before it is read, nil if that is not enough to tell later whether it was written since.
func (r *readings[T, W]) stamp() os.FileInfo {
	if r.file == "" {
		return nil
	}
	i, err := os.Stat(r.file)
	if err != nil || time.Since(i.ModTime()) < settled {
		return nil
	}
	return i
}

// complete tells whether there is no key but those that were read: a stranger costs a look at the file, and no reading.
func (r *readings[T, W]) complete() bool {
	if r.only {
		return true
	}
	r.mu.Lock()
	was := r.was
	r.mu.Unlock()
	if was == nil {
		return false
	}
	i, err := os.Stat(r.file)
	return err == nil && os.SameFile(was, i) && was.Size() == i.Size() && was.ModTime().Equal(i.ModTime())
}

// readKeys are the keys of a sender that is no plant of Holdfast.
type readKeys struct {
	readings[seal.FixedKeys, seal.KeyID]
}

// newReadKeys are keys that load reads. Set file or only, if they are.
func newReadKeys(what string, load func() ([]seal.Key, error), log *slog.Logger) *readKeys {
	return &readKeys{readings[seal.FixedKeys, seal.KeyID]{what: what, log: log, knows: knowsKey, load: func() (seal.FixedKeys, error) { return load() }}}
}

func knowsKey(keys seal.FixedKeys, id seal.KeyID) bool {
	_, err := keys.Find(id)
	return err == nil
}

// keysInFile are the keys of a file.
func keysInFile(name string, log *slog.Logger) *readKeys {
	r := newReadKeys(name, fileOf(name, seal.ParseKeys), log)
	r.file = name
	return r
}

// fileOf reads a file and makes something of it.
func fileOf[T any](name string, parse func([]byte) (T, error)) func() (T, error) {
	return func() (none T, err error) {
		text, err := os.ReadFile(name)
		if err != nil {
			return none, err
		}
		return parse(text)
	}
}

// sharedOf is the secret of a sender.
func (c Config) sharedOf(s SenderConfig, log *slog.Logger) *readKeys {
	r := newReadKeys("the secret of "+s.Name, func() ([]seal.Key, error) {
		text, err := c.secret(context.Background(), s.Secret)
		if err != nil {
			return nil, err
		}
		secret, err := sharedSecret(text)
		if err != nil {
			return nil, err
		}
		k, err := seal.SharedKey(seal.KeyID(s.SecretID), secret)
		return []seal.Key{k}, err
	}, log)
	r.only = true
	return r
}

// All implements seal.SenderKeys.
func (r *readKeys) All() ([]seal.Key, error) { return r.read(readAgain) }

// Find implements seal.SenderKeys.
func (r *readKeys) Find(id seal.KeyID) (seal.Key, error) {
	keys, err := r.with(id)
	if err != nil {
		return seal.Key{}, err
	}
	return keys.Find(id)
}

// plantKeys are what another plant of Holdfast has exported, with what vouches for its messages by keys that count no more.
func plantKeys(name string, now func() time.Time, log *slog.Logger) *readings[*seal.Trust, message.Message] {
	return &readings[*seal.Trust, message.Message]{
		what: name, file: name, log: log,
		knows: func(t *seal.Trust, m message.Message) bool { return t.Settles(m, now()) },
		load: fileOf(name, func(text []byte) (*seal.Trust, error) {
			b, err := seal.ParseBundle(text)
			if err != nil {
				return nil, err
			}
			t := b.Trust()
			by, err := prove.Vouched(b.Vouched, prove.Keys{Trust: t, At: now()})
			if err != nil { // its keys are good all the same
				log.Error("what a plant vouches for cannot be read", "part", "keys", "err", err)
			}
			return t.Vouch(by), nil
		}),
	}
}

// fetchedKeys are keys that are asked for by HTTP, while Run runs.
type fetchedKeys struct {
	address string
	log     *slog.Logger
	client  *http.Client
	wanted  chan struct{} // has room for one

	mu    sync.Mutex // guards what follows
	keys  seal.FixedKeys
	at    time.Time          // they came
	begun int                // fetches that have begun
	good  int                // the last that brought keys
	asked map[seal.KeyID]int // keys that are not known: begun when each was asked for first
}

func newFetchedKeys(address string, log *slog.Logger) *fetchedKeys {
	return &fetchedKeys{address: address, log: log, wanted: make(chan struct{}, 1), asked: map[seal.KeyID]int{}, client: &http.Client{
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// All implements seal.SenderKeys.
func (f *fetchedKeys) All() ([]seal.Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.keys == nil {
		return nil, unknownYet(f.address, nil)
	}
	return f.keys, nil
}

// Find implements seal.SenderKeys. A key that is not known may be new: it is refused by keys alone that were asked for after it was first
// asked for here, and not long ago. Until then the message must come again.
func (f *fetchedKeys) Find(id seal.KeyID) (seal.Key, error) {
	keys, err := f.All()
	if err != nil {
		return seal.Key{}, err
	}
	k, err := seal.FixedKeys(keys).Find(id)
	if err == nil || f.isRefused(id) {
		return k, err
	}
	select {
	case f.wanted <- struct{}{}:
	default:
	}
	return seal.Key{}, unknownYet("key "+string(id)+" of "+f.address, nil)
}

// isRefused tells whether the sender was asked for its keys since this one, which is not among them, was first asked for. If it was not, that
// is remembered, unless so many strangers' are that their turn must come first.
func (f *fetchedKeys) isRefused(id seal.KeyID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	fresh := time.Since(f.at) < refusedFor
	first, known := f.asked[id]
	switch {
	case known && first < f.good && fresh:
		return true
	case known && first >= f.good:
		return false // the answer is still to come
	}
	if len(f.asked) >= mostAsked {
		maps.DeleteFunc(f.asked, func(_ seal.KeyID, first int) bool { return first < f.good && !fresh })
	}
	if known || len(f.asked) < mostAsked {
		f.asked[id] = f.begun
	}
	return false
}

// Run asks for the keys until ctx ends.
func (f *fetchedKeys) Run(ctx context.Context) error {
	for {
		f.renew(ctx)
		if !f.pause(ctx) {
			return nil
		}
	}
}

// renew asks for the keys once.
func (f *fetchedKeys) renew(ctx context.Context) {
	f.mu.Lock()
	f.begun++
	this := f.begun
	f.mu.Unlock()
	keys, err := f.fetch(ctx)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.keys, f.at, f.good = keys, time.Now(), this
	} else if ctx.Err() == nil {
		f.log.WarnContext(ctx, "the keys of a sender cannot be asked for; the last ones count on", "part", "keys", "err", err)
	}
}

// pause waits until they are to be asked for again: soon if they are wanted, but not at once; a want is not forgotten meanwhile.
func (f *fetchedKeys) pause(ctx context.Context) bool {
	soon, later := time.NewTimer(fetchAtOnce), time.NewTimer(fetchAgain)
	defer soon.Stop()
	defer later.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-soon.C:
	}
	if _, err := f.All(); err != nil {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-f.wanted:
	case <-later.C:
	}
	return true
}

func (f *fetchedKeys) fetch(ctx context.Context) ([]seal.Key, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.address, nil)
	if err != nil {
		return nil, fmt.Errorf("ask %s for keys: %w", f.address, err)
	}
	resp, err := f.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for keys: %w", err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostKeySet+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the keys of %s: %w", f.address, err)
	case resp.StatusCode != http.StatusOK || len(text) > mostKeySet:
		return nil, errors.New(f.address + " answers " + resp.Status + ", or too much")
	}
	return seal.ParseKeys(text)
}
