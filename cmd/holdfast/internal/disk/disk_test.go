package disk_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"holdfast/cmd/holdfast/internal/disk"
)

// TestADiskIsFilledAndFreed keeps what was there before.
func TestADiskIsFilledAndFreed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "small")
	d, err := disk.Open(t.Context(), dir)
	if err != nil && os.Getenv("CI") == "" {
		t.Skipf("skipped for want of a small disk: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}()
	write := func(name string) error { return os.WriteFile(filepath.Join(dir, name), []byte("some bytes"), 0o600) }
	if err := write("before"); err != nil {
		t.Fatal(err)
	}
	if err := d.Fill(); err != nil {
		t.Fatal(err)
	}
	if err := write("meanwhile"); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("on a full disk: got %v, want ENOSPC", err)
	}
	if err := d.Free(); err != nil {
		t.Fatal(err)
	}
	if err := write("after"); err != nil {
		t.Errorf("on a disk that was freed: %v", err)
	}
	if got, err := os.ReadFile(filepath.Join(dir, "before")); err != nil || string(got) != "some bytes" {
		t.Errorf("what was there before is %q: %v", got, err)
	}
}
