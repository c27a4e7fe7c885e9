package access_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"holdfast/internal/access"
	"holdfast/internal/problem"
)

// FuzzIssuerKeys: whatever an issuer answers that is asked for its keys, a token by a key which that answer does not bring identifies nobody,
// nor does one that is signed with a secret which the answer tells.
func FuzzIssuerKeys(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	c := newClock()
	claims, err := json.Marshal(with(c, nil))
	if err != nil {
		f.Fatal(err)
	}
	sign := func(by jose.SigningKey) string {
		s, err := jose.NewSigner(by, (&jose.SignerOptions{}).WithType("at+jwt").WithHeader("kid", "k1"))
		if err != nil {
			f.Fatal(err)
		}
		o, err := s.Sign(claims)
		if err != nil {
			f.Fatal(err)
		}
		token, err := o.CompactSerialize()
		if err != nil {
			f.Fatal(err)
		}
		return token
	}
	secret := []byte(strings.Repeat("s", 32))
	tokens := []string{sign(jose.SigningKey{Algorithm: jose.ES256, Key: key}), sign(jose.SigningKey{Algorithm: jose.HS256, Key: secret})}
	f.Add(`{"keys":[{"kty":"oct","kid":"k1","k":"` + base64.RawURLEncoding.EncodeToString(secret) + `"}]}`)
	f.Add(`{"keys":[{"kty":"EC","crv":"P-256","kid":"k1","x":"","y":""},null,1,{"kty":"RSA","kid":"k1","n":"AA","e":"AA"}]}`)
	f.Add(`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k1","x":"JrQLj5P_89iXES9-vFgrIy29clF9CC_oPPsw3c5D0bs","use":"enc"}]}`)
	f.Add(`{"keys":null}`)
	f.Fuzz(func(t *testing.T, answer string) {
		issuers := access.NewIssuers([]access.Issuer{{
			URL: issuerURL, Audience: "holdfast-1000", Keys: issuerURL + "keys", Clients: map[string]access.JWTClient{"erp": {ID: "erp-client", Roles: []string{"erp"}}},
			Client: &http.Client{Transport: answers(func(*http.Request) *http.Response {
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(answer))}
			})},
		}}, c.now)
		for _, token := range tokens {
			if who, err := issuers.Bearer(t.Context(), token); problem.KindOf(err) != problem.Unknown && problem.KindOf(err) != problem.Unavailable {
				t.Errorf("keys %q let in %v, %v", answer, who, err)
			}
		}
	})
}
