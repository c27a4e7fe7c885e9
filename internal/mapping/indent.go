package mapping

import (
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

var keyOfLine = regexp.MustCompile(`^ *(?:- )?([^\s#:]+:)(?: |$)`)

// indentHint says how far to the right a line stands where no key above it stands so far; "" if one does. The number is counted from 1.
func (s *source) indentHint(number int) string {
	if number < 2 || number > len(s.lines) {
		return ""
	}
	indent := func(line string) int { return len(line) - len(strings.TrimLeft(line, " ")) }
	here, least := indent(s.lines[number-1]), -1
	var levels []string
	for i := number - 2; i >= 0 && len(levels) < 2; i-- {
		line := s.lines[i]
		key, n := keyOfLine.FindStringSubmatch(line), indent(line)
		switch {
		case key == nil || least >= 0 && n >= least:
			continue
		case n == here:
			return ""
		case n == 0:
			i = 0
			continue
		}
		least = n
		levels = append(levels, fmt.Sprintf("with %d, as %q", n, key[1]))
		if len(levels) == 1 {
			levels[0] = fmt.Sprintf("begin it with %d %s, as %q above it", n, map[bool]string{true: "blank", false: "blanks"}[n == 1], key[1])
		}
	}
	return strings.Join(levels, ", or ")
}

// looksLikeAField finds a constant that somebody meant as an expression.
var looksLikeAField = regexp.MustCompile(`^(src|event)((?:[.][?]?[A-Za-z_][A-Za-z0-9_]*)+)$`)

// meantAsField refuses letters that are those of a field.
func (c *compiler) meantAsField(at place, text, path string) {
	if m := looksLikeAField.FindStringSubmatch(text); m != nil {
		c.advise(at, path, fmt.Sprintf("it writes the letters %q into every document, and not what the field holds", text),
			fmt.Sprintf("write value: %s; letters that look like a field can be made: '%q + %q'", text, m[1], m[2]))
	}
}

var commaNumber = regexp.MustCompile(`^(-?[0-9]+),([0-9]+)$`)

// noNumber says what is wrong with a text that is no number, and what to do.
func noNumber(text string, err error) (why, hint string) {
	if m := commaNumber.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("%q has a comma, and a number has a point", clip(text)), "write " + m[1] + "." + m[2]
	}
	return err.Error(), numberHint
}

var digitsBefore = regexp.MustCompile(`[:\s](-?[0-9]+),\s*$`)

// commaBefore is the number before a comma behind which a key of digits stands, as in {const: 1,5}.
func (s *source) commaBefore(key *yaml.Node) (number string, ok bool) {
	if strings.Trim(key.Value, "0123456789") != "" || key.Line > len(s.lines) {
		return "", false
	}
	line := []rune(s.lines[key.Line-1])
	m := digitsBefore.FindStringSubmatch(string(line[:min(key.Column-1, len(line))]))
	if m == nil {
		return "", false
	}
	return m[1], true
}
