package token

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// mark is one field whose values are sensitive.
type mark struct {
	class string
	path  []string // its last names
}

func marksOf(fields map[string][]string) []mark {
	var all []mark
	for class, names := range fields {
		for _, name := range names {
			all = append(all, mark{class, strings.Split(strings.Trim(name, "/"), "/")})
		}
	}
	slices.SortFunc(all, func(a, b mark) int { // of two that fit the longer one counts
		if d := len(b.path) - len(a.path); d != 0 {
			return d
		}
		return strings.Compare(a.class+"/"+strings.Join(a.path, "/"), b.class+"/"+strings.Join(b.path, "/"))
	})
	return all
}

// class is that of the field at a path, or of what it is in: all of a sensitive object is sensitive. "" is none.
func (t *Tokens) class(path []string) string {
	for ; len(path) > 0; path = path[:len(path)-1] {
		for _, m := range t.marks {
			if n := len(path) - len(m.path); n >= 0 && slices.EqualFunc(path[n:], m.path, strings.EqualFold) {
				return m.class
			}
		}
	}
	return ""
}

// may tells whether a text can have a sensitive field at all: most do not, and are not read through. A name may be written by escapes, or
// with the long s and the sign of Kelvin, which count as s and k.
func (t *Tokens) may(text []byte) bool {
	low := bytes.ToLower(text)
	return bytes.Contains(low, []byte(`\u`)) || bytes.Contains(low, []byte("ſ")) || slices.ContainsFunc(t.marks, func(m mark) bool {
		return bytes.Contains(low, []byte(strings.ToLower(m.path[len(m.path)-1])))
	})
}

// Veil has tokens in the place of the sensitive values of a JSON text. All else stays as it is, to the byte. What is not JSON is veiled as
// far as it can be read.
func (t *Tokens) Veil(ctx context.Context, tx *store.Tx, text []byte) ([]byte, error) {
	if !t.On() || !t.may(text) {
		return text, nil
	}
	return t.veil(text, func(class, value string) (string, error) { return t.Of(ctx, tx, class, value) })
}

// errNew says that a value has no token yet.
var errNew = errors.New("a value has no token yet")

// VeilAlone is Veil in transactions of its own, ahead of the one that keeps the text: most values have a token, which is only read.
func (t *Tokens) VeilAlone(ctx context.Context, db *store.DB, text []byte) (out []byte, err error) {
	if !t.On() || !t.may(text) {
		return text, nil
	}
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		out, err = t.veil(text, func(class, value string) (string, error) {
			if Is(value) {
				return value, nil
			}
			known, err := t.find(ctx, tx, class, value)
			if err == nil && known == "" {
				err = errNew
			}
			return known, err
		})
		return err
	})
	if errors.Is(err, errNew) {
		err = db.InTx(ctx, func(tx *store.Tx) (err error) { out, err = t.Veil(ctx, tx, text); return err })
	}
	if err != nil {
		return nil, fmt.Errorf("have tokens stand for sensitive values: %w", err)
	}
	return out, nil
}

// Blotted stands for a sensitive value of which nothing is kept.
const Blotted = "(sensitive)"

// Blot has one word in the place of all sensitive values: whoever nobody believes must not have tokens made.
func (t *Tokens) Blot(text []byte) []byte {
	if !t.On() || !t.may(text) {
		return text
	}
	out, err := t.veil(text, func(string, string) (string, error) { return Blotted, nil })
	if err != nil {
		return nil // which cannot be: nothing in it fails
	}
	return out
}

func (t *Tokens) veil(text []byte, of func(class, value string) (string, error)) ([]byte, error) {
	return rewrite(text, func(path []string, value string) (string, error) {
		class := t.class(path)
		if class == "" {
			return value, nil
		}
		return of(class, value)
	})
}

// Reveal puts in the values that tokens of these classes stand for, in sensitive fields alone, and says what it has put in. A token that was
// forgotten stays.
func (t *Tokens) Reveal(ctx context.Context, tx *store.Tx, text []byte, classes []string) ([]byte, Shown, error) {
	if len(classes) == 0 || !t.On() || !bytes.Contains(text, []byte(Prefix)) {
		return text, nil, nil
	}
	var shown Shown
	out, err := rewrite(text, func(path []string, value string) (string, error) {
		if !Is(value) || !slices.Contains(classes, t.class(path)) {
			return value, nil
		}
		class, is, err := t.Value(ctx, tx, value)
		switch {
		case problem.KindOf(err) == problem.NotFound, err == nil && class != t.class(path):
			return value, nil
		case err != nil:
			return "", err
		}
		shown = append(shown, put{value, is})
		return is, nil
	})
	return out, shown, err
}

// level is an object or a list that is being read.
type level struct {
	list bool
	name string // of the member that is read
	key  bool   // a name is next
}

// rewrite changes texts and numbers of a JSON document; a number that changes becomes a text. It reads what it is given as Go's JSON does.
func rewrite(text []byte, change func(path []string, value string) (string, error)) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var out []byte
	copied, levels := 0, []level{}
	for {
		from := int(d.InputOffset())
		tok, err := d.Token()
		if err != nil {
			if out == nil {
				return text, nil
			}
			return append(out, text[copied:]...), nil
		}
		at := len(levels) - 1
		value, scalar := scalarOf(tok)
		if at >= 0 && levels[at].key && scalar {
			levels[at].name, levels[at].key = value, false
			continue
		}
		levels = step(levels, tok)
		if !scalar || value == "" {
			continue
		}
		is, err := change(pathOf(levels), value)
		if err != nil {
			return nil, err
		}
		if is == value {
			continue
		}
		to := int(d.InputOffset())
		from += len(text[from:to]) - len(bytes.TrimLeft(text[from:to], " \t\r\n,:"))
		out = append(append(out, text[copied:from]...), quoted(is)...)
		copied = to
	}
}

// scalarOf is the text of a text or number.
func scalarOf(tok json.Token) (string, bool) {
	switch v := tok.(type) {
	case string:
		return v, true
	case json.Number:
		return v.String(), true
	default:
		return "", false
	}
}

// step is where a document is once a token was read that is no name.
func step(levels []level, tok json.Token) []level {
	switch tok {
	case json.Delim('{'):
		return append(levels, level{key: true})
	case json.Delim('['):
		return append(levels, level{list: true})
	case json.Delim('}'), json.Delim(']'):
		levels = levels[:len(levels)-1]
	}
	if n := len(levels) - 1; n >= 0 {
		levels[n].key = !levels[n].list
	}
	return levels
}

func pathOf(levels []level) []string {
	var path []string
	for _, l := range levels {
		if !l.list {
			path = append(path, l.name)
		}
	}
	return path
}

func quoted(text string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a text can always be written
	return bytes.TrimRight(b.Bytes(), "\n")
}
