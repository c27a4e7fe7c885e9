package console_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// booked has a confirmation of the second order delivered, and a comparison say that the ERP has booked it otherwise.
func (p *plant) booked() (of, confirmation string) {
	p.t.Helper()
	p.tx(func(tx *store.Tx) error { return p.out.SetBreaker(p.t.Context(), tx, "erp", "closed", "") })
	p.work(p.orders[1])
	p.deliver(outbox.Next{}, "2")
	p.confirm(p.orders[1], "5")
	p.deliver(outbox.Next{}, "4711")
	p.tx(func(tx *store.Tx) error {
		list, _, err := p.out.Messages(p.t.Context(), tx, outbox.Filter{Lane: p.orders[1], Kind: mes.OperationConfirmedKind, Settled: true}, "")
		if err != nil || len(list) != 1 {
			p.t.Fatalf("%d confirmations are delivered, %v", len(list), err)
		}
		confirmation = list[0].Event
		return audit.Append(p.t.Context(), tx, audit.Entry{
			Actor: "node:a", Action: access.ReconcileRun, Object: "link/erp",
			After: []byte(`{"link":"erp","messages":1,"agree":1,"orders":1,"differences":[
				{"what":"other quantity","object":"confirmation 4711","plant":"5 PCE","erp":"3 PCE","likely_cause":"booked otherwise","message":"` + list[0].ID + `","confirmation":"` + confirmation + `","document":"` + list[0].Receipt.Document + `"},
				{"what":"order unknown","object":"order 9999","plant":"does not have it","erp":"released","likely_cause":"never told","read_again":true,"repair":"read it"}]}`),
		})
	})
	return strconv.Itoa(int(p.record(access.ReconcileRun)[0].Seq)), confirmation
}

// TestTwoWhoApproveOneRepairMakeOne, at once, on both databases: the reversal and the new report are owed once.
func TestTwoWhoApproveOneRepairMakeOne(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		of, confirmation := p.booked()
		if _, page := p.get("/console/reconcile?of=" + of); !strings.Contains(page, "Report anew") || !strings.Contains(page, "Read again") {
			t.Errorf("the page says %s", p.says(page))
		}
		var wg sync.WaitGroup
		status := make([]int, 3)
		for i := range status {
			wg.Go(func() {
				status[i], _, _ = p.post("/console/reconcile/anew", url.Values{"of": {of}, "confirmation": {confirmation}, "key": {"approval " + strconv.Itoa(i)}, "reason": {"booked otherwise"}})
			})
		}
		wg.Wait()
		done := 0
		for _, s := range status {
			if s == http.StatusSeeOther {
				done++
			}
		}
		var l outbox.Lane
		p.tx(func(tx *store.Tx) (err error) {
			l, err = p.out.Lane(t.Context(), tx, "erp", p.orders[1])
			return err
		})
		if done != 1 || l.Owed != 2 {
			t.Errorf("the answers are %v and the lane owes %d, want one repair of two messages", status, l.Owed)
		}
		said := map[string]int{}
		for _, e := range p.record(access.ConfirmationReverse) {
			said[e.Object+" "+string(e.Outcome)]++
		}
		if object := access.ConfirmationObject(confirmation); said[object+" done"] != 1 || said[object+" refused"] != 2 {
			t.Errorf("the record says %v, want one done and two refused", said)
		}
		if s, _, _ := p.post("/console/reconcile/anew", url.Values{"of": {of}, "confirmation": {"other"}, "reason": {"a look"}}); s != http.StatusNotFound {
			t.Errorf("a confirmation that is not of the comparison: status %d, want 404", s)
		}
	})
}

// TestWhatTheERPHasToSayIsReadAgain from the beginning, and a link that reads nothing says so.
func TestWhatTheERPHasToSayIsReadAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		of, _ := p.booked()
		asks := url.Values{"of": {of}, "reason": {"an order is missing"}}
		if s, _, page := p.post("/console/reconcile/read-again", asks); s != http.StatusNotFound || !strings.Contains(page, "its ERP sends by itself") {
			t.Errorf("without a feed: status %d, %s", s, p.says(page))
		}
		p.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO inbox_cursors (name, place) VALUES ('erp/orders', '2026'), ('erp2/orders', '2027')`)
			return err
		})
		if s, to, page := p.post("/console/reconcile/read-again", asks); s != http.StatusSeeOther || !strings.HasSuffix(to, "did=read-again") {
			t.Fatalf("status %d to %s: %s", s, to, p.says(page))
		}
		var places []string
		p.tx(func(tx *store.Tx) error {
			return tx.Select(t.Context(), &places, `SELECT place FROM inbox_cursors ORDER BY name`)
		})
		if len(places) != 2 || places[0] != "" || places[1] != "2027" {
			t.Errorf("the places are %q, want the first empty and the other link's as it was", places)
		}
	})
}
