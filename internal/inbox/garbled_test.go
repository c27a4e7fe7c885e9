package inbox_test

import (
	"slices"
	"strings"
	"testing"

	"holdfast/internal/inbox"
	"holdfast/internal/store"
)

// TestAMessageThatCannotBeReadStopsItsLaneAlone: SQLite keeps a text in a column of numbers, and the claim, which reads all lanes at once, failed for
// ever. The message is in quarantine and holds its lane, the alarm is raised once, and it can be listed. PostgreSQL takes no such text.
func TestAMessageThatCannotBeReadStopsItsLaneAlone(t *testing.T) {
	alarms := &alarms{}
	each(t, inbox.Config{Alarm: alarms}, func(t *testing.T, w *world) {
		if w.db.Dialect() != store.SQLite {
			return // its columns are of numbers
		}
		want := map[string]inbox.State{}
		for _, column := range []string{"version", "attempts", "received_at", "settled_at", "sealed", "original_sealed"} {
			alarms.all = nil
			a, b, c := canary(column+"-a", "o1"+column), canary(column+"-b", "o1"+column), canary(column+"-c", "o2"+column)
			w.fresh(a, b, c)
			w.tx(func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), `UPDATE inbox_messages SET `+column+` = 'xx' WHERE id = ?`, a.ID)
				return err
			})
			w.drain()
			want[a.ID], want[b.ID], want[c.ID] = inbox.Quarantined, inbox.Ready, inbox.Done
			w.wantStates(want)
			if len(alarms.all) != 1 || !strings.HasPrefix(alarms.all[0], "message.altered inbound/") {
				t.Errorf("%s: raised %v, want one of the message", column, alarms.all)
			}
			seq := w.seq(a.ID)
			w.tx(func(tx *store.Tx) error {
				m, err := w.Message(t.Context(), tx, seq)
				if err != nil || !strings.Contains(m.Reason, "column "+column+" of it is no number") {
					t.Errorf("%s: it says %q, %v", column, m.Reason, err)
				}
				return w.Discard(t.Context(), tx, seq, "altered")
			})
			w.drain()
			want[a.ID], want[b.ID] = inbox.Discarded, inbox.Done
			w.wantStates(want)
		}
	})
}

// TestALaneThatCannotBeReadStopsItselfAlone: the same of what is kept of the lane.
func TestALaneThatCannotBeReadStopsItselfAlone(t *testing.T) {
	alarms := &alarms{}
	each(t, inbox.Config{Alarm: alarms}, func(t *testing.T, w *world) {
		if w.db.Dialect() != store.SQLite {
			return // its columns are of numbers
		}
		alarms.all = nil
		w.fresh(canary("a", "o1"), canary("b", "o2"))
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `UPDATE inbox_streams SET next_number = 'xx' WHERE stream = (SELECT stream FROM inbox_messages WHERE id = 'a')`)
			return err
		})
		w.drain()
		w.wantStates(map[string]inbox.State{"a": inbox.Ready, "b": inbox.Done})
		if len(alarms.all) != 1 || !slices.ContainsFunc(alarms.all, func(s string) bool { return strings.HasPrefix(s, "message.altered inbound-lane/") }) {
			t.Errorf("raised %v, want one of the lane", alarms.all)
		}
	})
}
