package outbox

import (
	"context"
	"fmt"
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

	noted []purgedTo // what Purged was read from
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
		MAC                 []byte
	}
	err := tx.Select(ctx, &rows, `SELECT e.link, e.lane, e.epoch, e.last, e.digest, e.lost, COALESCE(p.epoch, 0) AS old, COALESCE(p.number, 0) AS number, p.mac FROM (
			SELECT link, lane, epoch, next_number - 1 AS last, last_digest AS digest, FALSE AS lost FROM outbox_lanes WHERE (next_number > 1 OR epoch > 1)`+where+`
			UNION ALL SELECT link, lane, MAX(epoch), MAX(number), '', TRUE FROM (SELECT link, lane, epoch, number FROM outbox_messages
				UNION ALL SELECT link, lane, epoch, number FROM outbox_delivered) AS m
				WHERE NOT EXISTS (SELECT 1 FROM outbox_lanes AS l WHERE l.link = m.link AND l.lane = m.lane AND (l.next_number > 1 OR l.epoch > 1))`+where+` GROUP BY link, lane) AS e
		LEFT JOIN outbox_purged AS p ON p.link = e.link AND p.lane = e.lane ORDER BY e.link, e.lane`, append(slices.Clone(args), args...)...)
	if err != nil {
		return nil, garbled(ctx, tx, fmt.Errorf("read the ends of lanes: %w", err), link, lane, "outbox_lanes", "outbox_messages", "outbox_delivered")
	}
	var list []End
	for _, r := range rows {
		if n := len(list); n == 0 || list[n-1].Link != r.Link || list[n-1].Lane != r.Lane {
			list = append(list, End{Link: r.Link, Lane: r.Lane, Epoch: r.Epoch, Last: r.Last, Digest: r.Digest, Purged: map[int64]int64{}, Lost: r.Lost})
		}
		if e := &list[len(list)-1]; r.Old > 0 {
			e.Purged[r.Old] = r.Number
			e.noted = append(e.noted, purgedTo{at{r.Link, r.Lane, r.Old, r.Number}, r.MAC})
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
func (o *Outbox) notePurged(ctx context.Context, tx *store.Tx, rows []gone) error {
	last := map[at]int64{}
	for _, r := range rows {
		of := at{r.Link, r.Lane, r.Epoch, 0}
		last[of] = max(last[of], r.Number)
	}
	places := make([]purgedTo, 0, len(last))
	for of, number := range last {
		of.Number = number
		places = append(places, purgedTo{at: of})
	}
	return o.keepPurged(ctx, tx, places, `number = excluded.number, mac = excluded.mac WHERE outbox_purged.number < excluded.number`)
}
