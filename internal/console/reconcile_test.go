package console_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// compare leaves a comparison in the audit record, as holdfast reconcile does: the ERP has lost what was delivered first.
func (p *plant) compare() (lost string) {
	p.t.Helper()
	p.tx(func(tx *store.Tx) error {
		list, _, err := p.out.Messages(p.t.Context(), tx, outbox.Filter{Lane: p.orders[0], Settled: true, OldestFirst: true, Limit: 1}, "")
		if err != nil {
			return err
		}
		lost = list[0].ID
		return audit.Append(p.t.Context(), tx, audit.Entry{
			Actor: "node:a", Action: access.ReconcileRun, Object: "link/erp",
			After: []byte(`{"link":"erp","from":"2026-11-26T00:00:00Z","to":"2026-11-27T00:00:00Z","messages":5,"agree":3,"could_not_be_asked":0,"orders":2,"differences":[
				{"what":"lost","object":"order.created, number 1","plant":"1000042","erp":"does not have it","likely_cause":"the ERP was restored","message":"` + lost + `","repair":"sent again by --apply"},
				{"what":"yield","object":"order <b>7</b>","plant":"4 PCE","erp":"3 PCE","likely_cause":"a message is owed","message":"` + p.stuck + `","repair":"repair it"}]}`),
		})
	})
	return lost
}

// TestWhatTheERPHasLostIsRepairedFromItsComparison: each difference has its cause and its message; the repair is a job of what was lost and nothing
// else, which sends nothing until somebody starts it.
func TestWhatTheERPHasLostIsRepairedFromItsComparison(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	if _, page := p.get("/console/reconcile"); !strings.Contains(page, "Nobody has held the plant against the ERP yet") {
		t.Errorf("before the first: %s", p.says(page))
	}
	lost := p.compare()
	_, page := p.get("/console/reconcile")
	for _, want := range []string{"the ERP was restored", "a message is owed", "/console/messages/" + lost, "/console/messages/" + p.stuck, "order &lt;b&gt;7&lt;/b&gt;", "Look at the repair: 1 to send again"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q: %s", want, p.says(page))
		}
	}
	seq := p.record(access.ReconcileRun)[0].Seq
	of := url.Values{"of": {strconv.Itoa(int(seq))}, "key": {"once"}}
	status, to, page := p.post("/console/reconcile/plan", of)
	if status != http.StatusSeeOther {
		t.Fatalf("status %d: %s", status, p.says(page))
	}
	b := p.jobOf(strings.TrimPrefix(to, "/console/jobs/"))
	if b.State != job.Planned || len(b.Choice.IDs) != 1 || b.Choice.IDs[0] != lost || p.detail(lost).Replay != "" {
		t.Errorf("the job is %s about %v, want planned about %s, and nothing sent", b.State, b.Choice.IDs, lost)
	}
	if status, to, _ = p.post("/console/reconcile/plan", of); status != http.StatusSeeOther || to != "/console/jobs" {
		t.Errorf("sent twice: status %d to %s, want the list of jobs", status, to)
	}
	if status, _, _ = p.post("/console/reconcile/plan", url.Values{"of": {"9999"}}); status != http.StatusNotFound {
		t.Errorf("of none: status %d, want 404", status)
	}
}

// TestAComparisonInWhichNothingIsLostIsRepairedByNoJob.
func TestAComparisonInWhichNothingIsLostIsRepairedByNoJob(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	p.tx(func(tx *store.Tx) error {
		return audit.Append(t.Context(), tx, audit.Entry{Actor: "a", Action: access.ReconcileRun, Object: "link/erp", After: []byte(`{"messages":1,"agree":1,"differences":[]}`)})
	})
	_, page := p.get("/console/reconcile")
	if !strings.Contains(page, "Nothing differs.") || strings.Contains(page, "Look at the repair") {
		t.Errorf("the page says %s", p.says(page))
	}
	status, _, _ := p.post("/console/reconcile/plan", url.Values{"of": {strconv.Itoa(int(p.record(access.ReconcileRun)[0].Seq))}})
	if status != http.StatusPreconditionFailed && status != http.StatusConflict {
		t.Errorf("status %d", status)
	}
}
