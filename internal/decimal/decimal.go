// Package decimal is the exact decimal number that every quantity is.
//
// # Guarantees
//
//   - No digit is lost: a result that does not fit is an error, never a rounding. Round is the one place that rounds, and says how.
//   - The scale is kept: "12.500" stays "12.500".
//   - In JSON a Decimal is a string; a JSON number is read digit for digit.
//   - NaN, infinities, and numbers of more than MaxDigits digits are refused when they are read.
//
// The arithmetic is github.com/cockroachdb/apd/v3 with the conditions Inexact and Rounded trapped.
package decimal

import (
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/cockroachdb/apd/v3"
)

// MaxDigits is the most significant digits, and the most places behind the point, that a Decimal may have.
const MaxDigits = 38

// ErrInexact is returned where a result would lose digits.
var ErrInexact = errors.New("the result has more digits than can be kept")

// Decimal is an exact decimal number. It is a value: nothing changes it. The zero Decimal is 0.
type Decimal struct{ d apd.Decimal }

// Mode is a way to round.
type Mode string

// The ways to round.
const (
	HalfUp   Mode = "half-up"   // 0.5 away from zero
	HalfEven Mode = "half-even" // 0.5 to the even neighbour
	Up       Mode = "up"        // away from zero
	Down     Mode = "down"      // towards zero
)

// exact is the context in which nothing may be lost.
func exact() *apd.Context {
	return &apd.Context{
		Precision: 4 * MaxDigits, MaxExponent: 4 * MaxDigits, MinExponent: -4 * MaxDigits,
		Rounding: apd.RoundHalfUp, Traps: apd.DefaultTraps | apd.Inexact | apd.Overflow | apd.Underflow,
	}
}

// Parse reads a decimal such as "12.500", "-3" or "1e3". It refuses anything else, above all NaN, infinities, a leading
// plus sign, a missing digit on either side of the point, and more than MaxDigits digits.
func Parse(s string) (Decimal, error) {
	if !wellFormed(s) {
		return Decimal{}, fmt.Errorf("%q is not a decimal number such as 12.500", clip(s))
	}
	var d apd.Decimal
	if _, _, err := d.SetString(s); err != nil {
		return Decimal{}, fmt.Errorf("%q is not a decimal number: %w", clip(s), err)
	}
	out := Decimal{d}
	if err := out.Check(); err != nil {
		return Decimal{}, fmt.Errorf("%q: %w", clip(s), err)
	}
	return out, nil
}

// MustParse is Parse for constants; it panics on an error.
func MustParse(s string) Decimal {
	d, err := Parse(s)
	if err != nil {
		panic(err)
	}
	return d
}

// FromInt is the whole number n.
func FromInt(n int64) Decimal { return Decimal{*apd.New(n, 0)} }

// String is the plain form, never with an exponent, with the scale that it came with.
func (d Decimal) String() string {
	if d.d.IsZero() { // neither "-0" nor, of 0E1, "00"
		zero := d.d
		zero.Negative, zero.Exponent = false, min(0, zero.Exponent)
		return zero.Text('f')
	}
	return d.d.Text('f')
}

// Add is d + e. The sum of two numbers within the limits is always exact; Check tells whether it is within them too.
func (d Decimal) Add(e Decimal) Decimal { return d.sum(e, (*apd.Context).Add) }

// Sub is d - e, as exact as Add.
func (d Decimal) Sub(e Decimal) Decimal { return d.sum(e, (*apd.Context).Sub) }

// Neg is -d.
func (d Decimal) Neg() Decimal { return Decimal{}.Sub(d) }

// Mul is d × e; ErrInexact if the product has more than MaxDigits digits.
func (d Decimal) Mul(e Decimal) (Decimal, error) { return d.binary(e, (*apd.Context).Mul) }

// Ratio is d × num ÷ den, as unit conversions need it; ErrInexact if the quotient does not end within MaxDigits places.
func (d Decimal) Ratio(num, den Decimal) (Decimal, error) {
	if den.Sign() == 0 {
		return Decimal{}, errors.New("division by zero")
	}
	p, err := d.Mul(num)
	if err != nil {
		return Decimal{}, err
	}
	q, err := p.binary(den, (*apd.Context).Quo)
	if err != nil {
		return Decimal{}, fmt.Errorf("%s × %s ÷ %s: %w", d, num, den, ErrInexact)
	}
	return q, nil
}

// RatioTo is d × num ÷ den with exactly scale places behind the point, rounded once, by mode.
func (d Decimal) RatioTo(num, den Decimal, scale int32, mode Mode) (Decimal, error) {
	if den.Sign() == 0 {
		return Decimal{}, errors.New("division by zero")
	}
	p, err := d.Mul(num)
	if err != nil {
		return Decimal{}, err
	}
	c := exact()
	c.Rounding, c.Traps = apd.Round05Up, c.Traps&^apd.Inexact // its last digit tells that there are more, so that Round sees no half where there is none
	var q apd.Decimal
	if _, err := c.Quo(&q, &p.d, &den.d); err != nil {
		return Decimal{}, fmt.Errorf("%s × %s ÷ %s: %w", d, num, den, err)
	}
	return Decimal{q}.Round(scale, mode)
}

// Round is d with exactly scale places behind the point, rounded by mode.
func (d Decimal) Round(scale int32, mode Mode) (Decimal, error) {
	ways := map[Mode]apd.Rounder{HalfUp: apd.RoundHalfUp, HalfEven: apd.RoundHalfEven, Up: apd.RoundUp, Down: apd.RoundDown}
	way, ok := ways[mode]
	if !ok {
		return Decimal{}, fmt.Errorf("%q is no way to round: use half-up, half-even, up or down", mode)
	}
	if scale < 0 || scale > MaxDigits {
		return Decimal{}, fmt.Errorf("scale %d is not between 0 and %d", scale, MaxDigits)
	}
	c := exact()
	c.Rounding, c.Traps = way, c.Traps&^apd.Inexact
	var out apd.Decimal
	if _, err := c.Quantize(&out, &d.d, -scale); err != nil {
		return Decimal{}, fmt.Errorf("round %s to %d places: %w", d, scale, err)
	}
	if mode == Up && out.IsZero() && !d.IsZero() { // apd passes over what is less than a tenth of the last place
		out.Coeff.SetInt64(1)
		out.Negative = d.Sign() < 0
	}
	r := Decimal{out}
	return r, r.Check()
}

// Rescale is d with exactly scale places, or ErrInexact if that would lose a digit other than zero.
func (d Decimal) Rescale(scale int32) (Decimal, error) {
	r, err := d.Round(scale, Down)
	if err != nil {
		return Decimal{}, err
	}
	if r.Cmp(d) != 0 {
		return Decimal{}, fmt.Errorf("%s with %d places would be %s: %w", d, scale, r, ErrInexact)
	}
	return r, nil
}

// Cmp is -1, 0 or 1 as d is less than, equal to or greater than e; 1.0 equals 1.
func (d Decimal) Cmp(e Decimal) int { return d.d.Cmp(&e.d) }

// Equal tells whether d and e are the same number; 1.0 equals 1. go-cmp uses it.
func (d Decimal) Equal(e Decimal) bool { return d.Cmp(e) == 0 }

// Sign is -1, 0 or 1.
func (d Decimal) Sign() int { return d.d.Sign() }

// IsZero tells whether d is 0; encoding/json's omitzero uses it.
func (d Decimal) IsZero() bool { return d.Sign() == 0 }

// Scale is the number of places behind the point.
func (d Decimal) Scale() int32 { return max(0, -d.d.Exponent) }

// MarshalText is String.
func (d Decimal) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is Parse.
func (d *Decimal) UnmarshalText(b []byte) error {
	v, err := Parse(string(b))
	if err != nil {
		return err
	}
	*d = v
	return nil
}

// UnmarshalJSON reads a JSON string or, digit for digit, a JSON number.
func (d *Decimal) UnmarshalJSON(b []byte) error {
	s := string(b)
	if s == "null" {
		return nil
	}
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	return d.UnmarshalText([]byte(s))
}

// Value stores a Decimal as text, so that neither database touches a digit.
func (d Decimal) Value() (driver.Value, error) { return d.String(), nil }

// Scan reads what Value stored.
func (d *Decimal) Scan(src any) error {
	switch v := src.(type) {
	case string:
		return d.UnmarshalText([]byte(v))
	case []byte:
		return d.UnmarshalText(v)
	case int64:
		*d = FromInt(v)
		return nil
	default:
		return fmt.Errorf("a decimal is kept as text, not as %T", src)
	}
}

// operation is one of apd's operations on two numbers.
type operation func(c *apd.Context, out, x, y *apd.Decimal) (apd.Condition, error)

// binary applies one operation in the exact context and checks the result.
func (d Decimal) binary(e Decimal, op operation) (Decimal, error) {
	var out apd.Decimal
	if _, err := op(exact(), &out, &d.d, &e.d); err != nil {
		return Decimal{}, fmt.Errorf("%w: %w", ErrInexact, err)
	}
	r := Decimal{out}
	if r.Scale() > MaxDigits {
		reduced := Decimal{}
		reduced.d.Reduce(&r.d)
		r = reduced
	}
	return r, r.Check()
}

// Check is ErrInexact for a number beyond the limits, as a long sum may be.
func (d Decimal) Check() error {
	if d.d.Form != apd.Finite {
		return errors.New("not a finite number")
	}
	if whole := int64(d.d.NumDigits()) + int64(d.d.Exponent); d.d.NumDigits() > MaxDigits || d.Scale() > MaxDigits || whole > MaxDigits {
		return fmt.Errorf("more than %d digits: %w", MaxDigits, ErrInexact)
	}
	return nil
}

// sum adds or subtracts without a limit on the result: the context holds four times MaxDigits, which sums of numbers within
// the limits reach after some 10^76 steps.
func (d Decimal) sum(e Decimal, op operation) Decimal {
	var out apd.Decimal
	if _, err := op(exact(), &out, &d.d, &e.d); err != nil {
		panic(fmt.Sprintf("decimal: a sum has outgrown %d digits: %v", 4*MaxDigits, err))
	}
	return Decimal{out}
}

// wellFormed tells whether s is a JSON number (RFC 8259 section 6) save that leading zeros are fine: ERPs send them.
func wellFormed(s string) bool {
	s = strings.TrimPrefix(s, "-")
	s, exp, hasExp := cutAny(s, "eE")
	whole, frac, hasFrac := strings.Cut(s, ".")
	if !digits(whole) || (hasFrac && !digits(frac)) {
		return false
	}
	if !hasExp {
		return true
	}
	if exp != "" && (exp[0] == '+' || exp[0] == '-') {
		exp = exp[1:]
	}
	return digits(exp) && len(exp) <= 3
}

func cutAny(s, chars string) (before, after string, found bool) {
	if i := strings.IndexAny(s, chars); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return s, "", false
}

func digits(s string) bool {
	return s != "" && len(s) <= 4*MaxDigits && strings.Trim(s, "0123456789") == ""
}

func clip(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}
