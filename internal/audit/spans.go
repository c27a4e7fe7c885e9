package audit

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// Span is places of the tree one after the other, the last among them.
type Span struct{ First, Last int64 }

// Spans are places in ascending order.
type Spans []Span

// Has tells whether a place is among them.
func (s Spans) Has(place int64) bool {
	return slices.ContainsFunc(s, func(one Span) bool { return one.First <= place && place <= one.Last })
}

// covers tells whether every place of a span is among them, in whatever order they are.
func (s Spans) covers(one Span) bool {
	for first := one.First; ; {
		i := slices.IndexFunc(s, func(have Span) bool { return have.First <= first && first <= have.Last })
		if i < 0 {
			return false
		}
		if first = s[i].Last + 1; first > one.Last {
			return true
		}
	}
}

// with are these places and more. Of more than mostDenied spans those become one that have the least between them, which is denied with them: better
// something of the plant's own is not believed than something of another's is.
func (s Spans) with(more []int64) Spans {
	all := slices.Clone(s)
	for _, place := range more {
		all = append(all, Span{place, place})
	}
	slices.SortFunc(all, func(a, b Span) int { return cmp.Compare(a.First, b.First) })
	all = slices.Compact(all)
	between := make([]int64, 0, len(all))
	for i := 1; i < len(all); i++ {
		between = append(between, all[i].First-all[i-1].Last)
	}
	surplus := len(all) - mostDenied
	if surplus <= 0 {
		return all
	}
	slices.Sort(between)
	widest := between[surplus-1]
	out := Spans{all[0]}
	for _, one := range all[1:] {
		last := &out[len(out)-1]
		if one.First-last.Last <= widest && surplus > 0 {
			last.Last = max(last.Last, one.Last)
			surplus--
			continue
		}
		out = append(out, one)
	}
	return out
}

// String is the places as a checkpoint has them: "5 7-9".
func (s Spans) String() string {
	text := make([]string, len(s))
	for i, one := range s {
		text[i] = strconv.FormatInt(one.First, 10)
		if one.Last != one.First {
			text[i] += "-" + strconv.FormatInt(one.Last, 10)
		}
	}
	return strings.Join(text, " ")
}

// parseSpans reads them. What is none gives another text than it was read from.
func parseSpans(text string) (all Spans) {
	for _, field := range strings.Fields(text) {
		from, to, is := strings.Cut(field, "-")
		if !is {
			to = from
		}
		first, _ := strconv.ParseInt(from, 10, 64)
		last, _ := strconv.ParseInt(to, 10, 64)
		all = append(all, Span{first, last})
	}
	return all
}
