package main

import (
	"testing"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
)

// TestWhatMayHaveBeenSentIsNeverSaidToBeUnsent: Sends counts answers and their absence, SentTo what a holder that is gone may have begun.
func TestWhatMayHaveBeenSentIsNeverSaidToBeUnsent(t *testing.T) {
	tests := []struct {
		name string
		d    outbox.Detail
		lane outbox.Lane
		want string
	}{
		{"waits", outbox.Detail{}, outbox.Lane{Head: 1}, "not yet, as far as is known"},
		{"in hand", outbox.Detail{}, outbox.Lane{Head: 1, InHand: "n1", SentTo: 1}, "it is in hand now, and may have been sent"},
		{"its holder is gone", outbox.Detail{}, outbox.Lane{Head: 1, SentTo: 1}, "it may have been: nothing is known of an answer"},
		{"its answer was lost", outbox.Detail{Sends: 1}, outbox.Lane{Head: 1, SentTo: 1}, "once, and the ERP may have it"},
		{"and lost again", outbox.Detail{Sends: 2}, outbox.Lane{Head: 1, SentTo: 1}, "2 times, and the ERP may have it"},
		{"refused", outbox.Detail{Sends: 1}, outbox.Lane{Head: 1}, "once"},
		{"delivered", outbox.Detail{Sends: 1, Settled: true}, outbox.Lane{Head: 2, SentTo: 1}, "once"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.d.Role, tt.d.Number, tt.d.LaneState = message.Event, 1, tt.lane
			if got := sent(tt.d); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
