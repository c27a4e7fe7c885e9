package contract

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	maxDepth  = 200  // of arrays and objects inside each other
	maxDigits = 1000 // of a number, and of its exponent's value
)

// SyntaxError says where a JSON text is not one that a strict reader takes.
type SyntaxError struct {
	Offset  int64  // bytes before the place
	Pointer string // of the value being read
	Why     string
}

// Error names the offset and the reason.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("at byte %d (%q): %s", e.Offset, e.Pointer, e.Why)
}

// Decode reads one JSON value strictly: names in an object are unique, nothing follows the
// value, text is valid UTF-8, and numbers stay json.Number with every digit. The error is a
// *SyntaxError.
func Decode(data []byte) (any, error) {
	d := decoder{data: data}
	d.space()
	v := d.value(0)
	d.space()
	if d.err == nil && d.pos < len(data) {
		d.fail("bytes after the end of the value")
	}
	if d.err != nil {
		return nil, d.err
	}
	return v, nil
}

type decoder struct {
	data []byte
	pos  int
	path []string
	err  *SyntaxError
}

func (d *decoder) fail(why string) {
	if d.err == nil {
		d.err = &SyntaxError{Offset: int64(d.pos), Pointer: join(d.path), Why: why}
	}
}

func (d *decoder) space() {
	for d.pos < len(d.data) {
		switch d.data[d.pos] {
		case ' ', '\t', '\n', '\r':
			d.pos++
		default:
			return
		}
	}
}

func (d *decoder) peek() byte {
	if d.pos < len(d.data) {
		return d.data[d.pos]
	}
	return 0
}

func (d *decoder) value(depth int) any {
	if depth > maxDepth {
		d.fail(fmt.Sprintf("more than %d levels", maxDepth))
		return nil
	}
	switch c := d.peek(); {
	case c == '{':
		return d.object(depth)
	case c == '[':
		return d.array(depth)
	case c == '"':
		return d.text()
	case c == '-' || c >= '0' && c <= '9':
		return d.number()
	case d.word("true"):
		return true
	case d.word("false"):
		return false
	case d.word("null"):
		return nil
	case d.pos >= len(d.data):
		d.fail("the text ends where a value should stand")
	default:
		d.fail(fmt.Sprintf("%q where a value should stand", c))
	}
	return nil
}

func (d *decoder) word(w string) bool {
	if end := d.pos + len(w); end <= len(d.data) && string(d.data[d.pos:end]) == w {
		d.pos = end
		return true
	}
	return false
}

func (d *decoder) object(depth int) any {
	d.pos++
	out := map[string]any{}
	for d.space(); d.peek() != '}'; {
		if d.peek() != '"' {
			d.fail("a member name in quotes is missing")
			return nil
		}
		name := d.text()
		if d.path = append(d.path, name); d.err != nil {
			return nil
		}
		if _, twice := out[name]; twice {
			d.fail(fmt.Sprintf("member %q a second time", name))
			return nil
		}
		if d.space(); d.peek() != ':' {
			d.fail("a colon is missing")
			return nil
		}
		d.pos++
		d.space()
		out[name] = d.value(depth + 1)
		if !d.next('}') {
			return nil
		}
	}
	d.pos++
	return out
}

func (d *decoder) array(depth int) any {
	d.pos++
	out := []any{}
	for d.space(); d.peek() != ']'; {
		d.path = append(d.path, strconv.Itoa(len(out)))
		out = append(out, d.value(depth+1))
		if !d.next(']') {
			return nil
		}
	}
	d.pos++
	return out
}

// next stands after an element: it takes the comma, or leaves the end for the caller.
func (d *decoder) next(end byte) bool {
	if d.err != nil {
		return false
	}
	d.path = d.path[:len(d.path)-1]
	d.space()
	switch d.peek() {
	case end:
		return true
	case ',':
		d.pos++
		if d.space(); d.peek() == end {
			d.fail("a comma before the end")
			return false
		}
		return true
	}
	d.fail(fmt.Sprintf("a comma or %q is missing", end))
	return false
}

func (d *decoder) number() any {
	start := d.pos
	for d.pos < len(d.data) && strings.IndexByte("+-0123456789.eE", d.data[d.pos]) >= 0 {
		d.pos++
	}
	s := string(d.data[start:d.pos])
	if !isNumber(s) {
		d.pos = start
		d.fail("not a JSON number")
		return nil
	}
	if !boundedNumber(s) {
		d.pos = start
		d.fail(fmt.Sprintf("a number of more than %d digits", maxDigits))
		return nil
	}
	return json.Number(s)
}

// isNumber reports whether s is a number by RFC 8259 section 6.
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	s, ok := digits(s)
	if !ok {
		return false
	}
	if rest, dot := strings.CutPrefix(s, "."); dot {
		n := countDigits(rest)
		if n == 0 {
			return false
		}
		s = rest[n:]
	}
	if s != "" && (s[0] == 'e' || s[0] == 'E') {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		n := countDigits(s)
		return n > 0 && n == len(s)
	}
	return s == ""
}

// digits takes an integer part without leading zeros off s.
func digits(s string) (rest string, ok bool) {
	n := countDigits(s)
	if n == 0 || n > 1 && s[0] == '0' {
		return s, false
	}
	return s[n:], true
}

func countDigits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// boundedNumber keeps exact arithmetic affordable: 1e999999999 is nine bytes and a gigabyte.
func boundedNumber(s string) bool {
	if len(s) > maxDigits {
		return false
	}
	i := strings.IndexAny(s, "eE")
	if i < 0 {
		return true
	}
	exp, err := strconv.Atoi(s[i+1:])
	return err == nil && exp <= maxDigits && exp >= -maxDigits
}

// text reads a string; most have no escapes and are taken in one piece.
func (d *decoder) text() string {
	d.pos++
	start := d.pos
	for d.pos < len(d.data) {
		switch c := d.data[d.pos]; {
		case c == '"':
			s := d.data[start:d.pos]
			if !utf8.Valid(s) {
				d.fail("text that is not UTF-8")
			}
			d.pos++
			return string(s)
		case c == '\\':
			return d.escaped(start)
		case c < 0x20:
			d.fail("a control character inside a text")
			return ""
		}
		d.pos++
	}
	d.fail("a text without its closing quote")
	return ""
}

func (d *decoder) escaped(start int) string {
	buf := append([]byte(nil), d.data[start:d.pos]...)
	for d.pos < len(d.data) {
		c := d.data[d.pos]
		switch {
		case c == '"':
			d.pos++
			if !utf8.Valid(buf) {
				d.fail("text that is not UTF-8")
			}
			return string(buf)
		case c < 0x20:
			d.fail("a control character inside a text")
			return ""
		case c != '\\':
			buf = append(buf, c)
			d.pos++
		default:
			r, ok := d.escape()
			if !ok {
				d.fail("an escape that JSON does not have")
				return ""
			}
			buf = utf8.AppendRune(buf, r)
		}
	}
	d.fail("a text without its closing quote")
	return ""
}

func (d *decoder) escape() (rune, bool) {
	if d.pos+1 >= len(d.data) {
		return 0, false
	}
	c := d.data[d.pos+1]
	if c == 'u' {
		return d.unicode()
	}
	const from, to = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	i := strings.IndexByte(from, c)
	if i < 0 {
		return 0, false
	}
	d.pos += 2
	return rune(to[i]), true
}

// unicode reads \uXXXX; half a surrogate pair is not a character.
func (d *decoder) unicode() (rune, bool) {
	if r, ok := surrogates(d.data[d.pos:]); ok {
		d.pos += 12
		return r, true
	}
	if d.pos+6 > len(d.data) {
		return 0, false
	}
	n, err := strconv.ParseUint(string(d.data[d.pos+2:d.pos+6]), 16, 32)
	if err != nil || utf16.IsSurrogate(rune(n)) { //nolint:gosec // four hexadecimal digits
		return 0, false
	}
	d.pos += 6
	return rune(n), true //nolint:gosec // four hexadecimal digits
}
