package idoc

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/internal/problem"
)

// The folders below Receive.Folder.
const (
	done = "done"
	bad  = "bad"
)

// look is what was seen of a file.
type look struct {
	size  int64
	at    time.Time
	since time.Time // when it was first seen like this, by our own clock
}

// settled tells whether a file stands still long enough for what is in it to be whole.
func (l *Link) settled(text []byte, since time.Time) bool {
	return !isFlat(text) || !l.now().Before(since.Add(l.cfg.Receive.Settle))
}

// pickUp looks for files until ctx ends. A file is read once two looks in a row have seen it the same: SAP writes in place. A flat file that was cut off at
// the end of a line is a whole one to whoever reads it, so it must have stood still for Receive.Settle besides. A file is moved only
// once the inbox has what is in it, so that after a crash it is read again, and counts once.
func (l *Link) pickUp(ctx context.Context, accept Accept) error {
	seen := map[string]look{}
	trouble := false
	for ctx.Err() == nil {
		err := l.pickUpOnce(ctx, accept, seen)
		if err != nil && !trouble {
			l.log.WarnContext(ctx, "files of IDocs are not taken for now", "part", "idoc", "err", err)
		}
		trouble = err != nil
		wait := time.NewTimer(l.cfg.Receive.Every)
		select {
		case <-ctx.Done():
		case <-wait.C:
		}
		wait.Stop()
	}
	return nil
}

// pickUpOnce takes what has been seen the same before, in the order of the names, and stops where the inbox takes nothing for now.
func (l *Link) pickUpOnce(ctx context.Context, accept Accept, seen map[string]look) error {
	dir := l.cfg.Receive.Folder
	files, err := os.ReadDir(dir)
	if err != nil {
		return noFolder("receive.folder", err)
	}
	there := map[string]bool{}
	for _, f := range files {
		name := f.Name()
		if f.IsDir() || !f.Type().IsRegular() || strings.HasPrefix(name, ".") || strings.HasSuffix(name, ".tmp") || ctx.Err() != nil {
			continue
		}
		info, err := f.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // another node has taken it
		}
		if err != nil {
			return noFolder("receive.folder", err)
		}
		there[name] = true
		before, ok := seen[name]
		if !ok || before.size != info.Size() || !before.at.Equal(info.ModTime()) {
			seen[name] = look{info.Size(), info.ModTime(), l.now()}
			continue
		}
		if err := l.pickUpFile(ctx, accept, name, before.since); err != nil {
			return err
		}
	}
	for name := range seen {
		if !there[name] {
			delete(seen, name)
		}
	}
	return nil
}

// pickUpFile takes one file. What is wrong with it puts it aside; trouble of the inbox or the disk leaves it where it is.
func (l *Link) pickUpFile(ctx context.Context, accept Accept, name string, since time.Time) error {
	path := filepath.Join(l.cfg.Receive.Folder, name)
	text, err := readBounded(path, l.cfg.Receive.MaxBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return noFolder("receive.folder", err)
	}
	if !l.settled(text, since) {
		return nil
	}
	batch, err := l.Incoming(text)
	if err == nil {
		err = accept(ctx, batch)
	}
	switch kind := problem.KindOf(err); {
	case err == nil:
		return l.aside(name, done, "")
	case kind == problem.Invalid, kind == problem.Denied, kind == problem.Integrity, kind == problem.Conflict, kind == problem.Duplicate, kind == problem.TooLarge:
		l.log.WarnContext(ctx, "a file of IDocs was put aside", "part", "idoc", "file", name, "err", err)
		return l.aside(name, bad, err.Error())
	}
	return err
}

// readBounded reads a file up to one byte more than it may have.
func readBounded(path string, most int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	return text, errors.Join(err, f.Close())
}

// aside moves a file into a folder below, under a name that is free there, with a reason beside it.
func (l *Link) aside(name, folder, reason string) error {
	dir := filepath.Join(l.cfg.Receive.Folder, folder)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return noFolder("receive.folder", err)
	}
	to := filepath.Join(dir, name)
	for i := 2; ; i++ {
		if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			break
		}
		to = filepath.Join(dir, fmt.Sprintf("%s.%d", name, i))
	}
	if reason != "" {
		if err := writeFile(to+".why", []byte(reason+"\n")); err != nil {
			return noFolder("receive.folder", err)
		}
	}
	err := os.Rename(filepath.Join(l.cfg.Receive.Folder, name), to)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another node has moved it
	}
	if err != nil {
		return noFolder("receive.folder", err)
	}
	return errors.Join(syncFolder(dir), syncFolder(l.cfg.Receive.Folder))
}
