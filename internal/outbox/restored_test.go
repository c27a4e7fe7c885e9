package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestLanesThatBeginAfterARestoreCountInItsEpochToo: the plant may have had them before the loss. Signed and not, their digests are over that epoch.
func TestLanesThatBeginAfterARestoreCountInItsEpochToo(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Restored(ctx, tx)
			return err
		})
		unsigned := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, "urn:holdfast:plant:1000", outbox.Config{})
		signed := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}}, "urn:holdfast:plant:1000", outbox.Config{})
		signed.SignWith(ring(t, b.db))
		owe(t, b.db, unsigned, "1", "a1", "a2")
		owe(t, b.db, signed, "2", "b1", "b2")
		n := 0
		for _, c := range b.claim("n", 10, 10) {
			for i, q := range c.Messages {
				n++
				if q.Epoch != at.Unix() || q.Number != int64(i+1) {
					t.Errorf("lane %s: got number %d of epoch %d, want %d of %d", c.Lane, q.Number, q.Epoch, i+1, at.Unix())
				}
				if got, want := q.Digest(), q.Stored; got != want {
					t.Errorf("lane %s number %d: its digest is %s, and %s is stored", c.Lane, q.Number, got, want)
				}
			}
		}
		if n != 4 {
			t.Errorf("%d messages were claimed, want 4", n)
		}
	})
}

func (b box) restore() {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) error { _, err := b.Restored(ctx, tx); return err })
}

// absent gives a claim back of whose first message the ERP has said that it has it not, and then refused it.
func absent(c outbox.Claim) outbox.Settlement {
	return outbox.Settlement{
		Lane: c.Lane, Token: c.Token, Release: true, SentTo: c.Messages[0].Number - 1, Absent: c.Messages[0].ID,
		Next: outbox.Next{State: outbox.Parked, ID: c.Messages[0].ID, Reason: "refused"},
	}
}

// TestWhatARestoreHasBroughtBackIsAskedForWhateverIsSaidOfAnother: a person's word and the ERP's answer are about the one message.
func TestWhatARestoreHasBroughtBackIsAskedForWhateverIsSaidOfAnother(t *testing.T) {
	lets := map[string]func(b box, c outbox.Claim){
		"the first is sent again by a person's word": func(b box, c outbox.Claim) {
			b.settle(outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, SentTo: c.SentTo, Next: outbox.Next{State: outbox.Unknown, ID: c.Messages[0].ID, Reason: "cannot say"}})
			b.do(func(ctx context.Context, tx *store.Tx) error {
				return b.SendAgain(ctx, tx, c.Messages[0].ID, "not there")
			})
			c = b.claim("n", 10, 10)[0]
			if c.Messages[0].Ask {
				b.t.Error("it is asked for in spite of a person's word")
			}
			b.settle(done(c, 1))
		},
		"the first is not there, refused and discarded": func(b box, c outbox.Claim) {
			b.settle(absent(c))
			b.do(func(ctx context.Context, tx *store.Tx) error {
				return b.Discard(ctx, tx, c.Messages[0].ID, "period closed")
			})
			b.settle(done(b.claim("n", 10, 1)[0], 1))
		},
		"the first is not there, and its second node is killed": func(b box, c outbox.Claim) {
			b.settle(absent(c))
			b.do(func(ctx context.Context, tx *store.Tx) error {
				return b.Resume(ctx, tx, "erp", c.Lane, "period opened")
			})
			b.claim("n", 10, 1)
			b.clock.forward(time.Hour)
			b.settle(done(b.claim("n2", 10, 1)[0], 1))
		},
	}
	for name, let := range lets {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				owe(t, b.db, b.Outbox, "l", "a", "b", "c")
				b.restore()
				b.clock.forward(time.Second)
				b.restore() // of the restored plant's first copy
				let(b, b.claim("n", 10, 10)[0])
				if n, _ := b.doubt(); n != 2 {
					t.Errorf("%d are in doubt, want both that follow", n)
				}
				if d := b.message("c"); !d.MaySent() || b.try(func(ctx context.Context, tx *store.Tx) error { return b.Discard(ctx, tx, d.ID, "r") }) == nil {
					t.Error("the last is not in doubt any more for who looks at it, or discards it")
				}
				n := 0
				for _, c := range b.claim("n2", 10, 10) {
					for _, q := range c.Messages {
						if n++; !q.Ask || !q.Doubt {
							t.Errorf("number %d of the copy goes out without being asked for", q.Number)
						}
					}
				}
				if n != 2 {
					t.Errorf("%d were claimed, want the two that follow", n)
				}
			})
		})
	}
}

// TestAnAnswerEndsTheDoubtAboutTheMessageItIsAbout: what the ERP itself does not have a person may change.
func TestAnAnswerEndsTheDoubtAboutTheMessageItIsAbout(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "l", "a", "b")
		b.restore()
		if n, _ := b.doubt(); n != 2 {
			t.Errorf("%d are in doubt, want both", n)
		}
		b.settle(absent(b.claim("n", 10, 10)[0]))
		if n, _ := b.doubt(); n != 1 || b.message("a").MaySent() {
			t.Errorf("%d are in doubt, want that which nobody has asked for", n)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Amend(ctx, tx, outbox.MessageID("erp", "a"), []byte(`{"yield":"2"}`), "typo")
		})
	})
}

// TestWhatIsNewAfterARestoreWasNeverSent: its numbers begin anew, and what the old ones may have been sent up to says nothing of it.
func TestWhatIsNewAfterARestoreWasNeverSent(t *testing.T) {
	settled := map[string]func(b box, c outbox.Claim){
		"by answers": func(b box, c outbox.Claim) {
			s := done(c, 2)
			s.SentTo = c.SentTo
			b.settle(s)
		},
		"by a person": func(b box, c outbox.Claim) {
			s := done(c, 1)
			s.SentTo, s.Next = c.SentTo, outbox.Next{State: outbox.Unknown, ID: c.Messages[1].ID, Reason: "cannot say"}
			b.settle(s)
			b.do(func(ctx context.Context, tx *store.Tx) error {
				return b.MarkDelivered(ctx, tx, c.Messages[1].ID, "", "found")
			})
		},
	}
	for name, settle := range settled {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				owe(t, b.db, b.Outbox, "l", "a", "b")
				b.restore()
				b.Outbox = everything(outbox.Config{})
				owe(t, b.db, b.Outbox, "l", madeAt(at.Add(time.Minute)), madeAt(at.Add(time.Minute)))
				settle(b, b.claim("n", 10, 10)[0])
				c := b.claim("n", 10, 10)[0]
				for _, q := range c.Messages {
					if q.Ask {
						t.Errorf("number %d of the new epoch is asked for", q.Number)
					}
				}
				if len(c.Messages) != 2 {
					t.Errorf("%d were claimed, want both that are new", len(c.Messages))
				}
			})
		})
	}
}

// TestAnActIsDoneToTheMessageThatItNames: after a restore a lane can owe the same number of two epochs.
func TestAnActIsDoneToTheMessageThatItNames(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "l", "old")
		b.restore()
		b.Outbox = everything(outbox.Config{})
		made := madeAt(at.Add(time.Minute))
		owe(t, b.db, b.Outbox, "l", made)
		old, fresh := b.message("old"), b.message(made)
		if old.Number != fresh.Number || old.Epoch == fresh.Epoch {
			t.Fatalf("numbers %d and %d of epochs %d and %d, want one of two", old.Number, fresh.Number, old.Epoch, fresh.Epoch)
		}
		c := b.claim("n", 10, 1)[0]
		b.settle(outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, SentTo: c.SentTo, Next: outbox.Next{State: outbox.Unknown, ID: old.ID, Reason: "cannot say"}})
		for name, do := range map[string]act{
			"mark delivered": func(ctx context.Context, tx *store.Tx) error { return b.MarkDelivered(ctx, tx, fresh.ID, "", "r") },
			"send again":     func(ctx context.Context, tx *store.Tx) error { return b.SendAgain(ctx, tx, fresh.ID, "r") },
		} {
			if err := b.try(do); problem.KindOf(err) != problem.Conflict {
				t.Errorf("%s what comes second: got %v, want Conflict", name, err)
			}
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.DiscardInDoubt(ctx, tx, old.ID, "period closed")
		})
		if is, was := b.message(made).Role, b.message("old").Role; is != message.Event || was != message.Void {
			t.Errorf("the one that was named is %s, the other %s", was, is)
		}
		b.settle(done(b.claim("n", 10, 1)[0], 1))
		if err := b.try(func(ctx context.Context, tx *store.Tx) error { return b.MarkDelivered(ctx, tx, old.ID, "", "r") }); problem.KindOf(err) != problem.Conflict {
			t.Errorf("mark a void as delivered: got %v, want Conflict", err)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.Discard(ctx, tx, fresh.ID, "never happened") })
	})
}

// TestAReplayWithoutAnEpochIsOfTheNewest: after a restore the same numbers are there twice, and of what the lost plant had delivered nothing goes along. Who
// means that is told how to say so.
func TestAReplayWithoutAnEpochIsOfTheNewest(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "l", "old", "older")
		b.settle(done(b.claim("n", 10, 10)[0], 2))
		b.restore()
		b.Outbox = everything(outbox.Config{})
		lane := b.message("old").Lane
		newest := b.lane(lane).Epoch
		replay := func() (n int64, err error) {
			err = b.try(func(ctx context.Context, tx *store.Tx) error {
				n, err = b.Replay(ctx, tx, "erp", lane, outbox.Range{From: 1, To: 2}, "the ERP was restored")
				return err
			})
			return n, err
		}
		if n, err := replay(); problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), fmt.Sprint("in epoch ", newest)) {
			t.Errorf("in an epoch that has nothing yet %d are replayed, %v; want a refusal that names it", n, err)
		} else if p, _ := errors.AsType[*problem.Error](err); !strings.Contains(p.Hint, "numbers 1 to 2 of --epoch 1 were delivered") {
			t.Errorf("the hint is %q, want how another is named", p.Hint)
		}
		owe(t, b.db, b.Outbox, "l", "new")
		b.settle(done(b.claim("n", 10, 10)[0], 1))
		if n, err := replay(); n != 1 || err != nil || b.message("new").Redelivery != 1 || b.message("old").Redelivery != 0 {
			t.Errorf("%d are replayed, %v, want the one of the newest epoch", n, err)
		}
		if is := b.message("new").Epoch; is != newest {
			t.Errorf("the message is of epoch %d, and the lane in %d", is, newest)
		}
	})
}

// TestAReplayIsOfTheEpochThatItNames: also of one that has more numbers than the newest.
func TestAReplayIsOfTheEpochThatItNames(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "l", "old", "older")
		b.settle(done(b.claim("n", 10, 10)[0], 2))
		b.restore()
		b.Outbox = everything(outbox.Config{})
		owe(t, b.db, b.Outbox, "l", "new")
		b.settle(done(b.claim("n", 10, 10)[0], 1))
		old := b.message("old")
		replay := func(r outbox.Range) (n int64) {
			b.do(func(ctx context.Context, tx *store.Tx) (err error) {
				n, err = b.Replay(ctx, tx, "erp", old.Lane, r, "the ERP was restored")
				return err
			})
			return n
		}
		if n := replay(outbox.Range{Epoch: old.Epoch, From: 1, To: 1, Force: true}); n != 1 || b.message("new").Redelivery != 0 || b.message("old").Redelivery != 1 {
			t.Errorf("%d are replayed, want the one of the epoch that was named", n)
		}
		if n := replay(outbox.Range{Epoch: old.Epoch, From: 2}); n != 1 {
			t.Errorf("%d are replayed up to the end of the earlier epoch, want its last", n)
		}
	})
}

// TestSinceWhenAMessageIsInDoubt: nobody has sent it from then on, unless a holder that is gone may have. A person's word about one begins that anew for
// what follows it: who was killed a moment ago may have sent it together with the one.
func TestSinceWhenAMessageIsInDoubt(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "l", "a", "b", "c", "d")
		b.clock.forward(time.Minute)
		restored := b.clock.now()
		b.restore()
		if n, age := b.doubt(); n != 4 || !at.Add(age).Equal(restored) {
			t.Errorf("%d messages are in doubt since %s, want 4 since the restore at %s, however long they were owed", n, at.Add(age), restored)
		}
		since := func(claims []outbox.Claim, want ...time.Time) outbox.Claim {
			t.Helper()
			if len(claims) != 1 || len(claims[0].Messages) != len(want) {
				t.Fatalf("claimed %+v, want %d messages", claims, len(want))
			}
			for i, q := range claims[0].Messages {
				if !q.DoubtAt.Equal(want[i]) {
					t.Errorf("number %d is in doubt since %s, want %s", q.Number, q.DoubtAt, want[i])
				}
			}
			return claims[0]
		}
		marked := time.Time{} // by what was claimed: who held it may have sent it later
		c := since(b.claim("n", 10, 10), marked, marked, marked, marked)
		b.settle(outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, Absent: c.Messages[0].ID})
		b.clock.forward(time.Hour)
		c = since(b.claim("n", 10, 2), marked, restored)
		b.settle(outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, SentTo: 2, Next: outbox.Next{State: outbox.Unknown, ID: c.Messages[0].ID, Reason: "cannot say"}})
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.SendAgain(ctx, tx, c.Messages[0].ID, "not there")
		})
		said := b.clock.now()
		b.clock.forward(time.Hour)
		b.settle(done(since(b.claim("n", 10, 1), marked), 1))
		since(b.claim("n", 10, 10), said, restored, restored)
		b.clock.forward(time.Hour) // the holder of these is gone
		since(b.claim("n2", 10, 10), marked, marked, marked)
	})
}

// TestWhatACallerMayBeRepeatingAfterARestoreIsAskedFor: the lost plant may have had it after the copy, and the ERP has it under this ID. Nobody can have
// used an ID that was made since, and at some time nobody repeats anything any more.
func TestWhatACallerMayBeRepeatingAfterARestoreIsAskedFor(t *testing.T) {
	tests := []struct {
		name  string
		id    string
		after time.Duration // from the restore until it is appended
		asked bool
	}{
		{"an ID of no known form", "4711", time.Minute, true},
		{"an ID that follows from an Idempotency-Key", uuid.NewSHA1(uuid.NameSpaceOID, []byte("key")).String(), time.Minute, true},
		{"an ID that says nothing of its time", uuid.NewString(), 23 * time.Hour, true},
		{"an ID that was made before the restore", madeAt(at.Add(-time.Hour)), time.Minute, true},
		{"an ID that was made in the second of the restore", madeAt(at), time.Minute, true},
		{"an ID that was made since", madeAt(at.Add(time.Minute)), time.Minute, false},
		{"an ID that says nothing of its time, a day later", uuid.NewString(), 24 * time.Hour, false},
	}
	for _, keys := range []bool{false, true} {
		for _, tt := range tests {
			t.Run(fmt.Sprintf("%s, keys %t", tt.name, keys), func(t *testing.T) {
				each(t, func(t *testing.T, b box) {
					owe(t, b.db, b.Outbox, "l", "before")
					b.settle(done(b.claim("n", 10, 10)[0], 1))
					b.restore()
					b.Outbox = everything(outbox.Config{})
					if keys {
						b.SignWith(ring(t, b.db))
					}
					b.clock.forward(tt.after)
					owe(t, b.db, b.Outbox, "l", tt.id, madeAt(b.clock.now()))
					if n, age := b.doubt(); n != int64(times(tt.asked)) || age != time.Duration(times(tt.asked))*tt.after {
						t.Errorf("%d are in doubt since %s, want %t, since it is owed", n, age, tt.asked)
					}
					q := b.claim("n", 10, 10)[0].Messages
					if len(q) != 2 || q[0].Ask != tt.asked || q[1].Ask {
						t.Fatalf("claimed %+v, want two of which the first is asked for: %t", q, tt.asked)
					}
					if tt.asked && !q[0].DoubtAt.Equal(at) {
						t.Errorf("it is in doubt since %s, want since the restore, at %s: this plant has not sent it", q[0].DoubtAt, at)
					}
				})
			})
		}
	}
}

// TestHowLongACallerMayRepeatAfterARestoreIsSet: a plant whose callers go on longer than a day says so.
func TestHowLongACallerMayRepeatAfterARestoreIsSet(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.restore()
		b.Outbox = everything(outbox.Config{RestoredDoubt: 72 * time.Hour})
		b.clock.forward(71 * time.Hour)
		owe(t, b.db, b.Outbox, "l", "a")
		b.clock.forward(time.Hour)
		owe(t, b.db, b.Outbox, "l", "b")
		if q := b.claim("n", 10, 10)[0].Messages; len(q) != 2 || !q[0].Ask || q[1].Ask {
			t.Errorf("claimed %+v, want the first alone asked for", q)
		}
	})
}

// madeAt is an ID as the plant makes them at a time: a UUIDv7.
func madeAt(at time.Time) string {
	id, ms := uuid.Must(uuid.NewV7()), at.UnixMilli()
	for i := range 6 {
		id[i] = byte(ms >> (8 * (5 - i)))
	}
	return id.String()
}

func times(happened bool) int {
	if happened {
		return 1
	}
	return 0
}
