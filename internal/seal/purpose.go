package seal

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
)

// NewPurposeSeed is the seed of keys for a purpose. Whoever keeps it seals it at rest (store.Tx.Seal): so it is under the plant's keyring, of
// whichever kind, and goes the way of all that is sealed when that is away, rotated or wrapped anew.
func NewPurposeSeed() ([]byte, error) { return newSeed() }

// PurposeMAC is the HMAC-SHA-256 of parts under a key that is made from a seed for one purpose alone.
func PurposeMAC(seed []byte, purpose string, parts ...[]byte) ([]byte, error) {
	key, err := hkdf.Key(sha256.New, seed, nil, "holdfast/purpose/1|"+purpose, seedSize)
	if err != nil {
		return nil, fmt.Errorf("make the key of %s: %w", purpose, err)
	}
	m := hmac.New(sha256.New, key)
	m.Write(bound(nil, parts...))
	return m.Sum(nil), nil
}
