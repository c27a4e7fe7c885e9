package inbox

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strconv"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// big tells whether a body is to be kept beside its message. One that is larger than any may be is not kept at all.
func (i *Inbox) big(m message.Message) bool {
	return m.Large == nil && len(m.Body) > i.cfg.Inline && len(m.Body) <= i.cfg.MaxBody
}

// aside keeps the large bodies of what came in beside their messages, ahead of the transaction that takes these. What is not taken
// after all leaves them to the sweep.
func (i *Inbox) aside(ctx context.Context, ins []message.Incoming) ([]message.Incoming, error) {
	if !slices.ContainsFunc(ins, func(in message.Incoming) bool { return i.big(in.Message) }) {
		return ins, nil
	}
	ins = slices.Clone(ins)
	for n := range ins {
		in := &ins[n]
		if !i.big(in.Message) {
			continue
		}
		l, err := body.Keep(ctx, i.db, bytes.NewReader(in.Body), "", int64(i.cfg.MaxBody))
		if err != nil {
			return nil, err
		}
		in.Body, in.Large = nil, l
	}
	return ins, nil
}

// asideIn does so in a transaction that has begun.
func (i *Inbox) asideIn(ctx context.Context, tx *store.Tx, in message.Incoming) (message.Incoming, error) {
	if !i.big(in.Message) {
		return in, nil
	}
	l, err := body.KeepIn(ctx, tx, in.Body, "")
	in.Body, in.Large = []byte{}, l
	return in, err
}

// size is how many bytes the body has.
func (r row) size() int64 {
	return extent{int64(len(r.Body)), r.Large}.size()
}

// extent is how much a stored message has for a body, without the body.
type extent struct {
	Length int64 // of what stands in its row
	Large  body.Ref
}

func (e extent) size() int64 {
	if e.Large != "" {
		return e.Large.Size()
	}
	return e.Length
}

// owner is the name under which a message holds its bodies, rejectedOwner that of one that could not be believed.
func owner(seq int64) string         { return "inbox/" + strconv.FormatInt(seq, 10) }
func rejectedOwner(seq int64) string { return "rejected/" + strconv.FormatInt(seq, 10) }

// holdBodies names their large bodies in rows that were stored just now, and has them stay.
func holdBodies(ctx context.Context, tx *store.Tx, rows []*row) error {
	for _, r := range rows {
		if r.Large == "" || r.Seq == 0 {
			continue
		}
		if err := body.Hold(ctx, tx, owner(r.Seq), r.Large.Within(tx)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `UPDATE inbox_messages SET large = ? WHERE seq = ?`, r.Large, r.Seq); err != nil {
			return fmt.Errorf("name the body of message %d: %w", r.Seq, err)
		}
	}
	return nil
}

// holdAnew has the large bodies stay that a message names now, and none that it named before.
func holdAnew(ctx context.Context, tx *store.Tx, r row) error {
	if err := body.Free(ctx, tx, []string{owner(r.Seq)}); err != nil {
		return err
	}
	for _, ref := range []body.Ref{r.Large, r.OriginalLarge} {
		if ref == "" {
			continue
		}
		if err := body.Hold(ctx, tx, owner(r.Seq), ref.Within(tx)); err != nil {
			return err
		}
	}
	return nil
}

// freeBodies runs a statement that deletes messages, and ends the holds of those that had large bodies.
func freeBodies(ctx context.Context, tx *store.Tx, owner func(seq int64) string, query string, args ...any) error {
	var gone []struct {
		Seq           int64
		Large         body.Ref
		OriginalLarge body.Ref `db:"original_large"`
	}
	if err := tx.Select(ctx, &gone, query, args...); err != nil {
		return err
	}
	var owners []string
	for _, g := range gone {
		if g.Large != "" || g.OriginalLarge != "" {
			owners = append(owners, owner(g.Seq))
		}
	}
	return body.Free(ctx, tx, owners)
}
