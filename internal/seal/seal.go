// Package seal vouches for messages: that what is stored is what was committed, and that what came in is what its sender wrote.
//
// # Guarantees
//
//   - A message whose body, attributes or place was altered after its digest was taken does not pass.
//   - A node signs without asking anybody, for as long as its certificate lasts, and a receiver checks without asking anybody.
//   - What was signed stays good through any number of rotations; what a revoked key signed counts for nothing.
//
// Digests chain a lane: each covers the digest of its predecessor, so that whoever holds the last one holds them all to account.
//
// The package owns the table seal_keys; nothing else reads or writes it.
package seal

import (
	"context"
	"crypto/subtle"
	"fmt"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// digest is a Verifier that compares a message with a digest taken earlier.
type digest struct {
	want, what, hint string
	through          bool // reads a large body through; else what its keeper says of it is believed
}

// Verify is a *problem.Error of kind Integrity unless the message has the digest.
func (d digest) Verify(ctx context.Context, m message.Message) error {
	if subtle.ConstantTimeCompare([]byte(m.Digest()), []byte(d.want)) == 1 {
		if d.through {
			return m.Intact(ctx)
		}
		return nil
	}
	return &problem.Error{
		Kind: problem.Integrity, What: d.what + " of " + named(m),
		Why: "its digest is not that of its content", Hint: d.hint,
	}
}

// named is a message by its place in its lane, or by its ID where it has no number.
func named(m message.Message) string {
	if m.Number == 0 {
		return "message " + m.ID
	}
	return fmt.Sprintf("message %d in lane %s", m.Number, m.Lane)
}

// Chain is the check of an own message before it leaves: stored is the digest that was committed with it. A large body is read through,
// piece by piece.
func Chain(stored string) message.Verifier {
	return digest{stored, "check", "the database was altered behind Holdfast: find out by whom, then void or amend the message", true}
}

// Inbound is the check of a message from outside against the digest that its sender claims; a sender that claims none ("") is
// believed by its link alone. The digest of a large body was taken as it came in.
func Inbound(claimed string) message.Verifier {
	if claimed == "" {
		return unclaimed{}
	}
	return digest{claimed, "receipt", "ask the sender to send it again; if it stays wrong, something between the two alters messages", false}
}

type unclaimed struct{}

// Verify passes everything.
func (unclaimed) Verify(context.Context, message.Message) error { return nil }
