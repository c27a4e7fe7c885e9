package access

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// How long what was asked for may be opened, and how long it is open at most.
const (
	AskedFor = time.Hour
	MostOpen = 4 * time.Hour
)

// Seal has an account of the plant let its holder in only while it is open, and ends their sessions. It is the one for when nobody else gets in:
// its password and recovery codes lie in a safe. Nothing unseals it.
func (u *Users) Seal(ctx context.Context, tx *store.Tx, name string) error {
	if _, ok := bareName(name); ok {
		return &problem.Error{Kind: problem.Invalid, What: "seal " + name, Why: "they are known elsewhere", Hint: "make an account of the plant: holdfast access user add"}
	}
	return u.change(ctx, tx, name, `sealed = 1, open_until = 0, signed_out_at = ?`, store.Micros(tx.Now))
}

// Open lets the holder of a sealed account in for a time. Somebody else must have asked for it within AskedFor, as the record has it: one person
// alone, under whichever of their names, opens nothing (kind denied). What was asked for is opened once.
func (u *Users) Open(ctx context.Context, tx *store.Tx, name, by string, length time.Duration) error {
	row, err := find(ctx, tx, name)
	bad := &problem.Error{Kind: problem.Denied, What: "open account " + name, Hint: "have somebody else ask for it: holdfast access break-glass ask " + name}
	switch {
	case err != nil:
		return err
	case row.Name == "" || row.Sealed == 0:
		return &problem.Error{Kind: problem.NotFound, What: "open account " + name, Why: "there is no sealed account of this name", Hint: "holdfast access break-glass seal makes one of an account"}
	case length <= 0 || length > MostOpen:
		return &problem.Error{Kind: problem.Invalid, What: "open account " + name, Why: fmt.Sprintf("it is open for %s at most", MostOpen), Hint: "write --for 1h"}
	}
	asked, err := lastTime(ctx, tx, GlassAsk, name)
	if err != nil {
		return err
	}
	opened, err := lastTime(ctx, tx, GlassOpen, name)
	switch {
	case err != nil:
		return err
	case asked.Seq == 0 || tx.Now.Sub(asked.At) > AskedFor || opened.Seq > asked.Seq:
		bad.Why = fmt.Sprintf("nobody has asked for it in the last %s", AskedFor)
		return bad
	case !audit.TwoPersons(asked.Actor, by):
		bad.Why = "whoever asks for it does not open it, and " + by + " may be the same person as " + asked.Actor
		return bad
	}
	return u.change(ctx, tx, name, `open_until = ?, signed_out_at = ?`, store.Micros(tx.Now.Add(length)), store.Micros(tx.Now))
}

// lastTime is the last time that an action was done to an account; an empty entry if it never was.
func lastTime(ctx context.Context, tx *store.Tx, action, name string) (audit.Entry, error) {
	page, err := audit.List(ctx, tx, audit.Filter{Action: action, Object: "user/" + strings.TrimSpace(name), Outcome: audit.Done, Limit: 1})
	if err != nil || len(page) == 0 {
		return audit.Entry{}, err
	}
	return page[0], nil
}
