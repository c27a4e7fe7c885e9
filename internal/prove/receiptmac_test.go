package prove_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/prove"
	"holdfast/internal/store"
)

// confirm settles all that is owed as what a broker confirms, which is one receipt for each lane.
func (w laneWorld) confirm() {
	w.t.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		claims, err := w.out.Claim(ctx, tx, "n1", "erp", 100, 10)
		if err != nil {
			return err
		}
		var all []outbox.Settlement
		for _, c := range claims {
			s := outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, SentTo: c.Messages[len(c.Messages)-1].Number}
			for _, q := range c.Messages {
				s.Done = append(s.Done, outbox.Done{
					ID: q.ID, Epoch: q.Epoch, Number: q.Number, Role: q.Role, SentWith: "all@1", Sent: true,
					Receipt: message.Receipt{Kind: "confirmed", Status: 200, At: time.Unix(1_800_000_002, 0)},
				})
			}
			all = append(all, s)
		}
		_, _, err = w.out.Settle(ctx, tx, "erp", all)
		return err
	})
}

// file files what is settled.
func (w laneWorld) file() {
	w.t.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		_, _, err := w.out.File(ctx, tx, w.db.Now().Add(time.Hour), 100)
		return err
	})
}

// answer keeps what the ERP says of message n of a lane once it is delivered.
func (w laneWorld) answer(lane string, n int, kind, text string) {
	w.t.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		return w.out.Answer(ctx, tx, message.Message{
			ID: fmt.Sprintf("%s-%s-%d", kind, lane, n), Kind: kind, Time: time.Unix(1_800_000_003, 0).UTC(), Place: message.Place{Link: "erp"},
			Body: fmt.Appendf(nil, `{"message":%q,%s}`, outbox.MessageID("erp", fmt.Sprintf("%s-%d", lane, n)), text),
		})
	})
}

// names tells whether a lane is broken at a number.
func names(broken []prove.Chain, lane string, number int64) bool {
	return slices.ContainsFunc(broken, func(c prove.Chain) bool {
		return c.Lane == lane && slices.ContainsFunc(c.Wrong, func(d prove.Defect) bool { return d.Number == number })
	})
}

// forgedReceipt says of an owed message that a broker has confirmed it, as the plant would.
const forgedReceipt = `INSERT INTO outbox_receipts (link, lane, epoch, first_number, last_number, sent_with, doc_kind, status, answered, settled_at)
	SELECT link, lane, epoch, number, number, 'all@1', 'confirmed', 200, '', 1800000000000000 FROM outbox_messages WHERE lane = 'o4'`

// moved puts an owed message to those that are delivered.
const moved = `INSERT INTO outbox_delivered (link, lane, epoch, number, id, event, source, kind, version, key, time, body, large, creates, cause, trace, mapping, prev,
	role, refers, digest, created_at, attempts, redelivery, sealed, signature, sends, settled_at, sent_with, document, doc_kind, answer, status, answered, asked)
	SELECT link, lane, epoch, number, id, event, source, kind, version, key, time, body, large, creates, cause, trace, mapping, prev,
	role, refers, digest, created_at, attempts, redelivery, sealed, signature, 1, 1800000000000000, 'all@1', '', '', NULL, 200, '', FALSE FROM outbox_messages WHERE lane = 'o4'`

// TestAReceiptIsWhatThePlantWrote: whoever can write the database can say nothing of a delivery that is believed, nor that there was one.
func TestAReceiptIsWhatThePlantWrote(t *testing.T) {
	const cold, run = "outbox_delivered", "outbox_receipts"
	set := func(table, lane, column, value string) string {
		return fmt.Sprintf("UPDATE %s SET %s = %s WHERE lane = '%s'", table, column, value, lane)
	}
	past := "UPDATE outbox_lanes SET pending = 0, head = next_number WHERE lane = 'o4'"
	of := func(lane, column string) string {
		return "(SELECT " + column + " FROM outbox_delivered WHERE lane = '" + lane + "')"
	}
	tests := []struct {
		name    string
		lane    string
		changes []string
	}{
		{"number", "o1", []string{set(cold, "o1", "document", "'4900000000'")}},
		{"no number", "o1", []string{set(cold, "o1", "document", "''")}},
		{"kind", "o1", []string{set(cold, "o1", "doc_kind", "'other'")}},
		{"answer", "o1", []string{set(cold, "o1", "answer", of("o2", "answer"))}},
		{"answer cut", "o1", []string{set(cold, "o1", "answer", "substr(answer, 2)")}},
		{"answer in plain text", "o1", []string{set(cold, "o1", "answer", "'{}'"), set(cold, "o1", "answer_sealed", "0")}},
		{"no answer", "o1", []string{set(cold, "o1", "answer", "NULL")}},
		{"no answer, as if there had been none", "o1", []string{set(cold, "o1", "answer", "NULL"), set(cold, "o1", "answer_sealed", "0")}},
		{"an answer where there was none", "o3", []string{set(cold, "o3", "answer", "'{}'")}},
		{"an answer where there was none, altered", "o3", []string{set(cold, "o3", "answer", "'{}'"), set(cold, "o3", "answer_sealed", "1")}},
		{"epoch of the answer", "o1", []string{set(cold, "o1", "answer_sealed", "answer_sealed + 1")}},
		{"status", "o1", []string{set(cold, "o1", "status", "200")}},
		{"when it was answered", "o1", []string{set(cold, "o1", "answered", "'2030-01-01T00:00:00Z'")}},
		{"not answered", "o1", []string{set(cold, "o1", "answered", "''")}},
		{"asked", "o1", []string{set(cold, "o1", "asked", "TRUE")}},
		{"signed receipt", "o1", []string{set(cold, "o1", "signed_receipt", "signed_receipt || 'x'")}},
		{"no signed receipt", "o1", []string{set(cold, "o1", "signed_receipt", "''")}},
		{"sent with", "o1", []string{set(cold, "o1", "sent_with", "'all@2'")}},
		{"settled", "o1", []string{set(cold, "o1", "settled_at", "settled_at - 1")}},
		{"never settled", "o1", []string{set(cold, "o1", "settled_at", "0")}},
		{"refused", "o1", []string{set(cold, "o1", "refused", "'no'")}},
		{"not refused", "o6", []string{set(cold, "o6", "refused", "''")}},
		{"refused for another reason", "o6", []string{set(cold, "o6", "refused", "'so'")}},
		{"delivered again", "o1", []string{set(cold, "o1", "redelivery", "1")}},
		{"no MAC", "o1", []string{set(cold, "o1", "receipt_mac", "NULL")}},
		{"half a MAC", "o1", []string{set(cold, "o1", "receipt_mac", "substr(receipt_mac, 1, 20)")}},
		{"MAC of another", "o1", []string{set(cold, "o1", "receipt_mac", of("o2", "receipt_mac"))}},
		{"MAC of a run", "o1", []string{set(cold, "o1", "receipt_mac", of("o3", "receipt_mac"))}},
		{"all of another", "o1", []string{
			set(cold, "o1", "document", of("o2", "document")), set(cold, "o1", "answer", of("o2", "answer")), set(cold, "o1", "signed_receipt", of("o2", "signed_receipt")),
			set(cold, "o1", "settled_at", of("o2", "settled_at")), set(cold, "o1", "receipt_mac", of("o2", "receipt_mac")),
		}},
		{"filed run: status", "o3", []string{set(cold, "o3", "status", "201")}},
		{"filed run: number", "o3", []string{set(cold, "o3", "document", "'1'")}},
		{"filed run: asked", "o3", []string{set(cold, "o3", "asked", "TRUE")}},
		{"filed run: signed receipt", "o3", []string{set(cold, "o3", "signed_receipt", "'x'")}},
		{"filed run: refused", "o3", []string{set(cold, "o3", "refused", "'x'")}},
		{"filed run: settled", "o3", []string{set(cold, "o3", "settled_at", "settled_at + 1")}},
		{"filed run: no MAC", "o3", []string{set(cold, "o3", "receipt_mac", "NULL")}},
		{"run: status", "o5", []string{set(run, "o5", "status", "201")}},
		{"run: kind", "o5", []string{set(run, "o5", "doc_kind", "'x'")}},
		{"run: sent with", "o5", []string{set(run, "o5", "sent_with", "'x'")}},
		{"run: answered", "o5", []string{set(run, "o5", "answered", "''")}},
		{"run: settled", "o5", []string{set(run, "o5", "settled_at", "settled_at + 1")}},
		{"run: no MAC", "o5", []string{set(run, "o5", "receipt_mac", "NULL")}},
		{"run removed", "o5", []string{"DELETE FROM outbox_receipts WHERE lane = 'o5'"}},
		{"the number that was told later", "o7", []string{set(cold, "o7", "document", "'1'")}},
		{"what a person has said", "o8", []string{set(cold, "o8", "document", "'1'")}},
		{"an owed message: a forged receipt", "o4", []string{forgedReceipt, past}},
		{"an owed message: the receipt of another", "o4", []string{
			"INSERT INTO outbox_receipts (link, lane, epoch, first_number, last_number, sent_with, doc_kind, status, answered, settled_at, receipt_mac)" +
				" SELECT link, 'o4', epoch, first_number, last_number, sent_with, doc_kind, status, answered, settled_at, receipt_mac FROM outbox_receipts WHERE lane = 'o5'", past,
		}},
		{"an owed message: moved", "o4", []string{moved, "DELETE FROM outbox_messages WHERE lane = 'o4'", past}},
		{"an owed message: moved with the MAC of another", "o4", []string{
			moved, set(cold, "o4", "receipt_mac", of("o3", "receipt_mac")), "DELETE FROM outbox_messages WHERE lane = 'o4'", past,
		}},
	}
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.seals()
		w.by.MACs = true
		w.owe("o1", 1)
		w.owe("o2", 1)
		w.deliver(1)
		for _, lane := range []string{"o3", "o6", "o7"} {
			w.owe(lane, 1)
		}
		w.confirm()
		w.file()
		w.answer("o6", 1, outbox.RefusalKind, `"text":"period closed"`)
		w.answer("o7", 1, outbox.RefusalKind, `"text":"period closed"`)
		w.answer("o7", 1, outbox.ReceiptKind, `"document":"4711","kind":"confirmation"`)
		w.owe("o5", 1)
		w.confirm()
		w.owe("o8", 1)
		w.marked("o8", "4712")
		w.owe("o4", 1)
		all, broken := w.after(t)
		if len(all) != 8 || len(broken) != 0 {
			t.Fatalf("got %+v, want eight whole lanes", all)
		}
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				if _, broken := w.after(t, tt.changes...); !names(broken, tt.lane, 1) {
					t.Errorf("got %+v, want lane %s broken at number 1", broken, tt.lane)
				}
			})
		}
	})
}

// marked has a person say that the first message of a lane is delivered, by a command.
func (w laneWorld) marked(lane, document string) {
	w.t.Helper()
	var id string
	w.do(func(ctx context.Context, tx *store.Tx) error {
		claims, err := w.out.Claim(ctx, tx, "n1", "erp", 100, 10)
		if err != nil {
			return err
		}
		id = claims[0].Messages[0].ID
		_, _, err = w.out.Settle(ctx, tx, "erp", []outbox.Settlement{{
			Lane: lane, Token: claims[0].Token, Release: true, SentTo: 1, Next: outbox.Next{State: outbox.Unknown, ID: id, Reason: "no answer"},
		}})
		return err
	})
	w.do(func(ctx context.Context, tx *store.Tx) error {
		if err := audit.BeginMACs(ctx, tx, "n1", nil); err != nil {
			return err
		}
		command := outbox.New(nil, "urn:plant:1000", outbox.Config{})
		return command.MarkDelivered(ctx, tx, id, document, "seen there")
	})
}

// TestWhatWasAlteredStaysBroken: what the ERP says of it later, and a shredding, make it no better; what was not is whole after either.
func TestWhatWasAlteredStaysBroken(t *testing.T) {
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.seals()
		w.by.MACs = true
		for _, lane := range []string{"o1", "o2"} {
			w.owe(lane, 1)
		}
		w.deliver(1)
		w.owe("o3", 1)
		w.owe("o4", 1)
		w.confirm()
		w.file()
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE outbox_delivered SET status = 418 WHERE lane IN ('o2', 'o4')")
			return err
		})
		w.answer("o3", 1, outbox.ReceiptKind, `"document":"4711"`)
		w.answer("o4", 1, outbox.ReceiptKind, `"document":"4712"`)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			for _, lane := range []string{"o1", "o2"} {
				if _, err := w.out.Shred(ctx, tx, "erp", lane); err != nil {
					return err
				}
			}
			return nil
		})
		_, broken := w.after(t)
		if len(broken) != 2 || !names(broken, "o2", 1) || !names(broken, "o4", 1) {
			t.Errorf("got %+v, want o2 and o4 broken, which were altered", broken)
		}
	})
}

// TestReceiptsOfOldAreNamed: a receipt from before there were MACs is no defect, if its message is that old by what is signed.
func TestReceiptsOfOldAreNamed(t *testing.T) {
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 1)
		w.deliver(1)
		w.seals()
		w.placed()
		w.owe("o2", 1)
		w.owe("o3", 1)
		w.deliver(1)
		w.since()
		all, broken := w.after(t, "UPDATE outbox_delivered SET settled_at = settled_at WHERE lane = 'o1'")
		if len(broken) != 0 || all[0].NoMAC != 1 || all[1].NoMAC != 0 {
			t.Errorf("got %+v, want all whole, and of o1 that its receipt has no MAC", all)
		}
		if _, broken := w.after(t, "UPDATE outbox_delivered SET receipt_mac = NULL, created_at = 1 WHERE lane = 'o2'"); !names(broken, "o2", 1) {
			t.Errorf("got %+v, want o2 broken, which is not that old", broken)
		}
		for _, change := range []string{
			"DELETE FROM audit_entries WHERE action = 'audit.macs'",
			"UPDATE audit_entries SET new = '{}' WHERE action = 'audit.macs'",
			"UPDATE audit_entries SET at = at + 3600000000 WHERE action = 'audit.macs'",
			"UPDATE audit_entries SET action = 'receipts.macs' WHERE action = 'audit.macs'",
		} {
			guards := []string{"DROP TRIGGER audit_entries_keep", "DROP TRIGGER audit_entries_stay", change}
			if w.db.Dialect() == store.Postgres {
				guards = []string{"ALTER TABLE audit_entries DISABLE TRIGGER USER", change}
			}
			err := w.db.InTx(t.Context(), func(tx *store.Tx) error {
				for _, statement := range guards {
					if _, err := tx.Exec(t.Context(), statement); err != nil {
						return err
					}
				}
				since, is, err := audit.ReceiptsSince(t.Context(), tx)
				if !is || !since.IsZero() {
					t.Errorf("%s: since %v (%v), want that no receipt without a MAC is excused", change, since, is)
				}
				return errors.Join(err, errUndo)
			})
			if !errors.Is(err, errUndo) {
				t.Error(err)
			}
		}
	})
}

// TestReceiptsBeginLaterThanEntries in a plant whose record had MACs before its receipts had.
func TestReceiptsBeginLaterThanEntries(t *testing.T) {
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 1)
		w.deliver(1)
		w.seals()
		w.do(func(ctx context.Context, tx *store.Tx) error { return audit.BeginMACs(ctx, tx, "n1", nil) })
		if w.since(); w.by.MACs {
			t.Error("receipts have MACs before anybody said so")
		}
		before := w.db.Now().Truncate(time.Microsecond)
		for range 2 {
			w.do(func(ctx context.Context, tx *store.Tx) error {
				return audit.BeginReceipts(ctx, tx, "n1", w.out.BeginMACs)
			})
			if w.since(); !w.by.MACs || w.by.Since.Before(before) {
				t.Errorf("since %v (%v), want since it was said", w.by.Since, w.by.MACs)
			}
		}
		if all, broken := w.after(t); len(broken) != 0 || all[0].NoMAC != 1 {
			t.Errorf("got %+v, want the lane whole, with one receipt without a MAC", all)
		}
	})
}

// placed has the audit record begin with MACs, and say since when receipts have some.
func (w laneWorld) placed() {
	w.t.Helper()
	tree := audit.NewTree(w.db, "record", "a", audit.Config{Lanes: w.out.Moved, Receipts: w.out.BeginMACs}, slog.New(slog.DiscardHandler))
	if _, err := tree.Seal(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// since has the world check by what the audit record says.
func (w *laneWorld) since() {
	w.t.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) (err error) {
		w.by.Since, w.by.MACs, err = audit.ReceiptsSince(ctx, tx)
		return err
	})
}

// TestAForgedReceiptRaisesAnAlarmOnce: a running plant finds it by itself, of what was closed lately and of what was long before; what is from before receipts
// had MACs, and what nobody has altered, raises none.
func TestAForgedReceiptRaisesAnAlarmOnce(t *testing.T) {
	eachLaneWorld(t, func(t *testing.T, w laneWorld) {
		w.owe("o1", 1)
		w.deliver(1)
		w.seals()
		w.placed()
		for _, lane := range []string{"o2", "o3", "o4"} {
			w.owe(lane, 1)
		}
		w.deliver(1)
		w.since()
		alarms := &raisedOn{}
		w.out.AlarmWith(alarms)
		look := func() {
			t.Helper()
			if _, err := w.out.TellForged(t.Context(), w.db); err != nil {
				t.Fatal(err)
			}
		}
		look()
		look()
		if len(alarms.lanes) != 0 {
			t.Errorf("alarms of %v, want none of what nobody has altered", alarms.lanes)
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE outbox_delivered SET document = '4711' WHERE lane = 'o2'")
			_, other := tx.Exec(ctx, "UPDATE outbox_delivered SET receipt_mac = NULL, created_at = 1 WHERE lane = 'o3'")
			return errors.Join(err, other)
		})
		want := []string{"message.altered lane/erp/o2", "message.altered lane/erp/o3"}
		if w.db.Dialect() == store.SQLite { // which keeps it; what cannot be read hides none beside it
			w.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, "UPDATE outbox_delivered SET status = 'x' WHERE lane = 'o4'")
				return err
			})
			want = append(want, "message.altered lane/erp/o4")
		}
		look()
		look()
		slices.Sort(alarms.lanes)
		if !slices.Equal(alarms.lanes, want) {
			t.Errorf("alarms of %v, want %v, once", alarms.lanes, want)
		}
	})
}

// raisedOn remembers alarms.
type raisedOn struct{ lanes []string }

func (r *raisedOn) Raise(_ context.Context, tx *store.Tx, name, object string, _ error) error {
	tx.AfterCommit(func() { r.lanes = append(r.lanes, name+" "+object) })
	return nil
}
