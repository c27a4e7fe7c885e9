package seal

import (
	"context"
	"fmt"

	"holdfast/internal/store"
)

// Whether something that the plant owes may be unsealed is not believed from the database alone: who can write there would say so, and put in a
// message of his own. It takes a statement that is sealed under the epoch of the moment. There is one from the time a plant begins to seal until
// nothing is left that it owed before, and while sealing is switched off; each turn of the epoch makes it anew, and ends every earlier copy of it.

// cellOfPlain is where the statement is kept.
func cellOfPlain(beganAt int64) store.Cell {
	return store.Cell{Table: "rest_state", Row: "plain", Bound: [][]byte{fmt.Appendf(nil, "%d", beganAt)}}
}

// plainUnder makes the statement under an epoch.
func plainUnder(seed []byte, id, beganAt int64) ([]byte, error) {
	c := cellOfPlain(beganAt)
	k, err := newAEAD(seed, nil, restPurpose(c.Table, id))
	if err != nil {
		return nil, err
	}
	return k.Seal(nil, nil, nil, aad(id, c)), nil //nolint:gosec // the AEAD makes its nonce itself (cipher.NewGCMWithRandomNonce)
}

// plain tells whether the plant has said, under the epoch of the moment, that what it owes may be unsealed. Where that cannot be told for now, since
// the seed of the epoch is not at hand, what was known before holds.
func (r *Rest) plain(kept epochs) bool {
	at := kept.at()
	if at != nil && r.judged && r.seed(at.ID) == nil {
		return !r.whole.Load()
	}
	if at == nil || len(kept.plain) == 0 {
		return false
	}
	c := cellOfPlain(kept.beganAt)
	k, err := r.key(at.ID, c)
	if err == nil {
		_, err = k.Open(nil, nil, kept.plain, aad(at.ID, c))
	}
	return err == nil
}

// judge takes what is not sealed for forged unless the plant has said otherwise.
func (r *Rest) judge(ctx context.Context, kept epochs) {
	at, now := kept.at(), r.now.Load()
	gone := now != nil && (at == nil || at.ID < now.id) // an epoch that this process has used: what was said before it is no longer believed
	plain := !gone && r.plain(kept)
	if kept.beganAt > 0 && (kept.wholeAt == 0 || kept.removed) && !plain && !r.cfg.Off {
		r.doubt(ctx)
	}
	r.judged = true
	r.whole.Store(kept.beganAt > 0 && !plain)
}

// doubt tells, once a process, that somebody has reset in the database whether what is owed may be unsealed. What cannot be recorded now is
// recorded at a later visit.
func (r *Rest) doubt(ctx context.Context) {
	if !r.doubted.Swap(true) {
		r.log.ErrorContext(ctx, "ALARM: the database says that what is owed may be unsealed, and no key of the plant has said so: it is not believed",
			"part", "keys")
	}
	if r.recorded || r.cfg.Record == nil {
		return
	}
	if err := r.db.InTx(ctx, func(tx *store.Tx) error { return r.cfg.Record(ctx, tx, PlainDoubted) }); err != nil {
		r.trouble.Store(&err)
		return
	}
	r.recorded = true
}

func (r *Rest) seed(id int64) []byte {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.seeds[id]
}

// sayPlain keeps the statement under an epoch of which the seed is at hand.
func (r *Rest) sayPlain(ctx context.Context, tx *store.Tx, id, beganAt int64) error {
	seed := r.seed(id)
	if seed == nil {
		return missing(id, "")
	}
	said, err := plainUnder(seed, id, beganAt)
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE rest_state SET whole_at = 0, plain = ? WHERE id = 1`, said)
	}
	if err != nil {
		return fmt.Errorf("note that what is kept may be unsealed: %w", err)
	}
	tx.Wake(RestTopic)
	return nil
}

// allow notes, where sealing is switched off, that what is kept from now on is not sealed: none of it is forged for that. Without the seed of the
// epoch nobody can say so, and the plant works on.
func (r *Rest) allow(ctx context.Context, kept epochs) error {
	at := kept.at()
	if kept.beganAt == 0 || at == nil || r.seed(at.ID) == nil || r.plain(kept) {
		return nil
	}
	return r.db.InTx(ctx, func(tx *store.Tx) error { return r.sayPlain(ctx, tx, at.ID, kept.beganAt) })
}

// EndPlain notes that nothing unsealed is owed any more: what is not sealed from now on was not written by the plant. With the same commit the
// next epoch is that of the moment, so that nobody can put back what was said before, whatever a crash leaves undone.
func (r *Rest) EndPlain(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE rest_state SET whole_at = ?, plain = NULL WHERE id = 1 AND (whole_at = 0 OR plain IS NOT NULL)`, store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("note that all that is owed is sealed: %w", err)
	}
	next := `UPDATE rest_epochs SET used_at = ? WHERE id = (SELECT MIN(id) FROM rest_epochs WHERE used_at = 0)`
	if _, err := tx.Exec(ctx, next, store.Micros(tx.Now)); err != nil {
		return fmt.Errorf("end the epoch in which what is owed might be unsealed: %w", err)
	}
	tx.Wake(RestTopic)
	return nil
}
