package relay_test

import (
	"context"
	"fmt"
	"time"

	"holdfast/internal/seal"
	"holdfast/internal/store"
)

const (
	epochTurn   = 2 * time.Second
	epochsAhead = 30 // for a minute without Vault
)

// bodyOf is what the n-th message says.
func bodyOf(n int) []byte { return fmt.Appendf(nil, `{"yield":"%d"}`, n) }

// seals has the plant seal what it keeps, under data keys of Vault's.
func (w *workshop) seals(cfg seal.RestConfig) {
	w.t.Helper()
	cfg.Begin = func(context.Context, *store.Tx) (may, whole bool, err error) { return true, true, nil }
	var err error
	if w.rest, err = seal.OpenRest(w.t.Context(), w.db, w.keys, cfg, quiet()); err != nil {
		w.t.Fatal(err)
	}
	w.db.SealWith(w.rest)
}

func (w *workshop) epochs() (s seal.RestState) {
	w.t.Helper()
	err := w.db.View(w.t.Context(), func(tx *store.Tx) (err error) { s, err = seal.ReadRestState(w.t.Context(), tx); return err })
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// turns waits until the epoch has turned, while messages come through: by a seed that lay ready, whatever Vault does.
func (w *workshop) turns(when string) {
	w.t.Helper()
	first := w.epochs()
	for end := time.Now().Add(time.Minute); w.epochs().Epoch == first.Epoch; w.delivers(when, 1) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: the epoch stays %+v", when, w.epochs())
		}
	}
}

// ready waits until Vault has given the seeds that are to lie ready, and has wrapped all by its latest key.
func (w *workshop) ready(when string) {
	w.t.Helper()
	for end := time.Now().Add(2 * time.Minute); w.epochs().Ready < epochsAhead || w.epochs().Earlier > 0; w.delivers(when, 1) {
		if time.Now().After(end) {
			w.t.Fatalf("%s: of %d seeds that are to lie ready there are %+v", when, epochsAhead, w.epochs())
		}
	}
}

// rewraps has Vault wrap by another key from now on.
func (w *workshop) rewraps() {
	w.t.Helper()
	if _, err := w.vault.Admin(w.t).Logical().Write("holdfast-transit/keys/rest/rotate", nil); err != nil {
		w.t.Fatal(err)
	}
}

// keptSealed wants every body in the database sealed, by epochs that there are.
func (w *workshop) keptSealed(when string) {
	w.t.Helper()
	err := w.db.View(w.t.Context(), func(tx *store.Tx) error {
		for _, table := range []string{"outbox_messages", "outbox_delivered"} {
			var all, plain int
			if err := tx.Get(w.t.Context(), &all, `SELECT COUNT(*) FROM `+table); err != nil {
				return err
			}
			if err := tx.Get(w.t.Context(), &plain, `SELECT COUNT(*) FROM `+table+` WHERE sealed NOT IN (SELECT id FROM rest_epochs)`); err != nil {
				return err
			}
			if plain > 0 {
				w.t.Errorf("%s: %d of %d bodies in %s are not sealed", when, plain, all, table)
			}
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
