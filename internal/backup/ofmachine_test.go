package backup

import (
	"errors"
	"io"
	"os"
	"syscall"
	"testing"

	"holdfast/internal/problem"
)

// TestWhatTheMachineTakesNotIsNotDamaged: a full disk, or too many open files, is no word about a copy.
func TestWhatTheMachineTakesNotIsNotDamaged(t *testing.T) {
	for _, of := range []error{&os.PathError{Op: "open", Path: "x", Err: syscall.EMFILE}, &os.PathError{Op: "write", Path: "x", Err: syscall.ENOSPC}} {
		if err := spoilt("open backup x", "database: ", of); problem.KindOf(err) == problem.Integrity || !errors.Is(err, of) {
			t.Errorf("got %v (%s)", err, problem.KindOf(err))
		}
		if (&source{Reader: nil}).away(of) == nil {
			t.Errorf("%v is the content's", of)
		}
	}
	if err := spoilt("open backup x", "database: ", io.ErrUnexpectedEOF); problem.KindOf(err) != problem.Integrity {
		t.Errorf("got %v, want a problem of integrity", err)
	}
}
