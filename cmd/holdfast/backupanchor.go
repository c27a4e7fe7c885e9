package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// anchoring is backup.Options.Anchor.
type anchoring = func(ctx context.Context, digest []byte) string

// anchoring has Vault's anchor sign manifests or increments, as the purpose says; nil without a Vault. A copy is not given up because Vault does not answer: the node's word stands
// alone then, which is logged.
func (c Config) anchoring(v *seal.Vault, p seal.Purpose, log *slog.Logger) anchoring {
	if v == nil {
		return nil
	}
	return func(ctx context.Context, digest []byte) string {
		line, err := v.AnchorDigest(ctx, c.auditOrigin(), p, digest)
		if err != nil {
			log.WarnContext(ctx, "what a backup says of itself is signed by the node alone, and not by Vault's anchor", "part", "backup", "err", err)
		}
		return line
	}
}

// How long an increment waits for the anchor, and for how long an anchor that did not sign is not asked again.
const (
	anchorWaits = 5 * time.Second
	anchorRests = 10 * time.Minute
)

// briefly is sign for increments, which follow each other by seconds: an anchor that is away must not make the recovery point old. One at a time may be signed.
func briefly(sign anchoring) anchoring {
	if sign == nil {
		return nil
	}
	var again time.Time
	return func(ctx context.Context, digest []byte) string {
		if time.Now().Before(again) {
			return ""
		}
		ctx, cancel := context.WithTimeout(ctx, anchorWaits)
		defer cancel()
		line := sign(ctx, digest)
		if line == "" {
			again = time.Now().Add(anchorRests)
		}
		return line
	}
}

// backupAnchor is anchoring of a command, which says on errs if the anchor does not sign.
func (c Config) backupAnchor(ctx context.Context, db *store.DB, errs io.Writer) (anchoring, error) {
	if c.Keys.Kind != keysVault {
		return nil, nil
	}
	log := slog.New(slog.NewTextHandler(errs, nil))
	k, err := c.openKeyring(ctx, db.Now, log)
	if err != nil {
		return nil, err
	}
	v, _ := k.Keyring.(*seal.Vault)
	return c.anchoring(v, backup.ForManifest, log), nil
}

// anchorTrial has a trial check what Vault's anchor has signed: by the keys that are given, without which no copy is taken that it has not
// signed, or by those that Vault shows.
func (c Config) anchorTrial(ctx context.Context, t *backup.Trial, given []string) error {
	if len(given) > 0 {
		return givenAnchor(t, given)
	}
	if c.Keys.Kind != keysVault {
		return nil
	}
	k, err := c.openKeyring(ctx, t.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	keys, err := anchorsOf(ctx, k)
	if err == nil {
		t.Anchor = seal.NewAnchor(c.auditOrigin(), keys)
	}
	return err
}

// givenAnchor has a trial take only what the anchor of these keys has signed.
func givenAnchor(t *backup.Trial, given []string) error {
	if len(given) == 0 {
		return nil
	}
	name, _, _ := strings.Cut(given[0], "+")
	origin, ok := strings.CutSuffix(name, seal.AnchorName(""))
	if !ok || !strings.HasPrefix(origin, audit.Origin(string(seal.ForCheckpoint), "")) {
		return &problem.Error{Kind: problem.Invalid, What: "read the key " + given[0], Why: "it is none of an anchor", Hint: "write a line of holdfast audit keys"}
	}
	keys, err := anchorKeys(origin, given)
	if err == nil {
		t.Anchor, t.MustAnchor = seal.NewAnchor(origin, keys), true
	}
	return err
}

// andAnchor says that the anchor has signed as well.
func andAnchor(signed bool) string {
	if signed {
		return " and by Vault's anchor"
	}
	return ""
}
