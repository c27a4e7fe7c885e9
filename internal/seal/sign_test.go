package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"holdfast/internal/problem"
)

const forTest Purpose = "holdfast/test/1"

// TestKeyIDIsTheJWKThumbprint of RFC 8037, appendices A.1 to A.3.
func TestKeyIDIsTheJWKThumbprint(t *testing.T) {
	public, err := base64.RawURLEncoding.DecodeString("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := keyID(public), KeyID("kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// authorityOf is a CA, and a key of node that it has certified for an hour.
func authorityOf(t *testing.T, node string) (*Local, *nodeKey) {
	t.Helper()
	safe := NewSafe(t.TempDir(), "p", 10)
	if err := InitLocal(safe, "1000", time.Now()); err != nil {
		t.Fatal(err)
	}
	l := NewLocal(safe, node, time.Hour, time.Now)
	private, request, err := newRequest(node, "")
	if err != nil {
		t.Fatal(err)
	}
	chain, err := l.Certify(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return l, newNodeKey(private, chain, chain[0].NotBefore)
}

func certificate(node string, k *nodeKey) Certificate {
	return Certificate{Key: k.id, Node: node, Chain: k.chain}
}

func TestATamperedSignatureIsRefused(t *testing.T) {
	const node = "urn:p:node:a"
	l, k := authorityOf(t, node)
	_, stranger := authorityOf(t, node)
	_, other, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	roots, lists, err := l.Roots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	now, digest := time.Now(), []byte("digest")
	good := sign(k.private, k.id, forTest, now, digest)
	later := good
	later.At = good.At.Add(time.Minute)
	flipped := good
	flipped.Value[5] ^= 1
	renamed := good
	renamed.Key = stranger.id
	tests := []struct {
		name      string
		purpose   Purpose
		digest    []byte
		signature Signature
		archive   []Certificate
		want      problem.Kind
	}{
		{"as it was made", forTest, digest, good, []Certificate{certificate(node, k)}, ""},
		{"another content", forTest, []byte("Digest"), good, []Certificate{certificate(node, k)}, problem.Integrity},
		{"another use", "holdfast/receipt/1", digest, good, []Certificate{certificate(node, k)}, problem.Integrity},
		{"another time", forTest, digest, later, []Certificate{certificate(node, k)}, problem.Integrity},
		{"another signature", forTest, digest, flipped, []Certificate{certificate(node, k)}, problem.Integrity},
		{"no signature", forTest, digest, Signature{Key: k.id, At: now}, []Certificate{certificate(node, k)}, problem.Integrity},
		{"signed by another key under this one's name", forTest, digest, sign(other, k.id, forTest, now, digest), []Certificate{certificate(node, k)}, problem.Integrity},
		{"a key that nobody knows", forTest, digest, good, nil, problem.Denied},
		{"under the name of a key of another CA", forTest, digest, renamed, []Certificate{certificate(node, k), certificate(node, stranger)}, problem.Denied},
		{"by a key of another CA", forTest, digest, sign(stranger.private, stranger.id, forTest, now, digest), []Certificate{certificate(node, stranger)}, problem.Denied},
		{"by a key of another node", forTest, digest, good, []Certificate{certificate("urn:p:node:b", k)}, problem.Denied},
		{"under another key's certificate", forTest, digest, good, []Certificate{{Key: k.id, Node: node, Chain: stranger.chain}}, problem.Denied},
		{"without a certificate", forTest, digest, good, []Certificate{{Key: k.id, Node: node}}, problem.Denied},
		{"before the certificate began", forTest, digest, sign(k.private, k.id, forTest, now.Add(-time.Hour), digest), []Certificate{certificate(node, k)}, problem.Integrity},
		{"after the certificate ended", forTest, digest, sign(k.private, k.id, forTest, now.Add(2*time.Hour), digest), []Certificate{certificate(node, k)}, problem.Integrity},
		{"by a key that was revoked since", forTest, digest, good, []Certificate{{Key: k.id, Node: node, Chain: k.chain, Revoked: now.Add(time.Hour)}}, problem.Denied},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewTrust(roots, lists, tt.archive).Verify(tt.purpose, tt.digest, tt.signature)
			if got := problem.KindOf(err); got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestTheListOfTheCARevokesWhateverTheArchiveSays(t *testing.T) {
	const node = "urn:p:node:a"
	l, k := authorityOf(t, node)
	s := sign(k.private, k.id, forTest, time.Now(), []byte("digest"))
	stranger, _ := authorityOf(t, node)
	for range 2 {
		if err := l.Revoke(t.Context(), k.chain[0]); err != nil {
			t.Fatal(err)
		}
	}
	if err := stranger.Revoke(t.Context(), k.chain[0]); err != nil {
		t.Fatal(err)
	}
	roots, lists, err := l.Roots(t.Context())
	if err != nil || len(lists) != 1 || len(lists[0].RevokedCertificateEntries) != 1 {
		t.Fatalf("lists %v, %v, want one with one entry", lists, err)
	}
	_, foreign, err := stranger.Roots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name  string
		lists []*x509.RevocationList
		want  problem.Kind
	}{
		{"no list", nil, ""},
		{"the CA's", lists, problem.Denied},
		{"another CA's", foreign, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewTrust(roots, tt.lists, []Certificate{certificate(node, k)}).Verify(forTest, []byte("digest"), s)
			if got := problem.KindOf(err); got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func FuzzParseSignature(f *testing.F) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sign(key, keyID(key.Public().(ed25519.PublicKey)), forTest, time.Now(), []byte("digest")).Bytes())
	f.Add([]byte{1})
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := ParseSignature(b)
		if err == nil && !bytes.Equal(s.Bytes(), b) {
			t.Errorf("%x was read as %x", b, s.Bytes())
		}
	})
}

// TestAKeyThatNoRootVouchesForIsNotPublished: whoever can write to the archive publishes nothing by it.
func TestAKeyThatNoRootVouchesForIsNotPublished(t *testing.T) {
	l, ours := authorityOf(t, "urn:a")
	_, theirs := authorityOf(t, "urn:a")
	roots, lists, err := l.Roots(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	set, err := Bundle{Roots: roots, Lists: lists, Keys: []Archived{{Certificate: certificate("urn:a", theirs)}, {Certificate: certificate("urn:a", ours)}}}.JWKS()
	if err != nil || strings.Count(string(set), `"kid"`) != 1 || !strings.Contains(string(set), string(ours.id)) {
		t.Errorf("got %s, %v, want the key of our own CA alone", set, err)
	}
}

func FuzzParseBundle(f *testing.F) {
	f.Add([]byte(`{"format":"holdfast/keys/1","roots":[],"revocation_lists":[],"keys":[]}`))
	f.Add([]byte(`{"format":"holdfast/keys/1","keys":[{"kid":"a","x5c":[]}]}`))
	f.Fuzz(func(_ *testing.T, b []byte) {
		if bundle, err := ParseBundle(b); err == nil {
			bundle.Trust()
			_, _ = bundle.JWKS()
		}
	})
}

func BenchmarkSign(b *testing.B) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		b.Fatal(err)
	}
	id, digest := keyID(key.Public().(ed25519.PublicKey)), make([]byte, 32)
	b.Run("bare", func(b *testing.B) {
		for b.Loop() {
			ed25519.Sign(key, digest)
		}
	})
	b.Run("signature", func(b *testing.B) {
		for b.Loop() {
			sign(key, id, forTest, time.Now(), digest)
		}
	})
}
