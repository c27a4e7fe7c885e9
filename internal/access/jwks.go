package access

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"holdfast/internal/problem"
)

// The rhythm in which an issuer's keys are read.
const (
	keysFresh = 5 * time.Minute  // then Run reads them again: a key that was withdrawn counts little longer
	keysPause = 10 * time.Second // between two attempts: unknown key IDs, which anybody can send, must not become calls
	mostKeys  = 1 << 20          // bytes of a set of keys
)

// algorithms are those that a token may be signed with. None has a shared secret: a public key in its place would let anybody sign.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
}

func algorithmNames() []string {
	names := make([]string, 0, len(algorithms()))
	for _, a := range algorithms() {
		names = append(names, string(a))
	}
	return names
}

// keySet is the keys of an issuer. While it does not answer, those that were read last count on for a time. It is an oidc.KeySet.
//
// Nobody whose key is known waits for the issuer: Run keeps the keys fresh, and only who shows a key that is not known waits until they
// have been asked for, all of them for one and the same call.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time
	outage time.Duration // how long keys count that cannot be read again
	fresh  time.Duration // after which Run reads them again; 0 means keysFresh

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	read   time.Time     // when they came
	tried  time.Time     // when they were last asked for
	fault  error         // of that attempt
	flight chan struct{} // closed when the call that is under way has ended; nil: none is
}

// VerifySignature implements oidc.KeySet. Keys that the token itself brings are never looked at.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	jws, err := jose.ParseSignedCompact(token, algorithms()) // which has one signature
	if err != nil {
		return nil, fmt.Errorf("read a token: %w", err)
	}
	keys, err := k.named(ctx, jws.Signatures[0].Header.KeyID)
	if err != nil {
		return nil, err
	}
	for _, key := range keys {
		if payload, err := jws.Verify(key.Key); err == nil {
			return payload, nil
		}
	}
	return nil, errors.New("check a token: no key of the issuer fits its signature")
}

// named are the keys of an ID, or all of them if there is none. They are asked for where the ID is not known.
func (k *keySet) named(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	if found := k.find(id); len(found) > 0 {
		return found, nil
	}
	k.refresh(ctx)
	return k.find(id), k.away()
}

// refresh asks for the keys unless that was done just now, and waits for the answer: to the one call, however many need it.
func (k *keySet) refresh(ctx context.Context) {
	k.mu.Lock()
	flight, own := k.flight, k.flight == nil && k.now().Sub(k.tried) >= keysPause
	if own {
		flight = make(chan struct{})
		k.flight = flight
	}
	k.mu.Unlock()
	switch {
	case own:
		k.land(k.fetch(ctx))
		close(flight)
	case flight != nil:
		select {
		case <-flight:
		case <-ctx.Done():
		}
	}
}

// land keeps what a call has brought.
func (k *keySet) land(keys []jose.JSONWebKey, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.fault, k.flight = k.now(), err, nil // one that hung is not asked again at once by whoever waited meanwhile
	if err == nil {
		k.keys, k.read = keys, k.tried
	}
}

// away says that the issuer's keys are not known; nil if they are.
func (k *keySet) away() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.lost(k.now())
}

func (k *keySet) lost(now time.Time) error {
	if k.fault == nil || !k.read.IsZero() && now.Sub(k.read) <= k.outage {
		return nil
	}
	return &problem.Error{
		Kind: problem.Unavailable, What: "check a token", Why: "the keys of its issuer cannot be read", Hint: "try again later, or call with a token of this plant",
		Cause: k.fault,
	}
}

// answers tells whether the issuer answered when it was last asked.
func (k *keySet) answers() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.fault == nil && !k.read.IsZero()
}

// find is what is known of an ID; nothing once the keys are too old to be believed.
func (k *keySet) find(id string) []jose.JSONWebKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.now().Sub(k.read) > k.outage {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(k.keys), func(key jose.JSONWebKey) bool {
		return id != "" && key.KeyID != id || key.Use != "" && key.Use != "sig" || !key.IsPublic()
	})
}

// Run reads the keys again and again until ctx ends, the sooner where they could not be read.
func (k *keySet) Run(ctx context.Context) error {
	tick := time.NewTicker(keysPause)
	defer tick.Stop()
	for {
		k.mu.Lock()
		due := k.fault != nil || k.now().Sub(k.read) >= cmp.Or(k.fresh, keysFresh)
		k.mu.Unlock()
		if due {
			k.refresh(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (k *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // others wait for the same answer
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask for the keys at %s: %w", k.url, err)
	}
	res, err := k.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask for the keys at %s: %w", k.url, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, mostKeys))
	if err != nil {
		return nil, fmt.Errorf("read the keys of %s: %w", k.url, err)
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask for the keys at %s: it answers %s", k.url, res.Status)
	}
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(body, &set); err != nil {
		return nil, fmt.Errorf("read the keys of %s: %w", k.url, err)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys { // a key of a kind that is not known is passed over (RFC 7517, section 5)
		var key jose.JSONWebKey
		if json.Unmarshal(raw, &key) == nil {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("read the keys of %s: none of its %d can be used", k.url, len(set.Keys))
	}
	return keys, nil
}
