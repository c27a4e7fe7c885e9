package outbox_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// act is an operator's act with its transaction.
type act = func(ctx context.Context, tx *store.Tx) error

func TestActsThatDoNotFitAreRefused(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		owe(t, b.db, b.Outbox, "free", "d", "e")
		b.do(func(ctx context.Context, tx *store.Tx) error { return park(ctx, tx, "free", "not yet") })
		b.claim("n1", 10, 2) // o1's first two messages are being sent
		id := outbox.MessageID
		tests := []struct {
			name string
			act  act
			want problem.Kind
		}{
			{"discard what is being sent", func(ctx context.Context, tx *store.Tx) error {
				return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 2), "r")
			}, problem.Conflict},
			{"discard what follows", func(ctx context.Context, tx *store.Tx) error {
				return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 3), "r")
			}, ""},
			{"discard what is not there", func(ctx context.Context, tx *store.Tx) error {
				return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 9), "r")
			}, problem.NotFound},
			{"amend what is being sent", func(ctx context.Context, tx *store.Tx) error {
				return b.Amend(ctx, tx, id("erp", "a"), []byte(`{}`), "r")
			}, problem.Conflict},
			{"amend what was discarded", func(ctx context.Context, tx *store.Tx) error {
				return b.Amend(ctx, tx, id("erp", "c"), []byte(`{}`), "r")
			}, problem.Conflict},
			{"amend to something else than JSON", func(ctx context.Context, tx *store.Tx) error {
				return b.Amend(ctx, tx, id("erp", "d"), []byte(`{`), "r")
			}, problem.Invalid},
			{"amend what is not there", func(ctx context.Context, tx *store.Tx) error { return b.Amend(ctx, tx, "x", []byte(`{}`), "r") }, problem.NotFound},
			{"retry what is not first", func(ctx context.Context, tx *store.Tx) error { return b.Retry(ctx, tx, id("erp", "e"), "r") }, problem.Conflict},
			{"mark what is being sent as delivered", func(ctx context.Context, tx *store.Tx) error {
				return b.MarkDelivered(ctx, tx, numbered(ctx, tx, "o1", 1), "", "r")
			}, problem.Conflict},
			{"send again what is not first", func(ctx context.Context, tx *store.Tx) error {
				return b.SendAgain(ctx, tx, numbered(ctx, tx, "free", 2), "r")
			}, problem.Conflict},
			{"resume a lane that never was", func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "x", "r") }, problem.NotFound},
			{"pause a lane that never was", func(ctx context.Context, tx *store.Tx) error { return b.PauseLane(ctx, tx, "erp", "x", "r") }, problem.NotFound},
			{"replay backwards", func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 2, To: 1}, "r")
				return err
			}, problem.Invalid},
			{"replay what is not there yet", func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 4}, "r")
				return err
			}, problem.Invalid},
			{"replay what is still owed", func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1}, "r")
				return err
			}, problem.Conflict},
			{"discard what was discarded", func(ctx context.Context, tx *store.Tx) error {
				return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 3), "r")
			}, problem.Conflict},
			{"replay from nowhere", func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{}, "r")
				return err
			}, problem.Invalid},
			{"read a message that never was", func(ctx context.Context, tx *store.Tx) error { _, err := b.Message(ctx, tx, "x"); return err }, problem.NotFound},
			{"read a lane that never was", func(ctx context.Context, tx *store.Tx) error { _, err := b.Lane(ctx, tx, "erp", "x"); return err }, problem.NotFound},
			{"list from a senseless cursor", func(ctx context.Context, tx *store.Tx) error {
				_, _, err := b.Messages(ctx, tx, outbox.Filter{}, "x_y")
				return err
			}, problem.Invalid},
			{"list from a cursor of words", func(ctx context.Context, tx *store.Tx) error {
				_, _, err := b.Messages(ctx, tx, outbox.Filter{}, "x_y_z")
				return err
			}, problem.Invalid},
			{"list lanes from a senseless cursor", func(ctx context.Context, tx *store.Tx) error {
				_, _, err := b.Lanes(ctx, tx, outbox.LaneFilter{}, "x")
				return err
			}, problem.Invalid},
		}
		for _, tt := range tests {
			if err := b.try(tt.act); problem.KindOf(err) != tt.want {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
			}
		}
	})
}

func TestDiscardAndAmendKeepNumberAndChain(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		before := b.message("b").Message
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(
				b.Amend(ctx, tx, outbox.MessageID("erp", "a"), []byte(`{"yield":"1"}`), "typo"),
				b.Amend(ctx, tx, outbox.MessageID("erp", "a"), []byte(`{"yield":"2"}`), "another"),
				b.Discard(ctx, tx, numbered(ctx, tx, "o1", 2), "never happened"),
			)
		})
		a, v, c := b.message("a"), b.message("b"), b.message("c")
		if a.Role != message.Amendment || a.Number != 1 || a.Refers != v.Prev || string(a.Body) != `{"yield":"2"}` || a.Digest != a.Message.Digest() {
			t.Errorf("amendment: %+v", a)
		}
		if v.Role != message.Void || v.ID != before.ID || v.Refers != before.Digest() || c.Prev != before.Digest() || v.Digest != v.Message.Digest() {
			t.Errorf("void: %+v", v)
		}
		var kept []string
		for _, h := range a.History {
			kept = append(kept, h.What+" "+string(h.Body)+" "+h.Detail)
		}
		if want := []string{`amended {"id":"a"} typo`, `amended {"yield":"1"} another`}; !cmp.Equal(kept, want) {
			t.Errorf("history %q, want %q", kept, want)
		}
	})
}

func TestActsOnALaneThatStandsStill(t *testing.T) {
	stopped := func(b box, state outbox.State) outbox.Claim {
		owe(b.t, b.db, b.Outbox, "o1", "a", "b")
		c := b.claim("n1", 1, 1)[0]
		s := done(c, 0)
		s.Next = outbox.Next{State: state, ID: c.Messages[0].ID, Reason: "because", Verdict: message.Refused, Awaits: "lot/9"}
		if state == outbox.Unknown {
			s.SentTo = 1
		}
		b.settle(s)
		return c
	}
	tests := []struct {
		name  string
		state outbox.State
		act   func(b box) act
		owed  int64
		ask   bool
	}{
		{"resume a parked lane", outbox.Parked, func(b box) act {
			return func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "r") }
		}, 2, false},
		{"resume an unknown lane", outbox.Unknown, func(b box) act {
			return func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "r") }
		}, 2, true},
		{"discard the head", outbox.Parked, func(b box) act {
			return func(ctx context.Context, tx *store.Tx) error {
				return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
			}
		}, 2, false},
		{"mark the head as delivered", outbox.Unknown, func(b box) act {
			return func(ctx context.Context, tx *store.Tx) error {
				return b.MarkDelivered(ctx, tx, numbered(ctx, tx, "o1", 1), "4711", "r")
			}
		}, 1, false},
		{"send the head again", outbox.Unknown, func(b box) act {
			return func(ctx context.Context, tx *store.Tx) error {
				return b.SendAgain(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
			}
		}, 2, false},
		{"bring the number that it waits for", outbox.Waiting, func(b box) act {
			return func(ctx context.Context, tx *store.Tx) error { return b.SetReference(ctx, tx, "erp", "lot/9", "0009") }
		}, 2, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				stopped(b, tt.state)
				if c := b.claim("n1", 10, 1); len(c) != 0 || b.lane("o1").State != tt.state {
					t.Fatalf("claimed %+v while %+v", c, b.lane("o1"))
				}
				b.do(tt.act(b))
				c := b.claim("n1", 10, 1)
				if l := b.lane("o1"); len(c) != 1 || c[0].Messages[0].Ask != tt.ask || l.Owed != tt.owed {
					t.Errorf("got %+v of %+v", c, l)
				}
			})
		})
	}
}

func TestAPersonsPauseOutlastsTheHolder(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		c := b.claim("n1", 1, 2)[0]
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.PauseLane(ctx, tx, "erp", "o1", "audit") })
		b.settle(done(c, 1))
		if l := b.lane("o1"); !l.Paused || l.Reason != "audit" || l.Owed != 1 {
			t.Errorf("got %+v, want it paused by the person", l)
		}
	})
}

// TestAnAmendmentIsAskedForOnceMore: who did not see the answer asks again, and nothing is done twice; a lane that stands still because of
// the message does not go on by it.
func TestAnAmendmentIsAskedForOnceMore(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		amend := func(text string) error {
			return b.try(func(ctx context.Context, tx *store.Tx) error {
				return b.Amend(ctx, tx, outbox.MessageID("erp", "a"), []byte(text), "typo")
			})
		}
		if err := amend(`{"id": "a"}`); problem.KindOf(err) != problem.Invalid {
			t.Errorf("what was committed, as it is: got %v, want it refused", err)
		}
		for _, text := range []string{`{"yield":"1"}`, `{ "yield": "1" }`} {
			if err := amend(text); err != nil {
				t.Errorf("%s: %v", text, err)
			}
		}
		if h := b.message("a").History; len(h) != 1 {
			t.Errorf("the history has %+v, want one amendment", h)
		}
		c := b.claim("n1", 1, 1)[0]
		s := done(c, 0)
		s.Next = outbox.Next{State: outbox.Parked, ID: c.Messages[0].ID, Reason: "refused"}
		b.settle(s)
		if err := amend(`{"yield":"1"}`); problem.KindOf(err) != problem.Invalid || b.lane("o1").State != outbox.Parked {
			t.Errorf("the amendment that was refused, as it is: got %v and a lane that is %s", err, b.lane("o1").State)
		}
	})
}

func TestAmendIsRefusedWhileTheERPMayHaveTheOriginal(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		c := b.claim("n1", 1, 1)[0]
		s := done(c, 0)
		s.SentTo, s.Next = 1, outbox.Next{State: outbox.Unknown, ID: c.Messages[0].ID, Reason: "nobody can say"}
		b.settle(s)
		err := b.try(func(ctx context.Context, tx *store.Tx) error {
			return b.Amend(ctx, tx, c.Messages[0].ID, []byte(`{}`), "r")
		})
		if problem.KindOf(err) != problem.Conflict {
			t.Errorf("got %v, want a conflict", err)
		}
	})
}

func TestReferenceThatComesFirstIsNotWaitedFor(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		c := b.claim("n1", 1, 1)[0]
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.SetReference(ctx, tx, "erp", "order/o1", "1000042")
		})
		s := done(c, 0)
		s.Next = outbox.Next{State: outbox.Waiting, ID: c.Messages[0].ID, Reason: "not known", Awaits: "order/o1"}
		b.settle(s)
		if l := b.lane("o1"); l.State != outbox.Open || l.Awaits != "" {
			t.Errorf("got %+v, want it open", l)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			number, ok, err := b.Reference(ctx, tx, "erp", "order/o1")
			_, none, err2 := b.Reference(ctx, tx, "erp", "order/o2")
			object, found, err3 := b.Object(ctx, tx, "erp", "order", "1000042")
			_, other, err4 := b.Object(ctx, tx, "erp", "lot", "1000042")
			if number != "1000042" || !ok || none || object != "order/o1" || !found || other {
				t.Errorf("got %q %t %t %q %t %t", number, ok, none, object, found, other)
			}
			return errors.Join(err, err2, err3, err4)
		})
	})
}

func TestReceiptBringsTheReference(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.do(func(ctx context.Context, tx *store.Tx) error {
			m := event("a", "o1")
			m.Creates = "order/o1"
			return b.Append(ctx, tx, m)
		})
		c := b.claim("n1", 1, 1)[0]
		b.settle(done(c, 1))
		b.do(func(ctx context.Context, tx *store.Tx) error {
			number, ok, err := b.Reference(ctx, tx, "erp", "order/o1")
			if number != "D-"+c.Messages[0].ID || !ok {
				t.Errorf("got %q, %t", number, ok)
			}
			return err
		})
	})
}

func TestPurgeLeavesAFreshReceiptOfAnOldMessage(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "again", "old")
		b.settle(done(b.claim("n1", 1, 2)[0], 2))
		b.clock.forward(80 * 24 * time.Hour)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1, To: 1}, "the ERP was restored")
			return err
		})
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		b.clock.forward(20 * 24 * time.Hour)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			if n, err := b.Purge(ctx, tx, 100); n != 2 || err != nil {
				t.Errorf("purged %d, %v, want the two receipts of 100 days ago", n, err)
			}
			_, err := b.Message(ctx, tx, outbox.MessageID("erp", "old"))
			if problem.KindOf(err) != problem.NotFound {
				t.Errorf("the old message: %v, want it gone", err)
			}
			return nil
		})
		if d := b.message("again"); d.Redelivery != 1 || len(d.History) == 0 || d.History[0].What != "replayed" {
			t.Errorf("got %+v, want the fresh receipt with its history", d)
		}
		b.clock.forward(80 * 24 * time.Hour)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			n, err := b.Purge(ctx, tx, 100)
			var events int
			if n != 1 || err != nil || tx.Get(ctx, &events, `SELECT COUNT(*) FROM outbox_events`) != nil || events != 0 {
				t.Errorf("purged %d, %v, %d events are left, want all of it gone", n, err, events)
			}
			return nil
		})
	})
}

func TestReplayWhatIsKeptAndPurgeWhatIsOld(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 2), "r")
		})
		b.settle(done(b.claim("n1", 1, 3)[0], 3))
		replay := func(r outbox.Range) (n int64, err error) {
			err = b.try(func(ctx context.Context, tx *store.Tx) error {
				n, err = b.Replay(ctx, tx, "erp", "o1", r, "asked for")
				return err
			})
			return n, err
		}
		if n, err := replay(outbox.Range{From: 1}); n != 2 || err != nil {
			t.Fatalf("replayed %d, %v, want 2: a void is not", n, err)
		}
		if n, err := replay(outbox.Range{From: 1}); problem.KindOf(err) != problem.Conflict {
			t.Errorf("replayed %d that are queued already, %v", n, err)
		}
		for _, want := range []int64{1, 3} {
			c := b.claim("n1", 1, 3)[0]
			if got := numbers(c); !cmp.Equal(got, []int64{want}) || !c.Messages[0].Ask || c.Messages[0].Replay != outbox.AskFirst {
				t.Fatalf("claimed %+v, want %d with a question", c, want)
			}
			b.settle(done(c, 1))
		}
		if n, err := replay(outbox.Range{From: 1, Force: true}); n != 2 || err != nil || b.message("c").Redelivery != 2 {
			t.Errorf("replayed %d the second time, %v, %+v", n, err, b.message("c"))
		}
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		purge := func() (n int64) {
			b.do(func(ctx context.Context, tx *store.Tx) (err error) { n, err = b.Purge(ctx, tx, 100); return err })
			return n
		}
		if n := purge(); n != 0 {
			t.Errorf("purged %d that are new", n)
		}
		b.clock.forward(91 * 24 * time.Hour)
		if n := purge(); n == 0 {
			t.Error("nothing was purged")
		}
		var left []outbox.Detail
		b.do(func(ctx context.Context, tx *store.Tx) (err error) {
			left, _, err = b.Messages(ctx, tx, outbox.Filter{}, "")
			return err
		})
		if len(left) != 1 || left[0].Settled {
			t.Errorf("left %+v, want only what is owed", left)
		}
		if l := b.lane("o1"); l.Next != 4 {
			t.Errorf("next number %d, want 4", l.Next)
		}
	})
}

// replayed is a lane whose one delivered message is queued again, before one that is owed.
func replayed(b box, force bool) {
	owe(b.t, b.db, b.Outbox, "o1", "a", "b")
	b.settle(done(b.claim("n1", 1, 1)[0], 1))
	b.do(func(ctx context.Context, tx *store.Tx) error {
		_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1, Force: force}, "r")
		return err
	})
}

func TestAReplayIsSentUnaskedAtMostOnce(t *testing.T) {
	tests := []struct {
		name   string
		force  bool
		after  func(b box, c outbox.Claim) // what became of the first claim
		replay outbox.Replay
		ask    bool
	}{
		{"certainly not sent", true, func(b box, c outbox.Claim) {
			s := done(c, 0)
			s.Unsent = c.Messages[0]
			b.settle(s)
		}, outbox.Forced, false},
		{"perhaps sent", true, func(b box, c outbox.Claim) { b.settle(done(c, 0)) }, "", true},
		{"in the hand of a node that was killed", true, func(b box, _ outbox.Claim) { b.clock.forward(11 * time.Second) }, "", true},
		{"asked for, and no answer", false, func(b box, c outbox.Claim) {
			s := done(c, 0)
			s.Unsent = c.Messages[0]
			b.settle(s)
		}, outbox.AskFirst, true},
		{"asked for, and perhaps sent", false, func(b box, c outbox.Claim) { b.settle(done(c, 0)) }, "", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				replayed(b, tt.force)
				c := b.claim("n1", 1, 5)[0]
				if q := c.Messages[0]; len(c.Messages) != 1 || q.Ask == tt.force || !q.Again {
					t.Fatalf("claimed %+v, want the replay alone", c)
				}
				tt.after(b, c)
				if q := b.claim("n2", 1, 1)[0].Messages[0]; q.Replay != tt.replay || q.Ask != tt.ask || q.Number != 1 {
					t.Errorf("claimed %+v, want it asked for: %t", q, tt.ask)
				}
			})
		})
	}
}

func TestAReplayThatIsGivenUpStaysDelivered(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		replayed(b, false)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "not needed")
		})
		d, l := b.message("a"), b.lane("o1")
		if !d.Settled || d.Role != message.Event || d.Redelivery != 0 || d.Sends != 1 || l.Owed != 1 || l.Head != 2 {
			t.Errorf("got %+v of %+v", d, l)
		}
	})
}

// TestAReplayAfterOneThatMayHaveBeenSentIsNotQuiet has a replay sent, its answer lost, the replay given up, and another begun at once.
func TestAReplayAfterOneThatMayHaveBeenSentIsNotQuiet(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		replayed(b, false)
		b.settle(done(b.claim("n1", 1, 1)[0], 0)) // perhaps sent
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "not needed")
		})
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1, To: 1}, "needed after all")
			return err
		})
		if q := b.claim("n1", 1, 1)[0].Messages[0]; !q.Ask || q.Replay != "" {
			t.Errorf("claimed %+v, want it asked for as what may have been sent", q)
		}
	})
}

func TestAPausedLaneIsListedWhateverItOwes(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.PauseLane(ctx, tx, "erp", "o1", "audit") })
		b.do(func(ctx context.Context, tx *store.Tx) error {
			lanes, _, err := b.Lanes(ctx, tx, outbox.LaneFilter{}, "")
			links, err2 := b.Links(ctx, tx)
			if len(lanes) != 1 || lanes[0].Owed != 0 || !lanes[0].OldestAt.IsZero() || len(links) != 1 || links[0].Held != 1 || links[0].Lanes != 0 || !links[0].OldestAt.IsZero() {
				t.Errorf("got %+v, %+v", lanes, links)
			}
			return errors.Join(err, err2)
		})
	})
}

func TestOnlyOfALaneThatStandsStillAPersonSaysWhatBecameOfIt(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.do(func(ctx context.Context, tx *store.Tx) error {
			m := event("a", "o1")
			m.Creates = "order/o1"
			return b.Append(ctx, tx, m)
		})
		mark := func(document string) problem.Kind {
			return problem.KindOf(b.try(func(ctx context.Context, tx *store.Tx) error {
				return b.MarkDelivered(ctx, tx, numbered(ctx, tx, "o1", 1), document, "r")
			}))
		}
		again := problem.KindOf(b.try(func(ctx context.Context, tx *store.Tx) error {
			return b.SendAgain(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
		}))
		if got := mark("4711"); got != problem.Conflict || again != problem.Conflict {
			t.Errorf("while its lane is open: %q, %q, want conflicts", got, again)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error { return park(ctx, tx, "o1", "refused") })
		if got := mark(""); got != problem.Invalid {
			t.Errorf("without the number that others may need: %q, want invalid", got)
		}
		if got := mark("4711"); got != "" {
			t.Errorf("got %q", got)
		}
	})
}

func TestMessagesThatVanishedParkTheirLaneAlone(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a")
		owe(t, b.db, b.Outbox, "o2", "b")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM outbox_messages WHERE lane = 'o1'`)
			return err
		})
		if c := b.claim("n1", 10, 1); len(c) != 1 || c[0].Lane != "o2" || b.lane("o1").State != outbox.Parked {
			t.Errorf("claimed %+v, %+v", c, b.lane("o1"))
		}
	})
}

func TestOnlyAResumeEndsAPersonsPause(t *testing.T) {
	tests := []struct {
		name   string
		act    func(b box, ctx context.Context, tx *store.Tx) error
		paused bool
	}{
		{"retry", func(b box, ctx context.Context, tx *store.Tx) error {
			return b.Retry(ctx, tx, outbox.MessageID("erp", "a"), "r")
		}, true},
		{"mark as delivered", func(b box, ctx context.Context, tx *store.Tx) error {
			return b.MarkDelivered(ctx, tx, numbered(ctx, tx, "o1", 1), "4711", "r")
		}, true},
		{"send again", func(b box, ctx context.Context, tx *store.Tx) error {
			return b.SendAgain(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
		}, true},
		{"discard", func(b box, ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
		}, true},
		{"resume", func(b box, ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "r") }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				owe(t, b.db, b.Outbox, "o1", "a", "b")
				b.do(func(ctx context.Context, tx *store.Tx) error {
					return errors.Join(park(ctx, tx, "o1", "refused"), b.PauseLane(ctx, tx, "erp", "o1", "audit"))
				})
				b.do(func(ctx context.Context, tx *store.Tx) error { return tt.act(b, ctx, tx) })
				l := b.lane("o1")
				if got := len(b.claim("n1", 1, 1)) == 0; got != tt.paused || l.Paused != tt.paused || l.State != outbox.Open || tt.paused && l.Reason != "audit" {
					t.Errorf("got %+v, want it paused: %t", l, tt.paused)
				}
			})
		})
	}
}

func TestALeaseThatHasEndedHoldsUpNoAct(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		c := b.claim("gone", 1, 1)[0]
		discard := func(ctx context.Context, tx *store.Tx) error {
			return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
		}
		if err := b.try(discard); problem.KindOf(err) != problem.Conflict {
			t.Errorf("got %v while it is being sent, want a conflict", err)
		}
		b.clock.forward(11 * time.Second)
		if err := b.try(discard); problem.KindOf(err) != problem.Conflict || !strings.Contains(err.Error(), "the ERP may have it") || !b.message("a").MaySent() {
			t.Errorf("got %v after the lease, want a conflict: nobody knows whether it was taken", err)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.DiscardInDoubt(ctx, tx, numbered(ctx, tx, "o1", 1), "r")
		})
		if h := b.message("a").History; len(h) != 1 || h[0].What != outbox.VoidedInDoubt {
			t.Errorf("history %+v, want it to say that the ERP may have it", h)
		}
		if _, lost := b.settle(done(c, 1)); len(lost) != 1 || b.message("a").Role != message.Void {
			t.Errorf("lost %+v, want the old holder to settle nothing", lost)
		}
		if c := b.claim("n2", 1, 2); len(c) != 1 || c[0].Messages[0].Role != message.Void {
			t.Errorf("claimed %+v, want the void", c)
		}
	})
}

// TestAReplayThatWasNotSentIsNotADelivery has a message delivered, and replays of it found by asking, sent, and sent before they are found.
func TestAReplayThatWasNotSentIsNotADelivery(t *testing.T) {
	tests := []struct {
		name string
		what func(b box, c outbox.Claim)
		want int64
	}{
		{"the ERP had it", func(b box, c outbox.Claim) { b.settle(found(c)) }, 1},
		{"it was sent", func(b box, c outbox.Claim) { b.settle(done(c, 1)) }, 2},
		{"it was sent, and its answer lost", func(b box, c outbox.Claim) {
			s := done(c, 0)
			s.Next = outbox.Next{ID: c.Messages[0].ID, Sent: true, Reason: "no answer"}
			b.settle(s)
			b.settle(found(b.claim("n1", 1, 1)[0]))
		}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				replayed(b, false)
				tt.what(b, b.claim("n1", 1, 1)[0])
				var links []outbox.Link
				b.do(func(ctx context.Context, tx *store.Tx) (err error) { links, err = b.Links(ctx, tx); return err })
				if d := b.message("a"); len(links) != 1 || links[0].Delivered != tt.want || !d.Settled || d.Redelivery != 1 {
					t.Errorf("delivered %+v, want %d; %+v", links, tt.want, d)
				}
			})
		})
	}
}

// found settles the first message of a claim as one that the ERP, asked, had.
func found(c outbox.Claim) outbox.Settlement {
	s := done(c, 1)
	s.Done[0].Sent, s.Done[0].Receipt.Asked = false, true
	return s
}
