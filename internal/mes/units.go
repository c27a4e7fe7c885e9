package mes

import (
	"context"
	"fmt"
	"math/big"

	"holdfast/internal/decimal"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// standardUnits are known without the ERP: codes of UN/CEFACT Recommendation 20 and those that ERPs commonly use in their place.
// A unit.changed of the same code takes precedence.
func standardUnits() map[string]Unit {
	units := map[string]Unit{}
	for _, u := range []struct {
		dimension, num, den string
		codes               []string
	}{
		{"mass", "1", "1", []string{"KGM", "KG"}},
		{"mass", "1", "1000", []string{"GRM", "G"}},
		{"mass", "1", "1000000", []string{"MGM", "MG"}},
		{"mass", "1000", "1", []string{"TNE", "TO", "T"}},
		{"mass", "0.45359237", "1", []string{"LBR", "LB"}},
		{"volume", "1", "1", []string{"LTR", "L"}},
		{"volume", "1", "1000", []string{"MLT", "ML"}},
		{"volume", "1000", "1", []string{"MTQ", "M3"}},
		{"length", "1", "1", []string{"MTR", "M"}},
		{"length", "1", "100", []string{"CMT", "CM"}},
		{"length", "1", "1000", []string{"MMT", "MM"}},
		{"length", "1000", "1", []string{"KMT", "KM"}},
		{"length", "0.0254", "1", []string{"INH", "IN"}},
		{"area", "1", "1", []string{"MTK", "M2"}},
		{"area", "1", "10000", []string{"CMK", "CM2"}},
		{"time", "1", "1", []string{"SEC", "S"}},
		{"time", "60", "1", []string{"MIN"}},
		{"time", "3600", "1", []string{"HUR", "H", "HR"}},
		{"time", "86400", "1", []string{"DAY", "D"}},
		{"energy", "1", "1", []string{"KWH"}},
		{"count", "1", "1", []string{"C62", "H87", "PCE", "PC", "EA", "ST"}},
		{"count", "12", "1", []string{"DZN"}},
		{"count", "1000", "1", []string{"MIL", "TS"}},
	} {
		for _, code := range u.codes {
			units[code] = Unit{
				Code: code, Dimension: u.dimension, Numerator: decimal.MustParse(u.num), Denominator: decimal.MustParse(u.den),
			}
		}
	}
	return units
}

// factor is an exact ratio: num of one unit are den of another.
type factor struct{ num, den decimal.Decimal }

// converter knows the ways between units: by a material's own ratios, else by dimension.
type converter struct {
	material Material // zero if the plant has no copy of it
	units    map[string]Unit
}

// convert is q of from, in to. It is refused where there is no way, and where the result would not be exact.
func (c converter) convert(q decimal.Decimal, from, to, pointer string) (decimal.Decimal, error) {
	if from == to {
		return q, nil
	}
	f, ok, err := c.ratio(from, to)
	if err != nil {
		return decimal.Decimal{}, c.inexact(q, from, to, pointer, err)
	}
	if !ok {
		return decimal.Decimal{}, &problem.Error{
			Kind: problem.Invalid, What: c.what(q, from, to), Why: c.whyNoWay(from, to),
			Hint:   "report in " + to + ", or keep the unit's ratio with the material in the ERP",
			Fields: []problem.Field{field(pointer, "cannot be converted to "+to)},
		}
	}
	out, err := q.Ratio(f.num, f.den)
	if err == nil && out.Scale() > maxBooked {
		out, err = out.Rescale(maxBooked)
	}
	if err == nil && out.Cmp(most()) >= 0 {
		err = decimal.ErrInexact
	}
	if err != nil {
		return decimal.Decimal{}, c.inexact(q, from, to, pointer, err)
	}
	return out, nil
}

func (c converter) what(q decimal.Decimal, from, to string) string {
	return fmt.Sprintf("convert %s %s to %s", q, from, to)
}

func (c converter) inexact(q decimal.Decimal, from, to, pointer string, cause error) error {
	return &problem.Error{
		Kind: problem.Invalid, What: c.what(q, from, to), Why: fmt.Sprintf("the result is no exact decimal of at most %d places", maxBooked),
		Hint:   "report in " + to + ": nothing is rounded",
		Fields: []problem.Field{field(pointer, "cannot be converted to "+to+" exactly")}, Cause: cause,
	}
}

func (c converter) whyNoWay(from, to string) string {
	a, b := c.units[from], c.units[to]
	if a.Dimension != "" && b.Dimension != "" && a.Dimension != b.Dimension {
		return fmt.Sprintf("%s is a unit of %s, %s one of %s, and %s has no ratio between them", from, a.Dimension, to, b.Dimension, c.material.name())
	}
	return fmt.Sprintf("no ratio between them is known for %s", c.material.name())
}

func (m Material) name() string {
	if m.Number == "" {
		return "this material"
	}
	return "material " + m.Number
}

// ratio is the factor from one unit to another: within a dimension, or by way of the material's base unit.
func (c converter) ratio(from, to string) (factor, bool, error) {
	if f, ok, err := c.byDimension(from, to); ok || err != nil {
		return f, ok, err
	}
	a, aok, err := c.toBase(from)
	if !aok || err != nil {
		return factor{}, false, err
	}
	b, bok, err := c.toBase(to)
	if !bok || err != nil {
		return factor{}, false, err
	}
	f, err := a.over(b)
	return f, err == nil, err
}

// toBase is the factor from a unit to the material's base unit. A unit that the material does not name goes by way of one that
// it does name and that has the same dimension: 500 G of a material kept in pieces with a ratio for KG.
func (c converter) toBase(unit string) (factor, bool, error) {
	for _, r := range c.material.ratios() {
		if r.Unit == unit {
			return factor{r.Numerator, r.Denominator}, true, nil
		}
	}
	for _, r := range c.material.ratios() {
		f, ok, err := c.byDimension(unit, r.Unit)
		if err != nil {
			return factor{}, false, err
		}
		if ok {
			f, err = f.times(factor{r.Numerator, r.Denominator})
			return f, err == nil, err
		}
	}
	return factor{}, false, nil
}

// ratios are the material's own, its base unit among them.
func (m Material) ratios() []UnitRatio {
	if m.BaseUnit == "" {
		return nil
	}
	one := decimal.FromInt(1)
	return append([]UnitRatio{{Unit: m.BaseUnit, Numerator: one, Denominator: one}}, m.Units...)
}

// byDimension is the factor between two units of one dimension. A ratio that the material names wins over it.
func (c converter) byDimension(from, to string) (factor, bool, error) {
	if c.material.names(from) && c.material.names(to) {
		return factor{}, false, nil
	}
	a, aok := c.units[from]
	b, bok := c.units[to]
	if !aok || !bok || a.Dimension != b.Dimension {
		return factor{}, false, nil
	}
	f, err := factor{a.Numerator, a.Denominator}.over(factor{b.Numerator, b.Denominator})
	return f, err == nil, err
}

func (m Material) names(unit string) bool {
	for _, r := range m.ratios() {
		if r.Unit == unit {
			return true
		}
	}
	return false
}

func (f factor) times(g factor) (factor, error) {
	num, err := f.num.Mul(g.num)
	if err != nil {
		return factor{}, err
	}
	den, err := f.den.Mul(g.den)
	return factor{num, den}, err
}

func (f factor) over(g factor) (factor, error) { return f.times(factor{g.den, g.num}) }

// converter reads what a conversion for the material needs.
func (p *Plant) converter(ctx context.Context, tx *store.Tx, m Material) (converter, error) {
	units := standardUnits()
	own, err := selectMaster[Unit](ctx, tx, kindUnit)
	if err != nil {
		return converter{}, err
	}
	for _, u := range own {
		units[u.Code] = u
	}
	return converter{material: m, units: units}, nil
}

// percentOf is d × (100 + percent) ÷ 100.
func percentOf(d, percent decimal.Decimal) (decimal.Decimal, error) {
	hundred := decimal.FromInt(100)
	out, err := d.Ratio(hundred.Add(percent), hundred)
	if err != nil {
		return decimal.Decimal{}, fmt.Errorf("add %s %% to %s: %w", percent, d, err)
	}
	return out, nil
}

// plannedPlaces is how many places a planned requirement keeps where its division does not end: what ERPs keep (DEC 13.3).
const plannedPlaces = 3

// planned is d × num ÷ den for a requirement that is planned, not counted: exact where it ends, else rounded up so that nothing
// is short.
func planned(d, num, den decimal.Decimal) (decimal.Decimal, error) {
	if out, err := d.Ratio(num, den); err == nil && out.Scale() <= 2*plannedPlaces {
		return out, nil
	}
	r, ok := rat(d, num, den)
	if !ok {
		return decimal.Decimal{}, fmt.Errorf("plan %s × %s ÷ %s: division by zero", d, num, den)
	}
	r.Mul(r, new(big.Rat).SetInt64(1000))
	whole, rest := new(big.Int).QuoRem(r.Num(), r.Denom(), new(big.Int))
	if rest.Sign() > 0 {
		whole.Add(whole, big.NewInt(1))
	}
	out, err := decimal.Parse(whole.String() + "e-3")
	if err != nil {
		return decimal.Decimal{}, fmt.Errorf("plan %s × %s ÷ %s: %w", d, num, den, err)
	}
	return out, nil
}

func rat(d, num, den decimal.Decimal) (*big.Rat, bool) {
	r, _ := new(big.Rat).SetString(d.String())
	n, _ := new(big.Rat).SetString(num.String())
	q, _ := new(big.Rat).SetString(den.String())
	if q.Sign() == 0 {
		return nil, false
	}
	return r.Mul(r, n).Quo(r, q), true
}
