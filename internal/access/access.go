// Package access knows who may do what. Each act that changes something is one Action of its registry and goes through a Doer.
//
// # Guarantees
//
//   - An act, its audit entry and the answer kept for its repetition are one transaction: all of them or none.
//
//   - Under one idempotency key an actor's act takes effect once, however often and however concurrently it is sent. Each
//     repetition gets the first one's answer. The key with another request is refused (kind duplicate).
//
//   - An act that fails keeps nothing: the same key may be tried again.
//
//   - Under a Policy nothing is done that the actor's rights do not permit, whichever way the act comes in, and nobody releases what
//     they have edited themselves (Apart). Without one, every act of this machine is permitted.
//
//   - A credential is known by its hash alone; nothing that is stored or logged lets anybody in.
//
// The package owns the tables access_keys, access_tokens, access_users, access_passkeys, access_badges, access_people and access_sessions; nothing else reads or writes them.
package access

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// KeepKeys is how long an idempotency key is known at least.
const KeepKeys = 24 * time.Hour

// Actor is who acts.
type Actor struct {
	Name string // such as local:anna
	From string // the address that the call came from; empty for a command on this machine

	Rights Rights // counts under a policy only

	Person bool      // signed in with a second factor, and is held to Policy.Fresh
	Factor time.Time // when that was shown; zero: nobody knows

	anew time.Time // when they showed a provider anew who they are, since this plant had sent them to; zero: they did not
}

// Key makes the repetition of an act harmless.
type Key struct {
	Value   string // chosen by the caller, at most 200 characters
	Request string // digest of all that was asked: the same key with another request is refused
}

// Act is one call of an action.
type Act struct {
	Action      string // a name of the registry
	Actor       Actor
	Object      string     // what is acted upon, such as order/1000042; empty if the act makes it
	Link        string     // that the object belongs to; "" for none, or where it is not known
	Asks        bool       // the act itself finds the link and calls Permit; else who may act on some links only is refused where Link is not known
	Reason      string     // why; required where the action needs one
	Idempotency *Key       // nil if the caller gave none
	Signature   *Signature // of the person who acts; nil: they have not signed
}

// Result is what an act brought about.
type Result struct {
	Object   string          `json:"object,omitempty"` // what was made, where Act.Object could not say it
	Answer   json.RawMessage `json:"answer,omitempty"` // what the caller is told; the same at each repetition
	Events   []string        `json:"events,omitempty"` // IDs of the plant's events that the act caused
	About    []string        `json:"-"`                // what else the act is about, for the separation of duties
	Before   json.RawMessage `json:"-"`                // the object before, for the audit record
	After    json.RawMessage `json:"-"`                // the object after it
	Repeated bool            `json:"-"`                // the answer is that of an earlier call with the same key
}

// Doer does acts.
type Doer struct {
	db     *store.DB
	policy *Policy // nil: all is permitted
	turned *turned
}

// New returns a Doer that permits everything; see Under.
func New(db *store.DB) *Doer { return &Doer{db: db, turned: newTurned(db)} }

// Under is a Doer that does only what the policy permits; nil permits everything.
func (d *Doer) Under(p *Policy) *Doer { return &Doer{d.db, p, d.turned} }

// Permit refuses what an actor may not do to something of a link (kind denied).
func (d *Doer) Permit(by Actor, action, link string) error {
	if d.policy.May(by.Rights, action, link) {
		return nil
	}
	return NotPermitted(by, action, link)
}

// Refused keeps on record that somebody known was refused, as Gate.Refused does.
func (d *Doer) Refused(ctx context.Context, by Actor, object string, why error) error {
	return d.turned.away(ctx, by, Refusal, object, why)
}

// Do runs fn in one transaction with the act's audit entry and, if there is a key, the answer kept for its repetition. A key that
// was used for the same request gives the first answer without running fn. fn may be run more than once, see store.DB.InTx.
//
// Errors: Internal for an action that is not registered, Invalid for a missing reason, Denied for what the policy does not permit,
// Duplicate for a key used for something else, and those of fn. What a person must sign and has not is refused with Unsigned. The refusal of an action that needs a reason is itself recorded, and so is
// what is denied, whatever the action.
func (d *Doer) Do(ctx context.Context, act Act, fn func(ctx context.Context, tx *store.Tx) (Result, error)) (Result, error) {
	action, err := act.check()
	if err != nil {
		return Result{}, err
	}
	if err := d.permitted(act); err != nil {
		return Result{}, errors.Join(err, d.recordRefusal(ctx, action, act, err))
	}
	if err := d.policy.demand(act, d.db.Now()); err != nil {
		return Result{}, errors.Join(err, d.recordRefusal(ctx, action, act, err))
	}
	sign, err := d.signed(ctx, act)
	if err != nil && act.Actor.Person && act.Signature == nil {
		return Result{}, err // which asks for it, and refuses nothing yet
	}
	if err != nil {
		return Result{}, errors.Join(err, d.recordRefusal(ctx, action, act, err))
	}
	var res Result
	err = sign.settle(ctx, act, d.db.InTx(ctx, func(tx *store.Tx) (err error) {
		res, err = d.once(ctx, tx, act, sign, fn)
		return err
	}))
	if err != nil {
		return Result{}, errors.Join(err, d.recordRefusal(ctx, action, act, err))
	}
	return res, nil
}

// once does an act in its transaction, or gives the answer of the first time.
func (d *Doer) once(ctx context.Context, tx *store.Tx, act Act, sign *signing, fn func(ctx context.Context, tx *store.Tx) (Result, error)) (Result, error) {
	earlier, err := claim(ctx, tx, act)
	if err != nil || earlier != nil {
		return deref(earlier), err
	}
	if err := d.policy.separate(ctx, tx, act); err != nil {
		return Result{}, err
	}
	if err := sign.spend(ctx, tx); err != nil {
		return Result{}, err
	}
	res, err := fn(ctx, tx)
	if err == nil {
		err = d.policy.separateFound(ctx, tx, act, res)
	}
	if err != nil {
		return res, err
	}
	if err := keep(ctx, tx, act, res); err != nil {
		return res, err
	}
	e := act.entry(res)
	e.At = tx.Now
	if e, err = sign.on(e); err != nil {
		return res, err
	}
	return res, audit.Append(ctx, tx, e)
}

// permitted refuses what the actor may not do. Where the act asks for itself, it is enough to be permitted on some link.
func (d *Doer) permitted(act Act) error {
	if act.Asks && d.policy.MayOnSome(act.Actor.Rights, act.Action) {
		return nil
	}
	return d.Permit(act.Actor, act.Action, act.Link)
}

func deref(r *Result) Result {
	if r == nil {
		return Result{}
	}
	return *r
}

// check finds the action and demands its reason.
func (a Act) check() (Action, error) {
	action, ok := Lookup(a.Action)
	if !ok {
		return Action{}, &problem.Error{
			Kind: problem.Internal, What: "act " + a.Action, Why: "it is not in the registry of actions",
			Hint: "this is a defect of Holdfast; please report it",
		}
	}
	if n := utf8.RuneCountInString(strings.TrimSpace(a.Reason)); action.NeedsReason && (n < LeastReason || n > MostReason) {
		why, field := "no reason is given", "is required"
		if n > 0 {
			why = fmt.Sprintf("the reason needs %d to %d characters, and has %d", LeastReason, MostReason, n)
			field = fmt.Sprintf("needs %d to %d characters", LeastReason, MostReason)
		}
		return Action{}, &problem.Error{
			Kind: problem.Invalid, What: a.Action + " " + a.Object, Why: why, Hint: "say why, for whoever reads it in three years; it is kept in the audit record",
			Fields: []problem.Field{{Pointer: "/reason", Why: field}},
		}
	}
	return action, nil
}

// Check is the error by which the act would be refused whoever asks: Invalid for a reason that is missing, too short or too long. It is for acts whose
// effect is outside the database, and comes before their entry.
func (a Act) Check() error {
	_, err := a.check()
	return err
}

// entry is the audit entry of an act that was done.
func (a Act) entry(res Result) audit.Entry {
	return audit.Entry{
		Actor: a.Actor.Name, From: a.Actor.From, Action: a.Action, Object: cmp.Or(res.Object, a.Object), Reason: a.Reason,
		Before: res.Before, After: res.After, Outcome: audit.Done,
	}
}

// recordRefusal keeps the attempt of an operator's act that was refused by a rule, in a transaction of its own: the act's is gone. What was
// denied, whatever the act, is kept within the limits of turned: who may not do a thing can try it by the thousand.
func (d *Doer) recordRefusal(ctx context.Context, action Action, act Act, cause error) error {
	p, ok := errors.AsType[*problem.Error](cause)
	if ok && p.Kind == problem.Denied {
		reason := act.Reason // of a length that was checked, where the action needs one
		if !action.NeedsReason {
			reason = ""
		}
		_, err := d.turned.tell(ctx, act.Actor, act.Action, act.Object, reason, cause)
		return err
	}
	if !ok || !action.NeedsReason || p.Kind == problem.Internal || p.Kind == problem.Unavailable || p.Kind == problem.Full {
		return nil
	}
	why, err := json.Marshal(map[string]string{"code": string(p.Kind), "why": p.Why})
	if err != nil {
		return fmt.Errorf("write the refusal of %s: %w", act.Action, err)
	}
	e := act.entry(Result{After: why})
	e.Outcome = audit.Refused
	ctx, stop := afterAll(ctx)
	defer stop()
	return d.db.InTx(ctx, func(tx *store.Tx) error { return audit.Append(ctx, tx, e) })
}
