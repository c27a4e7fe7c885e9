package outbox

import (
	"context"
	"fmt"

	"holdfast/internal/store"
)

// doubtfulLanes finds the lanes of which something may have been sent without an answer: those that nobody holds, and those in hand, of
// which more is known when their first message has been looked at. Both have an index of their own, so that it costs the same however
// many lanes owe something.
const doubtfulLanes = `SELECT link, lane, head_epoch, head, sent_to, pending, FALSE AS held FROM outbox_lanes WHERE doubtful
	UNION ALL SELECT link, lane, head_epoch, head, sent_to, pending, due_at > CAST(? AS BIGINT) FROM outbox_lanes
		WHERE lease_owner <> '' AND owing AND sent_to >= head`

// addDoubts fills in what may have been sent without an answer.
//
// Of a lane that nobody holds, that is all from its head on up to what may have been sent. What a holder has is marked as possibly sent
// in any case, so that of a lane in hand only a head counts whose earlier attempt ended without an answer: the figure does not come and
// go with the attempts. What a restore has brought back is in doubt since then, however long it was owed, and what may be a repetition since it is owed. A head that is replayed stands for itself, since what follows it was sent and answered long ago.
func addDoubts(ctx context.Context, tx *store.Tx, links []Link) error {
	var rows, more []doubts
	g, err := readDoubtful(ctx, tx)
	if err == nil && g.Rows > 0 {
		err = tx.Select(ctx, &rows, `SELECT d.link, CAST(SUM(d.messages) AS BIGINT) AS count, MIN(COALESCE(d.first, d.again, d.since)) AS since
		FROM (SELECT m.link, CASE WHEN m.doubt AND m.doubt_at > m.created_at THEN m.doubt_at ELSE m.created_at END AS since, g.held,
			(SELECT MAX(r.at) FROM outbox_events r WHERE r.id = m.id AND r.what = 'replayed') AS again,
			(SELECT MIN(e.at) FROM outbox_events e WHERE e.id = m.id AND e.what = 'unknown' AND
				e.seq > (SELECT COALESCE(MAX(r.seq), 0) FROM outbox_events r WHERE r.id = m.id AND r.what = 'replayed')) AS first,
			CASE WHEN m.redelivery > 0 OR g.held THEN 1 ELSE g.messages END AS messages
			FROM `+g.Table(tx, "g")+` CROSS JOIN outbox_messages AS m WHERE m.link = g.link AND m.lane = g.lane AND m.epoch = g.epoch
				AND m.number = g.head AND m.role <> 'void' AND (m.redelivery = 0 OR m.replay = '') AND NOT (g.held AND m.doubt)) AS d
		WHERE NOT d.held OR d.first IS NOT NULL GROUP BY d.link`, g.Args(tx)...)
	}
	if err == nil {
		err = tx.Select(ctx, &more, byThemselves, store.Micros(tx.Now))
	}
	if err != nil {
		return fmt.Errorf("count the messages that may have been sent without an answer: %w", err)
	}
	for i := range links {
		for _, r := range append(rows, more...) {
			if l := &links[i]; l.Name == r.Link {
				if at := store.FromMicros(r.Since); l.Doubtful == 0 || at.Before(l.DoubtAt) {
					l.DoubtAt = at
				}
				l.Doubtful += r.Count
			}
		}
	}
	return nil
}

// doubts are how many messages of a link may have been sent without an answer, and since when the first.
type doubts struct {
	Link         string
	Count, Since int64
}

// byThemselves counts the messages that are in doubt whatever their lanes say, where those do not say so too.
const byThemselves = `SELECT m.link, COUNT(*) AS count, MIN(CASE WHEN m.doubt_at > m.created_at THEN m.doubt_at ELSE m.created_at END) AS since
	FROM outbox_messages AS m JOIN outbox_lanes AS l ON l.link = m.link AND l.lane = m.lane
	WHERE m.doubt AND m.role <> 'void' AND m.redelivery = 0 AND (m.epoch, m.number) >= (l.head_epoch, l.head)
		AND NOT (m.epoch = l.head_epoch AND m.number <= l.sent_to AND (l.lease_owner = '' OR l.due_at <= CAST(? AS BIGINT)))
	GROUP BY m.link`

// readDoubtful gives the heads of the lanes in doubt, and how many messages of each were marked as possibly sent.
func readDoubtful(ctx context.Context, tx *store.Tx) (store.Given, error) {
	var found []struct {
		Link, Lane    string
		Epoch         int64 `db:"head_epoch"`
		SentTo        int64 `db:"sent_to"`
		Head, Pending int64
		Held          bool
	}
	if err := tx.Select(ctx, &found, doubtfulLanes, store.Micros(tx.Now)); err != nil {
		return store.Given{}, err
	}
	n := len(found)
	links, lanes, held := make([]string, n), make([]string, n), make([]bool, n)
	epochs, heads, messages := make([]int64, n), make([]int64, n), make([]int64, n)
	for i, f := range found {
		links[i], lanes[i], epochs[i], heads[i], held[i] = f.Link, f.Lane, f.Epoch, f.Head, f.Held
		messages[i] = min(f.SentTo-f.Head+1, f.Pending)
	}
	return store.Give(
		store.Col("link", links), store.Col("lane", lanes), store.Col("epoch", epochs), store.Col("head", heads),
		store.Col("messages", messages), store.Col("held", held),
	), nil
}
