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

// within is the place of line and column (both from 1) of the text of a scalar. Of a function it is that of its name, since CEL points behind it.
func (s *source) within(n *yaml.Node, line, col int) place {
	value := strings.Split(n.Value, "\n")
	if line <= len(value) {
		col = nameBefore([]rune(value[line-1]), col)
	}
	at := place{s.file, n.Line, n.Column}
	switch {
	case line > len(value) || n.Line > len(s.lines):
	case n.Style&yaml.LiteralStyle != 0:
		if l := n.Line + line; l <= len(s.lines) {
			return place{s.file, l, len(strings.TrimSuffix(s.lines[l-1], "\r")) - len(value[line-1]) + col}
		}
	case n.Style&yaml.FoldedStyle == 0 && strings.Contains(s.lines[n.Line-1], n.Value): // it stands there as it is
		if at.col += col - 1; n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
			at.col++
		}
	default:
		offset := col - 1
		for _, l := range value[:line-1] {
			offset += utf8.RuneCountInString(l) + 1
		}
		if found, ok := s.follow(n, []rune(n.Value), offset); ok {
			return found
		}
	}
	return at
}

// nameBefore is where the name of a function begins whose bracket stands at a column, and else the column.
func nameBefore(line []rune, col int) int {
	at := col
	if col-1 < len(line) && line[col-1] == '(' {
		for at > 1 && (letter(line[at-2]) || digit(line[at-2])) {
			at--
		}
	}
	return at
}

// follow goes through a scalar as it stands in the file to so many characters of its value: a line's end is a blank, an apostrophe is two in
// single quotes, and an escape in double quotes is one character.
func (s *source) follow(n *yaml.Node, value []rune, offset int) (place, bool) {
	line, text := n.Line, []rune(s.lines[n.Line-1])
	i := n.Column - 1
	single, double := n.Style&yaml.SingleQuotedStyle != 0, n.Style&yaml.DoubleQuotedStyle != 0
	if single || double {
		i++
	}
	next := func() bool { // to the first character of the next line that is not empty
		for line < len(s.lines) {
			line, text = line+1, []rune(s.lines[line])
			if i = len(text) - len([]rune(strings.TrimLeft(string(text), " \t\r"))); i < len(text) {
				return true
			}
		}
		return false
	}
	v := 0
	if n.Style&yaml.FoldedStyle != 0 {
		if !next() {
			return place{}, false
		}
		for v < len(value) && (value[v] == ' ' || value[v] == '\n') { // empty lines, and blanks beyond the indentation, stand before what next has found
			v++
		}
	}
	for ; v < len(value); v++ {
		rest := strings.TrimRight(string(text[min(i, len(text)):]), " \t\r")
		if ends := rest == ""; ends || double && rest == `\` {
			for ends && v < len(value) && (value[v] == ' ' || value[v] == '\n') {
				v++
			}
			if !next() {
				return place{}, false
			}
		}
		if v >= offset {
			break
		}
		i += taken(text[i:], single, double)
	}
	return place{s.file, line, i + 1}, true
}

// taken is how many characters of the file one of a value takes.
func taken(text []rune, single, double bool) int {
	switch {
	case single && text[0] == '\'' && len(text) > 1:
		return 2
	case double && text[0] == '\\' && len(text) > 1:
		return 2 + map[rune]int{'x': 2, 'u': 4, 'U': 8}[text[1]]
	}
	return 1
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
