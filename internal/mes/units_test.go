package mes

import (
	"math/big"
	"math/rand/v2"
	"testing"

	"holdfast/internal/decimal"
	"holdfast/internal/problem"
)

func d(s string) decimal.Decimal { return decimal.MustParse(s) }

// cable is kept in metres; a drum of it is 500 m, and 8 m of it weigh 1 kg.
func cable() converter {
	return converter{units: standardUnits(), material: Material{Number: "CABLE", BaseUnit: "MTR", Units: []UnitRatio{
		{Unit: "DRUM", Numerator: d("500"), Denominator: d("1")}, {Unit: "KGM", Numerator: d("8"), Denominator: d("1")},
	}}}
}

func TestConversions(t *testing.T) {
	tests := []struct {
		name, q, from, to string
		want              string // "" means refused
	}{
		{"the same unit", "1.50", "MTR", "MTR", "1.50"},
		{"the same unknown unit", "1.50", "XYZ", "XYZ", "1.50"},
		{"into the base unit", "0.5", "DRUM", "MTR", "250"},
		{"out of the base unit", "250", "MTR", "DRUM", "0.5"},
		{"between two of the material's", "1", "DRUM", "KGM", "62.5"},
		{"within a dimension", "12.5", "CMT", "MTR", "0.125"},
		{"within another dimension", "1", "TNE", "KGM", "1000"},
		{"by dimension, then by the material", "125", "GRM", "MTR", "1"},
		{"by the material, then by dimension", "1", "MTR", "GRM", "125"},
		{"by dimension on both sides", "80", "CMT", "GRM", "100"},
		{"inches", "10", "INH", "CMT", "25.4"},
		{"an hour", "90", "MIN", "HUR", "1.5"},
		{"what does not end", "1", "MIN", "HUR", ""},
		{"another dimension", "1", "LTR", "MTR", ""},
		{"an unknown unit", "1", "XYZ", "MTR", ""},
		{"into an unknown unit", "1", "MTR", "XYZ", ""},
		{"places that are zero", "0.500000000", "DRUM", "MTR", "250"},
		{"more digits than are kept", "12345678901234567890123456789012345678", "DRUM", "MTR", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := cable().convert(d(tt.q), tt.from, tt.to, "/unit")
			if tt.want == "" {
				if problem.KindOf(err) != problem.Invalid {
					t.Errorf("got %s, %v; want it refused as invalid", got, err)
				}
				return
			}
			if err != nil || !got.Equal(d(tt.want)) {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
}

// TestConversionsComeBack: there and back is the same number, wherever both are exact.
func TestConversionsComeBack(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	units := []string{"MTR", "CMT", "MMT", "KMT", "DRUM", "KGM", "GRM", "TNE"}
	exact := 0
	for range 5000 {
		q := decimal.FromInt(r.Int64N(1_000_000))
		from, to := units[r.IntN(len(units))], units[r.IntN(len(units))]
		there, err := cable().convert(q, from, to, "")
		if err != nil {
			continue
		}
		back, err := cable().convert(there, to, from, "")
		if err != nil || !back.Equal(q) {
			t.Fatalf("%s %s is %s %s, and that is %s %s (%v)", q, from, there, to, back, from, err)
		}
		exact++
	}
	if exact < 4000 {
		t.Errorf("got %d exact conversions of 5000, want most", exact)
	}
}

func TestAMaterialsOwnRatioWins(t *testing.T) {
	c := converter{units: standardUnits(), material: Material{Number: "PAINT", BaseUnit: "KGM", Units: []UnitRatio{
		{Unit: "TNE", Numerator: d("990"), Denominator: d("1")}, // what is sold as a ton
	}}}
	if got, err := c.convert(d("2"), "TNE", "KGM", ""); err != nil || !got.Equal(d("1980")) {
		t.Errorf("got %s, %v; want 1980", got, err)
	}
}

func TestPlannedRequirements(t *testing.T) {
	tests := []struct{ name, d, num, den, want string }{
		{"exact", "2", "10", "4", "5"},
		{"exact within six places", "1", "1", "64", "0.015625"},
		{"a third, rounded up", "1", "10", "3", "3.334"},
		{"nothing", "0", "10", "3", "0"},
		{"less than is kept, rounded up", "0.0000001", "1", "1", "0.001"},
		{"more places than are kept, rounded up", "1", "1", "128", "0.008"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := planned(d(tt.d), d(tt.num), d(tt.den)); err != nil || !got.Equal(d(tt.want)) {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
	if got, err := planned(d("1"), d("1"), d("0")); err == nil {
		t.Errorf("got %s by division by zero, want an error", got)
	}
	if got, err := planned(d("12345678901234567890123456789012345678"), d("3"), d("7")); err == nil {
		t.Errorf("got %s with more digits than are kept, want an error", got)
	}
}

// TestPlannedRequirementsAreNeverShort compares with exact fractions.
func TestPlannedRequirementsAreNeverShort(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 2000 {
		a, b, c := r.Int64N(10_000), r.Int64N(10_000), 1+r.Int64N(1000)
		got, err := planned(decimal.FromInt(a), decimal.FromInt(b), decimal.FromInt(c))
		if err != nil {
			t.Fatal(err)
		}
		have, ok := new(big.Rat).SetString(got.String())
		if !ok {
			t.Fatalf("%s is no number", got)
		}
		want := new(big.Rat).Mul(big.NewRat(a, 1), big.NewRat(b, c))
		over := new(big.Rat).Sub(have, want)
		if over.Sign() < 0 || over.Cmp(big.NewRat(1, 1000)) >= 0 {
			t.Fatalf("%d × %d ÷ %d: got %s, want %s or up to a thousandth more", a, b, c, got, want.FloatString(6))
		}
	}
}
