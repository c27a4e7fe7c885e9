package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestABareListReadsNoLanes: a walk through a million messages must not look at the lane of each.
func TestABareListReadsNoLanes(t *testing.T) {
	var statements atomic.Int64
	db := storetest.SQLite(t, storetest.WithBefore(func(context.Context, string) error { statements.Add(1); return nil }))
	out := everything(outbox.Config{})
	list := func(f outbox.Filter) (all []outbox.Detail, n int64) {
		statements.Store(0)
		if err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			all, _, err = out.Messages(t.Context(), tx, f, "")
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return all, statements.Load()
	}
	owe(t, db, out, "o0", "e0")
	_, one := list(outbox.Filter{Bare: true})
	for i := range 20 {
		owe(t, db, out, fmt.Sprint("o", i+1), fmt.Sprint("e", i+1))
	}
	bare, n := list(outbox.Filter{Bare: true})
	if len(bare) != 21 || n != one {
		t.Errorf("%d messages of as many lanes took %d statements, want 21 and %d", len(bare), n, one)
	}
	whole, _ := list(outbox.Filter{})
	for i, d := range whole {
		if d.LaneState.Name == "" || bare[i].LaneState.Name != "" {
			t.Errorf("message %s: its lane is %+v and bare %+v", d.Event, d.LaneState, bare[i].LaneState)
		}
		d.LaneState = outbox.Lane{}
		if diff := cmp.Diff(d, bare[i], cmpopts.IgnoreUnexported(d.Message)); diff != "" {
			t.Errorf("message %s differs but for its lane (-whole +bare):\n%s", d.Event, diff)
		}
	}
}

func TestListsArePagedAndFiltered(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		var want []string
		for i := range 7 {
			b.clock.forward(time.Second)
			id := fmt.Sprintf("e%d", i)
			owe(t, b.db, b.Outbox, fmt.Sprintf("o%d", i%3), id)
			want = append(want, id)
		}
		b.settle(done(b.claim("n1", 1, 1)[0], 1)) // e0
		list := func(f outbox.Filter) (got []string) {
			for cursor, pages := "", 0; ; pages++ {
				var page []outbox.Detail
				b.do(func(ctx context.Context, tx *store.Tx) (err error) {
					page, cursor, err = b.Messages(ctx, tx, f, cursor)
					return err
				})
				for _, d := range page {
					got = append(got, d.Event)
				}
				if cursor == "" || pages > 10 {
					return got
				}
			}
		}
		reversed := make([]string, 0, 7)
		for i := range want {
			reversed = append(reversed, want[6-i])
		}
		tests := []struct {
			name   string
			filter outbox.Filter
			want   []string
		}{
			{"oldest first", outbox.Filter{OldestFirst: true, Limit: 3}, want},
			{"newest first", outbox.Filter{Limit: 2}, reversed},
			{"owed", outbox.Filter{Owed: true, OldestFirst: true}, want[1:]},
			{"settled", outbox.Filter{Settled: true}, want[:1]},
			{"one lane", outbox.Filter{Link: "erp", Lane: "o1", OldestFirst: true}, []string{"e1", "e4"}},
			{"one kind and key", outbox.Filter{Kind: "operation.confirmed", Key: "o2", OldestFirst: true}, []string{"e2", "e5"}},
			{"none", outbox.Filter{Kind: "other"}, nil},
		}
		for _, tt := range tests {
			if got := list(tt.filter); !cmp.Equal(got, tt.want) {
				t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
			}
			b.do(func(ctx context.Context, tx *store.Tx) error {
				n, err := b.Count(ctx, tx, tt.filter)
				if n != int64(len(tt.want)) {
					t.Errorf("%s: counted %d, want %d", tt.name, n, len(tt.want))
				}
				return err
			})
		}
	})
}

func TestLanesAreListedFromTheOneThatOwesLongest(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		for i, lane := range []string{"o2", "o0", "o1"} {
			owe(t, b.db, b.Outbox, lane, fmt.Sprintf("e%d", i))
			b.clock.forward(time.Second)
		}
		var lanes []string
		for cursor := ""; ; {
			var page []outbox.Lane
			b.do(func(ctx context.Context, tx *store.Tx) (err error) {
				page, cursor, err = b.Lanes(ctx, tx, outbox.LaneFilter{Link: "erp", State: outbox.Open, Limit: 1}, cursor)
				return err
			})
			for _, l := range page {
				lanes = append(lanes, l.Name)
			}
			if cursor == "" {
				break
			}
		}
		if want := []string{"o2", "o0", "o1"}; !cmp.Equal(lanes, want) {
			t.Errorf("lanes %q, want %q", lanes, want)
		}
	})
}

func TestFiguresComeFromCounters(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		owe(t, b.db, b.Outbox, "o2", "c")
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(park(ctx, tx, "o2", "r"), b.SetBreaker(ctx, tx, "erp", "open", "refused"), b.PauseLink(ctx, tx, "erp", "upgrade"))
		})
		if c := b.claim("n1", 10, 1); len(c) != 0 {
			t.Errorf("claimed %+v of a paused link", c)
		}
		b.do(func(ctx context.Context, tx *store.Tx) error { return b.ResumeLink(ctx, tx, "erp", "") })
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		var got []outbox.Link
		b.do(func(ctx context.Context, tx *store.Tx) (err error) { got, err = b.Links(ctx, tx); return err })
		want := []outbox.Link{{
			Name: "erp", Breaker: "open", Trouble: "refused", ChangedAt: at.UTC(), Owed: 2, Lanes: 2, Parked: 1, Standing: 1, OldestAt: at.UTC(), Delivered: 1, LastAt: at.UTC(),
		}}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}
