package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// How often keys are looked at again. In between a sender may have got others: whom we do not know then is asked for once more.
const (
	readAgain   = 10 * time.Second
	fetchAgain  = 10 * time.Minute
	fetchAtOnce = time.Minute // at most so often for the sake of a key that is not known
	mostKeySet  = 1 << 20     // bytes
)

// unknownYet is the error of keys that could not be had so far: what comes must come again.
func unknownYet(what string, cause error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "find the keys of a sender", Why: what + " cannot be read: nothing that it has signed can be judged",
		Hint: "put it right; what comes is not taken until then, and comes again", Cause: cause,
	}
}

// readKeys are keys of a file or a secret, read anew while they are used.
type readKeys struct {
	load func() ([]seal.Key, error)
	what string
	log  *slog.Logger

	mu   sync.Mutex // guards what follows
	keys seal.FixedKeys
	at   time.Time
}

func fileOf(name string) func() ([]seal.Key, error) {
	return func() ([]seal.Key, error) {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		return seal.ParseKeys(text)
	}
}

// sharedOf is the secret of a sender.
func (c Config) sharedOf(s SenderConfig) func() ([]seal.Key, error) {
	return func() ([]seal.Key, error) {
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
	}
}

// All implements seal.SenderKeys.
func (r *readKeys) All() ([]seal.Key, error) { return r.read(readAgain) }

// read is what was read no longer ago than age, or is read now.
func (r *readKeys) read(age time.Duration) (seal.FixedKeys, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.keys != nil && time.Since(r.at) < age {
		return r.keys, nil
	}
	keys, err := r.load()
	switch {
	case err == nil:
		r.keys = keys
	case r.keys == nil:
		return nil, unknownYet(r.what, err)
	default:
		r.log.Error("the keys of a sender cannot be read anew; the last ones count on", "part", "keys", "err", err)
	}
	r.at = time.Now()
	return r.keys, nil
}

// Find implements seal.SenderKeys. A key that is not known may be new: they are read at once, since what it signed would be refused for good.
func (r *readKeys) Find(id seal.KeyID) (seal.Key, error) {
	keys, err := r.read(readAgain)
	if err != nil {
		return seal.Key{}, err
	}
	if k, err := keys.Find(id); err == nil {
		return k, nil
	}
	if keys, err = r.read(0); err != nil {
		return seal.Key{}, err
	}
	return keys.Find(id)
}

// readTrust is what another plant of Holdfast has exported, read anew while it is used.
type readTrust struct {
	file string
	log  *slog.Logger

	mu    sync.Mutex // guards what follows
	trust *seal.Trust
	at    time.Time
}

func (r *readTrust) now() (*seal.Trust, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.trust != nil && time.Since(r.at) < readAgain {
		return r.trust, nil
	}
	text, err := os.ReadFile(r.file)
	var b seal.Bundle
	if err == nil {
		b, err = seal.ParseBundle(text)
	}
	switch {
	case err == nil:
		r.trust = b.Trust()
	case r.trust == nil:
		return nil, unknownYet(r.file, err)
	default:
		r.log.Error("the keys of another plant cannot be read anew; the last ones count on", "part", "keys", "err", err)
	}
	r.at = time.Now()
	return r.trust, nil
}

// fetchedKeys are keys that are asked for by HTTP, while Run runs.
type fetchedKeys struct {
	address string
	log     *slog.Logger
	client  *http.Client
	wanted  chan struct{} // has room for one

	mu   sync.Mutex // guards what follows
	keys seal.FixedKeys
	at   time.Time
}

func newFetchedKeys(address string, log *slog.Logger) *fetchedKeys {
	return &fetchedKeys{address: address, log: log, wanted: make(chan struct{}, 1), client: &http.Client{
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

// Find implements seal.SenderKeys. A key that is not known may be new: the sender is asked once more, and the message must come again.
func (f *fetchedKeys) Find(id seal.KeyID) (seal.Key, error) {
	keys, err := f.All()
	if err != nil {
		return seal.Key{}, err
	}
	k, err := seal.FixedKeys(keys).Find(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil || time.Since(f.at) < fetchAtOnce {
		return k, err
	}
	select {
	case f.wanted <- struct{}{}:
	default:
	}
	return seal.Key{}, unknownYet("key "+string(id)+" of "+f.address, nil)
}

// Run asks for the keys until ctx ends.
func (f *fetchedKeys) Run(ctx context.Context) error {
	for {
		wait := fetchAgain
		keys, err := f.fetch(ctx)
		f.mu.Lock()
		if err == nil {
			f.keys = keys
		}
		f.at = time.Now()
		if f.keys == nil {
			wait = readAgain
		}
		f.mu.Unlock()
		if err != nil && ctx.Err() == nil {
			f.log.WarnContext(ctx, "the keys of a sender cannot be asked for; the last ones count on", "part", "keys", "err", err)
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-f.wanted:
			t.Stop()
		}
	}
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
