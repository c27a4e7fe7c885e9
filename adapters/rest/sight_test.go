package rest

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
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
	const most = 20
	var items atomic.Pointer[string]
	c := feed(t, &items)
	c.Polls[0].Remember = most
	p := open(t, c).Polls()[0]
	var all []string
	for i := range most + 5 {
		all = append(all, fmt.Sprintf(`{"id":"%d","v":"1"}`, i))
	}
	first, second := strings.Join(all[:most], ","), strings.Join(all[most:], ",")
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
	if _, there := at.seen[fmt.Sprint(most)]; err != nil || len(at.seen) != most || !there || at.forgotten == "" {
		t.Errorf("%d objects, the last one %t, forgotten %q, %v", len(at.seen), there, at.forgotten, err)
	}
	for _, bad := range []int{-1, mostRemember + 1} {
		c.Polls[0].Remember = bad
		if _, err := Open(c, noSecret, slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "polls[0].remember") {
			t.Errorf("remember: %d: %v", bad, err)
		}
	}
}

// TestHoweverManyObjectsTheirChangesComeOnce: an ERP gives all that it has at each call. What changes without another version comes, and what has not
// changed has no other ID and makes no other cursor, by which the ERP would be asked again without a pause: also of more objects than are remembered.
func TestHoweverManyObjectsTheirChangesComeOnce(t *testing.T) {
	for name, tt := range map[string]struct{ objects, remember int }{
		"501": {501, 0}, "10,000": {10_000, 0}, "more than by default": {10_005, 0}, "more than was asked for": {60, 50},
	} {
		t.Run(name, func(t *testing.T) {
			var items atomic.Pointer[string]
			c := feed(t, &items)
			c.Polls[0].Remember = tt.remember
			give := func(state func(i int) string) {
				var all []string
				for i := range tt.objects {
					all = append(all, fmt.Sprintf(`{"id":"%d","v":"2026-11-24T06:00:00Z","name":%q}`, i, state(i)))
				}
				text := strings.Join(all, ",")
				items.Store(&text)
			}
			taken, cursor := map[string]message.Incoming{}, ""
			poll := func() (fresh []message.Incoming) {
				for calls := 0; ; calls++ {
					batch, next, err := open(t, c).Polls()[0].Poll(t.Context(), cursor)
					if err != nil || calls > 3 {
						t.Fatalf("%d calls without an end, %v", calls, err)
					}
					for _, in := range batch {
						old, known := taken[in.ID]
						if known && string(old.Body) != string(in.Body) {
							t.Fatalf("%s is %s, and was %s: the inbox would refuse it", in.ID, in.Body, old.Body)
						}
						if !known {
							taken[in.ID], fresh = in, append(fresh, in)
						}
					}
					more := len(batch) > 0 && next != cursor
					if cursor = next; !more {
						return fresh
					}
				}
			}
			give(func(int) string { return "A" })
			for range 3 {
				poll()
			}
			for round, state := range []string{"B", "C"} {
				changed := []int{0, 1, tt.objects / 2, tt.objects - 2, tt.objects - 1}
				before := map[string]string{}
				for _, in := range taken {
					if v := before[in.Key]; v == "" || later(t, in.ObjectVersion, v) {
						before[in.Key] = in.ObjectVersion
					}
				}
				give(func(i int) string {
					if slices.Contains(changed, i) {
						return state
					}
					return "A"
				})
				found := map[string]bool{}
				for _, in := range poll() {
					if strings.Contains(string(in.Body), state) {
						found[in.Key] = later(t, in.ObjectVersion, before[in.Key])
					}
				}
				for _, i := range changed {
					if !found[fmt.Sprint(i)] {
						t.Errorf("round %d: the change of object %d did not come, or not after the state before", round, i)
					}
				}
				if again := poll(); len(again) > 0 {
					t.Errorf("round %d: without a change %d came, such as %s", round, len(again), again[0].ID)
				}
			}
		})
	}
}

// later tells whether one version comes after another.
func later(t *testing.T, a, b string) bool {
	t.Helper()
	n, err := message.CompareVersions(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}
