package message

import (
	"context"
	"errors"
	"time"
)

// Hop is one HTTP message as it came, or as it is about to leave: what a proof of that hop is made over. Nothing of it is believed.
type Hop struct {
	Method    string
	Scheme    string              // http or https
	Authority string              // host, and port if it is not the scheme's own
	Path      string              // as on the wire, escaped
	Query     string              // as on the wire, without the question mark
	Status    int                 // of an answer; 0 for a request
	Header    map[string][]string // by canonical names
	Body      []byte
	Asked     *Hop     // the request that an answer is to
	Covers    []string // headers that whoever signs covers beside what every proof covers; who checks knows nothing of it
}

// Witness is what the proof of a hop says, once it was checked.
type Witness struct {
	Sender string    // the name of whoever made the proof, as the configuration has it
	Nonce  string    // is good once, until Until; "" where the proof cannot be used twice anyway
	Until  time.Time // after it the proof is refused by its age
}

// HopVerifier checks the proof of a hop. Its error is a *problem.Error: Integrity or Denied if the hop proves nothing, Unavailable if
// that cannot be told just now.
type HopVerifier interface {
	VerifyHop(ctx context.Context, h Hop) (Witness, error)
}

// Proof is what a verifier makes of a hop. The zero Proof proves nothing.
type Proof struct {
	shown Witness
	err   error
}

// errUnproven is the Err of the zero Proof.
var errUnproven = errors.New("it came without a proof of its hop")

// ProveHop has a hop checked; it is the only way to a Proof that proves anything. A nil verifier proves nothing.
func ProveHop(ctx context.Context, v HopVerifier, h Hop) Proof {
	if v == nil {
		return Proof{}
	}
	shown, err := v.VerifyHop(ctx, h)
	return Proof{shown, err}
}

// Err is nil if the proof was good.
func (p Proof) Err() error {
	if p.err == nil && p.shown.Sender == "" {
		return errUnproven
	}
	return p.err
}

// Equal tells whether two proofs show the same, and fail or not alike.
func (p Proof) Equal(q Proof) bool {
	return p.shown == q.shown && (p.err == nil) == (q.err == nil)
}

// Witness is what a good proof shows; of another it is zero.
func (p Proof) Witness() Witness {
	if p.Err() != nil {
		return Witness{}
	}
	return p.shown
}

// Receipted is what a receipt must be about.
type Receipted struct {
	ID, Digest string    // of the event
	Document   string    // that the answer names
	Came       time.Time // when the receipt came, by our clock; zero: it comes now
}

// ReceiptVerifier checks the receipt that an ERP has signed; its error is a *problem.Error of kind Integrity or Denied, or Unavailable if
// that cannot be told just now.
type ReceiptVerifier interface {
	VerifyReceipt(ctx context.Context, signed string, of Receipted) error
}
