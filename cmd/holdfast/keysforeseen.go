package main

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"strings"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// refuseForeignCA is an error of kind Conflict where the keyring's CA is not the plant's own: it has certified none of the plant's keys or, where there
// is none yet, was made for another plant. A nil db is that of a plant that has none yet.
func (c Config) refuseForeignCA(ctx context.Context, db *store.DB, k keyring) error {
	if c.Keys.Kind != keysLocal {
		return nil
	}
	roots, _, err := k.Roots(ctx)
	if err != nil {
		return err
	}
	var keys []seal.Archived
	if db != nil {
		if err := db.View(ctx, func(tx *store.Tx) (err error) { keys, err = seal.Archive(ctx, tx); return err }); err != nil {
			return err
		}
	}
	why := "it has certified no key of this plant, which has " + count(int64(len(keys)), "key", "keys") + " of another CA"
	for _, a := range keys {
		if certifiedBy(a.Chain[len(a.Chain)-1], roots) {
			return nil
		}
	}
	if len(keys) == 0 {
		of := seal.PlantOf(roots[0])
		if of == c.Plant.Number {
			return nil
		}
		why = "it is that of plant " + of
	}
	return &problem.Error{
		Kind: problem.Conflict, What: "use ca.age of " + c.Keys.Folder + " for plant " + c.Plant.Number, Why: why,
		Hint: "put a copy of the plant's own ca.age there; a plant that never had one: move the folder away, and holdfast keys init",
	}
}

func certifiedBy(last *x509.Certificate, roots []*x509.Certificate) bool {
	for _, r := range roots {
		if last.CheckSignatureFrom(r) == nil {
			return true
		}
	}
	return false
}

// refuseLostCA is an error of kind Conflict where a plant's keys were made before and its CA is gone, or that of another plant is there.
func (c Config) refuseLostCA(ctx context.Context) error {
	if c.Keys.Kind != keysLocal {
		return nil
	}
	if err := c.refuseLeftCA(); err != nil {
		return err
	}
	if !seal.NewSafe(c.Keys.Folder, "", seal.Work).HasAuthority() { // it opens nothing
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := c.refuseSecondCA(short); problem.KindOf(err) == problem.Conflict { // a database that does not answer yet has no say
			return err
		}
		return nil
	}
	k, err := c.openKeyring(ctx, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	r, err := openRecords(ctx, c)
	if err != nil {
		return c.refuseForeignCA(ctx, nil, k)
	}
	defer func() { _ = r.db.Close() }()
	if err := c.refuseForeignCA(ctx, r.db, k); problem.KindOf(err) == problem.Conflict {
		return err
	}
	return nil
}

// refuseLeftCA is an error of kind Conflict where an earlier CA has left something in the folder of the keys.
func (c Config) refuseLeftCA() error {
	left := seal.NewSafe(c.Keys.Folder, "", seal.Work).Left() // it opens nothing
	if left == "" {
		return nil
	}
	return &problem.Error{
		Kind: problem.Conflict, What: "make the keys of plant " + c.Plant.Number, Why: left + " is of an earlier CA, whose ca.age is gone, and no other opens or proves what it did",
		Hint: "put a copy of ca.age back into " + c.Keys.Folder + "; a plant of which nothing is needed any more: move that folder away",
	}
}

// foreseeStart tells why serve would not start by its keys, in the words of serve; nil if it would. A nil db is that of a plant that has none yet, away
// why the keyring does not answer.
func (c Config) foreseeStart(ctx context.Context, db *store.DB, k keyring, away error) error {
	if db == nil {
		return errors.Join(c.coldStart(away), c.refuseForeignCA(ctx, nil, k))
	}
	if err := c.refuseForeignCA(ctx, db, k); err != nil {
		return err
	}
	rest := c.restConfig(k)
	return c.coldStart(seal.Foresee(ctx, db, k.Keyring, c.safeOfRing(k), c.nodeURI(), seal.RingConfig{Now: db.Now}, rest, away))
}

// examineStart is what doctor says of that. A process that runs goes on; only a start would be refused.
func examineStart(ctx context.Context, cfg Config, k keyring, away error) []finding {
	subject := "keys"
	if away != nil {
		subject = "Vault"
	}
	r, err := openRecords(ctx, cfg) // it makes no database where there is none
	switch {
	case problem.KindOf(err) == problem.NotFound:
		return badOrNone(subject, cfg.foreseeStart(ctx, nil, k, away))
	case err != nil:
		return nil // the database is told by itself
	}
	defer func() { _ = r.db.Close() }()
	steps, err := r.db.Migrations(ctx)
	switch missing := missingSteps(steps); {
	case err != nil || missing > 0 && missing < len(steps):
		return nil // a database of the release before: what it has is looked at once it has every step
	case missing > 0:
		return badOrNone(subject, cfg.foreseeStart(ctx, nil, k, away))
	}
	out := badOrNone(subject, cfg.foreseeStart(ctx, r.db, k, away))
	if served, err := r.db.Served(ctx, cfg.node()); err == nil && served {
		for n := range out {
			out[n].State, out[n].Do = look, out[n].Do+"; the process that runs goes on, and would not start again"
		}
	}
	return out
}

func badOrNone(subject string, err error) []finding {
	if err == nil {
		return nil
	}
	return bad(subject, err)
}

func missingSteps(steps []store.Migration) (missing int) {
	for _, s := range steps {
		if s.Applied.IsZero() {
			missing++
		}
	}
	return missing
}

// What is said of a secret that others may read.
const readableWhy = "others than its owner may read or write it"

func readableDo(path string) string {
	return "see who had it, and: chmod go= " + path
}

// readableSecrets are what opens the plant's keys, and the keys, where others may read them.
func (c Config) readableSecrets() []string {
	if c.Keys.Kind == "" {
		return nil
	}
	out := seal.NewSafe(c.Keys.Folder, "", seal.Work).Readable()
	for _, ref := range []string{c.Keys.Passphrase, "file:" + c.Keys.Vault.Wrapped, "file:" + c.Keys.Vault.TokenFile} {
		if path, ok := strings.CutPrefix(ref, "file:"); ok && path != "" && seal.Readable(c.beside(path)) {
			out = append(out, c.beside(path))
		}
	}
	return out
}

func (c Config) warnOfReadable(ctx context.Context, log *slog.Logger) {
	for _, path := range c.readableSecrets() {
		log.WarnContext(ctx, "a secret of the plant is not kept from others", "part", "keys", "path", path, "why", readableWhy, "do", readableDo(path))
	}
}

func examineReadable(cfg Config) (out []finding) {
	for _, path := range cfg.readableSecrets() {
		out = append(out, finding{Subject: "keys", State: look, Says: path + ": " + readableWhy, Do: readableDo(path)})
	}
	return out
}
