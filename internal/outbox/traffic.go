package outbox

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/store"
)

// Traffic counts what was appended for a link in the last hour, and in each of the 24 hours before it.
func (o *Outbox) Traffic(ctx context.Context, tx *store.Tx, link string) (earlier []int64, last int64, err error) {
	const hours, hour = 25, int64(time.Hour / time.Microsecond)
	var rows []struct {
		Ago int64
		N   int64
	}
	now := store.Micros(tx.Now)
	args := []any{now, hour, now - hours*hour, now, link}
	const ago = `SELECT (? - created_at) / ? AS ago FROM `
	const of = ` WHERE created_at > ? AND created_at <= ? AND link = ?`
	err = tx.Select(ctx, &rows, `SELECT ago, COUNT(*) AS n FROM (`+ago+`outbox_delivered`+of+` UNION ALL `+ago+`outbox_messages`+of+`) AS t GROUP BY ago`, append(args, args...)...)
	if err != nil {
		return nil, 0, fmt.Errorf("count what link %s carries: %w", link, err)
	}
	all := make([]int64, hours)
	for _, r := range rows {
		all[r.Ago] = r.N
	}
	return all[1:], all[0], nil
}
