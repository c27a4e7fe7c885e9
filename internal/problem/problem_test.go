package problem_test

import (
	"errors"
	"fmt"
	"testing"

	"holdfast/internal/problem"
)

func TestEachKindHasItsStatuses(t *testing.T) {
	tests := []struct {
		kind problem.Kind
		http int
		exit int
	}{
		{problem.Invalid, 422, 2},
		{problem.NotFound, 404, 3},
		{problem.Conflict, 409, 1},
		{problem.Precondition, 412, 5},
		{problem.Duplicate, 422, 1},
		{problem.Unknown, 401, 4},
		{problem.Denied, 403, 4},
		{problem.TooMany, 429, 7},
		{problem.TooLarge, 413, 2},
		{problem.Unavailable, 503, 7},
		{problem.Full, 507, 1},
		{problem.Integrity, 422, 1},
		{problem.Internal, 500, 1},
		{"of tomorrow", 500, 1},
	}
	for _, tt := range tests {
		if got := tt.kind.HTTPStatus(); got != tt.http {
			t.Errorf("HTTP status of %q = %d, want %d", tt.kind, got, tt.http)
		}
		if got := tt.kind.ExitStatus(); got != tt.exit {
			t.Errorf("exit status of %q = %d, want %d", tt.kind, got, tt.exit)
		}
	}
}

func TestTheKindIsFoundInTheTree(t *testing.T) {
	full := &problem.Error{Kind: problem.Full, What: "write", Why: "the disk is full", Cause: errors.New("ENOSPC")}
	if got := problem.KindOf(fmt.Errorf("append: %w", full)); got != problem.Full {
		t.Errorf("kind = %q, want %q", got, problem.Full)
	}
	if got := problem.KindOf(errors.New("nil map")); got != problem.Internal {
		t.Errorf("kind of what nobody classified = %q, want %q", got, problem.Internal)
	}
	if got := problem.KindOf(nil); got != "" {
		t.Errorf("kind of no error = %q", got)
	}
	if got, want := full.Error(), "write: the disk is full: ENOSPC"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if !errors.Is(full, full.Cause) {
		t.Error("the cause is not within")
	}
}
