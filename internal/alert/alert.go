// Package alert tells people of what must not pass unseen: it writes an entry of the audit record, a line of the log and a figure.
//
// # Guarantees
//
//   - The entry is part of the transaction that it is raised in: what was refused and kept has its entry, or was not kept.
//   - The figure counts every alert. Whoever can raise alerts at will, since he can send anything, cannot fill the record with them: of one
//     sort about one object there are at most Most entries a minute from those that follow one another, and as many at most from each
//     transaction that is under way at the same time; the next one says how many there were besides.
//   - An alert whose transaction is undone counts for nothing: the next one has its entry.
package alert

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/audit"
	"holdfast/internal/store"
)

// Most is how many entries a minute an alert of one sort about one object has.
const Most = 10

// actor is who raises alerts, in the audit record.
const actor = "holdfast"

// mostSorts bounds what is remembered of those that were raised: objects may be named by strangers.
const mostSorts = 1000

// mostOpen bounds what is remembered of transactions that have not ended, or were undone.
const mostOpen = 64

// Alerts raises alerts. It is safe for use by many goroutines.
type Alerts struct {
	log    *slog.Logger
	raised *prometheus.CounterVec // alert

	mu    sync.Mutex // guards sorts
	sorts map[sort]*window
}

type sort struct{ name, object string }

// window is the present minute of a sort.
type window struct {
	began   time.Time
	entries int               // that are committed
	open    map[*store.Tx]int // entries that were raised and may not be committed yet; what was undone stays until it is cleared
	besides int               // without an entry, since the last one
}

// New returns Alerts.
func New(log *slog.Logger) *Alerts {
	a := &Alerts{log: log.With("part", "alert"), sorts: map[sort]*window{}}
	a.raised = prometheus.NewCounterVec(prometheus.CounterOpts{
		Namespace: "holdfast", Name: "alerts_total", Help: "What must not pass unseen, by sort.",
	}, []string{"alert"})
	return a
}

// Collector has the figure.
func (a *Alerts) Collector() prometheus.Collector { return a.raised }

// Raise tells of what has happened to an object, such as link/erp, in tx. name is one of few: it is a label of the figure.
func (a *Alerts) Raise(ctx context.Context, tx *store.Tx, name, object string, why error) error {
	s := sort{name, object}
	besides, due := a.due(s, tx)
	tx.AfterCommit(func() {
		a.raised.WithLabelValues(name).Inc()
		a.count(s, tx, besides, due)
	})
	if !due {
		return nil
	}
	reason := why.Error()
	if besides > 0 {
		reason = fmt.Sprintf("%s (and %d more since the last entry)", reason, besides)
	}
	tx.AfterCommit(func() { a.log.ErrorContext(ctx, "an alert", "alert", name, "object", object, "err", reason) })
	return audit.Append(ctx, tx, audit.Entry{Actor: actor, Action: name, Object: object, Reason: reason, Outcome: audit.Refused})
}

// due tells whether an alert gets an entry in tx, and how many before it got none. Of other transactions it counts only what is committed:
// one that is undone must not take the entry from the next.
func (a *Alerts) due(s sort, tx *store.Tx) (besides int, due bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.window(s, tx.Now)
	if w.entries+w.open[tx] >= Most {
		return 0, false
	}
	if w.open[tx] == 0 {
		besides = w.besides
	}
	if len(w.open) >= mostOpen {
		clear(w.open) // most of them were undone
	}
	w.open[tx]++
	return besides, true
}

// count notes an alert whose transaction is committed. besides is what its entry has told.
func (a *Alerts) count(s sort, tx *store.Tx, besides int, entry bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.window(s, tx.Now)
	delete(w.open, tx)
	if !entry {
		w.besides++
		return
	}
	w.entries++
	w.besides = max(0, w.besides-besides)
}

// window is that of a sort at a time. The caller holds mu.
func (a *Alerts) window(s sort, now time.Time) *window {
	w := a.sorts[s]
	if w == nil {
		if len(a.sorts) >= mostSorts {
			clear(a.sorts)
		}
		w = &window{began: now, open: map[*store.Tx]int{}}
		a.sorts[s] = w
	}
	if since := now.Sub(w.began); since >= time.Minute || since < 0 {
		w.began, w.entries = now, 0
		clear(w.open)
	}
	return w
}
