package httpapi_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/httpapi"
	"holdfast/internal/mes"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

func TestAnOrderFromItsMakingToItsCompletion(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		var made httpapi.OrderAct
		a := p.call("POST", "/v1/orders", object{"material": "BIKE", "quantity": "10.000", "unit": "PCE", "priority": 7}).want(t, 201, &made)
		o := made.Order
		if got, want := a.header.Get("Location"), "/v1/orders/"+o.ID; got != want {
			t.Errorf("Location %q, want %q", got, want)
		}
		if o.Quantity.String() != "10.000" || o.Origin != mes.FromPlant || len(o.Operations) != 2 || len(o.Components) != 1 {
			t.Errorf("made %+v", o)
		}
		if made.ERP.State != httpapi.ERPProgressQueued || len(made.ERP.Messages) != 1 || made.ERP.Messages[0].Kind != "order.created" {
			t.Errorf("the ERP's part is %+v, want order.created queued", made.ERP)
		}
		p.call("POST", "/v1/orders/"+o.ID+"/start", object{"by": "anna"}).want(t, 200, &made)
		if made.Order.Status != mes.Started {
			t.Errorf("status %q, want started", made.Order.Status)
		}
		p.call("POST", "/v1/orders/"+o.ID+"/start", object{}).refused(t, 409, "conflict")
		p.call("POST", "/v1/orders/"+o.ID+"/complete", object{"reason": "tool broke"}).want(t, 200, &made)
		var got httpapi.Order
		p.call("GET", "/v1/orders/"+o.ID, nil).want(t, 200, &got)
		if diff := cmp.Diff(made.Order, got); diff != "" {
			t.Errorf("order read (-answered +read):\n%s", diff)
		}
	})
}

func TestTwoPeopleChangeOneOrder(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		o := p.order()
		path := "/v1/orders/" + o.ID
		tag := p.call("GET", path, nil).want(t, 200, nil).header.Get("ETag")
		var changed httpapi.Order
		a := p.call("PATCH", path, object{"priority": 9}, "If-Match", tag).want(t, 200, &changed)
		if changed.Priority != 9 || a.header.Get("ETag") == tag {
			t.Errorf("priority %d under %s, was %s", changed.Priority, a.header.Get("ETag"), tag)
		}
		p.call("PATCH", path, object{"priority": 1}, "If-Match", tag).refused(t, 412, "precondition")
		p.call("PATCH", path, object{"priority": 1}, "If-Match", "W/"+a.header.Get("ETag")).refused(t, 412, "precondition")
		p.call("PATCH", path, object{"priority": 2}, "If-Match", tag+", "+a.header.Get("ETag")).want(t, 200, nil)
		p.call("PATCH", path, object{"priority": 3}, "If-Match", "*").want(t, 200, nil)
		p.call("PATCH", path, object{"priority": 3}).refused(t, 400, "contract")
	})
}

func TestOrdersArePagedAndFiltered(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		want := map[string]bool{}
		for range 5 {
			want[p.order().ID] = true
		}
		got := map[string]bool{}
		cursor := ""
		for range 3 {
			var page httpapi.OrderPage
			p.call("GET", "/v1/orders?limit=2&status=started&status=released"+cursor, nil).want(t, 200, &page)
			for _, o := range page.Items {
				got[o.ID] = true
			}
			cursor = "&cursor=" + page.NextCursor
		}
		if diff := cmp.Diff(want, got); diff != "" || cursor != "&cursor=" {
			t.Errorf("cursor %q, orders (-want +got):\n%s", cursor, diff)
		}
		for query, n := range map[string]int{"?status=cancelled": 0, "?material=BIKE": 5, "?workCentre=NOWHERE": 0} {
			var page httpapi.OrderPage
			if p.call("GET", "/v1/orders"+query, nil).want(t, 200, &page); len(page.Items) != n {
				t.Errorf("%s gave %d, want %d", query, len(page.Items), n)
			}
		}
		p.call("GET", "/v1/orders?cursor=AAAA", nil).refused(t, 422, "invalid")
		var list httpapi.OperationPage
		p.call("GET", "/v1/operations?workCentre=WELD", nil).want(t, 200, &list)
		if len(list.Items) != 10 || list.Items[0].Operation.Number != "0010" {
			t.Errorf("dispatch list has %d items: %+v", len(list.Items), list.Items)
		}
	})
}

func TestTheSameKeyTwentyTimesAtOnceIsOneConfirmation(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		body := object{"order": p.order().ID, "operation": "0010", "yield": "2", "scrap": "1", "reason": "SCRATCH"}
		bodies := make([]string, 20)
		var wg sync.WaitGroup
		for i := range bodies {
			wg.Go(func() {
				a, err := p.send(t.Context(), "POST", "/v1/confirmations", body, "Idempotency-Key", "key-0000000000001")
				bodies[i] = fmt.Sprint(a.status, a.header.Get("Location"), string(a.body), err)
			})
		}
		wg.Wait()
		for _, b := range bodies {
			if b != bodies[0] || !strings.HasPrefix(b, "201") {
				t.Errorf("answers differ:\n%s\n%s", bodies[0], b)
			}
		}
		var page httpapi.ConfirmationPage
		if p.call("GET", "/v1/confirmations", nil).want(t, 200, &page); len(page.Items) != 1 {
			t.Errorf("%d confirmations, want 1", len(page.Items))
		}
		body["yield"] = "3"
		p.call("POST", "/v1/confirmations", body, "Idempotency-Key", "key-0000000000001").refused(t, 422, "duplicate")
		var record httpapi.AuditPage
		p.call("GET", "/v1/audit-entries?action=confirmation.create", nil).want(t, 200, &record)
		if len(record.Items) != 1 || record.Items[0].Outcome != audit.Done || record.Items[0].Actor != "local" || record.Items[0].From != "127.0.0.1" {
			t.Errorf("audit record %+v", record.Items)
		}
	})
}

// TestAnActIsOneActAfterItsKeyIsForgotten: a terminal that was off for a day repeats what it did not hear the answer of.
func TestAnActIsOneActAfterItsKeyIsForgotten(t *testing.T) {
	at := time.Now()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		o := p.order()
		acts := []struct {
			path string
			body object
		}{
			{"/v1/orders", object{"material": "BIKE", "quantity": "3", "unit": "PCE"}},
			{"/v1/confirmations", object{"order": o.ID, "operation": "0010", "yield": "2"}},
			{"/v1/movements", object{"type": "issue", "order": o.ID, "items": []object{{"material": "FRAME", "batch": "F-1", "quantity": "1"}}}},
			{"/v1/lots", object{"material": "FRAME", "number": "F-2"}},
		}
		var first []string
		send := func() (where []string) {
			for i, act := range acts {
				a := p.call("POST", act.path, act.body, "Idempotency-Key", fmt.Sprintf("key-000000000000%d", i)).want(t, 201, nil)
				where = append(where, a.header.Get("Location"))
			}
			return where
		}
		first = send()
		at = at.Add(25 * time.Hour)
		if n, err := access.New(db).Forget(t.Context()); n != int64(len(acts)) || err != nil {
			t.Fatalf("forgot %d keys, %v, want %d", n, err, len(acts))
		}
		if diff := cmp.Diff(first, send()); diff != "" {
			t.Errorf("made by the repetition (-first +then):\n%s", diff)
		}
		acts[1].body["yield"] = "3"
		p.call("POST", acts[1].path, acts[1].body, "Idempotency-Key", "key-0000000000001").refused(t, 422, "duplicate")
	}, storetest.WithClock(func() time.Time { return at }))
}

func TestEachReportIsTakenReadAndTakenBack(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		o := p.order()
		var lot httpapi.LotAct
		p.call("POST", "/v1/lots", object{"material": "FRAME", "number": "F-1"}).want(t, 201, &lot)
		reports := []struct{ name, path, body string }{
			{"confirmation", "confirmations", `{"order":"ORDER","operation":"0010","yield":"4","start":"2026-01-05T06:00:00+01:00","end":"2026-01-05T07:00:00+01:00","machineTime":"60","timeUnit":"MIN"}`},
			{"movement", "movements", `{"type":"issue","order":"ORDER","items":[{"material":"FRAME","batch":"F-1","quantity":"4"}]}`},
			{"inspection", "inspection-results", `{"order":"ORDER","characteristic":"weight","value":"-0.5","lowerLimit":"-1.0","upperLimit":"1.0"}`},
			{"lot", "lots", `{"material":"BIKE","order":"ORDER","quantity":"4","unit":"PCE"}`},
		}
		for _, r := range reports {
			t.Run(r.name, func(t *testing.T) {
				var made map[string]object
				a := p.call("POST", "/v1/"+r.path, strings.ReplaceAll(r.body, "ORDER", o.ID)).want(t, 201, &made)
				var read object
				p.call("GET", a.header.Get("Location"), nil).want(t, 200, &read)
				if diff := cmp.Diff(made[r.name], read); diff != "" {
					t.Errorf("%s (-answered +read):\n%s", r.name, diff)
				}
				var page struct{ Items []object }
				if p.call("GET", "/v1/"+r.path+"?order="+o.ID, nil).want(t, 200, &page); len(page.Items) != 1 {
					t.Errorf("list has %d, want 1", len(page.Items))
				}
				p.call("GET", "/v1/"+r.path+"/none", nil).refused(t, 404, "not-found")
				if r.name != "confirmation" && r.name != "movement" {
					return
				}
				back := fmt.Sprintf("/v1/%s/%v/reverse", r.path, read["id"])
				p.call("POST", back, object{"reason": "typing error"}).want(t, 201, &made)
				if made[r.name]["reverses"] != read["id"] {
					t.Errorf("reversal %v", made[r.name])
				}
				p.call("POST", back, object{"reason": "typing error"}).refused(t, 409, "conflict")
				p.call("POST", back, object{}).refused(t, 400, "contract")
			})
		}
	})
}

func TestMasterData(t *testing.T) {
	p := open(t, storetest.SQLite(t))
	for _, path := range []string{"/materials/BIKE", "/work-centres/WELD", "/boms/BIKE", "/routings/BIKE"} {
		p.call("GET", "/v1"+path, nil).want(t, 200, nil)
		p.call("GET", "/v1"+path+"X", nil).refused(t, 404, "not-found")
	}
	p.call("GET", "/v1/boms/BIKE?on=2020-02-29", nil).want(t, 200, nil)
	p.call("GET", "/v1/routings/BIKE?on=2026-02-29", nil).refused(t, 422, "invalid")
	p.call("GET", "/v1/boms/BIKE?on=soon", nil).refused(t, 400, "contract")
	for path, n := range map[string]int{"/materials": 2, "/materials?prefix=FR": 1, "/work-centres": 1} {
		var page struct{ Items []object }
		if p.call("GET", "/v1"+path, nil).want(t, 200, &page); len(page.Items) != n {
			t.Errorf("%s has %d, want %d", path, len(page.Items), n)
		}
	}
}
