package mapping

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"

	"holdfast/internal/decimal"
)

//go:embed units.csv
var shippedUnits []byte

// firstUnits is the digest of the shipped table by which versions were named before the table was part of them. A set of mappings by that table has
// its versions as ever, and is kept without a table.
const firstUnits = "4ecb8935b1d8ce9745c87c588d001a77530b393e9186ffdb1fa4a07615ccd67a"

// KeptUnits is the name of the table of units below the shipped mappings of a set that is kept.
const KeptUnits = ".units.csv"

// UnitsToKeep is the shipped table of units, to be kept with a set that is made by it; nil of the one that every set has that is kept without.
func UnitsToKeep() []byte { return unlessFirst(shippedUnits) }

func unlessFirst(table []byte) []byte {
	if digest := sha256.Sum256(table); hex.EncodeToString(digest[:]) == firstUnits {
		return nil
	}
	return table
}

// LoadKept is Load of a set that was kept, shipped mappings and own ones, by the units that it was made with. The error is ErrGone where this
// release has other ones.
func LoadKept(shipped fs.FS, own ...fs.FS) (*Set, error) {
	if _, err := fs.Stat(shipped, KeptUnits); err != nil && UnitsToKeep() != nil {
		return nil, fmt.Errorf("this release has other factors of units: %w", ErrGone)
	}
	return LoadPublished(append([]fs.FS{shipped}, own...)...)
}

// unitFile is the plant's own units, beside its mappings: rows that replace the shipped ones, or are added to them.
const unitFile = "units.csv"

// unit is one unit of measure: so many of numerator ÷ denominator of the first of its dimension.
type unit struct {
	codes                  map[string]string // by scheme: unece, sap, plant
	dimension              string
	numerator, denominator decimal.Decimal
}

// units are those that a set of mappings knows. They are filled while it is loaded.
type units struct {
	all    []*unit
	byCode map[string]map[string]*unit // scheme, code
}

// shipped are the units that come with the program.
var shipped = sync.OnceValues(func() ([]*unit, error) { return parseUnits(shippedUnits) })

// fill takes the shipped units, or in their place those of a table that was kept, and those of files, in order.
func (u *units) fill(kept []byte, files ...[]byte) error {
	all, err := shipped()
	if kept != nil {
		all, err = parseUnits(kept)
	}
	if err != nil {
		return fmt.Errorf("read the shipped units: %w", err)
	}
	u.all = slices.Clone(all)
	for _, text := range files {
		own, err := parseUnits(text)
		if err != nil {
			return err
		}
		for _, one := range own {
			u.all = slices.DeleteFunc(u.all, func(o *unit) bool { return o.codes["unece"] == one.codes["unece"] })
			u.all = append(u.all, one)
		}
	}
	u.byCode = map[string]map[string]*unit{"unece": {}, "sap": {}, "plant": {}}
	for _, one := range u.all {
		for scheme, code := range one.codes {
			if was := u.byCode[scheme][code]; was != nil {
				err = &Mistake{
					unitFile, 1, 1, "the units", fmt.Sprintf("%q is a code of %s for both %s and %s", code, scheme, was.codes["unece"], one.codes["unece"]),
					"give each unit a code of its own, or replace the other's row by its unece code",
				}
			}
			u.byCode[scheme][code] = one
		}
	}
	return err
}

// parseUnits reads a table with the columns unece, sap, plant, dimension, numerator and denominator, in any order.
func parseUnits(text []byte) ([]*unit, error) {
	rows, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || len(rows) == 0 {
		return nil, &Mistake{unitFile, 1, 1, "the units", fmt.Sprintf("it is no table: %v", err), "begin it with unece,sap,plant,dimension,numerator,denominator"}
	}
	var out []*unit
	for i, row := range rows[1:] {
		one := &unit{codes: map[string]string{}}
		var err1, err2 error
		for j, name := range rows[0] {
			switch v := row[j]; name {
			case "unece", "sap", "plant":
				if v != "" {
					one.codes[name] = v
				}
			case "dimension":
				one.dimension = v
			case "numerator":
				one.numerator, err1 = decimal.Parse(v)
			case "denominator":
				one.denominator, err2 = decimal.Parse(v)
			}
		}
		if err1 != nil || err2 != nil || one.codes["unece"] == "" || one.dimension == "" || one.numerator.Sign() <= 0 || one.denominator.Sign() <= 0 {
			return nil, &Mistake{unitFile, i + 2, 1, "the units", "the row is no unit", "give unece, dimension, and numerator and denominator above 0"}
		}
		out = append(out, one)
	}
	return out, nil
}

// find is a unit by any of its codes. One that two schemes have for different units, as PAL is UN/CEFACT's pascal and SAP's pallet, is none.
func (u *units) find(code string) (found *unit, err error) {
	of := ""
	for _, scheme := range []string{"unece", "sap", "plant"} {
		one := u.byCode[scheme][code]
		if one != nil && found != nil && one != found {
			return nil, fmt.Errorf("%q is a unit of %s and another of %s: say which, with unitCode(…, %q, \"unece\")", clip(code), of, scheme, scheme)
		}
		if one != nil && found == nil {
			found, of = one, scheme
		}
	}
	if found != nil {
		return found, nil
	}
	hint := didYouMean(code, slices.Sorted(maps.Keys(u.byCode["unece"])), "add it to "+unitFile)
	return nil, fmt.Errorf("there is no unit %q: %s", clip(code), hint)
}

// between are two units of one dimension.
func (u *units) between(from, to string) (a, b *unit, err error) {
	if a, err = u.find(from); err != nil {
		return nil, nil, err
	}
	if b, err = u.find(to); err != nil {
		return nil, nil, err
	}
	if a.dimension != b.dimension {
		return nil, nil, fmt.Errorf("%s is a %s and %s is a %s", from, a.dimension, to, b.dimension)
	}
	return a, b, nil
}

func (u *units) code(code, from, to string) (string, error) {
	if u.byCode[from] == nil || u.byCode[to] == nil {
		return "", fmt.Errorf("units have codes of unece, sap and plant, not of %s to %s", clip(from), clip(to))
	}
	one := u.byCode[from][code]
	if one == nil {
		return "", fmt.Errorf("%s has no unit %q: %s", from, clip(code), didYouMean(code, sortedKeys(u.byCode[from]), "add it to "+unitFile))
	}
	out, ok := one.codes[to]
	if !ok {
		return "", fmt.Errorf("unit %q of %s has no code of %s: add it to %s", clip(code), from, to, unitFile)
	}
	return out, nil
}

// functions are convert and unitCode.
func (u *units) functions() []cel.EnvOption {
	str := cel.StringType
	return []cel.EnvOption{
		cel.Function("convert", slices.Concat(ofNumbers("convert", 1, []*cel.Type{str, str}, u.convert), ofNumbers("convert_rounded", 1, []*cel.Type{str, str, cel.IntType, str}, u.convert))...),
		cel.Function("unitCode", cel.Overload("unit_code", []*cel.Type{str, str, str}, str, cel.FunctionBinding(func(a ...ref.Val) ref.Val {
			out, err := u.code(string(a[0].(types.String)), string(a[1].(types.String)), string(a[2].(types.String)))
			if err != nil {
				return types.WrapErr(err)
			}
			return types.String(out)
		}))),
	}
}

// convert is a quantity in another unit of its dimension: exactly, or with so many places and rounded as two more arguments say. Without them a
// quotient that does not end is an error.
func (u *units) convert(a ...ref.Val) ref.Val {
	from, to, err := u.between(string(a[1].(types.String)), string(a[2].(types.String)))
	if err != nil {
		return types.WrapErr(err)
	}
	if from == to && len(a) == 3 {
		return a[0] // as it is spelt
	}
	num, den, err := factor(from, to)
	switch {
	case err != nil:
		return types.NewErr("the factor of %s and %s has too many digits", a[1], a[2])
	case len(a) == 5:
		return ratioTo(a[0].(number).Decimal, num, den, a[3:])
	}
	return result(a[0].(number).Ratio(num, den))
}

// factor is what a quantity is multiplied with, and divided by, to be one in another unit.
func factor(from, to *unit) (num, den decimal.Decimal, err error) {
	num, err1 := from.numerator.Mul(to.denominator)
	den, err2 := from.denominator.Mul(to.numerator)
	return num, den, errors.Join(err1, err2)
}

// ends tells whether a quotient ends for each number, since what num does not take away of den divides a power of ten.
func ends(num, den decimal.Decimal) bool {
	n, ok1 := new(big.Rat).SetString(num.String())
	d, ok2 := new(big.Rat).SetString(den.String())
	if !ok1 || !ok2 || d.Sign() == 0 {
		return true // another error is told of it
	}
	left := new(big.Int).Set(n.Quo(n, d).Denom())
	for _, prime := range []*big.Int{big.NewInt(2), big.NewInt(5)} {
		for q, rest := new(big.Int), new(big.Int); ; {
			if q.QuoRem(left, prime, rest); rest.Sign() != 0 {
				break
			}
			left.Set(q)
		}
	}
	return left.IsInt64() && left.Int64() == 1
}

// scaleHint is what to do about a quotient that may not end.
const scaleHint = `name a scale: ratio(…, …, …, 3, "half-up")`

// endless finds a quotient without a named scale that does not end: a message in which it does not would stop. Where the unit that comes is
// not known, it may be one of those for which it ends.
func (c *compiler) endless(call ast.CallExpr, path string, at func(ast.Expr) place) {
	args := call.Args()
	if call.FunctionName() == "ratio" {
		num, ok1 := numberLiteral(args[1])
		den, ok2 := numberLiteral(args[2])
		if ok2 && (!ok1 && !ends(decimal.FromInt(1), den) || ok1 && !ends(num, den)) {
			c.advise(at(args[2]), path, fmt.Sprintf("a quotient by %s may not end, and such a message would stop", den), scaleHint)
		} else if !ok2 && !c.stops {
			c.advise(at(args[2]), path, "a quotient by what comes may not end, and such a message would stop", scaleHint)
		}
		return
	}
	from, known := literal(args[1])
	to, ok := literal(args[2])
	target, err := c.units.find(to)
	if !ok || err != nil {
		return
	}
	for _, u := range c.units.all {
		num, den, err := factor(u, target)
		switch {
		case err != nil || u.dimension != target.dimension || known && !u.is(from) || ends(num, den):
		case known:
			c.advise(at(args[2]), path, fmt.Sprintf("a number of %s may have no end in %s, and such a message would stop", from, to), "name a scale: convert(…, …, …, 3, \"half-up\")")
			return
		default:
			c.m.look(at(args[2]), path, fmt.Sprintf("a number of %s may have no end in %s, and such a message would stop", u.codes["unece"], to), "name a scale: convert(…, …, …, 3, \"half-up\")")
			return
		}
	}
}

// is tells whether a unit has a code.
func (u *unit) is(code string) bool {
	return slices.Contains(slices.Collect(maps.Values(u.codes)), code)
}

// numberLiteral is a number that stands in an expression, as decimal("3") or 3.
func numberLiteral(e ast.Expr) (decimal.Decimal, bool) {
	if n, ok := intLiteral(e); ok {
		return decimal.FromInt(int64(n)), true
	}
	if e.Kind() != ast.CallKind || e.AsCall().FunctionName() != "decimal" || len(e.AsCall().Args()) != 1 {
		return decimal.Decimal{}, false
	}
	arg := e.AsCall().Args()[0]
	if n, ok := intLiteral(arg); ok {
		return decimal.FromInt(int64(n)), true
	}
	text, ok := literal(arg)
	d, err := decimal.Parse(text)
	return d, ok && err == nil
}

// checkUnits holds units that an expression names against those that there are.
func (c *compiler) checkUnits(name string, args []ast.Expr, path string, at func(ast.Expr) place) {
	wrong := func(e ast.Expr, err error) {
		why, hint, _ := strings.Cut(err.Error(), ": ")
		c.add(at(e), path, why, hint)
	}
	from, ok1 := literal(args[1])
	to, ok2 := literal(args[2])
	if name == "unitCode" {
		for i, scheme := range []string{from, to} {
			if _, known := c.units.byCode[scheme]; !known && (i == 0 && ok1 || i == 1 && ok2) {
				c.add(at(args[i+1]), path, fmt.Sprintf("%q is no scheme of units", clip(scheme)), didYouMean(scheme, sortedKeys(c.units.byCode), "use unece, sap or plant"))
			}
		}
		return
	}
	if len(args) == 5 {
		c.checkRounding(args[4], path, at)
	}
	for i, code := range []string{from, to} {
		if i == 0 && !ok1 || i == 1 && !ok2 {
			continue
		}
		if _, err := c.units.find(code); err != nil {
			wrong(args[i+1], err)
			return
		}
	}
	if _, _, err := c.units.between(from, to); ok1 && ok2 && err != nil {
		c.add(at(args[2]), path, err.Error(), "a unit becomes one of its own dimension only")
	}
}
