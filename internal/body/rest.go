package body

import (
	"context"
	"fmt"
	"strconv"

	"holdfast/internal/store"
)

// cell is one chunk of a body: at another place it does not open.
func cell(body string, seq int) store.Cell {
	return store.Cell{Table: "body_chunks", Row: body, Bound: [][]byte{strconv.AppendInt(nil, int64(seq), 10)}}
}

// chunkRow is a chunk as it is kept.
type chunkRow struct {
	Body   string
	Seq    int
	Bytes  []byte
	Sealed int64
}

// chunks reads those of a body from one on, to before another.
func chunks(ctx context.Context, tx *store.Tx, body string, from, to int) ([][]byte, error) {
	var rows []chunkRow
	err := tx.Select(ctx, &rows, `SELECT body, seq, bytes, sealed FROM body_chunks WHERE body = ? AND seq >= ? AND seq < ? ORDER BY seq`, body, from, to)
	if err != nil {
		return nil, err
	}
	parts := make([][]byte, len(rows))
	for n, r := range rows {
		if parts[n], err = tx.Unseal(ctx, cell(body, r.Seq), r.Sealed, r.Bytes); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

// resealChunks is how many chunks are sealed in one transaction.
const resealChunks = 16

// SealKept seals chunks that are not sealed, from the one behind after on, some at a time. It says how many it sealed, and which it looked at
// last: the zero Place at the end.
func SealKept(ctx context.Context, db *store.DB, after Place) (n int, last Place, err error) {
	err = db.InTx(ctx, func(tx *store.Tx) error {
		n, last = 0, Place{}
		var rows []chunkRow
		err := tx.Select(ctx, &rows, `SELECT body, seq, bytes, sealed FROM body_chunks WHERE (body, seq) > (?, ?) AND sealed = 0 ORDER BY body, seq LIMIT ?`,
			after.Body, after.Seq, resealChunks)
		if err != nil {
			return fmt.Errorf("look for chunks that are not sealed: %w", err)
		}
		for _, r := range rows {
			sealed, epoch, err := tx.Seal(ctx, cell(r.Body, r.Seq), r.Bytes)
			if err == nil && epoch != 0 {
				_, err = tx.Exec(ctx, `UPDATE body_chunks SET bytes = ?, sealed = ? WHERE body = ? AND seq = ?`, sealed, epoch, r.Body, r.Seq)
			}
			if err != nil || epoch == 0 {
				return err
			}
			n, last = n+1, Place{r.Body, r.Seq}
		}
		return nil
	})
	return n, last, err
}

// Place is where a chunk is.
type Place struct {
	Body string
	Seq  int
}
