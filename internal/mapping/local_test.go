package mapping_test

import (
	"strings"
	"testing"
)

// TestDaysAreThoseOfTheNamedZone: a time becomes the day and the clock of a zone that is named, also when clocks change; markers of no day and of no end.
func TestDaysAreThoseOfTheNamedZone(t *testing.T) {
	const fields = `fields: {d: 'date(src.t, src.z)', c: 'clock(src.t, src.z)', o: 'dateTime(src.t, src.z)'}`
	for _, tt := range []struct{ name, at, zone, want string }{
		{"the next day in Berlin", "2026-11-24T23:30:00Z", "Europe/Berlin", `{"d":"2026-11-25","c":"00:30:00","o":"2026-11-25T00:30:00+01:00"}`},
		{"the day before in New York", "2026-11-24T03:30:00Z", "America/New_York", `{"d":"2026-11-23","c":"22:30:00","o":"2026-11-23T22:30:00-05:00"}`},
		{"before the gap", "2026-03-29T00:59:59Z", "Europe/Berlin", `{"d":"2026-03-29","c":"01:59:59","o":"2026-03-29T01:59:59+01:00"}`},
		{"behind the gap", "2026-03-29T01:00:00Z", "Europe/Berlin", `{"d":"2026-03-29","c":"03:00:00","o":"2026-03-29T03:00:00+02:00"}`},
		{"the hour that comes twice, first", "2026-10-25T00:30:00Z", "Europe/Berlin", `{"d":"2026-10-25","c":"02:30:00","o":"2026-10-25T02:30:00+02:00"}`},
		{"the hour that comes twice, again", "2026-10-25T01:30:00Z", "Europe/Berlin", `{"d":"2026-10-25","c":"02:30:00","o":"2026-10-25T02:30:00+01:00"}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got, err := apply(t, fields, `{"t":"`+tt.at+`","z":"`+tt.zone+`"}`, nil); err != nil || got != tt.want {
				t.Errorf("got %s, %v, want %s", got, err, tt.want)
			}
		})
	}
	got, err := apply(t, `fields: {none: 'fromCompactDate("00000000")', blank: 'fromCompactDate("0000-00-00")', never: 'fromCompactDate("99991231")', back: 'compactDate("9999-12-31")'}`, `{}`, nil)
	if want := `{"never":"9999-12-31","back":"99991231"}`; err != nil || got != want {
		t.Errorf("markers: got %s, %v, want %s", got, err, want)
	}
}

// TestLocalTimesAreTheirZones: what an ERP gives without a zone, on the days too when the clocks change.
func TestLocalTimesAreTheirZones(t *testing.T) {
	tests := []struct{ name, day, clock, zone, want, wrong string }{
		{"winter", "2026-11-24", "06:30:00", "Europe/Berlin", "2026-11-24T06:30:00+01:00", ""},
		{"summer, with a midnight behind the day", "2026-07-01T00:00:00", "00:00:00", "Europe/Berlin", "2026-07-01T00:00:00+02:00", ""},
		{"a time that comes twice is the first", "2026-10-25", "02:30:00", "Europe/Berlin", "2026-10-25T02:30:00+02:00", ""},
		{"a time that no clock showed", "2026-03-29", "02:30:00", "Europe/Berlin", "2026-03-29T03:30:00+02:00", ""},
		{"a zone of half an hour", "2026-01-01", "12:00:00", "America/St_Johns", "2026-01-01T12:00:00-03:30", ""},
		{"a midnight that no clock showed", "2026-09-06", "00:30:00", "America/Santiago", "2026-09-06T01:30:00-03:00", ""},
		{"half an hour that no clock showed", "2026-10-04", "02:10:00", "Australia/Lord_Howe", "2026-10-04T02:40:00+11:00", ""},
		{"the moment at which clocks are set on", "2026-03-29", "02:00:00", "Europe/Berlin", "2026-03-29T03:00:00+02:00", ""},
		{"a day that no calendar had", "2011-12-30", "12:00:00", "Pacific/Apia", "2011-12-31T12:00:00+14:00", ""},
		{"the end of a day", "2026-12-31", "24:00:00", "Europe/Berlin", "2027-01-01T00:00:00+01:00", ""},
		{"the end of a day before the clocks change", "2026-03-28", "24:00:00", "Europe/Berlin", "2026-03-29T00:00:00+01:00", ""},
		{"behind the end of a day", "2026-12-31", "24:00:01", "Europe/Berlin", "", "is no time of day"},
		{"half an hour that comes twice is the first", "2026-04-05", "01:45:00", "Australia/Lord_Howe", "2026-04-05T01:45:00+11:00", ""},
		{"a midnight as V4 has it", "2026-07-01T00:00:00.000Z", "12:00:00", "UTC", "2026-07-01T12:00:00Z", ""},
		{"a time behind the day", "2026-10-25T23:00:00Z", "12:00:00", "UTC", "", "is no day"},
		{"a time without a zone behind the day", "2026-10-25T23:00:00", "12:00:00", "UTC", "2026-10-25T12:00:00Z", ""},
		{"half a time behind the day", "2026-11-24T", "12:00:00", "UTC", "", "is no day"},
		{"a part of a second", "2026-11-24", "12:00:00.5", "UTC", "", "is no time of day"},
		{"no part of a second", "2026-11-24", "12:00:00.000", "UTC", "2026-11-24T12:00:00Z", ""},
		{"a zone with leap seconds", "2026-11-24", "12:00:00", "right/Europe/Berlin", "", "by its IANA name"},
		{"no day", "24.11.2026", "12:00:00", "UTC", "", "is no day"},
		{"no time", "2026-11-24", "12:00", "UTC", "", "is no time of day"},
		{"no zone", "2026-11-24", "12:00:00", "CET1", "", "is no IANA time zone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, err := load(t, map[string]string{"in.yaml": `
from: {document: Order}
to: {kind: '"order.released"', key: '"order/" + event.id'}
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
