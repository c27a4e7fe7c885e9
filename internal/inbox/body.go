package inbox

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"strconv"
	"strings"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// keeper keeps a body that is in memory beside its message.
type keeper func(text []byte) (*message.Large, error)

// keepIn keeps it in a transaction that has begun, keep ahead of the one that takes the message. What is not taken after all is left to the
// sweep.
func keepIn(ctx context.Context, tx *store.Tx) keeper {
	return func(text []byte) (*message.Large, error) { return body.KeepIn(ctx, tx, text, "") }
}

func (i *Inbox) keep(ctx context.Context) keeper {
	return func(text []byte) (*message.Large, error) { return body.KeepBytes(ctx, i.db, text, "") }
}

// aside has a text that is too large for its message's row kept beside it, and gives what stands in the row.
func (i *Inbox) aside(text []byte, keep keeper) ([]byte, body.Ref, error) {
	if len(text) <= i.cfg.Inline {
		return text, "", nil
	}
	l, err := keep(text)
	return []byte{}, body.RefOf(l), err
}

// asideAll does so for messages that came in and can be believed: of others nothing large is kept.
func (i *Inbox) asideAll(came []arrival, keep keeper) error {
	for n := range came {
		a := &came[n]
		if a.err != nil || a.row.Large != "" {
			continue
		}
		var err error
		if a.row.Body, a.row.Large, err = i.aside(a.row.Body, keep); err != nil {
			return err
		}
	}
	return nil
}

// rejectedBody is how many bytes are kept of a body that is rejected: enough to see what it was.
const rejectedBody = 4 << 10

// beginning is what is kept of a rejected body.
func beginning(ctx context.Context, tx *store.Tx, m message.Message) ([]byte, error) {
	if m.Large == nil {
		return append([]byte{}, m.Body[:min(len(m.Body), rejectedBody)]...), nil // never nil, which would be NULL
	}
	m.Large = body.RefOf(m.Large).Within(tx)
	r, err := m.Open(ctx)
	if err != nil {
		return nil, fmt.Errorf("read a rejected body: %w", err)
	}
	defer r.Close()
	text, err := io.ReadAll(io.LimitReader(r, rejectedBody))
	if err != nil {
		return nil, fmt.Errorf("read a rejected body: %w", err)
	}
	return text, nil
}

// sum is the SHA-256 of a body, wherever it is.
func sum(m message.Message) [sha256.Size]byte {
	if m.Large != nil {
		return m.Large.Digest
	}
	return sha256.Sum256(m.Body)
}

// size is how many bytes the body has.
func (r row) size() int64 {
	length := int64(len(r.Body))
	if r.Sealed != 0 {
		length -= store.SealBytes
	}
	return extent{length, r.Large}.size()
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

const ownerOf = "inbox/"

// owner is the name under which a message holds its bodies.
func owner(seq int64) string { return ownerOf + strconv.FormatInt(seq, 10) }

// holding names those owners that are there.
func holding(ctx context.Context, tx *store.Tx, owners []string) (there []string, err error) {
	seqs := make([]int64, len(owners))
	for n, name := range owners {
		if seqs[n], err = strconv.ParseInt(strings.TrimPrefix(name, ownerOf), 10, 64); err != nil {
			return nil, fmt.Errorf("read the owner %s of a body: %w", name, err)
		}
	}
	query, args, err := tx.In(`SELECT seq FROM inbox_messages WHERE seq IN (?)`, seqs)
	if err != nil {
		return nil, err
	}
	var found []int64
	err = tx.Select(ctx, &found, query, args...)
	for _, seq := range found {
		there = append(there, owner(seq))
	}
	return there, err
}

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
func freeBodies(ctx context.Context, tx *store.Tx, query string, args ...any) error {
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
