package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/problem"
)

// TestACopyIsReadableAfterTheWrappingKeyWasRotated: the seeds are wrapped anew in the database, and the new key is in ca.age alone. With the increments the copy has both;
// one that lacks the key is not proven.
func TestACopyIsReadableAfterTheWrappingKeyWasRotated(t *testing.T) {
	t.Parallel()
	p := newPlantWithCopies(t)
	reportOn(t, p, 1, "4711")
	s, err := p.backups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Make(t.Context(), s.Places); err != nil {
		t.Fatal(err)
	}
	config := p.cfg.file
	command := func(args ...string) (said string, status int) {
		var out bytes.Buffer
		status = run(t.Context(), append(args, "--config", config), &out, &out)
		return out.String(), status
	}
	ca := filepath.Join(p.cfg.Keys.Folder, "ca.age")
	was, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	if said, status := command("keys", "rewrap", "--new-key", "--reason", "an administrator has left"); status != 0 || strings.Contains(said, " 0 wrapped anew") {
		t.Fatalf("rewrap ended with %d: %s", status, said)
	}
	if _, err := s.Shipped(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Prove(t.Context(), s.Places[0]); err != nil {
		t.Fatal(err)
	}
	restored := filepath.Join(t.TempDir(), "new")
	if said, status := command("backup", "restore", restored); status != 0 {
		t.Fatalf("restore ended with %d: %s", status, said)
	}
	config = filepath.Join(restored, "holdfast.yaml")
	if said, status := command("msg", "prove", "--all"); status != 0 {
		t.Errorf("what was restored is not whole: %s", said)
	}
	is, err := os.ReadFile(ca)
	if err == nil {
		err = os.WriteFile(ca, was, 0o600) // the copy has the key of then, as those of releases before
	}
	if err == nil {
		err = s.Make(t.Context(), s.Places)
	}
	if err == nil {
		err = os.WriteFile(ca, is, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prove(t.Context(), s.Places[0]); problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "keyring that was copied with it") {
		t.Errorf("a copy that nobody can read is proven: %v", err)
	}
	config = p.cfg.file
	if said, status := command("backup", "restore", filepath.Join(t.TempDir(), "shut"), "--from", filepath.Join(filepath.Dir(config), "backups"), "--identity", filepath.Join(filepath.Dir(config), "backup-keys", "site.key")); status == 0 || !strings.Contains(said, "keyring that was copied with it") {
		t.Errorf("restore ended with %d: %s", status, said)
	}
}
