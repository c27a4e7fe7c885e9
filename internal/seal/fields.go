package seal

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

// The part of Structured Fields (RFC 9651) that signatures need: dictionaries of byte sequences and of inner lists, with parameters.
// What the RFC lets the last one win, a key that comes twice, is refused here: two readers could take it for two things. Decimals and
// dates are not read.
type (
	// bare is a string, a token, an int64, a bool or []byte.
	bare any
	// token is a bare word.
	token string
	// param is a key with its value.
	param struct {
		key   string
		value bare
	}
	// item is a value with parameters; of an inner list items is not nil.
	item struct {
		value  bare
		items  []item
		inner  bool
		params []param
	}
	// member is an entry of a dictionary.
	member struct {
		key string
		item
	}
)

// mostField bounds what is read of one field.
const mostField = 16 << 10

// fieldReader reads a field from left to right.
type fieldReader struct {
	text string
	at   int
}

func (r *fieldReader) wrong(why string) error {
	return fmt.Errorf("a structured field is %s at byte %d", why, r.at)
}

func (r *fieldReader) peek() byte {
	if r.at < len(r.text) {
		return r.text[r.at]
	}
	return 0
}

// take passes one byte if it is c.
func (r *fieldReader) take(c byte) bool {
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

func (r *fieldReader) skip(chars string) {
	for r.at < len(r.text) && strings.IndexByte(chars, r.text[r.at]) >= 0 {
		r.at++
	}
}

// while gives the bytes that fit.
func (r *fieldReader) while(fits func(c byte) bool) string {
	from := r.at
	for r.at < len(r.text) && fits(r.text[r.at]) {
		r.at++
	}
	return r.text[from:r.at]
}

// readDictionary reads a field that is a dictionary; its lines are joined already.
func readDictionary(text string) ([]member, error) {
	if len(text) > mostField {
		return nil, fmt.Errorf("a structured field has %d bytes, more than %d", len(text), mostField)
	}
	r := &fieldReader{text: text}
	var all []member
	seen := map[string]bool{}
	r.skip(" ")
	for r.at < len(r.text) {
		m, err := r.member()
		if err != nil {
			return nil, err
		}
		if seen[m.key] {
			return nil, fmt.Errorf("a structured field has %s twice", m.key)
		}
		seen[m.key] = true
		all = append(all, m)
		r.skip(" \t")
		if r.at == len(r.text) {
			break
		}
		if !r.take(',') {
			return nil, r.wrong("no list")
		}
		if r.skip(" \t"); r.at == len(r.text) {
			return nil, r.wrong("cut off")
		}
	}
	return all, nil
}

func (r *fieldReader) member() (member, error) {
	key, err := r.key()
	if err != nil {
		return member{}, err
	}
	m := member{key: key, item: item{value: true}}
	switch {
	case !r.take('='):
		m.params, err = r.params()
	case r.peek() == '(':
		m.item, err = r.innerList()
	default:
		m.item, err = r.item()
	}
	return m, err
}

func (r *fieldReader) key() (string, error) {
	key := r.while(func(c byte) bool {
		return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("_-.*", c) >= 0
	})
	if key == "" || (key[0] < 'a' || key[0] > 'z') && key[0] != '*' {
		return "", r.wrong("without a key")
	}
	return key, nil
}

func (r *fieldReader) innerList() (item, error) {
	r.take('(')
	list := item{inner: true}
	for {
		r.skip(" ")
		if r.take(')') {
			var err error
			list.params, err = r.params()
			return list, err
		}
		i, err := r.item()
		if err != nil {
			return item{}, err
		}
		list.items = append(list.items, i)
		if c := r.peek(); c != ' ' && c != ')' {
			return item{}, r.wrong("no inner list")
		}
	}
}

func (r *fieldReader) item() (i item, err error) {
	if i.value, err = r.bare(); err == nil {
		i.params, err = r.params()
	}
	return i, err
}

func (r *fieldReader) params() ([]param, error) {
	var all []param
	for r.take(';') {
		r.skip(" ")
		key, err := r.key()
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			if p.key == key {
				return nil, r.wrong("with parameter " + key + " twice")
			}
		}
		p := param{key, true}
		if r.take('=') {
			if p.value, err = r.bare(); err != nil {
				return nil, err
			}
		}
		all = append(all, p)
	}
	return all, nil
}

func (r *fieldReader) bare() (bare, error) {
	switch c := r.peek(); {
	case c == '"':
		return r.quoted()
	case c == ':':
		return r.bytes()
	case c == '?':
		r.at++
		if r.take('1') {
			return true, nil
		}
		if r.take('0') {
			return false, nil
		}
		return nil, r.wrong("with a boolean that is none")
	case c == '-' || c >= '0' && c <= '9':
		return r.integer()
	case c == '*' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return token(r.while(func(c byte) bool { return c > ' ' && c < 0x7f && strings.IndexByte("\"(),;<=>?@[\\]{}", c) < 0 })), nil
	}
	return nil, r.wrong("with a value that is none")
}

func (r *fieldReader) quoted() (bare, error) {
	r.take('"')
	var b strings.Builder
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch {
		case c == '"':
			return b.String(), nil
		case c == '\\':
			next := r.peek()
			if next != '"' && next != '\\' {
				return nil, r.wrong("with a backslash before nothing")
			}
			r.at++
			b.WriteByte(next)
		case c < ' ' || c > '~':
			return nil, r.wrong("with a character that no string has")
		default:
			b.WriteByte(c)
		}
	}
	return nil, r.wrong("cut off")
}

func (r *fieldReader) bytes() (bare, error) {
	r.take(':')
	text := r.while(func(c byte) bool { return c != ':' })
	if !r.take(':') {
		return nil, r.wrong("cut off")
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || strings.ContainsAny(text, "\r\n") {
		return nil, r.wrong("with bytes that are not in base64")
	}
	return b, nil
}

func (r *fieldReader) integer() (bare, error) {
	sign := ""
	if r.take('-') {
		sign = "-"
	}
	digits := r.while(func(c byte) bool { return c >= '0' && c <= '9' })
	if digits == "" || len(digits) > 15 || r.peek() == '.' {
		return nil, r.wrong("with a number that is no integer of fifteen digits")
	}
	n, err := strconv.ParseInt(sign+digits, 10, 64)
	return n, err
}

// writeBare writes a value in the one form that the RFC has for it.
func writeBare(b *strings.Builder, v bare) {
	switch v := v.(type) {
	case string:
		b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`)
	case token:
		b.WriteString(string(v))
	case int64:
		b.WriteString(strconv.FormatInt(v, 10))
	case bool:
		if v {
			b.WriteString("?1")
		} else {
			b.WriteString("?0")
		}
	case []byte:
		b.WriteString(":" + base64.StdEncoding.EncodeToString(v) + ":")
	}
}

// write writes an item, or an inner list, with its parameters.
func (i item) write(b *strings.Builder) {
	if i.inner {
		b.WriteByte('(')
		for n, in := range i.items {
			if n > 0 {
				b.WriteByte(' ')
			}
			in.write(b)
		}
		b.WriteByte(')')
	} else {
		writeBare(b, i.value)
	}
	for _, p := range i.params {
		b.WriteString(";" + p.key)
		if p.value != true {
			b.WriteByte('=')
			writeBare(b, p.value)
		}
	}
}

func (i item) String() string {
	var b strings.Builder
	i.write(&b)
	return b.String()
}

// param is the value of a parameter, nil if there is none.
func (i item) param(key string) bare {
	for _, p := range i.params {
		if p.key == key {
			return p.value
		}
	}
	return nil
}

// find is the member of that key.
func find(all []member, key string) (item, bool) {
	for _, m := range all {
		if m.key == key {
			return m.item, true
		}
	}
	return item{}, false
}
