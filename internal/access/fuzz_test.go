package access_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"holdfast/internal/access"
	"holdfast/internal/problem"
)

// FuzzAccessToken: header and claims that the issuer's key did not sign identify nobody, whatever they are, and nothing breaks.
func FuzzAccessToken(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{public("k1", key)}})
	if err != nil {
		f.Fatal(err)
	}
	c := newClock()
	issuers := access.NewIssuers([]access.Issuer{{
		URL: issuerURL, Audience: "holdfast-1000", Keys: issuerURL + "keys", Clients: map[string]access.JWTClient{"erp": {ID: "erp-client", Roles: []string{"erp"}}},
		Client: &http.Client{Transport: answers(func(*http.Request) *http.Response {
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(set))}
		})},
	}}, c.now)
	good, err := json.Marshal(with(c, nil))
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(`{"alg":"ES256","kid":"k1"}`), good, make([]byte, 64))
	f.Add([]byte(`{"alg":"none"}`), good, []byte{})
	f.Add([]byte(`{"alg":"HS256","jwk":{},"crit":["x"]}`), []byte(`{"iss":"https://login.example/","aud":[1,{}],"scp":"x","nonce":null}`), []byte{0})
	f.Fuzz(func(t *testing.T, header, payload, signature []byte) {
		b64 := base64.RawURLEncoding.EncodeToString
		for _, token := range []string{b64(header) + "." + b64(payload) + "." + b64(signature), string(header) + "." + string(payload) + "." + string(signature)} {
			if who, err := issuers.Bearer(t.Context(), token); problem.KindOf(err) != problem.Unknown {
				t.Errorf("%q is %v, %v; want a refusal", token, who, err)
			}
		}
	})
}
