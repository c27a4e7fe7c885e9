// Package audit is the record of who did what. It only grows.
//
// # Guarantees
//
//   - An entry is written in the transaction of the act that it records: there is no act without its entry, and no entry of an
//     act that did not happen.
//   - The database refuses to change or remove an entry.
//   - Who does it all the same, as the database's owner, is found out: the entries are the leaves of a Merkle tree (Tree) whose signed
//     checkpoints are also kept outside the database, and Verify holds one against the other.
//   - An entry that was put in, or changed before a checkpoint covered it, is not taken into the tree: where the plant has keys each entry has a
//     MAC under one of them, over what it says and what was written before it.
//
// The package owns the tables audit_entries, audit_chains, audit_notes, audit_pending, audit_leaves, audit_hashes, audit_checkpoints and
// audit_tree; nothing else reads or writes them.
package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/store"
)

// The outcomes of an act.
const (
	Done    = "done"    // it took effect
	Refused = "refused" // it took none; Reason is the actor's, New says why it was refused
)

// Entry is one act.
type Entry struct {
	Seq     int64     // grows with each entry; given by Append's database, not by the caller
	At      time.Time // of the transaction, to the microsecond, UTC
	Actor   string    // who, such as local:anna
	From    string    // where the actor called from: an address, or "" for the machine itself
	Action  string    // the name of an action of package access
	Object  string    // what was acted upon, such as order/1000042
	Reason  string    // why, in the actor's words; empty where the action asks for none
	Before  []byte    // JSON of the object before the act, nil if not kept
	After   []byte    // JSON of the object after it, nil if not kept
	Outcome string    // Done or Refused

	Signature []byte // JSON of a Signature, nil if nobody signed; see Sign and Signed
}

// Filter chooses entries; empty fields choose all that somebody did, and so none of LanesMoved.
type Filter struct {
	Actor, Action string
	Object        string    // this object, or with a trailing / every object of that sort
	Person        string    // an Actor, or a name without the list that it is in: anna is user:anna, oidc:anna, ad:anna and local:anna
	Outcome       string    // Done or Refused
	Since, Until  time.Time // from Since on, before Until; zero: without an end
	Text          string    // words that all stand somewhere in the entry, in upper or lower case
	Before        int64     // only entries with a smaller Seq: the last one of the page before
	Limit         int       // default 100
}

// Append writes an entry. Seq is ignored; a zero At means the transaction's time.
func Append(ctx context.Context, tx *store.Tx, e Entry) error {
	if e.At.IsZero() {
		e.At = tx.Now
	}
	if err := e.text().write(ctx, tx); err != nil {
		return fmt.Errorf("write the audit entry of %s %s: %w", e.Action, e.Object, err)
	}
	return nil
}

// text is the entry as it is written and read again: a leaf of the tree is text, and SQLite gives nothing back for what is empty.
func (e Entry) text() Entry {
	for _, s := range []*string{&e.Actor, &e.From, &e.Action, &e.Object, &e.Reason, &e.Outcome} {
		*s = strings.ToValidUTF8(*s, "\uFFFD")
	}
	for _, b := range []*[]byte{&e.Before, &e.After} {
		if len(*b) == 0 {
			*b = nil
		}
	}
	e.Outcome = cmp.Or(e.Outcome, Done)
	return e
}

// List is one page of entries, the latest first.
func List(ctx context.Context, tx *store.Tx, f Filter) ([]Entry, error) {
	if f.Text != "" {
		var out []Entry
		err := f.each(ctx, tx, func(e Entry) bool {
			out = append(out, e)
			return len(out) < cmp.Or(f.Limit, 100)
		})
		return out, err
	}
	where, args := f.where()
	var rows []row
	query := selectEntries + where + " ORDER BY seq DESC LIMIT ?"
	if err := tx.Select(ctx, &rows, query, append(args, cmp.Or(f.Limit, 100))...); err != nil {
		return nil, fmt.Errorf("read audit entries: %w", err)
	}
	out := make([]Entry, len(rows))
	for i, r := range rows {
		out[i] = r.entry()
	}
	return out, nil
}

// Earliest is when one of some actions was first done to each of some objects, of those to which it was.
func Earliest(ctx context.Context, tx *store.Tx, objects []string, actions ...string) (map[string]time.Time, error) {
	const some = 500
	all := map[string]time.Time{}
	for part := range slices.Chunk(objects, some) {
		query, args, err := tx.In(`SELECT object, MIN(at) AS at FROM audit_entries WHERE object IN (?) AND action IN (?) AND outcome = 'done' GROUP BY object`, part, actions)
		if err != nil {
			return nil, err
		}
		var rows []struct {
			Object string
			At     int64
		}
		if err := tx.Select(ctx, &rows, query, args...); err != nil {
			return nil, fmt.Errorf("look into the audit record for %s: %w", strings.Join(actions, ", "), err)
		}
		for _, r := range rows {
			all[r.Object] = store.FromMicros(r.At)
		}
	}
	return all, nil
}

// Looks is how many looks of somebody at what tokens stand for are on record since a time.
func Looks(ctx context.Context, tx *store.Tx, actor string, since time.Time) (n int64, err error) {
	const query = `SELECT COUNT(*) FROM audit_entries WHERE action IN ('token.reveal', 'token.find') AND actor = ? AND at >= ? AND outcome = 'done'`
	if err := tx.Get(ctx, &n, query, actor, store.Micros(since)); err != nil {
		return 0, fmt.Errorf("count looks at tokens in the audit record: %w", err)
	}
	return n, nil
}

// where is the condition of a filter with its arguments.
func (f Filter) where() (string, []any) {
	var parts []string
	var args []any
	add := func(use bool, part string, arg any) {
		if use {
			parts = append(parts, part)
			args = append(args, slices.Repeat([]any{arg}, strings.Count(part, "?"))...)
		}
	}
	add(f.Actor != "", "actor = ?", f.Actor)
	add(f.Person != "", "actor IN (?, 'user:' || ?, 'oidc:' || ?, 'ad:' || ?, 'local:' || ?)", f.Person)
	add(f.Action != "", "action = ?", f.Action)
	add(f.Action == "", "action <> ?", LanesMoved)
	prefix := strings.HasSuffix(f.Object, "/")
	add(f.Object != "" && !prefix, "object = ?", f.Object)
	add(prefix, "substr(object, 1, length(?)) = ?", f.Object)
	add(f.Outcome != "" && f.Outcome != Refused, "outcome = ?", f.Outcome)
	if f.Outcome == Refused { // in so many words: those alone have an index by actor
		parts = append(parts, "outcome = 'refused'")
	}
	add(!f.Since.IsZero(), "at >= ?", store.Micros(f.Since))
	add(!f.Until.IsZero(), "at < ?", store.Micros(f.Until))
	add(f.Before > 0, "seq < ?", f.Before)
	return " WHERE " + strings.Join(parts, " AND "), args
}
