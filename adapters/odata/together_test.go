package odata

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// TestQueriesGoTogether: in one request where the link joins writes, one by one elsewhere and where the service takes no such batch; what a part
// has on further pages is read, and what fails in one of them is an error.
func TestQueriesGoTogether(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			w, c := d.seeded(t, 12, edmx.Config{Page: 5})
			qs := []Query{
				{Set: d.set, Where: Less("OrderID", "000000000007"), OrderBy: []Order{{Field: "OrderID"}}},
				{Set: d.set, Where: Equal("OrderID", "nobody's")},
				{Set: d.set, Where: AtLeast("OrderID", "000000000010"), OrderBy: []Order{{Field: "OrderID", Descending: true}}, Top: 1},
			}
			read := func() (got []string, calls int, err error) {
				before := w.mock.Calls()
				err = c.Together(t.Context(), qs, func(n int, e Entity) error {
					got = append(got, fmt.Sprintf("%d %v", n, e.Values["OrderID"]))
					return nil
				})
				after := w.mock.Calls()
				return got, after[http.MethodGet] + after[http.MethodPost] - before[http.MethodGet] - before[http.MethodPost], err
			}
			want := []string{"0 000000000000", "0 000000000001", "0 000000000002", "0 000000000003", "0 000000000004", "0 000000000005", "0 000000000006", "2 000000000011"}
			if _, _, err := read(); err != nil { // with $metadata and token
				t.Fatal(err)
			}
			got, calls, err := read()
			if diff := cmp.Diff(want, got); diff != "" || err != nil {
				t.Errorf("%v, (-want +got)\n%s", err, diff)
			}
			apart := 4 // three, and the second page of the first
			if d.batch > 1 {
				apart = 2
			}
			if calls != apart {
				t.Errorf("%d requests, want %d", calls, apart)
			}
			if d.batch == 1 {
				return
			}
			for _, status := range []int{400, 403, 405, 501} {
				w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Status, Status: status, Method: http.MethodPost, Count: 1})
				got, _, err := read()
				if diff := cmp.Diff(want, got); diff != "" || err != nil {
					t.Errorf("where the batch is answered with %d: %v, (-want +got)\n%s", status, err, diff)
				}
			}
			for _, f := range []erpmock.Fault{
				{Kind: erpmock.Status, Status: 503, Method: http.MethodPost, Count: 1},
				{Kind: erpmock.Half, Phase: erpmock.After, Method: http.MethodPost, Count: 1},
				{Kind: erpmock.Garbage, Phase: erpmock.After, Method: http.MethodPost, Count: 1},
				{Kind: erpmock.Lost, Method: http.MethodPost, Count: 1},
			} {
				w.mock.SetFaults(f)
				if _, _, err := read(); problem.KindOf(err) != problem.Unavailable {
					t.Errorf("%s: %v", f.Kind, err)
				}
			}
			w.mock.SetFaults()
			qs[1].Set = "Nothing"
			if _, _, err := read(); problem.KindOf(err) != problem.NotFound {
				t.Errorf("a set that is not there: %v", err)
			}
		})
	}
}

// TestWhatBecameOfABatchIsReadBesideIt: without a request more, where the batch is no JSON; whatever becomes of the reading, the writes have their outcomes.
func TestWhatBecameOfABatchIsReadBesideIt(t *testing.T) {
	for _, d := range dialects()[2:] {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{})
			items := w.mock.Model().Sets[d.set].Of.Links[0].Name
			var mu sync.Mutex
			found := map[string]int{}
			b := Beside{Target: "conf/" + d.set, Expand: items, Wants: func(id string) bool { return id != "m0" }, Found: func(e Entity) {
				mu.Lock()
				defer mu.Unlock()
				list, _ := e.Values[items].([]Entity)
				found[str(e.Values["OrderID"])] += len(list)
			}}
			deliver := func(prefix string) (verdicts []message.Verdict) {
				var ds []message.Delivery
				for i := range 30 {
					doc := fmt.Sprintf(`{"OrderID":"%s%d","ConfirmationYieldQuantity":"1.000",%q:[{"Material":"M1","QuantityInEntryUnit":"1.000"},{"Material":"M2","QuantityInEntryUnit":"1.000"}]}`, prefix, i, items)
					ds = append(ds, w.of(t, fmt.Sprintf("%s%d", prefix, i), d.set, doc))
				}
				for _, o := range w.link.DeliverBeside(t.Context(), ds, b) {
					verdicts = append(verdicts, o.Verdict)
				}
				slices.Sort(verdicts)
				return slices.Compact(verdicts)
			}
			before := w.mock.Calls()
			if got := deliver("m"); !slices.Equal(got, []message.Verdict{message.Delivered}) {
				t.Fatalf("got %v", got)
			}
			after := w.mock.Calls()
			if n := after[http.MethodPost] - before[http.MethodPost]; n != 1 || after[http.MethodGet]-before[http.MethodGet] != 1 { // the $metadata
				t.Errorf("%d batches, %v calls", n, after)
			}
			want := map[string]int{}
			for i := 1; i < 30 && d.format != JSON; i++ {
				want[fmt.Sprintf("m%d", i)] = 2
			}
			if diff := cmp.Diff(want, found); diff != "" {
				t.Errorf("found (-want +got)\n%s", diff)
			}
			b.Expand, found = "Nothing", map[string]int{}
			if got := deliver("n"); !slices.Equal(got, []message.Verdict{message.Delivered}) || len(found) > 0 {
				t.Errorf("where it cannot be read: %v, %v", got, found)
			}
			b.Expand = items
			w.mock.SetFaults(erpmock.Fault{Kind: erpmock.Lost, Method: http.MethodPost, Count: 1})
			if got := deliver("o"); !slices.Equal(got, []message.Verdict{message.Unsure}) || len(found) > 0 {
				t.Errorf("where the answer is lost: %v, %v", got, found)
			}
		})
	}
}

// TestABatchThatFailsBesideItsReadingGoesWithout: a gateway that takes no reads beside writes, or is slow with them, must not cost each batch its answer. For an
// hour they go alone.
func TestABatchThatFailsBesideItsReadingGoesWithout(t *testing.T) {
	for _, fault := range []erpmock.Fault{
		{Kind: erpmock.Status, Status: 400, Body: `{"error":{"code":"/IWFND/CM_MGW/096","message":{"lang":"en","value":"The batch is malformed"}}}`},
		{Kind: erpmock.Status, Status: 500},
		{Kind: erpmock.Lost},
	} {
		d := dialects()[2]
		w := d.start(t, edmx.Config{})
		at := time.Now()
		w.link.now = func() time.Time { return at }
		items := w.mock.Model().Sets[d.set].Of.Links[0].Name
		found := 0
		b := Beside{Target: "conf/" + d.set, Expand: items, Wants: func(string) bool { return true }, Found: func(Entity) { found++ }}
		deliver := func(name string) []message.Outcome {
			return w.link.DeliverBeside(t.Context(), []message.Delivery{w.delivery(t, name+"1"), w.delivery(t, name+"2")}, b)
		}
		fault.Method, fault.Count = http.MethodPost, 1
		w.mock.SetFaults(fault)
		deliver("a")
		for _, name := range []string{"b", "c"} {
			if out := deliver(name); out[0].Verdict != message.Delivered || out[1].Verdict != message.Delivered || found != 0 {
				t.Errorf("after %s %d: %v, %d found", fault.Kind, fault.Status, out, found)
			}
		}
		at = at.Add(time.Hour)
		if out := deliver("d"); out[0].Verdict != message.Delivered || found != 2 {
			t.Errorf("an hour after %s %d: %v, %d found", fault.Kind, fault.Status, out, found)
		}
	}
}

// TestAnAnswerThatBreaksOffInWhatIsReadTellsOfTheWrites: each write whose part is whole is done.
func TestAnAnswerThatBreaksOffInWhatIsReadTellsOfTheWrites(t *testing.T) {
	body := whole(set("c1", http1(201)), set("c2", http1(201)), http1(200))
	parts, err := multipartAnswers([]byte(body[:len(body)-20]), "multipart/mixed; boundary=b", []int{1, 1, 1})
	if got, want := answered(parts), [][]int{{201}, {201}, {-1}}; !slices.EqualFunc(got, want, slices.Equal) || err == nil {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
}
