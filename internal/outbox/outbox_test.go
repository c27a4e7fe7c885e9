package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// clock is a process's clock that a test sets.
type clock struct{ us atomic.Int64 }

func (c *clock) now() time.Time           { return at.Add(time.Duration(c.us.Load()) * time.Microsecond) }
func (c *clock) forward(d time.Duration)  { c.us.Add(d.Microseconds()) }
func (c *clock) option() storetest.Option { return storetest.WithClock(c.now) }
func (c *clock) set(since time.Duration)  { c.us.Store(since.Microseconds()) }

// box is an outbox on one database with a clock of its own.
type box struct {
	*outbox.Outbox
	t     *testing.T
	db    *store.DB
	clock *clock
}

// each runs test on both databases.
func each(t *testing.T, test func(t *testing.T, b box)) {
	t.Helper()
	c := &clock{}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c.set(0)
		test(t, box{everything(outbox.Config{}), t, db, c})
	}, c.option())
}

// do runs fn in a transaction that must succeed.
func (b box) do(fn func(ctx context.Context, tx *store.Tx) error) {
	b.t.Helper()
	if err := b.try(fn); err != nil {
		b.t.Fatal(err)
	}
}

func (b box) try(fn func(ctx context.Context, tx *store.Tx) error) error {
	return b.db.InTx(b.t.Context(), func(tx *store.Tx) error { return fn(b.t.Context(), tx) })
}

func (b box) claim(node string, room, perLane int) (claims []outbox.Claim) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) (err error) {
		claims, err = b.Claim(ctx, tx, node, "erp", room, perLane)
		return err
	})
	return claims
}

func (b box) settle(all ...outbox.Settlement) (busy, lost []outbox.Settlement) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) (err error) {
		busy, lost, err = b.Settle(ctx, tx, "erp", all)
		return err
	})
	return busy, lost
}

// numbered is the ID of the message of a lane that has that number; "none" if there is none.
func numbered(ctx context.Context, tx *store.Tx, lane string, number int64) string {
	id := "none"
	_ = tx.Get(ctx, &id, `SELECT id FROM outbox_messages WHERE lane = ? AND number = ? UNION SELECT id FROM outbox_delivered WHERE lane = ? AND number = ? LIMIT 1`,
		lane, number, lane, number)
	return id
}

// park puts a lane aside as the ERP's refusal does.
func park(ctx context.Context, tx *store.Tx, lane, reason string) error {
	_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET state = 'parked', reason = ? WHERE link = 'erp' AND lane = ?`, reason, lane)
	return err
}

// done settles the first n messages of a claim and gives the lane back.
func done(c outbox.Claim, n int) outbox.Settlement {
	s := outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, SentTo: c.SentTo}
	for _, q := range c.Messages[:n] {
		s.Done = append(s.Done, outbox.Done{ID: q.ID, Epoch: q.Epoch, Number: q.Number, Redelivery: q.Redelivery, Role: q.Role, Creates: q.Creates, SentWith: "all@1", Sent: true, Receipt: message.Receipt{
			Document: "D-" + q.ID, Kind: "confirmation", Answer: []byte(`{"ok":true}`), Status: 201, At: at, Signed: "header.payload.signature",
		}})
	}
	return s
}

func (b box) lane(name string) (l outbox.Lane) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) (err error) {
		l, err = b.Lane(ctx, tx, "erp", name)
		return err
	})
	return l
}

func (b box) message(event string) (d outbox.Detail) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) (err error) {
		d, err = b.Message(ctx, tx, outbox.MessageID("erp", event))
		return err
	})
	return d
}

func numbers(c outbox.Claim) (list []int64) {
	for _, q := range c.Messages {
		list = append(list, q.Number)
	}
	return list
}

func TestEachLinkIsOwedAMessageOfItsOwn(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		out := outbox.New([]outbox.Route{
			{Kinds: []string{"order.*"}, Link: "erp", Mapping: "orders"},
			{Kinds: []string{"*"}, Link: "erp", Mapping: "never reached by orders"},
			{Kinds: []string{"order.started"}, Link: "lake"},
		}, "urn:plant:1000", outbox.Config{})
		m := event("a", "o1")
		m.Kind = "order.started"
		err := db.InTx(t.Context(), func(tx *store.Tx) error { return out.Append(t.Context(), tx, m) })
		if err != nil {
			t.Fatal(err)
		}
		var got []outbox.Detail
		err = db.View(t.Context(), func(tx *store.Tx) (err error) { got, err = out.Of(t.Context(), tx, "a"); return err })
		if err != nil || len(got) != 2 {
			t.Fatalf("got %d messages, %v, want 2", len(got), err)
		}
		for _, d := range got {
			if d.Event != "a" || d.Source != "urn:plant:1000" || d.Number != 1 || d.Digest != d.Message.Digest() || d.LaneState.Owed != 1 || d.Link == "erp" && d.Mapping != "orders" {
				t.Errorf("got %+v", d)
			}
		}
		if got[0].ID == got[1].ID || got[0].ID == "a" {
			t.Errorf("IDs %q and %q, want two of their own", got[0].ID, got[1].ID)
		}
	})
}

func TestAppendOfNoInterestOrWithoutAKey(t *testing.T) {
	db := storetest.SQLite(t)
	out := outbox.New([]outbox.Route{{Kinds: []string{"order.*"}, Link: "erp"}}, "urn:p", outbox.Config{})
	try := func(m message.Message) error {
		return db.InTx(t.Context(), func(tx *store.Tx) error { return out.Append(t.Context(), tx, m) })
	}
	if err := try(event("a", "o1")); err != nil {
		t.Errorf("a kind that no route wants: %v", err)
	}
	m := event("b", "")
	m.Kind = "order.started"
	if err := try(m); problem.KindOf(err) != problem.Internal {
		t.Errorf("a message without a key: %v", err)
	}
}

func TestRoutesAreChecked(t *testing.T) {
	tests := []struct {
		name  string
		route outbox.Route
		want  problem.Kind
	}{
		{"good", outbox.Route{Link: "erp", Kinds: []string{"order.*"}}, ""},
		{"no link", outbox.Route{Kinds: []string{"*"}}, problem.Invalid},
		{"no kinds", outbox.Route{Link: "erp"}, problem.Invalid},
		{"pattern not closed", outbox.Route{Link: "erp", Kinds: []string{"[a"}}, problem.Invalid},
		{"expired from the start", outbox.Route{Link: "erp", Kinds: []string{"*"}, Expires: -1}, problem.Invalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := problem.KindOf(tt.route.Check()); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestClaimHandsOutALaneOnceAndInOrder(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		first := b.claim("n1", 10, 2)
		if len(first) != 1 || !cmp.Equal(numbers(first[0]), []int64{1, 2}) {
			t.Fatalf("got %+v, want the first two messages of one lane", first)
		}
		if again := append(b.claim("n1", 10, 2), b.claim("n2", 10, 2)...); len(again) != 0 {
			t.Errorf("the lane was handed out again: %+v", again)
		}
		b.settle(done(first[0], 1))
		second := b.claim("n2", 10, 2)
		if len(second) != 1 || !cmp.Equal(numbers(second[0]), []int64{2, 3}) || second[0].Messages[0].Ask {
			t.Fatalf("got %+v, want what was not sent, with nothing to ask for", second)
		}
		b.settle(done(second[0], 2))
		if l := b.lane("o1"); l.Owed != 0 || l.Head != 4 || l.InHand != "" {
			t.Errorf("got %+v, want it empty", l)
		}
		d := b.message("a")
		want := message.Receipt{Document: "D-" + d.ID, Kind: "confirmation", Answer: []byte(`{"ok":true}`), Status: 201, At: at, Signed: "header.payload.signature"}
		if !cmp.Equal(d.Receipt, want) || d.SentWith != "all@1" || !d.Settled || !d.SettledAt.Equal(at) {
			t.Errorf("got %+v", cmp.Diff(d.Receipt, want))
		}
	})
}

func TestSettlingTwiceFindsItsWorkDone(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		c := b.claim("n1", 10, 2)[0]
		progress := done(c, 1)
		progress.Release = false
		b.settle(progress)
		b.settle(progress) // the answer to the first commit was lost
		if l := b.lane("o1"); l.Owed != 1 || l.Head != 2 || l.InHand != "n1" {
			t.Errorf("got %+v, want one owed, still in hand", l)
		}
		rest := done(c, 2)
		b.settle(progress, rest)
		if l := b.lane("o1"); l.Owed != 0 || l.InHand != "" {
			t.Errorf("got %+v, want none owed", l)
		}
	})
}

// TestASettlementGivenAgainSettlesNoReplay has a person replay a message between the two.
func TestASettlementGivenAgainSettlesNoReplay(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		progress := done(b.claim("n1", 10, 2)[0], 1)
		progress.Release = false
		b.settle(progress)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1, To: 1}, "the ERP has lost it")
			return err
		})
		b.settle(progress) // the answer to the first commit was lost
		if l := b.lane("o1"); l.Owed != 2 || l.Head != 1 {
			t.Errorf("got %+v, want the replay and the second message owed", l)
		}
	})
}

func TestSettlementPassesOverALaneThatIsBeingAppendedTo(t *testing.T) {
	c := &clock{}
	b := box{everything(outbox.Config{}), t, storetest.Postgres(t, c.option()), c}
	owe(t, b.db, b.Outbox, "o1", "a")
	owe(t, b.db, b.Outbox, "o2", "b")
	claims := b.claim("n1", 10, 2)
	b.do(func(ctx context.Context, tx *store.Tx) error {
		if err := b.Append(ctx, tx, event("c", "o1")); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `SELECT 1`); err != nil { // an append travels with the statement after it
			return err
		}
		busy, lost := b.settle(done(claims[0], 1), done(claims[1], 1)) // another transaction
		if len(busy) != 1 || busy[0].Lane != "o1" || len(lost) != 0 {
			t.Errorf("busy %+v, lost %+v, want o1 busy", busy, lost)
		}
		return nil
	})
	if busy, _ := b.settle(done(claims[0], 1)); len(busy) != 0 || b.lane("o1").Owed != 1 || b.lane("o2").Owed != 0 {
		t.Errorf("busy %+v, %+v", busy, b.lane("o1"))
	}
}

func TestUrgentNormalAndBackgroundShareTheRoom(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		out := outbox.New([]outbox.Route{
			{Kinds: []string{"urgent"}, Link: "erp", Priority: 9}, {Kinds: []string{"normal"}, Link: "erp"}, {Kinds: []string{"slow"}, Link: "erp", Priority: -3},
		}, "urn:p", outbox.Config{})
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			for _, kind := range []string{"slow", "normal", "urgent"} {
				for i := range 20 {
					m := event(fmt.Sprintf("%s%d", kind, i), fmt.Sprintf("%s%d", kind, i))
					if m.Kind = kind; kind == "urgent" && i >= 12 {
						continue
					}
					if err := out.Append(t.Context(), tx, m); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		take := func() map[string]int {
			got := map[string]int{}
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				claims, err := out.Claim(t.Context(), tx, "n1", "erp", 10, 1)
				for _, c := range claims {
					got[c.Messages[0].Kind]++
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		want := []map[string]int{{"urgent": 6, "normal": 3, "slow": 1}, {"urgent": 6, "normal": 3, "slow": 1}, {"normal": 9, "slow": 1}, {"normal": 5, "slow": 5}}
		for i, w := range want {
			if got := take(); !cmp.Equal(got, w) {
				t.Errorf("claim %d: got %v, want %v", i, got, w)
			}
		}
	})
}

func TestClaimReadsItsIndex(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		for i := range 300 {
			owe(t, b.db, b.Outbox, fmt.Sprintf("o%d", i), fmt.Sprintf("e%d", i))
		}
		for range 3 {
			for _, c := range b.claim("n1", 90, 1) {
				b.settle(done(c, 1))
			}
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			if b.db.Dialect() == store.Postgres {
				for _, s := range []string{`ANALYZE outbox_lanes`, `SET LOCAL enable_seqscan = off`, `SET LOCAL enable_sort = off`} {
					if _, err := tx.Exec(ctx, s); err != nil { // so small a table is not worth its best index
						return err
					}
				}
			}
			lines, err := b.Plan(ctx, tx, "erp", 32)
			plan := strings.Join(lines, "\n")
			if got := strings.Count(plan, "outbox_lanes_due"); got != 6 || strings.Contains(plan, "SCAN outbox_lanes") || strings.Contains(plan, "Seq Scan") {
				t.Errorf("plan:\n%s", plan)
			}
			return err
		})
	})
}
