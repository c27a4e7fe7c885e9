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

// same tells whether two values are equal, whichever of two numbers is a decimal, in lists and objects too.
func same(a, b ref.Val) ref.Val {
	switch x := a.(type) {
	case number:
		return x.Equal(b)
	case *types.Optional:
		if y, ok := b.(*types.Optional); ok && x.HasValue() && y.HasValue() {
			return same(x.GetValue(), y.GetValue())
		}
	case traits.Mapper:
		if y, ok := b.(traits.Mapper); ok {
			return sameMembers(x, y)
		}
	case traits.Lister:
		if y, ok := b.(traits.Lister); ok {
			return sameElements(x, y)
		}
	}
	if n, ok := b.(number); ok {
		return n.Equal(a)
	}
	return types.Equal(a, b)
}

func sameElements(x, y traits.Lister) ref.Val {
	if x.Size() != y.Size() {
		return types.False
	}
	for i, j := x.Iterator(), y.Iterator(); i.HasNext() == types.True; {
		if is := same(i.Next(), j.Next()); is != types.True {
			return is
		}
	}
	return types.True
}

func sameMembers(x, y traits.Mapper) ref.Val {
	if x.Size() != y.Size() {
		return types.False
	}
	for i := x.Iterator(); i.HasNext() == types.True; {
		name := i.Next()
		other, has := y.Find(name)
		if !has {
			return types.False
		}
		if is := same(x.Get(name), other); is != types.True {
			return is
		}
	}
	return types.True
}

// untypedWithin tells whether a type has none while it runs, or what it is made of.
func untypedWithin(t *types.Type) bool {
	t = plain(t)
	switch t.Kind() {
	case types.ListKind:
		return untypedWithin(t.Parameters()[0])
	case types.MapKind:
		return untypedWithin(t.Parameters()[1])
	}
	return t.IsDyn()
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
		left, in := is(args[0]), is(args[1])
		numeric := left.IsDyn() || left.IsExactType(types.IntType)
		parts := func(t *types.Type) bool { return t.Kind() == types.ListKind || t.Kind() == types.MapKind }
		loose := numeric && in.IsDyn() || (parts(left) || parts(in)) && (untypedWithin(left) || untypedWithin(in))
		switch e.AsCall().FunctionName() {
		case operators.Equals:
			if loose {
				become(e, sameValue)
			}
		case operators.NotEquals:
			if loose {
				become(e, otherValue)
			}
		case operators.In:
			if (numeric || parts(left)) && (in.IsDyn() || in.Kind() == types.ListKind && untypedWithin(in.Parameters()[0])) {
				become(e, amongThem)
			}
		}
	}))
}
