package idoc

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"holdfast/internal/decimal"
)

// The types of fields. All are text in an IDoc.
const (
	char  = "CHAR"
	alpha = "ALPHA" // with leading zeros where it is a number, which nobody else writes
	numc  = "NUMC"  // digits, with leading zeros
	dats  = "DATS"  // 20261124; 00000000 is no day
	tims  = "TIMS"  // 063000
	dec   = "DEC"   // 12.500, 12.500-
)

const (
	sapDay, sapTime = "20060102", "150405"
	mostZeros       = 18 // SAP fills numbers of materials up to so many characters, also where a field is longer
)

// plain is the value of a field as mappings have it: 2026-11-24, 06:30:00, -12.500, numbers without leading zeros. It is false where the
// field has no value.
func (f *Field) plain(text string) (string, bool, error) {
	t := strings.TrimRight(text, " ")
	if strings.TrimSpace(t) == "" {
		return "", false, nil
	}
	switch f.Type {
	case alpha:
		if t = strings.TrimSpace(t); digits(t) {
			t = strings.TrimLeft(t, "0")
		}
		return t, t != "", nil
	case dats:
		return plainDay(strings.TrimSpace(t))
	case tims:
		at, err := time.Parse(sapTime, strings.TrimSpace(t))
		if strings.TrimSpace(t) == "240000" { // the end of a day, which no clock shows
			return "23:59:59", true, nil
		}
		if err != nil {
			return "", false, fmt.Errorf("%q is no time of day such as 063000", clip(t))
		}
		return at.Format(time.TimeOnly), true, nil
	case dec:
		d, err := number(strings.TrimSpace(t))
		if err != nil {
			return "", false, err
		}
		return d.String(), true, nil
	}
	return t, true, nil
}

func plainDay(t string) (string, bool, error) {
	if strings.Trim(t, "0") == "" {
		return "", false, nil
	}
	day, err := time.Parse(sapDay, t)
	if err != nil {
		return "", false, fmt.Errorf("%q is no day such as 20261124", clip(t))
	}
	return day.Format(time.DateOnly), true, nil
}

// number reads a number as SAP writes it, with its sign at the end or the beginning.
func number(t string) (decimal.Decimal, error) {
	bare := t
	if rest, ok := strings.CutSuffix(t, "-"); ok {
		bare = "-" + strings.TrimSpace(rest)
	}
	if rest, ok := strings.CutSuffix(t, "+"); ok {
		bare = strings.TrimSpace(rest)
	}
	if strings.HasPrefix(bare, "--") || strings.HasSuffix(bare, "-") {
		return decimal.Decimal{}, fmt.Errorf("%q has two signs", clip(t))
	}
	d, err := decimal.Parse(bare)
	if err != nil {
		return d, fmt.Errorf("%q is no number such as 12.500 or 12.500-", clip(t))
	}
	return d, nil
}

// sap is a value of a mapping as the field has it. What does not fit is an error, never cut.
func (f *Field) sap(v any) (string, error) {
	text := ""
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		text = v
	case json.Number:
		text = v.String()
	case bool:
		if f.Type != char {
			return "", errors.New("true or false fits only a field of characters, as X or nothing")
		}
		if v {
			text = "X"
		}
	default:
		return "", errors.New("a field takes a text, a number, true or false")
	}
	if text == "" {
		return "", nil
	}
	text, err := f.write(text)
	switch {
	case err != nil:
		return "", err
	case utf8.RuneCountInString(text) > f.Length:
		return "", fmt.Errorf("%q has more than %d characters", clip(text), f.Length)
	}
	if err := printable(text); err != nil {
		return "", err
	}
	return text, nil
}

// write brings a value into the form of the field's type.
func (f *Field) write(text string) (string, error) {
	switch f.Type {
	case alpha:
		if n := min(f.Length, mostZeros) - len(text); digits(text) && n > 0 {
			text = strings.Repeat("0", n) + text
		}
	case numc:
		if !digits(text) {
			return "", fmt.Errorf("%q is not of digits alone", clip(text))
		}
		text = strings.Repeat("0", max(0, f.Length-len(text))) + text
	case dats:
		return rewrite(text, sapDay, time.DateOnly)
	case tims:
		return rewrite(text, sapTime, time.TimeOnly)
	case dec:
		d, err := number(text)
		if err != nil {
			return "", err
		}
		if d, err = d.Rescale(int32(f.Scale)); err != nil { //nolint:gosec // a column of three digits at most
			return "", fmt.Errorf("%s has more than %d places behind the point", clip(text), f.Scale)
		}
		if text = d.String(); strings.HasPrefix(text, "-") {
			text = text[1:] + "-"
		}
	}
	return text, nil
}

// rewrite reads a day or time in one of two layouts and writes it in the first.
func rewrite(text, to, from string) (string, error) {
	for _, layout := range [...]string{from, to} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.Format(to), nil
		}
	}
	return "", fmt.Errorf("%q is written neither as %s nor as %s", clip(text), from, to)
}

func digits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// printable refuses what neither XML nor a line of a file can carry.
func printable(s string) error {
	for _, c := range s {
		if c < ' ' || c == utf8.RuneError || c == 0xFFFE || c == 0xFFFF {
			return fmt.Errorf("it has the character %q, which an IDoc cannot carry", c)
		}
	}
	return nil
}

// clip bounds what of a value stands in an error.
func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
