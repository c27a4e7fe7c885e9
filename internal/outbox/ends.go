package outbox

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"

	"holdfast/internal/store"
)

// End is what a lane says of its own end, and of its beginning: what a proof of the lane must reach, and where it may begin.
type End struct {
	Link, Lane string
	Epoch      int64
	Last       int64           // number of the last message; 0 where a restored plant has begun the epoch and nothing followed
	Digest     string          // of the last message's original
	Purged     map[int64]int64 // by epoch: up to this number messages were deleted because they were old
	Lost       bool            // there are messages of the lane, and nothing else of it: its end is gone
}

// Ends is the end of every lane, or of those of a link, or of one, into which anything was ever put.
func (o *Outbox) Ends(ctx context.Context, tx *store.Tx, link, lane string) ([]End, error) {
	where, args := "", []any{}
	for _, c := range []struct{ column, value string }{{"link", link}, {"lane", lane}} {
		if c.value != "" {
			where, args = where+" AND "+c.column+" = ?", append(args, c.value)
		}
	}
	var rows []struct {
		Link, Lane, Digest  string
		Epoch, Last, Number int64
		Old                 int64
		Lost                bool
	}
	err := tx.Select(ctx, &rows, `SELECT e.link, e.lane, e.epoch, e.last, e.digest, e.lost, COALESCE(p.epoch, 0) AS old, COALESCE(p.number, 0) AS number FROM (
			SELECT link, lane, epoch, next_number - 1 AS last, last_digest AS digest, FALSE AS lost FROM outbox_lanes WHERE (next_number > 1 OR epoch > 1)`+where+`
			UNION ALL SELECT link, lane, MAX(epoch), MAX(number), '', TRUE FROM (SELECT link, lane, epoch, number FROM outbox_messages
				UNION ALL SELECT link, lane, epoch, number FROM outbox_delivered) AS m
				WHERE NOT EXISTS (SELECT 1 FROM outbox_lanes AS l WHERE l.link = m.link AND l.lane = m.lane AND (l.next_number > 1 OR l.epoch > 1))`+where+` GROUP BY link, lane) AS e
		LEFT JOIN outbox_purged AS p ON p.link = e.link AND p.lane = e.lane ORDER BY e.link, e.lane`, append(slices.Clone(args), args...)...)
	if err != nil {
		return nil, fmt.Errorf("read the ends of lanes: %w", err)
	}
	var list []End
	for _, r := range rows {
		if n := len(list); n == 0 || list[n-1].Link != r.Link || list[n-1].Lane != r.Lane {
			list = append(list, End{r.Link, r.Lane, r.Epoch, r.Last, r.Digest, map[int64]int64{}, r.Lost})
		}
		if r.Old > 0 {
			list[len(list)-1].Purged[r.Old] = r.Number
		}
	}
	return list, nil
}

// gone is a settled message that was deleted because it was old.
type gone struct {
	purged
	Link, Lane    string
	Epoch, Number int64
}

func messagesOf(rows []gone) []purged {
	list := make([]purged, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.purged)
	}
	return list
}

// notePurged keeps up to which number each lane has lost its old messages.
func notePurged(ctx context.Context, tx *store.Tx, rows []gone) error {
	type place struct {
		link, lane string
		epoch      int64
	}
	last := map[place]int64{}
	for _, r := range rows {
		at := place{r.Link, r.Lane, r.Epoch}
		last[at] = max(last[at], r.Number)
	}
	if len(last) == 0 {
		return nil
	}
	places := slices.SortedFunc(maps.Keys(last), func(a, b place) int { // in one order, so that two nodes do not wait for each other
		return cmp.Or(cmp.Compare(a.link, b.link), cmp.Compare(a.lane, b.lane), cmp.Compare(a.epoch, b.epoch))
	})
	g := store.Give(
		store.Each("link", places, func(p place) string { return p.link }), store.Each("lane", places, func(p place) string { return p.lane }),
		store.Each("epoch", places, func(p place) int64 { return p.epoch }), store.Each("number", places, func(p place) int64 { return last[p] }),
	)
	insert, args := g.Insert(tx, "outbox_purged")
	_, err := tx.Exec(ctx, insert+` ON CONFLICT (link, lane, epoch) DO UPDATE SET number = excluded.number WHERE outbox_purged.number < excluded.number`, args...)
	if err != nil {
		return fmt.Errorf("note what was purged: %w", err)
	}
	return nil
}
