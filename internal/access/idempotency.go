package access

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// cellOf is where the answer of an act stands: it says what the act's message says, and is sealed as that is.
func cellOf(act Act) store.Cell {
	return store.Cell{Table: "access_keys", Row: fmt.Sprintf("%q %q", act.Actor.Name, act.Idempotency.Value), Bound: [][]byte{[]byte(act.Idempotency.Request)}}
}

// claim takes the act's key for this transaction. A non-nil Result is the answer of an earlier act under the same key. A second
// transaction with the key waits in the insert until the first is committed or gone.
func claim(ctx context.Context, tx *store.Tx, act Act) (*Result, error) {
	key := act.Idempotency
	if key == nil {
		return nil, nil //nolint:nilnil // no earlier answer is not an error
	}
	n, err := tx.Exec(ctx, insertKey, act.Actor.Name, key.Value, key.Request, store.Micros(tx.Now))
	if err != nil {
		return nil, fmt.Errorf("claim the idempotency key of %s: %w", act.Action, err)
	}
	if n == 1 {
		return nil, nil //nolint:nilnil // as above
	}
	var kept keyRow
	if err := tx.Get(ctx, &kept, selectKey, act.Actor.Name, key.Value); err != nil {
		return nil, fmt.Errorf("read the idempotency key of %s: %w", act.Action, err)
	}
	if kept.Request != key.Request {
		return nil, &problem.Error{
			Kind: problem.Duplicate, What: act.Action + " under an Idempotency-Key", Why: "the key was used for another request",
			Hint:   "use a new key for each act, and the same one only to repeat it unchanged",
			Fields: []problem.Field{{Pointer: "Idempotency-Key", Why: "was used for another request"}},
		}
	}
	res := Result{Repeated: true}
	text, err := tx.UnsealDoc(ctx, cellOf(act), kept.Result)
	if err == nil {
		err = json.Unmarshal(text, &res)
	}
	if err != nil {
		return nil, fmt.Errorf("read the kept answer of %s: %w", act.Action, err)
	}
	return &res, nil
}

// keep stores the answer under the act's key.
func keep(ctx context.Context, tx *store.Tx, act Act, res Result) error {
	if act.Idempotency == nil {
		return nil
	}
	kept, err := json.Marshal(res)
	if err == nil {
		kept, err = tx.SealDoc(ctx, cellOf(act), kept)
	}
	if err != nil {
		return fmt.Errorf("write the answer of %s: %w", act.Action, err)
	}
	if _, err := tx.Exec(ctx, updateKey, kept, act.Actor.Name, act.Idempotency.Value); err != nil {
		return fmt.Errorf("keep the answer of %s: %w", act.Action, err)
	}
	return nil
}

// Forget removes the keys that are older than KeepKeys and says how many.
func (d *Doer) Forget(ctx context.Context) (int64, error) {
	var n int64
	err := d.db.InTx(ctx, func(tx *store.Tx) (err error) {
		n, err = tx.Exec(ctx, deleteKeys, store.Micros(tx.Now.Add(-KeepKeys)))
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("forget old idempotency keys: %w", err)
	}
	return n, nil
}

// Run forgets old keys every hour until ctx ends. A failure is tried again an hour later: a key that stays too long is harmless.
func (d *Doer) Run(ctx context.Context) error {
	tick := time.NewTicker(time.Hour)
	defer tick.Stop()
	for {
		_, _ = d.Forget(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
