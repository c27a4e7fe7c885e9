package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Moved is the head of every lane into which a message was put since then: epoch, number and digest of its last one.
func (o *Outbox) Moved(ctx context.Context, tx *store.Tx, since time.Time) ([]audit.Head, error) {
	var rows []struct {
		Link   string `db:"link"`
		Lane   string `db:"lane"`
		Epoch  int64  `db:"epoch"`
		Number int64  `db:"number"`
		Digest string `db:"last_digest"`
	}
	err := tx.Select(ctx, &rows, `SELECT link, lane, epoch, next_number - 1 AS number, last_digest FROM outbox_lanes
		WHERE next_number > 1 AND (link, lane) IN (SELECT link, lane FROM outbox_messages WHERE created_at >= ?
		UNION SELECT link, lane FROM outbox_delivered WHERE created_at >= ?) ORDER BY link, lane`, store.Micros(since), store.Micros(since))
	if err != nil {
		return nil, fmt.Errorf("read which lanes have moved: %w", err)
	}
	heads := make([]audit.Head, len(rows))
	for i, r := range rows {
		heads[i] = audit.Head(r)
	}
	return heads, nil
}

// Lost is a head that the audit record holds of a lane and the lane has no more.
type Lost struct {
	audit.Head
	Other bool // another message has its number
}

// Lost gives those of the heads that are not in their lanes as they were held, and were not purged for their age: they were taken out or
// exchanged behind Holdfast. Unavailable while a key is not at hand by which that is told of each.
func (o *Outbox) Lost(ctx context.Context, tx *store.Tx, heads []audit.Head) ([]Lost, error) {
	lost, away, err := o.lost(ctx, tx, heads)
	return lost, cmp.Or(err, away)
}

// lost is Lost, of those heads of which it can be told; away says why it cannot of the others.
func (o *Outbox) lost(ctx context.Context, tx *store.Tx, heads []audit.Head) (lost []Lost, away, err error) {
	var b believer
	for part := range slices.Chunk(heads, chunk) {
		has, err := digestsAt(ctx, tx, part)
		if err != nil {
			return nil, nil, err
		}
		for _, h := range part {
			digests, there := has[placeAt(h)]
			if there {
				if !digests[h.Digest] {
					lost = append(lost, Lost{h, true})
				}
				continue
			}
			purged, err := o.wasPurged(ctx, tx, placeAt(h), &b)
			switch {
			case problem.KindOf(err) == problem.Unavailable:
				away = err
			case err != nil:
				return nil, nil, err
			case !purged:
				lost = append(lost, Lost{Head: h})
			}
		}
	}
	return lost, away, nil
}

func placeAt(h audit.Head) at { return at{h.Link, h.Lane, h.Epoch, h.Number} }

// digestsAt are the digests of what is kept at these places, and of all that it was before.
func digestsAt(ctx context.Context, tx *store.Tx, heads []audit.Head) (map[at]map[string]bool, error) {
	g := store.Give(
		store.Each("link", heads, func(h audit.Head) string { return h.Link }), store.Each("lane", heads, func(h audit.Head) string { return h.Lane }),
		store.Each("epoch", heads, func(h audit.Head) int64 { return h.Epoch }), store.Each("number", heads, func(h audit.Head) int64 { return h.Number }),
	)
	const is = ` WHERE m.link = g.link AND m.lane = g.lane AND m.epoch = g.epoch AND m.number = g.number`
	parts, args := []string{}, []any{}
	for _, table := range []string{"outbox_messages", "outbox_delivered"} {
		from := ` FROM ` + g.Table(tx, "g") + ` CROSS JOIN ` + table + ` AS m`
		parts = append(parts, `SELECT m.link, m.lane, m.epoch, m.number, m.digest, m.refers`+from+is,
			`SELECT m.link, m.lane, m.epoch, m.number, e.digest, e.refers`+from+` CROSS JOIN outbox_events AS e`+is+` AND e.id = m.id`)
		args = slices.Concat(args, g.Args(tx), g.Args(tx))
	}
	var rows []struct {
		at
		Digest, Refers string
	}
	if err := tx.Select(ctx, &rows, strings.Join(parts, " UNION "), args...); err != nil {
		return nil, fmt.Errorf("read what lanes have where the audit record holds something: %w", err)
	}
	has := make(map[at]map[string]bool, len(heads))
	for _, r := range rows {
		if has[r.at] == nil {
			has[r.at] = map[string]bool{}
		}
		has[r.at][r.Digest], has[r.at][r.Refers] = true, true
	}
	return has, nil
}
