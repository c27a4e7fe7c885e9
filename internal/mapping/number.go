package mapping

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"

	"holdfast/internal/decimal"
)

// decimalType is what a CEL expression knows an exact decimal as.
var decimalType = cel.OpaqueType("decimal").WithTraits(
	traits.AdderType | traits.SubtractorType | traits.MultiplierType | traits.NegatorType | traits.ComparerType)

// number is an exact decimal inside an expression. With int it can be added, multiplied and compared, exactly; with a double never.
type number struct{ decimal.Decimal }

// exactly reads a number or an int; anything else is no number.
func exactly(v ref.Val) (number, bool) {
	switch x := v.(type) {
	case number:
		return x, true
	case types.Int:
		return number{decimal.FromInt(int64(x))}, true
	default:
		return number{}, false
	}
}

// result hands a decimal back to CEL if it is within the limits of a decimal.
func result(d decimal.Decimal, err error) ref.Val {
	if err == nil {
		err = d.Check()
	}
	if err != nil {
		return types.WrapErr(err)
	}
	return number{d}
}

func (n number) with(other ref.Val, op func(a, b decimal.Decimal) (decimal.Decimal, error)) ref.Val {
	o, ok := exactly(other)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	return result(op(n.Decimal, o.Decimal))
}

func add(a, b decimal.Decimal) (decimal.Decimal, error)      { return a.Add(b), nil }
func subtract(a, b decimal.Decimal) (decimal.Decimal, error) { return a.Sub(b), nil }

// Add implements traits.Adder.
func (n number) Add(other ref.Val) ref.Val { return n.with(other, add) }

// Subtract implements traits.Subtractor.
func (n number) Subtract(other ref.Val) ref.Val { return n.with(other, subtract) }

// Multiply implements traits.Multiplier.
func (n number) Multiply(other ref.Val) ref.Val { return n.with(other, decimal.Decimal.Mul) }

// Negate implements traits.Negater.
func (n number) Negate() ref.Val { return number{n.Neg()} }

// Compare implements traits.Comparer.
func (n number) Compare(other ref.Val) ref.Val {
	o, ok := exactly(other)
	if !ok {
		return types.MaybeNoSuchOverloadErr(other)
	}
	return types.Int(n.Cmp(o.Decimal))
}

// Equal implements ref.Val: 1.0 equals 1.
func (n number) Equal(other ref.Val) ref.Val {
	o, ok := exactly(other)
	return types.Bool(ok && n.Cmp(o.Decimal) == 0)
}

// Type implements ref.Val.
func (n number) Type() ref.Type { return decimalType }

// Value implements ref.Val.
func (n number) Value() any { return n.Decimal }

// ConvertToType implements ref.Val.
func (n number) ConvertToType(t ref.Type) ref.Val {
	switch t {
	case types.StringType:
		return types.String(n.String())
	case types.TypeType:
		return decimalType
	case decimalType:
		return n
	default:
		return types.NewErr("a decimal becomes no %s", t.TypeName())
	}
}

// ConvertToNative implements ref.Val.
func (n number) ConvertToNative(t reflect.Type) (any, error) {
	if t == reflect.TypeFor[decimal.Decimal]() {
		return n.Decimal, nil
	}
	return nil, fmt.Errorf("a decimal becomes no %s", t)
}

// toDecimal is the function decimal(): of a text, an int or a decimal.
func toDecimal(v ref.Val) ref.Val {
	if s, ok := v.(types.String); ok {
		return result(decimal.Parse(string(s)))
	}
	if n, ok := exactly(v); ok {
		return n
	}
	return types.MaybeNoSuchOverloadErr(v)
}

// adapter makes CEL values of what JSON brings, without a float on the way: a whole number that fits becomes an int, any other
// one a decimal.
type adapter struct{ types.Adapter }

// NativeToValue implements types.Adapter.
func (a *adapter) NativeToValue(v any) ref.Val {
	switch x := v.(type) {
	case ref.Val:
		return x
	case json.Number:
		return jsonNumber(x)
	case decimal.Decimal:
		return number{x}
	case map[string]any:
		return types.NewStringInterfaceMap(a, x)
	case []any:
		return types.NewDynamicList(a, x)
	case float32, float64:
		return types.WrapErr(errors.New("a binary floating-point number came into a mapping"))
	default:
		return a.Adapter.NativeToValue(v)
	}
}

func jsonNumber(n json.Number) ref.Val {
	s := n.String()
	if !strings.ContainsAny(s, ".eE") {
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return types.Int(i)
		}
	}
	return result(decimal.Parse(s))
}
