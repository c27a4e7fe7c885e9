package mapping

import (
	"errors"
	"strings"
	"testing"
)

// FuzzUnitFile reads anything as the plant's own units: each is whole and can be reckoned with, or the file is refused with the line.
func FuzzUnitFile(f *testing.F) {
	const head = "unece,sap,plant,dimension,numerator,denominator\n"
	for _, text := range []string{head + "GRO,GRO,gross,count,144,1\n", "\xef\xbb\xbf" + head + "GRO,,,count,144,1\n", head + "GRO,GRO\n", head + "GRO,,,count,0,-1\n", head + "\"", "denominator,numerator,unece,dimension,unece\n1,1E-9,A,b,C\n", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		all, err := parseUnits([]byte(text))
		if m, ok := errors.AsType[*Mistake](err); err != nil && (!ok || m.Line < 1 || m.Line > strings.Count(text, "\n")+2) {
			t.Errorf("%q: no line in %v", text, err)
		}
		for _, one := range all {
			if one.codes["unece"] == "" || one.dimension == "" || one.numerator.Sign() <= 0 || one.denominator.Sign() <= 0 {
				t.Errorf("%q has the unit %v", text, one)
			}
		}
	})
}
