package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

const (
	benchLink   = "erp"
	benchSource = "urn:plant:bench"
	benchKind   = "operation.confirmed"
)

// kilobyte is a JSON document of 1 KiB that does not compress well.
func kilobyte() []byte {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	r := rand.New(rand.NewPCG(1, 2)) // the same bytes in each run
	text := make([]byte, 1024-len(`{"text":""}`))
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	return []byte(`{"text":"` + string(text) + `"}`)
}

// owing writes what outbox.Append writes for new lanes, but many rows at a time: appending a million one by one would take an hour.
// A test holds it against Append. Beside drain.go it is the only place outside internal/outbox that names its tables.
type owing struct {
	y       *yard
	body    []byte
	lanes   int
	digests []string // of each lane's last message
	rows    []any
}

const (
	oweRows    = 200 // rows of one statement
	oweCommit  = 5_000
	oweColumns = 23
)

// stock owes n messages in that many new lanes, each in turn.
func (y *yard) stock(ctx context.Context, n, lanes int, body []byte) error {
	y.round++
	w := &owing{y: y, body: body, lanes: lanes, digests: make([]string, lanes)}
	for from := 0; from < n; from += oweCommit {
		err := y.db.InTx(ctx, func(tx *store.Tx) error {
			for i := from; i < min(n, from+oweCommit); i += oweRows {
				if err := w.messages(ctx, tx, i, min(n, from+oweCommit, i+oweRows)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("write messages: %w", err)
		}
	}
	return w.finish(ctx, n)
}

func (w *owing) lane(i int) string { return fmt.Sprintf("%d-o%d", w.y.round, i%w.lanes) }

func (w *owing) messages(ctx context.Context, tx *store.Tx, from, to int) error {
	w.rows = w.rows[:0]
	for i := from; i < to; i++ {
		m := message.Message{
			ID: outbox.MessageID(benchLink, fmt.Sprintf("%d-%d", w.y.round, i)), Source: benchSource, Kind: benchKind, Version: 1, Key: w.lane(i),
			Time: tx.Now, Body: w.body, Place: message.Place{
				Link: benchLink, Lane: w.lane(i), Epoch: 1, Number: int64(i/w.lanes + 1), Prev: w.digests[i%w.lanes], Role: message.Event,
			},
		}
		digest := m.Digest()
		w.digests[i%w.lanes] = digest
		w.rows = append(w.rows, m.Link, m.Lane, m.Epoch, m.Number, m.ID, fmt.Sprintf("%d-%d", w.y.round, i), m.Source, m.Kind, m.Version, m.Key,
			store.Zoned{Time: m.Time}, m.Body, "", "", "", "", m.Prev, m.Role, "", digest, store.Micros(tx.Now), 0, 0)
	}
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", oweColumns), ", ") + ")"
	_, err := tx.Exec(ctx, `INSERT INTO outbox_messages (link, lane, epoch, number, id, event, source, kind, version, key, time, body, creates, cause,
		trace, mapping, prev, role, refers, digest, created_at, not_before, expires_at) VALUES `+
		strings.TrimSuffix(strings.Repeat(one+", ", to-from), ", "), w.rows...)
	return err
}

// finish writes the lanes, which makes the messages due, and has the planner know how many there are.
func (w *owing) finish(ctx context.Context, n int) error {
	return w.y.db.InTx(ctx, func(tx *store.Tx) error {
		for from := 0; from < w.lanes; from += oweRows {
			if err := w.laneRows(ctx, tx, from, min(w.lanes, from+oweRows), n); err != nil {
				return fmt.Errorf("write lanes: %w", err)
			}
		}
		for _, table := range []string{"outbox_lanes", "outbox_messages"} {
			if _, err := tx.Exec(ctx, "ANALYZE "+table); err != nil {
				return err
			}
		}
		return nil
	})
}

func (w *owing) laneRows(ctx context.Context, tx *store.Tx, from, to, n int) error {
	w.rows = w.rows[:0]
	now := store.Micros(tx.Now)
	for i := from; i < to; i++ {
		owed := (n - i + w.lanes - 1) / w.lanes
		w.rows = append(w.rows, benchLink, w.lane(i), owed+1, w.digests[i], owed, now, now, now)
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbox_lanes (link, lane, next_number, last_digest, pending, head_at, due_at, changed_at) VALUES `+
		strings.TrimSuffix(strings.Repeat("(?, ?, ?, ?, ?, ?, ?, ?), ", to-from), ", "), w.rows...)
	return err
}
