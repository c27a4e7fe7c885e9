package console

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"holdfast/internal/edition"
	"holdfast/internal/problem"
)

// line is one line of a document: Sign is + for what is new, - for what has gone, and ! for what the ERP's answer names.
type line struct {
	Sign string
	Text string
	ID   string // of a line that an answer names
}

// mostLines is how many lines of a document are shown and compared.
const mostLines = 2000

// pretty is a JSON document with one value a line; what is no JSON stays as it is.
func pretty(body []byte) string {
	var out bytes.Buffer
	if err := json.Indent(&out, bytes.TrimSpace(body), "", "  "); err != nil {
		return strings.ToValidUTF8(string(body), "\uFFFD")
	}
	return out.String()
}

// CheckJSON refuses a text that somebody has edited and that is no JSON, and says where: line and column as an editor counts them. what is what it is for.
func CheckJSON(what string, text []byte) error {
	var whole json.RawMessage
	err := json.Unmarshal(text, &whole)
	bad, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return nil
	}
	read := text[:min(len(text), max(0, int(bad.Offset)-1))]
	line, column := 1+bytes.Count(read, []byte("\n")), 1+utf8.RuneCount(read[1+bytes.LastIndexByte(read, '\n'):])
	return &problem.Error{
		Kind: problem.Invalid, What: what, Why: fmt.Sprintf("line %d, column %d is not JSON: %s", line, column, bad.Error()),
		Hint: "names and texts stand in double quotes, a comma between two and none after the last; nothing was changed",
	}
}

// compact is a JSON document of a form without the spaces that made it legible; what is no JSON stays as it is, and is refused.
func compact(text string) []byte {
	var out bytes.Buffer
	if err := json.Compact(&out, []byte(text)); err != nil {
		return []byte(text)
	}
	return out.Bytes()
}

// linesOf are the lines of a document, cut where nobody reads on.
func linesOf(text string) []string {
	all := strings.Split(text, "\n")
	if len(all) > mostLines {
		all = append(all[:mostLines:mostLines], "…")
	}
	return all
}

// plain are the lines of a document as they are.
func plain(text string) []line {
	var out []line
	for _, l := range linesOf(text) {
		out = append(out, line{Text: l})
	}
	return out
}

// diff are the lines of now, with those of was that have gone between them: a longest common subsequence, of what differs in the middle.
func diff(was, now string) []line { return diffLines(linesOf(was), linesOf(now)) }

func diffLines(a, b []string) []line {
	head := 0
	for head < len(a) && head < len(b) && a[head] == b[head] {
		head++
	}
	tail := 0
	for tail < len(a)-head && tail < len(b)-head && a[len(a)-1-tail] == b[len(b)-1-tail] {
		tail++
	}
	var out []line
	for _, l := range b[:head] {
		out = append(out, line{Text: l})
	}
	out = append(out, middle(a[head:len(a)-tail], b[head:len(b)-tail])...)
	for _, l := range b[len(b)-tail:] {
		out = append(out, line{Text: l})
	}
	return out
}

// middle compares what differs; where that is too much for a table, all of it has changed.
func middle(a, b []string) []line {
	var out []line
	if len(a)*len(b) > 1<<20 {
		for _, l := range a {
			out = append(out, line{Sign: "-", Text: l})
		}
		for _, l := range b {
			out = append(out, line{Sign: "+", Text: l})
		}
		return out
	}
	common := lengths(a, b)
	i, j := 0, 0
	for i < len(a) || j < len(b) {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			out = append(out, line{Text: b[j]})
			i, j = i+1, j+1
		case i < len(a) && (j == len(b) || common[i+1][j] >= common[i][j+1]):
			out = append(out, line{Sign: "-", Text: a[i]})
			i++
		default:
			out = append(out, line{Sign: "+", Text: b[j]})
			j++
		}
	}
	return out
}

// lengths has, for each pair of ends, how many lines these have in common in order.
func lengths(a, b []string) [][]int {
	t := make([][]int, len(a)+1)
	for i := range t {
		t[i] = make([]int, len(b)+1)
	}
	for i, l := range slices.Backward(a) {
		for j, k := range slices.Backward(b) {
			if l == k {
				t[i][j] = t[i+1][j+1] + 1
			} else {
				t[i][j] = max(t[i+1][j], t[i][j+1])
			}
		}
	}
	return t
}

// member finds the name of a line of JSON.
var member = regexp.MustCompile(`^\s*"([^"]+)":`)

// named marks the lines of a document whose member an answer names, and lists these members.
func named(doc []line, answer string) (fields []string) {
	words := strings.FieldsFunc(answer, func(r rune) bool {
		return r != '_' && r != '-' && (r < '0' || r > '9' && r < 'A' || r > 'Z' && r < 'a' || r > 'z')
	})
	for i, l := range doc {
		m := member.FindStringSubmatch(l.Text)
		if m == nil || len(m[1]) < 3 || !slices.Contains(words, m[1]) || slices.Contains(fields, m[1]) {
			continue
		}
		doc[i].Sign, doc[i].ID = "!", "field-"+m[1]
		fields = append(fields, m[1])
	}
	return fields
}

// functions are those that templates call.
func functions(assets map[string]asset) template.FuncMap {
	return template.FuncMap{
		"short":  edition.Short,
		"hashof": func(v string) string { return v[strings.LastIndex(v, "@")+1:] },
		"asset": func(name string) string {
			a, ok := assets[name]
			if !ok {
				panic("console: no asset " + name) // a test makes every page
			}
			return Root + "static/" + name + "?v=" + a.hash
		},
		"count": count, "bytes": bytesOf, "length": length,
		"list": func(all ...any) []any { return all },
		"tone": func(word any) string { return tone(fmt.Sprint(word)) },
	}
}

// tone is how a word of a state is shown.
func tone(word string) string {
	switch word {
	case "done", "completed", "technically-completed":
		return "positive"
	case "quarantined", "refused", "cancelled":
		return "negative"
	case "discarded", "superseded", "left-out", "voided":
		return "neutral"
	default:
		return "informative"
	}
}
