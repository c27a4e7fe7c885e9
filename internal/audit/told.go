package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"unicode/utf8"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Told is the action of an entry in which a node repeats what the database had from a process without the plant's keys, such as a restore on a new
// machine. Nobody vouches for it: who can write the database can have said it. So it is an act of the node, under this name alone, whatever was said.
const Told = "audit.told"

// What one entry repeats at most of what it was told, and how long each of it is.
const (
	mostTold = 20
	longTold = 4096
)

// notice is what a process without keys has to tell.
type notice struct {
	At     int64           `json:"at"` // microseconds
	Actor  string          `json:"actor"`
	Action string          `json:"action"`
	Object string          `json:"object"`
	After  json.RawMessage `json:"new,omitempty"`
}

// AppendOrTell is Append for a process that may not have the plant's keys. Where entries have MACs and it has none, the next node that has them says
// in an entry of Told what it was told.
func AppendOrTell(ctx context.Context, tx *store.Tx, e Entry) error {
	is, err := HasMACs(ctx, tx)
	if err != nil {
		return fmt.Errorf("write the audit entry of %s %s: %w", e.Action, e.Object, err)
	}
	if !is || keyless(ctx, tx) == nil {
		return Append(ctx, tx, e)
	}
	text, err := json.Marshal(notice{store.Micros(tx.Now), e.Actor, e.Action, e.Object, e.After})
	if err == nil {
		_, err = tx.Exec(ctx, `INSERT INTO audit_notes (told) VALUES (?)`, text)
	}
	if err != nil {
		return fmt.Errorf("leave a note of %s %s: %w", e.Action, e.Object, err)
	}
	return nil
}

// Ready is nil if this process can write entries. It has the keyring opened where that is needed: before the transaction that must not wait for it.
func Ready(ctx context.Context, tx *store.Tx) error {
	is, err := HasMACs(ctx, tx)
	if err != nil || !is {
		return err
	}
	if err := keyless(ctx, tx); err != nil {
		return &problem.Error{
			Kind: problem.KindOf(err), What: "write the audit entry of what is to be done", Why: "its MAC needs the plant's keyring: " + err.Error(),
			Hint: keylessHint(err), Cause: err,
		}
	}
	return nil
}

// keylessHint is what to do where this process has no key for MACs.
func keylessHint(err error) string {
	if problem.KindOf(err) == problem.Unavailable { // whoever asks may read what opens it
		return "nothing was done; do it once the keyring answers, or by the running plant, which has its seeds: holdfast … --server ADDRESS"
	}
	return "nothing was done; have the running plant do it: holdfast … --server ADDRESS, or do it as somebody who may read keys.passphrase"
}

// keyless is why this process has no key for MACs, nil if it has one.
func keyless(ctx context.Context, tx *store.Tx) error {
	_, _, err := tx.MAC(ctx, store.Cell{Table: "audit_entries", Row: "none"})
	return err
}

// repeat says in one entry what processes without keys have left. What is more than an entry takes is counted.
func repeat(ctx context.Context, tx *store.Tx, actor string) error {
	var notes []struct {
		ID   int64  `db:"id"`
		Told []byte `db:"told"`
	}
	if err := tx.Select(ctx, &notes, `SELECT id, told FROM audit_notes WHERE length(told) <= ? ORDER BY id LIMIT ?`, longTold, mostTold); err != nil {
		return err
	}
	var all int
	if err := tx.Get(ctx, &all, `SELECT COUNT(*) FROM audit_notes`); err != nil || all == 0 {
		return err
	}
	told := []string{}
	for _, n := range notes {
		if utf8.Valid(n.Told) {
			told = append(told, string(n.Told))
		}
	}
	after, err := json.Marshal(map[string]any{"told": told, "left_out": all - len(told)})
	if err != nil {
		return fmt.Errorf("repeat what was told: %w", err)
	}
	e := Entry{Actor: actor, Action: Told, Object: record, Reason: "a process without the plant's keys left this in the database: nobody vouches for it", After: after}
	if err := Append(ctx, tx, e); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `DELETE FROM audit_notes`)
	return err
}
