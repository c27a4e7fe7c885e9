package alert_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAlertsAreCountedAndTheirEntriesBounded raises more in a minute than get entries, and one in the next.
func TestAlertsAreCountedAndTheirEntriesBounded(t *testing.T) {
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		metrics := prometheus.NewRegistry()
		a := alert.New(slog.New(slog.DiscardHandler))
		metrics.MustRegister(a.Collector())
		raise := func(object string) {
			t.Helper()
			if err := db.InTx(t.Context(), func(tx *store.Tx) error {
				return a.Raise(t.Context(), tx, "inbound.refused", object, errors.New("altered"))
			}); err != nil {
				t.Fatal(err)
			}
		}
		for range alert.Most + 5 {
			raise("link/erp")
		}
		raise("link/other")
		now = now.Add(time.Minute)
		raise("link/erp")

		var entries []audit.Entry
		if err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			entries, err = audit.List(t.Context(), tx, audit.Filter{Action: "inbound.refused", Limit: 1000})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got, want := len(entries), alert.Most+2; got != want {
			t.Errorf("%d entries, want %d", got, want)
		}
		if got := entries[0].Reason; !strings.Contains(got, "and 5 more") {
			t.Errorf("the last entry says %q, want it to tell of 5 more", got)
		}
		if got := entries[0]; got.Outcome != audit.Refused || got.Object != "link/erp" || got.Actor == "" {
			t.Errorf("got %+v", got)
		}
		want := "# HELP holdfast_alerts_total What must not pass unseen, by sort.\n# TYPE holdfast_alerts_total counter\n" +
			"holdfast_alerts_total{alert=\"inbound.refused\"} 17\n"
		if err := testutil.GatherAndCompare(metrics, strings.NewReader(want), "holdfast_alerts_total"); err != nil {
			t.Error(err)
		}
	}, storetest.WithClock(func() time.Time { return now }))
}

// TestAlertOfWhatWasUndoneIsNone rolls back.
func TestAlertOfWhatWasUndoneIsNone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		metrics := prometheus.NewRegistry()
		a := alert.New(slog.New(slog.DiscardHandler))
		metrics.MustRegister(a.Collector())
		undone := errors.New("undone")
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			return errors.Join(a.Raise(t.Context(), tx, "inbound.refused", "link/erp", errors.New("altered")), undone)
		})
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if n, err := testutil.GatherAndCount(metrics, "holdfast_alerts_total"); n != 0 || err != nil {
			t.Errorf("%d alerts, %v, want none", n, err)
		}
	})
}

// TestWhatWasUndoneTakesNoEntryFromAnother rolls back as often as a minute has entries, and then commits.
func TestWhatWasUndoneTakesNoEntryFromAnother(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		a := alert.New(slog.New(slog.DiscardHandler))
		undone := errors.New("undone")
		raise := func(n int, end error) {
			t.Helper()
			if err := db.InTx(t.Context(), func(tx *store.Tx) error {
				for range n {
					if err := a.Raise(t.Context(), tx, "inbound.refused", "link/erp", errors.New("altered")); err != nil {
						return err
					}
				}
				return end
			}); !errors.Is(err, end) {
				t.Fatal(err)
			}
		}
		for range alert.Most {
			raise(1, undone)
		}
		raise(alert.Most+5, undone)
		raise(alert.Most+5, nil) // all in one transaction: they have no more entries than in several
		raise(1, nil)
		var entries []audit.Entry
		if err := db.View(t.Context(), func(tx *store.Tx) (err error) {
			entries, err = audit.List(t.Context(), tx, audit.Filter{Action: "inbound.refused", Limit: 1000})
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if got, want := len(entries), alert.Most; got != want {
			t.Errorf("%d entries, want %d", got, want)
		}
	}, storetest.WithClock(func() time.Time { return time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC) }))
}
