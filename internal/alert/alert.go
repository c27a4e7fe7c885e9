// Package alert tells people of what must not pass unseen: it writes an entry of the audit record, a line of the log and a figure.
//
// # Guarantees
//
//   - The entry is part of the transaction that it is raised in: what was refused and kept has its entry, or was not kept.
//   - The figure counts every alert. Whoever can raise alerts at will, since he can send anything, cannot fill the record with them: of one
//     sort about one object there are at most Most entries a minute, and the next one says how many there were besides.
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
	entries int
	besides int // without an entry, since the last one
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
	tx.AfterCommit(func() { a.raised.WithLabelValues(name).Inc() })
	besides, due := a.due(sort{name, object}, tx.Now)
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

// due tells whether an alert gets an entry, and how many before it got none.
func (a *Alerts) due(s sort, now time.Time) (besides int, due bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.sorts[s]
	if w == nil {
		if len(a.sorts) >= mostSorts {
			clear(a.sorts)
		}
		w = &window{began: now}
		a.sorts[s] = w
	}
	if since := now.Sub(w.began); since >= time.Minute || since < 0 {
		w.began, w.entries = now, 0
	}
	if w.entries >= Most {
		w.besides++
		return 0, false
	}
	w.entries++
	besides, w.besides = w.besides, 0
	return besides, true
}
