package main

import (
	"os"
	"path/filepath"
	"testing"

	"holdfast/internal/backup"
)

// TestAKeyInASafeStaysTheKey: who has taken the private half away keeps the copies readable; what was begun is ended.
func TestAKeyInASafeStaysTheKey(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{file: filepath.Join(dir, "holdfast.yaml"), Backup: &BackupConfig{}}
	read := func(name string) string {
		t.Helper()
		text, err := os.ReadFile(filepath.Join(dir, backupKeys, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	remake := func(without string) {
		t.Helper()
		if without != "" {
			if err := os.Remove(filepath.Join(dir, backupKeys, without)); err != nil {
				t.Fatal(err)
			}
		}
		if err := cfg.makeBackupKeys(); err != nil {
			t.Fatal(err)
		}
	}
	remake("")
	site, recovery := read("site.pub"), read("recovery.pub")
	remake("recovery.key")
	if got := read("recovery.pub"); got != recovery {
		t.Errorf("the recovery key is %q now, want %q", got, recovery)
	}
	if _, err := os.Stat(filepath.Join(dir, backupKeys, "recovery.key")); err == nil {
		t.Error("another recovery key was made")
	}
	remake("site.pub")
	if got := read("site.pub"); got != site {
		t.Errorf("the site's key is %q now, want %q", got, site)
	}
	if _, err := backup.Recipients([]backup.Listed{{Text: site}, {Text: site}}); err == nil {
		t.Error("one key twice counts as two")
	}
	if got, err := backup.Recipients([]backup.Listed{{Text: site}, {Text: recovery}}); err != nil || len(got) != 2 {
		t.Errorf("got %d recipients, %v, want 2", len(got), err)
	}
}
