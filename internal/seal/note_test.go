package seal_test

import (
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
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
}
