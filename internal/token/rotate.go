package token

import (
	"context"
	"fmt"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// rotateRows is how many tokens are looked up anew in one transaction.
const rotateRows = 200

// Rotated is what a rotation did.
type Rotated struct {
	Tokens  int      // that are found by the new key
	Altered []string // those that are not what the plant has stored, the first of them: they are found by the earlier key, which stays for them
	Left    int      // how many these are
	Away    int      // those whose epoch's seed is not at hand: they wait for the next rotation with the earlier key, as whoever can write the database can name any
}

// mostAltered bounds Rotated.Altered.
const mostAltered = 20

// Rotate makes a new purpose key, and has every value be found by it: tokens stay as they are. While it works, and where it was stopped, values are found by
// either key; called again it ends what was stopped. Once it is done the earlier key is destroyed, unless there are tokens that do not open: these
// are passed over, and told by Tell where somebody has altered them; once they are restored a rotation takes them too.
func (t *Tokens) Rotate(ctx context.Context, db *store.DB) (done Rotated, err error) {
	var last int64
	behind := false
	err = db.InTx(ctx, func(tx *store.Tx) error {
		key, err := t.lock(ctx, tx)
		if err != nil {
			return err
		}
		last = key.id
		return tx.Get(ctx, &behind, `SELECT EXISTS (SELECT 1 FROM token_keys WHERE id < ?)`, last)
	})
	if err == nil && behind { // a rotation was stopped: it is ended first
		if done, err = t.turnAll(ctx, db, last); err != nil || done.Tokens > 0 {
			return done, err
		}
	}
	if err == nil {
		err = db.InTx(ctx, func(tx *store.Tx) error {
			key, err := t.lock(ctx, tx)
			if err == nil && key.id == last { // else another process was first, and this one helps it
				err = t.newKey(ctx, tx, last+1)
			}
			return err
		})
	}
	if err != nil {
		return done, fmt.Errorf("make a new key of tokens: %w", err)
	}
	return t.turnAll(ctx, db, last+1)
}

// turnAll has all values be found by a key, and destroys the keys before it that nothing is found by.
func (t *Tokens) turnAll(ctx context.Context, db *store.DB, id int64) (done Rotated, err error) {
	for after, more := "", true; more; {
		var some Rotated
		var last string
		err := db.InTx(ctx, func(tx *store.Tx) (err error) { some, last, err = t.turn(ctx, tx, id, after); return err })
		if err != nil {
			return done, err
		}
		done.Tokens, done.Left, done.Away = done.Tokens+some.Tokens, done.Left+some.Left, done.Away+some.Away
		done.Altered = append(done.Altered, some.Altered...)
		done.Altered = done.Altered[:min(len(done.Altered), mostAltered)]
		after, more = last, last != ""
	}
	return done, nil
}

// turn has some values after a token be found by a key; last is "" once there are no more, and what nothing is found by is destroyed.
func (t *Tokens) turn(ctx context.Context, tx *store.Tx, id int64, after string) (done Rotated, last string, err error) {
	by, err := t.lock(ctx, tx)
	if err != nil {
		return done, "", err
	}
	var rows []row
	if err := tx.Select(ctx, &rows, `SELECT token, class, value, sealed FROM tokens WHERE key < ? AND token > ? ORDER BY token LIMIT ?`, id, after, rotateRows); err != nil {
		return done, "", fmt.Errorf("read tokens: %w", err)
	}
	away := map[int64]bool{} // epochs whose seed was asked for in vain
	for _, r := range rows {
		if last = r.Token; away[r.Sealed] {
			done.Away++
			continue
		}
		value, err := t.open(ctx, tx, r)
		switch problem.KindOf(err) {
		case problem.Integrity:
			done.Altered, done.Left = append(done.Altered, r.Token), done.Left+1
			continue
		case problem.Unavailable, problem.NotFound:
			away[r.Sealed], done.Away = true, done.Away+1
			continue
		}
		if err != nil {
			return done, "", err
		}
		l, err := lookup(by.seed, r.Class, value)
		if err != nil {
			return done, "", err
		}
		if _, err := tx.Exec(ctx, `UPDATE tokens SET key = ?, lookup = ? WHERE token = ?`, by.id, l, r.Token); err != nil {
			return done, "", fmt.Errorf("find a token by a new key: %w", err)
		}
		done.Tokens++
	}
	if len(rows) == 0 {
		_, err = tx.Exec(ctx, `DELETE FROM token_keys WHERE id < ? AND NOT EXISTS (SELECT 1 FROM tokens WHERE key = token_keys.id)`, id)
		if err != nil {
			return done, "", fmt.Errorf("destroy earlier keys of tokens: %w", err)
		}
	}
	return done, last, nil
}
