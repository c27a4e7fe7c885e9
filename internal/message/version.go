package message

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// CompareVersions compares two versions of one object, such as Incoming.ObjectVersion, as cmp.Compare does: whole numbers by their
// size, RFC 3339 times by the moment, other texts of equal length letter by letter. It is an error if a and b are not of one kind.
// An empty text is no version, and for the caller to judge.
func CompareVersions(a, b string) (int, error) {
	if digits(a) && digits(b) {
		a, b := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)), nil
	}
	atA, errA := time.Parse(time.RFC3339Nano, a)
	atB, errB := time.Parse(time.RFC3339Nano, b)
	switch {
	case errA == nil && errB == nil:
		return atA.Compare(atB), nil
	case errA == nil || errB == nil || len(a) != len(b):
		return 0, fmt.Errorf("version %q of the object cannot be compared with version %q, which was applied", a, b)
	default:
		return cmp.Compare(a, b), nil
	}
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
