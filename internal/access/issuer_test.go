package access_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"

	"holdfast/internal/access"
	"holdfast/internal/problem"
)

// provider serves the keys of an OAuth2 server, and can be away.
type provider struct {
	url string

	mu    sync.Mutex
	keys  jose.JSONWebKeySet
	away  bool
	asked int
}

func newProvider(t *testing.T, keys ...jose.JSONWebKey) *provider {
	t.Helper()
	p := &provider{keys: jose.JSONWebKeySet{Keys: keys}}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked++
		if p.away {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		// beside a key of a kind that nobody knows yet, which is to be passed over (RFC 7517, section 5)
		all := []any{map[string]string{"kty": "XYZ", "kid": "of-tomorrow"}}
		for _, k := range p.keys.Keys {
			all = append(all, k)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"keys": all})
	}))
	t.Cleanup(srv.Close)
	p.url = srv.URL
	return p
}

func (p *provider) set(away bool, keys ...jose.JSONWebKey) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.away, p.keys = away, jose.JSONWebKeySet{Keys: keys}
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func public(id string, key crypto.Signer) jose.JSONWebKey {
	return jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"}
}

type claims map[string]any

// signed is a JWT.
func signed(t *testing.T, alg jose.SignatureAlgorithm, key any, id string, opts *jose.SignerOptions, c claims) string {
	t.Helper()
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: jose.JSONWebKey{Key: key, KeyID: id}}, opts)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	jws, err := s.Sign(text)
	if err != nil {
		t.Fatal(err)
	}
	out, err := jws.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const issuerURL = "https://login.example/"

func newIssuers(p *provider, c *clock) *access.Issuers {
	return access.NewIssuers([]access.Issuer{{
		URL: issuerURL, Audience: "holdfast-1000", Keys: p.url, Client: http.DefaultClient,
		Clients: map[string]access.JWTClient{"erp": {ID: "erp-client", Roles: []string{"erp"}, Links: []string{"erp"}}},
	}}, c.now)
}

// with is good claims, some of them changed.
func with(c *clock, change claims) claims {
	out := claims{
		"iss": issuerURL, "aud": "holdfast-1000", "sub": "x", "client_id": "erp-client", "iat": c.now().Unix(), "exp": c.now().Add(5 * time.Minute).Unix(),
	}
	for k, v := range change {
		out[k] = v
	}
	return out
}

func TestAnAccessTokenIsCheckedInFull(t *testing.T) {
	c, key, other := newClock(), newKey(t), newKey(t)
	p := newProvider(t, public("k1", key))
	is := newIssuers(p, c)
	es := func(c claims) string { return signed(t, jose.ES256, key, "k1", nil, c) }
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	good := es(with(c, nil))
	part := strings.Split(good, ".")
	none := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`))
	tests := []struct {
		name, token string
		want        string // the actor; "" for refused
	}{
		{"good", good, "client:erp"},
		{"of a list of audiences", es(with(c, claims{"aud": []string{"a", "holdfast-1000"}})), "client:erp"},
		{"named by azp", es(with(c, claims{"client_id": nil, "azp": "erp-client", "sub": "erp-client"})), "client:erp"},
		{"named by appid", es(with(c, claims{"client_id": nil, "appid": "erp-client"})), "client:erp"},
		{"named by sub alone, which may be a person", es(with(c, claims{"client_id": nil, "sub": "erp-client"})), ""},
		{"a person's, got by the client", es(with(c, claims{"client_id": nil, "azp": "erp-client", "scp": "openid profile"})), ""},
		{"another person's", es(with(c, claims{"client_id": nil, "azp": "erp-client", "idtyp": "user"})), ""},
		{"a person's, of a session", es(with(c, claims{"client_id": nil, "azp": "erp-client", "sid": "s"})), ""},
		{"a person's, of an older provider", es(with(c, claims{"client_id": nil, "azp": "erp-client", "session_state": "s"})), ""},
		{"a person's, who signed in", es(with(c, claims{"auth_time": 1764000000})), ""},
		{"a person's, by its scope", es(with(c, claims{"scope": "profile openid email"})), ""},
		{"a machine's, with a scope", es(with(c, claims{"scope": "profile email"})), "client:erp"},
		{"a machine's, with a time that is none of a sign-in", es(with(c, claims{"auth_time": 0})), "client:erp"},
		{"an ID token", es(with(c, claims{"client_id": nil, "azp": "erp-client", "nonce": "n"})), ""},
		{"whose names differ", es(with(c, claims{"azp": "another"})), ""},
		{"of a client that is not known", es(with(c, claims{"client_id": "other", "sub": "erp-client"})), ""},
		{"expired", es(with(c, claims{"exp": c.now().Add(-time.Second).Unix()})), ""},
		{"without an end", es(with(c, claims{"exp": nil})), ""},
		{"not good yet", es(with(c, claims{"nbf": c.now().Add(time.Hour).Unix()})), ""},
		{"for another plant", es(with(c, claims{"aud": "holdfast-2000"})), ""},
		{"for nobody", es(with(c, claims{"aud": nil})), ""},
		{"of another issuer", es(with(c, claims{"iss": "https://login.example.evil/"})), ""},
		{"of an issuer with a letter more", es(with(c, claims{"iss": issuerURL + "/"})), ""},
		{"forged under the key's name", signed(t, jose.ES256, other, "k1", nil, with(c, nil)), ""},
		{"with a key of its own", signed(t, jose.ES256, other, "k1", &jose.SignerOptions{EmbedJWK: true}, with(c, nil)), ""},
		{"by shared secret, the public key", signed(t, jose.HS256, der, "k1", nil, with(c, nil)), ""},
		{"not signed", none + "." + part[1] + ".", ""},
		{"with another body", part[0] + "." + strings.Split(es(with(c, claims{"x": 1})), ".")[1] + "." + part[2], ""},
		{"with what nobody understands as critical", signed(t, jose.ES256, key, "k1", (&jose.SignerOptions{}).WithHeader("crit", []string{"x"}).WithHeader("x", "y"), with(c, nil)), ""},
		{"cut off", good[:len(good)-10], ""},
		{"no token", "a.b.c", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			by, err := is.Bearer(t.Context(), tt.token)
			if by.Name != tt.want || tt.want == "" && problem.KindOf(err) != problem.Unknown {
				t.Errorf("got %q, %v; want %q", by.Name, err, tt.want)
			}
		})
	}
}

// TestKeysOfAnIssuerAreReadAnewAndOutliveAnOutage: a new key is taken at once, a withdrawn one counts no longer than ten minutes, and unknown
// keys do not become calls. While the issuer is away its keys count on for their time, and then nobody is believed, which is said.
func TestKeysOfAnIssuerAreReadAnewAndOutliveAnOutage(t *testing.T) {
	c, first, second := newClock(), newKey(t), newKey(t)
	p := newProvider(t, public("k1", first))
	is := newIssuers(p, c)
	kind := func(key *ecdsa.PrivateKey, id string) problem.Kind {
		_, err := is.Bearer(t.Context(), signed(t, jose.ES256, key, id, nil, with(c, nil)))
		return problem.KindOf(err)
	}
	steps := []struct {
		name string
		do   func()
		key  *ecdsa.PrivateKey
		id   string
		want problem.Kind
	}{
		{"the first key", func() {}, first, "k1", ""},
		{"a second one that is not there", func() {}, second, "k2", problem.Unknown},
		{"the second one, at once", func() { p.set(false, public("k2", second)) }, second, "k2", problem.Unknown},
		{"the second one, after the pause", func() { c.add(10 * time.Second) }, second, "k2", ""},
		{"the first one, withdrawn", func() {}, first, "k1", problem.Unknown},
		{"away for an hour", func() { p.set(true); c.add(time.Hour) }, second, "k2", ""},
		{"away for eleven hours", func() { c.add(10 * time.Hour) }, second, "k2", ""},
		{"away for too long", func() { c.add(2 * time.Hour) }, second, "k2", problem.Unavailable},
		{"back", func() { p.set(false, public("k1", first)); c.add(time.Minute) }, first, "k1", ""},
		{"withdrawn meanwhile", func() {}, second, "k2", problem.Unknown},
	}
	for _, s := range steps {
		s.do()
		if got := kind(s.key, s.id); got != s.want {
			t.Errorf("%s: kind %q, want %q", s.name, got, s.want)
		}
	}
	before := p.asked
	for range 50 {
		if kind(second, "nobody") != problem.Unknown {
			t.Error("an unknown key is believed")
		}
	}
	if more := p.asked - before; more > 1 {
		t.Errorf("50 tokens of unknown keys became %d calls", more)
	}
	never := newIssuers(&provider{url: "http://127.0.0.1:1"}, c)
	if _, err := never.Bearer(t.Context(), signed(t, jose.ES256, first, "k1", nil, with(c, nil))); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("keys that were never read: %v, want kind unavailable", err)
	}
}

// TestAnIssuerThatHangsHoldsNobodyWhoseKeyIsKnown: while one caller with an unknown key waits for the issuer, others are let in by the
// keys that are known, and all who wait make one call.
func TestAnIssuerThatHangsHoldsNobodyWhoseKeyIsKnown(t *testing.T) {
	c, key := newClock(), newKey(t)
	p := newProvider(t, public("k1", key))
	is := newIssuers(p, c)
	token := func(id string) string { return signed(t, jose.ES256, key, id, nil, with(c, nil)) }
	if _, err := is.Bearer(t.Context(), token("k1")); err != nil {
		t.Fatal(err)
	}
	c.add(time.Hour)
	good, unknown := token("k1"), token("k2")
	p.mu.Lock() // it answers nobody
	before := p.asked
	var waiting sync.WaitGroup
	for range 10 {
		waiting.Go(func() { _, _ = is.Bearer(t.Context(), unknown) })
	}
	for range 100 {
		if _, err := is.Bearer(t.Context(), good); err != nil {
			t.Error(err)
		}
	}
	p.mu.Unlock()
	waiting.Wait()
	if more := p.asked - before; more != 1 {
		t.Errorf("ten callers with an unknown key made %d calls, want 1", more)
	}
}

// TestKeysAreKeptFresh: a key that the issuer has withdrawn is forgotten though nobody asks for another.
func TestKeysAreKeptFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		key := newKey(t)
		serve := atomic.Pointer[jose.JSONWebKeySet]{}
		serve.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public("k1", key)}})
		client := &http.Client{Transport: answers(func(*http.Request) *http.Response {
			body, _ := json.Marshal(serve.Load())
			return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(body))}
		})}
		is := access.NewIssuers([]access.Issuer{{
			URL: issuerURL, Audience: "holdfast-1000", Keys: "http://keys.example", Client: client,
			Clients: map[string]access.JWTClient{"erp": {ID: "erp-client"}},
		}}, time.Now)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- is.Run(ctx) }()
		kind := func() problem.Kind {
			_, err := is.Bearer(t.Context(), signed(t, jose.ES256, key, "k1", nil, claims{
				"iss": issuerURL, "aud": "holdfast-1000", "client_id": "erp-client", "exp": time.Now().Add(time.Minute).Unix(),
			}))
			return problem.KindOf(err)
		}
		synctest.Wait()
		if got := kind(); got != "" {
			t.Errorf("kind %q, want none", got)
		}
		serve.Store(&jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public("k2", newKey(t))}})
		time.Sleep(6 * time.Minute)
		if got := kind(); got != problem.Unknown {
			t.Errorf("withdrawn for six minutes: kind %q, want unknown-caller", got)
		}
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// answers is a transport that goes nowhere.
type answers func(*http.Request) *http.Response

func (a answers) RoundTrip(r *http.Request) (*http.Response, error) { return a(r), nil }
