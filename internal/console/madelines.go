package console

import (
	"strconv"
	"strings"

	"holdfast/internal/mapping"
)

// madeLine is one line of a document with the rule that made what stands on it.
type madeLine struct {
	Text string
	Rule string // "" where the line only closes something
	Line int    // of the rules
	Col  int
}

// madeLines are the lines of a document, one value on each.
func madeLines(made mapping.Made) []madeLine {
	by := map[int]mapping.Origin{} // the innermost that begins at a byte
	for _, o := range made.From {
		if was, ok := by[o.Start]; !ok || o.End <= was.End {
			by[o.Start] = o
		}
	}
	l := layout{body: made.Body, by: by}
	l.run()
	return l.lines
}

// layout breaks JSON without spaces into lines.
type layout struct {
	body  []byte
	by    map[int]mapping.Origin
	lines []madeLine
	text  strings.Builder
	rule  mapping.Origin
	found bool
	depth int
}

func (l *layout) run() {
	for i := 0; i < len(l.body) && len(l.lines) < mostLines; i++ {
		if o, ok := l.by[i]; ok && !l.found {
			l.rule, l.found = o, true
		}
		switch b := l.body[i]; b {
		case '"':
			end := i + 1
			for end < len(l.body) && l.body[end] != '"' {
				if l.body[end] == '\\' {
					end++
				}
				end++
			}
			l.text.Write(l.body[i:min(end+1, len(l.body))])
			i = end
		case '{', '[':
			l.text.WriteByte(b)
			if i+1 < len(l.body) && l.body[i+1] == b+2 { // the closing sign comes two after the opening one
				continue
			}
			l.flush()
			l.depth++
		case '}', ']':
			if l.body[i-1] != b-2 {
				l.flush()
				l.depth--
			}
			l.text.WriteByte(b)
		case ',':
			l.text.WriteByte(b)
			l.flush()
		case ':':
			l.text.WriteString(": ")
		default:
			l.text.WriteByte(b)
		}
	}
	l.flush()
}

// flush ends a line.
func (l *layout) flush() {
	if l.text.Len() == 0 {
		return
	}
	m := madeLine{Text: strings.Repeat("  ", l.depth) + l.text.String()}
	if l.found {
		m.Rule = l.rule.Rule
		if at := strings.Split(l.rule.Place, ":"); len(at) >= 3 {
			m.Line, _ = strconv.Atoi(at[len(at)-2]) // Place is file:line:column
			m.Col, _ = strconv.Atoi(at[len(at)-1])
		}
	}
	l.lines, l.found = append(l.lines, m), false
	l.text.Reset()
}
