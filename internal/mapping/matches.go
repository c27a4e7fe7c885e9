package mapping

import (
	"fmt"
	"regexp"
	"regexp/syntax"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

const (
	maxPattern = 1000 // bytes of a pattern that comes with a message, before it is read
	maxPlaces  = 1000 // places of a pattern at which a text may be
)

var errPlaces = fmt.Errorf("a pattern of more than %d places", maxPlaces)

// matcher tells whether a text fits a pattern.
type matcher func(pattern *regexp.Regexp, text string) bool

// countedFirst stands in the place of CEL's own matches, which counts its steps when it is done: a pattern of many repetitions over a text of some
// megabytes takes minutes. A pattern that is written into the mapping is compiled once, with it; one that comes with a message is never kept.
func countedFirst(matches matcher) interpreter.InterpretableDecoratorV2 {
	return func(part interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
		call, ok := part.(interpreter.InterpretableCall)
		if !ok || call.Function() != "matches" || len(call.Args()) != 2 {
			return part, nil
		}
		p := pattern{id: call.ID(), call: names{call.Function(), call.OverloadID()}, text: call.Args()[0], of: call.Args()[1], matches: matches}
		if c, written := p.of.(interpreter.InterpretableConst); written {
			if text, ok := c.Value().(types.String); ok {
				var err error
				if p.compiled, p.places, err = compilePattern(string(text)); err != nil {
					return nil, err
				}
			}
		}
		return &p, nil
	}
}

// pattern is a call of matches. It is no InterpretableCall, for CEL puts its own in the place of one whose pattern is written out.
type pattern struct {
	id       int64
	call     names
	text, of interpreter.InterpretableV2
	matches  matcher
	compiled *regexp.Regexp // nil where it comes with the message
	places   int
}

// names are what a cost is counted under.
type names struct{ function, overload string }

// Function implements cost.Call.
func (n names) Function() string { return n.function }

// OverloadID implements cost.Call.
func (n names) OverloadID() string { return n.overload }

// ID implements interpreter.Interpretable.
func (p *pattern) ID() int64 { return p.id }

// Eval implements interpreter.Interpretable.
func (p *pattern) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, p.Exec)
}

// Exec implements interpreter.InterpretableV2.
func (p *pattern) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	val := p.text.Exec(frame)
	if types.IsUnknownOrError(val) {
		return val
	}
	text, isText := val.(types.String)
	compiled, places := p.compiled, p.places
	if compiled == nil {
		of := p.of.Exec(frame)
		if types.IsUnknownOrError(of) {
			return of
		}
		written, ok := of.(types.String)
		if !ok {
			return types.MaybeNoSuchOverloadErr(of)
		}
		var err error
		if len(written) > maxPattern {
			return types.NewErr("a pattern of more than %d bytes", maxPattern)
		}
		if costs := frame.CostTracker(); costs != nil { // it is read anew each time, in a loop for each element
			costs.EvalBinary(frame, p.id, p.call, written, types.Int(len(written)), nil)
		}
		if compiled, places, err = compilePattern(string(written)); err != nil {
			return types.WrapErr(err)
		}
	}
	if !isText {
		return types.MaybeNoSuchOverloadErr(val)
	}
	if costs := frame.CostTracker(); costs != nil { // it ends the evaluation where that is too much
		costs.EvalBinary(frame, p.id, p.call, text, types.Int(places), nil)
	}
	return types.Bool(p.matches(compiled, string(text)))
}

// compilePattern reads a pattern and counts its places, each of which is looked at for each character of a text. A pattern of too many is refused before
// it is compiled: repetitions within repetitions are short to write, and take a tenth of a second each to compile.
func compilePattern(text string) (compiled *regexp.Regexp, places int, err error) {
	re, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, 0, err
	}
	if placesOf(re, maxPlaces) > maxPlaces {
		return nil, 0, errPlaces
	}
	prog, err := syntax.Compile(re.Simplify())
	if err != nil {
		return nil, 0, err
	}
	if len(prog.Inst) > maxPlaces {
		return nil, 0, errPlaces
	}
	compiled, err = regexp.Compile(text)
	return compiled, len(prog.Inst), err
}

// placesOf is the least number of places that a pattern has once it is compiled, most+1 for any that has more.
func placesOf(re *syntax.Regexp, most int) int {
	n := 0
	switch re.Op { //nolint:exhaustive // each other stands at no place of its own, or at one
	case syntax.OpLiteral:
		n = len(re.Rune)
	case syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		n = 1
	}
	for _, s := range re.Sub {
		n = min(n+placesOf(s, most), most+1)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min, re.Max, 1)
	}
	return min(n, most+1)
}
