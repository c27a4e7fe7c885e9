package mapping

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
	"unicode/utf8"

	"holdfast/internal/schema"
)

// What texts of a format look like, or contain where it is the format of a text that was joined of some.
const (
	timeWithin = `[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}`
	uuidForm   = `^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$`
)

// form is a pattern that each text fits, beside those that are known; "" if there is none but for its length.
func (s shape) form() string {
	if s.pattern != "" && readable(s.pattern) {
		return s.pattern
	}
	return map[string]string{"date": dayForm, dateTime: timeWithin, isUUID: uuidForm}[s.format]
}

// mostJoined bounds the form of a text that was joined.
const mostJoined = 500

// joint is a part of a pattern that all of a text fits, from its beginning to its end; "" if there is none.
func (s shape) joint() string {
	if s.kind != schema.Text || s.some != nil {
		return ""
	}
	inner := ""
	if form := s.form(); s.enum != nil {
		quoted := make([]string, 0, len(s.enum))
		for _, v := range s.enum {
			quoted = append(quoted, regexp.QuoteMeta(v))
		}
		inner = strings.Join(quoted, "|")
	} else if anchored(form) {
		inner = form[1 : len(form)-1]
	}
	if inner == "" || len(inner) > mostJoined {
		return ""
	}
	return "(?:" + inner + ")"
}

// anchored tells whether a pattern begins with ^ and ends with $, and both hold for all of it.
func anchored(pattern string) bool {
	re, err := syntax.Parse(pattern, syntax.Perl)
	return err == nil && re.Op == syntax.OpConcat && re.Sub[0].Op == syntax.OpBeginText && re.Sub[len(re.Sub)-1].Op == syntax.OpEndText &&
		strings.HasPrefix(pattern, "^") && strings.HasSuffix(pattern, "$")
}

// canBe tells whether a text is one that a value may be, as far as that is known.
func (s shape) canBe(text string) bool {
	switch {
	case s.kind != schema.Text || slices.Contains(s.some, text):
		return true
	case s.enum != nil:
		return slices.Contains(s.enum, text)
	case s.length > 0 && !s.theirs && utf8.RuneCountInString(text) > s.length:
		return false
	}
	form := s.form()
	if form == "" {
		return true
	}
	_, some, known := covered("^(?:"+regexp.QuoteMeta(text)+")$", form)
	return some || !known
}

// apartFrom tells whether two texts can never be the same, by their patterns, their lengths and what each is known to be able to be.
func (s shape) apartFrom(o shape) bool {
	if s.kind != schema.Text || o.kind != schema.Text {
		return false
	}
	if o.enum != nil {
		s, o = o, s
	}
	if s.enum != nil {
		return !slices.ContainsFunc(s.enum, o.canBe)
	}
	if s.form() == "" || o.form() == "" || s.some != nil || o.some != nil {
		return false
	}
	_, some, known := covered(s.form(), o.form())
	return known && !some
}

// never says why no text that a rule writes is one that its target takes, "" if some may be. Of those that stand in the mapping each is looked at.
func (k *checking) never(r *rule, s shape, name string, t *schema.Type) (why, hint string) {
	if s.kind != schema.Text || s.enum != nil || !k.typed || r.as == "number" || r.numeric() {
		return "", ""
	}
	if r.cut { // a part of the form, of which the length is known
		s = shape{kind: s.kind, length: r.length}
	}
	fits := s.formSaid()
	if fits == "" {
		return "", ""
	}
	cannot := func(pattern string) bool {
		_, some, known := covered(s.formOrLength(), pattern)
		return known && !some
	}
	const change = "fill it up, take a part of it, or look it up in a table"
	switch {
	case t.Enum != nil && !slices.ContainsFunc(t.Enum, s.canBe):
		return fits + ", and " + name + " knows no such value", "look it up in a table; it takes " + strings.Join(t.Enum, ", ")
	case t.MinLength > 0 && t.MinLength <= maxRepeat && cannot(fmt.Sprintf("(?s)^.{%d,}$", t.MinLength)):
		return fmt.Sprintf("%s, and %s takes at least %d", fits, name, t.MinLength), change
	case t.Pattern != "" && cannot(t.Pattern):
		return fmt.Sprintf("%s, and %s takes what matches %s", fits, name, t.Pattern), change
	case takenForms[t.Format] != "" && cannot(takenForms[t.Format]):
		return fmt.Sprintf("%s, and %s is a %s", fits, name, formName(t.Format)), formatHint(t)
	}
	return "", ""
}

// takenForms are what a text looks like that a target of a format takes: a link of OData writes /Date(…)/ itself, and takes it too.
var takenForms = map[string]string{
	"date": dayForm, isUUID: uuidForm, schema.IsCivil: `^([0-9]{4}-[0-9]{2}-[0-9]{2}([Tt].*)?|/Date.*)$`,
	dateTime: `^([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})|/Date.*)$`,
}

// formSaid says what a text looks like; "" if nothing is known of it.
func (s shape) formSaid() string {
	switch {
	case s.pattern != "" && s.form() == s.pattern:
		return "it fits " + s.pattern
	case s.form() != "":
		return "it is a " + formName(s.format)
	case s.length > 0:
		return fmt.Sprintf("it has at most %d characters", s.length)
	}
	return ""
}

// formOrLength is patternOf, by the format where there is no pattern.
func (s shape) formOrLength() string {
	if form := s.form(); form != "" {
		return form
	}
	return s.patternOf()
}

// fitting are those of some codes that a text can be, and known tells whether that leaves any out; nil without known.
func (s shape) fitting(codes []string) (those []string, known bool) {
	if s.kind != schema.Text || s.enum != nil {
		return s.enum, s.enum != nil
	}
	those = slices.DeleteFunc(slices.Clone(codes), func(code string) bool { return !s.canBe(code) })
	if len(those) == len(codes) {
		return nil, false
	}
	return those, true
}
