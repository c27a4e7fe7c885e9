package outbox

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/store"
)

// Restored tells the outbox that its database is a copy of an earlier time, and that the plant may have gone on after it: it must be called
// before anything is claimed. What was owed then may have been delivered since, so that each message is asked for before it is sent, whatever became of those before it; new messages are
// counted in a new epoch, in lanes of that time and in new ones, because their numbers may have been used; those that a caller may be repeating are asked for too (repeated). No lease of that time counts. It returns
// how many messages are in doubt. An epoch is the time of the restore in seconds, so that two restores of one copy do not count alike.
func (o *Outbox) Restored(ctx context.Context, tx *store.Tx) (doubtful int64, err error) {
	if doubtful, err = o.Owed(ctx, tx); err != nil {
		return 0, err
	}
	// one epoch for all, later than any: lanes that begin after the restore count in it too
	var epoch int64
	if err := tx.Get(ctx, &epoch, `SELECT COALESCE(MAX(epoch), 0) + 1 FROM (SELECT epoch FROM outbox_lanes UNION ALL SELECT epoch FROM outbox_restores) AS e`); err != nil {
		return 0, fmt.Errorf("find a new epoch: %w", err)
	}
	epoch = max(epoch, tx.Now.Unix())
	if _, err := tx.Exec(ctx, `INSERT INTO outbox_restores (epoch) VALUES (?)`, epoch); err != nil {
		return 0, fmt.Errorf("keep the new epoch: %w", err)
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_lanes SET lease_owner = '', lease_token = lease_token + 1, due_at = CASE WHEN lease_owner = '' THEN due_at ELSE 0 END,
		sent_to = CASE WHEN pending = 0 THEN 0 ELSE COALESCE((SELECT MAX(m.number) FROM outbox_messages AS m
			WHERE m.link = outbox_lanes.link AND m.lane = outbox_lanes.lane), sent_to) END,
		epoch = ?, next_number = 1`, epoch)
	if err != nil {
		return 0, fmt.Errorf("begin a new epoch of every lane: %w", err)
	}
	// Each by itself: no answer about one says anything of another. A replay that was forced would go out without asking.
	if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET doubt = TRUE, doubt_at = ?, replay = ''`, store.Micros(tx.Now)); err != nil {
		return 0, fmt.Errorf("have what is owed asked for: %w", err)
	}
	return doubtful, nil
}

// begun is the epoch in which new lanes of a database begin.
type begun struct {
	db    *store.DB
	epoch int64
}

// firstEpoch is that of tx's database: 1, or that of its last restore, which is before anything else is done with it, so that it is read once.
func (o *Outbox) firstEpoch(ctx context.Context, tx *store.Tx) (int64, error) {
	if b := o.begun.Load(); b != nil && b.db == tx.DB() {
		return b.epoch, nil
	}
	b := begun{db: tx.DB()}
	// The epoch of a plant that was never restored is 1, a time long ago.
	if err := tx.Get(ctx, &b.epoch, `SELECT COALESCE(MAX(epoch), 1) FROM outbox_restores`); err != nil {
		return 0, fmt.Errorf("find the epoch of new lanes: %w", err)
	}
	o.begun.Store(&b)
	return b.epoch, nil
}

// repeated puts w in doubt if the lost plant may have had it too, and delivered it: a restore forgets what came after the copy, so that a call which is
// repeated under its own ID, or its Idempotency-Key, is new to the plant and has the ID that the ERP knows. That ends Config.RestoredDoubt after the
// restore, which is as long as a caller may still be repeating. An ID that was made since (a UUIDv7, by its time) nobody can have used before.
func (o *Outbox) repeated(tx *store.Tx, w *row, epoch int64) {
	restored := time.Unix(epoch, 0)
	if tx.Now.Sub(restored) >= o.cfg.RestoredDoubt || madeAfter(w.Event, restored) {
		return
	}
	w.Doubt, w.DoubtAt = true, store.Micros(restored)
}

// madeAfter tells whether an ID says itself that it was made in a later second than at.
func madeAfter(id string, at time.Time) bool {
	u, err := uuid.Parse(id)
	if err != nil || u.Version() != 7 {
		return false
	}
	sec, _ := u.Time().UnixTime()
	return sec > at.Unix()
}

// putInDoubt writes that w, which is appended, is in doubt.
func (w *row) putInDoubt(ctx context.Context, tx *store.Tx) error {
	if !w.Doubt {
		return nil
	}
	if err := tx.Later(ctx, `UPDATE outbox_messages SET doubt = TRUE, doubt_at = ? WHERE id = ?`, w.DoubtAt, w.ID); err != nil {
		return fmt.Errorf("have message %s asked for, which may be a repetition: %w", w.ID, err)
	}
	return nil
}
