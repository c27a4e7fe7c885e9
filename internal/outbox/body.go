package outbox

import (
	"context"
	"fmt"
	"slices"

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
