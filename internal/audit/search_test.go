package audit_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/audit"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestSearchFindsByEachOfItsFiltersAndCounts: by person, action, object, time, outcome and words, on both databases the same.
func TestSearchFindsByEachOfItsFiltersAndCounts(t *testing.T) {
	hour := func(n int) time.Time { return at().Add(time.Duration(n) * time.Hour) }
	entries := []audit.Entry{
		{At: hour(0), Actor: "user:anna", Action: "msg.discard", Object: "message/1", Reason: "Öl über Maß"},
		{At: hour(1), Actor: "local:anna", Action: "link.pause", Object: "link/erp", After: []byte(`{"batch":"B-77"}`)},
		{At: hour(2), Actor: "user:hanna", Action: "msg.discard", Object: "message/2", Outcome: audit.Refused, Reason: "100% scrap_x"},
		{At: hour(3), Actor: "anna", From: "10.0.0.7", Action: "msg.amend", Object: "message/1"},
		{At: hour(4), Actor: "holdfast", Action: audit.LanesMoved, Object: "lanes"},
	}
	tests := []struct {
		name    string
		filter  audit.Filter
		want    []int64
		matched int64
	}{
		{"a person in every list of names, and nobody of a longer name", audit.Filter{Person: "anna"}, []int64{4, 2, 1}, 3},
		{"a person of one list", audit.Filter{Person: "user:anna"}, []int64{1}, 1},
		{"an outcome", audit.Filter{Outcome: audit.Refused}, []int64{3}, 1},
		{"since a time, which counts", audit.Filter{Since: hour(2)}, []int64{4, 3}, 2},
		{"until a time, which does not", audit.Filter{Until: hour(2)}, []int64{2, 1}, 2},
		{"between two times, of an object", audit.Filter{Since: hour(0), Until: hour(3), Object: "message/"}, []int64{3, 1}, 2},
		{"a word, in whatever case", audit.Filter{Text: "öL"}, []int64{1}, 1},
		{"a word of what was after", audit.Filter{Text: "b-77"}, []int64{2}, 1},
		{"an address", audit.Filter{Text: "10.0.0.7"}, []int64{4}, 1},
		{"every word must be there", audit.Filter{Text: "discard message/2"}, []int64{3}, 1},
		{"a sign that databases take for any text is itself", audit.Filter{Text: "%"}, []int64{3}, 1},
		{"and so is the other", audit.Filter{Text: "p_x"}, []int64{3}, 1},
		{"words and filters together", audit.Filter{Text: "discard", Person: "anna"}, []int64{1}, 1},
		{"a page of words, with the count of all", audit.Filter{Text: "message", Limit: 1}, []int64{4}, 3},
		{"its next page", audit.Filter{Text: "message", Limit: 1, Before: 4}, []int64{3}, 3},
		{"a page of a filter, with the count of all", audit.Filter{Person: "anna", Limit: 1, Before: 4}, []int64{2}, 3},
		{"nothing", audit.Filter{Text: "nowhere"}, []int64{}, 0},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		write(t, db, entries...)
		for _, tt := range tests {
			t.Run(tt.name, func(t *testing.T) {
				var page []audit.Entry
				var matched int64
				err := db.View(t.Context(), func(tx *store.Tx) (err error) {
					page, matched, err = audit.Search(t.Context(), tx, tt.filter)
					return err
				})
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(tt.want, numbers(page)); diff != "" || matched != tt.matched {
					t.Errorf("%d matched, want %d; entries (-want +got):\n%s", matched, tt.matched, diff)
				}
				if diff := cmp.Diff(tt.want, numbers(list(t, db, tt.filter))); diff != "" {
					t.Errorf("List finds something else (-want +got):\n%s", diff)
				}
			})
		}
	})
}

func numbers(es []audit.Entry) []int64 {
	out := []int64{}
	for _, e := range es {
		out = append(out, e.Seq)
	}
	return out
}

// TestWordsAreFoundBeyondWhatIsReadAtATime: the search reads on until a page is full, and counts to the end.
func TestWordsAreFoundBeyondWhatIsReadAtATime(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		var many []audit.Entry
		for i := range 1203 {
			many = append(many, audit.Entry{Actor: "a", Action: "order.start", Object: fmt.Sprintf("order/%d", i%600)})
		}
		write(t, db, many...)
		f := audit.Filter{Text: "order/2"}
		var matched int64
		err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			_, matched, err = audit.Search(t.Context(), tx, f)
			return err
		})
		want := int64(0)
		for _, e := range many {
			if len(e.Object) >= 7 && e.Object[:7] == "order/2" {
				want++
			}
		}
		if err != nil || matched != want {
			t.Errorf("%d matched, want %d: %v", matched, want, err)
		}
		f.Limit = 300
		if got := len(list(t, db, f)); int64(got) != want {
			t.Errorf("List finds %d, want %d", got, want)
		}
	})
}
