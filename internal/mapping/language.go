package mapping

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones are known on every machine

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/functions"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"holdfast/internal/decimal"
)

const (
	maxText      = 64 << 10 // bytes of a text that a function makes
	maxNesting   = 1        // of loops inside an expression
	maxExprSize  = 4000     // characters of an expression
	costOfExpr   = 50_000   // CEL's cost units for one evaluation; joining texts costs a unit for each ten characters, so this bounds memory too
	costOfAll    = 100_000  // for one message
	loopsBetween = 100      // turns of a loop, after which it is asked whether somebody still waits for the result
	maxBody      = 1 << 20  // bytes of a document
)

// eventVars is what an expression sees of the message beside its body.
func eventVars() map[string]*cel.Type {
	return map[string]*cel.Type{
		"event.id": cel.StringType, "event.source": cel.StringType, "event.kind": cel.StringType, "event.version": cel.IntType,
		"event.key": cel.StringType, "event.time": cel.StringType, "event.link": cel.StringType, "event.lane": cel.StringType,
		"event.epoch": cel.IntType, "event.number": cel.IntType, "event.digest": cel.StringType,
	}
}

// newEnv is the language of the mappings in one direction. There are no doubles, and none of CEL's own times: those would
// take UTC where no zone is named.
func newEnv(inbound bool, u *units) (*cel.Env, error) {
	without := env.NewLibrarySubset()
	for _, f := range []string{
		"double", "duration", "timestamp", "uint", "bytes", "type", "dyn", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear",
		"getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds",
	} {
		without.AddExcludedFunctions(env.NewFunction(f))
	}
	for _, o := range operations() {
		without.AddExcludedFunctions(env.NewFunction(o.operator))
	}
	opts := []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(without)), cel.OptionalTypes(), cel.CustomTypeAdapter(&adapter{types.DefaultTypeAdapter}),
		cel.ParserExpressionSizeLimit(maxExprSize), cel.ASTValidators(cel.ValidateComprehensionNestingLimit(maxNesting), cel.ValidateRegexLiterals(), copies{}),
		cel.RegexProgramSizeLimit(maxPlaces),
	}
	for name, t := range eventVars() {
		opts = append(opts, cel.Variable(name, t))
	}
	opts = append(opts, arithmetic()...)
	opts = append(opts, numbers()...)
	opts = append(opts, byValue()...)
	opts = append(opts, texts()...)
	opts = append(opts, times()...)
	opts = append(opts, dayFormats()...)
	opts = append(opts, u.functions()...)
	opts = append(opts, late("lookup"), late("reverse"))
	if inbound {
		opts = append(opts, late("plantID"))
	} else {
		opts = append(opts, late("ref"))
	}
	return cel.NewCustomEnv(opts...)
}

// late is a function (string, string) string that each evaluation brings: it depends on the message and the mapping.
func late(name string) cel.EnvOption {
	two := []*cel.Type{cel.StringType, cel.StringType}
	return cel.Function(name, cel.Overload(name, two, cel.StringType, cel.LateFunctionBinding()))
}

func wholeNumber(v ref.Val) ref.Val {
	whole, err := v.(number).Rescale(0)
	if err != nil {
		return types.WrapErr(err)
	}
	i, err := strconv.ParseInt(whole.String(), 10, 64)
	if err != nil {
		return types.NewErr("%s is too large for an int", whole)
	}
	return types.Int(i)
}

func absolute(v ref.Val) ref.Val {
	if n := v.(number); n.Sign() < 0 {
		return n.Negate()
	}
	return v
}

func roundTo(a ...ref.Val) ref.Val {
	scale := a[1].(types.Int)
	if scale < 0 || scale > decimal.MaxDigits {
		return types.NewErr("scale %d is not between 0 and %d", scale, decimal.MaxDigits)
	}
	return result(a[0].(number).Round(int32(scale), decimal.Mode(a[2].(types.String))))
}

// ratioTo is a quotient with so many places, rounded as it is said.
func ratioTo(x, num, den decimal.Decimal, a []ref.Val) ref.Val {
	scale := a[0].(types.Int)
	if scale < 0 || scale > decimal.MaxDigits {
		return types.NewErr("scale %d is not between 0 and %d", scale, decimal.MaxDigits)
	}
	return result(x.RatioTo(num, den, int32(scale), decimal.Mode(a[1].(types.String))))
}

func texts() []cel.EnvOption {
	str, num := cel.StringType, cel.IntType
	on := func(name string, f func(s string) string) cel.EnvOption {
		return cel.Function(name, cel.MemberOverload("string_"+name, []*cel.Type{str}, str, cel.UnaryBinding(
			func(v ref.Val) ref.Val { return bounded(f(string(v.(types.String)))) })))
	}
	return []cel.EnvOption{
		on("upper", strings.ToUpper), on("lower", strings.ToLower), on("trim", strings.TrimSpace),
		on("stripZeros", stripZeros),
		cel.Function("pad", cel.Overload("pad_string", []*cel.Type{str, num, str}, str, cel.FunctionBinding(
			func(a ...ref.Val) ref.Val { return pad(a, func(s, fill string) string { return fill + s }) }))),
		cel.Function("padRight", cel.Overload("pad_right_string", []*cel.Type{str, num, str}, str, cel.FunctionBinding(
			func(a ...ref.Val) ref.Val { return pad(a, func(s, fill string) string { return s + fill }) }))),
		cel.Function("substring", cel.MemberOverload("string_substring", []*cel.Type{str, num, num}, str, cel.FunctionBinding(substring))),
		cel.Function("replace", cel.MemberOverload("string_replace", []*cel.Type{str, str, str}, str, cel.FunctionBinding(replace))),
		cel.Function("split", cel.MemberOverload("string_split", []*cel.Type{str, str}, cel.ListType(str), cel.BinaryBinding(split))),
	}
}

func bounded(s string) ref.Val {
	if len(s) > maxText {
		return types.NewErr("a text of more than %d bytes", maxText)
	}
	return types.String(s)
}

// stripZeros removes the leading zeros of a key that is all digits, as ERPs keep them: "000001000042" becomes "1000042".
func stripZeros(s string) string {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return s
	}
	if t := strings.TrimLeft(s, "0"); t != "" {
		return t
	}
	return "0"
}

// pad fills a text up to length characters; one that is longer already is an error, never cut.
func pad(a []ref.Val, with func(s, fill string) string) ref.Val {
	s, length, fill := string(a[0].(types.String)), a[1].(types.Int), []rune(string(a[2].(types.String)))
	missing := int64(length) - int64(len([]rune(s)))
	switch {
	case len(fill) != 1:
		return types.NewErr("fill with one character, not %q", string(fill))
	case length > maxText:
		return types.NewErr("a text of more than %d characters", maxText)
	case missing < 0:
		return types.NewErr("%q is longer than %d characters", clip(s), length)
	}
	return types.String(with(s, strings.Repeat(string(fill), int(missing))))
}

func substring(a ...ref.Val) ref.Val {
	s, from, to := []rune(string(a[0].(types.String))), int64(a[1].(types.Int)), int64(a[2].(types.Int))
	if from < 0 || to < from {
		return types.NewErr("characters %d to %d are no part of a text", from, to)
	}
	n := int64(len(s))
	return types.String(s[min(from, n):min(to, n)])
}

func replace(a ...ref.Val) ref.Val {
	s, old, by := string(a[0].(types.String)), string(a[1].(types.String)), string(a[2].(types.String))
	if old == "" {
		return types.NewErr("replace needs a text to look for")
	}
	if grown := len(s) + strings.Count(s, old)*(len(by)-len(old)); grown > maxText {
		return types.NewErr("a text of more than %d bytes", maxText)
	}
	return bounded(strings.ReplaceAll(s, old, by))
}

func split(a, b ref.Val) ref.Val {
	s, sep := string(a.(types.String)), string(b.(types.String))
	if sep == "" || len(s) > maxText {
		return types.NewErr("split needs a text of at most %d bytes and a separator", maxText)
	}
	return types.NewStringList(types.DefaultTypeAdapter, strings.Split(s, sep))
}

// zones keeps the zones that were loaded: there are some 600 names, and no other is kept.
type zones struct{ known sync.Map }

func (z *zones) load(name string) (*time.Location, error) {
	if loc, ok := z.known.Load(name); ok {
		return loc.(*time.Location), nil
	}
	if name == "" || name == "Local" || strings.HasPrefix(name, "right/") || strings.HasPrefix(name, "posix/") {
		return nil, errors.New("a time needs a zone by its IANA name, such as Europe/Berlin")
	}
	loc, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no IANA time zone", clip(name))
	}
	z.known.Store(name, loc)
	return loc, nil
}

// in is a time with an offset, in the zone that is named.
func (z *zones) in(text, zone string) (time.Time, error) {
	loc, err := z.load(zone)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse(time.RFC3339Nano, text)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is no RFC 3339 time with an offset", clip(text))
	}
	return t.In(loc), nil
}

// times are date, clock and dateTime of a time with an offset, each in a named zone.
func times() []cel.EnvOption {
	z := &zones{}
	opts := []cel.EnvOption{localTime(z)}
	for name, layout := range timeLayouts() {
		opts = append(opts, cel.Function(name, cel.Overload(name+"_in_zone", []*cel.Type{cel.StringType, cel.StringType}, cel.StringType,
			cel.BinaryBinding(func(text, zone ref.Val) ref.Val {
				t, err := z.in(string(text.(types.String)), string(zone.(types.String)))
				if err != nil {
					return types.WrapErr(err)
				}
				return types.String(t.Format(layout))
			}))))
	}
	return opts
}

func timeLayouts() map[string]string {
	return map[string]string{"date": time.DateOnly, "clock": time.TimeOnly, "dateTime": time.RFC3339Nano}
}

// bindings are the late functions of one run.
func (r *run) bindings() map[string]functions.LateBoundOp {
	resolve := func(absent func(object string) ref.Val) functions.LateBoundOp {
		return func(_ string, a ...ref.Val) ref.Val {
			return r.resolve(string(a[0].(types.String))+"/"+string(a[1].(types.String)), absent)
		}
	}
	return map[string]functions.LateBoundOp{
		"lookup": func(_ string, a ...ref.Val) ref.Val {
			name := string(a[0].(types.String))
			t := r.rules.tables[name]
			code := string(a[1].(types.String))
			if _, has := t.rows[code]; has {
				r.observer.row(name, code)
			} else {
				r.observer.row(name, noRow)
			}
			return t.find(t.rows, name, code)
		},
		"reverse": func(_ string, a ...ref.Val) ref.Val {
			name := string(a[0].(types.String))
			t := r.rules.tables[name]
			value := string(a[1].(types.String))
			if code, has := t.back[value]; has {
				r.observer.row(name, code)
			} else {
				r.observer.row(name, noRow)
			}
			return t.find(t.back, name, value)
		},
		"ref":     resolve(func(object string) ref.Val { return types.WrapErr(&Waiting{object}) }),
		"plantID": resolve(r.derive),
	}
}
