package mapping

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
	"unicode/utf8"

	"holdfast/internal/decimal"
	"holdfast/internal/schema"
)

// eitherPlace is where texts stand that come from one of two expressions.
func eitherPlace(x, y map[string]place) map[string]place {
	switch {
	case len(x) == 0:
		return y
	case len(y) == 0:
		return x
	}
	out := maps.Clone(y)
	maps.Copy(out, x)
	return out
}

// joinedPlaces is where the longer part of each text stands that comes of joining two, both of which the mapping or its tables have.
func joinedPlaces(x, y shape) map[string]place {
	out := map[string]place{}
	for _, a := range x.enum {
		for _, b := range y.enum {
			at, ok1 := x.stands[a]
			other, ok2 := y.stands[b]
			if len(b) > len(a) {
				at = other
			}
			if ok1 && ok2 {
				out[a+b] = at
			}
		}
	}
	return out
}

// carriedPlaces is where each text stands that a function makes of others.
func carriedPlaces(of map[string]place, f func(string) string) map[string]place {
	out := make(map[string]place, len(of))
	for _, v := range sortedKeys(of) {
		if _, twice := out[f(v)]; !twice {
			out[f(v)] = of[v]
		}
	}
	return out
}

// noRoom finds texts of the mapping and its tables that a rule can never write: each message with one would stop. They are told where they stand.
func (c *compiler) noRoom(r *rule) {
	for i, e := range []*expr{r.value, r.absent} {
		path := r.path + []string{"", ".default"}[i]
		if e == nil {
			continue
		}
		told := 0
		for _, s := range e.shape.kinds() {
			for _, v := range s.texts() {
				at, stands := s.stands[v]
				why, hint := r.refuses(v)
				if !stands || why == "" || told == mostCodes {
					continue
				}
				told++
				c.advise(at, path, why, hint)
			}
		}
	}
}

// numberHint is how a number is written.
const numberHint = "write it with a point, and without blanks and commas, such as 1234.5"

// refuses says why a rule cannot write a text, "" if it can, and what to do.
func (f *format) refuses(v string) (why, hint string) {
	if f.as == "number" {
		if _, err := decimal.Parse(v); err != nil {
			return noNumber(v, err)
		}
		return "", ""
	}
	if _, err := f.fit(v); err != nil {
		n := utf8.RuneCountInString(v)
		return fmt.Sprintf("%q has %d characters, and maxLength stops each message with more than %d", clip(v), n, f.length),
			fmt.Sprintf("write a shorter one, make room for it: maxLength: %d, or say cut: true if the rest may be lost", n)
	}
	return "", ""
}

// tooLong finds texts of the mapping and its tables that are longer than the target takes, and tells whether no others can be.
func (k *checking) tooLong(r *rule, s shape, name string, t *schema.Type) (all bool) {
	found := 0
	all = s.enum != nil
	for _, v := range s.texts() {
		n := utf8.RuneCountInString(v)
		if n <= t.MaxLength {
			continue
		}
		at, stands := s.stands[v]
		if all = all && stands; stands && found < mostCodes {
			found++
			k.wrong(at, r.path, fmt.Sprintf("%q has %d characters, and %s takes %d", clip(v), n, name, t.MaxLength),
				fmt.Sprintf("write a shorter one, or add maxLength: %d and cut: true if the rest may be lost", t.MaxLength))
		}
	}
	return all && found > 0
}

// exponents finds numbers in texts that are written with an exponent, which nobody reads as one where it arrives.
func (k *checking) exponents(r *rule, s shape, name string, at place) {
	for _, v := range s.texts() {
		if d, err := decimal.Parse(v); err == nil && strings.ContainsAny(v, "eE") {
			k.advise(cmp.Or(s.stands[v], at), r.path, fmt.Sprintf("%q has an exponent, and %s is written without one", clip(v), name), "write "+d.String())
			return
		}
	}
}
