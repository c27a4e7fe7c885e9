package outbox

import (
	"context"
	"fmt"

	"holdfast/internal/store"
)

// MapBy has lanes name the set of mappings by which what is claimed or appended from now on goes out: version gives the name of the one in use,
// which can be had again by that name for as long as something may have been sent by it. It is called before anything else uses o.
func (o *Outbox) MapBy(version func() string) { o.version = version }

// sets is the name of the set in use, "" in a process that has none.
func (o *Outbox) sets() string {
	if o.version == nil {
		return ""
	}
	return o.version()
}

// Marked are the sets of mappings, and the versions of single ones, by which something may have been sent that is owed.
func Marked(ctx context.Context, tx *store.Tx) ([]string, error) {
	var out []string
	err := tx.Select(ctx, &out, `SELECT sent_by FROM outbox_lanes WHERE owing AND sent_by <> '' UNION SELECT sent_by FROM outbox_messages WHERE sent_by <> ''`)
	if err != nil {
		return nil, fmt.Errorf("read what the owed may have been sent by: %w", err)
	}
	return out, nil
}

// by is how a lane was last marked.
type by struct {
	SentBy string `db:"sent_by"`
	Token  int64  `db:"sent_by_token"`
}

// byColumns are those of a lane's row.
const byColumns = `sent_by, sent_by_token`

// sentBy is the set by which what the lane has marked went out; "" if nobody knows: the last who took it was a node of an earlier release.
func (l *lane) sentBy() string {
	if l.by.Token != l.Token {
		return ""
	}
	return l.SentBy
}

// remember has what may have been sent name the set that it went out by, before the lane is marked with another, and forgets it of what was
// certainly not sent by it: the first messages of the lane say so from then on.
func (o *Outbox) remember(ctx context.Context, tx *store.Tx, link string, l lane, rows []row, now string) error {
	was := l.sentBy()
	if was != "" && was != now && (rows[0].Number <= l.SentTo || rows[0].Redelivery > 0) {
		_, err := tx.Exec(ctx, `UPDATE outbox_messages SET sent_by = ? WHERE link = ? AND lane = ? AND sent_by = '' AND mapping <> ''
			AND (number <= ? OR redelivery > 0)`, was, link, l.Lane, l.SentTo)
		if err != nil {
			return fmt.Errorf("keep what lane %s of link %s was sent by: %w", l.Lane, link, err)
		}
		for i := range rows {
			if w := &rows[i]; w.SentBy == "" && w.Mapping != "" && w.marked(l.SentTo) {
				w.SentBy = was
			}
		}
	}
	var unsent []string
	for i := range rows {
		w := &rows[i]
		if w.SentBy != "" && (!w.marked(l.SentTo) || w.Replay == Forced || l.by.Token != l.Token && w.Redelivery == 0) {
			unsent, w.SentBy = append(unsent, w.ID), ""
		}
	}
	if len(unsent) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET sent_by = '' WHERE `+among(tx, "id"), listed(tx, unsent)); err != nil {
		return fmt.Errorf("forget what lane %s of link %s was not sent by: %w", l.Lane, link, err)
	}
	return nil
}
