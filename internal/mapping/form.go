package mapping

import (
	"encoding/binary"
	"fmt"
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
	"unicode"
)

// What a text looks like that a function reads. A day or a time may look like one and be none, as 2026-02-30.
const (
	numberForm  = `^-?[0-9]{1,38}([.][0-9]{1,38})?$`
	wholeForm   = `^[+-]?[0-9]{1,18}$`
	boolForm    = `^([01tTfF]|true|TRUE|True|false|FALSE|False)$`
	dayForm     = `^[0-9]{4}-[0-9]{2}-[0-9]{2}$`
	clockForm   = `^[0-9]{2}:[0-9]{2}:[0-9]{2}$`
	timeForm    = `^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$`
	compactForm = `^([0-9]{8}|[-0 ]*)$`
	secondsForm = `^[0-9]{6}$`
)

// maxStates bounds the places of a pattern, and what a text can come to in two of them.
const maxStates = 3000

// maxSteps bounds the work for two patterns, of which each place that is looked at is a step. Those of most contracts take some thousands.
const maxSteps = 200_000

// maxAnswers bounds what is kept of covered: an editor of mappings asks about a pattern at each letter.
const maxAnswers = 1000

var (
	answers sync.Map     // [2]string{pattern, by} → [3]bool{all, some, known}
	told    atomic.Int64 // how many
)

// covered tells of a pattern whether each text that it takes is one that another takes, and whether there is such a text at all. known is false
// where that would take too long, or a pattern has word boundaries and the like. The mappings of a plant ask the same few questions: an answer is kept.
func covered(pattern, by string) (all, some, known bool) {
	a, ok := answers.Load([2]string{pattern, by})
	if !ok {
		all, some, known = walked(pattern, by)
		if a = [3]bool{all, some, known}; told.Add(1) > maxAnswers {
			answers.Clear()
			told.Store(0)
		}
		answers.Store([2]string{pattern, by}, a)
	}
	b := a.([3]bool)
	return b[0], b[1], b[2]
}

func walked(pattern, by string) (all, some, known bool) {
	left := steps(maxSteps)
	return left.walked(pattern, by)
}

// steps are those that may still be taken; what comes of patterns when none is left is not known.
type steps int

func (left *steps) walked(pattern, by string) (all, some, known bool) {
	a, okA := automaton(pattern, left)
	b, okB := automaton(by, left)
	if !okA || !okB {
		return false, false, false
	}
	runes := classes(a, b)
	if all = *left >= 0; !all {
		return false, false, false
	}
	start := [2]states{a.start(), b.start()}
	todo, seen := [][2]states{start}, map[string]bool{start[0].key() + "/" + start[1].key(): true}
	for len(todo) > 0 {
		x, y := todo[0][0], todo[0][1]
		todo = todo[1:]
		switch inA, inB := a.ends(x), b.ends(y); {
		case inA && inB:
			some = true
		case inA:
			all = false
		}
		if some && !all {
			return false, true, true
		}
		for _, r := range runes {
			next := a.after(x, r)
			if !next.alive() {
				continue
			}
			with := b.after(y, r)
			if key := next.key() + "/" + with.key(); !seen[key] {
				seen[key], todo = true, append(todo, [2]states{next, with})
			}
			if *left < 0 || len(seen) > maxStates {
				return false, false, false
			}
		}
	}
	return all, some, true
}

// classes are runes of which one stands for all that two patterns do not tell apart. A class as \pL has more than a thousand borders.
func classes(a, b *machine) (out []rune) {
	tests, seen := slices.Concat(a.tests(), b.tests()), map[string]bool{}
	for _, r := range borders(tests, a.left) {
		if *a.left -= steps(len(tests)); *a.left < 0 {
			return nil
		}
		taken := make([]byte, len(tests))
		for i, t := range tests {
			if t.MatchRune(r) {
				taken[i] = 1
			}
		}
		if !seen[string(taken)] {
			seen[string(taken)], out = true, append(out, r)
		}
	}
	return out
}

// machine takes a text rune by rune, as a pattern has it.
type machine struct {
	*syntax.Prog

	left     *steps
	anchored bool  // a text can fit from its beginning alone
	seen     []int // in which round an instruction was last looked at
	round    int
}

// states are the places in a pattern that a text may have come to.
type states struct {
	at     []uint32
	begins bool // nothing was taken yet
	done   bool // it fits, whatever follows
}

func automaton(pattern string, left *steps) (*machine, bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil || placesOf(re, maxStates) > maxStates {
		return nil, false
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil || len(prog.Inst) > maxStates || slices.ContainsFunc(prog.Inst, func(i syntax.Inst) bool {
		return i.Op == syntax.InstEmptyWidth && i.Arg&^uint32(syntax.EmptyBeginText|syntax.EmptyEndText) != 0
	}) {
		return nil, false
	}
	m := &machine{Prog: prog, left: left, seen: make([]int, len(prog.Inst))}
	takers, fits := m.reached(states{at: []uint32{uint32(m.Start)}}, true) //nolint:gosec // an index of its instructions
	m.anchored = len(takers) == 0 && !fits
	return m, true
}

func (m *machine) start() states {
	return m.settled(states{at: []uint32{uint32(m.Start)}, begins: true}) //nolint:gosec // an index of its instructions
}

func (s states) key() string {
	out := []byte{0}
	if s.done {
		return "*"
	}
	if s.begins {
		out[0] = 1
	}
	for _, pc := range s.at {
		out = binary.BigEndian.AppendUint32(out, pc)
	}
	return string(out)
}

// alive tells whether a text can still fit.
func (s states) alive() bool { return s.done || len(s.at) > 0 }

// settled notes whether the text fits already.
func (m *machine) settled(s states) states {
	_, s.done = m.reached(s, false)
	return s
}

// ends tells whether the text fits if it ends here.
func (m *machine) ends(s states) bool {
	_, fits := m.reached(s, true)
	return s.done || fits
}

// reached follows what takes no rune, to the instructions that take one.
func (m *machine) reached(s states, end bool) (takers []uint32, fits bool) {
	m.round++
	todo := slices.Clone(s.at)
	for len(todo) > 0 {
		pc := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		*m.left--
		if m.seen[pc] == m.round {
			continue
		}
		m.seen[pc] = m.round
		switch in := m.Inst[pc]; in.Op {
		case syntax.InstAlt, syntax.InstAltMatch:
			todo = append(todo, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			todo = append(todo, in.Out)
		case syntax.InstEmptyWidth:
			if (in.Arg&uint32(syntax.EmptyBeginText) == 0 || s.begins) && (in.Arg&uint32(syntax.EmptyEndText) == 0 || end) {
				todo = append(todo, in.Out)
			}
		case syntax.InstMatch:
			fits = true
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			takers = append(takers, pc)
		}
	}
	return takers, fits
}

// after is where a text is after one more rune. A pattern may begin to fit anywhere, unless ^ forbids it.
func (m *machine) after(s states, r rune) states {
	if s.done {
		return s
	}
	takers, _ := m.reached(s, false)
	next := map[uint32]bool{}
	for _, pc := range takers {
		if m.Inst[pc].MatchRune(r) {
			next[m.Inst[pc].Out] = true
		}
	}
	if entry := uint32(m.Start); !m.anchored { //nolint:gosec // an index of its instructions
		next[entry] = true
	}
	out := states{}
	for pc := range next {
		out.at = append(out.at, pc)
	}
	slices.Sort(out.at)
	return m.settled(out)
}

// tests are the instructions that take a rune, without most of those that take the same ones: a repetition shares its class.
func (m *machine) tests() (out []*syntax.Inst) {
	type class struct {
		op    syntax.InstOp
		flags uint32
		first *rune
		one   rune
	}
	seen := map[class]bool{}
	for i := range m.Inst {
		in := &m.Inst[i]
		c := class{op: in.Op, flags: in.Arg}
		switch in.Op { //nolint:exhaustive // the others take no rune
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if len(in.Rune) == 1 {
				c.one = in.Rune[0]
			} else if len(in.Rune) > 1 {
				c.first = &in.Rune[0]
			}
			if !seen[c] {
				seen[c], out = true, append(out, in)
			}
		}
	}
	return out
}

// borders are runes of which one stands for each class that some instructions tell apart.
func borders(tests []*syntax.Inst, left *steps) []rune {
	out := []rune{0, '\n', '\n' + 1}
	for _, in := range tests {
		if *left -= steps(len(in.Rune)); *left < 0 {
			return nil
		}
		for i, r := range in.Rune {
			if out = append(out, r); i%2 == 1 || len(in.Rune) == 1 {
				out = append(out, min(r+1, unicode.MaxRune))
			}
			if len(in.Rune) == 1 {
				for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
					out = append(out, f, f+1)
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// longestOf is how many runes a text has at most that fits a pattern; false if it may have any number.
func longestOf(pattern string) (int, bool) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0, false
	}
	parts := []*syntax.Regexp{re}
	if re.Op == syntax.OpConcat {
		parts = re.Sub
	}
	if len(parts) < 2 || parts[0].Op != syntax.OpBeginText || parts[len(parts)-1].Op != syntax.OpEndText {
		return 0, false
	}
	return runesOf(re)
}

func runesOf(re *syntax.Regexp) (n int, bounded bool) {
	switch re.Op { //nolint:exhaustive // the others take no rune
	case syntax.OpLiteral:
		return len(re.Rune), true
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return 1, true
	case syntax.OpStar, syntax.OpPlus:
		return 0, false
	case syntax.OpRepeat:
		one, ok := runesOf(re.Sub[0])
		return one * re.Max, ok && re.Max >= 0
	}
	for _, sub := range re.Sub {
		one, ok := runesOf(sub)
		if !ok {
			return 0, false
		}
		if re.Op == syntax.OpAlternate {
			n = max(n, one)
		} else {
			n += one
		}
	}
	return n, true
}

// maxRepeat is the most that a pattern may repeat.
const maxRepeat = 1000

// patternOf is one that each text of a shape fits, beside those that are known.
func (s shape) patternOf() string {
	switch {
	case s.pattern != "":
		if readable(s.pattern) {
			return s.pattern
		}
	case s.length > 0 && s.length <= maxRepeat:
		return fmt.Sprintf("(?s)^.{0,%d}$", s.length)
	}
	return "(?s).*"
}

// readable tells whether Go has such patterns. It compiles none, since repetitions within repetitions are short to write and take long.
func readable(pattern string) bool {
	_, err := syntax.Parse(pattern, syntax.Perl)
	return err == nil
}
