package main

import (
	"testing"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
)

// TestWhatIsBehindAParkedMessageIsBlocked: the commands say of it what the console says.
func TestWhatIsBehindAParkedMessageIsBlocked(t *testing.T) {
	tests := []struct {
		state  outbox.State
		number int64
		want   string
	}{
		{outbox.Parked, 2, "parked"},
		{outbox.Parked, 3, "blocked"},
		{outbox.Unknown, 3, "blocked"},
		{outbox.Waiting, 3, "queued"},
		{outbox.Open, 3, "queued"},
	}
	for _, tt := range tests {
		d := outbox.Detail{Message: message.Message{Place: message.Place{Epoch: 1, Number: tt.number}}}
		d.LaneState = outbox.Lane{State: tt.state, HeadEpoch: 1, Head: 2, Owed: 2}
		if got := stateOf(d); got != tt.want {
			t.Errorf("number %d of a lane that is %s at 2: %s, want %s", tt.number, tt.state, got, tt.want)
		}
	}
}
