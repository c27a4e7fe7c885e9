package main

import (
	"context"
	"crypto/ed25519"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/seal"
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
	c := audit.Config{Every: p.cfg.Audit.Every, Folder: p.cfg.Audit.Checkpoints, Lanes: p.outbox.Moved, Metrics: p.tel.registry}
	if p.ring != nil {
		c.Sign = p.signCheckpoint
	}
	return audit.NewTree(p.db, p.cfg.auditOrigin(), p.cfg.node(), c, p.log)
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

// notes is what checks the signatures under checkpoints, by a bundle of keys and by the keys of anchors.
func notes(origin string, b seal.Bundle, anchors []ed25519.PublicKey) *seal.Notes {
	return b.Trust().Notes(origin, anchors)
}
