package mapping

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// maxDepth is how deep a value that is passed through may be.
const maxDepth = 50

// writer makes JSON up to a limit, fields in the order of the rules.
type writer struct {
	b     []byte
	limit int
}

func (w *writer) full() error {
	if len(w.b) > w.limit {
		return fmt.Errorf("the document is larger than %d bytes", w.limit)
	}
	return nil
}

func (w *writer) text(s string) error {
	if !utf8.ValidString(s) {
		return errors.New("a text is not valid UTF-8")
	}
	if isPlain(s) {
		w.b = append(append(append(w.b, '"'), s...), '"')
		return w.full()
	}
	var buf bytes.Buffer
	e := json.NewEncoder(&buf)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return err
	}
	w.b = append(w.b, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
	return w.full()
}

// isPlain tells whether JSON needs no escape in s.
func isPlain(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// object writes the fields that have a value.
func (r *run) object(w *writer, fields []*rule, s *scope) error {
	w.b = append(w.b, '{')
	first := true
	for _, rl := range fields {
		start := len(w.b)
		if !first {
			w.b = append(w.b, ',')
		}
		if err := w.text(rl.name); err != nil {
			return r.fail(rl, err, "")
		}
		w.b = append(w.b, ':')
		present, err := r.field(w, rl, s)
		if err != nil {
			return err
		}
		if present {
			first = false
		} else {
			w.b = w.b[:start]
		}
	}
	w.b = append(w.b, '}')
	return r.orFail(fields[len(fields)-1], w.full())
}

// field writes one field's value and tells whether it has one.
func (r *run) field(w *writer, rl *rule, s *scope) (bool, error) {
	if yes, err := r.holds(rl, s); err != nil || !yes {
		return false, err
	}
	if rl.each == nil {
		return r.one(w, rl, s)
	}
	w.b = append(w.b, '[')
	first, n := true, 0
	present, err := r.elements(rl, s, func(s *scope) error {
		start := len(w.b)
		if !first {
			w.b = append(w.b, ',')
		}
		wrote, err := r.one(w, rl, s)
		if wrote {
			first, n = false, n+1
		} else {
			w.b = w.b[:start]
		}
		return err
	})
	w.b = append(w.b, ']')
	if err == nil && present && rl.most != nil {
		err = r.orFail(rl, counted(rl.most, n))
	}
	return present, err
}

// counted tells whether a list has too few or too many elements for its type.
func counted(t *schema.Type, n int) error {
	switch {
	case n < t.MinItems:
		return fmt.Errorf("it has %d elements, and %d are needed", n, t.MinItems)
	case t.MaxItems > 0 && n > t.MaxItems:
		return fmt.Errorf("it has %d elements, and %d are allowed", n, t.MaxItems)
	}
	return nil
}

func (r *run) one(w *writer, rl *rule, s *scope) (present bool, err error) {
	if r.observer != nil {
		start := len(w.b)
		defer func() {
			if present {
				r.observer.wrote(rl, start, len(w.b))
			}
		}()
	}
	switch {
	case rl.constant != nil:
		w.b = append(w.b, rl.constant...)
		return true, nil
	case rl.fields != nil:
		return true, r.object(w, rl.fields, s)
	}
	v, present, err := r.given(rl, s)
	if err != nil || !present {
		return false, err
	}
	return true, r.orFail(rl, w.value(rl, v, 0))
}

// value writes a value the way the rule says.
func (w *writer) value(rl *rule, v ref.Val, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("it is more than %d levels deep", maxDepth)
	}
	switch x := v.(type) {
	case types.Null:
		w.b = append(w.b, "null"...)
	case types.Bool:
		if rl.numeric() || rl.as == "number" {
			return errors.New("true or false is no number")
		}
		w.b = strconv.AppendBool(w.b, bool(x))
	case types.Int:
		return w.number(rl, decimal.FromInt(int64(x)), rl.as == "string")
	case number:
		return w.number(rl, x.Decimal, rl.as != "number")
	case types.String:
		return w.stringValue(rl, string(x))
	case *types.Optional:
		if !x.HasValue() {
			return errors.New("a value inside it is not there")
		}
		return w.value(rl, x.GetValue(), depth)
	case traits.Mapper:
		return w.mapValue(rl, x, depth)
	case traits.Lister:
		return w.listValue(rl, x, depth)
	default:
		return fmt.Errorf("a %s cannot be written", v.Type().TypeName())
	}
	return w.full()
}

func (w *writer) number(rl *rule, d decimal.Decimal, quoted bool) error {
	s, err := rl.digits(d)
	if err != nil {
		return err
	}
	if err := rl.limited(s); err != nil {
		return err
	}
	if quoted {
		return w.text(s)
	}
	w.b = append(w.b, s...)
	return w.full()
}

func (w *writer) stringValue(rl *rule, s string) error {
	if rl.as == "number" || rl.numeric() {
		d, err := decimal.Parse(s)
		if err != nil {
			return err
		}
		return w.number(rl, d, rl.as != "number")
	}
	s, err := rl.fit(s)
	if err == nil {
		err = rl.limited(s)
	}
	if err != nil {
		return err
	}
	return w.text(s)
}

// limited refuses a number that the plant would not take.
func (f *format) limited(s string) error {
	if f.target == nil {
		return nil
	}
	d, err := decimal.Parse(s)
	if err != nil {
		return err
	}
	return limited(f.target, d)
}

// limited tells whether a number is beyond a limit of its type.
func limited(t *schema.Type, d decimal.Decimal) error {
	if least := bound(t.Least); least != nil && beyond(least.Cmp(d), t.Least.Open) {
		return fmt.Errorf("%s is less than %s", d, t.Least)
	}
	if most := bound(t.Most); most != nil && beyond(d.Cmp(*most), t.Most.Open) {
		return fmt.Errorf("%s is more than %s", d, t.Most)
	}
	return nil
}

func (w *writer) mapValue(rl *rule, m traits.Mapper, depth int) error {
	keys := make([]string, 0)
	for it := m.Iterator(); it.HasNext() == types.True; {
		k, ok := it.Next().(types.String)
		if !ok {
			return errors.New("a field's name is not a text")
		}
		keys = append(keys, string(k))
	}
	slices.Sort(keys)
	w.b = append(w.b, '{')
	for i, k := range keys {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		if err := w.text(k); err != nil {
			return err
		}
		w.b = append(w.b, ':')
		if err := w.value(rl, m.Get(types.String(k)), depth+1); err != nil {
			return fmt.Errorf("%s: %w", clip(k), err)
		}
	}
	w.b = append(w.b, '}')
	return w.full()
}

func (w *writer) listValue(rl *rule, l traits.Lister, depth int) error {
	w.b = append(w.b, '[')
	for i, it := 0, l.Iterator(); it.HasNext() == types.True; i++ {
		if i > 0 {
			w.b = append(w.b, ',')
		}
		if err := w.value(rl, it.Next(), depth+1); err != nil {
			return fmt.Errorf("element %d: %w", i, err)
		}
	}
	w.b = append(w.b, ']')
	return w.full()
}

// numeric tells whether the rule says how a number is written.
func (f *format) numeric() bool { return f.scale != nil || f.maxScale != nil || f.maxDigits > 0 }

// digits is a number as the rule says: exactly, or rounded where it says how.
func (f *format) digits(d decimal.Decimal) (string, error) {
	out, err := f.scaled(d)
	if err != nil || f.maxDigits == 0 {
		return out.String(), err
	}
	s := out.String()
	whole, _, _ := strings.Cut(strings.TrimPrefix(s, "-"), ".")
	if len(whole) > f.maxDigits {
		return "", fmt.Errorf("%s has more than %d digits before the point: %w", s, f.maxDigits, errNoRoom)
	}
	return s, nil
}

func (f *format) scaled(d decimal.Decimal) (decimal.Decimal, error) {
	scale := f.scale
	if f.maxScale != nil && d.Scale() > *f.maxScale {
		scale = f.maxScale
	}
	switch {
	case scale == nil:
		return d, nil
	case f.round != "" && f.round != roundNever:
		return d.Round(*scale, f.round)
	default:
		return d.Rescale(*scale)
	}
}

// remedy says what to do about a value that the rule has no room for. Whoever reads it has a message that stopped its lane before them.
func (f *format) remedy(err error) string {
	places := f.scale
	if places == nil {
		places = f.maxScale
	}
	switch {
	case errors.Is(err, decimal.ErrInexact) && places != nil:
		return fmt.Sprintf("the ERP keeps %d places here: correct the value with holdfast msg edit, or say in the mapping how to round (round: half-up), "+
			"then holdfast msg retry", *places)
	case errors.Is(err, errNoRoom):
		return "the ERP has no room for it: correct the value with holdfast msg edit, or make it shorter in the mapping, then holdfast msg retry"
	}
	return ""
}

// errNoRoom is of a value with more digits or characters than its place has.
var errNoRoom = errors.New("there is no room for it")

// fit is a text of at most the rule's length.
func (f *format) fit(s string) (string, error) {
	if f.length == 0 || utf8.RuneCountInString(s) <= f.length {
		return s, nil
	}
	if !f.cut {
		return "", fmt.Errorf("%q is longer than %d characters: %w", clip(s), f.length, errNoRoom)
	}
	return string([]rune(s)[:f.length]), nil
}
