package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/audit"
	"holdfast/internal/inbox"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// atRestOff is keys.at_rest of a plant that keeps its bodies as they are.
const atRestOff = "off"

// openRest has everything that is kept from now on be sealed, and what is sealed be read. On SQLite no other process can be at work; on
// PostgreSQL a plant that is new begins by itself, and another by holdfast keys reseal: nodes of the release before cannot read what is sealed.
func (c Config) openRest(ctx context.Context, f *floors, k keyring, metrics prometheus.Registerer) (*seal.Rest, error) {
	from, ok := k.Keyring.(seal.Wrapper)
	if !ok {
		return nil, errors.New("the keyring wraps no seeds")
	}
	cfg := c.restConfig(k)
	cfg.Now, cfg.Metrics = f.db.Now, metrics
	cfg.Record = func(ctx context.Context, tx *store.Tx, what string) error {
		return audit.Append(ctx, tx, audit.Entry{Actor: "node:" + c.node(), Action: what, Object: "plant/" + c.Plant.Number})
	}
	looked := false // once is enough: a process that seals goes on sealing
	cfg.Begin = func(ctx context.Context, tx *store.Tx) (may, whole bool, err error) {
		if !looked {
			if err := neverSealed(ctx, tx, f.outbox, f.inbox); err != nil {
				return false, false, err
			}
		}
		looked = true
		out, err := f.outbox.Fresh(ctx, tx)
		if err != nil {
			return false, false, err
		}
		in, err := f.inbox.Fresh(ctx, tx)
		if err != nil || in && out || tx.Dialect() == store.Postgres {
			return in && out, in && out, err
		}
		plain, err := f.plain(ctx, tx)
		return true, !plain, err
	}
	return seal.OpenRest(ctx, f.db, from, cfg, f.log)
}

// restConfig is where the seeds are kept, and whether anything is sealed.
func (c Config) restConfig(k keyring) seal.RestConfig {
	cfg := seal.RestConfig{Off: c.Keys.AtRest == atRestOff, File: "rest-" + url.PathEscape(c.node()) + ".age"}
	if c.Keys.Kind == keysVault && c.Keys.ColdStart == sealedCache {
		cfg.Safe = k.safe
		cfg.Later = k.safe.HasKey(c.nodeURI()) // else the node does not start without its keyring
	}
	return cfg
}

// neverSealed is a problem of kind Integrity where something is sealed although the plant never began to: somebody has removed its epochs, and
// what is put in from now on would be taken for what was there before.
func neverSealed(ctx context.Context, tx *store.Tx, out *outbox.Outbox, in *inbox.Inbox) error {
	for _, sealed := range []func(context.Context, *store.Tx) (bool, error){out.Sealed, in.Sealed} {
		has, err := sealed(ctx, tx)
		if err != nil {
			return err
		}
		if has {
			return &problem.Error{
				Kind: problem.Integrity, What: "begin to seal", Why: "the database holds what is sealed, and not the epochs by which it was",
				Hint: "rest_epochs and rest_state were emptied behind Holdfast: find out by whom, and restore the plant from a backup",
			}
		}
	}
	return nil
}

// plain tells whether a message is owed or waits that is not sealed.
func (f *floors) plain(ctx context.Context, tx *store.Tx) (bool, error) {
	owed, err := f.outbox.OwesPlain(ctx, tx)
	if err != nil || owed {
		return owed, err
	}
	return f.inbox.WaitsPlain(ctx, tx)
}

// lookAtPlain is how often it is looked whether anything is owed that must be sealed, and learnt how long every node takes to hear that the
// plant seals.
const lookAtPlain = 10 * time.Second

// sealOwed seals what was owed when the plant began to seal, until none of it is left: from then on what is not sealed is taken for forged.
func (p *process) sealOwed(ctx context.Context) error {
	for wait := time.Duration(0); ctx.Err() == nil; wait = lookAtPlain {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		}
		if p.rest.AllSealed() || !p.rest.Seals() {
			continue
		}
		if err := p.sealSome(ctx); err != nil && ctx.Err() == nil {
			p.log.WarnContext(ctx, "what is owed is not all sealed yet", "part", "keys", "err", err)
		}
	}
	return nil
}

func (p *process) sealSome(ctx context.Context) error {
	if _, err := p.sealOpen(ctx); err != nil {
		return err
	}
	if p.db.Dialect() == store.Postgres && p.db.Now().Sub(p.rest.Began()) < 3*lookAtPlain {
		return nil // another node may not have heard yet that it is to seal
	}
	err := p.db.InTx(ctx, func(tx *store.Tx) error {
		plain, err := p.plain(ctx, tx)
		if err != nil || plain {
			return err
		}
		return p.rest.EndPlain(ctx, tx)
	})
	return errors.Join(err, p.rest.Visit(ctx))
}

// sealOpen seals what is owed and what waits, and says how many messages it was.
func (f *floors) sealOpen(ctx context.Context) (total int, err error) {
	for _, some := range []func(context.Context) (int, error){
		func(ctx context.Context) (int, error) { return f.outbox.SealOwed(ctx, f.db) }, f.inbox.SealWaiting,
	} {
		for n := 1; n > 0; total += n {
			if n, err = some(ctx); err != nil {
				return total, err
			}
		}
	}
	return total, nil
}

// lazyKeys is the keyring of a command, opened when it first needs one.
type lazyKeys struct{ cfg Config }

func (l lazyKeys) open(ctx context.Context) (seal.Wrapper, error) {
	k, err := l.cfg.openKeyring(ctx, time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Unavailable, What: "open what is sealed at rest", Why: err.Error(), Hint: "run the command as somebody who may read keys.passphrase", Cause: err,
		}
	}
	w, ok := k.Keyring.(seal.Wrapper)
	if !ok {
		return nil, errors.New("the keyring wraps no seeds")
	}
	return w, nil
}

// Wrap makes seeds.
func (l lazyKeys) Wrap(ctx context.Context, n int) (plain [][]byte, wrapped []string, err error) {
	w, err := l.open(ctx)
	if err != nil {
		return nil, nil, err
	}
	return w.Wrap(ctx, n)
}

// Unwrap opens seeds.
func (l lazyKeys) Unwrap(ctx context.Context, wrapped []string) ([][]byte, error) {
	w, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	return w.Unwrap(ctx, wrapped)
}

// Rewrap wraps seeds anew.
func (l lazyKeys) Rewrap(ctx context.Context, wrapped []string) ([]string, error) {
	w, err := l.open(ctx)
	if err != nil {
		return nil, err
	}
	return w.Rewrap(ctx, wrapped)
}

// sealLazily has what is sealed be read and written, once somebody does, if the plant has a keyring: a command needs none of it mostly.
func (c Config) sealLazily(db *store.DB) {
	if c.Keys.Kind == "" {
		return
	}
	db.SealWith(seal.LazyRest(db, lazyKeys{c}, seal.RestConfig{Now: db.Now, Off: c.Keys.AtRest == atRestOff}, slog.New(slog.DiscardHandler)))
}

// examineRest tells whether the plant seals what it keeps.
func (c Config) examineRest(ctx context.Context) []finding {
	r, err := openRecords(ctx, c)
	if err != nil {
		return nil // the database is told by itself
	}
	defer func() { _ = r.db.Close() }()
	var s seal.RestState
	err = r.db.View(ctx, func(tx *store.Tx) (err error) { s, err = seal.ReadRestState(ctx, tx); return err })
	f := finding{Subject: "at rest", State: isOK}
	switch {
	case err != nil:
		return bad("at rest", err)
	case c.Keys.AtRest == atRestOff:
		f.State, f.Says = look, "bodies are kept as they are: whoever reads the database or a copy of it reads them (keys.at_rest: off)"
		f.Do = "take keys.at_rest out of the configuration"
	case s.Began.IsZero():
		f.State, f.Says = look, "bodies are not sealed yet"
		f.Do = "start holdfast serve; on PostgreSQL, once every node runs this release: holdfast keys reseal --reason '…'"
	case s.Ready == 0:
		f.State, f.Says = look, "bodies are sealed, but no epoch lies ready: the last one goes on while the keyring is away"
		f.Do = "bring the keyring back"
	default:
		f.Says = "bodies are sealed since " + s.Began.UTC().Format(time.RFC3339) + "; " + count(s.Ready, "epoch lies ready", "epochs lie ready")
	}
	return []finding{f}
}
