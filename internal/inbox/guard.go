package inbox

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// Guard decides what is believed of what comes in.
type Guard interface {
	// Check is a message that is believed. The error of one that is not is a *problem.Error of kind Integrity or Denied; of kind
	// Unavailable if that cannot be told just now, and the message must come again.
	Check(ctx context.Context, in message.Incoming, link string) (message.Verified, error)
	// Hops checks the proofs of requests and answers over a link.
	Hops(link string) message.HopVerifier
}

// Alarm tells people of what was not believed, in the transaction that keeps it.
type Alarm interface {
	Raise(ctx context.Context, tx *store.Tx, name, object string, why error) error
}

// unguarded believes a message whose digest is right that it claims, and any that claims none.
type unguarded struct{}

// Check implements Guard.
func (unguarded) Check(ctx context.Context, in message.Incoming, _ string) (message.Verified, error) {
	return message.Verify(ctx, seal.Inbound(in.Claimed), in.Message)
}

// Hops implements Guard.
func (unguarded) Hops(string) message.HopVerifier { return nil }

func (i *Inbox) guard() Guard {
	if i.cfg.Guard == nil {
		return unguarded{}
	}
	return i.cfg.Guard
}

// refusedAlert is the alert of a message that was not believed.
const refusedAlert = "inbound.refused"

// Prove has the proof of a request checked that came over a link, for Incoming.Proof.
func (i *Inbox) Prove(ctx context.Context, h message.Hop, link string) message.Proof {
	return message.ProveHop(ctx, i.guard().Hops(link), h)
}

// spend uses the proof of a request up: it is good once, on whichever node it comes.
func (i *Inbox) spend(ctx context.Context, tx *store.Tx, a *arrival) error {
	w := a.in.Proof.Witness()
	if a.err != nil || w.Nonce == "" {
		return nil
	}
	n, err := tx.Exec(ctx, `INSERT INTO inbox_nonces (link, nonce, until_at) VALUES (?, ?, ?) ON CONFLICT (link, nonce) DO NOTHING`,
		a.link, w.Nonce, store.Micros(w.Until.Add(nonceMargin)))
	if err != nil {
		return fmt.Errorf("use up the proof of a request: %w", err)
	}
	if n == 0 {
		a.err = &problem.Error{
			Kind: problem.Integrity, What: "believe what came", Why: "its proof was used before: it is a replay",
			Hint: "have the sender sign each request anew; if it does, somebody repeats what it sends",
		}
	}
	return nil
}

// nonceMargin is how much longer a used proof is remembered: the clocks of two nodes may differ.
const nonceMargin = 10 * time.Minute

// dropNonces forgets the proofs that are refused by their age.
func (i *Inbox) dropNonces(ctx context.Context) error {
	return i.db.InTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `DELETE FROM inbox_nonces WHERE until_at < ?`, store.Micros(tx.Now)); err != nil {
			return fmt.Errorf("forget used proofs: %w", err)
		}
		return nil
	})
}

// alarm tells people that a message was not believed, or bears the ID or number of another one.
func (i *Inbox) alarm(ctx context.Context, tx *store.Tx, link string, why error) error {
	if i.cfg.Alarm == nil {
		return nil
	}
	switch problem.KindOf(why) {
	case problem.Integrity, problem.Denied, problem.Duplicate:
	default:
		return nil // it is broken, and nobody's doing
	}
	return i.cfg.Alarm.Raise(ctx, tx, refusedAlert, "link/"+short(link), why)
}
