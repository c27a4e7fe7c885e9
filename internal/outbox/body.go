package outbox

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// aside keeps a body over Config.Inline beside its message. A body that is Large already is left as it is.
func (o *Outbox) aside(ctx context.Context, tx *store.Tx, m message.Message) (message.Message, error) {
	switch {
	case m.Large == nil && len(m.Body) > message.MaxBody:
		return m, &problem.Error{
			Kind: problem.TooLarge, What: "append " + m.Kind + " " + m.ID, Why: fmt.Sprintf("its body has %d bytes, more than %d", len(m.Body), message.MaxBody),
			Hint: "report it in parts",
		}
	case m.Large == nil && len(m.Body) > o.cfg.Inline:
		var err error
		if m.Large, err = body.KeepIn(ctx, tx, m.Body, ""); err != nil {
			return m, err
		}
	}
	if m.Large != nil {
		m.Body = []byte{}
	}
	return m, nil
}

// owner is the name under which a message holds its bodies: all that it ever had, until nothing of it is kept.
func owner(id string) string { return "outbox/" + id }

// hold has a body stay with the message, whichever table its row is in.
func (w row) hold(ctx context.Context, tx *store.Tx, l *message.Large) error {
	if l == nil {
		return nil
	}
	return body.Hold(ctx, tx, owner(w.ID), l)
}

// holding names those owners of which anything is kept.
func holding(ctx context.Context, tx *store.Tx, owners []string) (there []string, err error) {
	ids := make([]string, 0, len(owners))
	for _, name := range owners {
		ids = append(ids, strings.TrimPrefix(name, owner("")))
	}
	query, args, err := tx.In(`SELECT id FROM outbox_delivered WHERE id IN (?) UNION SELECT id FROM outbox_messages WHERE id IN (?)
		UNION SELECT id FROM outbox_events WHERE id IN (?)`, ids, ids, ids)
	if err == nil {
		err = tx.Select(ctx, &there, query, args...)
	}
	for n, id := range there {
		there[n] = owner(id)
	}
	return there, err
}

// purged is what was deleted of a message.
type purged struct {
	ID    string
	Large body.Ref
}

func idsOf(rows []purged) []string {
	list := make([]string, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.ID)
	}
	return list
}

// forget deletes the histories of those messages of which nothing else is kept any more, and ends their holds.
func forget(ctx context.Context, tx *store.Tx, rows []purged) error {
	large := rows
	for part := range slices.Chunk(idsOf(rows), chunk) {
		query, args, err := tx.In(`DELETE FROM outbox_events WHERE id IN (?) AND NOT EXISTS (SELECT 1 FROM outbox_delivered AS d WHERE d.id = outbox_events.id)
			AND NOT EXISTS (SELECT 1 FROM outbox_messages AS m WHERE m.id = outbox_events.id)
			RETURNING id, large`, part)
		if err != nil {
			return err
		}
		var events []purged
		if err := tx.Select(ctx, &events, query, args...); err != nil {
			return fmt.Errorf("purge the history of old messages: %w", err)
		}
		if query, args, err = tx.In(`DELETE FROM outbox_asked WHERE message IN (?)`, part); err == nil {
			_, err = tx.Exec(ctx, query, args...)
		}
		if err != nil {
			return fmt.Errorf("forget what was asked of old messages: %w", err)
		}
		large = append(large, events...)
	}
	return freeBodies(ctx, tx, large)
}

// freeBodies ends the holds of messages of which nothing is kept any more.
func freeBodies(ctx context.Context, tx *store.Tx, rows []purged) error {
	rows = slices.DeleteFunc(slices.Clone(rows), func(r purged) bool { return r.Large == "" })
	for part := range slices.Chunk(idsOf(rows), chunk) {
		query, args, err := tx.In(`SELECT id FROM outbox_delivered WHERE id IN (?) UNION SELECT id FROM outbox_messages WHERE id IN (?)`, part, part)
		if err != nil {
			return err
		}
		var kept []string
		if err := tx.Select(ctx, &kept, query, args...); err != nil {
			return fmt.Errorf("look for what is left of purged messages: %w", err)
		}
		var owners []string
		for _, id := range part {
			if !slices.Contains(kept, id) {
				owners = append(owners, owner(id))
			}
		}
		if err := body.Free(ctx, tx, owners); err != nil {
			return err
		}
	}
	return nil
}

// smallBody is the column of a body in a claim, of outbox_messages AS m. Of how many lanes and messages there is memory for is known
// only when their sizes are: a body that is not small is read then.
const smallBody = `length(m.body) AS bytes, CASE WHEN length(m.body) <= 8192 THEN m.body END AS body`

// Bytes is how much memory the bodies of a claim take.
func (c Claim) Bytes() (n int64) {
	for _, q := range c.Messages {
		n += int64(len(q.Body))
	}
	return n
}

// inBounds cuts the first messages of lanes to what Config.ClaimBytes allows, and reads those bodies that were not read yet. Of lanes for
// which there is no room left it gives none: they are claimed the next time.
func (o *Outbox) inBounds(ctx context.Context, tx *store.Tx, lanes []lane, firsts map[string][]row) ([]lane, error) {
	var sum int64
	var unread []*row
	within := make([]lane, 0, len(lanes))
	for _, l := range lanes {
		rows := firsts[l.Lane]
		n := 0
		for n < len(rows) && (sum == 0 || sum+rows[n].Bytes <= o.cfg.ClaimBytes) {
			if w := &rows[n]; w.Bytes > int64(len(w.Body)) {
				unread = append(unread, w)
			}
			sum += rows[n].Bytes
			n++
		}
		if n > 0 || len(rows) == 0 {
			within, firsts[l.Lane] = append(within, l), rows[:n]
		}
	}
	return within, readBodies(ctx, tx, unread)
}

// readBodies reads the bodies of messages whose lanes are locked.
func readBodies(ctx context.Context, tx *store.Tx, rows []*row) error {
	for part := range slices.Chunk(rows, chunk) {
		byID := make(map[string]*row, len(part))
		names := make([]string, 0, len(part))
		for _, w := range part {
			byID[w.ID], names = w, append(names, w.ID)
		}
		var read []struct {
			ID   string
			Body []byte
		}
		if err := tx.Select(ctx, &read, `SELECT id, body FROM outbox_messages WHERE `+among(tx, "id"), listed(tx, names)); err != nil {
			return fmt.Errorf("read the bodies of %d messages: %w", len(part), err)
		}
		for _, r := range read {
			byID[r.ID].Body = r.Body
		}
	}
	return nil
}
