package seal_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/sha256"
	"testing"
	"time"

	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// BenchmarkSealAtRest seals 1 KiB under a lane's own secret and opens it again; beside it the primitives alone. A signature and a seal together
// may cost twice what sign and seal of the primitives cost.
func BenchmarkSealAtRest(b *testing.B) {
	body, seed := make([]byte, 1024), make([]byte, 32)
	private := ed25519.NewKeyFromSeed(seed)
	block, err := aes.NewCipher(seed)
	if err != nil {
		b.Fatal(err)
	}
	bare, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("bare sign", func(b *testing.B) {
		for b.Loop() {
			sum := sha256.Sum256(body)
			ed25519.Sign(private, sum[:])
		}
	})
	b.Run("bare seal", func(b *testing.B) {
		for b.Loop() {
			bare.Seal(nil, nil, body, seed)
		}
	})
	db := storetest.SQLite(b)
	r := opened(b, db)
	c := store.Cell{Table: "outbox_messages", Row: "a", Bound: [][]byte{seed, seed, seed}, Own: seed}
	b.Run("seal", func(b *testing.B) {
		err := db.InTx(b.Context(), func(tx *store.Tx) error {
			for b.Loop() {
				if _, _, err := r.Seal(b.Context(), tx, c, body); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	})
}

func opened(b *testing.B, db *store.DB) *seal.Rest {
	b.Helper()
	safe := seal.NewSafe(b.TempDir(), "correct horse", work)
	if err := seal.InitLocal(safe, "1000", db.Now()); err != nil {
		b.Fatal(err)
	}
	w := restWorld{db: db, keys: &flaky{Wrapper: seal.NewLocal(safe, nodeA, 7*24*time.Hour, db.Now)}}
	r, err := w.openIn(b.Context(), seal.RestConfig{})
	if err != nil {
		b.Fatal(err)
	}
	return r
}
