package outbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// hand takes what it can, and remembers what it was told.
type hand struct {
	node  string
	full  bool
	taken []outbox.Taken
	ends  []error
}

type spot struct {
	all  *hand
	lane string
}

func (h *hand) Reach(_, lane string, _ int) (string, outbox.Place) {
	if h.full {
		return "", nil
	}
	return h.node, spot{h, lane}
}

func (s spot) Take(token, number int64) {
	s.all.taken = append(s.all.taken, outbox.Taken{Holding: outbox.Holding{Lane: s.lane, Token: token}, Number: number})
}

func (s spot) End(err error) { s.all.ends = append(s.all.ends, err) }

// read gives what of that can be sent as it is.
func (b box) read(h *hand) (claims []outbox.Claim) {
	b.t.Helper()
	err := b.db.View(b.t.Context(), func(tx *store.Tx) (err error) {
		claims, err = b.Taken(b.t.Context(), tx, "erp", h.taken)
		return err
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return claims
}

// TestAnAppendTakesAnIdleLane in each way in which an append is written: the claim is that of Claim, and nobody else gets the lane.
func TestAnAppendTakesAnIdleLane(t *testing.T) {
	for _, way := range []string{"plain", "signed", "signed and sealed"} {
		t.Run(way, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				h := &hand{node: "n1"}
				b.HandTo(h)
				if way != "plain" {
					b.SignWith(ring(t, b.db))
				}
				if way == "signed and sealed" {
					b.sealing(localKeys(t, b.db))
				}
				for n, id := range []string{"a", "b"} { // the first of a lane that is new, and of one that was
					h.taken, h.ends = nil, nil
					owe(t, b.db, b.Outbox, "o1", id)
					if len(h.taken) != 1 || h.taken[0].Number != int64(n+1) || len(h.ends) != 1 || h.ends[0] != nil {
						t.Fatalf("got %+v and %v, want number %d taken, and committed", h.taken, h.ends, n+1)
					}
					if got := b.claim("n2", 10, 10); len(got) != 0 {
						t.Errorf("another node claims %+v too", got)
					}
					got := b.read(h)
					if len(got) != 1 || len(got[0].Messages) != 1 || got[0].Messages[0].Ask {
						t.Fatalf("read %+v, want one message that need not be asked for", got)
					}
					q := got[0].Messages[0]
					if q.ID != outbox.MessageID("erp", id) || q.Digest() != q.Stored || (way != "plain") != (q.Origin != nil) || string(q.Body) != `{"id":"`+id+`"}` {
						t.Errorf("got %+v, want message %s as it was committed", q, id)
					}
					if _, lost := b.settle(done(got[0], 1)); len(lost) != 0 {
						t.Errorf("its settlement came too late: %+v", lost)
					}
				}
				if l := b.lane("o1"); l.Owed != 0 || l.InHand != "" {
					t.Errorf("got %+v, want nothing owed and in no hand", l)
				}
			})
		})
	}
}

// TestWhoeverTookALaneAndIsGoneLeavesItMarked as a claim does: the next holder asks before it sends.
func TestWhoeverTookALaneAndIsGoneLeavesItMarked(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		h := &hand{node: "n1"}
		b.HandTo(h)
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		if len(h.taken) != 1 {
			t.Fatalf("got %+v, want the first alone taken", h.taken)
		}
		b.clock.set(11 * time.Second)
		got := b.claim("n2", 10, 10)
		if len(got) != 1 || len(got[0].Messages) != 2 || !got[0].Messages[0].Ask || got[0].Messages[1].Ask {
			t.Fatalf("got %+v, want both, and the first to be asked for", got)
		}
		if _, lost := b.settle(outbox.Settlement{Lane: "o1", Token: h.taken[0].Token, Release: true}); len(lost) != 1 {
			t.Error("who is gone can still settle")
		}
		if got := b.read(h); len(got) != 0 {
			t.Errorf("who is gone can still read %+v", got)
		}
	})
}

// TestALeaseRunsFromTheAppend and not from the beginning of its transaction: the relay takes the lane for its own from then on.
func TestALeaseRunsFromTheAppend(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.HandTo(&hand{node: "n1"})
		b.do(func(ctx context.Context, tx *store.Tx) error {
			b.clock.set(8 * time.Second)
			return b.Append(ctx, tx, event("a", "o1"))
		})
		b.clock.set(17 * time.Second)
		if got := b.claim("n2", 1, 1); len(got) != 0 {
			t.Errorf("after nine seconds of a lease of ten another node claims %+v", got)
		}
		b.clock.set(19 * time.Second)
		if got := b.claim("n2", 1, 1); len(got) != 1 {
			t.Error("the lease does not end")
		}
	})
}

// TestWhatAnAppendDoesNotTake waits to be claimed, as without a hand.
func TestWhatAnAppendDoesNotTake(t *testing.T) {
	for name, prepare := range map[string]func(ctx context.Context, tx *store.Tx, b box) error{
		"link paused": func(ctx context.Context, tx *store.Tx, b box) error { return b.PauseLink(ctx, tx, "erp", "inventory") },
		"lane paused": func(ctx context.Context, tx *store.Tx, b box) error {
			return b.PauseLane(ctx, tx, "erp", "o1", "inventory")
		},
		"lane parked": func(ctx context.Context, tx *store.Tx, _ box) error { return park(ctx, tx, "o1", "refused") },
		"the ERP has asked not to be called": func(ctx context.Context, tx *store.Tx, b box) error {
			_, _, err := b.Settle(ctx, tx, "erp", []outbox.Settlement{{Lane: "o1", Hold: tx.Now.Add(time.Minute)}})
			return err
		},
		"sent beyond by who is gone": func(ctx context.Context, tx *store.Tx, _ box) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET sent_to = 7`)
			return err
		},
		"restored, in a new epoch": func(ctx context.Context, tx *store.Tx, _ box) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET epoch = 2, next_number = 1`)
			return err
		},
		"in another hand": func(ctx context.Context, tx *store.Tx, _ box) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET lease_owner = 'n2', due_at = ?`, store.Micros(tx.Now.Add(time.Second)))
			return err
		},
		"in this node's own name, of an earlier run": func(ctx context.Context, tx *store.Tx, _ box) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET lease_owner = 'n1', due_at = ?`, store.Micros(tx.Now.Add(time.Second)))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				owe(t, b.db, b.Outbox, "o1", "before")
				b.settle(done(b.claim("n1", 1, 1)[0], 1))
				b.do(func(ctx context.Context, tx *store.Tx) error { return prepare(ctx, tx, b) })
				h := &hand{node: "n1"}
				b.HandTo(h)
				owe(t, b.db, b.Outbox, "o1", "a")
				if len(h.taken) != 0 || len(h.ends) != 1 || h.ends[0] != nil {
					t.Errorf("got %+v and %v, want nothing taken, and the place ended", h.taken, h.ends)
				}
				if l := b.lane("o1"); l.Owed != 1 || l.InHand == "n1" && name != "in this node's own name, of an earlier run" {
					t.Errorf("got %+v, want one message owed", l)
				}
			})
		})
	}
	t.Run("a new lane of a link that is paused", func(t *testing.T) {
		each(t, func(t *testing.T, b box) {
			b.do(func(ctx context.Context, tx *store.Tx) error { return b.PauseLink(ctx, tx, "erp", "inventory") })
			h := &hand{node: "n1"}
			b.HandTo(h)
			owe(t, b.db, b.Outbox, "o1", "a")
			b.do(func(ctx context.Context, tx *store.Tx) error { return b.ResumeLink(ctx, tx, "erp", "done") })
			if got := b.claim("n2", 1, 1); len(h.taken) != 0 || len(got) != 1 || got[0].Messages[0].Ask {
				t.Errorf("taken %+v, then claimed %+v, want nothing, and one that need not be asked for", h.taken, got)
			}
		})
	})
	for name, opt := range map[string]outbox.Option{"at a time": outbox.NotBefore(at.Add(time.Hour)), "until a time": outbox.Expires(at.Add(time.Hour))} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				h := &hand{node: "n1"}
				b.HandTo(h)
				b.do(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, event("a", "o1"), opt) })
				if len(h.ends) != 0 {
					t.Error("a place was asked for")
				}
			})
		})
	}
}

// TestWhatChangesAfterATakeIsGivenBack: what a person has stopped meanwhile is not read as a claim.
func TestWhatChangesAfterATakeIsGivenBack(t *testing.T) {
	for name, act := range map[string]func(ctx context.Context, tx *store.Tx, b box) error{
		"link paused": func(ctx context.Context, tx *store.Tx, b box) error { return b.PauseLink(ctx, tx, "erp", "inventory") },
		"lane paused": func(ctx context.Context, tx *store.Tx, b box) error {
			return b.PauseLane(ctx, tx, "erp", "o1", "inventory")
		},
		"signature removed": func(ctx context.Context, tx *store.Tx, _ box) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_messages SET signature = NULL`)
			return err
		},
		"row removed": func(ctx context.Context, tx *store.Tx, _ box) error {
			_, err := tx.Exec(ctx, `DELETE FROM outbox_messages`)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				h := &hand{node: "n1"}
				b.HandTo(h)
				b.SignWith(ring(t, b.db))
				owe(t, b.db, b.Outbox, "o1", "a")
				b.do(func(ctx context.Context, tx *store.Tx) error { return act(ctx, tx, b) })
				if got := b.read(h); len(h.taken) != 1 || len(got) != 0 {
					t.Errorf("taken %+v, read %+v, want it taken and given back", h.taken, got)
				}
			})
		})
	}
}

// TestAPlaceEndsWithItsTransaction however that ends.
func TestAPlaceEndsWithItsTransaction(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		h := &hand{node: "n1"}
		b.HandTo(h)
		mind := errors.New("changed")
		if err := b.try(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(b.Append(ctx, tx, event("a", "o1")), mind)
		}); !errors.Is(err, mind) {
			t.Fatal(err)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error { // a part of it is undone, the rest is kept
			err := tx.Savepoint(ctx, func() error { return errors.Join(b.Append(ctx, tx, event("b", "o2")), mind) })
			if len(h.ends) != 2 || !errors.Is(err, mind) {
				t.Errorf("got %d ends and %v, want that of what was undone", len(h.ends), err)
			}
			return b.Append(ctx, tx, event("c", "o3"))
		})
		func() {
			defer func() { _ = recover() }()
			_ = b.try(func(ctx context.Context, tx *store.Tx) error {
				if err := b.Append(ctx, tx, event("d", "o4")); err != nil {
					return err
				}
				panic("at work")
			})
		}()
		if len(h.ends) != 4 || h.ends[0] == nil || h.ends[1] == nil || h.ends[2] != nil || h.ends[3] == nil {
			t.Fatalf("got %v, want rolled back, undone, kept and panicked", h.ends)
		}
		if got := b.read(h); len(got) != 1 || got[0].Lane != "o3" {
			t.Errorf("read %+v, want what was kept alone", got)
		}
	})
}

// TestTakeBackLeavesWhatAnAppendMayBeTaking: the node does not know yet under which token.
func TestTakeBackLeavesWhatAnAppendMayBeTaking(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		h := &hand{node: "n1"}
		b.HandTo(h)
		owe(t, b.db, b.Outbox, "o1", "a")
		owe(t, b.db, b.Outbox, "o2", "b")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			n, err := b.TakeBack(ctx, tx, "n1", "erp", []outbox.Holding{{Lane: "o1"}})
			if n != 1 {
				t.Errorf("%d lanes were taken back, want o2 alone", n)
			}
			return err
		})
		if got := b.read(h); len(got) != 1 || got[0].Lane != "o1" {
			t.Errorf("read %+v, want o1", got)
		}
	})
}
