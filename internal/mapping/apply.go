package mapping

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"github.com/google/uuid"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// maxSource is how many bytes of a body are read for expressions. A larger one can be passed on whole (body: event).
const maxSource = 8 << 20

// run is one message going through one mapping. It is used by one goroutine.
type run struct {
	ctx   context.Context //nolint:containedctx // CEL's functions take none, and the run ends with the call
	rules *mapping
	m     message.Message
	refs  Resolver
	src   ref.Val
	late  map[string]functions.LateBoundOp
	scope *scope
	spent uint64
	err   error // what a reference failed with, since CEL makes a text of it
	hash  string

	observer *observer
}

func newRun(ctx context.Context, rules *mapping, m message.Message, refs Resolver) (*run, error) {
	body := any(map[string]any{})
	var text []byte
	var err error
	if !rules.whole {
		if text, err = m.Read(ctx, maxSource); err == nil {
			text, err = filled(ctx, text)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(text) > 0 {
		if body, err = contract.Decode(text); err != nil {
			return nil, &problem.Error{
				Kind: problem.Invalid, What: fmt.Sprintf("map %s %s by %s", m.Kind, m.ID, rules.name), Why: "its body is not JSON: " + err.Error(),
				Hint: "what sent it must be repaired",
			}
		}
	}
	source := rules.source
	if rules.inbound {
		withoutNulls(body)
		source = documentOf(ctx, m.Link, rules)
	}
	body = fits(body, source, 0)
	r := &run{ctx: ctx, observer: observerOf(ctx), rules: rules, m: m, refs: refs, src: (&adapter{types.DefaultTypeAdapter}).NativeToValue(body)}
	r.late = r.bindings()
	r.scope = &scope{run: r}
	return r, nil
}

// scope is what an expression sees: the message, and the element of each loop around it.
type scope struct {
	run   *run
	outer *scope
	item  string
	value ref.Val
	index int
}

// ResolveName implements cel.Activation.
func (s *scope) ResolveName(name string) (any, bool) {
	for at := s; at.outer != nil; at = at.outer {
		switch name {
		case at.item:
			return at.value, true
		case at.item + "Index":
			return types.Int(at.index), true
		}
	}
	r := s.run
	switch name {
	case "src":
		return r.src, true
	case "event.id":
		return types.String(r.m.ID), true
	case "event.source":
		return types.String(r.m.Source), true
	case "event.kind":
		return types.String(r.m.Kind), true
	case "event.version":
		return types.Int(r.m.Version), true
	case "event.key":
		return types.String(r.m.Key), true
	case "event.time":
		return types.String(r.m.Time.Format(time.RFC3339Nano)), true
	case "event.link":
		return types.String(r.m.Link), true
	case "event.lane":
		return types.String(r.m.Lane), true
	case "event.epoch":
		return types.Int(r.m.Epoch), true
	case "event.number":
		return types.Int(r.m.Number), true
	case "event.digest":
		return types.String(r.digest()), true
	default:
		return nil, false
	}
}

// Parent implements cel.Activation.
func (s *scope) Parent() cel.Activation { return nil }

// ResolveFunction implements cel.FunctionActivation.
func (s *scope) ResolveFunction(name string) (functions.LateBoundOp, bool) {
	f, ok := s.run.late[name]
	return f, ok
}

func (r *run) digest() string {
	if r.hash == "" {
		r.hash = r.m.Digest()
	}
	return r.hash
}

// resolve asks for the other name of an object.
func (r *run) resolve(object string, absent func(object string) ref.Val) ref.Val {
	if strings.HasSuffix(object, "/") || strings.HasPrefix(object, "/") {
		return types.NewErr("a reference needs a kind and an ID, not %q", clip(object))
	}
	if r.refs == nil {
		return absent(object)
	}
	name, known, err := r.refs(r.ctx, object)
	switch {
	case err != nil:
		r.err = err
		return types.WrapErr(err)
	case !known:
		return absent(object)
	default:
		return types.String(name)
	}
}

// derive is the plant's ID of an object that only the ERP knows so far: always the same one for the same source and number, so
// that everything about the object meets under one key from the first message on.
func (r *run) derive(object string) ref.Val {
	return types.String(uuid.NewSHA1(uuid.NameSpaceURL, []byte(r.m.Source+"\x00"+object)).String())
}

// eval runs one expression. present is false for null and for an optional value that is not there.
func (r *run) eval(rl *rule, e *expr, s *scope) (v ref.Val, present bool, err error) {
	r.err = nil
	v, details, err := r.evaluate(rl, e, s)
	r.spent++ // a constant costs CEL nothing, and loops go round it
	if c := details.ActualCost(); c != nil && *c > 0 {
		r.spent += *c - 1
	}
	if err == nil && r.spent > costOfAll {
		err = fmt.Errorf("the whole mapping costs more than %d steps", costOfAll)
	}
	if err != nil {
		return nil, false, r.failed(rl, e, err)
	}
	if o, ok := v.(*types.Optional); ok {
		if !o.HasValue() {
			return nil, false, nil
		}
		v = o.GetValue()
	}
	if v.Type() == types.NullType {
		return nil, false, nil
	}
	return v, true, nil
}

// failed sorts what went wrong in an expression: a reference that is not there yet and a resolver's own error go up as they are.
func (r *run) failed(rl *rule, e *expr, err error) error {
	if r.err != nil {
		return fmt.Errorf("map %s %s: resolve a reference: %w", r.m.Kind, r.m.ID, r.err)
	}
	if w, ok := errors.AsType[*Waiting](err); ok {
		return w
	}
	if ended := r.ctx.Err(); ended != nil {
		return fmt.Errorf("map %s %s: %w", r.m.Kind, r.m.ID, ended)
	}
	why := err.Error()
	hint := ""
	if key, ok := strings.CutPrefix(why, "no such key: "); ok {
		why, hint = "there is no field "+key, "if it may be missing, write .?"+key+" instead of ."+key
	}
	return r.failAt(rl, e.at, errors.New(why), hint)
}

// fail is an error about a rule.
func (r *run) fail(rl *rule, err error, hint string) error { return r.failAt(rl, rl.at, err, hint) }

func (r *run) failAt(rl *rule, at place, err error, hint string) error {
	what := "when"
	if rl != nil {
		what = rl.path
	}
	return &problem.Error{
		Kind: problem.Invalid, What: fmt.Sprintf("map %s %s by %s, %s (%s)", r.m.Kind, r.m.ID, r.rules.version, what, at), Why: err.Error(),
		Hint: hint, Fields: []problem.Field{{Pointer: "/" + strings.ReplaceAll(strings.TrimPrefix(what, "fields."), ".", "/"), Why: err.Error()}},
	}
}

// holds runs the condition of a rule, which holds if there is none.
func (r *run) holds(rl *rule, s *scope) (yes bool, err error) {
	if rl.when == nil {
		return true, nil
	}
	v, present, err := r.eval(rl, rl.when, s)
	if err != nil {
		return false, err
	}
	if present {
		b, ok := v.(types.Bool)
		if !ok {
			return false, r.failAt(rl, rl.when.at, fmt.Errorf("a condition is true or false, not a %s", v.Type().TypeName()), "")
		}
		yes = bool(b)
	}
	if !yes {
		r.observer.mark(rl, partUnheld)
	}
	return yes, nil
}

// given is the value of a rule without a loop, with its default.
func (r *run) given(rl *rule, s *scope) (v ref.Val, present bool, err error) {
	v, present, err = r.eval(rl, rl.value, s)
	if err != nil || present {
		return v, present, err
	}
	if rl.absent != nil {
		r.observer.mark(rl, partDefault)
		v, present, err = r.eval(rl, rl.absent, s)
	}
	if err == nil && !present && rl.required {
		err = r.fail(rl, errors.New("it is required and has no value"), "repair the message, or give the field a default")
	}
	return v, present, err
}

// text is the value of a parameter or attribute.
func (r *run) text(rl *rule) (text string, present bool, err error) {
	defer func() {
		if present {
			r.observer.mark(rl, "")
		}
	}()
	if yes, err := r.holds(rl, r.scope); err != nil || !yes {
		return "", false, err
	}
	if rl.constant != nil {
		v, err := contract.Decode(rl.constant)
		return fmt.Sprint(v), true, err
	}
	v, present, err := r.given(rl, r.scope)
	if err != nil || !present {
		return "", false, err
	}
	switch x := v.(type) {
	case types.String:
		s, err := rl.fit(string(x))
		return s, true, r.orFail(rl, err)
	case number, types.Int:
		n, _ := exactly(x)
		s, err := rl.digits(n.Decimal)
		return s, true, r.orFail(rl, err)
	case types.Bool:
		return fmt.Sprint(bool(x)), true, nil
	default:
		return "", false, r.fail(rl, fmt.Errorf("a %s is no text", v.Type().TypeName()), "")
	}
}

func (r *run) orFail(rl *rule, err error) error {
	if err == nil {
		return nil
	}
	return r.fail(rl, err, rl.remedy(err))
}

// elements goes through the list of a loop.
func (r *run) elements(rl *rule, s *scope, do func(s *scope) error) (present bool, err error) {
	v, present, err := r.eval(rl, rl.each, s)
	if err != nil || !present {
		if err == nil && rl.required {
			err = r.fail(rl, errors.New("it is required and there is no list"), "")
		}
		if err == nil {
			r.observer.mark(rl, partEmpty)
		}
		return false, err
	}
	l, ok := v.(traits.Lister)
	if !ok {
		return false, r.failAt(rl, rl.each.at, fmt.Errorf("each goes through a list, not a %s", v.Type().TypeName()), "")
	}
	if l.Size() == types.IntZero {
		r.observer.mark(rl, partEmpty)
	}
	for i, it := 0, l.Iterator(); it.HasNext() == types.True; i++ {
		if err := r.ctx.Err(); err != nil {
			return true, fmt.Errorf("map %s %s: %w", r.m.Kind, r.m.ID, err)
		}
		if err := do(&scope{run: r, outer: s, item: rl.item, value: it.Next(), index: i}); err != nil {
			return true, err
		}
	}
	return true, nil
}
