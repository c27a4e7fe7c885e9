package seal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"time"
)

// FuzzVaultPEM reads what Vault, or whoever stands before it, answers for certificates: what comes of it is what stands in it, in its order.
func FuzzVaultPEM(f *testing.F) {
	safe := NewSafe(f.TempDir(), "correct horse", 10)
	if err := InitLocal(safe, "1000", time.Unix(1795500000, 0)); err != nil {
		f.Fatal(err)
	}
	ca, err := (&Local{safe: safe, now: time.Now}).reopen(0)
	if err != nil {
		f.Fatal(err)
	}
	one := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.root.Raw}))
	for _, text := range []string{one, one + one, "x" + one[:len(one)/2], "-----BEGIN X-----\n-----END X-----\n", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := certificates(text)
		if err != nil {
			return
		}
		rest := []byte(text)
		for _, c := range all {
			var b *pem.Block
			if b, rest = pem.Decode(rest); b == nil || !bytes.Equal(b.Bytes, c.Raw) {
				t.Fatalf("%q gives a certificate that is not there", text)
			}
		}
		if b, _ := pem.Decode(rest); b != nil {
			t.Errorf("of %q a certificate is left over", text)
		}
	})
}

// FuzzRevocations reads what Vault, or whoever stands before it, answers for the list of revoked keys: it is the one list that stands in it, or it is refused.
// Only an answer without a word is no list.
func FuzzRevocations(f *testing.F) {
	safe := NewSafe(f.TempDir(), "correct horse", 10)
	if err := InitLocal(safe, "1000", time.Unix(1795500000, 0)); err != nil {
		f.Fatal(err)
	}
	ca, err := (&Local{safe: safe, now: time.Now}).reopen(0)
	if err != nil {
		f.Fatal(err)
	}
	list, err := x509.CreateRevocationList(rand.Reader, &x509.RevocationList{Number: big.NewInt(1)}, ca.root, ca.key)
	if err != nil {
		f.Fatal(err)
	}
	one := string(pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: list}))
	for _, text := range []string{one, one + one, "x\n" + one, one[:len(one)/2], strings.Replace(one, "X509 CRL", "CERTIFICATE", 2), "null", " \n", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := revocations(text)
		if (err == nil && len(got) == 0) != (strings.TrimSpace(text) == "") {
			t.Fatalf("%q is %d lists (%v)", text, len(got), err)
		}
		if err != nil || len(got) == 0 {
			return
		}
		if b, _ := pem.Decode([]byte(text)); len(got) != 1 || !bytes.Equal(b.Bytes, got[0].Raw) {
			t.Errorf("%q gives a list that is not there", text)
		}
	})
}

// FuzzNoteKey: a line with a key is what NoteKey writes of it, or none; and no line under a note is the anchor's word that it has not signed.
func FuzzNoteKey(f *testing.F) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	public, digest := key.Public().(ed25519.PublicKey), bytes.Repeat([]byte{1}, 32)
	f.Add(NoteKey("o", public))
	f.Add(strings.TrimSpace(noteLine(AnchorName("o"), public, make([]byte, ed25519.SignatureSize))))
	f.Add(strings.TrimSpace(noteLine(AnchorName("o"), public, ed25519.Sign(key, []byte(anchoredText(ForCheckpoint, digest))))))
	f.Add("o+00000000+AQ==")
	f.Fuzz(func(t *testing.T, text string) {
		if k, err := ParseNoteKey("o", text); err == nil && NoteKey("o", k) != text {
			t.Errorf("%q is read as %x", text, k)
		}
		if err := NewAnchor("o", []ed25519.PublicKey{public}).Verify("another purpose", digest, text); err == nil {
			t.Errorf("%q passes as the anchor's", text)
		}
	})
}
