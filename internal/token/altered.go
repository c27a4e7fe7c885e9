package token

import (
	"context"
	"maps"
	"sync"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// keyName names the purpose key where it does not open.
const keyName = "the key of tokens"

// untold is what did not open, and nobody was told of yet.
type untold struct {
	mu  sync.Mutex
	why map[string]error // by token, or keyName; guarded by mu
}

// altered notes that a token, or their key, is not what the plant has stored. It is found in transactions that end by it: see Tell.
func (t *Tokens) altered(what string) error {
	err := &problem.Error{
		Kind: problem.Integrity, What: "open " + what, Why: "what it stands for is not what the plant has stored",
		Hint: "the database was altered behind Holdfast: find out by whom, and restore its row of the table tokens from a backup",
	}
	if what == keyName {
		err.Why, err.Hint = "it is not what the plant has stored", "the database was altered behind Holdfast: find out by whom, and restore the table token_keys from a backup"
	}
	t.untold.mu.Lock()
	defer t.untold.mu.Unlock()
	if t.untold.why == nil {
		t.untold.why = map[string]error{}
	}
	if len(t.untold.why) < mostUntold {
		t.untold.why[what] = err
	}
	return err
}

// mostUntold bounds what is remembered until it is told: thousands may have been altered.
const mostUntold = 100

// Alarm tells people of what must not pass unseen, in tx.
type Alarm interface {
	Raise(ctx context.Context, tx *store.Tx, name, object string, why error) error
}

// AlarmWith has people told by a of what does not open. It is called before anything else uses t.
func (t *Tokens) AlarmWith(a Alarm) { t.alarm = a }

// Tell raises the alert message.altered, in a transaction of its own, for each token that did not open since it was last called. What it cannot
// keep it tells the next time.
func (t *Tokens) Tell(ctx context.Context, db *store.DB) error {
	t.untold.mu.Lock()
	found := maps.Clone(t.untold.why)
	t.untold.mu.Unlock()
	if len(found) == 0 || t.alarm == nil {
		return nil
	}
	err := db.InTx(ctx, func(tx *store.Tx) error {
		for what, why := range found {
			object := "token/" + what
			if what == keyName {
				object = "tokens"
			}
			if err := t.alarm.Raise(ctx, tx, "message.altered", object, why); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	t.untold.mu.Lock()
	defer t.untold.mu.Unlock()
	maps.DeleteFunc(t.untold.why, func(what string, _ error) bool { return found[what] != nil })
	return nil
}
