package mapping

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"cel.dev/cel-go/common/ast"

	"holdfast/internal/decimal"
)

// hopeless finds what is written into a call and stops every message.
func (c *compiler) hopeless(call ast.CallExpr, path string, at func(ast.Expr) place) {
	name, args := call.FunctionName(), call.Args()
	switch {
	case name == "round" && len(args) == 3, (name == "ratio" || name == "convert") && len(args) == 5:
		e := args[len(args)-2]
		if n, ok := intLiteral(e); ok && (n < 0 || n > decimal.MaxDigits) {
			c.add(at(e), path, fmt.Sprintf("scale %d is not between 0 and %d", n, decimal.MaxDigits), "write how many places stand behind the point")
		}
	case name == "substring" && len(args) == 2:
		from, known := intLiteral(args[0])
		if to, both := intLiteral(args[1]); known && (from < 0 || both && to < from) {
			c.add(at(args[0]), path, fmt.Sprintf("characters %d to %d are no part of a text", from, to), "name the first one, counted from 0, and the one behind the last")
		}
	case name == "replace" && len(args) == 2 && isEmpty(args[0]):
		c.add(at(args[0]), path, "no text is looked for", "name the text that is replaced")
	case (name == "contains" || name == "startsWith" || name == "endsWith") && len(args) == 1 && isEmpty(args[0]):
		c.add(at(args[0]), path, "this holds for every text", "name what is looked for")
	case name == "split" && len(args) == 1 && isEmpty(args[0]):
		c.add(at(args[0]), path, "a text is split at nothing", "name what stands between its parts")
	case name == "matches" && len(args) > 0:
		if text, ok := literal(args[len(args)-1]); ok {
			c.regular(text, args[len(args)-1], path, at)
		}
	case (name == "pad" || name == "padRight") && len(args) == 3:
		c.filling(args, path, at)
	case name == "localTime" && len(args) == 3:
		if zone, ok := literal(args[2]); ok {
			if _, err := (&zones{}).load(zone); err != nil {
				c.add(at(args[2]), path, err.Error(), zoneHint)
			}
		}
	}
}

func isEmpty(e ast.Expr) bool {
	text, ok := literal(e)
	return ok && text == ""
}

// filling looks at the length and the character of pad.
func (c *compiler) filling(args []ast.Expr, path string, at func(ast.Expr) place) {
	if n, ok := intLiteral(args[1]); ok && (n < 1 || n > maxText) {
		c.add(at(args[1]), path, fmt.Sprintf("%d characters are not between 1 and %d", n, maxText), "name the length of the text")
	}
	if fill, ok := literal(args[2]); ok && utf8.RuneCountInString(fill) != 1 {
		c.add(at(args[2]), path, fmt.Sprintf("fill with one character, not %q", clip(fill)), `such as "0"`)
	}
}

// regular finds a regular expression that is none, or that repeats too much.
func (c *compiler) regular(text string, e ast.Expr, path string, at func(ast.Expr) place) {
	_, _, err := compilePattern(text)
	switch {
	case errors.Is(err, errPlaces):
		c.add(at(e), path, "it is "+err.Error()+", each of which is looked at for each character", "repeat less: compare the length alone with size(…)")
	case err != nil:
		c.add(at(e), path, "it is no regular expression: "+strings.TrimPrefix(err.Error(), "error parsing regexp: "), "write it as RE2 has it, without look-ahead and back references")
	}
}
