package backup

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"

	"holdfast/internal/problem"
)

// source is what is read from a place. It remembers why the place gave no more, which is no word about what lies there.
type source struct {
	io.Reader
	err error
}

// Read is io.Reader.
func (s *source) Read(b []byte) (int, error) {
	n, err := s.Reader.Read(b)
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// away is why something that failed says nothing of the content: the place gave no more of it, or this machine takes nothing. nil if the content is to blame.
func (s *source) away(err error) error {
	switch {
	case err == nil:
		return nil
	case s.err != nil:
		return s.err
	case ofMachine(err):
		return err
	}
	return nil
}

// ofMachine tells whether an error is of a disk or a line: full, broken, or no more files may be open.
func ofMachine(err error) bool {
	_, path := errors.AsType[*fs.PathError](err)
	_, number := errors.AsType[syscall.Errno](err)
	return path || number
}

// unread is the error of what could not be read to its end: nobody knows whether it is whole.
func unread(name string, p fmt.Stringer, cause error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "read " + name + " of " + p.String(), Why: cause.Error(),
		Hint: "look at the place, the way there and this machine's disk, and try again: nothing is known to be wrong with the copy", Cause: cause,
	}
}

// spoilt is the error of content that is not what was written, or of a machine that takes none of it.
func spoilt(what, of string, err error) error {
	if ofMachine(err) {
		return fmt.Errorf("%s: %s%w", what, of, err)
	}
	return damaged(what, of+err.Error())
}
