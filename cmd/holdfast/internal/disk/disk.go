// Package disk is a small disk that may be filled without harm: a file system in memory, mounted in a folder. That takes root on Linux.
package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Disk is one mounted file system.
type Disk struct{ dir string }

// size is enough for the databases of both ends of a passage through 50 restarts of its broker.
const size = "1g"

// Open mounts a new disk in a folder, which is made if it is not there.
func Open(ctx context.Context, dir string) (*Disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make %s: %w", dir, err)
	}
	out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size="+size+",mode=0700", "tmpfs", dir).CombinedOutput() //nolint:gosec // our own folder
	if err != nil {
		return nil, fmt.Errorf("mount a small disk: %w: %s", err, strings.TrimSpace(string(out)))
	}
	return &Disk{dir}, nil
}

// Close unmounts the disk, and what it holds is gone.
func (d *Disk) Close() error {
	out, err := exec.CommandContext(context.Background(), "umount", "-l", d.dir).CombinedOutput() //nolint:gosec // our own folder
	if err != nil {
		return fmt.Errorf("unmount %s: %w: %s", d.dir, err, out)
	}
	return nil
}

func (d *Disk) filler() string { return filepath.Join(d.dir, "filler") }

// Fill takes every free byte, until Free.
func (d *Disk) Fill() error {
	f, err := os.Create(d.filler())
	if errors.Is(err, syscall.ENOSPC) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	chunk := make([]byte, 64<<10)
	for len(chunk) > 0 {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("fill the disk: %w", err)
	}
	return nil
}

// Free gives back what Fill took.
func (d *Disk) Free() error {
	if err := os.Remove(d.filler()); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the disk: %w", err)
	}
	return nil
}
