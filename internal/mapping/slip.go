package mapping

import (
	"fmt"
	"strings"
)

// slip is what is wrong with the form of an expression, and where in its text.
type slip struct {
	line, col int
	why, hint string
}

func slipAt(t token, why, hint string) *slip { return &slip{t.line, t.col, why, hint} }

// slipOf says what somebody who knows formulas of other programs has written into an expression that cannot be read; nil if nothing is found.
func slipOf(text string) *slip {
	all := tokens(text)
	for i, t := range all {
		if s := charSlip(t); s != nil {
			return s
		}
		before, after := token{kind: signToken}, token{kind: signToken}
		if i > 0 {
			before = all[i-1]
		}
		if i+1 < len(all) {
			after = all[i+1]
		}
		if s := wordSlip(t, before, after, all[i:]); s != nil {
			return s
		}
		if s := betweenSlip(t, before); s != nil {
			return s
		}
	}
	if s := edgeSlip(all); s != nil {
		return s
	}
	return bracketSlip(all)
}

const choiceHint = "write condition ? value : otherwise"

// charSlip is of a character or sign that the language does not have.
func charSlip(t token) *slip {
	switch t.kind {
	case openText:
		for _, c := range t.text {
			if strings.ContainsRune(typographic, c) {
				return slipAt(t, fmt.Sprintf("the text that begins here has no end: %c is a typographic quote", c), `write straight ones: "…"`)
			}
		}
		return slipAt(t, "the text that begins here has no end", `end it with the quote that it begins with: "…"`)
	case strayToken, signToken:
	default:
		return nil
	}
	c := []rune(t.text)[0]
	switch hint, foreign := foreignSigns()[t.text]; {
	case foreign:
		return slipAt(t, t.text+" is no operator here", hint)
	case t.kind == signToken:
		return nil
	case strings.ContainsRune(typographic, c):
		return slipAt(t, t.text+" is a typographic quote, which begins no text", `write straight ones: "…"`)
	case strings.ContainsRune(falseBlanks, c):
		return slipAt(t, fmt.Sprintf("a character stands here that looks like a blank and is none (U+%04X)", c), "write a blank in its place; it comes with what is copied from a page or a document")
	case strings.ContainsRune("−–—‐‑", c):
		return slipAt(t, t.text+" is a dash, and no minus", "write -")
	}
	return slipAt(t, t.text+" has no meaning in an expression", `leave it out; a text that has it stands in quotes: "…"`)
}

const (
	typographic = "“”„‟‘’‚«»‹›"
	falseBlanks = "\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u200c\u200d\u202f\u205f\u2060\u3000\ufeff"
)

// foreignSigns are operators of other languages, and what is written in their place.
func foreignSigns() map[string]string {
	return map[string]string{
		"=": "write == to compare", "===": "write ==", "!==": "write !=", "<>": "write !=", "=>": "write >=", "=<": "write <=", ":=": "write == to compare",
		"&": "write && for and; texts are joined with +", "|": "write || for or", "^": "write * as often as it is needed", "**": "write * as often as it is needed",
		"~":  `write .matches("…") to compare with a pattern, ! for not, or + to join texts`,
		"??": "write .orValue(…) behind the field: src.….?field.orValue(\"\")", "?:": "write .orValue(…) behind the field: src.….?field.orValue(\"\")",
		"?.": "write .?field, with the point first", "×": "write *", "÷": "write ratio(value, numerator, denominator)", "≤": "write <=", "≥": "write >=", "≠": "write !=", "¬": "write !",
		";": "leave it out; what a function is given is parted by commas", "#": "put a remark above the field; a text that has it stands in quotes: \"#\"",
		"$": "write the field alone, without a sign before it: src.…",
	}
}

// foreignWords are operators of other languages between two values, and what is written in their place.
func foreignWords() map[string]string {
	return map[string]string{
		"and": "write &&", "or": "write ||", "is": "write ==; whether a field is there is has(src.…)", "eq": "write ==", "ne": "write !=", "gt": "write >", "lt": "write <", "ge": "write >=",
		"le": "write <=", "like": `write .matches("…"), .startsWith("…") or .contains("…")`, "then": choiceHint, "else": choiceHint, "mod": "write %", "div": "write ratio(value, numerator, denominator)",
		"not": "write !(…), or != for not equal", "between": "write … >= … && … <= …", "default": "write .orValue(…) behind the field: src.….?field.orValue(\"\")", "contains": `write .contains("…")`,
	}
}

// wordSlip is of a word that is an operator elsewhere.
func wordSlip(t, before, after token, rest []token) *slip {
	if t.kind != wordToken || before.text == "." || before.text == ".?" {
		return nil
	}
	word := strings.ToLower(t.text)
	hint, foreign := foreignWords()[word]
	switch {
	case foreign && before.endsValue() && after.text != "." && after.text != ".?":
		return slipAt(t, t.text+" is no operator here", hint)
	case word == "not" && !before.endsValue() && after.beginsValue():
		return slipAt(t, t.text+" is no operator here", "write ! before the condition")
	case (word == "if" || word == "case" || word == "when") && !before.endsValue() && (after.beginsValue() || after.text == "("):
		return slipAt(t, t.text+" begins nothing here", choiceHint)
	case t.text == "in" && after.text == "(" && hasComma(rest[1:]):
		return slipAt(rest[1], "a list stands in square brackets", `write in ["A", "B"]`)
	}
	return nil
}

// hasComma tells whether a comma stands in the brackets with which the tokens begin.
func hasComma(all []token) bool {
	depth := 0
	for _, t := range all {
		switch {
		case t.is("(", "[", "{"):
			depth++
		case t.is(")", "]", "}"):
			if depth--; depth == 0 {
				return false
			}
		case t.is(",") && depth == 1:
			return true
		}
	}
	return false
}

// betweenSlip is of two values without an operator between them, and of two operators without a value between them.
func betweenSlip(t, before token) *slip {
	switch {
	case before.endsValue() && t.beginsValue() && before.kind == textToken && t.kind == textToken && t.glued && before.text[0] == t.text[0]:
		q := before.text[:1]
		return slipAt(t, "a quote inside a text ends it", fmt.Sprintf(`write \%s for the quote itself, or take the other quotes around the text`, q))
	case before.endsValue() && t.beginsValue():
		return slipAt(t, fmt.Sprintf("%s stands behind %s without an operator between them", clip(t.text), clip(before.text)), "write one, such as + to join texts, or && between conditions")
	case t.infix() && before.infix():
		return slipAt(t, fmt.Sprintf("between %s and %s something is missing", before.text, t.text), "write a value there, or leave one of them out")
	}
	return nil
}

// infix tells whether the token stands between two values.
func (t token) infix() bool {
	return t.kind == wordToken && t.text == "in" || t.is("==", "!=", "<", "<=", ">", ">=", "&&", "||", "+", "*", "/", "%")
}

// edgeSlip is of an expression that begins or ends with an operator.
func edgeSlip(all []token) *slip {
	if len(all) == 0 {
		return nil
	}
	first, last := all[0], all[len(all)-1]
	switch {
	case first.infix():
		return slipAt(first, "nothing stands before "+first.text, "write what stands before it, or leave it out")
	case first.is("{") && len(all) > 1 && all[1].is("{"):
		return slipAt(first, "an expression stands without braces around it", "write it alone: src.…")
	case last.infix() || last.is("-", "!", ".", ".?", "?", ",", ":"):
		return slipAt(last, "nothing stands behind "+last.text, "write what stands behind it, or leave it out")
	}
	return nil
}

// bracketSlip is of brackets and choices that have no end, or no beginning.
func bracketSlip(all []token) *slip {
	ends := map[string]string{"(": ")", "[": "]", "{": "}"}
	var open []token // brackets and question marks
	top := func() token {
		if len(open) == 0 {
			return token{}
		}
		return open[len(open)-1]
	}
	for i, t := range all {
		if t.kind != signToken {
			continue
		}
		switch t.text {
		case "(", "[", "{":
			open = append(open, t)
		case "?":
			if i == 0 || !all[i-1].is("[", "{", ",") { // [?…] and {?…}
				open = append(open, t)
			}
		case ":":
			if top().text == "?" {
				open = open[:len(open)-1]
			} else if top().text != "{" {
				return slipAt(t, "this : belongs to no choice", choiceHint)
			}
		case ",":
			if top().text == "?" {
				return halfChoice(top(), t, all[i-1], all[min(i+1, len(all)-1)])
			} else if len(open) == 0 {
				return commaSlip(t, all[max(i-1, 0)], all[min(i+1, len(all)-1)])
			}
		case ")", "]", "}":
			switch o := top(); {
			case o.text == "?":
				return halfChoice(o, token{}, token{}, token{})
			case o.text == "":
				return slipAt(t, "this "+t.text+" closes nothing", "leave it out, or open it before")
			case ends[o.text] != t.text:
				return slipAt(o, fmt.Sprintf("this %s is closed by %s", o.text, t.text), "write "+ends[o.text]+" in its place")
			}
			open = open[:len(open)-1]
		}
	}
	switch o := top(); o.text {
	case "":
		return nil
	case "?":
		return halfChoice(o, token{}, token{}, token{})
	default:
		return slipAt(o, "this "+o.text+" is never closed", "write "+ends[o.text]+" where it ends")
	}
}

// halfChoice is of a choice that says nothing for where its condition does not hold, or that a comma breaks off.
func halfChoice(of, comma, before, after token) *slip {
	if comma.glued && before.kind == numberToken && after.kind == numberToken {
		return commaSlip(comma, before, after)
	}
	return slipAt(of, "the choice does not say what it is otherwise", choiceHint+", or put the condition into when:")
}

// commaSlip is of a comma outside of a function and a list.
func commaSlip(t, before, after token) *slip {
	if t.glued && before.kind == numberToken && after.kind == numberToken {
		return slipAt(before, fmt.Sprintf("%s,%s has a comma, and a number has a point", before.text, after.text), fmt.Sprintf(`write decimal("%s.%s")`, before.text, after.text))
	}
	return slipAt(t, "a comma stands outside of a function and a list", "write one value, or + to join texts")
}
