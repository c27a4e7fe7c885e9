package seal

import (
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Bundle is all that a receiver needs to check the plant's signatures without asking anybody: public keys with their certificates,
// the roots that vouch for them, and what was revoked. It holds no secret.
type Bundle struct {
	Roots []*x509.Certificate
	Lists []*x509.RevocationList
	Keys  []Archived

	// Vouched are statements of messages that are still owed and were signed by keys that count no more, with the proofs that the audit record
	// held them while they did, as package prove writes them; none if there are no such messages.
	Vouched []byte
}

// ReadBundle asks the keyring for its roots and the archive for every key.
func ReadBundle(ctx context.Context, db *store.DB, from Keyring) (Bundle, error) {
	var b Bundle
	var err error
	if b.Roots, b.Lists, err = from.Roots(ctx); err != nil {
		return Bundle{}, err
	}
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		b.Keys, err = Archive(ctx, tx)
		return err
	})
	return b, err
}

// Trust is what the bundle says, ready to check signatures.
func (b Bundle) Trust() *Trust {
	all := make([]Certificate, len(b.Keys))
	for i, k := range b.Keys {
		all[i] = k.Certificate
	}
	return NewTrust(b.Roots, b.Lists, all)
}

// written is the form of a Bundle in a file; certificates and lists are DER in base64.
type written struct {
	Format string       `json:"format"`
	Roots  [][]byte     `json:"roots"`
	Lists  [][]byte     `json:"revocation_lists"`
	Keys   []writtenKey `json:"keys"`

	Vouched string `json:"vouched,omitempty"`
}

type writtenKey struct {
	Key     KeyID      `json:"kid"`
	Node    string     `json:"node"`
	Chain   [][]byte   `json:"x5c"`
	Made    time.Time  `json:"made"`
	Retired *time.Time `json:"retired,omitempty"`
	Revoked *time.Time `json:"revoked,omitempty"`
	Reason  string     `json:"reason,omitempty"`
}

const bundleFormat = "holdfast/keys/1"

// MarshalJSON writes the bundle for a file.
func (b Bundle) MarshalJSON() ([]byte, error) {
	w := written{Format: bundleFormat, Roots: raw(b.Roots), Lists: [][]byte{}, Keys: []writtenKey{}, Vouched: string(b.Vouched)}
	for _, l := range b.Lists {
		w.Lists = append(w.Lists, l.Raw)
	}
	for _, k := range b.Keys {
		w.Keys = append(w.Keys, writtenKey{k.Key, k.Node, raw(k.Chain), k.Made, optional(k.Retired), optional(k.Revoked), k.Reason})
	}
	return json.Marshal(w)
}

func raw(certificates []*x509.Certificate) [][]byte {
	out := make([][]byte, len(certificates))
	for i, c := range certificates {
		out[i] = c.Raw
	}
	return out
}

func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// ParseBundle reads a file that "holdfast keys export" wrote. Its roots are trusted because the file is: it has to come by a way that
// is. Anything but such a file is an error of kind Invalid.
func ParseBundle(text []byte) (Bundle, error) {
	var w written
	err := json.Unmarshal(text, &w)
	if err == nil && w.Format != bundleFormat {
		err = fmt.Errorf("its format is %q, not %s", w.Format, bundleFormat)
	}
	var b Bundle
	if err == nil {
		b, err = w.bundle()
	}
	if err != nil {
		return Bundle{}, &problem.Error{
			Kind: problem.Invalid, What: "read a file of keys", Why: "it is not what holdfast keys export writes", Hint: "export it anew", Cause: err,
		}
	}
	return b, nil
}

func (w written) bundle() (Bundle, error) {
	b := Bundle{Vouched: []byte(w.Vouched)}
	var err error
	if b.Roots, err = parseAll(w.Roots); err != nil {
		return Bundle{}, err
	}
	for _, der := range w.Lists {
		l, err := x509.ParseRevocationList(der)
		if err != nil {
			return Bundle{}, err
		}
		b.Lists = append(b.Lists, l)
	}
	for _, k := range w.Keys {
		chain, err := parseAll(k.Chain)
		if err == nil && len(chain) == 0 {
			err = fmt.Errorf("key %s has no certificate", k.Key)
		}
		if err != nil {
			return Bundle{}, err
		}
		a := Archived{Certificate: Certificate{Key: k.Key, Node: k.Node, Chain: chain, Made: k.Made, Reason: k.Reason}}
		if k.Retired != nil {
			a.Retired = *k.Retired
		}
		if k.Revoked != nil {
			a.Revoked = *k.Revoked
		}
		b.Keys = append(b.Keys, a)
	}
	return b, nil
}

func parseAll(ders [][]byte) ([]*x509.Certificate, error) {
	return x509.ParseCertificates(slices.Concat(ders...))
}

// jwk is an Ed25519 key as RFC 8037 writes it.
type jwk struct {
	Type      string   `json:"kty"`
	Curve     string   `json:"crv"`
	X         string   `json:"x"`
	ID        KeyID    `json:"kid"`
	Use       string   `json:"use"`
	Algorithm string   `json:"alg"`
	Chain     [][]byte `json:"x5c"`
}

// JWKS is the set of public keys (RFC 7517) that still vouch for something, for receivers that speak JOSE: also those whose
// certificates have ended, because old messages are checked by them. What was revoked is not in it, nor what no root vouches for: a row
// in the archive is no proof.
func (b Bundle) JWKS() ([]byte, error) {
	keys, trust := []jwk{}, b.Trust()
	for _, k := range b.Keys {
		good := trust.keys[k.Key]
		if good.broken != "" || !good.revoked.IsZero() {
			continue
		}
		keys = append(keys, jwk{"OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(good.public), k.Key, "sig", "EdDSA", raw(k.Chain)})
	}
	return json.Marshal(map[string][]jwk{"keys": keys})
}
