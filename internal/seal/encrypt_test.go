package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"holdfast/internal/problem"
)

// pairs are a key pair of each kind that payloads are encrypted to, as JWKs.
var pairs = sync.OnceValue(func() map[string]jose.JSONWebKey {
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return map[string]jose.JSONWebKey{
		"ECDH-ES+A256KW": {Key: ec, KeyID: "erp-1", Algorithm: "ECDH-ES+A256KW", Use: "enc"}, "RSA-OAEP-256": {Key: rs, KeyID: "erp-2"},
	}
})

func jsonOf(t testing.TB, k jose.JSONWebKey) []byte {
	t.Helper()
	text, err := k.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// sides are both ends of one encryption.
func sides(t testing.TB, alg string) (*Receiver, *Opener) {
	t.Helper()
	pair := pairs()[alg]
	to, err := ParseReceiver(jsonOf(t, pair.Public()), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	by, err := ParseOpener(jsonOf(t, pair))
	if err != nil {
		t.Fatal(err)
	}
	return to, by
}

func TestAPayloadIsReadByItsReceiverAlone(t *testing.T) {
	body := []byte(`{"yield":"4.000","text":"secret-of-ours"}`)
	for alg := range pairs() {
		t.Run(alg, func(t *testing.T) {
			to, by := sides(t, alg)
			one, err := to.Encrypt(body, "application/json", "m1")
			if err != nil {
				t.Fatal(err)
			}
			two, err := to.Encrypt(body, "application/json", "m1")
			if err != nil || bytes.Equal(one, two) {
				t.Errorf("twice the same is made, or %v", err)
			}
			if bytes.Contains(one, body) || bytes.Contains(one, []byte(base64.RawURLEncoding.EncodeToString(body))) {
				t.Errorf("the body can be read in %s", one)
			}
			got, media, err := by.Decrypt(one, "m1")
			if err != nil || !bytes.Equal(got, body) || media != "application/json" {
				t.Errorf("got %s of %s, %v", got, media, err)
			}
			if _, _, err := by.Decrypt(one, "m2"); problem.KindOf(err) != problem.Integrity {
				t.Errorf("as another event's: got %v, want it refused", err)
			}
			for i, part := range strings.Split(string(one), ".") {
				parts := strings.Split(string(one), ".")
				b, err := base64.RawURLEncoding.DecodeString(part)
				if err != nil || len(b) == 0 {
					t.Fatalf("part %d: %v", i, err)
				}
				b[len(b)/2] ^= 1
				parts[i] = base64.RawURLEncoding.EncodeToString(b)
				if _, _, err := by.Decrypt([]byte(strings.Join(parts, ".")), "m1"); problem.KindOf(err) != problem.Integrity {
					t.Errorf("with a bit of part %d flipped: got %v, want it refused", i, err)
				}
			}
		})
	}
}

// TestAPlantMayHaveSeveralKeysToOpenWith: what is under way was encrypted to the one before.
func TestAPlantMayHaveSeveralKeysToOpenWith(t *testing.T) {
	one, two := pairs()["ECDH-ES+A256KW"], pairs()["RSA-OAEP-256"]
	set := func(keys ...[]byte) []byte { return []byte(`{"keys":[` + string(bytes.Join(keys, []byte(","))) + `]}`) }
	both, err := ParseOpener(set(jsonOf(t, one), jsonOf(t, two)))
	if err != nil {
		t.Fatal(err)
	}
	for alg := range pairs() {
		to, _ := sides(t, alg)
		jwe, err := to.Encrypt([]byte("{}"), "application/json", "m1")
		if err != nil {
			t.Fatal(err)
		}
		if got, _, err := both.Decrypt(jwe, "m1"); err != nil || string(got) != "{}" {
			t.Errorf("%s: got %s, %v", alg, got, err)
		}
	}
	public := one.Public()
	for name, text := range map[string][]byte{
		"an empty set": set(), "a name twice": set(jsonOf(t, one), jsonOf(t, one)), "a public key among them": set(jsonOf(t, two), jsonOf(t, public)), "no keys": []byte(`{"keys":3}`),
	} {
		if _, err := ParseOpener(text); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
}

// TestOfWhatIsEncryptedNothingChoosesHowItIsRead: another algorithm, type, key or compression, and what a header brings along.
func TestOfWhatIsEncryptedNothingChoosesHowItIsRead(t *testing.T) {
	_, by := sides(t, "ECDH-ES+A256KW")
	pair := pairs()["ECDH-ES+A256KW"]
	rsaPair := pairs()["RSA-OAEP-256"]
	public := pair.Public().Key
	other := rsaPair.Public().Key
	head := func() *jose.EncrypterOptions {
		return (&jose.EncrypterOptions{}).WithType(payloadJWE).WithHeader(eventHeader, "m1")
	}
	zipped := head()
	zipped.Compression = jose.DEFLATE
	tests := []struct {
		name string
		enc  jose.ContentEncryption
		to   jose.Recipient
		opts *jose.EncrypterOptions
		want bool
	}{
		{"as it should be", jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: public, KeyID: "erp-1"}, head(), true},
		{"another agreement", jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES, Key: public, KeyID: "erp-1"}, head(), false},
		{"another content encryption", jose.A256CBC_HS512, jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: public, KeyID: "erp-1"}, head(), false},
		{"another key's name", jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: public, KeyID: "erp-2"}, head(), false},
		{"another key under this name", jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: other, KeyID: "erp-1"}, head(), false},
		{"a shared secret", jose.A256GCM, jose.Recipient{Algorithm: jose.A256KW, Key: make([]byte, 32), KeyID: "erp-1"}, head(), false},
		{"no type", jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: public, KeyID: "erp-1"}, (&jose.EncrypterOptions{}).WithHeader(eventHeader, "m1"), false},
		{"compressed", jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: public, KeyID: "erp-1"}, zipped, false},
		{"a key of its own", jose.A256GCM, jose.Recipient{Algorithm: jose.ECDH_ES_A256KW, Key: public, KeyID: "erp-1"}, head().WithHeader("jku", "https://evil.example"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			e, err := jose.NewEncrypter(tt.enc, tt.to, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			made, err := e.Encrypt([]byte("{}"))
			if err != nil {
				t.Fatal(err)
			}
			text, err := made.CompactSerialize()
			if err != nil {
				t.Fatal(err)
			}
			_, _, err = by.Decrypt([]byte(text), "m1")
			if (err == nil) != tt.want || err != nil && problem.KindOf(err) != problem.Integrity {
				t.Errorf("got %v, want it read: %t", err, tt.want)
			}
		})
	}
}

// TestOnlyAPublicKeyForEncryptionIsEncryptedTo: what is refused is told in words, before anything is sent.
func TestOnlyAPublicKeyForEncryptionIsEncryptedTo(t *testing.T) {
	pair := pairs()["ECDH-ES+A256KW"]
	signing := pair.Public()
	signing.Use = "sig"
	elsewhere := pair.Public()
	elsewhere.Algorithm = "RSA1_5"
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	ed := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	for name, text := range map[string][]byte{
		"nothing":             nil,
		"no key":              []byte("{}"),
		"a private key":       jsonOf(t, pair),
		"a key for signing":   jsonOf(t, signing),
		"another algorithm's": jsonOf(t, elsewhere),
		"too short":           jsonOf(t, jose.JSONWebKey{Key: weak.Public()}),
		"Ed25519":             jsonOf(t, jose.JSONWebKey{Key: ed.Public()}),
		"a secret":            jsonOf(t, jose.JSONWebKey{Key: make([]byte, 32)}),
		"PEM of nothing":      []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
	} {
		if _, err := ParseReceiver(text, time.Now); problem.KindOf(err) != problem.Invalid {
			t.Errorf("%s: got %v, want it refused", name, err)
		}
	}
	if _, err := ParseOpener(jsonOf(t, pair.Public())); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a public key opens nothing: got %v", err)
	}
}

// TestACertificateIsEncryptedToUntilItEnds, and names the key by its thumbprint; then messages wait.
func TestACertificateIsEncryptedToUntilItEnds(t *testing.T) {
	pair := pairs()["ECDH-ES+A256KW"]
	private := pair.Key.(*ecdsa.PrivateKey)
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: now}, &x509.Certificate{}, private.Public(), crypto.Signer(private))
	if err != nil {
		t.Fatal(err)
	}
	at := now
	to, err := ParseReceiver(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	by, err := ParseOpener(jsonOf(t, jose.JSONWebKey{Key: private}))
	if err != nil {
		t.Fatal(err)
	}
	text, err := to.Encrypt([]byte("{}"), "application/json", "m1")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := by.Decrypt(text, "m1"); err != nil {
		t.Error(err)
	}
	at = now.Add(time.Second)
	if _, err := to.Encrypt([]byte("{}"), "application/json", "m1"); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("after its end: got %v, want a problem of kind %s", err, problem.Unavailable)
	}
}

// FuzzPayload: nothing that was not made for this event opens.
func FuzzPayload(f *testing.F) {
	to, by := sides(f, "ECDH-ES+A256KW")
	made, err := to.Encrypt([]byte(`{"a":1}`), "application/json", "m1")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(made))
	f.Add("eyJhbGciOiJkaXIifQ..AA.AA.AA")
	f.Add("....")
	f.Fuzz(func(t *testing.T, text string) {
		body, _, err := by.Decrypt([]byte(text), "m1")
		if err == nil && string(body) != `{"a":1}` {
			t.Errorf("%q opens as %q", text, body)
		}
		if err != nil && problem.KindOf(err) != problem.Integrity {
			t.Errorf("%q: %v", text, err)
		}
	})
}

// FuzzReceiver: a key that is taken is one that can be encrypted to.
func FuzzReceiver(f *testing.F) {
	pair := pairs()["RSA-OAEP-256"]
	f.Add(jsonOf(f, pair.Public()))
	f.Add([]byte(`{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}`))
	f.Add([]byte(`{"kty":"RSA","n":"` + strings.Repeat("0", 344) + `","e":"0A"}`)) // an even exponent
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		to, err := ParseReceiver(text, func() time.Time { return time.Time{} })
		if err != nil {
			return
		}
		if _, err := to.Encrypt([]byte("{}"), "application/json", "m1"); err != nil {
			t.Errorf("%q is taken, and then: %v", text, err)
		}
	})
}
