package seal

import (
	"context"
	"crypto/x509"
	"fmt"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Topic is what a change of the archive wakes (store.DB.Subscribe).
const Topic = "keys"

// Archived is a certificate of the archive with what was decided about it since.
type Archived struct {
	Certificate
	Retired time.Time // since when its node is to sign with another key; zero if it need not
}

type archiveRow struct {
	ID        string `db:"id"`
	Node      string `db:"node"`
	Chain     []byte `db:"chain"`
	MadeAt    int64  `db:"made_at"`
	RetiredAt int64  `db:"retired_at"`
	RevokedAt int64  `db:"revoked_at"`
	Reason    string `db:"reason"`
}

func (r archiveRow) archived() (Archived, error) {
	chain, err := x509.ParseCertificates(r.Chain)
	if err != nil || len(chain) == 0 {
		return Archived{}, &problem.Error{
			Kind: problem.Integrity, What: "read key " + r.ID + " of the archive", Why: "its certificate is not one any more",
			Hint: "the database was altered behind Holdfast: find out by whom, and put back a backup of seal_keys", Cause: err,
		}
	}
	c := Certificate{Key: KeyID(r.ID), Node: r.Node, Chain: chain, Made: store.FromMicros(r.MadeAt), Reason: r.Reason}
	a := Archived{Certificate: c}
	if r.RevokedAt != 0 {
		a.Revoked = store.FromMicros(r.RevokedAt)
	}
	if r.RetiredAt != 0 {
		a.Retired = store.FromMicros(r.RetiredAt)
	}
	return a, nil
}

// Archive lists every key that any node ever signed with, the latest first: old messages are checked by old keys.
func Archive(ctx context.Context, tx *store.Tx) ([]Archived, error) {
	var rows []archiveRow
	if err := tx.Select(ctx, &rows, selectKeys+` ORDER BY made_at DESC, id`); err != nil {
		return nil, fmt.Errorf("read the archive of keys: %w", err)
	}
	all := make([]Archived, 0, len(rows))
	for _, r := range rows {
		a, err := r.archived()
		if err != nil {
			return nil, err
		}
		all = append(all, a)
	}
	return all, nil
}

// Find is one key of the archive; the error of one that is not there is of kind NotFound.
func Find(ctx context.Context, tx *store.Tx, id KeyID) (Archived, error) {
	var rows []archiveRow
	if err := tx.Select(ctx, &rows, selectKeys+` WHERE id = ?`, string(id)); err != nil {
		return Archived{}, fmt.Errorf("read key %s: %w", id, err)
	}
	if len(rows) == 0 {
		return Archived{}, &problem.Error{
			Kind: problem.NotFound, What: "find key " + string(id), Why: "no node ever signed with it", Hint: "list them with: holdfast keys status",
		}
	}
	return rows[0].archived()
}

// keep archives a key before its first signature: nobody could check that one otherwise.
func keep(ctx context.Context, tx *store.Tx, c Certificate) error {
	var chain []byte
	for _, x := range c.Chain {
		chain = append(chain, x.Raw...)
	}
	_, err := tx.Exec(ctx, insertKey, string(c.Key), c.Node, chain, store.Micros(c.Made))
	if err != nil {
		return fmt.Errorf("archive key %s: %w", c.Key, err)
	}
	tx.Wake(Topic)
	return nil
}

// Retire has the node whose key this is make another one, at once if it runs, else when it starts. What the key signed stays good.
func Retire(ctx context.Context, tx *store.Tx, id KeyID) (Archived, error) {
	return end(ctx, tx, id, `UPDATE seal_keys SET retired_at = ? WHERE id = ? AND retired_at = 0`, store.Micros(tx.Now))
}

// Revoke has the key vouch for nothing any more, also not for what it signed earlier, and its node make another one. The error of one that is revoked
// already is of kind Conflict.
func Revoke(ctx context.Context, tx *store.Tx, id KeyID, reason string) (Archived, error) {
	a, err := Find(ctx, tx, id)
	if err != nil {
		return a, err
	}
	if !a.Revoked.IsZero() {
		return a, &problem.Error{
			Kind: problem.Conflict, What: "revoke key " + string(id), Why: "it is revoked since " + a.Revoked.UTC().Format(time.RFC3339) + ": " + a.Reason, Hint: "nothing: it counts for nothing already",
		}
	}
	return end(ctx, tx, id, `UPDATE seal_keys SET revoked_at = ?, reason = ? WHERE id = ? AND revoked_at = 0`, store.Micros(tx.Now), reason)
}

func end(ctx context.Context, tx *store.Tx, id KeyID, update string, args ...any) (Archived, error) {
	if _, err := Find(ctx, tx, id); err != nil {
		return Archived{}, err
	}
	if _, err := tx.Exec(ctx, update, append(args, string(id))...); err != nil {
		return Archived{}, fmt.Errorf("end key %s: %w", id, err)
	}
	tx.Wake(Topic)
	return Find(ctx, tx, id)
}
