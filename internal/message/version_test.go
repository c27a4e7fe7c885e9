package message_test

import (
	"strings"
	"testing"

	"holdfast/internal/message"
)

func TestVersionsAreComparedByWhatTheyAre(t *testing.T) {
	tests := []struct {
		name, a, b string
		want       int
		fails      bool
	}{
		{"numbers by size", "9", "10", -1, false},
		{"numbers without their zeros", "0009", "9", 0, false},
		{"numbers of any length", "99999999999999999999999", "100000000000000000000000", -1, false},
		{"moments, not texts", "2026-11-24T06:00:00+01:00", "2026-11-24T05:30:00Z", -1, false},
		{"moments with and without a fraction", "2026-11-24T05:00:00.5Z", "2026-11-24T05:00:00Z", 1, false},
		{"one moment in two zones", "2026-11-24T06:00:00+01:00", "2026-11-24T05:00:00Z", 0, false},
		{"clocks without a zone, one with a fraction", "2026-11-24T06:00:00.5", "2026-11-24T06:00:00", 1, false},
		{"a clock and its tenth written shorter", "2026-11-24T06:00:00.25", "2026-11-24T06:00:00.3", -1, false},
		{"a clock and a moment", "2026-11-24T06:00:00", "2026-11-24T06:00:00Z", 0, true},
		{"decimals of two lengths", "20261124060000.12", "20261124060000.1199999", 1, false},
		{"a decimal and a whole number", "20261124060000", "20261124060000.0000000", 0, false},
		{"a number with an exponent", "1e3", "999", 0, true},
		{"a number beyond all numbers", "1e999999999", "2", 0, true},
		{"a number beyond all numbers, as long as another", "1e999", "20000", 0, true},
		{"a decimal of too many digits", "0." + strings.Repeat("1", 40), "0." + strings.Repeat("1", 41), 0, true},
		{"hexadecimal texts of one length", "00e1", "00e2", -1, false},
		{"texts of one length", "A0000002", "A0000001", 1, false},
		{"a number and a text of one length", "20261124", "A0000001", -1, false},
		{"texts of two lengths", "a-9", "a-10", 0, true},
		{"a moment and a number", "2026-11-24T05:00:00Z", "7", 0, true},
		{"states of one version", "20261124060000~9", "20261124060000~10", -1, false},
		{"a version and a state of it", "2026-11-24T06:00:00Z", "2026-11-24T06:00:00Z~1764396000000000", -1, false},
		{"versions before their states", "20261124060001~1", "20261124060000~2", 1, false},
		{"texts with a tilde and no number", "a~b", "a~c", -1, false},
		{"states of versions that cannot be compared", "a-9~1", "a-10~2", 0, true},
		{"a moment and a text of its length", "2026-11-24T05:00:00Z", "2026-11-24 05:00:00Z", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := message.CompareVersions(tt.a, tt.b)
			back, backErr := message.CompareVersions(tt.b, tt.a)
			if got != tt.want || back != -tt.want || (err != nil) != tt.fails || (backErr != nil) != tt.fails {
				t.Errorf("got %d, %v, and backwards %d, %v; want %d, an error: %t", got, err, back, backErr, tt.want, tt.fails)
			}
		})
	}
}
