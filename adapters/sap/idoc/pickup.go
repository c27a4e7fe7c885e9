package idoc

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
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

// disk is what is done with files that are picked up, and can fail.
type disk struct {
	open   func(path string) (*os.File, error)
	rename func(from, to string) error
}

// look is what was seen of a file.
type look struct {
	size  int64
	at    time.Time
	since time.Time // when it was first seen like this, by our own clock
}

// same tells whether a file is, by its size and time, as it was seen.
func (s look) same(f fs.FileInfo) bool { return s.size == f.Size() && s.at.Equal(f.ModTime()) }

// settled tells whether a file stands still long enough for what is in it to be all that it will have.
func (l *Link) settled(since time.Time) bool {
	return !l.now().Before(since.Add(l.cfg.Receive.Settle))
}

// pickUp looks for files until ctx ends. A file is read once two looks in a row have seen it the same: SAP writes in place. A flat file that was cut off at
// the end of a line is a whole one to whoever reads it, so it must have stood still for Receive.Settle besides, as must one that cannot be read, before
// it is called bad: it may be empty or half. A file is moved only once the inbox has what is in it, so that after a crash it is read again, and counts once.
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

// stuck is the trouble of one file that cannot be moved. It holds up no other.
type stuck struct{ error }

// Unwrap is what the disk says.
func (s stuck) Unwrap() error { return s.error }

// pickUpOnce takes what has been seen the same before, in the order of the names, and stops where the inbox takes nothing for now.
func (l *Link) pickUpOnce(ctx context.Context, accept Accept, seen map[string]look) (trouble error) {
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
		if !ok || !before.same(info) {
			seen[name] = look{info.Size(), info.ModTime(), l.now()}
			continue
		}
		err = l.pickUpFile(ctx, accept, name, before)
		if _, one := errors.AsType[stuck](err); err != nil && !one {
			return err
		}
		trouble = cmp.Or(trouble, err)
	}
	for name := range seen {
		if !there[name] {
			delete(seen, name)
		}
	}
	return trouble
}

// pickUpFile takes one file. What is wrong with it puts it aside, also that this user or the disk does not let it be read; trouble of the inbox leaves it
// where it is, and so does what is written to it meanwhile.
func (l *Link) pickUpFile(ctx context.Context, accept Accept, name string, seen look) error {
	path := filepath.Join(l.cfg.Receive.Folder, name)
	text, info, err := l.readBounded(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil && !l.settled(seen.since) {
		return nil // whoever writes it may not have given leave to read it yet
	}
	if err != nil {
		if all := tryFolder("receive.folder", l.cfg.Receive.Folder); all != nil {
			return all // it is no matter of this file
		}
		return l.putAside(ctx, name, seen, nil, err)
	}
	if !seen.same(info) || isFlat(text) && !l.settled(seen.since) {
		return nil
	}
	batch, err := l.Incoming(text)
	if err != nil && !l.settled(seen.since) {
		return nil
	}
	if err == nil {
		err = accept(ctx, batch)
	}
	switch kind := problem.KindOf(err); {
	case err == nil:
		return l.aside(name, seen, text, done, "")
	case kind == problem.Invalid, kind == problem.Denied, kind == problem.Integrity, kind == problem.Conflict, kind == problem.Duplicate, kind == problem.TooLarge:
		return l.putAside(ctx, name, seen, text, err)
	}
	return err
}

// asideEvery is how often it is told that files are put aside; the log has each.
const asideEvery = time.Hour

// putAside moves a file away that a person must look at, and has somebody told.
func (l *Link) putAside(ctx context.Context, name string, seen look, text []byte, why error) error {
	err := l.aside(name, seen, text, bad, why.Error())
	if err == nil {
		l.log.WarnContext(ctx, "a file of IDocs was put aside", "part", "idoc", "file", name, "err", why)
	}
	if now := l.now(); l.whenAside != nil && (l.asideTold.IsZero() || now.Sub(l.asideTold) >= asideEvery) {
		l.asideTold = now
		l.whenAside(&problem.Error{
			Kind: problem.Invalid, What: "file of IDocs " + name, Why: "it cannot be taken: " + cmp.Or(err, why).Error(), Cause: why,
			Hint: "look into " + filepath.Join(l.cfg.Receive.Folder, bad) + ", where a file .why beside each has the reason; correct what is wrong, and move the file back",
		})
	}
	return err
}

// readBounded reads a file up to one byte more than it may have, and tells what it was like afterwards.
func (l *Link) readBounded(path string) (text []byte, info fs.FileInfo, err error) {
	f, err := l.disk.open(path)
	if err != nil {
		return nil, nil, err
	}
	text, err = io.ReadAll(io.LimitReader(f, l.cfg.Receive.MaxBytes+1))
	if err == nil {
		info, err = f.Stat()
	}
	return text, info, errors.Join(err, f.Close())
}

// claim takes a file that was read away from those who write to its name, under a name of our own, which is "" if there is nothing to be moved: it is gone,
// or is not what was read. By that name it is read again like any other file, whoever stops now: what was written to it at the last moment, too. A text of
// nil is that of a file that could not be read: it is not moved if it can be by now.
func (l *Link) claim(name string, seen look, text []byte) (string, error) {
	path := filepath.Join(l.cfg.Receive.Folder, name)
	info, err := os.Lstat(path)
	if err == nil && !seen.same(info) {
		return "", nil
	}
	own := path + "." + strings.ToLower(rand.Text()[:8])
	if err == nil {
		err = l.disk.rename(path, own)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil // another node has moved it
	}
	if err != nil {
		return "", err
	}
	is, _, err := l.readBounded(own)
	if text == nil && err != nil && !errors.Is(err, fs.ErrNotExist) {
		return own, nil
	}
	if errors.Is(err, fs.ErrNotExist) || err == nil && (text == nil || !bytes.Equal(is, text)) {
		return "", nil
	}
	return own, err
}

// aside moves a file, if it is still what was seen and read, into a folder below, under a name that is free there, with a reason beside it.
func (l *Link) aside(name string, seen look, text []byte, folder, reason string) error {
	dir := filepath.Join(l.cfg.Receive.Folder, folder)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return noFolder("receive.folder", err)
	}
	own, err := l.claim(name, seen, text)
	if err != nil {
		return stuck{noFolder("receive.folder", err)}
	}
	if own == "" {
		return nil
	}
	return l.place(own, dir, name, reason)
}

// place moves a file that was claimed into a folder, under a name that is free there. An empty file keeps the name until then: another node may look for
// one at the same time. A disk that is far away may say that a file was not moved which was; what stands under the name is then left as it is.
func (l *Link) place(own, dir, name, reason string) error {
	to, empty, err := reserve(dir, name)
	if err != nil {
		return noFolder("receive.folder", err)
	}
	if reason != "" {
		err = writeFile(to+".why", []byte(reason+"\n"))
	}
	if err == nil {
		err = l.disk.rename(own, to)
	}
	if is, look := os.Lstat(to); err != nil && look == nil && os.SameFile(empty, is) && is.Size() == 0 {
		_ = os.Remove(to) // what is left is empty, and the reason of nothing
		_ = os.Remove(to + ".why")
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil // another node has found it under that name, and moved it
	}
	if err != nil {
		return stuck{noFolder("receive.folder", err)}
	}
	return errors.Join(syncFolder(dir), syncFolder(l.cfg.Receive.Folder))
}

// reserve makes an empty file in a folder, under a name that nobody has there.
func reserve(dir, name string) (to string, empty fs.FileInfo, err error) {
	to = filepath.Join(dir, name)
	for i := 2; ; i++ {
		f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o640) //nolint:gosec // as writeFile
		if err == nil {
			empty, err = f.Stat()
			return to, empty, errors.Join(err, f.Close())
		}
		if !errors.Is(err, fs.ErrExist) {
			return "", nil, err
		}
		to = filepath.Join(dir, fmt.Sprintf("%s.%d", name, i))
	}
}
