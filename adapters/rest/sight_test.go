package rest

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"holdfast/internal/message"
)

// feed is an ERP that gives what it holds at each call.
func feed(t *testing.T, items *atomic.Pointer[string]) Config {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = fmt.Fprintf(w, `{"things":[%s],"token":"1"}`, *items.Load())
	}))
	t.Cleanup(s.Close)
	c := patient(s.URL, specFile(t, pollDocument))
	poll := thingsPoll()
	poll.Digest, poll.Lane, poll.LaneNumber = "", "", ""
	c.Polls = []PollConfig{poll}
	return c
}

// TestWhatChangesWithoutAnotherVersionIsAMessageOfItsOwn: an ERP whose version is a time to the second has one for two changes. Each comes once and
// after the one before, also one that was there before; a crash between two polls reads the same once more, in a new process.
func TestWhatChangesWithoutAnotherVersionIsAMessageOfItsOwn(t *testing.T) {
	var items atomic.Pointer[string]
	c := feed(t, &items)
	cursor, seen, last := "", map[string]bool{}, ""
	for i, name := range []string{"A", "B", "A", "B", "A"} {
		item := `{"id":"1","v":"2026-11-24T06:00:00Z","name":"` + name + `"},{"id":"2","v":"7","name":"C"}`
		items.Store(&item)
		crashed, _, err := open(t, c).Polls()[0].Poll(t.Context(), cursor)
		if err != nil || len(crashed) != 2 {
			t.Fatalf("change %d: %v, %v", i, crashed, err)
		}
		batch, next, err := open(t, c).Polls()[0].Poll(t.Context(), cursor)
		if err != nil || len(batch) != 2 || batch[0].ID != crashed[0].ID || seen[batch[0].ID] || seen[batch[1].ID] != (i > 0) {
			t.Fatalf("change %d brought %v, %v; before the crash it was %s", i, batch, err, crashed[0].ID)
		}
		if n, err := message.CompareVersions(batch[0].ObjectVersion, last); last != "" && (err != nil || n <= 0) {
			t.Errorf("change %d: version %q does not come after %q: %v", i, batch[0].ObjectVersion, last, err)
		}
		seen[batch[0].ID], seen[batch[1].ID], last, cursor = true, true, batch[0].ObjectVersion, next
		again, next, err := open(t, c).Polls()[0].Poll(t.Context(), cursor)
		if err != nil || next != cursor || again[0].ID != batch[0].ID || again[0].ObjectVersion != last {
			t.Errorf("a call without a change brought %v at %q, %v", again, next, err)
		}
	}
	if seen["thing/1@2026-11-24T06:00:00Z"] != true {
		t.Errorf("the first state of a version is not named by it alone: %v", seen)
	}
}

// TestAPollRemembersALimitedNumberOfObjects, those that it saw last.
func TestAPollRemembersALimitedNumberOfObjects(t *testing.T) {
	var items atomic.Pointer[string]
	p := open(t, feed(t, &items)).Polls()[0]
	var all []string
	for i := range mostSights + 5 {
		all = append(all, fmt.Sprintf(`{"id":"%d","v":"1"}`, i))
	}
	first, second := strings.Join(all[:mostSights], ","), strings.Join(all[mostSights:], ",")
	items.Store(&first)
	_, cursor, err := p.Poll(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	items.Store(&second)
	if _, cursor, err = p.Poll(t.Context(), cursor); err != nil {
		t.Fatal(err)
	}
	at, err := readPlace(cursor)
	if _, there := at.seen[fmt.Sprint(mostSights)]; err != nil || len(at.seen) != mostSights || !there {
		t.Errorf("%d objects, the last one %t, %v", len(at.seen), there, err)
	}
}
