package edm

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"

	"holdfast/internal/decimal"
)

// Wire says how values are written in bodies.
type Wire struct {
	Version Version
	// IEEE754 has V4 write decimals and 64-bit numbers as text (the media type's parameter IEEE754Compatible=true).
	IEEE754 bool
}

// The plain forms: text for Edm.String, Guid (lower case), Decimal ("12.500"), Int64 ("9007199254740993"), Date ("2026-11-24"),
// DateTime ("2026-11-24T06:00:00", no zone), DateTimeOffset ("2026-11-24T06:00:00+01:00"), Time and TimeOfDay ("06:00:00"),
// Duration ("PT1H"), Binary (standard base64); a json.Number for the smaller whole numbers, Single and Double, whose INF, -INF and
// NaN are text; true and false; nil.

// codec reads and writes one type. plain takes any form that is met, of either version, and gives the plain one; wire takes the
// plain one; literal writes it for an address.
type codec struct {
	plain   func(f *Field, v any) (any, error)
	wire    func(f *Field, v any, w Wire) (any, error)
	literal func(v string, w Version) string
}

// codecOf is the codec of a type; ok is false for those that are not known.
func codecOf(typ string) (codec, bool) {
	same := func(_ *Field, v any, _ Wire) (any, error) { return v, nil }
	bare := func(v string, _ Version) string { return v }
	switch typ {
	case "Edm.String":
		return codec{plainString, same, func(v string, _ Version) string { return quote(v) }}, true
	case "Edm.Boolean":
		return codec{plainBool, same, bare}, true
	case "Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32":
		return codec{plainInt, wireInt, bare}, true
	case "Edm.Int64":
		return codec{plainInt, wireWide, suffix("L")}, true
	case "Edm.Decimal":
		return codec{plainDecimal, wireWide, suffix("m")}, true
	case "Edm.Double":
		return codec{plainFloat, wireFloat, suffix("d")}, true
	case "Edm.Single":
		return codec{plainFloat, wireFloat, suffix("f")}, true
	case "Edm.Guid":
		return codec{plainGUID, same, prefixed("guid")}, true
	case "Edm.Date":
		return codec{plainDate, same, bare}, true
	case "Edm.DateTime":
		return codec{plainDateTime, wireDateTime, prefixed("datetime")}, true
	case "Edm.DateTimeOffset":
		return codec{plainMoment, wireMoment, prefixed("datetimeoffset")}, true
	case "Edm.Time", "Edm.TimeOfDay":
		return codec{plainTime, wireTime, literalTime}, true
	case "Edm.Duration":
		return codec{plainDuration, same, func(v string, _ Version) string { return "duration" + quote(v) }}, true
	case "Edm.Binary":
		return codec{plainBinary, wireBinary, literalBinary}, true
	}
	return codec{}, false
}

func known(typ string) bool {
	_, ok := codecOf(typ)
	return ok || typ == "Edm.Stream" || typ == "Edm.Untyped" || strings.HasPrefix(typ, "Edm.Geo")
}

// Plain brings a value that a service sent, in any form that is met, to its plain form. nil, and what stands for "no value" in ABAP
// (an empty text or 0001-01-01 for a date), is nil.
func (f *Field) Plain(v any) (any, error) {
	c, ok := codecOf(f.Type)
	if v == nil || !ok {
		return v, nil
	}
	if v == "" && f.Type != "Edm.String" && f.Type != "Edm.Binary" {
		return nil, nil
	}
	out, err := c.plain(f, v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.Type, err)
	}
	return out, nil
}

// Wire writes a plain value for a body, and holds it against length, digits and names of the field.
func (f *Field) Wire(v any, w Wire) (any, error) {
	c, ok := codecOf(f.Type)
	if v == nil || !ok {
		return v, nil
	}
	p, err := f.exactly(v, c)
	if err != nil {
		return nil, err
	}
	return c.wire(f, p, w)
}

// exactly is the plain form of a value that is to be sent.
func (f *Field) exactly(v any, c codec) (any, error) {
	p, err := c.plain(f, v)
	if err != nil {
		return nil, err
	}
	if p == nil {
		return nil, fmt.Errorf("it stands for no value; leave it out or write null")
	}
	return p, f.fits(p)
}

// fits holds a plain value against the facets.
func (f *Field) fits(v any) error {
	s, _ := v.(string)
	switch {
	case f.Type == "Edm.String" && f.MaxLength > 0 && utf8.RuneCountInString(s) > f.MaxLength:
		return fmt.Errorf("it has %d characters, the field takes %d", utf8.RuneCountInString(s), f.MaxLength)
	case f.Type == "Edm.Binary" && f.MaxLength > 0 && base64.RawStdEncoding.DecodedLen(len(strings.TrimRight(s, "="))) > f.MaxLength:
		return fmt.Errorf("it is longer than the %d bytes that the field takes", f.MaxLength)
	case f.Type == "Edm.Decimal":
		return f.fitsDecimal(s)
	case len(f.Members) > 0:
		return f.fitsNames(s)
	}
	return nil
}

// fitsNames holds a value against the names of an enumeration, or their numbers: one, or of flags several.
func (f *Field) fitsNames(s string) error {
	names := []string{s}
	if f.flags {
		names = strings.Split(s, ",")
	}
	for _, name := range names {
		name = strings.TrimSpace(name)
		if !slices.ContainsFunc(f.Members, func(m Member) bool {
			return m.Name == name || m.Value == name
		}) {
			var all uint64
			for _, m := range f.Members { // the sum of some
				bits, _ := strconv.ParseUint(m.Value, 10, 64)
				all |= bits
			}
			if sum, err := strconv.ParseUint(name, 10, 64); f.flags && err == nil && sum != 0 && sum&^all == 0 {
				continue
			}
			return fmt.Errorf("%q is none of the names of %s", name, f.enum)
		}
	}
	return nil
}

// fitsDecimal counts digits. Trailing zeros behind the point are no digits that could be lost.
func (f *Field) fitsDecimal(s string) error {
	d, err := decimal.Parse(s)
	if err != nil {
		return err
	}
	whole, frac, _ := strings.Cut(strings.TrimPrefix(d.String(), "-"), ".")
	frac = strings.TrimRight(frac, "0")
	whole = strings.TrimLeft(whole, "0")
	if f.Scale >= 0 && len(frac) > f.Scale {
		return fmt.Errorf("it has %d digits behind the point, the field takes %d", len(frac), f.Scale)
	}
	if room := f.Precision - max(f.Scale, 0); f.Precision > 0 && (len(whole)+len(frac) > f.Precision || f.Scale > 0 && len(whole) > room) {
		return fmt.Errorf("it has more digits than the field takes: %d, of which %d behind the point", f.Precision, max(f.Scale, 0))
	}
	return nil
}

func text(v any) (string, error) {
	switch v := v.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	}
	return "", fmt.Errorf("%T where a value was due", v)
}

func plainString(_ *Field, v any) (any, error) {
	s, ok := v.(string)
	if !ok {
		return nil, fmt.Errorf("it is no text")
	}
	return s, nil
}

func plainBool(_ *Field, v any) (any, error) {
	switch v {
	case true, "true":
		return true, nil
	case false, "false":
		return false, nil
	}
	return nil, fmt.Errorf("it is neither true nor false")
}

// bits of each whole number, and whether it has a sign.
func bits(typ string) (n uint, signed bool) {
	switch typ {
	case "Edm.Byte":
		return 8, false
	case "Edm.SByte":
		return 8, true
	case "Edm.Int16":
		return 16, true
	case "Edm.Int32":
		return 32, true
	}
	return 64, true
}

func plainInt(f *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	n, ok := new(big.Int).SetString(s, 10)
	if !ok || len(s) > 40 {
		return nil, fmt.Errorf("it is no whole number")
	}
	size, signed := bits(f.Type)
	low, high := big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), size)
	if signed {
		high.Rsh(high, 1)
		low.Neg(high)
	}
	if n.Cmp(low) < 0 || n.Cmp(high) >= 0 {
		return nil, fmt.Errorf("it is out of the range of %s", f.Type)
	}
	if size == 64 {
		return n.String(), nil
	}
	return json.Number(n.String()), nil
}

func plainDecimal(_ *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	d, err := decimal.Parse(s)
	if err != nil {
		return nil, fmt.Errorf("it is no decimal number such as 12.500, or has more than %d digits", decimal.MaxDigits)
	}
	return d.String(), nil
}

func plainFloat(f *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	if s == "INF" || s == "-INF" || s == "NaN" {
		return s, nil
	}
	if !json.Valid([]byte(s)) || strings.Trim(s, "0123456789+-.eE") != "" {
		return nil, fmt.Errorf("it is no number")
	}
	size := 64
	if f.Type == "Edm.Single" {
		size = 32
	}
	if n, err := strconv.ParseFloat(s, size); err != nil || n == 0 && !isZero(s) {
		return nil, fmt.Errorf("it is out of the range of %s", f.Type)
	}
	return json.Number(s), nil
}

// isZero tells whether the digits of a number are all zeros.
func isZero(s string) bool {
	digits, _, _ := strings.Cut(strings.ToLower(s), "e")
	return strings.Trim(digits, "-0.") == ""
}

func plainGUID(_ *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	u, err := uuid.Parse(s)
	if err != nil || len(s) != 36 {
		return nil, fmt.Errorf("it is no GUID of the form 01234567-89ab-cdef-0123-456789abcdef")
	}
	return u.String(), nil
}

// plainBinary takes standard and URL base64, with and without padding.
func plainBinary(_ *Field, v any) (any, error) {
	s, err := text(v)
	if err != nil {
		return nil, err
	}
	std := strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	b, err := base64.RawStdEncoding.DecodeString(std)
	if err != nil {
		return nil, fmt.Errorf("it is no base64")
	}
	return base64.StdEncoding.EncodeToString(b), nil
}

func wireBinary(_ *Field, v any, w Wire) (any, error) {
	if w.Version == V4 {
		return strings.NewReplacer("+", "-", "/", "_").Replace(v.(string)), nil
	}
	return v, nil
}

func wireInt(_ *Field, v any, _ Wire) (any, error) { return v, nil }

// wireWide writes what a float cannot hold: V2 as text, V4 as a number with every digit, or as text where that was agreed.
func wireWide(_ *Field, v any, w Wire) (any, error) {
	if w.Version == V2 || w.IEEE754 {
		return v, nil
	}
	return json.Number(v.(string)), nil
}

func wireFloat(_ *Field, v any, w Wire) (any, error) {
	if n, ok := v.(json.Number); ok && w.Version == V2 {
		return n.String(), nil
	}
	return v, nil
}
