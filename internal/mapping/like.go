package mapping

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"unicode/utf8"

	"holdfast/internal/schema"
)

// mostRepeats is how often more than it must a part of a pattern is repeated in what is made up, and likeTries how often a text is made up that fits.
const mostRepeats, likeTries = 6, 20

// like makes up a text that fits the pattern of a type and its lengths; false where it finds none.
func (g *generator) like(t *schema.Type) (string, bool) {
	re, err := syntax.Parse(t.Pattern, syntax.Perl)
	if err != nil {
		return "", false
	}
	fits, err := regexp.Compile(t.Pattern)
	if err != nil {
		return "", false
	}
	for range likeTries {
		var b strings.Builder
		g.write(&b, re)
		text := b.String()
		if n := utf8.RuneCountInString(text); n >= t.MinLength && (t.MaxLength == 0 || n <= t.MaxLength) && fits.MatchString(text) {
			return text, true
		}
	}
	return "", false
}

// matchesPattern tells whether a text fits a pattern that can be read.
func matchesPattern(pattern, text string) bool {
	fits, err := regexp.Compile(pattern)
	return err == nil && fits.MatchString(text)
}

// write adds a text to b that a part of a pattern takes.
func (g *generator) write(b *strings.Builder, re *syntax.Regexp) {
	switch re.Op { //nolint:exhaustive // the others take no rune
	case syntax.OpLiteral:
		b.WriteString(string(re.Rune))
	case syntax.OpCharClass:
		b.WriteRune(g.among(re.Rune))
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		b.WriteRune([]rune(alphabet)[g.r.IntN(utf8.RuneCountInString(alphabet))])
	case syntax.OpAlternate:
		g.write(b, re.Sub[g.r.IntN(len(re.Sub))])
	case syntax.OpCapture, syntax.OpConcat:
		for _, sub := range re.Sub {
			g.write(b, sub)
		}
	case syntax.OpStar, syntax.OpPlus, syntax.OpQuest, syntax.OpRepeat:
		least, most := g.times(re)
		for range least + g.r.IntN(most-least+1) {
			g.write(b, re.Sub[0])
		}
	}
}

// times is how often a part is repeated at least and at most. Now and then it is as often as it may be: what fits last is where mappings fail.
func (g *generator) times(re *syntax.Regexp) (least, most int) {
	switch re.Op { //nolint:exhaustive // see write
	case syntax.OpQuest:
		return 0, 1
	case syntax.OpRepeat:
		if least, most = re.Min, re.Max; most >= 0 && g.r.IntN(4) == 0 {
			least = most
		}
	case syntax.OpPlus:
		least, most = 1, -1
	default:
		most = -1
	}
	if bound := least + mostRepeats; most < 0 || most > bound {
		most = bound
	}
	return least, most
}

// among is one of a class of runes, of which pairs give the first and the last: a printable one of ASCII where there is one.
func (g *generator) among(pairs []rune) rune {
	var plain []rune
	for i := 0; i+1 < len(pairs); i += 2 {
		for r := max(pairs[i], ' '); r <= min(pairs[i+1], '~'); r++ {
			plain = append(plain, r)
		}
	}
	switch {
	case len(plain) > 0:
		return plain[g.r.IntN(len(plain))]
	case len(pairs) > 0:
		return pairs[0]
	}
	return 'A'
}
