package outbox_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// taken is what somebody does who takes away all that lane o1 owes.
var taken = []string{"DELETE FROM outbox_messages WHERE lane = 'o1'", "UPDATE outbox_lanes SET pending = 0, head = 1, next_number = 1, last_digest = '' WHERE lane = 'o1'"}

// unguarded has the database take audit entries without a MAC.
func (b box) unguarded() {
	b.t.Helper()
	guard := "DROP TRIGGER audit_entries_mac"
	if b.db.Dialect() == store.Postgres {
		guard += " ON audit_entries"
	}
	b.do(func(ctx context.Context, tx *store.Tx) error { _, err := tx.Exec(ctx, guard); return err })
}

// TestWhatSomebodyPutsIntoTheRecordHidesNoLoss: an entry under a key that nobody can open has no other one wait, and one that says that it was told before is
// not believed for a place that the tree does not have.
func TestWhatSomebodyPutsIntoTheRecordHidesNoLoss(t *testing.T) {
	tests := []struct {
		name  string
		first []string // before the messages are held
		then  []string // when they are taken away
	}{
		{"lanes that have moved, under a key that nobody can open", []string{
			`INSERT INTO rest_epochs (wrapped, made_at) VALUES ('local:v1:AAAA', 1)`,
			`INSERT INTO audit_entries (at, actor, origin, action, object, reason, new, outcome, chain, link, previous, mac, epoch)
				SELECT $now, 'x', '', 'lanes.moved', 'lanes', '', '[]', 'done', id, -1, mac, mac, (SELECT MAX(id) FROM rest_epochs) FROM audit_chains LIMIT 1`,
		}, nil},
		{"that it was told, at a place that the tree does not have", nil, []string{
			`INSERT INTO audit_entries (at, actor, origin, action, object, reason, new, outcome) VALUES ($now, 'outbox', '', 'lanes.lost', 'lane/erp/o1', '', $head, 'done')`,
			`INSERT INTO audit_leaves (leaf, entry) SELECT -1, MAX(seq) FROM audit_entries`, `DELETE FROM audit_pending WHERE entry = (SELECT MAX(seq) FROM audit_entries)`,
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sealedBox(t, func(t *testing.T, b box, _ *seal.Ring, alarms *raised) {
				b.unguarded()
				b.owe("o2", "x")
				b.held()
				b.lost()
				run := func(statements []string, head []byte) {
					b.do(func(ctx context.Context, tx *store.Tx) error {
						for _, s := range statements {
							var args []any
							if strings.Contains(s, "$now") {
								args = append(args, store.Micros(tx.Now))
							}
							if strings.Contains(s, "$head") {
								args = append(args, head)
							}
							if _, err := tx.Exec(ctx, strings.NewReplacer("$now", "?", "$head", "?").Replace(s), args...); err != nil {
								return err
							}
						}
						return nil
					})
				}
				b.owe("o1", "a", "b", "c")
				var head []byte
				b.do(func(ctx context.Context, tx *store.Tx) error {
					heads, err := b.Moved(ctx, tx, b.db.Now().Add(-time.Hour))
					if err != nil {
						return err
					}
					i := slices.IndexFunc(heads, func(h audit.Head) bool { return h.Lane == "o1" })
					head, err = json.Marshal(heads[i])
					return err
				})
				run(tt.first, nil)
				b.do(func(ctx context.Context, tx *store.Tx) error {
					var h audit.Head
					if err := json.Unmarshal(head, &h); err != nil {
						return err
					}
					return audit.Hold(ctx, tx, "node:a", []audit.Head{h})
				})
				run(append(tt.then, taken...), head)
				if n := b.lost(); n != 1 || !slices.Equal(alarms.all, []string{"message.altered lane/erp/o1"}) || b.lane("o1").State != outbox.Parked {
					t.Errorf("%d are missed, raised %v, lane %s, want it parked with an alarm", n, alarms.all, b.lane("o1").State)
				}
			})
		})
	}
}

// TestAPurgeUnderAKeyThatNobodyCanOpenExcusesNothing: nobody can say that the lane is as it was, and the loss of another is found all the same.
func TestAPurgeUnderAKeyThatNobodyCanOpenExcusesNothing(t *testing.T) {
	sealedBox(t, func(t *testing.T, b box, _ *seal.Ring, alarms *raised) {
		b.owe("o1", "a", "b")
		b.owe("o2", "x")
		b.held()
		b.lost()
		b.owe("o1", "c")
		b.owe("o2", "y")
		b.held()
		b.do(func(ctx context.Context, tx *store.Tx) error {
			var key int64
			err := tx.Get(ctx, &key, `INSERT INTO rest_epochs (wrapped, made_at) VALUES ('local:v1:AAAA', 1) RETURNING id`)
			if err != nil {
				return err
			}
			for _, s := range append(taken, "DELETE FROM outbox_messages WHERE lane = 'o2'", "UPDATE outbox_lanes SET pending = 0, head = next_number WHERE lane = 'o2'") {
				if _, err := tx.Exec(ctx, s); err != nil {
					return err
				}
			}
			mac := append(binary.BigEndian.AppendUint64(nil, uint64(key)), make([]byte, 32)...)
			_, err = tx.Exec(ctx, "INSERT INTO outbox_purged (link, lane, epoch, number, mac) VALUES ('erp', 'o1', 1, 9, ?)", mac)
			return err
		})
		found, err := b.ParkLost(t.Context(), b.db)
		if found != 2 || problem.KindOf(err) != problem.Unavailable || b.lane("o2").State != outbox.Parked {
			t.Errorf("%d are missed, %v, o2 is %s, want o2 parked, and to be told that of o1 nobody can tell", found, err, b.lane("o2").State)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error {
			heads := []audit.Head{{Link: "erp", Lane: "o1", Epoch: 1, Number: 3, Digest: "d"}}
			if lost, err := b.Lost(ctx, tx, heads); len(lost) != 0 || problem.KindOf(err) != problem.Unavailable {
				t.Errorf("%v are missed, %v, want that nobody can tell", lost, err)
			}
			_, err := tx.Exec(ctx, "DELETE FROM outbox_purged")
			return err
		})
		if n := b.lost(); n == 0 || b.lane("o1").State != outbox.Parked {
			t.Errorf("%d are missed, o1 is %s, want it parked once nothing excuses it", n, b.lane("o1").State)
		}
	})
}

// TestAPurgeWhileMACsBegin: what it has purged meanwhile keeps its own MAC.
func TestAPurgeWhileMACsBegin(t *testing.T) {
	c := &clock{} // SQLite has one writer at a time
	db := storetest.Postgres(t, c.option())
	c.set(0)
	b := box{everything(outbox.Config{}), t, db, c}
	b.keyed()
	b.owe("o1", "a", "b", "c")
	b.settle(done(b.claim("a", 10, 10)[0], 1))
	b.clock.forward(24 * time.Hour)
	b.settle(done(b.claim("a", 10, 10)[0], 2))
	b.held()
	b.clock.forward(89*24*time.Hour + time.Hour)
	b.purge(1) // number 1 is old
	b.clock.forward(24 * time.Hour)
	began := make(chan error, 1)
	b.do(func(ctx context.Context, tx *store.Tx) error {
		if n, err := b.Purge(ctx, tx, 100); err != nil || n != 2 {
			t.Errorf("purged %d, %v, want 2", n, err)
		}
		go func() {
			began <- b.db.InTx(t.Context(), func(tx *store.Tx) error { _, err := b.BeginMACs(t.Context(), tx); return err })
		}()
		for waits := 0; waits == 0; { // for the row that this transaction has
			if err := tx.Get(ctx, &waits, `SELECT COUNT(*) FROM pg_locks WHERE NOT granted AND pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database())`); err != nil {
				return err
			}
		}
		return nil
	})
	if err := <-began; err != nil {
		t.Fatal(err)
	}
	b.do(func(ctx context.Context, tx *store.Tx) error {
		ends, err := b.Ends(ctx, tx, "", "")
		if err != nil {
			return err
		}
		e, err := b.Believed(ctx, tx, ends[0])
		if e.Purged[1] != 3 {
			t.Errorf("believed is %v, want that 3 are purged", e.Purged)
		}
		return err
	})
}
