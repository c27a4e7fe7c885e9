package message

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"holdfast/internal/problem"
)

// KeyID names a public key: its JWK thumbprint (RFC 7638, RFC 8037), base64url without padding. It is a key of a map, never a path.
type KeyID string

// Signature vouches that the holder of Key had something before it at the time At, by that holder's clock, and signed it. What that was
// the signature does not say: who checks it knows.
type Signature struct {
	Key   KeyID
	At    time.Time // to the microsecond, UTC
	Value [ed25519.SignatureSize]byte
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
	b = binary.BigEndian.AppendUint64(b, uint64(s.At.UnixMicro()))
	return append(b, s.Value[:]...)
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
	copy(s.Value[:], b[8:])
	return s, nil
}
