package audit_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/audit"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func at() time.Time { return time.Date(2026, 11, 24, 6, 0, 0, 123456000, time.UTC) }

func write(t testing.TB, db *store.DB, es ...audit.Entry) {
	t.Helper()
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		for _, e := range es {
			if err := audit.Append(t.Context(), tx, e); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func list(t *testing.T, db *store.DB, f audit.Filter) []audit.Entry {
	t.Helper()
	var got []audit.Entry
	err := db.View(t.Context(), func(tx *store.Tx) (err error) {
		got, err = audit.List(t.Context(), tx, f)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestAnEntryComesBackAsItWasWritten(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		want := audit.Entry{
			Actor: "local:anna", From: "127.0.0.1", Action: "order.start", Object: "order/1", Reason: "shift begins",
			Before: []byte(`{"status":"released"}`), After: []byte(`{"status":"started"}`),
		}
		write(t, db, want)
		want.Seq, want.At, want.Outcome = 1, at(), audit.Done
		if diff := cmp.Diff([]audit.Entry{want}, list(t, db, audit.Filter{})); diff != "" {
			t.Errorf("entry (-want +got):\n%s", diff)
		}
	}, storetest.WithClock(at))
}

func TestListChoosesAndPages(t *testing.T) {
	entries := []audit.Entry{
		{Actor: "a", Action: "order.start", Object: "order/1"},
		{Actor: "a", Action: "order.start", Object: "order/10"},
		{Actor: "b", Action: "link.pause", Object: "link/erp"},
		{Actor: "b", Action: "order.start", Object: "orders%/1"},
	}
	tests := []struct {
		name   string
		filter audit.Filter
		want   []int64
	}{
		{"everything, the latest first", audit.Filter{}, []int64{4, 3, 2, 1}},
		{"one actor", audit.Filter{Actor: "a"}, []int64{2, 1}},
		{"one action of an actor", audit.Filter{Actor: "b", Action: "order.start"}, []int64{4}},
		{"one object and not those that begin like it", audit.Filter{Object: "order/1"}, []int64{1}},
		{"a sort of object", audit.Filter{Object: "order/"}, []int64{2, 1}},
		{"a page", audit.Filter{Limit: 2}, []int64{4, 3}},
		{"the page after it", audit.Filter{Limit: 2, Before: 3}, []int64{2, 1}},
		{"nothing", audit.Filter{Actor: "c"}, []int64{}},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		write(t, db, entries...)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				got := []int64{}
				for _, e := range list(t, db, tt.filter) {
					got = append(got, e.Seq)
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("entries (-want +got):\n%s", diff)
				}
			})
		}
	})
}

func TestTheDatabaseRefusesToChangeTheRecord(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		write(t, db, audit.Entry{Actor: "a", Action: "order.start", Object: "order/1"})
		for _, statement := range []string{"UPDATE audit_entries SET actor = 'b'", "DELETE FROM audit_entries"} {
			err := db.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(t.Context(), statement)
				return err
			})
			if err == nil {
				t.Errorf("%s was done", statement)
			}
		}
		if got := list(t, db, audit.Filter{Actor: "a"}); len(got) != 1 {
			t.Errorf("got %d entries, want 1", len(got))
		}
	})
}

func TestAnEntryGoesWithItsTransaction(t *testing.T) {
	undone := errors.New("undone")
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			return errors.Join(audit.Append(context.Background(), tx, audit.Entry{Action: "order.start"}), undone)
		})
		if !errors.Is(err, undone) {
			t.Fatalf("err = %v, want %v", err, undone)
		}
		if got := list(t, db, audit.Filter{}); len(got) != 0 {
			t.Errorf("got %v, want nothing", got)
		}
	})
}
