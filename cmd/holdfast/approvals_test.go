package main

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/edition"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestAPlantDoesNotStartByAnApprovalThatWasPutIn: with keys, rows of the audit record do not help either; what two people have looked at starts, also
// where the floors are opened before the keyring, and a command that cannot open it reads what is used.
func TestAPlantDoesNotStartByAnApprovalThatWasPutIn(t *testing.T) {
	config := madePlant(t)
	text, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, append(text, "\nmappings_policy: four_eyes\n"...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p, _ := started(t, config, time.Now)
	m := &manyNodes{t: t, db: p.db, cfg: Config{Mappings: t.TempDir()}}
	m.write(mapsTo("a"))
	act := func(do func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error)) {
		t.Helper()
		if err := m.act(do); err != nil {
			t.Fatal(err)
		}
	}
	act(func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, true, edition.By{Actor: "user:anna"})
	})
	act(func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Approve(ctx, tx, hash, edition.By{Actor: "user:ben"})
	})
	approved := mustCurrent(t, p.db).Used.Edition
	if err := errors.Join(p.vouched(t.Context()), p.Close()); err != nil {
		t.Fatal(err)
	}
	p, _ = started(t, config, time.Now)
	if err := p.vouched(t.Context()); err != nil || mustCurrent(t, p.db).Used.Edition != approved {
		t.Errorf("a start with what two have looked at: %v", err)
	}
	m.db = p.db
	rest := p.rest
	p.db.SealWith(nil) // as in a command that may not read the passphrase
	if e, err := p.cfg.edition(t.Context(), p.db, mustCurrent(t, p.db)); err != nil || e.Hash != approved {
		t.Errorf("without a keyring: %v", err)
	}
	if err := p.cfg.approved(t.Context(), p.db, mustCurrent(t, p.db)); problem.KindOf(err) != problem.Unavailable {
		t.Errorf("without a keyring the record is believed: %v", err)
	}
	p.db.SealWith(rest)
	m.write(mapsTo("b"))
	act(func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, true, edition.By{Actor: "user:anna"})
	})
	err = p.db.InTx(t.Context(), func(tx *store.Tx) error {
		for _, sql := range []string{
			"DROP TRIGGER audit_entries_mac",
			"UPDATE mapping_steps SET step = 'approve', approver = 'user:ben' WHERE seq = (SELECT MAX(seq) FROM mapping_steps)",
			"UPDATE mapping_state SET used = proposed, proposed = 0, revision = revision + 1",
			`INSERT INTO audit_entries (at, actor, origin, action, object, reason, new, outcome)
				SELECT at, 'user:ben', '', 'mapping.approve', object, reason, replace(new, 'proposed', 'used'), 'done' FROM audit_entries WHERE action = 'mapping.propose' ORDER BY seq DESC LIMIT 1`,
		} {
			if _, err := tx.Exec(t.Context(), sql); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if all := genuine(t, p.db); len(all) != 1 {
		t.Errorf("%d approvals are believed, want that of the first edition", len(all))
	}
	if err := p.vouched(t.Context()); problem.KindOf(err) != problem.Integrity {
		t.Errorf("a start with an approval that was put in: %v", err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}

func genuine(t *testing.T, db *store.DB) (all []audit.Entry) {
	t.Helper()
	err := db.View(t.Context(), func(tx *store.Tx) error {
		entries, err := audit.List(t.Context(), tx, audit.Filter{Action: "mapping.approve"})
		for _, e := range entries {
			if good, errOne := audit.Genuine(t.Context(), tx, e.Action, e.Object); errOne != nil {
				err = errOne
			} else {
				all = append(all, good...)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}
