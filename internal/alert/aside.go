package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/store"
)

const (
	mostRefused = 5         // refusals for good, after which a notice is put aside
	mostAside   = 1000      // notices of one channel that are: with more, what is refused waits at its head
	asideAgain  = time.Hour // after which one is tried again
)

// unwanted is the answer of a receiver that it does not take this notice, whenever it is sent.
type unwanted struct{ error }

// Unwrap is the answer.
func (u unwanted) Unwrap() error { return u.error }

// aside has the notices of a channel that its receiver refuses for good: one of them must not keep all that follow it from being told. None is lost: each
// is tried again until it is taken.
type aside struct {
	db      *store.DB
	channel string
	to      Teller
	log     *slog.Logger
	count   prometheus.Gauge

	id    string // of the notice at the head
	times int    // that it was refused
}

func newAside(db *store.DB, channel string, c Channel, log *slog.Logger) *aside {
	a := &aside{db: db, channel: channel, to: c.To, log: log.With("part", "alert", "channel", c.Name)}
	a.count = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "holdfast", Subsystem: "alert", Name: "aside_notices", Help: "How many notices a channel's receiver refuses for good: they are tried once an hour.",
		ConstLabels: prometheus.Labels{"channel": c.Name},
	})
	if c.Metric != nil {
		c.Metric.MustRegister(a.count)
	}
	return a
}

// put puts a notice aside that was refused for good often enough, with what noted does in the same transaction; it returns why where it does not.
func (a *aside) put(ctx context.Context, n Notice, why error, noted func(tx *store.Tx) error) error {
	if _, is := errors.AsType[unwanted](why); !is {
		return why
	}
	if a.id != n.ID {
		a.id, a.times = n.ID, 0
	}
	if a.times++; a.times < mostRefused {
		return why
	}
	text, err := json.Marshal(n)
	if err != nil {
		return fmt.Errorf("write an alert: %w", err)
	}
	full := false
	err = a.db.InTx(ctx, func(tx *store.Tx) error {
		have, err := a.have(ctx, tx)
		if full = have >= mostAside; err != nil || full {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO alert_aside (channel, id, notice, why, aside_at, tried_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			a.channel, n.ID, text, why.Error(), store.Micros(tx.Now), store.Micros(tx.Now)); err != nil {
			return fmt.Errorf("put a notice aside: %w", err)
		}
		tx.AfterCommit(func() {
			a.count.Set(float64(have + 1))
			a.log.ErrorContext(ctx, "an alert is refused for good by its receiver: it is put aside, and the next are told", "alert", n.Alert, "object", n.Object, "err", why)
		})
		return noted(tx)
	})
	if full {
		return why
	}
	return err
}

func (a *aside) have(ctx context.Context, tx *store.Tx) (n int64, err error) {
	if err := tx.Get(ctx, &n, `SELECT COUNT(*) FROM alert_aside WHERE channel = ?`, a.channel); err != nil {
		return 0, fmt.Errorf("count the notices that are aside: %w", err)
	}
	return n, nil
}

// again tries the notice that was tried the longest ago, if that is an hour.
func (a *aside) again(ctx context.Context) error {
	var rows []struct {
		ID     string
		Notice []byte
	}
	err := a.db.View(ctx, func(tx *store.Tx) error {
		have, err := a.have(ctx, tx)
		if a.count.Set(float64(have)); err != nil || have == 0 {
			return err
		}
		return tx.Select(ctx, &rows, `SELECT id, notice FROM alert_aside WHERE channel = ? AND tried_at <= ? ORDER BY tried_at, id LIMIT 1`, a.channel, store.Micros(tx.Now.Add(-asideAgain)))
	})
	if err != nil || len(rows) == 0 {
		return err
	}
	var n Notice
	told := json.Unmarshal(rows[0].Notice, &n)
	if told == nil {
		told = a.to.Tell(ctx, n)
	} else {
		told = fmt.Errorf("read a notice that is aside: %w", told) // it keeps no other back either
	}
	return a.db.InTx(ctx, func(tx *store.Tx) (err error) {
		if told != nil {
			_, err = tx.Exec(ctx, `UPDATE alert_aside SET tried_at = ?, why = ? WHERE channel = ? AND id = ?`, store.Micros(tx.Now), told.Error(), a.channel, rows[0].ID)
		} else {
			_, err = tx.Exec(ctx, `DELETE FROM alert_aside WHERE channel = ? AND id = ?`, a.channel, rows[0].ID)
		}
		return err
	})
}
