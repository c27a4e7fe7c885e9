package odata

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
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
