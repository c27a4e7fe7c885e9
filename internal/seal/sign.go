package seal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"

	"holdfast/internal/message"
)

// Purpose says what a signature is for. It begins the signed bytes, so that no signature serves another use. What is signed of a message
// begins with message.Purpose instead, in another form: see Ring.SignMessage.
type Purpose string

// KeyID names a public key, see message.KeyID.
type KeyID = message.KeyID

// keyID is the name of a public key.
func keyID(pub ed25519.PublicKey) KeyID {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(pub) + `"}`))
	return KeyID(base64.RawURLEncoding.EncodeToString(sum[:]))
}

// Signature is what Ring.Sign makes and Trust.Verify checks.
type Signature = message.Signature

// ParseSignature reads what Signature.Bytes wrote. Anything else is an error of kind Integrity.
func ParseSignature(b []byte) (Signature, error) { return message.ParseSignature(b) }

// signed is what the key signs: each part is preceded by its length, so that no two signatures share their bytes.
func signed(p Purpose, key KeyID, at time.Time, digest []byte) []byte {
	b := make([]byte, 0, 256)
	for _, part := range [...]string{string(p), string(key), at.UTC().Format(time.RFC3339Nano), string(digest)} {
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b
}

// sign makes a signature at the time at, cut to the microsecond.
func sign(key ed25519.PrivateKey, id KeyID, p Purpose, at time.Time, digest []byte) Signature {
	s := Signature{Key: id, At: at.UTC().Truncate(time.Microsecond)}
	copy(s.Value[:], ed25519.Sign(key, signed(p, id, s.At, digest)))
	return s
}
