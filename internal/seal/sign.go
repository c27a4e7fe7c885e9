package seal

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"holdfast/internal/problem"
)

// Purpose says what a signature is for. It begins the signed bytes, so that no signature serves another use.
type Purpose string

// ForMessage is the purpose of an origin signature: over the digest of a message.
const ForMessage Purpose = "holdfast/message/1"

// KeyID names a public key: its JWK thumbprint (RFC 7638, RFC 8037), base64url without padding. It is a key of a map, never a path.
type KeyID string

// keyID is the name of a public key.
func keyID(pub ed25519.PublicKey) KeyID {
	sum := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + base64.RawURLEncoding.EncodeToString(pub) + `"}`))
	return KeyID(base64.RawURLEncoding.EncodeToString(sum[:]))
}

// Signature vouches that the holder of Key had a digest before it at the time At, by that holder's clock, and signed it for one purpose.
type Signature struct {
	Key   KeyID
	At    time.Time // to the microsecond, UTC
	bytes [ed25519.SignatureSize]byte
}

// The form that is stored and sent: a version, the key's thumbprint, the time in microseconds, the Ed25519 signature.
const (
	signatureVersion = 1
	thumbprintSize   = sha256.Size
	signatureSize    = 1 + thumbprintSize + 8 + ed25519.SignatureSize
)

// Bytes is the signature as it is stored and sent; ParseSignature reads it.
func (s Signature) Bytes() []byte {
	thumbprint, err := base64.RawURLEncoding.DecodeString(string(s.Key))
	if err != nil || len(thumbprint) != thumbprintSize {
		return nil // the zero Signature: it vouches for nothing
	}
	b := append(make([]byte, 0, signatureSize), signatureVersion)
	b = append(b, thumbprint...)
	b = binary.BigEndian.AppendUint64(b, uint64(s.At.UnixMicro())) //nolint:gosec // a time after 1970, else read back as the same
	return append(b, s.bytes[:]...)
}

// ParseSignature reads what Bytes wrote. Anything else is an error of kind Integrity.
func ParseSignature(b []byte) (Signature, error) {
	if len(b) != signatureSize || b[0] != signatureVersion {
		return Signature{}, &problem.Error{
			Kind: problem.Integrity, What: "read a signature", Why: fmt.Sprintf("its %d bytes are not of a form that is known here", len(b)),
			Hint: "it was cut, or made by a later version of Holdfast",
		}
	}
	b = b[1:]
	s := Signature{Key: KeyID(base64.RawURLEncoding.EncodeToString(b[:thumbprintSize]))}
	b = b[thumbprintSize:]
	s.At = time.UnixMicro(int64(binary.BigEndian.Uint64(b))).UTC() //nolint:gosec // the reverse of Bytes
	copy(s.bytes[:], b[8:])
	return s, nil
}

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
	copy(s.bytes[:], ed25519.Sign(key, signed(p, id, s.At, digest)))
	return s
}
