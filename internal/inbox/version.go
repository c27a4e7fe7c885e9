package inbox

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// newerThan compares two versions of one object: whole numbers by their size, RFC 3339 times by the moment, other texts of equal
// length letter by letter. Anything is newer than no version. A version that cannot be compared is an error.
func newerThan(version, applied string) (bool, error) {
	if version == "" || applied == "" {
		return true, nil
	}
	if isDigits(version) && isDigits(applied) {
		a, b := strings.TrimLeft(version, "0"), strings.TrimLeft(applied, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) > 0, nil
	}
	a, errA := time.Parse(time.RFC3339Nano, version)
	b, errB := time.Parse(time.RFC3339Nano, applied)
	switch {
	case errA == nil && errB == nil:
		return a.After(b), nil
	case errA == nil || errB == nil || len(version) != len(applied):
		return false, fmt.Errorf("version %q of the object cannot be compared with version %q, which was applied", version, applied)
	default:
		return version > applied, nil
	}
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
