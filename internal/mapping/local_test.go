package mapping_test

import (
	"strings"
	"testing"
)

// TestLocalTimesAreTheirZones: what an ERP gives without a zone, on the days too when the clocks change.
func TestLocalTimesAreTheirZones(t *testing.T) {
	tests := []struct{ name, day, clock, zone, want, wrong string }{
		{"winter", "2026-11-24", "06:30:00", "Europe/Berlin", "2026-11-24T06:30:00+01:00", ""},
		{"summer, with a midnight behind the day", "2026-07-01T00:00:00", "00:00:00", "Europe/Berlin", "2026-07-01T00:00:00+02:00", ""},
		{"a time that comes twice is the first", "2026-10-25", "02:30:00", "Europe/Berlin", "2026-10-25T02:30:00+02:00", ""},
		{"a time that no clock showed", "2026-03-29", "02:30:00", "Europe/Berlin", "", "is left out by the clocks of Europe/Berlin"},
		{"a zone of half an hour", "2026-01-01", "12:00:00", "America/St_Johns", "2026-01-01T12:00:00-03:30", ""},
		{"no day", "24.11.2026", "12:00:00", "UTC", "", "is no day"},
		{"no time", "2026-11-24", "12:00", "UTC", "", "is no time of day"},
		{"no zone", "2026-11-24", "12:00:00", "CET1", "", "is no IANA time zone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t, map[string]string{"in.yaml": `
from: {document: Order}
to: {kind: '"order.released"', key: '"1"'}
fields:
  erpNumber: {const: "1"}
  start: localTime(src.day, src.clock, src.zone)
`})
			if err != nil {
				t.Fatal(err)
			}
			m, err := s.ApplyIn(t.Context(), "in", confirmed(`{"day":"`+tt.day+`","clock":"`+tt.clock+`","zone":"`+tt.zone+`"}`), known(nil))
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("err = %v, want it to say %q", err, tt.wrong)
				}
				return
			}
			if got, want := string(m.Body), `{"erpNumber":"1","start":"`+tt.want+`"}`; err != nil || got != want {
				t.Errorf("got %s, %v, want %s", got, err, want)
			}
		})
	}
}
