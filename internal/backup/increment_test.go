package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// anchor is Vault's, which no node holds.
type anchor struct{ signer }

func (a *anchor) line(p seal.Purpose, digest []byte) string {
	s, err := a.Sign(p, digest)
	if err != nil {
		return ""
	}
	return hex.EncodeToString(s.Value[:])
}

func (a *anchor) Verify(p seal.Purpose, digest []byte, line string) error {
	if line != a.line(p, digest) {
		return &problem.Error{Kind: problem.Integrity, What: "verify the anchor's signature"}
	}
	return nil
}

// sign is Options.Anchor.
func (a *anchor) sign(p seal.Purpose) func(ctx context.Context, digest []byte) string {
	return func(_ context.Context, digest []byte) string { return a.line(p, digest) }
}

// alter writes another line before the body of an increment, signed by the node's key.
func (s *site) alter(file string, change func(inc map[string]any)) {
	s.t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		s.t.Fatal(err)
	}
	line, body, _ := bytes.Cut(b, []byte("\n"))
	var sealed backup.Sealed
	var inc map[string]any
	if err := json.Unmarshal(line, &sealed); err != nil {
		s.t.Fatal(err)
	}
	if err := json.Unmarshal(sealed.Manifest, &inc); err != nil {
		s.t.Fatal(err)
	}
	change(inc)
	if sealed.Manifest, err = json.Marshal(inc); err != nil {
		s.t.Fatal(err)
	}
	digest := sha256.Sum256(sealed.Manifest)
	signature, err := s.signer.Sign(backup.ForIncrement, digest[:])
	if err != nil {
		s.t.Fatal(err)
	}
	sealed.Signature = hex.EncodeToString(signature.Bytes())
	if line, err = json.Marshal(sealed); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, append(append(line, '\n'), body...), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// TestWhatAnIncrementTellsIsHeldAgainstWhatIsRestored: rows of each table and the audit record, as of a copy.
func TestWhatAnIncrementTellsIsHeldAgainstWhatIsRestored(t *testing.T) {
	each(t, func(t *testing.T, s *site) {
		s.owe("o1", 3)
		l := s.follow(t.TempDir())
		s.owe("o1", 2)
		s.ship(l)
		id, _ := l.Base()
		file := filepath.Join(string(s.far), id+".000001.inc")
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if proof, err := backup.Verify(t.Context(), s.far, "", s.trial(s.own)); err != nil || proof.Increments != 1 {
			t.Fatalf("%+v, %v, want one increment", proof, err)
		}
		if all, err := backup.List(t.Context(), s.far, s.signer); err != nil || len(all) != 1 || all[0].Owed == nil || *all[0].Owed != 5 || all[0].State.Owed != 3 {
			t.Errorf("%+v, %v, want 3 owed by the copy, and 5 with its increment", all, err)
		}
		for name, tt := range map[string]struct {
			change func(inc map[string]any)
			want   string
		}{
			"rows":    {func(inc map[string]any) { inc["tables"].(map[string]any)["outbox_messages"] = 6 }, "table outbox_messages has 5 rows, 6 were copied"},
			"a table": {func(inc map[string]any) { delete(inc["tables"].(map[string]any), "outbox_messages") }, "tables, "},
			"entries": {func(inc map[string]any) { inc["audit_entries"] = 1 << 40 }, "the audit record has "},
			"owed":    {func(inc map[string]any) { inc["owed"] = 4 }, "5 messages are owed, and 4 were"},
			"root":    {func(inc map[string]any) { inc["audit_root"] = strings.Repeat("1", 64) }, "the audit record has "},
		} {
			s.alter(file, tt.change)
			if _, err := backup.Verify(t.Context(), s.far, "", s.trial(s.own)); problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: got %v, want %q", name, err, tt.want)
			}
			if err := os.WriteFile(file, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestTheAnchorBindsIncrements: who has the node's key can write others into a place, and not with the anchor's signature. What it has not signed is taken by
// number alone.
func TestTheAnchorBindsIncrements(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	a := &anchor{signer{newKey(t)}}
	s.owe("o1", 3)
	s.opt.Anchor = a.sign(backup.ForManifest)
	l := s.follow(t.TempDir())
	s.opt.Anchor = a.sign(backup.ForIncrement)
	for range 2 {
		s.owe("o1", 1)
		s.ship(l)
	}
	verify := func(n int64) (backup.Proof, error) {
		tr := s.trial(s.own)
		tr.Anchor, tr.MustAnchor = a, true
		if n >= 0 {
			tr.Increments = &n
		}
		return backup.Verify(t.Context(), s.far, "", tr)
	}
	if proof, err := verify(-1); err != nil || proof.Increments != 2 {
		t.Fatalf("%+v, %v, want two increments", proof, err)
	}
	s.opt.Anchor = nil // it is away
	s.owe("o1", 1)
	s.ship(l)
	if _, err := verify(-1); problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "none after number 2") {
		t.Errorf("got %v, want a refusal of what follows number 2", err)
	}
	if proof, err := verify(2); err != nil || proof.Increments != 2 {
		t.Errorf("%+v, %v, want two increments", proof, err)
	}
	s.opt.Anchor = a.sign(backup.ForIncrement) // and back: it vouches for what is before
	s.owe("o1", 1)
	s.ship(l)
	if proof, err := verify(-1); err != nil || proof.Increments != 4 {
		t.Errorf("%+v, %v, want four increments", proof, err)
	}
	id, _ := l.Base()
	s.alter(filepath.Join(string(s.far), id+".000004.inc"), func(inc map[string]any) { inc["made"] = time.Now().Add(-time.Hour) })
	if _, err := backup.Verify(t.Context(), s.far, "", s.trial(s.own)); err != nil {
		t.Errorf("got %v, want that the node's key alone is believed where nobody asks for the anchor", err)
	}
	if _, err := verify(-1); problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), id+".000004.inc") {
		t.Errorf("got %v, want a refusal of number 4", err)
	}
}

// TestWhatWasRemovedFromTheEndIsMissed by whoever knows how far a copy reached. The proof of what is there stays.
func TestWhatWasRemovedFromTheEndIsMissed(t *testing.T) {
	t.Parallel()
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.owe("o1", 1)
	l := s.follow(t.TempDir())
	s.owe("o1", 1)
	s.ship(l)
	s.owe("o1", 1)
	through, err := l.Ship(t.Context(), s.src, s.opt)
	if err != nil {
		t.Fatal(err)
	}
	id, _ := l.Base()
	if err := os.Remove(filepath.Join(string(s.far), id+".000002.inc")); err != nil {
		t.Fatal(err)
	}
	tr := s.trial(s.own)
	tr.Reaches = through
	if _, err := backup.Verify(t.Context(), s.near, "", tr); err != nil {
		t.Errorf("got %v, want that the place which has all is taken", err)
	}
	if _, err := backup.Verify(t.Context(), s.far, "", tr); problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "must reach "+through.UTC().Format(time.RFC3339)) {
		t.Errorf("got %v, want a refusal that says how far it must reach", err)
	}
	folder := filepath.Join(t.TempDir(), "new")
	if _, err := backup.Restore(t.Context(), s.far, "", folder, "", tr); problem.KindOf(err) != problem.Conflict {
		t.Errorf("got %v, want a refusal", err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) > 0 {
		t.Errorf("there is %v, %v, want nothing", left, err)
	}
}
