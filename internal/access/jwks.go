package access

import (
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
	keysFresh = 10 * time.Minute // after it, they are read again at the next use: a key that was withdrawn counts no longer
	keysPause = 10 * time.Second // between two attempts: unknown key IDs, which anybody can send, must not become calls
	mostKeys  = 1 << 20          // bytes of a set of keys
)

// algorithms are those that a token may be signed with. None has a shared secret: a public key in its place would let anybody sign.
func algorithms() []jose.SignatureAlgorithm {
	return []jose.SignatureAlgorithm{jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA}
}

// keySet is the keys of an issuer. While it does not answer, those that were read last count on for a time. It is an oidc.KeySet.
type keySet struct {
	url    string
	client *http.Client
	now    func() time.Time
	outage time.Duration // how long keys count that cannot be read again

	mu    sync.Mutex
	keys  []jose.JSONWebKey
	read  time.Time // when they came
	tried time.Time // when they were last asked for
	fault error     // of that attempt
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

// named are the keys of an ID, or all of them if there is none. They are asked for where they are old or the ID is new.
func (k *keySet) named(ctx context.Context, id string) ([]jose.JSONWebKey, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	found := k.find(id)
	if (len(found) == 0 || now.Sub(k.read) > keysFresh) && now.Sub(k.tried) >= keysPause {
		k.tried = now
		keys, err := k.fetch(ctx)
		k.tried = k.now() // one that hung is not asked again at once by whoever waited meanwhile
		k.fault = err
		if err == nil {
			k.keys, k.read = keys, now
			found = k.find(id)
		}
	}
	return found, k.lost(now)
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

func (k *keySet) find(id string) []jose.JSONWebKey {
	return slices.DeleteFunc(slices.Clone(k.keys), func(key jose.JSONWebKey) bool {
		return id != "" && key.KeyID != id || key.Use != "" && key.Use != "sig" || !key.IsPublic()
	})
}

func (k *keySet) fetch(ctx context.Context) ([]jose.JSONWebKey, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second) // who waits here waits for all that come after
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
