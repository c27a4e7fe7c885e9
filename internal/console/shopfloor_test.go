package console_test

import (
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"holdfast/internal/mes"
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

// TestTheFloorOffersWhatIsOpen: of the one operation what is left of it, of several nothing, for a tap would book the rest of another one.
func TestTheFloorOffersWhatIsOpen(t *testing.T) {
	p := empty(t, storetest.SQLite(t))
	p.master()
	routing := mes.Routing{Material: "BIKE", Plant: "1000", Operations: []mes.PlannedOperation{{Number: "0010", Description: "Weld", WorkCentre: "WELD", TimeUnit: "MIN"}}}
	page := func() string {
		id := p.order()
		p.work(id)
		p.confirm(id, "4")
		_, page := p.get("/console/shopfloor/" + id)
		return page
	}
	one := page()
	routing.Operations = append(routing.Operations, mes.PlannedOperation{Number: "0020", Description: "Paint", WorkCentre: "WELD", TimeUnit: "MIN"})
	p.apply("routing.changed", routing)
	two := page()
	for _, tt := range []struct{ name, page, want string }{
		{"one operation", one, "8"},
		{"two operations", two, ""},
	} {
		for _, n := range nodes(t, tt.page) {
			if attr(n, "id") == "c-yield" && attr(n, "value") != tt.want {
				t.Errorf("%s, 4 of 12 done: %q good are offered, want %q", tt.name, attr(n, "value"), tt.want)
			}
		}
		if says := p.says(tt.page); !strings.Contains(says, "0010: 4 of 12 done, Weld") || !strings.Contains(says, "Quantity (PCE)") {
			t.Errorf("%s: it lacks what is done, or the unit of what is consumed: %s", tt.name, says)
		}
	}
}

// TestAGloveMeetsTheBox: it is as large as what stands around it.
func TestAGloveMeetsTheBox(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	b := browse(t, p)
	b.open("/console/shopfloor/"+p.orders[0], "light")
	if side := ask(b, chromedp.Evaluate[float64](`(r => Math.min(r.width, r.height))(document.querySelector(".tick input").getBoundingClientRect())`)); side < 56 {
		t.Errorf("the box has %g pixels, want 56", side)
	}
}
