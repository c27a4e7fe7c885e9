// Package body keeps what is too large to travel in the row of its message: in chunks, read and written piece by piece.
//
// # Guarantees
//
//   - A body is whole before anything can refer to it, and stays for as long as a message holds it. Bodies never change.
//   - What was kept for a transaction that never came, or was cut short by a crash, goes by itself after a time (Sweep).
//   - Neither writing nor reading one has more of it in memory than a few chunks, nor more than that in one transaction.
//
// A message holds a body under its own name (Hold) as long as anything of it is kept; several may hold the same one. The package owns
// the tables bodies, body_chunks and body_holds; nothing else reads or writes them.
package body

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

const (
	chunkSize = 64 << 10
	writeSize = 1 << 20       // in one transaction
	readSize  = 4 * chunkSize // with one statement
)

// DefaultInline is how many bytes a body has at most, unless the configuration says otherwise, that is held in its message's own row.
const DefaultInline = 256 << 10

// Keep reads r to its end and keeps it, in transactions of its own: nothing refers to it yet, see Hold. A body that is kept already is
// kept once. media is its media type, "" for JSON. TooLarge if it has more bytes than most; what r fails with is returned as it is.
func Keep(ctx context.Context, db *store.DB, r io.Reader, media string, most int64) (*message.Large, error) {
	u := upload{id: uuid.NewString(), db: db}
	sum, size := sha256.New(), int64(0)
	buf := make([]byte, min(writeSize, most+1))
	for {
		n, err := io.ReadFull(r, buf)
		ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if size += int64(n); size > most {
			return nil, errors.Join(TooLarge(most), u.giveUp(ctx))
		}
		if err != nil && !ended {
			return nil, errors.Join(err, u.giveUp(ctx))
		}
		sum.Write(buf[:n])
		if err := db.InTx(ctx, func(tx *store.Tx) error { return u.write(ctx, tx, buf[:n]) }); err != nil {
			_ = u.giveUp(ctx) // on a full disk it may fail too: then the sweep takes it when it is Loose
			return nil, fmt.Errorf("keep a body of %d bytes so far: %w", size, err)
		}
		u.chunks += (n + chunkSize - 1) / chunkSize
		if ended {
			break
		}
	}
	l := &message.Large{Digest: [sha256.Size]byte(sum.Sum(nil)), Size: size, Media: media}
	var id string
	err := db.InTx(ctx, func(tx *store.Tx) (err error) { id, err = u.finish(ctx, tx, l); return err })
	if err != nil {
		_ = u.giveUp(ctx) // as above
		return nil, fmt.Errorf("keep a body of %d bytes: %w", size, err)
	}
	l.Kept = kept{id, anew{db}}
	return l, nil
}

// KeepBytes is Keep of a body that is in memory. Nothing is written of one that is kept already.
func KeepBytes(ctx context.Context, db *store.DB, b []byte, media string) (*message.Large, error) {
	l := &message.Large{Digest: sha256.Sum256(b), Size: int64(len(b)), Media: media}
	var id string
	err := db.InTx(ctx, func(tx *store.Tx) (err error) { id, err = known(ctx, tx, l); return err })
	if err != nil {
		return nil, fmt.Errorf("keep a body of %d bytes: %w", len(b), err)
	}
	if id == "" {
		return Keep(ctx, db, bytes.NewReader(b), media, l.Size)
	}
	l.Kept = kept{id, anew{db}}
	return l, nil
}

// KeepIn keeps a body that is in memory, in tx. It is read from outside of tx, once that is committed.
func KeepIn(ctx context.Context, tx *store.Tx, b []byte, media string) (*message.Large, error) {
	u := upload{id: uuid.NewString()}
	l := &message.Large{Digest: sha256.Sum256(b), Size: int64(len(b)), Media: media}
	id, err := known(ctx, tx, l)
	if err == nil && id == "" {
		if err = u.write(ctx, tx, b); err == nil {
			id, err = u.finish(ctx, tx, l)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("keep a body of %d bytes: %w", len(b), err)
	}
	l.Kept = kept{id, anew{tx.DB()}}
	return l, nil
}

// TooLarge is the problem of a body that has more bytes than most.
func TooLarge(most int64) error {
	return &problem.Error{
		Kind: problem.TooLarge, What: "keep a body", Why: fmt.Sprintf("it has more than %d bytes", most),
		Hint: fmt.Sprintf("send it in parts, or raise the limit (inbox.max_body in holdfast.yaml, at most %d)", int64(message.MaxBody)),
	}
}

// upload is a body that is being written.
type upload struct {
	id     string
	db     *store.DB
	chunks int // that are committed
}

// write adds bytes, all but the last chunk of the body in full chunks.
func (u *upload) write(ctx context.Context, tx *store.Tx, b []byte) error {
	if u.chunks == 0 {
		if _, err := tx.Exec(ctx, `INSERT INTO bodies (id, state, loose_at) VALUES (?, 'open', ?)`, u.id, store.Micros(tx.Now)); err != nil {
			return fmt.Errorf("begin a body: %w", err)
		}
	} else {
		n, err := tx.Exec(ctx, `UPDATE bodies SET loose_at = ? WHERE id = ? AND state = 'open'`, store.Micros(tx.Now), u.id)
		if err != nil {
			return fmt.Errorf("go on with a body: %w", err)
		}
		if n == 0 {
			return swept("it took too long to come in, and was given up")
		}
	}
	for seq := u.chunks; len(b) > 0; seq++ {
		part := b[:min(chunkSize, len(b))]
		sealed, epoch, err := tx.Seal(ctx, cell(u.id, seq), part)
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO body_chunks (body, seq, bytes, sealed) VALUES (?, ?, ?, ?)`, u.id, seq, sealed, epoch)
		}
		if err != nil {
			return fmt.Errorf("write a chunk: %w", err)
		}
		b = b[len(part):]
	}
	return nil
}

// finish makes the body whole, or finds that it was kept before: then the earlier one is used, and this one is left to the sweep.
func (u *upload) finish(ctx context.Context, tx *store.Tx, l *message.Large) (id string, err error) {
	if id, err = known(ctx, tx, l); err != nil {
		return "", err
	}
	if id != "" {
		_, err = tx.Exec(ctx, `UPDATE bodies SET loose_at = 1 WHERE id = ? AND state = 'open'`, u.id)
		return id, err
	}
	n, err := tx.Exec(ctx, `UPDATE bodies SET state = 'kept', digest = ?, size = ?, loose_at = ? WHERE id = ? AND state = 'open'`,
		hex.EncodeToString(l.Digest[:]), l.Size, store.Micros(tx.Now), u.id)
	if err != nil {
		return "", fmt.Errorf("make a body whole: %w", err)
	}
	if n == 0 {
		return "", swept("it took too long to come in, and was given up")
	}
	return u.id, nil
}

// known is the ID of the same body if it is kept, and has the sweep leave it alone for a while; "" if it is not kept.
func known(ctx context.Context, tx *store.Tx, l *message.Large) (id string, err error) {
	err = tx.Get(ctx, &id, `SELECT id FROM bodies WHERE digest = ? AND size = ? AND state = 'kept' LIMIT 1`, hex.EncodeToString(l.Digest[:]), l.Size)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for a body: %w", err)
	}
	n, err := tx.Exec(ctx, `UPDATE bodies SET loose_at = CASE WHEN loose_at > 0 THEN CAST(? AS BIGINT) ELSE 0 END WHERE id = ? AND state = 'kept'`, store.Micros(tx.Now), id)
	if err != nil {
		return "", fmt.Errorf("find a body: %w", err)
	}
	if n == 0 { // swept at this moment
		return "", nil
	}
	return id, nil
}

// giveUp leaves what was written to the sweep, which may take it at once.
func (u *upload) giveUp(ctx context.Context) error {
	if u.chunks == 0 {
		return nil
	}
	return u.db.InTx(context.WithoutCancel(ctx), func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE bodies SET loose_at = 1 WHERE id = ? AND state = 'open'`, u.id)
		return err
	})
}

func swept(why string) error {
	return &problem.Error{Kind: problem.Unavailable, What: "keep a body", Why: why, Hint: "send it again"}
}
