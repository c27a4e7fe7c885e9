package decimal_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"strings"
	"testing"

	"holdfast/internal/decimal"
)

func TestParseKeepsEveryDigitAndRefusesTheRest(t *testing.T) {
	tests := []struct {
		name, in string
		want     string // "" means refused
	}{
		{"scale is kept", "12.500", "12.500"},
		{"plain form of an exponent", "1E-6", "0.000001"},
		{"exponent upwards", "1e3", "1000"},
		{"above 2^53", "9007199254740993", "9007199254740993"},
		{"leading zeros of an ERP", "000012.5", "12.5"},
		{"minus zero is zero", "-0.00", "0.00"},
		{"zero has one digit before the point", "0E1", "0"},
		{"38 digits", strings.Repeat("9", 38), strings.Repeat("9", 38)},
		{"39 digits", strings.Repeat("9", 39), ""},
		{"39 places", "0." + strings.Repeat("0", 38) + "1", ""},
		{"not a number", "NaN", ""},
		{"infinity", "Infinity", ""},
		{"a bomb of an exponent", "1e999999999", ""},
		{"a plus sign", "+1", ""},
		{"a comma", "1,5", ""},
		{"no digit before the point", ".5", ""},
		{"no digit behind the point", "5.", ""},
		{"a blank", " 1", ""},
		{"nothing", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := decimal.Parse(tt.in)
			if tt.want == "" {
				if err == nil {
					t.Fatalf("Parse(%q) = %s, want a refusal", tt.in, got)
				}
				return
			}
			if err != nil || got.String() != tt.want {
				t.Errorf("Parse(%q) = %q, %v, want %q", tt.in, got, err, tt.want)
			}
		})
	}
}

func TestTheLeastIsRoundedUpToo(t *testing.T) {
	for in, want := range map[string]string{"0.00099": "0.01", "-0.0000001": "-0.01", "0.000": "0.00", "0.99001": "1.00"} {
		if got, err := decimal.MustParse(in).Round(2, decimal.Up); err != nil || got.String() != want {
			t.Errorf("%s rounded up: got %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestArithmeticIsExactOrAnError(t *testing.T) {
	p := decimal.MustParse
	if got := p("0.1").Add(p("0.2")); got.String() != "0.3" {
		t.Errorf("0.1 + 0.2 = %s", got)
	}
	if got := p("1").Sub(p("1.000")); got.String() != "0.000" {
		t.Errorf("1 - 1.000 = %s", got)
	}
	if got, err := p("7").Ratio(p("1"), p("8")); err != nil || got.String() != "0.875" {
		t.Errorf("7 × 1 ÷ 8 = %s, %v", got, err)
	}
	if got, err := p("1").Ratio(p("1"), p("3")); !errors.Is(err, decimal.ErrInexact) {
		t.Errorf("1 ÷ 3 = %s, %v, want ErrInexact", got, err)
	}
	if got, err := p(strings.Repeat("9", 30)).Mul(p(strings.Repeat("9", 30))); !errors.Is(err, decimal.ErrInexact) {
		t.Errorf("a product of 60 digits = %s, %v, want ErrInexact", got, err)
	}
}

// TestAQuotientIsRoundedOnce compares with fractions, which are never rounded.
func TestAQuotientIsRoundedOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 3))
	some := func() decimal.Decimal { // small ones too, so that halves come up
		d, err := decimal.MustParse(fmt.Sprint(r.Int64N(1 << (1 + r.IntN(30))))).Mul(decimal.MustParse([]string{"1", "-0.5", "0.001", "1000"}[r.IntN(4)]))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	fraction := func(d decimal.Decimal) *big.Rat {
		f, _ := new(big.Rat).SetString(d.String())
		return f
	}
	for range 5000 {
		d, num, den, scale := some(), some(), some(), int32(r.IntN(7))
		if den.IsZero() {
			continue
		}
		whole := new(big.Rat).Quo(new(big.Rat).Mul(fraction(d), fraction(num)), fraction(den))
		whole.Mul(whole, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil)))
		size := new(big.Rat).Abs(whole)
		low := new(big.Int).Quo(size.Num(), size.Denom())
		half := new(big.Rat).Sub(size, new(big.Rat).SetInt(low)).Cmp(big.NewRat(1, 2))
		exact := size.IsInt()
		for mode, up := range map[decimal.Mode]bool{
			decimal.Down: false, decimal.Up: !exact, decimal.HalfUp: half >= 0, decimal.HalfEven: half > 0 || half == 0 && low.Bit(0) == 1,
		} {
			want := new(big.Int).Set(low)
			if up {
				want.Add(want, big.NewInt(1))
			}
			if whole.Sign() < 0 {
				want.Neg(want)
			}
			got, err := d.RatioTo(num, den, scale, mode)
			scaled := fraction(got)
			if err != nil || got.Scale() != scale || scaled.Mul(scaled, new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(scale)), nil))).Cmp(new(big.Rat).SetInt(want)) != 0 {
				t.Fatalf("%s × %s ÷ %s to %d places, %s: got %s, %v, want %s of them", d, num, den, scale, mode, got, err, want)
			}
		}
	}
	for _, bad := range []func() (decimal.Decimal, error){
		func() (decimal.Decimal, error) {
			return decimal.FromInt(1).RatioTo(decimal.FromInt(1), decimal.FromInt(0), 3, decimal.HalfUp)
		},
		func() (decimal.Decimal, error) {
			return decimal.FromInt(1).RatioTo(decimal.FromInt(1), decimal.FromInt(3), 3, "about")
		},
		func() (decimal.Decimal, error) {
			return decimal.MustParse(strings.Repeat("9", 38)).RatioTo(decimal.FromInt(1), decimal.MustParse("0.1"), 3, decimal.HalfUp)
		},
	} {
		if got, err := bad(); err == nil {
			t.Errorf("got %s, want an error", got)
		}
	}
}

func TestSumOfTheWidestNumbersDoesNotPanic(t *testing.T) {
	wide, fine := decimal.MustParse(strings.Repeat("9", 38)), decimal.MustParse("0."+strings.Repeat("0", 37)+"1")
	if err := wide.Add(fine).Check(); !errors.Is(err, decimal.ErrInexact) {
		t.Errorf("Check of a 76-digit sum = %v, want ErrInexact", err)
	}
}

func TestRounding(t *testing.T) {
	tests := []struct {
		in    string
		scale int32
		mode  decimal.Mode
		want  string
	}{
		{"1.2345", 3, decimal.HalfUp, "1.235"},
		{"1.2345", 3, decimal.HalfEven, "1.234"},
		{"-1.2345", 3, decimal.HalfUp, "-1.235"},
		{"1.2341", 3, decimal.Up, "1.235"},
		{"1.2349", 3, decimal.Down, "1.234"},
		{"5", 2, decimal.Down, "5.00"},
	}
	for _, tt := range tests {
		got, err := decimal.MustParse(tt.in).Round(tt.scale, tt.mode)
		if err != nil || got.String() != tt.want {
			t.Errorf("Round(%s, %d, %s) = %s, %v, want %s", tt.in, tt.scale, tt.mode, got, err, tt.want)
		}
	}
	if got, err := decimal.MustParse("1.23456").Rescale(3); !errors.Is(err, decimal.ErrInexact) {
		t.Errorf("Rescale(1.23456, 3) = %s, %v, want ErrInexact", got, err)
	}
}

func TestJSONIsAStringAndReadsNumbersToo(t *testing.T) {
	var got struct{ A, B decimal.Decimal }
	if err := json.Unmarshal([]byte(`{"A": "12.500", "B": 123456789012.123456}`), &got); err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(got)
	if want := `{"A":"12.500","B":"123456789012.123456"}`; err != nil || string(b) != want {
		t.Errorf("got %s, %v, want %s", b, err, want)
	}
}
