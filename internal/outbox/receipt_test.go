package outbox_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// confirmedPart settles the messages of a claim from the one at place from on, up to the one before to, as a broker's confirms do.
func confirmedPart(c outbox.Claim, from, to int) outbox.Settlement {
	s := confirmed(c, to)
	s.Done, s.Release = s.Done[from:], false
	return s
}

func (b box) oweNumbered(lane string, n int) {
	b.t.Helper()
	for i := range n {
		owe(b.t, b.db, b.Outbox, lane, fmt.Sprintf("%s-%d", lane, i+1))
	}
}

// file moves what is settled; it returns of how many receipts.
func (b box) file() (n int) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) (err error) {
		n, _, err = b.File(ctx, tx, tx.Now.Add(time.Hour), 100)
		return err
	})
	return n
}

func (b box) rows(table string) (n int) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) error { return tx.Get(ctx, &n, `SELECT COUNT(*) FROM `+table) })
	return n
}

func (b box) list(f outbox.Filter) (list []outbox.Detail) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) (err error) {
		list, _, err = b.Messages(ctx, tx, f, "")
		return err
	})
	return list
}

// TestWhatABrokerConfirmedIsSettledBeforeItIsFiled looks at messages in the moment between, and after.
func TestWhatABrokerConfirmedIsSettledBeforeItIsFiled(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.oweNumbered("o1", 5)
		c := b.claim("n1", 10, 3)[0]
		s := confirmedPart(c, 0, 2)
		s.Release, s.SentTo = true, 2
		b.settle(s)
		for _, filed := range []string{"before", "after"} {
			if l := b.lane("o1"); l.Owed != 3 || l.Head != 3 || l.InHand != "" {
				t.Errorf("%s it is filed: %+v, want 3 owed from 3 on", filed, l)
			}
			if d := b.message("o1-2"); !d.Settled || d.Sends != 1 || d.Receipt.Kind != "message" || d.Receipt.At.IsZero() || d.MaySent() {
				t.Errorf("%s it is filed: %+v, want it settled", filed, d)
			}
			if d := b.message("o1-3"); d.Settled || d.Sends != 0 {
				t.Errorf("%s it is filed: %+v, want it owed", filed, d)
			}
			for _, tt := range []struct {
				filter outbox.Filter
				want   int
			}{{outbox.Filter{Owed: true}, 3}, {outbox.Filter{Settled: true}, 2}, {outbox.Filter{}, 5}} {
				if got := len(b.list(tt.filter)); got != tt.want {
					t.Errorf("%s it is filed: %+v lists %d, want %d", filed, tt.filter, got, tt.want)
				}
			}
			if filed == "before" {
				if n := b.file(); n != 1 {
					t.Errorf("filed %d receipts, want one for both", n)
				}
			}
		}
		if hot, cold, left := b.rows("outbox_messages"), b.rows("outbox_delivered"), b.rows("outbox_receipts"); hot != 3 || cold != 2 || left != 0 {
			t.Errorf("%d rows are owed, %d delivered, %d receipts left, want 3, 2 and none", hot, cold, left)
		}
		if got := b.claim("n1", 10, 16)[0].Messages[0].Number; got != 3 {
			t.Errorf("the next claim begins at %d, want 3", got)
		}
	})
}

// TestSettlementOfConfirmsGivenAgainCountsOnce repeats a settlement of which nobody knows whether it was kept.
func TestSettlementOfConfirmsGivenAgainCountsOnce(t *testing.T) {
	for _, tt := range []struct {
		name   string
		filed  bool
		replay bool
	}{{name: "not filed"}, {name: "filed", filed: true}, {name: "queued again by a person meanwhile", replay: true}} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				b.oweNumbered("o1", 5)
				c := b.claim("n1", 10, 5)[0]
				first := confirmedPart(c, 0, 2)
				b.settle(first)
				if tt.filed {
					b.file()
				}
				owed := int64(2)
				if tt.replay {
					b.do(func(ctx context.Context, tx *store.Tx) error {
						_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1, To: 1}, "lost there")
						return err
					})
					owed = 3
				}
				first.Again = true
				rest := confirmedPart(c, 2, 3)
				rest.Release, rest.SentTo = true, 5
				b.settle(first, rest)
				if l := b.lane("o1"); l.Owed != owed {
					t.Errorf("%+v, want %d owed", l, owed)
				}
				b.file()
				if got := b.rows("outbox_delivered"); got != 3 {
					t.Errorf("%d were delivered, want 3", got)
				}
				if got := b.rows("outbox_messages"); got != int(owed) {
					t.Errorf("%d rows are owed, want %d", got, owed)
				}
			})
		})
	}
}

// TestSettlementGivenAgainOverAnEpochCountsOnce repeats that of a lane's last messages before a new epoch, which has messages or none.
func TestSettlementGivenAgainOverAnEpochCountsOnce(t *testing.T) {
	for _, tt := range []struct {
		name string
		next []string
	}{{"some follow", []string{"n1", "n2", "n3"}}, {"none follow", nil}} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				b.oweNumbered("o1", 2)
				b.do(func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET epoch = 2, next_number = 1`)
					return err
				})
				owe(t, b.db, b.Outbox, "o1", tt.next...)
				s := confirmedPart(b.claim("n1", 10, 2)[0], 0, 2)
				for range 2 {
					b.settle(s)
					if owed := b.lane("o1").Owed; owed != int64(len(tt.next)) {
						t.Errorf("given again: %v: %d are owed, want %d", s.Again, owed, len(tt.next))
					}
					s.Again = true
				}
				owe(t, b.db, b.Outbox, "o1", "last")
				b.file()
				if hot, cold, owed := b.rows("outbox_messages"), b.rows("outbox_delivered"), b.lane("o1").Owed; hot != len(tt.next)+1 || owed != int64(hot) || cold != 2 {
					t.Errorf("%d rows and %d by the lane are owed, %d were delivered, want %d and 2", hot, owed, cold, len(tt.next)+1)
				}
			})
		})
	}
}

// TestAReceiptOfAClockThatWasAheadIsFiled sets the clock back by a day after a settlement.
func TestAReceiptOfAClockThatWasAheadIsFiled(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.oweNumbered("o1", 2)
		c := b.claim("n1", 10, 2)[0]
		b.settle(confirmedPart(c, 0, 1))
		b.clock.forward(24 * time.Hour)
		b.settle(confirmedPart(c, 1, 2))
		b.clock.set(0)
		var n int
		b.do(func(ctx context.Context, tx *store.Tx) (err error) {
			n, _, err = b.File(ctx, tx, tx.Now.Add(-time.Second), 100)
			return err
		})
		if n != 1 || b.rows("outbox_receipts") != 1 {
			t.Errorf("filed %d, and %d receipts are left, want that of the wrong clock filed and that of this moment left", n, b.rows("outbox_receipts"))
		}
	})
}

// TestActsOnALaneFileItFirst has persons and the ERP do to messages that were settled a moment ago what they may do to those that are filed.
func TestActsOnALaneFileItFirst(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.oweNumbered("o1", 4)
		c := b.claim("n1", 10, 2)[0]
		s := confirmedPart(c, 0, 2)
		s.Release, s.SentTo = true, 2
		b.settle(s)
		id := outbox.MessageID("erp", "o1-1")
		acts := []struct {
			name string
			act  func(ctx context.Context, tx *store.Tx) error
			want problem.Kind
		}{
			{"amend", func(ctx context.Context, tx *store.Tx) error { return b.Amend(ctx, tx, id, []byte(`{}`), "why") }, problem.Conflict},
			{"discard", func(ctx context.Context, tx *store.Tx) error {
				return b.DiscardInDoubt(ctx, tx, numbered(ctx, tx, "o1", 1), "why")
			}, problem.Conflict},
			{"postpone", func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Postpone(ctx, tx, id, tx.Now.Add(time.Hour), "why")
				return err
			}, problem.Conflict},
			{"retry", func(ctx context.Context, tx *store.Tx) error { return b.Retry(ctx, tx, id, "why") }, problem.Conflict},
			{"resume", func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "why") }, ""},
			{"receipt", func(ctx context.Context, tx *store.Tx) error {
				text := []byte(`{"message": "` + id + `", "document": "D-1"}`)
				return b.Answer(ctx, tx, message.Message{ID: "answer", Kind: outbox.ReceiptKind, Time: at, Body: text, Place: message.Place{Link: "erp"}})
			}, ""},
			{"replay", func(ctx context.Context, tx *store.Tx) error {
				_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1, To: 2}, "lost there")
				return err
			}, ""},
		}
		for _, a := range acts {
			t.Run(a.name, func(t *testing.T) {
				undo := &problem.Error{Kind: problem.Internal, What: "undo"} // so that each finds the lane as it was
				err := b.try(func(ctx context.Context, tx *store.Tx) error {
					if err := a.act(ctx, tx); problem.KindOf(err) != a.want {
						t.Errorf("got %v, want kind %q", err, a.want)
					}
					var left, head int
					err := tx.Get(ctx, &left, `SELECT COUNT(*) FROM outbox_receipts`)
					if err == nil {
						err = tx.Get(ctx, &head, `SELECT head FROM outbox_lanes WHERE lane = 'o1'`)
					}
					if want := map[bool]int{true: 1, false: 3}[a.name == "replay"]; err != nil || left != 0 || head != want {
						t.Errorf("%d receipts are left, the head is %d, want none and %d (%v)", left, head, want, err)
					}
					return undo
				})
				if problem.KindOf(err) != problem.Internal {
					t.Error(err)
				}
			})
		}
	})
}

// TestANodeOfTheReleaseBeforeCannotTakeBackWhatIsNotFiled has it do to a lane what it would do for a person, read its first row, and what
// it does all the time, which must pass.
func TestANodeOfTheReleaseBeforeCannotTakeBackWhatIsNotFiled(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.oweNumbered("o1", 4)
		c := b.claim("n1", 10, 2)[0]
		s := confirmedPart(c, 0, 2)
		s.Release, s.SentTo = true, 2
		b.settle(s)
		for _, tt := range []struct {
			name, statement string
			refused         bool
		}{
			{"the head goes back", `UPDATE outbox_lanes SET head = 1, head_epoch = 1 WHERE lane = 'o1'`, true},
			{"a settled message becomes a void", `UPDATE outbox_messages SET role = 'void', body = '{}', digest = '' WHERE number = 2`, true},
			{"a settled message is postponed", `UPDATE outbox_messages SET not_before = 99 WHERE number = 1`, true},
			{"a claim", `UPDATE outbox_lanes SET lease_owner = 'n2', lease_token = 9, sent_to = 3 WHERE lane = 'o1'`, false},
			{"an owed message becomes a void", `UPDATE outbox_messages SET role = 'void', body = '{}', digest = '' WHERE number = 3`, false},
			{"an owed message is postponed", `UPDATE outbox_messages SET not_before = 99 WHERE number = 4`, false},
			{"a settlement takes the message away", `DELETE FROM outbox_messages WHERE number = 3`, false},
			{"a settlement moves the head on", `UPDATE outbox_lanes SET head = 4, pending = 1, lease_owner = '' WHERE lane = 'o1'`, false},
			{"an append", `UPDATE outbox_lanes SET next_number = 6, pending = 2 WHERE lane = 'o1'`, false},
		} {
			act := func(ctx context.Context, tx *store.Tx) error { _, err := tx.Exec(ctx, tt.statement); return err }
			if err := b.try(act); (err != nil) != tt.refused {
				t.Errorf("%s: got %v, want it refused: %v", tt.name, err, tt.refused)
			}
		}
		b.file()
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET head = 1, head_epoch = 1 WHERE lane = 'o1'`)
			return err
		})
	})
}

// TestAMessageExpiresBehindAReceipt has one become a void while what was delivered before it in its lane is not filed yet: it holds up
// neither its own lane nor another.
func TestAMessageExpiresBehindAReceipt(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.oweNumbered("o1", 1)
		s := confirmedPart(b.claim("n1", 10, 1)[0], 0, 1)
		s.Release, s.SentTo = true, 1
		b.settle(s)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return b.Append(ctx, tx, event("late", "o1"), outbox.Expires(tx.Now.Add(time.Millisecond)))
		})
		b.oweNumbered("o2", 1)
		b.clock.forward(time.Second)
		var roles []message.Role
		for _, c := range b.claim("n1", 10, 5) {
			roles = append(roles, c.Messages[0].Role)
			b.settle(done(c, 1))
		}
		slices.Sort(roles)
		if want := []message.Role{message.Event, message.Void}; !slices.Equal(roles, want) {
			t.Errorf("claimed %q, want the expired one as a void and that of the other lane", roles)
		}
		b.file()
		if hot, cold := b.rows("outbox_messages"), b.rows("outbox_delivered"); hot != 0 || cold != 3 || b.lane("o1").Owed != 0 {
			t.Errorf("%d rows are owed and %d settled, want none and 3", hot, cold)
		}
	})
}
