package message

import (
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/decimal"
)

// civil is a date and time without a zone, as OData's Edm.DateTime is told; a fraction of its seconds may follow.
const civil = "2006-01-02T15:04:05"

// CompareVersions compares two versions of one object, such as Incoming.ObjectVersion, as cmp.Compare does: numbers by their size, exactly,
// whole ones of any length; RFC 3339 times by the moment; dates with a time and no zone by the clock; other texts of equal length letter by
// letter. It is an error if a and b are not of one kind. An empty text is no version, and for the caller to judge.
//
// A version may end in ~ and a whole number, which decides between states for which the sender has one version: 7~2 comes after 7~1, and
// both after 7.
func CompareVersions(a, b string) (int, error) {
	a, nthA := nth(a)
	b, nthB := nth(b)
	c, err := compareWhole(a, b)
	if c != 0 || err != nil || nthA == nthB {
		return c, err
	}
	return compareWhole(cmp.Or(nthA, "0"), cmp.Or(nthB, "0"))
}

// nth parts a version from the number that follows it, "" if none does.
func nth(version string) (rest, number string) {
	if i := strings.LastIndexByte(version, '~'); i > 0 && digits(version[i+1:]) {
		return version[:i], version[i+1:]
	}
	return version, ""
}

// compareWhole compares versions without such a number.
func compareWhole(a, b string) (int, error) {
	if digits(a) && digits(b) {
		a, b := strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
		return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)), nil
	}
	isA, isB := false, false
	for _, layout := range []string{time.RFC3339Nano, civil} {
		atA, errA := time.Parse(layout, a)
		atB, errB := time.Parse(layout, b)
		if errA == nil && errB == nil {
			return atA.Compare(atB), nil
		}
		isA, isB = isA || errA == nil, isB || errB == nil
	}
	nA, errA := plain(a)
	nB, errB := plain(b)
	switch {
	case errA == nil && errB == nil:
		return nA.Cmp(nB), nil
	case isA || isB || len(a) != len(b), errA == nil && powers(b), errB == nil && powers(a):
		return 0, fmt.Errorf("version %q of the object cannot be compared with version %q, which was applied", a, b)
	}
	return cmp.Compare(a, b), nil
}

// plain reads a number without an exponent: with one it may as well be text, such as the hexadecimal 1e9.
func plain(s string) (decimal.Decimal, error) {
	if strings.ContainsAny(s, "eE") {
		return decimal.Decimal{}, decimal.ErrInexact
	}
	return decimal.Parse(s)
}

// powers tells whether a text is a number with an exponent, as JSON has it.
func powers(s string) bool {
	return strings.ContainsAny(s, "eE") && strings.Trim(s, "0123456789+-.eE") == "" && json.Valid([]byte(s))
}

func digits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
