package backup

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// lockFile lies in every folder for work, locked by the process that works there. It goes with the process, however that ends.
const lockFile = ".lock"

// workFolder makes a folder to work in, and removes those whose process was killed. leave removes it.
func workFolder(in, prefix string) (folder string, leave func() error, err error) {
	in = cmp.Or(in, os.TempDir())
	if err := sweep(in, prefix); err != nil {
		return "", nil, err
	}
	if folder, err = os.MkdirTemp(in, prefix); err != nil {
		return "", nil, fmt.Errorf("make a folder to work in: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(folder, lockFile), os.O_CREATE|os.O_WRONLY, 0o600)
	if err == nil {
		err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	}
	if err != nil {
		return "", nil, fmt.Errorf("lock a folder to work in: %w", errors.Join(err, os.RemoveAll(folder)))
	}
	return folder, func() error { return errors.Join(os.RemoveAll(folder), lock.Close()) }, nil
}

// unlocked is how long a folder may be there before its lock must be held.
const unlocked = time.Minute

// sweep removes the folders that nobody works in any more.
func sweep(in, prefix string) error {
	entries, err := os.ReadDir(filepath.Clean(in))
	if err != nil {
		return fmt.Errorf("look what was left in %s: %w", in, err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || !e.IsDir() || !strings.HasPrefix(e.Name(), prefix) || time.Since(info.ModTime()) < unlocked {
			continue
		}
		lock, err := os.OpenFile(filepath.Join(in, e.Name(), lockFile), os.O_WRONLY, 0)
		if err != nil {
			continue // it is none of ours
		}
		if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
			err = os.RemoveAll(filepath.Join(in, e.Name()))
		}
		if err = errors.Join(err, lock.Close()); err != nil {
			return fmt.Errorf("remove what was left in %s: %w", in, err)
		}
	}
	return nil
}
