package mapping_test

import (
	"strings"
	"testing"

	"holdfast/internal/decimal"
)

// TestWholeNumbersWithoutATypeAreNumbers: JSON's 3 is a whole number while it runs and 3.0 a decimal; a mapping is given one or the other.
func TestWholeNumbersWithoutATypeAreNumbers(t *testing.T) {
	const whole, places = `{"i":3,"d":2.5,"n":-3,"two":2,"kg":1}`, `{"i":3.0,"d":2.5,"n":-3.0,"two":2.0,"kg":1.0}`
	for expression, want := range map[string]string{
		`src.i * decimal("2")`: "6", `src.i + decimal("0.5")`: "3.5", `src.i - decimal("1")`: "2", `decimal("2") * src.i`: "6", `src.i * src.d`: "7.5", `src.d * src.i`: "7.5",
		`src.i + src.d`: "5.5", `src.i - src.d`: "0.5", `src.i * src.i`: "9", `src.i + 1`: "4", `-src.i`: "-3",
		`abs(src.n)`: "3", `round(src.i, 0, "half-up")`: "3", `ratio(src.i, src.two, 4)`: "1.5", `ratio(src.i, src.two, 4, 1, "half-up")`: "1.5", `convert(src.kg, "KGM", "GRM")`: "1000",
		`convert(src.kg, "KGM", "TNE", 3, "half-up")`: "0.001", `round(event.number, 2, "half-up")`: "7.00", `abs(event.number)`: "7",
	} {
		for _, body := range []string{whole, places} {
			got, err := apply(t, "fields: {r: {value: '"+expression+"', as: string}}", body, nil)
			value, _ := strings.CutPrefix(strings.TrimSuffix(got, `"}`), `{"r":"`)
			if d, errNumber := decimal.Parse(value); err != nil || errNumber != nil || d.Cmp(decimal.MustParse(want)) != 0 {
				t.Errorf("%s of %s: got %s, %v, want %s", expression, body, got, err, want)
			}
		}
	}
	for expression, want := range map[string]string{
		`src.i < decimal("3.5")`: "true", `src.i <= src.d`: "false", `src.i > src.d`: "true", `src.i >= decimal("3")`: "true", `src.d < src.i`: "true",
	} {
		for _, body := range []string{whole, places} {
			if got, err := apply(t, "fields: {r: {value: '"+expression+" ? src.i == 3 : src.i != 3'}}", body, nil); err != nil || got != `{"r":`+want+`}` {
				t.Errorf("%s of %s: got %s, %v, want %s", expression, body, got, err, want)
			}
		}
	}
	for _, expression := range []string{`src.t * decimal("2")`, `abs(src.t)`, `round(src.t, 0, "half-up")`, `src.t < decimal("2")`, `src.t + decimal("2")`} {
		if got, err := apply(t, "fields: {r: '"+expression+"'}", `{"i":3,"t":"3"}`, nil); err == nil {
			t.Errorf("%s: got %s", expression, got)
		}
	}
	if got, err := apply(t, `fields: {r: 'src.a + src.b', l: 'src.l + src.l'}`, `{"a":"x","b":"y","l":[1]}`, nil); err != nil || got != `{"r":"xy","l":[1,1]}` {
		t.Errorf("texts and lists are joined to %s, %v", got, err)
	}
}
