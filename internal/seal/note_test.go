package seal_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/seal/vaulttest"
	"holdfast/internal/store/storetest"
)

const (
	noteName = string(seal.ForCheckpoint) + plantURI
	noteText = noteName + "\n3\nAAAA\n"
)

// parts are the name, the hash and the signature of a line under a note.
func parts(t *testing.T, line string) (name string, hash uint32, signature []byte) {
	t.Helper()
	name, encoded, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(line, "— "), "\n"), " ")
	b, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(b) != 4+64 {
		t.Fatalf("line %q: %v", line, err)
	}
	return name, binary.BigEndian.Uint32(b), b[4:]
}

func TestACheckpointIsSignedByANodeForNothingElse(t *testing.T) {
	eachKeyring(t, func(t *testing.T, k seal.Keyring) {
		db := storetest.SQLite(t)
		r := ring(t, db, k, nil)
		line, err := r.SignCheckpoint(noteName, noteText)
		if err != nil {
			t.Fatal(err)
		}
		trust, err := r.Trust(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		name, hash, signature := parts(t, line)
		verify := func(name, text string, at time.Time) (string, problem.Kind) {
			who, err := trust.Notes(noteName, nil).Verify(name, hash, []byte(text), signature, at)
			return who, problem.KindOf(err)
		}
		tests := []struct {
			name, as, text string
			at             time.Time
			who            string
			want           problem.Kind
		}{
			{"as it was signed", name, noteText, time.Now(), nodeA, ""},
			{"another text", name, noteText + "x\n", time.Now(), "", problem.Integrity},
			{"another name", name + "x", noteText, time.Now(), "", problem.NotFound},
			{"before the certificate", name, noteText, time.Now().Add(-time.Hour), "", problem.Integrity},
			{"after it", name, noteText, time.Now().Add(8 * 24 * time.Hour), "", problem.Integrity},
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if who, kind := verify(tt.as, tt.text, tt.at); who != tt.who || kind != tt.want {
					t.Errorf("got %q, %q, want %q, %q", who, kind, tt.who, tt.want)
				}
			})
		}
		for _, text := range []string{"", "x\n", "DSSEv1 5 hello", noteText[:len(noteText)-1]} {
			if _, err := r.SignCheckpoint(noteName, text); problem.KindOf(err) != problem.Internal {
				t.Errorf("%q: got %v, want that it is no checkpoint", text, err)
			}
		}
	})
}

// TestTheAnchorIsNoNodes: a node may have the anchor sign, and nothing else; what it signed stays good when Vault's administrator rotates it.
func TestTheAnchorIsNoNodes(t *testing.T) {
	v, s := vault(t, t.TempDir())
	r := ring(t, storetest.SQLite(t), v, nil)
	line, err := v.AnchorCheckpoint(t.Context(), noteName, noteText)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Admin(t).Logical().Write("holdfast-transit/keys/anchor/rotate", nil); err != nil {
		t.Fatal(err)
	}
	later, err := v.AnchorCheckpoint(t.Context(), noteName, noteText)
	if err != nil || later == line {
		t.Errorf("after a rotation: %q, %v", later, err)
	}
	anchors, err := v.Anchors(t.Context())
	if err != nil || len(anchors) != 2 {
		t.Fatalf("got %d keys, %v, want two versions", len(anchors), err)
	}
	trust, err := r.Trust(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []string{line, later} {
		name, hash, signature := parts(t, l)
		if name != seal.AnchorName(noteName) {
			t.Errorf("signed as %q", name)
		}
		if who, err := trust.Notes(noteName, anchors).Verify(name, hash, []byte(noteText), signature, time.Now()); who != "anchor" || err != nil {
			t.Errorf("got %q, %v", who, err)
		}
		if _, err := trust.Notes(noteName, anchors).Verify(name, hash, []byte("x"), signature, time.Now()); problem.KindOf(err) != problem.Integrity {
			t.Errorf("another text: %v", err)
		}
		if _, err := trust.Notes(noteName, nil).Verify(name, hash, []byte(noteText), signature, time.Now()); problem.KindOf(err) != problem.NotFound {
			t.Errorf("without its key: %v", err)
		}
	}
	if key, err := seal.ParseNoteKey(seal.AnchorName(noteName), seal.NoteKey(seal.AnchorName(noteName), anchors[0])); err != nil || !key.Equal(anchors[0]) {
		t.Errorf("a key that is told is read as %v, %v", key, err)
	}
	if _, err := seal.ParseNoteKey(noteName, seal.NoteKey("another", anchors[0])); problem.KindOf(err) != problem.Invalid {
		t.Errorf("a key of another name: %v", err)
	}
	_, err = v.AnchorCheckpoint(t.Context(), noteName, "something else")
	if problem.KindOf(err) != problem.Internal {
		t.Errorf("something else: %v", err)
	}
	anchorsDigest(t, v, anchors, later)
}

// anchorsDigest: what the anchor signs beside checkpoints counts for its purpose, digest and name alone; checkpoint is a line of its own.
func anchorsDigest(t *testing.T, v *seal.Vault, keys []ed25519.PublicKey, checkpoint string) {
	t.Helper()
	const purpose seal.Purpose = "holdfast/test/1"
	digest := sha256.Sum256([]byte("manifest"))
	line, err := v.AnchorDigest(t.Context(), noteName, purpose, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	by := seal.NewAnchor(noteName, keys)
	if err := by.Verify(purpose, digest[:], line); err != nil {
		t.Error(err)
	}
	other, flipped := sha256.Sum256([]byte("another")), strings.Replace(line, line[len(line)-9:len(line)-5], "AAAA", 1)
	for name, tt := range map[string]struct {
		by      *seal.Anchor
		purpose seal.Purpose
		digest  []byte
		line    string
		want    problem.Kind
	}{
		"another purpose":   {by, "holdfast/test/2", digest[:], line, problem.Integrity},
		"another digest":    {by, purpose, other[:], line, problem.Integrity},
		"an altered line":   {by, purpose, digest[:], flipped, problem.Integrity},
		"a checkpoint's":    {by, purpose, digest[:], checkpoint, problem.Integrity},
		"another plant's":   {seal.NewAnchor("another", keys), purpose, digest[:], line, problem.Integrity},
		"a key not known":   {seal.NewAnchor(noteName, nil), purpose, digest[:], line, problem.NotFound},
		"no line of a note": {by, purpose, digest[:], "x", problem.Integrity},
	} {
		if err := tt.by.Verify(tt.purpose, tt.digest, tt.line); problem.KindOf(err) != tt.want {
			t.Errorf("%s: got %v, want a problem of kind %s", name, err, tt.want)
		}
	}
}

// TestAnAnchorThatWasMadeAnewIsLookedAtAgain: its versions count from one again, and what is remembered of the old ones serves nobody.
func TestAnAnchorThatWasMadeAnewIsLookedAtAgain(t *testing.T) {
	v, s := vault(t, t.TempDir())
	if _, err := v.AnchorCheckpoint(t.Context(), noteName, noteText); err != nil {
		t.Fatal(err)
	}
	admin := s.Admin(t).Logical()
	const key = "holdfast-transit/keys/anchor"
	if _, err := admin.Write(key+"/config", map[string]any{"deletion_allowed": true}); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Delete(key); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Write(key, map[string]any{"type": "ed25519"}); err != nil {
		t.Fatal(err)
	}
	line, err := v.AnchorCheckpoint(t.Context(), noteName, noteText)
	if err != nil {
		t.Fatal(err)
	}
	anchors, err := v.Anchors(t.Context())
	if err != nil || len(anchors) != 1 {
		t.Fatalf("got %d keys, %v, want the new one alone", len(anchors), err)
	}
	name, hash, signature := parts(t, line)
	if who, err := (seal.Bundle{}).Trust().Notes(noteName, anchors).Verify(name, hash, []byte(noteText), signature, time.Now()); who != "anchor" || err != nil {
		t.Errorf("got %q, %v", who, err)
	}
}

// TestAnAnswerThatIsNotTheAnchorsSignatureIsNotUsed has somebody between node and Vault who answers with the signature of something else.
func TestAnAnswerThatIsNotTheAnchorsSignatureIsNotUsed(t *testing.T) {
	s := vaulttest.Start(t)
	s.Setup(t, nil, "plant", "1000")
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(s.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	var signed atomic.Int64
	between := proxied(t, s, func(r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/sign/anchor") {
			signed.Add(1)
			text := []byte(`{"input":"` + base64.StdEncoding.EncodeToString([]byte("something else")) + `"}`)
			r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
		}
	})
	v, err := seal.NewVault(seal.VaultConfig{Address: between.URL, CA: certificateOf(t, between), Role: "a", TokenFile: token}, nil, nodeA, quiet())
	if err != nil {
		t.Fatal(err)
	}
	if line, err := v.AnchorCheckpoint(t.Context(), noteName, noteText); line != "" || problem.KindOf(err) != problem.Integrity {
		t.Errorf("got %q, %v, want that it is not over this text", line, err)
	}
	if n := signed.Load(); n != 1 {
		t.Errorf("Vault was asked %d times, want once", n)
	}
}

// proxied is what stands between a node and Vault, and may change what the node asks.
func proxied(t *testing.T, s *vaulttest.Server, change func(r *http.Request)) *httptest.Server {
	t.Helper()
	to, err := url.Parse(s.Address)
	if err != nil {
		t.Fatal(err)
	}
	ca, err := os.ReadFile(s.CA)
	roots := x509.NewCertPool()
	if err != nil || !roots.AppendCertsFromPEM(ca) {
		t.Fatal(err)
	}
	p := &httputil.ReverseProxy{
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to); change(r.Out) },
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}},
	}
	srv := httptest.NewTLSServer(p)
	t.Cleanup(srv.Close)
	return srv
}

// certificateOf is a file with the certificate that vouches for a server of a test.
func certificateOf(t *testing.T, srv *httptest.Server) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: srv.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// through is a keyring at a Vault that it reaches by way of change, with the administrator's token.
func through(t *testing.T, s *vaulttest.Server, change func(r *http.Request)) *seal.Vault {
	t.Helper()
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(s.Token), 0o600); err != nil {
		t.Fatal(err)
	}
	between := proxied(t, s, change)
	v, err := seal.NewVault(seal.VaultConfig{Address: between.URL, CA: certificateOf(t, between), Role: "a", TokenFile: token}, nil, nodeA, quiet())
	if err != nil {
		t.Fatal(err)
	}
	return v
}
