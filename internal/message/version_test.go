package message_test

import (
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
		{"texts of one length", "A0000002", "A0000001", 1, false},
		{"a number and a text of one length", "20261124", "A0000001", -1, false},
		{"texts of two lengths", "a-9", "a-10", 0, true},
		{"a moment and a number", "2026-11-24T05:00:00Z", "7", 0, true},
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
