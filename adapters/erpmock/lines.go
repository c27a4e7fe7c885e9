package erpmock

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrLedgerTaken is what New says of a ledger that another mock has open: two would write over each other's effects.
var ErrLedgerTaken = errors.New("another mock has this ledger")

// Lines is the file of a ledger, a JSON value a line. Those who wait at a time share one fsync. A torn last line is the only damage that a
// crash can do; the next opening cuts it off.
type Lines struct {
	mu      sync.Mutex // guards file order and err
	file    *os.File
	err     error
	written int64

	syncing sync.Mutex // one fsync at a time; who waits may find the work done
	synced  int64
}

// OpenLines takes a file for itself, or is ErrLedgerTaken, and gives each whole line to restore; held tells whether there was any.
func OpenLines(name string, restore func(text []byte) error) (l *Lines, held bool, err error) {
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, false, fmt.Errorf("open ledger: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = ErrLedgerTaken
		}
		return nil, false, errors.Join(fmt.Errorf("lock ledger %s: %w", name, err), f.Close())
	}
	good, err := wholeLines(f, restore)
	if err == nil {
		err = f.Truncate(good)
	}
	if err == nil {
		_, err = f.Seek(good, io.SeekStart)
	}
	if err != nil {
		return nil, false, errors.Join(fmt.Errorf("read ledger %s: %w", name, err), f.Close())
	}
	return &Lines{file: f}, good > 0, nil
}

// wholeLines restores each whole line, and gives the length of all.
func wholeLines(f io.Reader, restore func(text []byte) error) (good int64, err error) {
	in := bufio.NewReaderSize(f, 1<<20)
	for {
		text, err := in.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return good, nil
		}
		if err != nil {
			return good, err
		}
		if err := restore(text); err != nil {
			return good, fmt.Errorf("line at byte %d: %w", good, err)
		}
		good += int64(len(text))
	}
}

// Append writes a line and gives its number, for Wait. What goes wrong is the error of every later Wait.
func (l *Lines) Append(line any) (at int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b, err := json.Marshal(line)
	if err == nil && l.err == nil {
		_, err = l.file.Write(append(b, '\n'))
	}
	l.err = errors.Join(l.err, err)
	l.written++
	return l.written
}

// Last is the number of the line that was written last.
func (l *Lines) Last() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.written
}

// Wait returns when the line is on the disk.
func (l *Lines) Wait(at int64) error {
	l.syncing.Lock()
	defer l.syncing.Unlock()
	l.mu.Lock()
	written, err := l.written, l.err
	l.mu.Unlock()
	if err != nil || l.synced >= at {
		return err
	}
	if err := l.file.Sync(); err != nil {
		return err
	}
	l.synced = written
	return nil
}

// Close has all lines on the disk.
func (l *Lines) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return errors.Join(l.err, l.file.Sync(), l.file.Close())
}
