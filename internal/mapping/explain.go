package mapping

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v4"
)

// issues turns CEL's errors into mistakes at their place in the file. Of an expression that cannot be read there is one: the rest follows from it.
func (c *compiler) issues(n *yaml.Node, path string, iss *cel.Issues) {
	for _, e := range iss.Errors() {
		line, col := max(1, e.Location.Line()), max(0, e.Location.Column())+1
		if form, ok := strings.CutPrefix(e.Message, "Syntax error: "); ok || strings.HasPrefix(form, "reserved identifier: ") {
			c.unreadable(n, path, slip{line, col, form, ""})
			return
		}
		why, hint := c.explain(e.Message, n, line, col)
		if field := undefinedField.FindStringSubmatch(e.Message); field != nil {
			why, hint = c.noField(field[1], n.Value, line, col-1)
			col++ // CEL points at the point before the name
		}
		c.add(c.src.within(n, line, col), path, why, hint)
	}
}

// unreadable says what is wrong with the form of an expression: what a person is known to write, or what CEL has found.
func (c *compiler) unreadable(n *yaml.Node, path string, found slip) {
	if s := slipOf(n.Value); s != nil {
		at := c.src.within(n, s.line, s.col)
		if remark, ok := c.src.remark(n); ok && strings.HasPrefix(s.why, "the text that begins here") {
			at, s.why, s.hint = remark, "YAML takes this # and what stands behind it as a remark, so that the text before it has no end", "put the whole expression in quotes: '…'"
		}
		c.add(at, path, s.why, s.hint)
		return
	}
	hint := "see the operators and functions in docs/mapping-guide.md"
	if word, ok := strings.CutPrefix(found.why, "reserved identifier: "); ok {
		found.why, hint = word+" is a word that the language keeps for itself", "choose another name"
	} else if !strings.HasPrefix(found.why, "expression ") {
		found.why = "the expression cannot be read from here on"
	}
	c.add(c.src.within(n, found.line, found.col), path, found.why, hint)
}

// remark is where one begins behind a scalar without quotes.
func (s *source) remark(n *yaml.Node) (place, bool) {
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
	if quoted || n.Line > len(s.lines) || strings.Contains(n.Value, "\n") {
		return place{}, false
	}
	line := []rune(s.lines[n.Line-1])
	i := slices.Index(line[min(len(line), n.Column-1):], '#')
	return place{s.file, n.Line, n.Column + i}, i >= 0
}

var (
	undeclaredName = regexp.MustCompile(`^undeclared reference to '([^']*)'`)
	optionalType   = regexp.MustCompile(`optional_type\(([^()]*)\)`)
	noOverload     = regexp.MustCompile(`^found no matching overload for '([^']*)' applied to '(.*)'$`)
)

// explain gives CEL's words a hint.
func (c *compiler) explain(message string, n *yaml.Node, line, col int) (why, hint string) {
	switch undeclared, overload := undeclaredName.FindStringSubmatch(message), noOverload.FindStringSubmatch(message); {
	case undeclared != nil:
		return fmt.Sprintf("there is no %s here", undeclared[1]), c.namedElsewhere(undeclared[1], isCall(n.Value, line, col, undeclared[1]))
	case overload != nil && overload[1] == "orValue" && !strings.HasPrefix(overload[2], "optional_type("):
		return c.orNothing(n.Value, line)
	case overload != nil:
		return overloadHint(message, overload[1], overload[2])
	case strings.Contains(message, "nesting limit"):
		return "a loop inside a loop", "use each: for the outer one"
	case strings.Contains(message, "expected to be the same type"):
		return message, oneType
	case strings.Contains(message, "expected type 'bool'"):
		return message, "&&, || and ! take conditions: compare it with something, join texts with +, or write .orValue(…) for what may be missing"
	case strings.Contains(message, "does not support field selection"):
		return message, "it has no fields; of a text and a list size(…) is the length, and .substring(0, 1) a part"
	default:
		return message, "see the operators and functions in docs/mapping-guide.md"
	}
}

// orValueBehind is a field with what shall stand in its place, without the question mark of one that may be missing.
var orValueBehind = regexp.MustCompile(`((?:[\w.]|\[[0-9]+\])*)\.(\w+)\.orValue\(`)

// orNothing says what is wrong with orValue behind what is never without a value, or behind a field that is read as if it were.
func (c *compiler) orNothing(text string, line int) (why, hint string) {
	lines := strings.Split(text, "\n")
	for _, m := range orValueBehind.FindAllStringSubmatch(lines[min(line, len(lines))-1], -1) {
		t := c.typeAt(strings.Split(m[1], "."))
		if t == nil {
			continue
		}
		if f, ok := t.Field(m[2]); ok && (!f.Required || f.Type.Nullable) {
			return fmt.Sprintf("field %s may be missing, and orValue stands behind its value", m[2]), fmt.Sprintf("write .?%s.orValue(…)", m[2])
		} else if ok {
			return fmt.Sprintf("field %s is never missing", m[2]), "leave orValue out"
		}
	}
	return "orValue stands behind what is never without a value", "write it behind a field that may be missing: src.….?field.orValue(…), or leave it out"
}

const oneType = "both sides of ? : need one type; where there is no value, put the condition into when:"

// overloadHint is what to do about an operator or function that does not take what it is given.
func overloadHint(message, name, given string) (why, hint string) {
	why = optionalType.ReplaceAllString(message, "$1 or nothing")
	switch {
	case name == "_?_:_":
		return why, oneType
	case strings.Contains(given, "optional_type("):
		return why, `it may have no value: say what stands in its place, .orValue(""), or go on only where there is one, .optMap(v, …)`
	case strings.Contains(given, "null"):
		return why, `ask has(…) of a field that may be missing, or compare with ""`
	case slices.Contains([]string{"abs", "round", "ratio", "convert"}, name) && strings.HasPrefix(given, "(string"):
		return why, "write decimal(…) of the text"
	case strings.Contains(message, "decimal"):
		return why, "make both sides the same: decimal(…), or string(…) for a text"
	case name == "_[_]":
		return why, "write src.name for a field, .substring(0, 1) for a part of a text, and [0] for an element of a list"
	case name == "@in":
		return why, `write a list behind in, in ["A", "B"]; whether a text has another in it is .contains("A")`
	case strings.HasPrefix(name, "_"):
		return why, "make both sides the same: string(…) for texts, decimal(…) for quantities, int(…) for whole numbers"
	}
	return why, "see the functions in docs/mapping-guide.md"
}

// isCall tells whether the name that stands in the text at a place, or ends there, is called.
func isCall(text string, line, col int, name string) bool {
	lines := strings.Split(text, "\n")
	if line > len(lines) {
		return false
	}
	at := []rune(lines[line-1])
	if col-1 < len(at) && at[col-1] == '(' {
		return true
	}
	return strings.HasPrefix(strings.TrimPrefix(string(at[min(col-1, len(at)):]), name), "(")
}

// namedElsewhere says what is written in the place of a name that there is not.
func (c *compiler) namedElsewhere(name string, called bool) string {
	if hint := elsewhere(strings.ToLower(name), called); hint != "" {
		return hint
	}
	functions, names := c.words()
	if called {
		return didYouMean(name, functions, "see the functions in docs/mapping-guide.md")
	}
	otherwise := fmt.Sprintf(`if it is a text, quote it inside YAML's quotes: '"%s"'; an expression sees src, event.… and the variables of the loops around it`, clip(name))
	if near := nearest(name, names); near != "" && distance(name, near) > max(1, len(name)/3) {
		return otherwise // another word of few letters
	}
	return didYouMean(name, names, otherwise)
}

// elsewhere is what other languages call by a name; "" if it is not known.
func elsewhere(name string, called bool) string {
	words := map[string]string{"yes": "write true", "on": "write true", "no": "write false", "off": "write false", "true": "write true", "false": "write false"}
	for _, nothing := range []string{"null", "nil", "none", "undefined"} {
		words[nothing] = "leave a field without a value out with when:, or ask has(src.…) whether it is there"
	}
	if !called {
		return words[name]
	}
	for hint, names := range map[string]string{
		"quantities are exact: write decimal(…)":                           "double float number tonumber todouble tofloat parsefloat numeric val",
		"join texts with +":                                                "concat concatenate join strcat",
		"take a part of a text: .substring(0, 3)":                          "left right mid substr slice",
		"write size(…)":                                                    "length len strlen count",
		"write .upper() behind the text":                                   "toupper touppercase uppercase ucase upcase",
		"write .lower() behind the text":                                   "tolower tolowercase lowercase lcase downcase",
		"write string(…)":                                                  "tostring str text char",
		"write int(…)":                                                     "toint integer parseint",
		`ask has(src.…) whether a field is there, or compare with ""`:      "isnull isempty isblank isset exists notnull",
		`write .orValue(…) behind the field: src.….?field.orValue("")`:     "coalesce nvl ifnull isnullorempty default",
		`name the zone: date(…, "Europe/Berlin"), clock(…) or dateTime(…)`: "timestamp todate parsedate strptime format formatdate dateformat strftime todatetime",
		`write pad(text, 10, "0")`:                                         "lpad padleft padstart leftpad zfill",
		`write padRight(text, 10, " ")`:                                    "rpad padright padend rightpad",
		"write stripZeros(…)":                                              "ltrim stripleadingzeros removeleadingzeros",
		choiceHint:                                                         "if iif choose case switch",
		"write ! before the condition":                                     "not",
		"write && between the conditions":                                  "and",
		"write || between the conditions":                                  "or",
		`time is event.time, that of the message; there is no clock here`:  "now today sysdate",
	} {
		if slices.Contains(strings.Fields(names), name) {
			return hint
		}
	}
	return ""
}

// words are the functions and the names that an expression may use.
func (c *compiler) words() (functions, names []string) {
	names = append([]string{"src", "event"}, sortedKeys(c.locals)...)
	for name := range eventVars() {
		names = append(names, name)
	}
	for name := range c.env.Functions() {
		if isWord(name) {
			functions = append(functions, name)
		}
	}
	return functions, names
}

// zerosBefore finds what may be a number that begins with zeros.
var zerosBefore = regexp.MustCompile(`(^|[^\w.])0[0-9]`)

// bareNumbers finds numbers that are joined by signs alone, such as a day or a telephone number whose quotes YAML has taken.
var bareNumbers = regexp.MustCompile(`^[0-9]+(-[0-9]+)*$`)

// lostQuotes refuses what was meant for a text: numbers with zeros before them, which of a key would be lost, and a day, which would be a difference.
func (c *compiler) lostQuotes(n *yaml.Node, path string) {
	at, quoted := place{c.src.file, n.Line, n.Column}, fmt.Sprintf(`quote it inside YAML's quotes: '"%s"'`, clip(n.Value))
	switch bare := bareNumbers.MatchString(n.Value); {
	case bare && strings.Contains(n.Value, "-"):
		c.advise(at, path, clip(n.Value)+" is a difference of numbers here, and no text", "for a text "+quoted+"; for the difference put blanks around the minus")
	case bare && zerosBefore.MatchString(n.Value):
		c.advise(at, path, clip(n.Value)+" is a number here, and loses its zeros", quoted)
	case zerosBefore.MatchString(n.Value):
		for _, t := range tokens(n.Value) {
			if t.kind == numberToken && len(t.text) > 1 && t.text[0] == '0' && digit(rune(t.text[1])) {
				c.advise(c.src.within(n, t.line, t.col), path, t.text+" is a number here, and loses its zeros", fmt.Sprintf("write %q, in quotes", t.text))
			}
		}
	}
}
