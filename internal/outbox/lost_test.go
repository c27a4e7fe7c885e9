package outbox_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// held has the audit record hold the heads of lanes, as it does each minute.
func (b box) held() {
	b.t.Helper()
	tree := audit.NewTree(b.db, "record", "a", audit.Config{Lanes: b.Moved, Receipts: b.BeginMACs}, slog.New(slog.DiscardHandler))
	if _, err := tree.Seal(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// lost is how many messages are found to be taken away.
func (b box) lost() int {
	b.t.Helper()
	n, err := b.ParkLost(b.t.Context(), b.db)
	if err != nil {
		b.t.Fatal(err)
	}
	return n
}

// TestMessagesThatAreTakenAwayAreFound also where the lane says that it owed nothing, that it was never there, or that they were purged: it is parked, with
// an alarm, once, and a person lets it go on with what is there.
func TestMessagesThatAreTakenAwayAreFound(t *testing.T) {
	const all = "DELETE FROM outbox_messages WHERE lane = 'o1'"
	tests := []struct {
		name    string
		changes []string
		gone    bool // the lane itself
	}{
		{"all that is owed, as if it had been delivered", []string{all, "UPDATE outbox_lanes SET pending = 0, head = next_number WHERE lane = 'o1'"}, false},
		{"all that is owed, as if it had never been", []string{all, "UPDATE outbox_lanes SET pending = 0, head = 1, next_number = 1, last_digest = '' WHERE lane = 'o1'"}, false},
		{"all that is owed, as if it had been purged", []string{
			all, "UPDATE outbox_lanes SET pending = 0, head = next_number WHERE lane = 'o1'", "INSERT INTO outbox_purged (link, lane, epoch, number) VALUES ('erp', 'o1', 1, 3)",
		}, false},
		{"the last", []string{"DELETE FROM outbox_messages WHERE lane = 'o1' AND number = 3", "UPDATE outbox_lanes SET pending = 2, next_number = 3, " +
			"last_digest = (SELECT digest FROM outbox_messages WHERE lane = 'o1' AND number = 2) WHERE lane = 'o1'"}, false},
		{"the first", []string{"DELETE FROM outbox_messages WHERE lane = 'o1' AND number = 1", "UPDATE outbox_lanes SET pending = 2, head = 2 WHERE lane = 'o1'"}, false},
		{"one between", []string{"DELETE FROM outbox_messages WHERE lane = 'o1' AND number = 2", "UPDATE outbox_lanes SET pending = 2 WHERE lane = 'o1'"}, false},
		{"the lane", []string{all, "DELETE FROM outbox_lanes WHERE lane = 'o1'"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sealedBox(t, func(t *testing.T, b box, _ *seal.Ring, alarms *raised) {
				b.owe("o1", "a", "b", "c")
				b.owe("o2", "other", "more")
				b.settle(done(b.claim("a", 10, 1)[1], 1))
				b.held()
				if n := b.lost(); n != 0 || len(alarms.all) != 0 {
					t.Fatalf("%d are missed, and raised %v, before anything was done", n, alarms.all)
				}
				for _, c := range tt.changes {
					b.alter(c)
				}
				b = b.anew(alarms)
				if n := b.lost(); n != 1 {
					t.Errorf("%d are missed, want 1", n)
				}
				if want := []string{"message.altered lane/erp/o1"}; !slices.Equal(alarms.all, want) {
					t.Errorf("raised %v, want %v", alarms.all, want)
				}
				if tt.gone {
					return
				}
				if l := b.lane("o1"); l.State != outbox.Parked || !strings.Contains(l.Reason, "deleted behind Holdfast") {
					t.Errorf("the lane is %s: %q, want it parked with the reason", l.State, l.Reason)
				}
				b.do(func(ctx context.Context, tx *store.Tx) error { return b.Resume(ctx, tx, "erp", "o1", "gone for good") })
				b = b.anew(alarms)
				if n := b.lost(); n != 0 || b.lane("o1").State != outbox.Open {
					t.Errorf("once a person has let it go on %d are missed, and it is %s", n, b.lane("o1").State)
				}
			})
		})
	}
}

// anew is the box of a new process, which looks at everything once more.
func (b box) anew(alarms *raised) box {
	b.Outbox = everything(outbox.Config{})
	b.AlarmWith(alarms)
	return b
}

// TestWhatNobodyHasHeldIsNotMissed: heads that somebody puts into the record park no lane.
func TestWhatNobodyHasHeldIsNotMissed(t *testing.T) {
	sealedBox(t, func(t *testing.T, b box, _ *seal.Ring, alarms *raised) {
		b.owe("o1", "a")
		b.held()
		text, err := json.Marshal([]audit.Head{{Link: "erp", Lane: "o1", Epoch: 1, Number: 7, Digest: "x"}})
		if err != nil {
			t.Fatal(err)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			guard := "DROP TRIGGER audit_entries_mac"
			if tx.Dialect() == store.Postgres {
				guard += " ON audit_entries"
			}
			if _, err := tx.Exec(ctx, guard); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `INSERT INTO audit_entries (at, actor, origin, action, object, reason, new, outcome) VALUES (?, 'node:a', '', 'lanes.moved', 'lanes', '', ?, 'done')`,
				store.Micros(tx.Now), text)
			return err
		})
		if n := b.lost(); n != 0 || len(alarms.all) != 0 {
			t.Errorf("%d are missed, and raised %v, want nothing", n, alarms.all)
		}
	})
}

// away is a keyring that does not answer, and counts how often it was asked.
type away struct{ asked *int }

func (a away) Wrap(context.Context, int) ([][]byte, []string, error) { return nil, nil, a.ask() }

func (a away) Unwrap(context.Context, []string) ([][]byte, error) { return nil, a.ask() }

func (a away) Rewrap(context.Context, []string) ([]string, error) { return nil, a.ask() }

func (a away) ask() error {
	*a.asked++
	return &problem.Error{Kind: problem.Unavailable, What: "open the keyring", Why: "it does not answer"}
}

// TestWithoutKeysNobodyCanTellWhatWasPurged, and the keyring is not opened for each message.
func TestWithoutKeysNobodyCanTellWhatWasPurged(t *testing.T) {
	sealedBox(t, func(t *testing.T, b box, _ *seal.Ring, _ *raised) {
		b.owe("o1", "a")
		b.owe("o2", "b")
		for _, c := range b.claim("a", 10, 10) {
			b.settle(done(c, 1))
		}
		b.held()
		var heads []audit.Head
		b.do(func(ctx context.Context, tx *store.Tx) (err error) {
			heads, err = b.Moved(ctx, tx, b.db.Now().Add(-time.Hour))
			return err
		})
		b.clock.forward(100 * 24 * time.Hour)
		b.purge(2)
		asked := 0
		b.db.SealWith(seal.LazyRest(b.db, away{&asked}, seal.RestConfig{Now: b.db.Now}, slog.New(slog.DiscardHandler)))
		command := everything(outbox.Config{})
		b.do(func(ctx context.Context, tx *store.Tx) error {
			lost, err := command.Lost(ctx, tx, heads)
			if len(lost) != 0 || len(heads) != 2 || problem.KindOf(err) != problem.Unavailable {
				t.Errorf("%v of %v are missed, %v, want that nobody can tell of either", lost, heads, err)
			}
			return nil
		})
		if asked != 1 {
			t.Errorf("the keyring was asked %d times, want once", asked)
		}
	})
}
