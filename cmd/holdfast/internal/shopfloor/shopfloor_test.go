package shopfloor_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/cmd/holdfast/dataset"
	"holdfast/cmd/holdfast/internal/shopfloor"
	"holdfast/internal/decimal"
	"holdfast/internal/mes"
)

// request is what the plant was sent.
type request struct{ path, key, body string }

// plant is an API that answers as it is told, and remembers what it was sent.
type plant struct {
	mu   sync.Mutex
	sent []request // guarded by mu
}

// serve answers the nth request, from 0 on, by answer; a status of 0 cuts the connection.
func (p *plant) serve(t *testing.T, answer func(n int, r request) (status int, body string)) *shopfloor.Client {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got := request{r.URL.RequestURI(), r.Header.Get("Idempotency-Key"), string(body)}
		p.mu.Lock()
		n := len(p.sent)
		p.sent = append(p.sent, got)
		p.mu.Unlock()
		status, text := answer(n, got)
		if status == 0 {
			panic(http.ErrAbortHandler)
		}
		w.WriteHeader(status)
		fmt.Fprint(w, text)
	}))
	t.Cleanup(srv.Close)
	c := shopfloor.NewClient(srv.URL)
	t.Cleanup(c.Close)
	return c
}

func builtin(t *testing.T) *dataset.Set {
	t.Helper()
	set, err := dataset.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// TestAnActIsRepeatedUnderOneKey: while the plant does not answer, or cannot, the same act is sent; its promise is kept once.
func TestAnActIsRepeatedUnderOneKey(t *testing.T) {
	var p plant
	api := p.serve(t, func(n int, _ request) (int, string) {
		if n > 3 {
			return 400, ""
		}
		return []int{0, 503, 500, 201}[n], `{"order": {"id": "o1"}, "erp": {"messages": [{"id": "m1"}]}}`
	})
	set := builtin(t)
	f := shopfloor.New(set, api, 0)
	o, err := f.Own(t.Context(), set.Orders[0])
	if err != nil || o.ID != "o1" {
		t.Fatalf("made %q, %v", o.ID, err)
	}
	if got := len(p.sent); got != 4 {
		t.Fatalf("%d requests, want 4", got)
	}
	for _, r := range p.sent {
		if r != p.sent[0] || len(r.key) < 16 {
			t.Errorf("sent %+v, then %+v: want the same act under the same key", p.sent[0], r)
		}
	}
	if got := f.Promised(); !slices.Equal(got, []string{"m1"}) {
		t.Errorf("promised %q, want m1 once", got)
	}
	if got := f.Counts().Own; got != 1 {
		t.Errorf("counted %d orders, want 1", got)
	}
	if _, err := f.Own(t.Context(), set.Orders[0]); err == nil || p.sent[4].key == p.sent[0].key {
		t.Errorf("another act has the key of the first, or was done: %v", err)
	}
}

// TestARefusalIsNotRepeated: a plant that understood and refused is not asked again, and nothing is counted.
func TestARefusalIsNotRepeated(t *testing.T) {
	var p plant
	api := p.serve(t, func(int, request) (int, string) { return 409, "the order is closed" })
	set := builtin(t)
	f := shopfloor.New(set, api, 0)
	if _, err := f.Own(t.Context(), set.Orders[0]); err == nil || !strings.Contains(err.Error(), "the order is closed") {
		t.Errorf("got %v, want the plant's words", err)
	}
	if got, counts := len(p.sent), f.Counts(); got != 1 || counts != (shopfloor.Counts{}) {
		t.Errorf("%d requests and %+v counted, want 1 and nothing", got, counts)
	}
}

// TestTheFloorStopsWithItsContext: a plant that never answers holds nobody for good.
func TestTheFloorStopsWithItsContext(t *testing.T) {
	var p plant
	ctx, cancel := context.WithCancel(t.Context())
	api := p.serve(t, func(int, request) (int, string) { cancel(); return 503, "" })
	set := builtin(t)
	if _, err := shopfloor.New(set, api, 0).Own(ctx, set.Orders[0]); err == nil {
		t.Error("the act was done")
	}
	if got := len(p.sent); got != 1 {
		t.Errorf("%d requests, want 1", got)
	}
}

func TestOrdersAreReadToTheLastPage(t *testing.T) {
	var p plant
	api := p.serve(t, func(n int, _ request) (int, string) {
		return 200, []string{`{"items": [{"id": "a"}], "nextCursor": "c 1"}`, `{"items": [{"id": "b"}]}`}[n]
	})
	all, err := api.Orders(t.Context(), "released,started")
	if err != nil || len(all) != 2 || all[1].ID != "b" {
		t.Errorf("read %+v, %v", all, err)
	}
	if got, want := p.sent[1].path, "/v1/orders?cursor=c+1&limit=200&status=released%2Cstarted"; got != want {
		t.Errorf("the second page is %s, want %s", got, want)
	}
}

var ids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)

// work has one order worked on and gives the acts, without the IDs that are new each time.
func work(t *testing.T, seed uint64) []string {
	t.Helper()
	var p plant
	api := p.serve(t, func(int, request) (int, string) { return 201, `{"lot": {"id": "l1", "number": "L1"}}` })
	set := builtin(t)
	m := set.Material("FG-1001")
	o := mes.Order{ID: "o1", Number: "1", Material: m.Number, Quantity: decimal.FromInt(40), Unit: "BX"}
	for _, op := range m.Routing {
		o.Operations = append(o.Operations, mes.Operation{Number: op.Number, Control: mes.ControlKey(op.Control)})
	}
	for _, i := range m.BOM.Items {
		o.Components = append(o.Components, mes.Component{Item: i.Item, Material: i.Component, Operation: i.Operation, Quantity: i.Quantity, Unit: i.Unit})
	}
	if err := shopfloor.New(set, api, 0).Work(t.Context(), o, seed); err != nil {
		t.Fatal(err)
	}
	var acts []string
	for _, r := range p.sent {
		acts = append(acts, ids.ReplaceAllString(r.path+" "+r.body, "ID"))
	}
	return acts
}

// TestASeedReproducesItsActs: the same seed and order make the same acts, and other seeds make others.
func TestASeedReproducesItsActs(t *testing.T) {
	first := work(t, 7)
	if diff := cmp.Diff(first, work(t, 7)); diff != "" {
		t.Errorf("the same seed (-first +second):\n%s", diff)
	}
	if len(first) < 5 || !strings.Contains(first[0], "/start") || !strings.Contains(first[len(first)-1], "/complete") {
		t.Errorf("%d acts from %q, want an order from its start to its completion", len(first), first)
	}
	same := 0
	for seed := range uint64(5) {
		if slices.Equal(first, work(t, 100+seed)) {
			same++
		}
	}
	if same == 5 {
		t.Error("the seed changes nothing")
	}
}
