package mapping

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// operation is one of CEL's operators, for decimals too.
type operation struct {
	operator, id string
	own          []cel.FunctionOpt // what CEL itself declares of it, but for numbers and times that there are none of
	result       *cel.Type
	do           func(a, b ref.Val) ref.Val
	trait        int
}

// operations stand in the place of CEL's own, which would refuse a whole number on the left of a decimal where neither has a type: JSON's 3 is a
// whole number while it runs, and 3.0 a decimal. There is no division, which would round: see ratio.
func operations() []operation {
	pair := func(id string, of, result *cel.Type) cel.FunctionOpt {
		return cel.Overload(id, []*cel.Type{of, of}, result)
	}
	list := cel.ListType(cel.TypeParamType("A"))
	out := []operation{
		{operators.Add, "add", []cel.FunctionOpt{
			pair(overloads.AddInt64, cel.IntType, cel.IntType), pair(overloads.AddString, cel.StringType, cel.StringType), pair(overloads.AddList, list, list),
		}, decimalType, func(a, b ref.Val) ref.Val { return a.(traits.Adder).Add(b) }, traits.AdderType},
		{operators.Subtract, "subtract", []cel.FunctionOpt{pair(overloads.SubtractInt64, cel.IntType, cel.IntType)}, decimalType, func(a, b ref.Val) ref.Val {
			return a.(traits.Subtractor).Subtract(b)
		}, traits.SubtractorType},
		{operators.Multiply, "multiply", []cel.FunctionOpt{pair(overloads.MultiplyInt64, cel.IntType, cel.IntType)}, decimalType, func(a, b ref.Val) ref.Val {
			return a.(traits.Multiplier).Multiply(b)
		}, traits.MultiplierType},
	}
	for _, o := range []struct {
		operator, id       string
		ints, texts, bools string
		holds              func(compared types.Int) bool
	}{
		{operators.Less, "less", overloads.LessInt64, overloads.LessString, overloads.LessBool, func(n types.Int) bool { return n < 0 }},
		{operators.LessEquals, "less_equals", overloads.LessEqualsInt64, overloads.LessEqualsString, overloads.LessEqualsBool, func(n types.Int) bool { return n <= 0 }},
		{operators.Greater, "greater", overloads.GreaterInt64, overloads.GreaterString, overloads.GreaterBool, func(n types.Int) bool { return n > 0 }},
		{operators.GreaterEquals, "greater_equals", overloads.GreaterEqualsInt64, overloads.GreaterEqualsString, overloads.GreaterEqualsBool, func(n types.Int) bool { return n >= 0 }},
	} {
		out = append(out, operation{o.operator, o.id, []cel.FunctionOpt{
			pair(o.ints, cel.IntType, cel.BoolType), pair(o.texts, cel.StringType, cel.BoolType), pair(o.bools, cel.BoolType, cel.BoolType),
		}, cel.BoolType, func(a, b ref.Val) ref.Val {
			n, ok := a.(traits.Comparer).Compare(b).(types.Int)
			if !ok {
				return types.MaybeNoSuchOverloadErr(b)
			}
			return types.Bool(o.holds(n))
		}, traits.ComparerType})
	}
	return out
}

// arithmetic is the operators.
func arithmetic() []cel.EnvOption {
	opts := []cel.EnvOption{cel.Function(operators.Negate, cel.Overload("negate_decimal", []*cel.Type{decimalType}, decimalType))}
	for _, o := range operations() {
		opts = append(opts, cel.Function(o.operator, slices.Concat(o.own, []cel.FunctionOpt{
			cel.Overload(o.id+"_decimal", []*cel.Type{decimalType, decimalType}, o.result),
			cel.Overload(o.id+"_decimal_int", []*cel.Type{decimalType, cel.IntType}, o.result),
			cel.SingletonBinaryBinding(func(a, b ref.Val) ref.Val {
				if n, isInt := a.(types.Int); isInt {
					if _, isDecimal := b.(number); isDecimal {
						a, _ = exactly(n)
					}
				}
				return o.do(a, b)
			}, o.trait),
		})...))
	}
	return opts
}

func numbers() []cel.EnvOption {
	str, num := cel.StringType, cel.IntType
	return []cel.EnvOption{
		cel.Function("decimal",
			cel.Overload("decimal_of_string", []*cel.Type{str}, decimalType, cel.UnaryBinding(toDecimal)),
			cel.Overload("decimal_of_int", []*cel.Type{num}, decimalType, cel.UnaryBinding(toDecimal)),
			cel.Overload("decimal_of_decimal", []*cel.Type{decimalType}, decimalType, cel.UnaryBinding(toDecimal))),
		cel.Function("string", cel.Overload("decimal_to_string", []*cel.Type{decimalType}, str, cel.UnaryBinding(
			func(v ref.Val) ref.Val { return v.ConvertToType(types.StringType) }))),
		cel.Function("int", cel.Overload("decimal_to_int", []*cel.Type{decimalType}, num, cel.UnaryBinding(wholeNumber))),
		cel.Function("abs", ofNumbers("abs", 1, nil, func(a ...ref.Val) ref.Val { return absolute(a[0]) })...),
		cel.Function("round", ofNumbers("round", 1, []*cel.Type{num, str}, roundTo)...),
		cel.Function("ratio", slices.Concat(
			ofNumbers("ratio", 3, nil, func(a ...ref.Val) ref.Val {
				return result(a[0].(number).Ratio(a[1].(number).Decimal, a[2].(number).Decimal))
			}),
			ofNumbers("ratio_rounded", 3, []*cel.Type{num, str}, func(a ...ref.Val) ref.Val {
				return ratioTo(a[0].(number).Decimal, a[1].(number).Decimal, a[2].(number).Decimal, a[3:])
			}))...),
	}
}

// ofNumbers are the overloads of a function that takes so many numbers first, each a decimal or a whole number, and makes a decimal. do is given
// decimals in their place.
func ofNumbers(id string, n int, more []*cel.Type, do func(a ...ref.Val) ref.Val) (out []cel.FunctionOpt) {
	exact := func(a ...ref.Val) ref.Val {
		a = slices.Clone(a)
		for i := range a[:n] {
			a[i], _ = exactly(a[i])
		}
		return do(a...)
	}
	binding := cel.FunctionBinding(exact)
	if n+len(more) == 1 {
		binding = cel.UnaryBinding(func(v ref.Val) ref.Val { return exact(v) })
	}
	for kinds := range 1 << n { // which of them are whole numbers
		of, name := make([]*cel.Type, n, n+len(more)), id
		for i := range of {
			if of[i] = decimalType; kinds>>i&1 == 1 {
				of[i] = cel.IntType
			}
			name += "_" + of[i].TypeName()
		}
		out = append(out, cel.Overload(name, append(of, more...), decimalType, binding))
	}
	return out
}
