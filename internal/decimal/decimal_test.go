package decimal_test

import (
	"encoding/json"
	"errors"
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
