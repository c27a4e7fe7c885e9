package job

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Window is for how long what one person has replayed counts towards Config.ReplayOver.
const Window = 24 * time.Hour

// Replay has delivered messages of one lane delivered again, at once; see outbox.Replay for what it does. It is Denied where the person has, with what
// they replayed in Window without anybody's approval, more than Config.ReplayOver of them sent; the caller must roll back what was queued.
func (j *Jobs) Replay(ctx context.Context, tx *store.Tx, by, link, lane string, which outbox.Range, reason string) (int64, error) {
	alone, err := j.takeTurn(ctx, tx, by)
	if err != nil {
		return 0, err
	}
	n, err := j.out.Replay(ctx, tx, link, lane, which, reason)
	if err != nil {
		return n, err
	}
	if j.over(n, alone) {
		why := fmt.Sprintf("more than %d need the approval of a second person", j.cfg.ReplayOver)
		if alone > 0 {
			why = fmt.Sprintf("with the %d that %s, or who may be the same person, replayed in the last %s, more than %d: those need the approval of a second person", alone, by, day, j.cfg.ReplayOver)
		}
		return 0, &problem.Error{
			Kind: problem.Denied, What: fmt.Sprintf("replay %d messages", n), Why: why,
			Hint: "make a job of it, which somebody else approves: holdfast msg replay --link LINK --lane LANE --dry-run",
		}
	}
	return n, j.count(ctx, tx, by, n)
}

const day = "24 hours" // Window, as a person reads it

// NeedsApproval tells whether a replay of n messages by this person needs a second one now.
func (j *Jobs) NeedsApproval(ctx context.Context, tx *store.Tx, by string, n int) (bool, error) {
	if j.cfg.ReplayOver == 0 {
		return false, nil
	}
	alone, err := replayedAlone(ctx, tx, by)
	return j.over(int64(n), alone), err
}

func (j *Jobs) over(n, alone int64) bool {
	return j.cfg.ReplayOver > 0 && n+alone > int64(j.cfg.ReplayOver)
}

// takeTurn is how many messages this person has replayed alone. Nobody else is counted until the transaction ends.
func (j *Jobs) takeTurn(ctx context.Context, tx *store.Tx, by string) (int64, error) {
	if j.cfg.ReplayOver == 0 {
		return 0, nil
	}
	if _, err := tx.Exec(ctx, `UPDATE replay_turn SET turns = turns + 1 WHERE id = 1`); err != nil {
		return 0, fmt.Errorf("count what was replayed: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM replay_alone WHERE at <= ?`, store.Micros(tx.Now.Add(-Window))); err != nil {
		return 0, fmt.Errorf("count what was replayed: %w", err)
	}
	return replayedAlone(ctx, tx, by)
}

// replayedAlone sums what this person, or somebody who is not known to be another, has replayed in Window without anybody's approval.
func replayedAlone(ctx context.Context, tx *store.Tx, by string) (n int64, err error) {
	var rows []struct {
		Actor    string `db:"actor"`
		Messages int64  `db:"messages"`
	}
	err = tx.Select(ctx, &rows, `SELECT actor, CAST(SUM(messages) AS BIGINT) AS messages FROM replay_alone WHERE at > ? GROUP BY actor`, store.Micros(tx.Now.Add(-Window)))
	if err != nil {
		return 0, fmt.Errorf("count what was replayed: %w", err)
	}
	for _, r := range rows {
		if !audit.TwoPersons(r.Actor, by) {
			n += r.Messages
		}
	}
	return n, nil
}

// count keeps that a person replayed messages alone.
func (j *Jobs) count(ctx context.Context, tx *store.Tx, by string, n int64) error {
	if j.cfg.ReplayOver == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO replay_alone (at, actor, messages) VALUES (?, ?, ?)`, store.Micros(tx.Now), by, n)
	if err != nil {
		return fmt.Errorf("count what was replayed: %w", err)
	}
	return nil
}
