package mes_test

import (
	"encoding/json"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// TestAnOrderThatComesTwiceAtOnceIsOneOrder: one transaction has taken it in under its number without zeros, and is not committed; another takes it in
// with them. Whichever way round, the plant has one order.
func TestAnOrderThatComesTwiceAtOnceIsOneOrder(t *testing.T) {
	each(t, func(p *plant) {
		for i, numbers := range [][2]string{{"1000042", "000001000042"}, {"000001000043", "1000043"}} {
			first, second := make(chan struct{}), make(chan struct{})
			take := func(n int, around func(apply func() error) error) error {
				e := p.erpOrder()
				e.ERPNumber = numbers[n]
				body, err := json.Marshal(e)
				if err != nil {
					return err
				}
				return p.db.InTx(t.Context(), func(tx *store.Tx) error {
					m := message.Message{ID: numbers[n], Source: "urn:sap", Kind: mes.OrderReleasedKind, Version: 1, Key: numbers[n], Time: tx.Now, Body: body}
					return around(func() error { return p.Apply(t.Context(), tx, m) })
				})
			}
			var both errgroup.Group
			var begun, once sync.Once // a transaction may be run again
			both.Go(func() error {
				return take(0, func(apply func() error) error {
					err := apply()
					begun.Do(func() { close(first) })
					select {
					case <-second: // it did not wait for this one
					case <-time.After(300 * time.Millisecond):
					}
					return err
				})
			})
			<-first
			both.Go(func() error {
				return take(1, func(apply func() error) error {
					err := apply()
					once.Do(func() { close(second) })
					return err
				})
			})
			if err := both.Wait(); err != nil {
				p.t.Fatal(err)
			}
			var n int
			err := p.db.View(t.Context(), func(tx *store.Tx) error { return tx.Get(t.Context(), &n, `SELECT COUNT(*) FROM plant_orders`) })
			if err != nil || n != i+1 {
				p.t.Errorf("%d orders after %v came at once, %v", n, numbers, err)
			}
		}
	})
}
