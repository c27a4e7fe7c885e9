package outbox

import (
	"context"
	"fmt"

	"holdfast/internal/store"
)

// addDoubts fills in what may have been sent without an answer.
//
// Of a lane that nobody holds, that is all from its head on up to what may have been sent. What a holder has is marked as possibly sent
// in any case, so that of a lane in hand only a head counts whose earlier attempt ended without an answer: the figure does not come and
// go with the attempts. A head that is replayed stands for itself, since what follows it was sent and answered long ago.
func addDoubts(ctx context.Context, tx *store.Tx, links []Link) error {
	var rows []struct {
		Link         string
		Count, Since int64
	}
	err := tx.Select(ctx, &rows, `SELECT d.link, CAST(SUM(d.messages) AS BIGINT) AS count, MIN(COALESCE(d.first, d.again, d.created_at)) AS since
		FROM (SELECT l.link, m.created_at, l.lease_owner <> '' AND l.due_at > CAST(? AS BIGINT) AS held,
			(SELECT MAX(r.at) FROM outbox_events r WHERE r.id = m.id AND r.what = 'replayed') AS again,
			(SELECT MIN(e.at) FROM outbox_events e WHERE e.id = m.id AND e.what = 'unknown' AND
				e.seq > (SELECT COALESCE(MAX(r.seq), 0) FROM outbox_events r WHERE r.id = m.id AND r.what = 'replayed')) AS first,
			CASE WHEN m.redelivery > 0 OR l.lease_owner <> '' AND l.due_at > CAST(? AS BIGINT) THEN 1
				WHEN l.sent_to - l.head + 1 < l.pending THEN l.sent_to - l.head + 1 ELSE l.pending END AS messages
			FROM outbox_lanes l JOIN outbox_messages m ON m.link = l.link AND m.lane = l.lane AND m.epoch = l.head_epoch AND m.number = l.head
			WHERE l.owing AND l.sent_to >= l.head AND m.role <> 'void' AND (m.redelivery = 0 OR m.replay = '')) AS d
		WHERE NOT d.held OR d.first IS NOT NULL GROUP BY d.link`, store.Micros(tx.Now), store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("count the messages that may have been sent without an answer: %w", err)
	}
	for _, r := range rows {
		for i := range links {
			if links[i].Name == r.Link {
				links[i].Doubtful, links[i].DoubtAt = r.Count, store.FromMicros(r.Since)
			}
		}
	}
	return nil
}
