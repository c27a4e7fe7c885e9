package body_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"holdfast/internal/body"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestHoldsOfMessagesThatAreGoneEnd has more owners than are looked at in one walk, and owners of another kind, which are none of its
// business.
func TestHoldsOfMessagesThatAreGoneEnd(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := keep(t, db, noise(1, 10))
		lost := func() (n int64) {
			err := db.View(t.Context(), func(tx *store.Tx) (err error) { n, err = body.Lost(t.Context(), tx); return err })
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			for n := range 450 {
				if err := body.Hold(t.Context(), tx, fmt.Sprintf("mine/%03d", n), l); err != nil {
					return err
				}
			}
			return body.Hold(t.Context(), tx, "other/1", l)
		})
		if err != nil {
			t.Fatal(err)
		}
		p := &body.Patrol{Of: "mine/"}
		isThere := func(name string) bool { return name == "mine/007" || name == "mine/449" }
		walk := func() (gone int) {
			err := db.InTx(t.Context(), func(tx *store.Tx) (err error) {
				gone, err = p.Walk(t.Context(), tx, func(_ context.Context, _ *store.Tx, owners []string) ([]string, error) {
					return slices.DeleteFunc(slices.Clone(owners), func(name string) bool { return !isThere(name) }), nil
				})
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			return gone
		}
		var got []int
		for range 4 {
			got = append(got, walk())
		}
		if want := []int{199, 200, 49, 0}; !slices.Equal(got, want) {
			t.Errorf("ended are %v, want %v", got, want)
		}
		var owners []string
		err = db.View(t.Context(), func(tx *store.Tx) error {
			return tx.Select(t.Context(), &owners, `SELECT owner FROM body_holds ORDER BY owner`)
		})
		if want := []string{"mine/007", "mine/449", "other/1"}; err != nil || !slices.Equal(owners, want) {
			t.Errorf("left are %v, %v, want %v", owners, err, want)
		}
		if got := lost(); got != 0 {
			t.Errorf("%d bodies are lost", got)
		}
		err = db.InTx(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(t.Context(), `DELETE FROM body_holds`); return err })
		if got := lost(); err != nil || got != 1 {
			t.Errorf("%d bodies are lost, %v, want 1", got, err)
		}
	})
}
