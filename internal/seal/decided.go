package seal

import (
	"context"
	"slices"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Decided tells since when keys were revoked, of those that the plant has on record as revoked: the archive is a table, in which whoever writes the
// database can take that back.
type Decided func(ctx context.Context, tx *store.Tx, keys []KeyID) (map[KeyID]time.Time, error)

const takenBack = "it was revoked by what is on record, and the archive had that taken back"

// Heed has the keys of the archive count as revoked that are by what is on record, whatever their rows say, and gives those whose rows say otherwise.
func (d Decided) Heed(ctx context.Context, tx *store.Tx, keys []Archived) (undone []Archived, err error) {
	if d == nil || len(keys) == 0 {
		return nil, nil
	}
	ids := make([]KeyID, len(keys))
	for i, k := range keys {
		ids[i] = k.Key
	}
	since, err := d(ctx, tx, ids)
	if err != nil {
		return nil, err
	}
	for i, k := range keys {
		at, is := since[k.Key]
		if !is || !k.Revoked.IsZero() && !k.Revoked.After(at) {
			continue
		}
		undone = append(undone, k)
		keys[i].Revoked = at
		if k.Reason == "" {
			keys[i].Reason = takenBack
		}
	}
	return undone, nil
}

// others holds every key of the archive against the record and the lists. What the archive does not say is written there again.
func (r *Ring) others(ctx context.Context, b Bundle) error {
	var keys, undone []Archived
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		if keys, err = Archive(ctx, tx); err == nil {
			undone, err = r.cfg.Decided.Heed(ctx, tx, keys)
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, k := range keys {
		was := slices.IndexFunc(undone, func(u Archived) bool { return u.Key == k.Key })
		since, is := time.Time{}, false
		if k.Revoked.IsZero() {
			since, is = listed(b.Lists, b.Roots, k.Chain)
		}
		switch {
		case was >= 0:
			err = r.revoke(ctx, k, undone[was].Revoked, KeyUndone)
		case is:
			k.Revoked, k.Reason = since, listNames
			err = r.revoke(ctx, k, time.Time{}, KeyListed)
		}
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return err
		}
	}
	return nil
}

// revoke writes into the archive what is known of a key, where it still says what it did, and records it.
func (r *Ring) revoke(ctx context.Context, k Archived, said time.Time, what string) error {
	old := int64(0)
	if !said.IsZero() {
		old = store.Micros(said)
	}
	err := r.db.InTx(ctx, func(tx *store.Tx) error {
		if k.Revoked.After(tx.Now) { // by a clock that is ahead; the entry of the record is not later
			k.Revoked = tx.Now
		}
		n, err := tx.Exec(ctx, `UPDATE seal_keys SET revoked_at = ?, reason = ? WHERE id = ? AND revoked_at = ?`, store.Micros(k.Revoked), k.Reason, string(k.Key), old)
		if err != nil || n == 0 { // another node was faster
			return err
		}
		tx.Wake(Topic)
		tx.AfterCommit(func() {
			r.log.ErrorContext(ctx, "ALARM: a key was revoked, and the archive did not say so", "part", "keys", "key", k.Key, "since", k.Revoked, "what", what)
		})
		return r.record(ctx, tx, what, k.Key)
	})
	if own := r.key.Load(); err == nil && own != nil && own.id == k.Key {
		own.revoked.Store(true)
	}
	return err
}
