package inbox

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/store"
)

const (
	watchEvery  = 5 * time.Second
	forgetEvery = 12  // of these
	forgetBatch = 500 // rows in one transaction, so that nobody waits for it
)

// watch alerts gaps and forgets what is old.
func (i *Inbox) watch(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for n := 0; ; n++ {
		if _, err := i.AlertGaps(ctx); err != nil && ctx.Err() == nil {
			i.log.ErrorContext(ctx, "the inbox cannot look for gaps", "err", err)
		}
		if n%forgetEvery == 0 {
			if err := i.dropNonces(ctx); err != nil && ctx.Err() == nil {
				i.log.ErrorContext(ctx, "the inbox cannot forget used proofs", "err", err)
			}
			if _, err := i.Forget(ctx); err != nil && ctx.Err() == nil {
				i.log.ErrorContext(ctx, "the inbox cannot forget what is old", "err", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// AlertGaps says once of each gap that has lasted for Config.GapAlert that it is there, and returns the lanes. Run does this all the
// time.
func (i *Inbox) AlertGaps(ctx context.Context) ([]Lane, error) {
	var found []stream
	due := func(tx *store.Tx) error {
		found = nil
		return tx.Select(ctx, &found, `SELECT `+streamColumns+`, `+gapEpoch+` FROM inbox_streams WHERE gap_since > 0 AND gap_since <= ? AND NOT gap_alerted
			ORDER BY gap_since`, store.Micros(tx.Now.Add(-i.cfg.GapAlert)))
	}
	if err := i.db.View(ctx, due); err != nil || len(found) == 0 {
		return nil, err
	}
	var lanes []Lane
	err := i.db.InTx(ctx, func(tx *store.Tx) error {
		lanes = nil
		if err := due(tx); err != nil {
			return fmt.Errorf("look for gaps: %w", err)
		}
		for _, s := range found {
			n, err := tx.Exec(ctx, `UPDATE inbox_streams SET gap_alerted = TRUE WHERE source = ? AND stream = ? AND NOT gap_alerted`, s.Source, s.Stream)
			if err != nil {
				return fmt.Errorf("mark the gap in %s: %w", s.Stream, err)
			}
			if n > 0 {
				s.GapAlerted = true
				lanes = append(lanes, s.seen())
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, l := range lanes {
		i.log.ErrorContext(ctx, "a message from the ERP is missing", "source", l.Source, "lane", l.Name, "epoch", l.Epoch, "number", l.Next, "waiting", l.Waiting,
			"since", l.GapSince)
	}
	return lanes, nil
}

// old is a settled message that may be forgotten.
type old struct {
	Seq           int64
	Source        string
	Time          store.Zoned
	Number        int64
	ObjectVersion string `db:"object_version"`
	ReceivedAt    int64  `db:"received_at"`
}

// horizon is what a message leaves behind when it is forgotten: 0 if its number or version tells whether it was applied.
func (o old) horizon() int64 {
	if o.Number > 0 || o.ObjectVersion != "" {
		return 0
	}
	return min(max(store.Micros(o.Time.Time), 1), o.ReceivedAt+maxLead.Microseconds())
}

// Forget removes messages that were settled longer ago than Config.KeepFor, or are more than Config.KeepCount, and writes down how
// far back each source is forgotten. It says how many. It also looks at some of the messages with large bodies, and ends the holds of those
// that a node of the release before has forgotten. Run does this all the time.
func (i *Inbox) Forget(ctx context.Context) (int, error) {
	if err := i.dropRejected(ctx); err != nil {
		return 0, err
	}
	err := i.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := i.patrol.Walk(ctx, tx, holding)
		return err
	})
	if err != nil {
		return 0, err
	}
	total := 0
	for ctx.Err() == nil {
		n := 0
		var rows []old
		if err := i.db.View(ctx, func(tx *store.Tx) (err error) { rows, err = i.forgettable(ctx, tx); return err }); err != nil {
			return total, err
		}
		if len(rows) == 0 {
			break
		}
		err := i.db.InTx(ctx, func(tx *store.Tx) (err error) { n, err = i.forget(ctx, tx); return err })
		if err != nil {
			return total, err
		}
		if total += n; n < forgetBatch {
			break
		}
	}
	if total > 0 {
		i.log.InfoContext(ctx, "the inbox has forgotten messages that were settled long ago", "count", total)
	}
	return total, ctx.Err()
}

// forgettable is the next batch to forget, oldest first.
func (i *Inbox) forgettable(ctx context.Context, tx *store.Tx) ([]old, error) {
	var rows []old
	err := tx.Select(ctx, &rows, `SELECT seq, source, time, number, object_version, received_at FROM inbox_messages WHERE settled_at > 0 AND (settled_at < ?
		OR (settled_at, seq) <= (SELECT settled_at, seq FROM inbox_messages WHERE settled_at > 0 ORDER BY settled_at DESC, seq DESC LIMIT 1 OFFSET ?))
		ORDER BY settled_at, seq LIMIT ?`, store.Micros(tx.Now.Add(-i.cfg.KeepFor)), i.cfg.KeepCount, forgetBatch)
	if err != nil {
		return nil, fmt.Errorf("look for messages to forget: %w", err)
	}
	return rows, nil
}

func (i *Inbox) forget(ctx context.Context, tx *store.Tx) (int, error) {
	rows, err := i.forgettable(ctx, tx)
	if err != nil || len(rows) == 0 {
		return 0, err
	}
	seqs := make([]int64, len(rows))
	type span struct{ latest, count int64 }
	sources := map[string]span{}
	for n, r := range rows {
		seqs[n] = r.Seq
		s := sources[r.Source]
		sources[r.Source] = span{max(s.latest, r.horizon()), s.count + 1}
	}
	query, args, err := tx.In(`DELETE FROM inbox_messages WHERE seq IN (?) RETURNING seq, large, original_large`, seqs)
	if err != nil {
		return 0, fmt.Errorf("forget messages: %w", err)
	}
	if err := freeBodies(ctx, tx, query, args...); err != nil {
		return 0, fmt.Errorf("forget messages: %w", err)
	}
	for source, s := range sources {
		_, err := tx.Exec(ctx, `INSERT INTO inbox_horizons (source, before_at, forgotten, forgotten_at) VALUES (?, ?, ?, ?)
			ON CONFLICT (source) DO UPDATE SET forgotten = inbox_horizons.forgotten + excluded.forgotten, forgotten_at = excluded.forgotten_at,
			before_at = CASE WHEN excluded.before_at > inbox_horizons.before_at THEN excluded.before_at ELSE inbox_horizons.before_at END`,
			source, s.latest, s.count, store.Micros(tx.Now))
		if err != nil {
			return 0, fmt.Errorf("keep the horizon of %s: %w", source, err)
		}
	}
	return len(rows), nil
}
