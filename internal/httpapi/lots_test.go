package httpapi_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/access"
	"holdfast/internal/httpapi"
	"holdfast/internal/mes"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestTwoPeopleDecideOnOneLot: one is first, the other reads again; the same key is one decision, and the audit record knows why.
func TestTwoPeopleDecideOnOneLot(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		var made, decided httpapi.LotAct
		a := p.call("POST", "/v1/lots", object{"material": "FRAME", "number": "F-1", "status": "inspection"}).want(t, 201, &made)
		path, tag := "/v1/lots/"+made.Lot.ID, a.header.Get("ETag")
		if got := p.call("GET", path, nil).want(t, 200, nil).header.Get("ETag"); got != tag || tag == "" {
			t.Errorf("ETag %s of the lot read, want %s as of the lot made", got, tag)
		}
		free := object{"status": "unrestricted", "reason": "certificate is here"}
		p.call("POST", path+"/decide", free).refused(t, 400, "contract") // without If-Match
		p.call("POST", path+"/decide", object{"status": "unrestricted"}, "If-Match", tag).refused(t, 400, "contract")
		p.call("POST", path+"/decide", object{"status": "lost", "reason": "r"}, "If-Match", tag).refused(t, 400, "contract")
		p.call("POST", "/v1/lots/none/decide", free, "If-Match", "*").refused(t, 404, "not-found")

		key := []string{"If-Match", tag, "Idempotency-Key", "decide-0000000001"}
		a = p.call("POST", path+"/decide", free, key...).want(t, 200, &decided)
		if decided.Lot.Status != mes.Unrestricted || a.header.Get("ETag") == tag || len(decided.ERP.Messages) != 1 || decided.ERP.Messages[0].Kind != mes.LotChangedKind {
			t.Errorf("decided %+v under %s, want it free, a new tag and one lot.changed", decided, a.header.Get("ETag"))
		}
		var again httpapi.LotAct
		p.call("POST", path+"/decide", free, key...).want(t, 200, &again)
		if diff := cmp.Diff(decided, again); diff != "" {
			t.Errorf("the repetition (-first +then):\n%s", diff)
		}
		p.call("POST", path+"/decide", free, "If-Match", "*", "Idempotency-Key", "decide-0000000001").refused(t, 422, "duplicate")
		block := object{"status": "blocked", "reason": "a customer complains"}
		p.call("POST", path+"/decide", block, "If-Match", tag).refused(t, 412, "precondition")
		p.call("POST", path+"/decide", free, "If-Match", "*").refused(t, 409, "conflict")
		p.call("POST", path+"/decide", block, "If-Match", a.header.Get("ETag")).want(t, 200, nil)
		order := p.order()
		p.call("POST", "/v1/movements", object{"type": "issue", "order": order.ID, "items": []object{
			{"material": "FRAME", "batch": "F-1", "quantity": "1"},
		}}).refused(t, 409, "conflict")

		var record httpapi.AuditPage
		p.call("GET", "/v1/audit-entries?action="+access.LotDecide, nil).want(t, 200, &record)
		var got []string
		for _, e := range record.Items {
			got = append(got, string(e.Outcome)+": "+e.Reason)
		}
		want := []string{"done: a customer complains", "refused: certificate is here", "refused: a customer complains", "refused: certificate is here", "refused: certificate is here", "done: certificate is here"}
		slices.Sort(want)
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("audit record (-want +got):\n%s", diff)
		}
	})
}
