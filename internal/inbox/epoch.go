package inbox

import (
	"context"
	"fmt"

	"holdfast/internal/body"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// gapEpoch is the epoch of the number that a lane with a gap misses. Where nothing of the current epoch waits or was put aside, but
// something of a later one does, it is the first of that one which is missing: only with it, or when a person skips it, that epoch begins.
const gapEpoch = `CASE WHEN gap_since = 0 THEN epoch ELSE COALESCE((SELECT m.epoch FROM inbox_messages m WHERE m.source = inbox_streams.source
	AND m.stream = inbox_streams.stream AND m.number > 0 AND (m.epoch, m.number) >= (inbox_streams.epoch, inbox_streams.next_number)
	ORDER BY m.epoch, m.number LIMIT 1), epoch) END AS gap_epoch`

// readGap finds the epoch of what the stream misses, as it is stored.
func (s *stream) readGap(ctx context.Context, tx *store.Tx) error {
	if err := tx.Get(ctx, &s.GapEpoch, `SELECT `+gapEpoch+` FROM inbox_streams WHERE source = ? AND stream = ?`, s.Source, s.Stream); err != nil {
		return fmt.Errorf("look for what %s misses: %w", s.Stream, err)
	}
	return nil
}

// next is the number that the lane waits for, with its epoch.
func (s stream) next() (epoch, number int64) {
	if s.GapEpoch > s.Epoch {
		return s.GapEpoch, 1
	}
	return s.Epoch, s.Next
}

// beginEpoch starts the count of a lane anew, as its sender does after it was restored from a copy.
func (d *desk) beginEpoch(ctx context.Context, epoch int64, s *stream) error {
	if d.atOnce {
		return errNotAtOnce
	}
	if err := d.store(ctx); err != nil { // what came before it in this batch is of the old count
		return err
	}
	return s.begin(ctx, d.tx, epoch)
}

// begin ends the stream's epoch. What could be applied, since nothing before it was missing, still is, before anything of the new
// epoch: also behind a message that holds the lane. What waited for a number of the old count will never get it: it is left to a person.
func (s *stream) begin(ctx context.Context, tx *store.Tx, epoch int64) error {
	end, err := s.end(ctx, tx)
	if err != nil {
		return err
	}
	if err := s.leave(ctx, tx, epoch, end); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE inbox_messages SET state = 'ready', problem = '', reason = '', hint = '' WHERE source = ? AND stream = ? AND epoch = ?
		AND number >= ? AND number < ? AND number > 0 AND state = 'quarantined' AND problem = ?`, s.Source, s.Stream, s.Epoch, s.Next, end, tooEarly)
	if err != nil {
		return fmt.Errorf("have the last of epoch %d of %s wait: %w", s.Epoch, s.Stream, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO inbox_epochs (source, stream, epoch, next_number) VALUES (?, ?, ?, ?)`, s.Source, s.Stream, s.Epoch, end)
	if err != nil {
		return fmt.Errorf("keep where epoch %d of %s ended: %w", s.Epoch, s.Stream, err)
	}
	s.Epoch, s.Next, s.GapSince, s.GapAlerted = epoch, 1, 0, false
	return s.tally(ctx, tx)
}

// end is the number at which the epoch of the stream ends: the first that is neither here nor discarded, or stands in quarantine
// without being what holds the stream now.
func (s *stream) end(ctx context.Context, tx *store.Tx) (int64, error) {
	var run int64
	err := tx.Get(ctx, &run, `SELECT COUNT(*) FROM (SELECT number - ROW_NUMBER() OVER (ORDER BY number) AS before FROM inbox_messages
		WHERE source = ? AND stream = ? AND epoch = ? AND number >= ? AND number > 0
		AND (state <> 'quarantined' OR problem = ? OR seq = ?)) AS n WHERE before = CAST(? AS BIGINT) - 1`,
		s.Source, s.Stream, s.Epoch, s.Next, tooEarly, s.Held, s.Next)
	if err != nil {
		return 0, fmt.Errorf("look where epoch %d of %s ends: %w", s.Epoch, s.Stream, err)
	}
	return s.Next + run, nil
}

// leave puts in quarantine what waited for the end of an epoch that is over, and what waited in epochs that never began.
func (s *stream) leave(ctx context.Context, tx *store.Tx, epoch, end int64) error {
	why := "was missing"
	_, here, err := find(ctx, tx, `source = ? AND stream = ? AND epoch = ? AND number = ? AND number > 0`, s.Source, s.Stream, s.Epoch, end)
	if err != nil {
		return err
	}
	if here {
		why = "was in quarantine"
	}
	for _, old := range []struct {
		where  string
		number int64
		reason string
	}{
		{"epoch = ? AND number >= ?", end, fmt.Sprintf("its sender began epoch %d while number %d %s", epoch, end, why)},
		{"epoch > ? AND number >= ?", 1, fmt.Sprintf("its sender began epoch %d while number 1 of an epoch between was missing", epoch)},
	} {
		_, err := tx.Exec(ctx, `UPDATE inbox_messages SET state = ?, problem = ?, reason = ?, hint = ? WHERE source = ? AND stream = ?
			AND (state = 'ready' OR (state = 'quarantined' AND problem = ?)) AND number > 0 AND epoch < ? AND `+old.where,
			Quarantined, problem.Conflict, old.reason, "replay it if the plant should act on it, or discard it",
			s.Source, s.Stream, tooEarly, epoch, s.Epoch, old.number)
		if err != nil {
			return fmt.Errorf("end epoch %d of %s: %w", s.Epoch, s.Stream, err)
		}
	}
	return nil
}

// tally counts what waits in the stream, and what was put aside in its epoch and later ones.
func (s *stream) tally(ctx context.Context, tx *store.Tx) error {
	var n struct{ Waiting, Bytes, Early int64 }
	err := tx.Get(ctx, &n, `SELECT COUNT(*) AS waiting, CAST(COALESCE(SUM(`+lengthOf+`), 0) AS BIGINT) AS bytes, (SELECT COUNT(*) FROM inbox_messages
		WHERE source = ? AND stream = ? AND epoch >= ? AND number > 0 AND state <> 'ready') AS early
		FROM inbox_messages WHERE source = ? AND stream = ? AND state = 'ready'`, s.Source, s.Stream, s.Epoch, s.Source, s.Stream)
	if err != nil {
		return fmt.Errorf("count what waits in %s: %w", s.Stream, err)
	}
	var larges []body.Ref
	err = tx.Select(ctx, &larges, `SELECT large FROM inbox_messages WHERE source = ? AND stream = ? AND state = 'ready' AND large <> ''`, s.Source, s.Stream)
	if err != nil {
		return fmt.Errorf("count the large bodies that wait in %s: %w", s.Stream, err)
	}
	for _, l := range larges {
		n.Bytes += l.Size()
	}
	s.Waiting, s.Bytes, s.Early = n.Waiting, n.Bytes, n.Early
	return nil
}
