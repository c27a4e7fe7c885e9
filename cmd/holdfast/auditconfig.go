package main

import (
	"context"
	"crypto/ed25519"
	"log/slog"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// AuditConfig says how the record of acts is sealed.
type AuditConfig struct {
	Checkpoints string        `yaml:"checkpoints"` // folder outside the database; empty: none
	Every       time.Duration `yaml:"every"`       // how old an act is at most when a checkpoint covers it
}

func (c Config) checkAudit(k *checker) {
	if c.Audit.Every < time.Second {
		k.wrong("audit.every", "it is less than a second", "leave it out for 1m")
	}
}

// auditOrigin names the record of the plant in its checkpoints.
func (c Config) auditOrigin() string { return audit.Origin(string(seal.ForCheckpoint), c.Plant.Source) }

// tree builds the tree of the audit record while the plant runs.
func (p *process) tree() *audit.Tree {
	c := audit.Config{Every: p.cfg.Audit.Every, Folder: p.cfg.Audit.Checkpoints, Lanes: p.outbox.Moved, Receipts: p.outbox.BeginMACs, Metrics: p.tel.registry}
	c.Prepare = func(ctx context.Context) error { return p.outbox.VouchPurged(ctx, p.db) }
	if p.ring != nil {
		c.Sign, c.Check = p.signCheckpoint, p.checkpointKeys
	}
	return audit.NewTree(p.db, p.cfg.auditOrigin(), p.cfg.node(), c, p.log)
}

// openRecord looks whether the checkpoints are there that the plant must have by its keys, before this node signs any, and then makes one of what there is:
// so every key has a checkpoint that is hardly later.
func (p *process) openRecord(ctx context.Context) error {
	p.record = p.tree()
	since, by, err := p.mustHaveSealed(ctx)
	if err != nil {
		return err
	}
	if err = p.record.Begin(ctx, since, by); problem.KindOf(err) == problem.Integrity {
		p.raise(ctx, "threat.audit-gap", "audit/record", err)
		return nil // the plant goes on; the record says for good what was found
	}
	return err
}

// mustHaveSealed is since when the record must have a checkpoint, and what checks who signed it. A key that was revoked since did sign. While the keyring does
// not answer nobody can tell whose signatures are good, and by is nil.
func (p *process) mustHaveSealed(ctx context.Context) (since time.Time, by audit.Signatures, err error) {
	var b seal.Bundle
	err = p.db.View(ctx, func(tx *store.Tx) (err error) {
		b.Keys, err = seal.Archive(ctx, tx)
		since = mustHaveSealed(b.Keys, tx.Now)
		return err
	})
	if err != nil || since.IsZero() {
		return since, nil, err
	}
	b, err = p.ring.Bundle(ctx)
	if problem.KindOf(err) == problem.Unavailable {
		return since, nil, nil
	}
	b.Lists = nil
	for i := range b.Keys {
		b.Keys[i].Revoked = time.Time{}
	}
	return since, notes(p.cfg.auditOrigin(), b, nil), err
}

// mustHaveSealed is when the latest key was made of those whose checkpoint there must be by now. The newest of several may be of a node that did not get so far.
// Zero if there need not be any.
func mustHaveSealed(keys []seal.Archived, now time.Time) time.Time {
	if len(keys) > 1 {
		keys = keys[1:] // the archive has the latest first
	}
	for _, k := range keys {
		if now.Sub(k.Made) > audit.Slack {
			return k.Made
		}
	}
	return time.Time{}
}

// signCheckpoint has the node sign, and Vault's anchor where there is a Vault. Without the anchor the node's word stands alone.
func (p *process) signCheckpoint(ctx context.Context, name, text string) (string, error) {
	lines, err := p.ring.SignCheckpoint(name, text)
	if err != nil || p.anchor == nil {
		return lines, err
	}
	anchored, err := p.anchor.AnchorCheckpoint(ctx, name, text)
	return lines + anchored, err
}

// sealFor makes a checkpoint for a command that has made a key of the node's: without serve nobody else would.
func (c Config) sealFor(ctx context.Context, db *store.DB, by *seal.Ring) error {
	sign := func(_ context.Context, name, text string) (string, error) { return by.SignCheckpoint(name, text) }
	out := outbox.New(nil, "", outbox.Config{})
	check := func(ctx context.Context) (*seal.Notes, error) {
		trust, err := by.TrustSaid(ctx)
		if err != nil {
			return nil, err
		}
		return trust.Notes(c.auditOrigin(), nil), nil
	}
	cfg := audit.Config{Lanes: out.Moved, Receipts: out.BeginMACs, Sign: sign, Check: check}
	cfg.Prepare = func(ctx context.Context) error { return out.VouchPurged(ctx, db) }
	made, err := audit.NewTree(db, c.auditOrigin(), c.node(), cfg, slog.New(slog.DiscardHandler)).Seal(ctx)
	if made != nil || problem.KindOf(err) == problem.Unavailable { // some entries wait on: serve tells of them
		return nil
	}
	return err
}

// checkpointKeys is what checks the signatures under the plant's checkpoints. While Vault does not answer, its anchor's word is left out: a node's is enough.
func (p *process) checkpointKeys(ctx context.Context) (*seal.Notes, error) {
	trust, err := p.ring.TrustSaid(ctx)
	if err != nil {
		return nil, err
	}
	var anchors []ed25519.PublicKey
	if p.anchor != nil {
		if anchors, err = p.anchor.KnownAnchors(ctx); err != nil {
			p.log.DebugContext(ctx, "the anchor's public keys are not known yet", "part", "audit", "err", err)
		}
	}
	return trust.Notes(p.cfg.auditOrigin(), anchors), nil
}

// notes is what checks the signatures under checkpoints, by a bundle of keys and by the keys of anchors.
func notes(origin string, b seal.Bundle, anchors []ed25519.PublicKey) *seal.Notes {
	return b.Trust().Notes(origin, anchors)
}
