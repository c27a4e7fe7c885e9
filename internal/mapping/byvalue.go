package mapping

import (
	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// What stands for ==, != and in where what comes has no type while it runs: JSON's 12 is a whole number then and 12.0 a decimal, and CEL's own whole
// number is never equal to one. No expression can name them.
const (
	sameValue  = "@same"
	otherValue = "@other"
	amongThem  = "@among"
)

func byValue() []cel.EnvOption {
	two := []*cel.Type{cel.DynType, cel.DynType}
	of := func(name string, f func(a, b ref.Val) ref.Val) cel.EnvOption {
		return cel.Function(name, cel.Overload(name, two, cel.BoolType, cel.BinaryBinding(f)))
	}
	return []cel.EnvOption{
		of(sameValue, same), of(amongThem, among),
		of(otherValue, func(a, b ref.Val) ref.Val {
			if is, ok := same(a, b).(types.Bool); ok {
				return !is
			}
			return same(a, b)
		}),
	}
}

// same tells whether two values are equal, whichever of two numbers is a decimal.
func same(a, b ref.Val) ref.Val {
	if n, ok := b.(number); ok {
		return n.Equal(a)
	}
	return types.Equal(a, b)
}

// among tells whether a value is in a list, or a field's name in an object.
func among(v, all ref.Val) ref.Val {
	list, ok := all.(traits.Lister)
	if !ok {
		if o, ok := all.(traits.Container); ok {
			return o.Contains(v)
		}
		return types.MaybeNoSuchOverloadErr(all)
	}
	for it := list.Iterator(); it.HasNext() == types.True; {
		if same(v, it.Next()) == types.True {
			return types.True
		}
	}
	return types.False
}

// compareByValue has an expression that CEL has checked compare what has no type by value.
func compareByValue(checked *ast.AST) {
	is := func(e ast.Expr) *types.Type { return plain(checked.GetType(e.ID())) }
	become := func(e ast.Expr, function string) {
		args := e.AsCall().Args()
		e.SetKindCase(ast.NewExprFactory().NewCall(e.ID(), function, args...))
		checked.SetReference(e.ID(), ast.NewFunctionReference(function))
	}
	ast.PostOrderVisit(checked.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() != ast.CallKind || len(e.AsCall().Args()) != 2 || e.AsCall().IsMemberFunction() {
			return
		}
		args := e.AsCall().Args()
		numeric := is(args[0]).IsDyn() || is(args[0]).IsExactType(types.IntType)
		switch in := is(args[1]); e.AsCall().FunctionName() {
		case operators.Equals:
			if numeric && in.IsDyn() {
				become(e, sameValue)
			}
		case operators.NotEquals:
			if numeric && in.IsDyn() {
				become(e, otherValue)
			}
		case operators.In:
			if numeric && (in.IsDyn() || in.Kind() == types.ListKind && in.Parameters()[0].IsDyn()) {
				become(e, amongThem)
			}
		}
	}))
}
