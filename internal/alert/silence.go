package alert

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// told is when a channel was last told of an alert about an object, of how many since it was not, and up to which place that is known.
type told struct {
	At      int64 `db:"told_at"`
	Besides int64 `db:"besides"`
	Place   int64 `db:"place"`
}

func toldOf(ctx context.Context, tx *store.Tx, channel, name, object string) (t told, err error) {
	err = tx.Get(ctx, &t, `SELECT told_at, besides, place FROM alert_told WHERE channel = ? AND name = ? AND object = ?`, channel, name, object)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return t, fmt.Errorf("read what was told of %s: %w", name, err)
	}
	return t, nil
}

func keepTold(ctx context.Context, tx *store.Tx, channel, name, object string, t told) error {
	if _, err := tx.Exec(ctx, `DELETE FROM alert_told WHERE told_at < ?`, store.Micros(tx.Now.Add(-30*24*time.Hour))); err != nil {
		return fmt.Errorf("forget what was told of alerts: %w", err)
	}
	_, err := tx.Exec(ctx, `INSERT INTO alert_told (channel, name, object, told_at, besides, place) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (channel, name, object) DO UPDATE SET told_at = excluded.told_at, besides = excluded.besides, place = excluded.place`, channel, name, object, t.At, t.Besides, t.Place)
	if err != nil {
		return fmt.Errorf("note what was told of %s: %w", name, err)
	}
	return nil
}

// Silence is an alert that channels are not told of for a time. The record has it all the while, and so have collectors.
type Silence struct {
	Name   string    `json:"alert"`
	Object string    `json:"object"` // empty: whatever it is about
	Until  time.Time `json:"until"`
	By     string    `json:"by"`
	Reason string    `json:"reason"`
}

// MostSilence is how long an alert may be silent at most: who forgets a silence must be reminded.
const MostSilence = 30 * 24 * time.Hour

// Hush keeps an alert from the channels until then, in the act's transaction. A time that has passed ends a silence.
func Hush(ctx context.Context, tx *store.Tx, s Silence) error {
	if !slices.ContainsFunc(Kinds(), func(k Kind) bool { return k.Name == s.Name }) {
		return &problem.Error{Kind: problem.NotFound, What: "silence " + s.Name, Why: "there is no such alert", Hint: "holdfast alert list shows them"}
	}
	if s.Until.Sub(tx.Now) > MostSilence {
		return &problem.Error{Kind: problem.Invalid, What: "silence " + s.Name, Why: "30 days are the most", Hint: "write --for 72h"}
	}
	_, err := tx.Exec(ctx, `INSERT INTO alert_silences (name, object, until, made_by, reason) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (name, object) DO UPDATE SET until = excluded.until, made_by = excluded.made_by, reason = excluded.reason`,
		s.Name, s.Object, store.Micros(s.Until), s.By, s.Reason)
	if err != nil {
		return fmt.Errorf("silence %s: %w", s.Name, err)
	}
	return nil
}

// Silences are those in force.
func Silences(ctx context.Context, tx *store.Tx) ([]Silence, error) {
	var rows []struct {
		Name, Object, Reason string
		Until                int64
		By                   string `db:"made_by"`
	}
	err := tx.Select(ctx, &rows, `SELECT name, object, until, made_by, reason FROM alert_silences WHERE until > ? ORDER BY name, object`, store.Micros(tx.Now))
	if err != nil {
		return nil, fmt.Errorf("read which alerts are silent: %w", err)
	}
	out := make([]Silence, len(rows))
	for i, r := range rows {
		out[i] = Silence{r.Name, r.Object, store.FromMicros(r.Until), r.By, r.Reason}
	}
	return out, nil
}

func silent(all []Silence, name, object string) bool {
	return slices.ContainsFunc(all, func(s Silence) bool { return s.Name == name && (s.Object == "" || s.Object == object) })
}
