package console_test

import (
	"strings"
	"testing"
	"time"

	"holdfast/internal/console"
	"holdfast/internal/inbox"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestHowALinkStands: it is up only if nothing that goes over it is in trouble, either way.
func TestHowALinkStands(t *testing.T) {
	changed, polled := time.Date(2026, 5, 4, 6, 0, 0, 0, time.UTC), time.Date(2026, 5, 4, 7, 14, 0, 0, time.UTC)
	well := inbox.FeedStatus{Name: "erp/orders", PolledAt: polled}
	fails := inbox.FeedStatus{Name: "erp/lots", PolledAt: polled, Trouble: "poll erp/lots: the ERP answered 503"}
	never := inbox.FeedStatus{Name: "erp/items", Trouble: "connection refused"}
	others := inbox.FeedStatus{Name: "erp2/orders", Trouble: "connection refused"}
	tests := []struct {
		name       string
		link       outbox.Link
		feeds      []inbox.FeedStatus
		state, why string
		since      time.Time
	}{
		{"all is well", outbox.Link{Breaker: "closed"}, []inbox.FeedStatus{well, others}, "up", "", changed},
		{"never used", outbox.Link{}, nil, "up", "", changed},
		{"a poll fails", outbox.Link{Breaker: "closed"}, []inbox.FeedStatus{well, fails}, "degraded", "poll erp/lots fails: the ERP answered 503", polled},
		{"one never went well", outbox.Link{Breaker: "closed"}, []inbox.FeedStatus{fails, never}, "degraded", "poll erp/items fails: connection refused", time.Time{}},
		{"it is probed", outbox.Link{Breaker: "half-open", Trouble: "reset"}, []inbox.FeedStatus{fails}, "down", "reset", changed},
		{"it is paused", outbox.Link{Breaker: "open", Paused: true, Reason: "release"}, []inbox.FeedStatus{fails}, "paused", "release", changed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.link.Name, tt.link.ChangedAt = "erp", changed
			if state, why, since := console.Stand(tt.link, tt.feeds); state != tt.state || why != tt.why || !since.Equal(tt.since) {
				t.Errorf("got %s, %q since %s, want %s, %q since %s", state, why, since, tt.state, tt.why, tt.since)
			}
		})
	}
}

// TestALinkWhosePollsFailIsNotCalledUp, on any page, while nothing is owed over it.
func TestALinkWhosePollsFailIsNotCalledUp(t *testing.T) {
	for _, trouble := range []string{"", "poll erp/orders: the ERP answered 503"} {
		p := empty(t, storetest.SQLite(t))
		p.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `INSERT INTO inbox_cursors (name, trouble, polled_at) VALUES ('erp/orders', ?, ?)`, trouble, store.Micros(tx.Now.Add(-time.Hour)))
			return err
		})
		said := map[string][2]string{ // of a page: when it is well, and when it is not
			"":          {"Every link is up.", "Nothing new comes in over link erp: its polls fail."},
			"links":     {">up<", ">degraded<"},
			"shopfloor": {"The ERP is there.", "Nothing new comes from the ERP since "},
		}
		for path, says := range said {
			status, body := p.get("/console/" + path)
			want, not := says[0], says[1]
			if trouble != "" {
				want, not = not, want
			}
			if status != 200 || !strings.Contains(body, want) || strings.Contains(body, not) {
				t.Errorf("with trouble %q page %q (%d) must say %q and not %q: %s", trouble, path, status, want, not, body)
			}
		}
	}
}

// TestTheHeadlineTellsOfWhatWaitsForAPerson, also while a link is down, and of what came in and is in quarantine.
func TestTheHeadlineTellsOfWhatWaitsForAPerson(t *testing.T) {
	db := storetest.SQLite(t)
	if _, body := open(t, db).get("/console/"); !strings.Contains(body, "Link erp is down.") || !strings.Contains(body, "1 lane waits for a person besides.") {
		t.Errorf("it does not say that a lane waits: %s", body)
	}
	again := empty(t, storetest.SQLite(t))
	again.receive()
	if _, body := again.get("/console/"); !strings.Contains(body, "1 message of the ERP waits in quarantine for a person.") || strings.Contains(body, "Nothing waits for a person.") {
		t.Errorf("it does not say what is in quarantine: %s", body)
	}
}
