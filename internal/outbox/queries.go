package outbox

import (
	"context"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// row is a message as the tables keep it.
type row struct {
	Link       string      `db:"link"`
	Lane       string      `db:"lane"`
	Epoch      int64       `db:"epoch"`
	Number     int64       `db:"number"`
	ID         string      `db:"id"`
	Event      string      `db:"event"`
	Source     string      `db:"source"`
	Kind       string      `db:"kind"`
	Version    int         `db:"version"`
	Key        string      `db:"key"`
	Time       store.Zoned `db:"time"`
	Body       []byte      `db:"body"`
	Creates    string      `db:"creates"`
	Cause      string      `db:"cause"`
	Trace      string      `db:"trace"`
	Mapping    string      `db:"mapping"`
	Prev       string      `db:"prev"`
	Role       string      `db:"role"`
	Refers     string      `db:"refers"`
	Digest     string      `db:"digest"`
	CreatedAt  int64       `db:"created_at"`
	NotBefore  int64       `db:"not_before"`
	ExpiresAt  int64       `db:"expires_at"`
	Attempts   int         `db:"attempts"`
	Redelivery int         `db:"redelivery"`
	Replay     Replay      `db:"replay"`
	Sends      int         `db:"sends"`
}

// kept are the columns of a message that outbox_messages and outbox_delivered share.
const kept = `link, lane, epoch, number, id, event, source, kind, version, key, time, body, creates, cause, trace, mapping, prev,
	role, refers, digest, created_at, attempts, redelivery`

// written are the columns of outbox_messages that an append writes.
const written = kept + `, not_before, expires_at`

// hot are those that a row reads.
const hot = written + `, replay, sends`

// first are those that a claim reads: what is sent, and what decides whether it is.
const first = `lane, epoch, number, id, source, kind, version, key, time, body, creates, cause, trace, mapping, prev, role, refers, digest, created_at, not_before, expires_at, attempts, redelivery, replay`

func (w row) message() message.Message {
	return message.Message{
		ID: w.ID, Source: w.Source, Kind: w.Kind, Version: w.Version, Key: w.Key, Time: w.Time.Time, Body: w.Body,
		Creates: w.Creates, Cause: w.Cause, Trace: w.Trace,
		Place: message.Place{
			Link: w.Link, Lane: w.Lane, Epoch: w.Epoch, Number: w.Number, Prev: w.Prev, Role: message.Role(w.Role), Refers: w.Refers,
		},
	}
}

// takeNumber makes the lane if it is new and gives the row its epoch, number and predecessor.
func (w *row) takeNumber(ctx context.Context, tx *store.Tx, class int) error {
	due := max(w.CreatedAt, w.NotBefore)
	return tx.Get(ctx, w, `
		INSERT INTO outbox_lanes (link, lane, next_number, pending, head_at, priority, scheduled, due_at, changed_at)
		VALUES (?, ?, 2, 1, ?, ?, ?, ?, ?)
		ON CONFLICT (link, lane) DO UPDATE SET
			next_number = outbox_lanes.next_number + 1,
			pending     = outbox_lanes.pending + 1,
			head_epoch  = CASE WHEN outbox_lanes.pending = 0 THEN outbox_lanes.epoch ELSE outbox_lanes.head_epoch END,
			head        = CASE WHEN outbox_lanes.pending = 0 THEN outbox_lanes.next_number ELSE outbox_lanes.head END,
			head_at     = CASE WHEN outbox_lanes.pending = 0 THEN excluded.head_at ELSE outbox_lanes.head_at END,
			scheduled   = CASE WHEN outbox_lanes.pending = 0 THEN excluded.scheduled ELSE outbox_lanes.scheduled END,
			due_at      = CASE WHEN outbox_lanes.pending = 0 AND outbox_lanes.lease_owner = '' THEN excluded.due_at ELSE outbox_lanes.due_at END,
			priority    = CASE WHEN outbox_lanes.pending = 0 OR excluded.priority > outbox_lanes.priority
			                   THEN excluded.priority ELSE outbox_lanes.priority END
		RETURNING epoch, next_number - 1 AS number, last_digest AS prev`,
		w.Link, w.Lane, w.CreatedAt, class, w.NotBefore > w.CreatedAt, due, w.CreatedAt)
}

func (w row) insert(ctx context.Context, tx *store.Tx) error {
	return tx.Later(ctx, `INSERT INTO outbox_messages (`+written+`)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.Link, w.Lane, w.Epoch, w.Number, w.ID, w.Event, w.Source, w.Kind, w.Version, w.Key, w.Time, w.Body, w.Creates, w.Cause, w.Trace,
		w.Mapping, w.Prev, w.Role, w.Refers, w.Digest, w.CreatedAt, w.Attempts, w.Redelivery, w.NotBefore, w.ExpiresAt)
}
