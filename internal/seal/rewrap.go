package seal

import (
	"cmp"
	"context"
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/store"
)

// rewrap wraps epochs anew if it is time to look.
func (r *Rest) rewrap(ctx context.Context) error {
	now := r.cfg.Now()
	if at := r.rewrapAt.Load(); at != 0 && now.UnixMicro() < at {
		return nil
	}
	_, _, err := r.Rewrap(ctx)
	if err == nil || isDenied(err) {
		r.rewrapAt.Store(now.Add(r.cfg.Rewrap).UnixMicro())
	}
	return err
}

// Rewrap has the keyring wrap every epoch under the latest version of its key. It says how many there are, and how many were of an earlier
// one. What is sealed stays as it is. An epoch that the keyring refuses keeps no other from it: the error, of kind Denied, comes at the end.
func (r *Rest) Rewrap(ctx context.Context) (all, changed int, err error) {
	kept, err := r.read(ctx)
	if err != nil || len(kept.rows) == 0 {
		return 0, 0, err
	}
	var refused error
	for from := 0; from < len(kept.rows); from += rewrapRows {
		part := kept.rows[from:min(from+rewrapRows, len(kept.rows))]
		n, err := r.rewrapPart(ctx, part)
		changed += n
		r.earlier.Store(int64(earlier(kept.rows)))
		if isDenied(err) {
			refused = err
		} else if err != nil {
			return len(kept.rows), changed, err
		}
	}
	return len(kept.rows), changed, refused
}

// earlier counts the epochs that are wrapped by an earlier version of the key than others.
func earlier(rows []epochRow) (n int) {
	latest := 0
	for _, row := range rows {
		latest = max(latest, wrapVersion(row.Wrapped))
	}
	for _, row := range rows {
		if wrapVersion(row.Wrapped) < latest {
			n++
		}
	}
	return n
}

// wrapVersion is 3 of what version 3 of a key wrapped, at Vault or in the plant's own keyring; 0 of what says none.
func wrapVersion(wrapped string) int {
	v := versionOf(wrapped)
	n, err := strconv.Atoi(strings.TrimPrefix(v[strings.LastIndexByte(v, ':')+1:], "v"))
	if err != nil {
		return 0
	}
	return n
}

// rewrapRows is how many epochs are wrapped anew with one call.
const rewrapRows = 200

func (r *Rest) rewrapPart(ctx context.Context, part []epochRow) (changed int, err error) {
	old := make([]string, 0, len(part))
	for _, row := range part {
		old = append(old, row.Wrapped)
	}
	fresh, refused := r.from.Rewrap(ctx, old)
	if fresh == nil {
		return 0, refused
	}
	err = r.db.InTx(ctx, func(tx *store.Tx) error {
		changed = 0
		for n, row := range part {
			if fresh[n] == row.Wrapped {
				continue
			}
			changed++
			if _, err := tx.Exec(ctx, `UPDATE rest_epochs SET wrapped = ? WHERE id = ? AND wrapped = ?`, fresh[n], row.ID, row.Wrapped); err != nil {
				return fmt.Errorf("keep an epoch that was wrapped anew: %w", err)
			}
		}
		return nil
	})
	for n := range part {
		if err == nil {
			part[n].Wrapped = fresh[n]
		}
	}
	return changed, cmp.Or(err, refused)
}
