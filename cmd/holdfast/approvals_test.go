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
	"holdfast/internal/seal"
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

// TestAnApprovalUnderAKeyThatTheKeyringRefusesIsNone: whoever can write the database can write such an epoch into it. No start waits for that key, and what
// two people have looked at is used all the same.
func TestAnApprovalUnderAKeyThatTheKeyringRefusesIsNone(t *testing.T) {
	p := withMACs(t)
	m := &manyNodes{t: t, db: p.db, cfg: Config{Mappings: t.TempDir()}}
	by := func(actor string, do func(context.Context, *store.Tx, string, edition.By) (edition.State, error)) {
		t.Helper()
		if err := m.act(func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
			return do(ctx, tx, hash, edition.By{Actor: actor})
		}); err != nil {
			t.Fatal(err)
		}
	}
	propose := func(ctx context.Context, tx *store.Tx, hash string, by edition.By) (edition.State, error) {
		return edition.Publish(ctx, tx, hash, true, by)
	}
	m.write(mapsTo("a"))
	by("user:anna", propose)
	forge := func(all ...string) {
		t.Helper()
		err := p.db.InTx(t.Context(), func(tx *store.Tx) error {
			for _, sql := range all {
				if _, err := tx.Exec(t.Context(), sql); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	forge(
		`INSERT INTO rest_epochs (id, wrapped, made_at) SELECT 99, wrapped||'AAAA', made_at FROM rest_epochs WHERE id = 1`,
		"DROP TRIGGER audit_entries_mac",
		`INSERT INTO audit_entries (at, actor, origin, action, object, reason, new, outcome, chain, link, previous, mac, epoch)
			SELECT at, 'user:ben', '', 'mapping.approve', object, reason, replace(new, 'proposed', 'used'), 'done', 77, 1, x'', mac, 99 FROM audit_entries WHERE action = 'mapping.propose'`,
		"UPDATE mapping_state SET used = proposed, proposed = 0",
	)
	if err := p.rest.Visit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := p.vouched(t.Context()); !errors.Is(err, seal.ErrRefused) || p.unvouched {
		t.Errorf("a start with an approval under a key that the keyring refuses: %v", err)
	}
	forge("UPDATE mapping_state SET used = 0, proposed = used")
	by("user:carl", edition.Approve)
	if err := p.vouched(t.Context()); err != nil || p.unvouched {
		t.Errorf("a start with what two have looked at, beside it: %v", err)
	}
}

// TestWhatNobodyCouldVouchForAtTheStartIsAskedAgain: a plant whose keyring does not answer starts, and does not go on by what nobody has approved.
func TestWhatNobodyCouldVouchForAtTheStartIsAskedAgain(t *testing.T) {
	for name, approved := range map[string]bool{"by two": true, "by one": false} {
		t.Run(name, func(t *testing.T) {
			p := withMACs(t)
			m := &manyNodes{t: t, db: p.db, cfg: Config{Mappings: t.TempDir()}}
			m.write(mapsTo("a"))
			if err := m.act(func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
				s, err := edition.Publish(ctx, tx, hash, true, edition.By{Actor: "user:anna"})
				return s, err
			}); err != nil {
				t.Fatal(err)
			}
			if err := m.act(func(ctx context.Context, tx *store.Tx, hash string) (edition.State, error) {
				s, err := edition.Approve(ctx, tx, hash, edition.By{Actor: "user:ben"})
				if err == nil && !approved {
					_, err = tx.Exec(ctx, "UPDATE mapping_steps SET actor = 'user:anna' WHERE step = 'approve'") // so that the record has it by her
				}
				return s, err
			}); err != nil {
				t.Fatal(err)
			}
			p.mapsBy = mustCurrent(t, p.db).Used.Edition
			p.db.SealWith(nil)
			if err := p.vouched(t.Context()); err != nil || !p.unvouched {
				t.Fatalf("a start while the keyring does not answer: %v", err)
			}
			r := p.newReloader()
			r.node.Used = p.mapsBy
			if err := r.vouch(t.Context()); err != nil || r.begun == "" {
				t.Errorf("while it does not answer: %v", err)
			}
			p.db.SealWith(p.rest)
			if err := r.vouch(t.Context()); (err == nil) != approved || r.begun != "" {
				t.Errorf("once it answers: %v", err)
			}
		})
	}
}

// withMACs is a plant under four eyes whose audit record has MACs.
func withMACs(t *testing.T) *process {
	t.Helper()
	p, _ := started(t, madePlant(t), time.Now)
	t.Cleanup(func() { _ = p.Close() })
	p.cfg.MappingsPolicy = fourEyes
	if err := p.db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginMACs(t.Context(), tx, "node:a", nil) }); err != nil {
		t.Fatal(err)
	}
	return p
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
