package prove_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// laneWorld is a plant with keys of its own whose lanes are delivered to an ERP that signs receipts.
type laneWorld struct {
	t   *testing.T
	db  *store.DB
	out *outbox.Outbox
	by  prove.Checks
}

func eachLaneWorld(t *testing.T, test func(t *testing.T, w laneWorld)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		safe := seal.NewSafe(t.TempDir(), "correct horse", 10)
		if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
			t.Fatal(err)
		}
		node := seal.NodeURI("urn:plant:1000", "a")
		from := seal.NewLocal(safe, node, time.Hour, time.Now)
		ring, err := seal.OpenRing(t.Context(), db, from, nil, node, seal.RingConfig{}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		w := laneWorld{t, db, outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "all"}}, "urn:plant:1000", outbox.Config{}), prove.Checks{}}
		w.out.SignWith(ring)
		trust, err := ring.Trust(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		w.by = prove.Checks{
			Origin: func(m message.Message) error { _, err := trust.Genuine(m); return err },
			Receipt: func(_ context.Context, _, signed string, of message.Receipted) error {
				if signed != receiptOf(of) {
					return &problem.Error{Kind: problem.Integrity, Why: "it is not what the ERP has signed"}
				}
				return nil
			},
		}
		test(t, w)
	})
}

// receiptOf is what the ERP signs.
func receiptOf(of message.Receipted) string {
	return "signed:" + of.ID + ":" + of.Digest + ":" + of.Document
}

func (w laneWorld) do(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	if err := w.db.InTx(w.t.Context(), func(tx *store.Tx) error { return fn(w.t.Context(), tx) }); err != nil {
		w.t.Fatal(err)
	}
}

// owe appends n events to a lane.
func (w laneWorld) owe(lane string, n int) {
	w.t.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			if err := w.out.Append(ctx, tx, w.event(lane, i+1)); err != nil {
				return err
			}
		}
		return nil
	})
}

// event is the nth of a lane.
func (laneWorld) event(lane string, n int) message.Message {
	return message.Message{
		ID: fmt.Sprintf("%s-%d", lane, n), Kind: "operation.confirmed", Version: 1, Key: lane, Time: time.Unix(1_800_000_000, 0),
		Body: fmt.Appendf(nil, `{"piece":%d}`, n), Cause: "because", Creates: "lot/" + lane, Place: message.Place{Role: message.Event},
	}
}

// deliver settles the first n messages of each lane.
func (w laneWorld) deliver(n int) {
	w.t.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		claims, err := w.out.Claim(ctx, tx, "n1", "erp", 100, 10)
		if err != nil {
			return err
		}
		var all []outbox.Settlement
		for _, c := range claims {
			s := outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, SentTo: int64(n)}
			for _, q := range c.Messages[:min(n, len(c.Messages))] {
				of := message.Receipted{ID: q.ID, Digest: q.Digest(), Document: "49" + q.ID[:4]}
				s.Done = append(s.Done, outbox.Done{
					ID: q.ID, Epoch: q.Epoch, Number: q.Number, Redelivery: q.Redelivery, Role: q.Role, SentWith: "all@1", Sent: true,
					Receipt: message.Receipt{Document: of.Document, Status: 201, Answer: []byte(`{"ok":true}`), At: time.Unix(1_800_000_001, 0), Signed: receiptOf(of)},
				})
			}
			all = append(all, s)
		}
		_, _, err = w.out.Settle(ctx, tx, "erp", all)
		return err
	})
}

var errUndo = errors.New("undo it")

// after is every lane that is not whole after a change behind Holdfast's back, which is undone again.
func (w laneWorld) after(t *testing.T, statements ...string) (all, broken []prove.Chain) {
	t.Helper()
	err := w.db.InTx(t.Context(), func(tx *store.Tx) error {
		for _, s := range statements {
			if n, err := tx.Exec(t.Context(), s); err != nil || n == 0 {
				t.Fatalf("%s: %d rows, %v", s, n, err)
			}
		}
		all, broken = nil, nil
		ends, err := w.out.Ends(t.Context(), tx, "", "")
		if err != nil {
			return err
		}
		for _, e := range ends {
			c, err := prove.Check(t.Context(), tx, w.out, e, w.by)
			if err != nil {
				return err
			}
			if all = append(all, c); c.State != prove.Whole {
				broken = append(broken, c)
			}
		}
		return errUndo
	})
	if !errors.Is(err, errUndo) {
		t.Fatal(err)
	}
	return all, broken
}

func TestALaneIsWholeUntilSomebodyChangesIt(t *testing.T) {
	const cold, hot, lane = "outbox_delivered", "outbox_messages", "outbox_lanes"
	set := func(table, column, value string, number int) string {
		where := fmt.Sprintf(" WHERE lane = 'o1' AND number = %d", number)
		if table == lane {
			where = " WHERE lane = 'o1'"
		}
		return "UPDATE " + table + " SET " + column + " = " + value + where
	}
	tests := []struct {
		name   string
		change string
		number int64
	}{
		{"ID", set(cold, "id", "id || 'x'", 2), 2},
		{"source", set(cold, "source", "source || 'x'", 2), 2},
		{"kind", set(cold, "kind", "'goods.issued'", 2), 2},
		{"version", set(cold, "version", "2", 2), 2},
		{"key", set(cold, "key", "'o9'", 2), 2},
		{"time", set(cold, "time", "'2030-01-01T00:00:00Z'", 2), 2},
		{"body", set(cold, "body", "(SELECT body FROM outbox_delivered WHERE lane = 'o1' AND number = 1)", 2), 2},
		{"what it creates", set(cold, "creates", "''", 2), 2},
		{"cause", set(cold, "cause", "''", 2), 2},
		{"predecessor", set(cold, "prev", "''", 2), 2},
		{"role", set(cold, "role", "'void'", 2), 2},
		{"original", set(cold, "refers", "digest", 2), 2},
		{"digest", set(cold, "digest", "prev", 2), 2},
		{"signature", set(cold, "signature", "(SELECT signature FROM outbox_delivered WHERE lane = 'o1' AND number = 1)", 2), 2},
		{"no signature", set(cold, "signature", "NULL", 2), 2},
		{"epoch of a message", set(cold, "epoch", "2", 2), 2},
		{"number of a message", set(cold, "number", "9", 2), 2},
		{"lane of a message", set(cold, "lane", "'o2'", 2), 2},
		{"link of a message", set(cold, "link", "'other'", 2), 2},
		{"receipt", set(cold, "signed_receipt", "signed_receipt || 'x'", 2), 2},
		{"receipt of another", set(cold, "signed_receipt", "(SELECT signed_receipt FROM outbox_delivered WHERE lane = 'o1' AND number = 1)", 2), 2},
		{"document that the receipt names", set(cold, "document", "'4900000000'", 2), 2},
		{"event", set(cold, "event", "event || 'x'", 2), 2},
		{"owed: event", set(hot, "event", "event || 'x'", 4), 4},
		{"owed: body", set(hot, "body", "(SELECT body FROM outbox_delivered WHERE lane = 'o1' AND number = 1)", 4), 4},
		{"owed: digest", set(hot, "digest", "prev", 4), 4},
		{"owed: number", set(hot, "number", "7", 4), 4},
		{"next number of the lane", set(lane, "next_number", "next_number + 1", 0), 6},
		{"next number, back", set(lane, "next_number", "next_number - 1", 0), 5},
		{"epoch of the lane", set(lane, "epoch", "2", 0), 5},
		{"end of the lane", set(lane, "last_digest", "''", 0), 5},
		{"the lane removed", "DELETE FROM outbox_lanes WHERE lane = 'o1'", 5},
		{"the first removed", "DELETE FROM outbox_delivered WHERE lane = 'o1' AND number = 1", 1},
		{"one in the middle removed", "DELETE FROM outbox_delivered WHERE lane = 'o1' AND number = 2", 2},
		{"the lane moved past what is owed", set(lane, "head", "head + 1", 0), 4},
		{"the lane moved past all that is owed", set(lane, "pending", "0", 0), 5},
		{"the lane's head in a later epoch", set(lane, "head_epoch", "2", 0), 4},
		{"the last removed", "DELETE FROM outbox_messages WHERE lane = 'o1' AND number = 5", 5},
		{"all that were delivered removed", "DELETE FROM outbox_delivered WHERE lane = 'o1'", 1},
		{"what an amended one was", "UPDATE outbox_events SET body = (SELECT body FROM outbox_delivered WHERE lane = 'o1' AND number = 1) WHERE what = 'amended'", 4},
		{"that it was amended", "DELETE FROM outbox_events WHERE what = 'amended'", 4},
		{"what a void was", "UPDATE outbox_events SET digest = 'x' WHERE what = 'voided'", 5},
		{"signature of what a void was", "UPDATE outbox_events SET signature = (SELECT signature FROM outbox_events WHERE what = 'amended') WHERE what = 'voided'", 5},
		{"a byte too many in the signature of what a void was", "UPDATE outbox_events SET signature = signature || 'x' WHERE what = 'voided'", 5},
		{"no signature of what a void was", "UPDATE outbox_events SET signature = NULL WHERE what = 'voided'", 5},
	}
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 5)
		w.owe("o2", 1)
		w.deliver(3)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(
				w.out.Amend(ctx, tx, outbox.MessageID("erp", "o1-4"), []byte(`{"piece":44}`), "typo"),
				w.out.Discard(ctx, tx, outbox.MessageID("erp", "o1-5"), "not wanted"),
			)
		})
		all, broken := w.after(t)
		if len(all) != 2 || len(broken) != 0 || all[0].Signed != 5 || all[0].Vouched != 3 || all[0].Last != 5 {
			t.Fatalf("got %+v, want two whole lanes", all)
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				_, broken := w.after(t, tt.change)
				names := func(c prove.Chain) bool {
					return c.Lane == "o1" && slices.ContainsFunc(c.Wrong, func(d prove.Defect) bool { return d.Number == tt.number })
				}
				if !slices.ContainsFunc(broken, names) {
					t.Errorf("got %+v, want lane o1 broken at number %d", broken, tt.number)
				}
			})
		}
	})
}

// TestADiscardThatWasUndoneIsProvenToo: under its own number with all that it was in between, or, where that number was closed, as a void and
// what is owed under a new one, each in its place.
func TestADiscardThatWasUndoneIsProvenToo(t *testing.T) {
	const anew = "outbox_messages"
	id := outbox.MessageID("erp", "o1-2")
	set := func(table, column, value string, number int) string {
		return fmt.Sprintf("UPDATE %s SET %s = %s WHERE lane = 'o1' AND number = %d", table, column, value, number)
	}
	history := func(what string) string {
		return what + " WHERE id = '" + outbox.MessageID("erp", "o1-3") + "' AND seq = "
	}
	tests := []struct {
		name   string
		change string
		number int64
	}{
		{"the void removed", "DELETE FROM outbox_delivered WHERE lane = 'o1' AND number = 2", 2},
		{"the void made an event", set("outbox_delivered", "role", "'event'", 2), 2},
		{"the void's reason", set("outbox_delivered", "body", "(SELECT body FROM outbox_delivered WHERE lane = 'o1' AND number = 1)", 2), 2},
		{"what was discarded", "UPDATE outbox_events SET body = (SELECT body FROM outbox_delivered WHERE lane = 'o1' AND number = 1) WHERE what = 'voided' AND id = '" + id + "'", 2},
		{"that it was discarded", "DELETE FROM outbox_events WHERE what = 'voided' AND id = '" + id + "'", 2},
		{"owed anew: removed", "DELETE FROM outbox_messages WHERE lane = 'o1' AND number = 5", 5},
		{"owed anew: its cause", set(anew, "cause", "'another'", 5), 5},
		{"owed anew: body", set(anew, "body", "(SELECT body FROM outbox_delivered WHERE lane = 'o1' AND number = 1)", 5), 5},
		{"owed anew: number", set(anew, "number", "6", 5), 5},
		{"owed anew: predecessor", set(anew, "prev", "refers", 5), 5},
		{"owed anew: signature", set(anew, "signature", "(SELECT signature FROM outbox_delivered WHERE lane = 'o1' AND number = 1)", 5), 5},
		{"in its place: body", set("outbox_delivered", "body", "(SELECT body FROM outbox_delivered WHERE lane = 'o1' AND number = 1)", 3), 3},
		{"in its place: what it was at first", history("UPDATE outbox_events SET digest = 'x'") + "1", 3},
		{"in its place: the void in between", history("UPDATE outbox_events SET body = (SELECT body FROM outbox_delivered WHERE lane = 'o1' AND number = 1)") + "2", 3},
		{"in its place: the void's signature", history("UPDATE outbox_events SET signature = NULL") + "2", 3},
		{"in its place: the void said to be nothing", history("UPDATE outbox_events SET digest = ''") + "2", 3},
		{"in its place: the first part of its history removed", history("DELETE FROM outbox_events") + "1", 3},
		{"in its place: the void removed", history("DELETE FROM outbox_events") + "2", 3},
		{"in its place: the last part of its history removed", history("DELETE FROM outbox_events") + "3", 3},
		{"in its place: the last two parts removed", history("DELETE FROM outbox_events") + "2 OR id = '" + outbox.MessageID("erp", "o1-3") + "' AND seq = 3", 3},
	}
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 4)
		undo := func(ctx context.Context, tx *store.Tx, event string) error {
			_, err := w.out.Undiscard(ctx, tx, outbox.MessageID("erp", event), "it is wanted")
			return err
		}
		for _, change := range []func(ctx context.Context, tx *store.Tx) error{
			func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(w.out.Discard(ctx, tx, outbox.MessageID("erp", "o1-2"), "not wanted"), w.out.Discard(ctx, tx, outbox.MessageID("erp", "o1-3"), "not wanted"))
			},
			func(ctx context.Context, tx *store.Tx) error { return undo(ctx, tx, "o1-3") },
			func(ctx context.Context, tx *store.Tx) error {
				return w.out.Amend(ctx, tx, outbox.MessageID("erp", "o1-3"), []byte(`{"piece":33}`), "typo")
			},
		} {
			w.do(change)
		}
		w.deliver(4)
		w.do(func(ctx context.Context, tx *store.Tx) error { return undo(ctx, tx, "o1-2") })
		all, broken := w.after(t)
		if len(all) != 1 || len(broken) != 0 || all[0].Last != 5 || all[0].Messages != 5 || all[0].Signed != 5 {
			t.Fatalf("got %+v, want a whole lane of five", all)
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				_, broken := w.after(t, tt.change)
				if len(broken) != 1 || !slices.ContainsFunc(broken[0].Wrong, func(d prove.Defect) bool { return d.Number == tt.number }) {
					t.Errorf("got %+v, want the lane broken at number %d", broken, tt.number)
				}
			})
		}
		w.deliver(1)
		if all, broken := w.after(t); len(broken) != 0 || all[0].Receipts != 4 {
			t.Errorf("once it is delivered: got %+v, want the lane whole with four receipts", all)
		}
	})
}

// seals has what the plant keeps sealed from now on.
func (w laneWorld) seals() {
	w.t.Helper()
	safe := seal.NewSafe(w.t.TempDir(), "correct horse", 10)
	if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
		w.t.Fatal(err)
	}
	begin := func(context.Context, *store.Tx) (bool, bool, error) { return true, true, nil }
	keys := seal.NewLocal(safe, seal.NodeURI("urn:plant:1000", "a"), time.Hour, time.Now)
	rest, err := seal.OpenRest(w.t.Context(), w.db, keys, seal.RestConfig{Now: w.db.Now, Begin: begin}, slog.New(slog.DiscardHandler))
	if err != nil {
		w.t.Fatal(err)
	}
	w.db.SealWith(rest)
}

// TestWhatACommandChangedIsProvenToo: a command has no key to sign with. What it changes is signed before it leaves, and what it changed once more
// before that never is: the seal and the audit record hold that the plant wrote it.
func TestWhatACommandChangedIsProvenToo(t *testing.T) {
	of := func(n int) string { return outbox.MessageID("erp", fmt.Sprintf("o1-%d", n)) }
	part := func(set string, n, seq int) string {
		return fmt.Sprintf("UPDATE outbox_events SET %s WHERE id = '%s' AND seq = %d", set, of(n), seq)
	}
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.seals()
		w.owe("o1", 3)
		command := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "all"}}, "urn:plant:1000", outbox.Config{})
		for _, change := range []func(ctx context.Context, tx *store.Tx) error{
			func(ctx context.Context, tx *store.Tx) error {
				return command.Amend(ctx, tx, of(2), []byte(`{"piece":22}`), "typo")
			},
			func(ctx context.Context, tx *store.Tx) error {
				return command.Amend(ctx, tx, of(2), []byte(`{"piece":23}`), "typo")
			},
			func(ctx context.Context, tx *store.Tx) error {
				return command.Discard(ctx, tx, of(3), "not wanted")
			},
			func(ctx context.Context, tx *store.Tx) error {
				_, err := command.Undiscard(ctx, tx, of(3), "it is wanted")
				return err
			},
		} {
			w.do(change)
		}
		if all, broken := w.after(t); len(broken) != 0 || all[0].Signed != 1 {
			t.Errorf("while it is owed: got %+v, want the lane whole with one signature", all)
		}
		w.broken(t, "UPDATE outbox_messages SET signature = NULL WHERE number = 1", 1)
		w.broken(t, "UPDATE outbox_messages SET sealed = 0, body = '{}' WHERE number = 3", 3)
		w.deliver(3)
		if all, broken := w.after(t); len(broken) != 0 || all[0].Signed != 3 {
			t.Errorf("once it is delivered: got %+v, want the lane whole with three signatures", all)
		}
		w.broken(t, "UPDATE outbox_delivered SET signature = NULL WHERE number = 3", 3)
		w.broken(t, part("signature = NULL", 2, 1), 2)
		w.broken(t, part("sealed = 0, body = '{\"piece\":22}'", 2, 2), 2)
		w.broken(t, part("at = at + 1", 2, 1), 2)
	})
}

// broken wants the lane broken at a number after a change behind Holdfast's back.
func (w laneWorld) broken(t *testing.T, change string, number int64) {
	t.Helper()
	_, broken := w.after(t, change)
	if len(broken) != 1 || !slices.ContainsFunc(broken[0].Wrong, func(d prove.Defect) bool { return d.Number == number }) {
		t.Errorf("%s: got %+v, want the lane broken at number %d", change, broken, number)
	}
}

func TestWhatIsPurgedForItsAgeIsNotMissed(t *testing.T) {
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 4)
		w.owe("o2", 1)
		w.deliver(2)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE outbox_delivered SET settled_at = 1")
			return err
		})
		w.do(func(ctx context.Context, tx *store.Tx) error { _, err := w.out.Purge(ctx, tx, 100); return err })
		all, broken := w.after(t)
		if len(all) != 2 || len(broken) != 0 || all[0].First != 3 || all[1].First != 0 {
			t.Errorf("got %+v, want both lanes whole, the first from number 3 on", all)
		}
		if _, broken := w.after(t, "DELETE FROM outbox_messages WHERE lane = 'o1' AND number = 3"); len(broken) != 1 {
			t.Errorf("one removed after a purge: got %+v, want the lane broken", broken)
		}
	})
}

// TestALaneOfATimeIsOneWithAMessageOfIt wherever in the lane that stands: an export of a month leaves no lane out because it went on afterwards.
func TestALaneOfATimeIsOneWithAMessageOfIt(t *testing.T) {
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 1)
		var before time.Time
		w.do(func(ctx context.Context, tx *store.Tx) error {
			before = tx.Now.Add(-time.Hour).Truncate(time.Microsecond)
			_, err := tx.Exec(ctx, `UPDATE outbox_messages SET created_at = ?`, store.Micros(before))
			return err
		})
		w.do(func(ctx context.Context, tx *store.Tx) error { return w.out.Append(ctx, tx, w.event("o1", 2)) })
		w.do(func(ctx context.Context, tx *store.Tx) error {
			c, there, err := prove.One(ctx, tx, w.out, "erp", "o1", w.by)
			if err != nil || !there {
				t.Fatal(there, err)
			}
			tests := []struct {
				from, to time.Time
				want     bool
			}{
				{time.Time{}, time.Time{}, true},
				{before, time.Time{}, true},
				{time.Time{}, before.Add(time.Second), true}, // it has gone on since
				{before, before.Add(time.Second), true},
				{before.Add(time.Second), before.Add(time.Minute), false}, // between its messages
				{time.Time{}, before, false},
				{tx.Now.Add(time.Hour), time.Time{}, false},
			}
			for _, tt := range tests {
				if got := c.MadeWithin(tt.from, tt.to); got != tt.want {
					t.Errorf("from %s to %s: %t, want %t", tt.from, tt.to, got, tt.want)
				}
			}
			if _, there, err := prove.One(ctx, tx, w.out, "erp", "nowhere", w.by); there || err != nil {
				t.Errorf("a lane that never was: there %t, %v", there, err)
			}
			return nil
		})
	})
}
