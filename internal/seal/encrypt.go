package seal

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"holdfast/internal/problem"
)

// payloadJWE is the type of the JWE (RFC 7516, compact) that a payload goes as. Its header names the event, so that it serves no other.
const payloadJWE = "holdfast-payload+jwe"

// eventHeader names the message that a payload is of.
const eventHeader = "event"

// Receiver is whom payloads are encrypted to. It implements message.Encrypter and is safe for concurrent use.
type Receiver struct {
	to   jose.Recipient
	ends time.Time // of its certificate; zero for never
	now  func() time.Time
}

// ParseReceiver reads the one public key to encrypt to: a JWK (RFC 7517), or PEM with a certificate or public key. An elliptic key (P-256,
// P-384, P-521) takes ECDH-ES+A256KW, an RSA key of 2048 bits or more RSA-OAEP-256; the content is always A256GCM.
func ParseReceiver(text []byte, now func() time.Time) (*Receiver, error) {
	k, ends, err := receiverKey(text)
	var alg jose.KeyAlgorithm
	if err == nil && !k.IsPublic() {
		err = errors.New("it is a private key, which nobody but the receiver may have")
	}
	if err == nil {
		alg, err = agreement(k)
	}
	if err == nil && k.KeyID == "" {
		k.KeyID, err = thumbprint(k)
	}
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "read the key of a receiver", Why: err.Error(),
			Hint: "ask the receiver for a public key for encryption: a JWK or a certificate, elliptic on P-256 or RSA",
		}
	}
	return &Receiver{to: jose.Recipient{Algorithm: alg, Key: k.Key, KeyID: k.KeyID}, ends: ends, now: now}, nil
}

func receiverKey(text []byte) (k jose.JSONWebKey, ends time.Time, err error) {
	block, _ := pem.Decode(text)
	if block == nil {
		if err := k.UnmarshalJSON(text); err != nil {
			return k, ends, errors.New("it is neither a JWK nor PEM")
		}
		return k, ends, nil
	}
	switch block.Type {
	case "CERTIFICATE":
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return k, ends, errors.New("its certificate cannot be read")
		}
		return jose.JSONWebKey{Key: c.PublicKey}, c.NotAfter, nil
	case "PUBLIC KEY":
		if k.Key, err = x509.ParsePKIXPublicKey(block.Bytes); err != nil {
			err = errors.New("its public key cannot be read")
		}
		return k, ends, err
	}
	return k, ends, fmt.Errorf("it has a %s", block.Type)
}

// agreement is how a key is used, whether public or private; one key is good for one way.
func agreement(k jose.JSONWebKey) (alg jose.KeyAlgorithm, err error) {
	switch key := k.Key.(type) {
	case *ecdsa.PublicKey, *ecdsa.PrivateKey:
		alg = jose.ECDH_ES_A256KW
	case *rsa.PublicKey:
		alg, err = jose.RSA_OAEP_256, usable(key)
	case *rsa.PrivateKey:
		alg, err = jose.RSA_OAEP_256, usable(&key.PublicKey)
	default:
		err = errors.New("it is of a kind that nothing can be encrypted to here")
	}
	switch {
	case err != nil:
	case k.Use != "" && k.Use != "enc":
		err = errors.New("it says of itself that it is not for encryption")
	case k.Algorithm != "" && k.Algorithm != string(alg):
		err = errors.New("it is for " + shown(k.Algorithm) + ", which is not used here; " + string(alg) + " is")
	}
	return alg, err
}

// usable tells whether something can be encrypted to an RSA key, by doing so: of a JWK, n and e may be any numbers.
func usable(k *rsa.PublicKey) error {
	if k.Size() < 256 {
		return fmt.Errorf("it has %d bits, fewer than 2048", 8*k.Size())
	}
	if _, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, k, []byte{0}, nil); err != nil {
		return errors.New("its modulus or exponent is none of an RSA key")
	}
	return nil
}

func thumbprint(k jose.JSONWebKey) (string, error) {
	sum, err := k.Thumbprint(crypto.SHA256)
	if err != nil {
		return "", fmt.Errorf("name a key: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sum), nil
}

// Encrypt implements message.Encrypter: a compact JWE, made with a key of its own each time.
func (r *Receiver) Encrypt(body []byte, media, event string) ([]byte, error) {
	if now := r.now(); !r.ends.IsZero() && now.After(r.ends) {
		return nil, &problem.Error{
			Kind: problem.Unavailable, What: "encrypt to key " + r.to.KeyID, Why: "its certificate ended at " + r.ends.UTC().Format(time.RFC3339),
			Hint: "have the receiver send a new one, put it where encrypt_to says; until then messages wait",
		}
	}
	opts := (&jose.EncrypterOptions{}).WithType(payloadJWE).WithContentType(jose.ContentType(media)).WithHeader(eventHeader, event)
	e, err := jose.NewEncrypter(jose.A256GCM, r.to, opts)
	if err != nil {
		return nil, fmt.Errorf("encrypt to key %s: %w", r.to.KeyID, err)
	}
	out, err := e.Encrypt(body)
	if err != nil {
		return nil, fmt.Errorf("encrypt to key %s: %w", r.to.KeyID, err)
	}
	text, err := out.CompactSerialize()
	return []byte(text), err
}

// Opener reads what was encrypted to a private key, or to one of several. It implements message.Decrypter and is safe for concurrent use.
type Opener struct{ keys map[string]openerKey } // by the key's ID

type openerKey struct {
	key any
	alg jose.KeyAlgorithm
}

// ParseOpener reads a private key as a JWK, or several as a JWK set: while senders change to a new key, what they encrypted to the one before is
// still under way.
func ParseOpener(text []byte) (*Opener, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if json.Unmarshal(text, &set) != nil || set.Keys == nil {
		set.Keys = []json.RawMessage{text}
	}
	o := &Opener{map[string]openerKey{}}
	for _, one := range set.Keys {
		if err := o.add(one); err != nil {
			return nil, err
		}
	}
	if len(o.keys) == 0 {
		return nil, &problem.Error{Kind: problem.Invalid, What: "read a private key", Why: "the set has none", Hint: "put one in"}
	}
	return o, nil
}

func (o *Opener) add(text []byte) error {
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(text); err != nil || !k.Valid() || k.IsPublic() {
		return &problem.Error{
			Kind: problem.Invalid, What: "read a private key", Why: "it is no JWK of a private key", Hint: "give the key pair whose public half senders have",
		}
	}
	alg, err := agreement(k)
	if err == nil && k.KeyID == "" {
		k.KeyID, err = thumbprint(k.Public())
	}
	if _, twice := o.keys[k.KeyID]; err == nil && twice {
		err = fmt.Errorf("two of them are called %s", shown(k.KeyID))
	}
	if err != nil {
		return &problem.Error{Kind: problem.Invalid, What: "read a private key", Why: err.Error(), Hint: "make one on P-256, or by RSA"}
	}
	o.keys[k.KeyID] = openerKey{k.Key, alg}
	return nil
}

// jweHeader is all that the header of a payload may have. What brings a key, a compression or something that would have to be understood
// (crit) is refused with everything else that is not named here.
type jweHeader struct {
	Algorithm string          `json:"alg"`
	Content   string          `json:"enc"`
	Key       string          `json:"kid"`
	Type      string          `json:"typ"`
	Media     string          `json:"cty"`
	Event     string          `json:"event"`
	Ephemeral json.RawMessage `json:"epk"`
}

// mostJWEHeader bounds the header before any of it is decoded.
const mostJWEHeader = 4 << 10

// Decrypt implements message.Decrypter. Whatever is wrong with the text, it is an error of kind Integrity.
func (o *Opener) Decrypt(text []byte, event string) (body []byte, media string, err error) {
	h, err := readJWEHeader(string(text))
	k, known := o.keys[h.Key]
	switch {
	case err != nil:
		return nil, "", err
	case h.Type != payloadJWE:
		return nil, "", bad(problem.Integrity, "what is encrypted is of type "+shown(h.Type)+", not "+payloadJWE)
	case h.Event != event:
		return nil, "", bad(problem.Integrity, "what is encrypted is of event "+shown(h.Event))
	case !known:
		return nil, "", bad(problem.Integrity, "it is encrypted to key "+shown(h.Key)+", not to "+strings.Join(slices.Sorted(maps.Keys(o.keys)), " or "))
	}
	e, err := jose.ParseEncryptedCompact(string(text), []jose.KeyAlgorithm{k.alg}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return nil, "", bad(problem.Integrity, "it is no JWE by "+string(k.alg)+" and "+string(jose.A256GCM))
	}
	if body, err = e.Decrypt(k.key); err != nil {
		return nil, "", bad(problem.Integrity, "it was altered, or is encrypted to another key")
	}
	return body, h.Media, nil
}

func readJWEHeader(text string) (h jweHeader, err error) {
	encoded, _, _ := strings.Cut(text, ".")
	if len(encoded) > mostJWEHeader || strings.Count(text, ".") != 4 {
		return h, bad(problem.Integrity, "it is no compact JWE")
	}
	header, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err == nil {
		err = strictJSON(header, &h)
	}
	if err != nil {
		return h, bad(problem.Integrity, "the header of what is encrypted has more than alg, enc, kid, typ, cty, epk and event, or cannot be read")
	}
	return h, nil
}
