package console_test

import (
	"net/url"
	"strings"
	"testing"

	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestASearchForAMaterialFindsEachOfItsOrders however many there are, and leaves each of them out where it is asked to.
func TestASearchForAMaterialFindsEachOfItsOrders(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := empty(t, db)
		p.master()
		const orders = 1100 // more than the plant lists at a time
		for range orders {
			p.order()
		}
		for q, want := range map[string]int{"": orders, "BIKE": orders, "BIKE NOT BIKE": 0, "NOT BIKE": 0} {
			_, csv := p.get("/console/messages.csv?" + url.Values{"state": {"all"}, "q": {q}}.Encode())
			if got := strings.Count(csv, "order.created"); got != want {
				t.Errorf("%q finds the messages of %d orders, want %d", q, got, want)
			}
		}
	})
}
