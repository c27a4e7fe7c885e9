package edm_test

import (
	"testing"

	"holdfast/adapters/odata/edm"
	"holdfast/internal/schema"
)

// TestWholeNumbersHaveTheLimitsOfTheirType: a mapping is held against them before a message runs.
func TestWholeNumbersHaveTheLimitsOfTheirType(t *testing.T) {
	for typ, want := range map[string][2]string{
		"Edm.Byte": {"0", "255"}, "Edm.SByte": {"-128", "127"}, "Edm.Int16": {"-32768", "32767"}, "Edm.Int32": {"-2147483648", "2147483647"},
		"Edm.Int64": {"-9223372036854775808", "9223372036854775807"}, "Edm.Decimal": {},
	} {
		s := edm.NewStruct("S", []*edm.Field{{Name: "F", Type: typ}})
		f, _ := s.Sent(edm.Create).Field("F")
		if got := f.Type; got.Least != (schema.Bound{Value: want[0]}) || got.Most != (schema.Bound{Value: want[1]}) {
			t.Errorf("%s is within %+v and %+v, want %q", typ, got.Least, got.Most, want)
		}
	}
}
