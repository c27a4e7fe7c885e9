package main

import (
	"context"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast/internal/store"
)

// TestStatusNamesACommandForWhatItCounts: what a person may have to act on is not a figure alone.
func TestStatusNamesACommandForWhatItCounts(t *testing.T) {
	s := status{Served: true, Inbox: inboxStatus{Rejected: 1, Gaps: 2}}
	var got strings.Builder
	if err := s.print(&got); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\n1 message was not believed: holdfast quarantine list --rejected\n",
		"\n2 inbound lanes wait for a number that has not come: holdfast quarantine lanes\n",
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("got %s\nwant it to say %q", got.String(), want)
		}
	}
}

// TestStatusSaysWhatIsInDoubt: nothing else tells a message that never gets an answer from one that an outage delays.
func TestStatusSaysWhatIsInDoubt(t *testing.T) {
	now := time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)
	s := status{At: now, Served: true, Links: []linkStatus{
		{Name: "erp", State: "up", InDoubt: 1, InDoubtSince: now.Add(-3 * time.Hour), patience: time.Minute}, {Name: "hub", State: "up"},
	}}
	var out strings.Builder
	if err := s.print(&out); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(strings.Fields(out.String()), " ") // wherever the lines are broken
	want := "IN DOUBT: 1 message on link erp may have reached the ERP and has no answer, the oldest since 2026-05-04T09:00:00Z (3h00m): " +
		"nothing while the ERP is away, and for 1m00s from when the ERP is asked for it (ask_after): before, its word that it does not have it is not believed, and nothing is sent anew. " +
		"If it answers others and this stays, it will not answer this by itself: see WHY in holdfast lane list --link erp, " +
		"and find out what the ERP makes of it"
	if !strings.Contains(got, want) || strings.Contains(got, "link hub may") {
		t.Errorf("got %q, want %q in it, and nothing of hub", got, want)
	}
}

// TestStatusNamesAPollOnce: adapter and inbox both put its name before what went wrong.
func TestStatusNamesAPollOnce(t *testing.T) {
	s := status{Served: true, Inbox: inboxStatus{Feeds: []feedStatus{
		{Name: "orders", Trouble: "poll orders: poll orders by listOrders: the ERP answered 503"}, {Name: "lots", Trouble: "the ERP answered 500"},
	}}}
	var got strings.Builder
	if err := s.print(&got); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"\npoll orders fails, it has not succeeded yet: by listOrders: the ERP answered 503\n",
		"\npoll lots fails, it has not succeeded yet: the ERP answered 500\n",
	} {
		if !strings.Contains(got.String(), want) {
			t.Errorf("got %s\nwant it to say %q", got.String(), want)
		}
	}
}

// TestALinkWhosePollsFailIsDegraded, as the console says it: in status, in link list and in the metrics.
func TestALinkWhosePollsFailIsDegraded(t *testing.T) {
	config := madePlant(t)
	p, _ := started(t, config, time.Now)
	defer func() { _ = p.Close() }()
	err := p.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO inbox_cursors (name, trouble, polled_at) VALUES ('erp/orders', 'poll erp/orders: the ERP answered 503', 1000000)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"status"}, {"link", "list"}} {
		if _, told := typed(t, config, "", args...); !strings.Contains(told, "erp   degraded  0") || !strings.Contains(told, "poll erp/orders fails: the ERP answered 503") {
			t.Errorf("%v says %s", args, told)
		}
	}
	if _, told := typed(t, config, "", "link", "list", "--json"); !strings.Contains(told, `"state": "degraded"`) || !strings.Contains(told, `"since": "1970-01-01T00:00:01Z"`) {
		t.Errorf("as JSON: %s", told)
	}
	const want = "# HELP holdfast_inbox_feed_trouble 1 while the polls of a feed fail: nothing new comes in over its link.\n# TYPE holdfast_inbox_feed_trouble gauge\n" +
		"holdfast_inbox_feed_trouble{feed=\"erp/orders\",link=\"erp\"} 1\n"
	if err := testutil.CollectAndCompare(&inboxFigures{p.db, p.inbox}, strings.NewReader(want), "holdfast_inbox_feed_trouble"); err != nil {
		t.Error(err)
	}
}

// ending ends what is written to it after so many lines.
type ending struct {
	strings.Builder
	lines int
	end   func()
}

// Write is io.Writer.
func (e *ending) Write(b []byte) (int, error) {
	n, err := e.Builder.Write(b)
	if strings.Count(e.String(), "\n") >= e.lines {
		e.end()
	}
	return n, err
}

// TestStatusIsSaidAgainUntilItIsEnded: one object a line, and the end by a person is no failure.
func TestStatusIsSaidAgainUntilItIsEnded(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(dir, "holdfast.yaml")
	for _, args := range [][]string{{"init", "--keys", "none", dir}, {"migrate", "up", "--config", config}} {
		if status := run(t.Context(), args, io.Discard, io.Discard); status != 0 {
			t.Fatalf("%v ended with %d", args, status)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	out := &ending{lines: 3, end: cancel}
	if got := run(ctx, []string{"status", "--watch", "--every", "1ms", "--json", "--config", config}, out, io.Discard); got != 0 {
		t.Errorf("it ended with %d, want 0", got)
	}
	n := 0
	for line := range strings.Lines(out.String()) {
		var s struct{ At time.Time }
		if err := json.Unmarshal([]byte(line), &s); err != nil || s.At.IsZero() {
			t.Errorf("line %s: %v", line, err)
		}
		n++
	}
	if n < 3 {
		t.Errorf("it was said %d times, want 3", n)
	}
}
