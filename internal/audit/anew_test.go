package audit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// writtenAnew is what makes a record look as if it had never been sealed.
func writtenAnew() []string {
	return []string{
		`UPDATE audit_entries SET actor = 'local:ben' WHERE seq = 2`, `DELETE FROM audit_entries WHERE seq = 3`, `UPDATE audit_entries SET old = NULL WHERE action = 'lanes.moved'`,
		`DELETE FROM audit_leaves`, `DELETE FROM audit_hashes`, `DELETE FROM audit_checkpoints`, `UPDATE audit_tree SET size = 0, until = 0`, `DELETE FROM audit_pending`,
		`INSERT INTO audit_pending (entry) SELECT seq FROM audit_entries`,
	}
}

// rearm has new entries wait for their places again.
func rearm(d store.Dialect) string {
	if d == store.Postgres {
		return `ALTER TABLE audit_entries ENABLE TRIGGER USER`
	}
	return `CREATE TRIGGER audit_entries_added AFTER INSERT ON audit_entries BEGIN INSERT INTO audit_pending (entry) VALUES (NEW.seq); END`
}

// TestARecordWrittenAnewWithoutAKeyIsFoundOut: whoever has the database and the copies outside, and no key, empties all that was ever signed.
func TestARecordWrittenAnewWithoutAKeyIsFoundOut(t *testing.T) {
	start := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	now := start
	tests := []struct {
		name       string
		statements []string
		words      string // of audit verify, before any node begins
		alarm      bool   // of the node that begins
	}{
		{"nothing", nil, "", false},
		{"the whole record", writtenAnew(), "the database has no checkpoint", true},
		{"the checkpoints alone", []string{`DELETE FROM audit_checkpoints`}, "the database has no checkpoint", true},
		{"a checkpoint without a signature in their place", append(writtenAnew(),
			`INSERT INTO audit_checkpoints (size, at, node, note) VALUES (1, {at}, 'a', '{note}')`), "covers more than there is", true},
		{"the tree's own row too", []string{`DELETE FROM audit_checkpoints`, `DELETE FROM audit_tree`}, "the row of audit_tree", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			storetest.Each(t, func(t *testing.T, db *store.DB) {
				now = start
				sign, by := signer(t, db)
				entries(t, db, 5)
				c := sealed(t, audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet()))
				now = now.Add(time.Hour)
				whole(t, verify(t, db, by))
				text, _, _ := strings.Cut(c.Note, "\n\n")
				forged := strings.Replace(text, "\n5\n", "\n1\n", 1) + "\n\n"
				for i, s := range tt.statements {
					tt.statements[i] = strings.NewReplacer("{at}", fmt.Sprint(store.Micros(c.At)), "{note}", forged).Replace(s)
				}
				alter(t, db, append(tt.statements, rearm(db.Dialect()))...)
				if r := verify(t, db, by); tt.words == "" {
					whole(t, r)
				} else if !strings.Contains(fmt.Sprintf("%+v", r.Wrong), tt.words) {
					t.Errorf("verify says %+v, want %q", r.Wrong, tt.words)
				}
				var said bytes.Buffer
				tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, slog.New(slog.NewTextHandler(&said, nil)))
				err := tree.Begin(t.Context(), start, by)
				if alarmed := problem.KindOf(err) == problem.Integrity && strings.Contains(said.String(), "ALARM"); alarmed != tt.alarm {
					t.Errorf("begins with %v and says %q, want an alarm: %v", err, said.String(), tt.alarm)
				}
				told := list(t, db, audit.Filter{Action: audit.BegunAnew})
				if (len(told) == 1) != tt.alarm || len(told) == 1 && !strings.Contains(string(told[0].After), "2026-11-01T08:00:00Z") {
					t.Errorf("the record says %+v", told)
				}
			}, storetest.WithClock(func() time.Time { return now }))
		})
	}
}

// TestARecordThatWasBegunAnewStaysWrong: what the node signs after that covers the entry that says so.
func TestARecordThatWasBegunAnewStaysWrong(t *testing.T) {
	now := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		sign, by := signer(t, db)
		entries(t, db, 5)
		tree := audit.NewTree(db, origin, "a", audit.Config{Sign: sign}, quiet())
		sealed(t, tree)
		since := now
		now = now.Add(time.Hour)
		alter(t, db, append(writtenAnew(), rearm(db.Dialect()))...)
		if err := tree.Begin(t.Context(), since, by); problem.KindOf(err) != problem.Integrity {
			t.Fatalf("got %v", err)
		}
		if r := verify(t, db, by); len(r.Wrong) != 1 || !strings.Contains(r.Wrong[0].What, "may have been written anew") {
			t.Errorf("got %+v", r.Wrong)
		}
		if err := tree.Begin(t.Context(), since, by); err != nil {
			t.Errorf("the next start: %v", err)
		}
	}, storetest.WithClock(func() time.Time { return now }))
}

// TestATreeWithoutItsRowSaysSo: no raw error of the database.
func TestATreeWithoutItsRowSaysSo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		entries(t, db, 2)
		sealed(t, audit.NewTree(db, origin, "a", audit.Config{}, quiet()))
		alter(t, db, `DELETE FROM audit_tree`)
		if said := ran(t, db, audit.Config{}); !strings.Contains(said, "ALARM") || !strings.Contains(said, "audit_tree is gone") || strings.Contains(said, "no rows in result set") {
			t.Errorf("got %q", said)
		}
	})
}
