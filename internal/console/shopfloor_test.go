package console_test

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestALinkThatIsNoMoreSaysNothingOfTheERP: of links that are, the shop floor is told of the one that is away, and not of one that has left the configuration.
func TestALinkThatIsNoMoreSaysNothingOfTheERP(t *testing.T) {
	db := storetest.SQLite(t)
	breaks := func(link string) {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			return outbox.New(nil, "", outbox.Config{}).SetBreaker(t.Context(), tx, link, "open", "connection refused")
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	breaks("old-erp")
	p := empty(t, db)
	if _, floor := p.get("/console/shopfloor"); strings.Contains(floor, "ERP is away") {
		t.Error("a link that has left the configuration has the ERP away")
	}
	breaks("erp")
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) { // the page is as old as what it is made from may be
		if _, floor := p.get("/console/shopfloor"); strings.Contains(floor, "ERP is away") {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the ERP of a link that is down is not away")
		}
	}
}
