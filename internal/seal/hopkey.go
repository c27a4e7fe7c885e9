package seal

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"time"

	"github.com/go-jose/go-jose/v4"

	"holdfast/internal/problem"
)

// Algorithm is a way to sign, by its name in RFC 9421. A key is good for one algorithm, whatever a message says of itself.
type Algorithm string

// The algorithms that were reviewed. Holdfast itself signs with the first two; the others are for senders that have nothing else.
const (
	Ed25519 Algorithm = "ed25519"
	HMAC    Algorithm = "hmac-sha256"
	P256    Algorithm = "ecdsa-p256-sha256"
	RSAPSS  Algorithm = "rsa-pss-sha512"
)

// leastSecret is how many bytes a shared secret has at least: those of SHA-256 (RFC 2104 section 3).
const leastSecret = 32

// Key is what proves a sender: a public key, or a secret that is shared with him.
type Key struct {
	ID        KeyID
	Algorithm Algorithm
	From, To  time.Time // when it counts, of a certificate; zero for always

	public crypto.PublicKey
	secret []byte
}

// SharedKey is a secret that two sides know.
func SharedKey(id KeyID, secret []byte) (Key, error) {
	if len(secret) < leastSecret || id == "" {
		return Key{}, &problem.Error{
			Kind: problem.Invalid, What: "read a shared secret", Why: fmt.Sprintf("it has %d bytes, fewer than %d, or no name", len(secret), leastSecret),
			Hint: "make one with: openssl rand -base64 32",
		}
	}
	return Key{ID: id, Algorithm: HMAC, secret: bytes.Clone(secret)}, nil
}

// publicKey finds the one algorithm that a public key is good for here.
func publicKey(id KeyID, public crypto.PublicKey) (Key, error) {
	k := Key{ID: id, public: public}
	switch p := public.(type) {
	case ed25519.PublicKey:
		k.Algorithm = Ed25519
		if k.ID == "" {
			k.ID = keyID(p)
		}
	case *ecdsa.PublicKey:
		k.Algorithm = P256
		if p.Curve != elliptic.P256() {
			return Key{}, fmt.Errorf("key %s is on curve %s, not P-256", id, p.Curve.Params().Name)
		}
	case *rsa.PublicKey:
		k.Algorithm = RSAPSS
		if p.Size() < 256 {
			return Key{}, fmt.Errorf("key %s has %d bits, fewer than 2048", id, 8*p.Size())
		}
	default:
		return Key{}, fmt.Errorf("key %s is of a kind that is not used here", id)
	}
	if k.ID == "" {
		thumbprint, err := (&jose.JSONWebKey{Key: public}).Thumbprint(crypto.SHA256)
		if err != nil {
			return Key{}, fmt.Errorf("name a key: %w", err)
		}
		k.ID = KeyID(base64.RawURLEncoding.EncodeToString(thumbprint))
	}
	return k, nil
}

// verify tells whether the signature is the key's over these bytes.
func (k Key) verify(text, signature []byte) bool {
	switch k.Algorithm {
	case Ed25519:
		p, ok := k.public.(ed25519.PublicKey)
		return ok && ed25519.Verify(p, text, signature)
	case HMAC:
		return len(k.secret) >= leastSecret && hmac.Equal(mac(k.secret, text), signature)
	case P256:
		p, ok := k.public.(*ecdsa.PublicKey)
		if !ok || len(signature) != 64 {
			return false
		}
		sum := sha256.Sum256(text)
		return ecdsa.Verify(p, sum[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:]))
	case RSAPSS:
		p, ok := k.public.(*rsa.PublicKey)
		sum := sha512.Sum512(text)
		return ok && rsa.VerifyPSS(p, crypto.SHA512, sum[:], signature, &rsa.PSSOptions{SaltLength: 64}) == nil
	}
	return false
}

// counts tells whether the key counts at a time.
func (k Key) counts(at time.Time) bool {
	return (k.From.IsZero() || !at.Before(k.From)) && (k.To.IsZero() || !at.After(k.To))
}

func mac(secret, text []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write(text) // a hash takes everything
	return h.Sum(nil)
}

// mostKeys bounds a file of keys.
const mostKeys = 1000

// ParseKeys reads public keys: a JWK set (RFC 7517), or PEM with certificates or public keys. A certificate's key counts as long as the
// certificate; its chain is not looked at, since the file itself is what is trusted. A secret in such a file is refused.
func ParseKeys(text []byte) ([]Key, error) {
	keys, err := parseKeys(text)
	if err == nil && (len(keys) == 0 || len(keys) > mostKeys) {
		err = fmt.Errorf("it has %d keys", len(keys))
	}
	seen := map[KeyID]bool{}
	for _, k := range keys {
		if seen[k.ID] && err == nil {
			err = fmt.Errorf("it has key %s twice", k.ID)
		}
		seen[k.ID] = true
	}
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "read the keys of a sender", Why: "it is neither a JWK set of public keys nor PEM with certificates or public keys",
			Hint: "ask the sender for its JWK set", Cause: err,
		}
	}
	return keys, nil
}

func parseKeys(text []byte) ([]Key, error) {
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '{' {
		return parseJWKS(trimmed)
	}
	var keys []Key
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		k, err := pemKey(block)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func pemKey(block *pem.Block) (Key, error) {
	switch block.Type {
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return Key{}, err
		}
		k, err := publicKey("", c.PublicKey)
		k.From, k.To = c.NotBefore, c.NotAfter
		return k, err
	case "PUBLIC KEY":
		p, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return Key{}, err
		}
		return publicKey("", p)
	}
	return Key{}, fmt.Errorf("it has a %s", block.Type)
}

func parseJWKS(text []byte) ([]Key, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(text, &set); err != nil {
		return nil, err
	}
	var keys []Key
	for _, raw := range set.Keys {
		var j jose.JSONWebKey
		if err := j.UnmarshalJSON(raw); err != nil {
			return nil, err
		}
		if !j.IsPublic() {
			return nil, fmt.Errorf("key %s is no public key", j.KeyID)
		}
		if j.Use == "enc" {
			continue
		}
		k, err := publicKey(KeyID(j.KeyID), j.Key)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// SigningKey is a key that signs.
type SigningKey struct {
	ID        KeyID
	Algorithm Algorithm
	private   ed25519.PrivateKey
	secret    []byte
}

// NewSigningKey signs with Ed25519; the key is named by its thumbprint.
func NewSigningKey(private ed25519.PrivateKey) SigningKey {
	return SigningKey{ID: keyID(private.Public().(ed25519.PublicKey)), Algorithm: Ed25519, private: private}
}

// NewSecretKey signs with a shared secret.
func NewSecretKey(id KeyID, secret []byte) (SigningKey, error) {
	k, err := SharedKey(id, secret)
	return SigningKey{ID: id, Algorithm: HMAC, secret: k.secret}, err
}

// Key is what checks what the key signs.
func (k SigningKey) Key() Key {
	if k.Algorithm == HMAC {
		return Key{ID: k.ID, Algorithm: HMAC, secret: k.secret}
	}
	return Key{ID: k.ID, Algorithm: Ed25519, public: k.private.Public()}
}

func (k SigningKey) sign(text []byte) []byte {
	if k.Algorithm == HMAC {
		return mac(k.secret, text)
	}
	return ed25519.Sign(k.private, text)
}

// SigningKey is the node's key of the moment. The error of a node whose key counts no more is that of Sign.
func (r *Ring) SigningKey() (SigningKey, error) {
	k, _, err := r.ready()
	if err != nil {
		return SigningKey{}, err
	}
	return NewSigningKey(k.private), nil
}
