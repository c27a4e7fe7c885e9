package main

import (
	"context"
	"fmt"
	"time"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// prover is a link that can prove what it sends and ask for proofs.
type prover interface{ ProveBy(p wire.Proofs) }

// proveLinks has the links prove what they send and ask for proofs, as the configuration says, and read what is encrypted. It keeps the keys of
// senders fresh, and raises an alert where an ERP refuses a link, or a file of its cannot be taken.
func (p *process) proveLinks(ctx context.Context) error {
	if err := p.encryptLinks(ctx); err != nil {
		return err
	}
	for _, f := range p.fetches {
		p.keys = append(p.keys, part{"keys of a sender", f.Run})
	}
	for name, l := range p.links {
		if d, ok := l.(interface{ WhenDenied(f func(why error)) }); ok {
			d.WhenDenied(func(why error) { _ = p.alarmed(ctx, "link.denied", name, why) }) // it gives why
		}
		if d, ok := l.(interface{ WhenAside(f func(why error)) }); ok {
			d.WhenAside(func(why error) { p.raiseSoon(ctx, "link.file-aside", "link/"+name, why) })
		}
		if d, ok := l.(interface{ WhenUnposted(f func(why error)) }); ok {
			d.WhenUnposted(func(why error) { p.raiseSoon(ctx, "link.unposted", "link/"+name, why) })
		}
		if d, ok := l.(interface{ WhenForgotten(f func(why error)) }); ok {
			d.WhenForgotten(func(why error) { p.raiseSoon(ctx, "link.id-forgotten", "link/"+name, why) })
		}
		c := p.cfg.Links[name]
		to, ok := l.(prover)
		if !ok {
			continue
		}
		var proofs wire.Proofs
		if c.Proof != "" {
			key, err := p.proofKey(ctx, name, c)
			if err != nil {
				return err
			}
			proofs.Sign = seal.NewHopSigner(seal.Form(c.Proof), key, p.db.Now)
		}
		if c.answers() {
			proofs.Answers = alarmedHops{p.floors, name, p.guard.Hops(name)}
		}
		if r := p.guard.Receipts(name); r != nil {
			proofs.Receipts = alarmedReceipts{p.floors, name, r}
		}
		to.ProveBy(proofs)
	}
	return nil
}

// answers tells whether the answers of the link's ERP must be proved.
func (l LinkConfig) answers() bool {
	for _, s := range l.Verify.Senders {
		if l.Kind == "rest" && s.Form == string(seal.ByHop) {
			return true
		}
	}
	return false
}

// proofKey is what a link signs with: a shared secret, or the node's key of the moment.
func (p *process) proofKey(ctx context.Context, name string, l LinkConfig) (func() (seal.SigningKey, error), error) {
	if l.ProofSecret == "" {
		if p.ring == nil {
			return nil, &problem.Error{
				Kind: problem.Invalid, What: "sign what goes over link " + name, Why: "the node has no key",
				Hint: "write keys: (docs/keys.md), or proof_secret and proof_key",
			}
		}
		return p.ring.SigningKey, nil
	}
	text, err := p.cfg.secret(ctx, l.ProofSecret)
	if err != nil {
		return nil, err
	}
	secret, err := sharedSecret(text)
	if err != nil {
		return nil, fmt.Errorf("links.%s.proof_secret: %w", name, err)
	}
	k, err := seal.NewSecretKey(seal.KeyID(l.ProofKey), secret)
	return func() (seal.SigningKey, error) { return k, nil }, err
}

// alarmedHops raises an alert for an answer that is not the ERP's.
type alarmedHops struct {
	floors *floors
	link   string
	message.HopVerifier
}

// VerifyHop implements message.HopVerifier.
func (a alarmedHops) VerifyHop(ctx context.Context, h message.Hop) (message.Witness, error) {
	w, err := a.HopVerifier.VerifyHop(ctx, h)
	return w, a.floors.alarmed(ctx, "answer.refused", a.link, err)
}

// alarmedReceipts does so for a receipt.
type alarmedReceipts struct {
	floors *floors
	link   string
	message.ReceiptVerifier
}

// VerifyReceipt implements message.ReceiptVerifier.
func (a alarmedReceipts) VerifyReceipt(ctx context.Context, signed string, of message.Receipted) error {
	return a.floors.alarmed(ctx, "receipt.refused", a.link, a.ReceiptVerifier.VerifyReceipt(ctx, signed, of))
}

// alarmed raises an alert for what was refused, if it was. That the alert cannot be kept just now is logged, and does not change what is
// refused.
func (f *floors) alarmed(ctx context.Context, name, link string, refused error) error {
	kind := problem.KindOf(refused)
	if refused == nil || kind != problem.Integrity && kind != problem.Denied {
		return refused
	}
	f.raiseSoon(ctx, name, "link/"+link, refused)
	return refused
}

// raiseSoon raises an alert, also where ctx ends meanwhile, and waits for the database no longer than 10 s.
func (f *floors) raiseSoon(ctx context.Context, name, object string, why error) {
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	f.raise(soon, name, object, why)
}

// raise raises an alert in a transaction of its own.
func (f *floors) raise(ctx context.Context, name, object string, why error) {
	if err := f.db.InTx(ctx, func(tx *store.Tx) error { return f.alerts.Raise(ctx, tx, name, object, why) }); err != nil {
		f.log.ErrorContext(ctx, "an alert cannot be kept", "part", "alert", "alert", name, "object", object, "err", err)
	}
}
