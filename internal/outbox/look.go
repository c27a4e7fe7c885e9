package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/store"
)

// Looking says for which messages of a link the ERP is looked into, and when: for those that were delivered and have no document's number.
type Looking struct {
	Link  string
	Kinds []string      // what their receipts' kinds begin with, of which there is one at least
	Every time.Duration // how long after its delivery a message is looked for first; then after as long again, and so on
	Most  time.Duration // between two looks
}

// unanswered are the last deliveries that have no number.
const unanswered = `document = '' AND role <> 'void' AND NOT EXISTS (SELECT 1 FROM outbox_delivered AS n WHERE n.id = d.id AND n.redelivery > d.redelivery)`

// Look takes one message whose turn it is at the time now, and gives its ID, "" if there is none. No other node, and no later look, is given it
// before it is due again.
func (o *Outbox) Look(ctx context.Context, tx *store.Tx, l Looking, now time.Time) (id string, err error) {
	var d struct {
		ID         string
		Redelivery int
		SettledAt  int64 `db:"settled_at"`
	}
	at := store.Micros(now)
	args := []any{l.Link, at, at - l.Every.Microseconds()}
	for _, kind := range l.Kinds {
		args = append(args, kind+"%")
	}
	err = tx.Get(ctx, &d, `SELECT id, redelivery, settled_at FROM outbox_delivered AS d WHERE link = ? AND look_at <= ? AND settled_at <= ? AND `+unanswered+`
		AND (`+strings.Repeat(`doc_kind LIKE ? OR `, len(l.Kinds)-1)+`doc_kind LIKE ?) ORDER BY look_at, settled_at LIMIT 1`+tx.SkipLocked(), args...)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("find a message of link %s that has no number: %w", l.Link, err)
	}
	again := min(max(at-d.SettledAt, l.Every.Microseconds()), l.Most.Microseconds())
	_, err = tx.Exec(ctx, `UPDATE outbox_delivered SET look_at = ? WHERE id = ? AND redelivery = ?`, at+again, d.ID, d.Redelivery)
	if err != nil {
		return "", fmt.Errorf("take message %s to look for it: %w", d.ID, err)
	}
	return d.ID, nil
}

// Earlier are the documents that the ERP has made of the deliveries of a message before that one. open tells that it is not known of each: it has no
// number yet, or is no longer kept.
func (o *Outbox) Earlier(ctx context.Context, tx *store.Tx, id string, redelivery int) (documents []string, open bool, err error) {
	if redelivery == 0 {
		return nil, false, nil
	}
	if err := tx.Select(ctx, &documents, `SELECT document FROM outbox_delivered WHERE id = ? AND redelivery < ?`, id, redelivery); err != nil {
		return nil, false, fmt.Errorf("read the deliveries of message %s: %w", id, err)
	}
	return documents, len(documents) < redelivery || slices.Contains(documents, ""), nil
}

// Overdue are the messages of a link that were delivered before a time, have no number, and were not refused either.
type Overdue struct {
	Messages int
	Oldest   string // its ID
	Since    time.Time
}

// Overdue counts them.
func (o *Outbox) Overdue(ctx context.Context, tx *store.Tx, link string, before time.Time) (Overdue, error) {
	var r []struct {
		ID        string
		SettledAt int64 `db:"settled_at"`
		All       int   `db:"n"`
	}
	err := tx.Select(ctx, &r, `SELECT id, settled_at, COUNT(*) OVER () AS n FROM outbox_delivered AS d WHERE link = ? AND settled_at < ? AND refused = '' AND `+unanswered+`
		ORDER BY settled_at, id LIMIT 1`, link, store.Micros(before))
	if err != nil || len(r) == 0 {
		return Overdue{}, err
	}
	return Overdue{r[0].All, r[0].ID, store.FromMicros(r[0].SettledAt)}, nil
}
