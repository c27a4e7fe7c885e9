package mapping

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Mistake is one thing that is wrong in a mapping file. It prints as "file:line:column: what: why (hint)".
type Mistake struct {
	File      string
	Line, Col int    // from 1
	What      string // the place in the mapping, such as "fields.items.material"
	Why       string
	Hint      string
}

// Error is one line.
func (m *Mistake) Error() string {
	s := fmt.Sprintf("%s:%d:%d: %s: %s", m.File, m.Line, m.Col, m.What, m.Why)
	if m.Hint != "" {
		s += " (" + m.Hint + ")"
	}
	return s
}

// place is where something stands in a file.
type place struct {
	file      string
	line, col int
}

func (p place) String() string { return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.col) }

// source is a mapping file's text, to find columns in.
type source struct {
	file  string
	lines []string
}

// within is the place of line and column (both from 1) of the text of a scalar. In a folded text, lines are not kept: there the
// scalar's own place is given.
func (s *source) within(n *yaml.Node, line, col int) place {
	at := place{s.file, n.Line, n.Column}
	switch {
	case n.Style&yaml.LiteralStyle != 0:
		if l := n.Line + line; l <= len(s.lines) {
			first := s.lines[min(n.Line, len(s.lines)-1)]
			return place{s.file, l, len(first) - len(strings.TrimLeft(first, " ")) + col}
		}
	case line > 1 || n.Style&yaml.FoldedStyle != 0 || n.Line > len(s.lines):
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		at.col += 1 + s.quoted(n, col-1)
	default:
		at.col += col - 1
	}
	return at
}

// quoted is how many characters of the file the first chars characters of a quoted scalar take: ” in single quotes is one
// apostrophe, an escape in double quotes is one character.
func (s *source) quoted(n *yaml.Node, chars int) int {
	text := []rune(s.lines[n.Line-1])
	start := n.Column // the quote stands at n.Column-1
	i := start
	for ; chars > 0 && i < len(text); chars-- {
		double := n.Style&yaml.SingleQuotedStyle != 0 && text[i] == '\'' || n.Style&yaml.DoubleQuotedStyle != 0 && text[i] == '\\'
		if i++; double {
			i++
		}
	}
	return i - start
}

// nearest is the candidate that differs from name in the fewest letters, if they are few.
func nearest(name string, candidates []string) string {
	name = clip(name)
	letters := utf8.RuneCountInString(name)
	best, found := max(min(3, letters), letters/2), ""
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(name, c); d < best {
			best, found = d, c
		}
	}
	return found
}

// distance is the fewest letters to insert, remove, change, or swap with their neighbour.
func distance(a, b string) int {
	x, y := []rune(a), []rune(b)
	rows := make([][]int, len(x)+1)
	for i := range rows {
		rows[i] = make([]int, len(y)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(x); i++ {
		for j := 1; j <= len(y); j++ {
			change := 1
			if x[i-1] == y[j-1] {
				change = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && x[i-1] == y[j-2] && x[i-2] == y[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(x)][len(y)]
}

func clip(s string) string {
	if len(s) > 60 {
		return strings.ToValidUTF8(s[:60], "") + "…"
	}
	return s
}
