package main

import (
	"testing"
	"time"

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

// TestWhatIsInDoubtSaysWhatHappenedAndWhatToDo: to whoever is woken by it.
func TestWhatIsInDoubtSaysWhatHappenedAndWhatToDo(t *testing.T) {
	at := time.Date(2026, 11, 26, 3, 4, 5, 0, time.UTC)
	tests := []struct {
		name      string
		lane      outbox.Lane
		state, do string
	}{
		{
			"asked for by itself",
			outbox.Lane{State: outbox.Open, SentTo: 1, DueAt: at, Reason: "the line broke before the answer"},
			"IN DOUBT: it may be in the ERP and may not: it was sent, and no answer came. The ERP is asked for it, next at 2026-11-26T03:04:05Z or as soon as it can be reached: " +
				"what is there counts as delivered, what is not is sent again. What was met last: the line broke before the answer",
			"nothing, it settles by itself. To have the ERP asked now: holdfast msg retry m1 --reason TEXT",
		},
		{
			"its lane is paused",
			outbox.Lane{State: outbox.Open, Paused: true, SentTo: 1},
			"IN DOUBT: it may be in the ERP and may not: it was sent, and no answer came. Its lane is paused; once it is resumed, the ERP is asked for it before anything is sent again",
			"resume the lane when you want it settled: holdfast lane resume erp o1 --reason TEXT",
		},
		{
			"the ERP cannot say",
			outbox.Lane{State: outbox.Unknown, SentTo: 1},
			"IN DOUBT: it may be in the ERP and may not: it was sent, no answer came, and the ERP could not say. Its lane stands still until a person says which",
			"look for it in the ERP. If it is there: holdfast msg mark-delivered m1 --document NUMBER --reason TEXT. If it is not: holdfast msg send-again m1 --reason TEXT",
		},
		{"in hand", outbox.Lane{State: outbox.Open, InHand: "n1", SentTo: 1, DueAt: at}, "sending", ""},
		{
			"its holder is gone",
			outbox.Lane{State: outbox.Open, InHand: "n1", SentTo: 1, DueAt: at.Add(-time.Hour)},
			"IN DOUBT: it may be in the ERP and may not: it was sent, and no answer came. The ERP is asked for it, as soon as it can be reached: what is there counts as delivered, " +
				"what is not is sent again",
			"nothing, it settles by itself. To have the ERP asked now: holdfast msg retry m1 --reason TEXT",
		},
		{"refused", outbox.Lane{State: outbox.Parked, SentTo: 1, Reason: "period closed"}, "parked: period closed", ""},
		{"not sent", outbox.Lane{State: outbox.Open}, "queued", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var d outbox.Detail
			tt.lane.Head = 1
			d.ID, d.Link, d.Lane, d.Role, d.Number, d.Sends, d.LaneState = "m1", "erp", "o1", message.Event, 1, 1, tt.lane
			if state, do := explained(d, at.Add(-time.Minute)), toDo(d, at.Add(-time.Minute)); state != tt.state || do != tt.do {
				t.Errorf("state %q\ndo %q\nwant %q\n%q", state, do, tt.state, tt.do)
			}
		})
	}
}
