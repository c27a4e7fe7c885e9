package seal_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/seal/vaulttest"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

const (
	plantURI = "urn:holdfast:plant:1000"
	work     = 10 // quick to guess, and to open

	forTest seal.Purpose = "holdfast/test/1"
)

var nodeA = seal.NodeURI(plantURI, "a")

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// eachKeyring runs test on a local keyring and on one of a real Vault, both set up for node a of the plant as an administrator does.
func eachKeyring(t *testing.T, test func(t *testing.T, k seal.Keyring)) {
	t.Helper()
	t.Run("local", func(t *testing.T) { test(t, local(t, t.TempDir())) })
	t.Run("vault", func(t *testing.T) {
		v, _ := vault(t, t.TempDir())
		test(t, v)
	})
}

func local(t *testing.T, dir string) *seal.Local {
	t.Helper()
	safe := seal.NewSafe(dir, "correct horse", work)
	if err := seal.InitLocal(safe, "1000", time.Now()); err != nil && problem.KindOf(err) != problem.Conflict {
		t.Fatal(err)
	}
	return seal.NewLocal(safe, nodeA, 7*24*time.Hour, time.Now)
}

// vault is the keyring of node a at a Vault of the test's own, and that Vault.
func vault(t *testing.T, dir string, env ...string) (*seal.Vault, *vaulttest.Server) {
	t.Helper()
	s := vaulttest.Start(t)
	s.Setup(t, env, "plant", "1000")
	id := strings.TrimPrefix(s.Setup(t, env, "node", "a", nodeA), "role_id: ")
	return vaultAgain(t, s, dir, wrapped(t, s), id), s
}

// wrapped is a file with a wrapped secret ID of node a.
func wrapped(t *testing.T, s *vaulttest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "wrapped")
	if err := os.WriteFile(file, []byte(s.Setup(t, nil, "secret-id", "a")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func vaultAgain(t *testing.T, s *vaulttest.Server, dir, wrapped, roleID string) *seal.Vault {
	t.Helper()
	v, err := seal.NewVault(seal.VaultConfig{Address: s.Address, CA: s.CA, Role: "a", Wrapped: wrapped, RoleID: roleID},
		seal.NewSafe(dir, "correct horse", work), nodeA, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// request is a request for a certificate.
func request(t *testing.T, key any, uris ...string) *x509.CertificateRequest {
	t.Helper()
	r := &x509.CertificateRequest{}
	for _, u := range uris {
		parsed, err := url.Parse(u)
		if err != nil {
			t.Fatal(err)
		}
		r.URIs = append(r.URIs, parsed)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, r, key)
	if err != nil {
		t.Fatal(err)
	}
	if r, err = x509.ParseCertificateRequest(der); err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAKeyringCertifiesItsOwnNodeAlone(t *testing.T) {
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	nodeB := seal.NodeURI(plantURI, "b")
	eachKeyring(t, func(t *testing.T, k seal.Keyring) {
		tests := []struct {
			name    string
			request *x509.CertificateRequest
			want    problem.Kind
		}{
			{"its own node", request(t, key, nodeA), ""},
			{"another node", request(t, key, nodeB), problem.Denied},
			{"two names", request(t, key, nodeA, nodeB), problem.Denied},
			{"another sort of key", request(t, other, nodeA), problem.Denied},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				chain, err := k.Certify(t.Context(), tt.request)
				if got := problem.KindOf(err); got != tt.want {
					t.Fatalf("got %q (%v), want %q", got, err, tt.want)
				}
				if err == nil && (len(chain) == 0 || len(chain[0].URIs) != 1 || chain[0].URIs[0].String() != nodeA || len(chain[0].DNSNames) != 0) {
					t.Errorf("got a certificate with other names than %s: %v", nodeA, chain)
				}
			})
		}
	})
}

// TestAReceiverChecksWithoutAsking signs on one side, and checks on the other with nothing but the exported file.
func TestAReceiverChecksWithoutAsking(t *testing.T) {
	eachKeyring(t, func(t *testing.T, k seal.Keyring) {
		db := storetest.SQLite(t)
		r := ring(t, db, k, nil)
		s, err := r.Sign(forTest, []byte("digest"))
		if err != nil {
			t.Fatal(err)
		}
		trust := exported(t, db, k)
		parsed, err := seal.ParseSignature(s.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		node, err := trust.Verify(forTest, []byte("digest"), parsed)
		if err != nil || node != nodeA {
			t.Errorf("got %q, %v, want %q", node, err, nodeA)
		}
		if _, err := trust.Verify(forTest, []byte("other"), parsed); problem.KindOf(err) != problem.Integrity {
			t.Errorf("another content passed: %v", err)
		}
	})
}

func TestOldSignaturesStayGoodAfterRotationsAndRevokedOnesDoNot(t *testing.T) {
	eachKeyring(t, func(t *testing.T, k seal.Keyring) {
		db := storetest.SQLite(t)
		r := ring(t, db, k, nil)
		first, err := r.Sign(forTest, []byte("one"))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Rotate(t.Context()); err != nil {
			t.Fatal(err)
		}
		second, err := r.Sign(forTest, []byte("two"))
		if err != nil || second.Key == first.Key {
			t.Fatalf("key %s after %s, %v: want another one", second.Key, first.Key, err)
		}
		trust := exported(t, db, k)
		for digest, s := range map[string]seal.Signature{"one": first, "two": second} {
			if _, err := trust.Verify(forTest, []byte(digest), s); err != nil {
				t.Errorf("%s: %v", digest, err)
			}
		}
		revoke(t, db, first.Key)
		trust = exported(t, db, k)
		if _, err := trust.Verify(forTest, []byte("one"), first); problem.KindOf(err) != problem.Denied {
			t.Errorf("a revoked key passed: %v", err)
		}
		if _, err := trust.Verify(forTest, []byte("two"), second); err != nil {
			t.Errorf("the other key: %v", err)
		}
	})
}

func TestSigningGoesOnWhileKeysTurn(t *testing.T) {
	eachKeyring(t, func(t *testing.T, k seal.Keyring) {
		db := storetest.SQLite(t)
		r := ring(t, db, k, nil)
		ctx, cancel := context.WithCancel(t.Context())
		var made []seal.Signature
		var signers sync.WaitGroup
		signers.Go(func() {
			for ctx.Err() == nil {
				s, err := r.Sign(forTest, []byte("digest"))
				if err != nil {
					t.Error(err)
				}
				made = append(made, s)
			}
		})
		for range 5 {
			if err := r.Rotate(t.Context()); err != nil {
				t.Error(err)
			}
		}
		cancel()
		signers.Wait()
		trust := exported(t, db, k)
		bad := 0
		for _, s := range made[max(0, len(made)-2000):] {
			if _, err := trust.Verify(forTest, []byte("digest"), s); err != nil {
				bad++
			}
		}
		if bad > 0 || len(made) == 0 {
			t.Errorf("%d bad signatures of %d", bad, len(made))
		}
	})
}

// ring is node a's ring, without a safe unless one is given.
func ring(t *testing.T, db *store.DB, k seal.Keyring, safe *seal.Safe) *seal.Ring {
	t.Helper()
	r, err := seal.OpenRing(t.Context(), db, k, safe, nodeA, seal.RingConfig{}, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// exported is what a receiver trusts who has only the exported file.
func exported(t *testing.T, db *store.DB, k seal.Keyring) *seal.Trust {
	t.Helper()
	b, err := seal.ReadBundle(t.Context(), db, k)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	if b, err = seal.ParseBundle(text); err != nil {
		t.Fatal(err)
	}
	return b.Trust()
}

func revoke(t *testing.T, db *store.DB, id seal.KeyID) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := seal.Revoke(t.Context(), tx, id, "stolen")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
