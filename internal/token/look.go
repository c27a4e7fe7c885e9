package token

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Look counts that somebody looks up what a token stands for; TooMany if that was often enough in this hour. The audit record has each look, and
// counts besides: rows of token_looks alone could be deleted unseen. The caller's transaction is that of the look's entry.
func (t *Tokens) Look(ctx context.Context, tx *store.Tx, actor string) error {
	const perHour = int64(time.Hour / time.Second)
	hour := tx.Now.Unix() / perHour
	if _, err := tx.Exec(ctx, `DELETE FROM token_looks WHERE hour < ?`, hour-1); err != nil {
		return fmt.Errorf("forget old looks at tokens: %w", err)
	}
	var n int64
	err := tx.Get(ctx, &n, `INSERT INTO token_looks (actor, hour, looks) VALUES (?, ?, 1)
		ON CONFLICT (actor, hour) DO UPDATE SET looks = token_looks.looks + 1 RETURNING looks`, actor, hour)
	if err != nil {
		return fmt.Errorf("count a look at a token: %w", err)
	}
	recorded, err := audit.Looks(ctx, tx, actor, time.Unix(hour*perHour, 0))
	if err != nil {
		return err
	}
	if max(n, recorded+1) > t.looks {
		return &problem.Error{
			Kind: problem.TooMany, What: "look up a token", Why: fmt.Sprintf("%s has looked up %d in this hour", actor, t.looks),
			Hint: "wait for the next hour, or have sensitive.looks_per_hour raised",
		}
	}
	return nil
}
