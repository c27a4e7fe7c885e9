package outbox_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// alter is what somebody does to the database behind Holdfast.
func (b box) alter(statement string, args ...any) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Exec(ctx, statement, args...)
		if err == nil && n == 0 {
			b.t.Errorf("%s: it changes nothing", statement)
		}
		return err
	})
}

// alarmed has alarms raised, and tells them.
func (b box) alarmed() *raised {
	alarms := &raised{}
	b.AlarmWith(alarms)
	return alarms
}

// TestALaneThatWasMovedPastAMessageIsParked: whoever writes the database can say that a lane has done with what it owes. Nothing that follows
// leaves, an alarm is raised, and a person who lets the lane go on sends all of it, in order.
func TestALaneThatWasMovedPastAMessageIsParked(t *testing.T) {
	skip := `UPDATE outbox_lanes SET head = head + 1, pending = pending - 1 WHERE lane = 'o1'`
	tests := []struct {
		name      string
		skip      string
		confirmed int // of the first messages, with a receipt that is not filed
		first     []string
		then      []string
		want      []int64
	}{
		{"what is owed is the next", skip, 0, []string{"a", "b"}, nil, []int64{1, 2}},
		{"nothing more was owed, and then something is", skip, 0, []string{"a"}, []string{"b"}, []int64{1, 2}},
		{"what was confirmed is not filed", skip, 2, []string{"a", "b", "c", "d"}, nil, []int64{3, 4}},
		{"two are passed over", `UPDATE outbox_lanes SET head = 3, pending = 1 WHERE lane = 'o1'`, 0, []string{"a", "b", "c"}, nil, []int64{1, 2, 3}},
		{"in a later epoch", `UPDATE outbox_lanes SET head = 1, head_epoch = 7, epoch = 7, next_number = 1, pending = 0 WHERE lane = 'o1'`, 0, []string{"a"}, []string{"b"}, []int64{1, 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				alarms := b.alarmed()
				b.owe("o1", tt.first...)
				if tt.confirmed > 0 {
					b.settle(confirmed(b.claim("a", 1, tt.confirmed)[0], tt.confirmed))
				}
				b.alter(tt.skip)
				b.owe("o1", tt.then...)
				b.owe("o2", "other")
				for _, c := range b.claim("a", 10, 10) {
					if c.Lane != "o2" {
						t.Errorf("messages %v of lane %s leave", numbers(c), c.Lane)
					}
				}
				l := b.lane("o1")
				if l.State != outbox.Parked || !strings.Contains(l.Reason, "altered behind Holdfast") || int(l.Owed) != len(tt.want) {
					t.Errorf("the lane is %s and owes %d: %q, want it parked, with the reason, and to owe %d", l.State, l.Owed, l.Reason, len(tt.want))
				}
				b.do(func(ctx context.Context, tx *store.Tx) error {
					links, err := b.Links(ctx, tx)
					if len(links) != 1 || links[0].Altered != 1 || links[0].Parked != 1 {
						t.Errorf("links %+v, want one with a lane that was altered", links)
					}
					return err
				})
				if want := []string{"message.altered lane/erp/o1"}; !slices.Equal(alarms.all, want) {
					t.Errorf("raised %v, want %v", alarms.all, want)
				}
				b.do(func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "looked into") })
				var got []int64
				for range tt.want {
					for _, c := range b.claim("a", 10, 10) {
						got = append(got, numbers(c)...)
						b.settle(done(c, len(c.Messages)))
					}
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("once a person has let it go on, %v leave, want %v", got, tt.want)
				}
			})
		})
	}
}

// TestALaneThatIsMarkedAsDoneIsFound, though nothing follows and it is never claimed: somebody looks now and then.
func TestALaneThatIsMarkedAsDoneIsFound(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		alarms := b.alarmed()
		b.owe("o1", "a")
		b.owe("o2", "b")
		b.owe("o3", "c", "d")
		for _, c := range b.claim("a", 10, 1) {
			if c.Lane == "o3" {
				b.settle(confirmedPart(c, 0, 1)) // settled, and not filed
				continue
			}
			b.settle(outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true})
		}
		look := func() int {
			n, err := b.ParkSkipped(t.Context(), b.db)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if n := look(); n != 0 {
			t.Errorf("%d lanes are parked, want none", n)
		}
		b.alter(`UPDATE outbox_lanes SET head = head + 1, pending = pending - 1 WHERE lane = 'o1'`)
		if n := look(); n != 1 {
			t.Errorf("%d lanes are parked, want 1", n)
		}
		if l := b.lane("o1"); l.State != outbox.Parked || l.Owed != 1 || l.Head != 1 {
			t.Errorf("the lane is %s, owes %d from number %d, want it parked with number 1", l.State, l.Owed, l.Head)
		}
		if want := []string{"message.altered lane/erp/o1"}; !slices.Equal(alarms.all, want) {
			t.Errorf("raised %v, want %v", alarms.all, want)
		}
		if n := look(); n != 0 {
			t.Errorf("looked at again, %d lanes are parked, want none", n)
		}
	})
}

// TestALaneWhoseMessagesWereDeletedIsParked, with an alarm, and holds up no other; once a person lets it go on it owes what is there.
func TestALaneWhoseMessagesWereDeletedIsParked(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		alarms := b.alarmed()
		b.owe("o1", "a", "b", "c")
		b.owe("o2", "other")
		b.alter(`DELETE FROM outbox_messages WHERE event IN ('a', 'b')`)
		if c := b.claim("a", 10, 10); len(c) != 1 || c[0].Lane != "o2" {
			t.Errorf("%v leave, want the other lane alone", c)
		}
		if l := b.lane("o1"); l.State != outbox.Parked || !strings.Contains(l.Reason, "deleted behind Holdfast") {
			t.Errorf("the lane is %s: %q, want it parked with the reason", l.State, l.Reason)
		}
		if want := []string{"message.altered lane/erp/o1"}; !slices.Equal(alarms.all, want) {
			t.Errorf("raised %v, want %v", alarms.all, want)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "gone for good") })
		c := b.claim("a", 1, 10)
		if len(c) != 1 || !slices.Equal(numbers(c[0]), []int64{3}) {
			t.Fatalf("%v leave, want number 3", c)
		}
		b.settle(done(c[0], 1))
		if l := b.lane("o1"); l.State != outbox.Open || l.Owed != 0 {
			t.Errorf("the lane is %s and owes %d, want it open and to owe nothing", l.State, l.Owed)
		}
	})
}

// TestALaneOfWhichNothingIsThereGoesOnByAPersonsWord: all that it owed was deleted.
func TestALaneOfWhichNothingIsThereGoesOnByAPersonsWord(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.owe("o1", "a", "b")
		b.alter(`DELETE FROM outbox_messages WHERE lane = 'o1'`)
		b.claim("a", 10, 10)
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "gone for good") })
		b.owe("o1", "c")
		if c := b.claim("a", 10, 10); len(c) != 1 || !slices.Equal(numbers(c[0]), []int64{3}) {
			t.Errorf("%v leave, want number 3", c)
		}
	})
}

// TestMessagesThatAreDeletedInHandHoldUpNoOtherLane: the settlement of their lane parks it, with an alarm, and settles the others.
func TestMessagesThatAreDeletedInHandHoldUpNoOtherLane(t *testing.T) {
	for _, release := range []bool{true, false} {
		each(t, func(t *testing.T, b box) {
			alarms := b.alarmed()
			b.owe("o1", "a", "b")
			b.owe("o2", "other")
			claims := b.claim("a", 10, 1)
			b.alter(`DELETE FROM outbox_messages WHERE event = 'b'`)
			var all []outbox.Settlement
			for _, c := range claims {
				s := done(c, 1)
				s.Release = release
				all = append(all, s)
			}
			b.settle(all...)
			if l := b.lane("o2"); l.Owed != 0 {
				t.Errorf("the other lane owes %d, want nothing", l.Owed)
			}
			if l := b.lane("o1"); l.State != outbox.Parked || !strings.Contains(l.Reason, "deleted behind Holdfast") || l.Owed != 1 || l.Head != 2 {
				t.Errorf("the lane is %s and owes %d from number %d: %q, want it parked with number 2 and the reason", l.State, l.Owed, l.Head, l.Reason)
			}
			if want := []string{"message.altered lane/erp/o1"}; !slices.Equal(alarms.all, want) {
				t.Errorf("raised %v, want %v", alarms.all, want)
			}
		})
	}
}
