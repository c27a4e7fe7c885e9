package main

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// TestVaultsAnchorSignsCopies beside the node. A copy without it, or with another signature, is refused by whoever asks for the anchor's; Vault that
// is away keeps nobody from making copies.
func TestVaultsAnchorSignsCopies(t *testing.T) {
	t.Parallel()
	w := openVaultWorld(t, 168*time.Hour)
	reportOn(t, w.process, 1, theirs)
	untilJudged(t, w.process, 1)
	m := copyWithAnchor(t, w.process)
	origin := w.cfg.auditOrigin()
	keys, err := w.anchor.Anchors(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	by := []string{seal.NoteKey(seal.AnchorName(origin), keys[0])}
	for name, o := range map[string]chosen{"by what Vault shows": {}, "by a key that is given": {anchors: by}} {
		if proof, err := w.cfg.verifyBackup(t.Context(), w.db, m.ID, "test", o); err != nil || !proof.Anchor || proof.Signer != w.cfg.nodeURI() {
			t.Errorf("%s: signed by %q, by the anchor: %t, %v", name, proof.Signer, proof.Anchor, err)
		}
	}
	restore := func(anchor string) (folder, said string, status int) {
		var out bytes.Buffer
		folder = filepath.Join(t.TempDir(), "new")
		identity := w.cfg.beside(strings.TrimPrefix(w.cfg.Backup.Identity, "file:"))
		status = run(t.Context(), []string{
			"backup", "restore", folder, m.ID, "--from", filepath.Join(w.dir, "backups"), "--identity", identity, "--anchor", anchor,
		}, &out, &out)
		return folder, out.String(), status
	}
	if folder, said, status := restore(by[0]); status != 0 {
		t.Errorf("restored with the anchor's key: %d, %s", status, said)
	} else if _, err := os.Stat(filepath.Join(folder, "holdfast.yaml")); err != nil {
		t.Error(err)
	}
	stranger := seal.NoteKey(seal.AnchorName(origin), ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32)).Public().(ed25519.PublicKey))
	refuses := func(name, anchor string) {
		t.Helper()
		folder, said, status := restore(anchor)
		if left, err := os.ReadDir(folder); status == 0 || len(left) > 0 || err != nil && !errors.Is(err, fs.ErrNotExist) || !strings.Contains(said, "anchor") {
			t.Errorf("restored with %s: %d, there is %v, %v: %s", name, status, left, err, said)
		}
	}
	refuses("a stranger's key", stranger)
	file := filepath.Join(w.dir, "backups", m.ID+".json")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, line := range map[string]string{"none": "", "another signature": "— " + seal.AnchorName(origin) + " " + strings.Repeat("A", 92)} {
		var s backup.Sealed
		if err := json.Unmarshal(text, &s); err != nil || s.Anchor == "" {
			t.Fatalf("the file beside the copy is %s, %v", text, err)
		}
		s.Anchor = line
		altered, err := json.Marshal(s)
		if err == nil {
			err = os.WriteFile(file, altered, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.cfg.verifyBackup(t.Context(), w.db, m.ID, "test", chosen{anchors: by}); problem.KindOf(err) != problem.Integrity {
			t.Errorf("%s: got %v, want a problem of kind %s", name, err, problem.Integrity)
		}
		refuses(name, by[0])
	}
	if proof, err := shippedWithAnchor(t, w, chosen{anchors: by}); err != nil || proof.Increments != 1 || !proof.Anchor {
		t.Errorf("a copy with an increment: %+v, %v, want both with the anchor's signature", proof, err)
	}
	w.vault.Seal(t)
	if m := copyWithAnchor(t, w.process); m.ID == "" || !strings.Contains(string(w.log.Bytes()), "not by Vault's anchor") {
		t.Errorf("with Vault sealed: copy %q, and the log does not tell", m.ID)
	}
}

// TestATrialByScheduleTakesTheIncrementsToo: else what a plant would be brought back by is never proven.
func TestATrialByScheduleTakesTheIncrementsToo(t *testing.T) {
	t.Parallel()
	p := newPlantWithCopies(t)
	s, err := p.backups(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Make(t.Context(), s.Places); err != nil {
		t.Fatal(err)
	}
	reportOn(t, p, 1, "4711")
	through, err := s.Shipped(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Prove(t.Context(), s.Places[0]); err != nil {
		t.Fatal(err)
	}
	all, err := backup.List(t.Context(), s.Places[0], nil)
	if err != nil || len(all) != 1 || all[0].Proven == nil || all[0].Proven.Increments != 1 || !all[0].Proven.Through.Equal(through) {
		t.Errorf("got %+v, %v, want a copy that is proven with its increment", all, err)
	}
}

// shippedWithAnchor makes a copy and an increment as serve does, and proves both.
func shippedWithAnchor(t *testing.T, w vaultWorld, o chosen) (proof backup.Proof, err error) {
	t.Helper()
	p := w.process
	places, err := p.cfg.backupPlaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	log, err := backup.OpenLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.cfg.createBackup(t.Context(), p.db, p.signsBackups(), p.cfg.anchoring(p.anchor, backup.ForManifest, p.log), places, log, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	reportOn(t, p, 2, theirs)
	if _, err := p.ship(t.Context(), log, briefly(p.cfg.anchoring(p.anchor, backup.ForIncrement, p.log)), places); err != nil {
		t.Fatal(err)
	}
	return p.cfg.verifyBackup(t.Context(), p.db, m.ID, "test", o)
}

// TestAnAnchorThatIsAwayIsNotAskedWithEachIncrement: it would make each wait.
func TestAnAnchorThatIsAwayIsNotAskedWithEachIncrement(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, away := 0, true
		sign := briefly(func(ctx context.Context, _ []byte) string {
			asked++
			if away {
				<-ctx.Done()
				return ""
			}
			return "signed"
		})
		began := time.Now()
		for range 10 {
			if got := sign(t.Context(), nil); got != "" {
				t.Errorf("got %q of an anchor that is away", got)
			}
		}
		if waited := time.Since(began); asked != 1 || waited != anchorWaits {
			t.Errorf("asked %d times, and waited %s, want once and %s", asked, waited, anchorWaits)
		}
		away = false
		time.Sleep(anchorRests)
		if got := sign(t.Context(), nil); got != "signed" {
			t.Errorf("got %q once it is back", got)
		}
	})
	if briefly(nil) != nil {
		t.Error("without an anchor there is something that signs")
	}
}

// copyWithAnchor makes a copy as serve does.
func copyWithAnchor(t *testing.T, p *process) backup.Manifest {
	t.Helper()
	places, err := p.cfg.backupPlaces(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	m, err := p.cfg.createBackup(t.Context(), p.db, p.signsBackups(), p.cfg.anchoring(p.anchor, backup.ForManifest, p.log), places, nil, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestACopyOfWhatThePlantHasNotSignedIsRefused: rows, record and heads of lanes are those of the manifest, and a signature is not.
func TestACopyOfWhatThePlantHasNotSignedIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if status := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg.Keys.AtRest = atRestOff // where bodies are sealed an altered signature breaks the seal too
	p := canaryPlant(t, cfg, slog.New(slog.DiscardHandler))
	reportOn(t, p, 1, "4711")
	verify := func() error {
		copyWithAnchor(t, p)
		_, err := cfg.verifyBackup(t.Context(), p.db, "", "test", chosen{})
		return err
	}
	if err := verify(); err != nil {
		t.Fatal(err)
	}
	for part, at := range map[string]int{"the version": 0, "the key": 1, "the time": 40, "the value": 50} {
		if err := p.db.InTx(t.Context(), flipSignature(t, at)); err != nil {
			t.Fatal(err)
		}
		if err := verify(); problem.KindOf(err) != problem.Integrity && problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "number 1 of lane") {
			t.Errorf("%s: got %v, want the number whose signature is not good", part, err)
		}
		if err := p.db.InTx(t.Context(), flipSignature(t, at)); err != nil {
			t.Fatal(err)
		}
	}
}

// flipSignature alters a bit of the only signature, and back.
func flipSignature(t *testing.T, at int) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		var signature []byte
		if err := tx.Get(t.Context(), &signature, `SELECT signature FROM outbox_messages`); err != nil {
			return err
		}
		signature[at] ^= 1
		_, err := tx.Exec(t.Context(), `UPDATE outbox_messages SET signature = ?`, signature)
		return err
	}
}

// TestARestoreSaysWhichLanesAreWhole, by the plant's keyring and on a machine that has none. Of a plant whose lane lacked a number when it was copied it names lane and number and
// ends with 1; what there is of it is restored nevertheless.
func TestARestoreSaysWhichLanesAreWhole(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "holdfast.yaml")
	if status := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(file)
	if err != nil {
		t.Fatal(err)
	}
	p := canaryPlant(t, cfg, slog.New(slog.DiscardHandler))
	order := reportOn(t, p, 1, "4711")
	confirmOn(t, p, order, "two", "4711")
	confirmOn(t, p, order, "three", "4711")
	reportOn(t, p, 2, "4712")
	restore := func(how ...string) (said, wrong string, status int, folder string) {
		var out, errs bytes.Buffer
		folder = filepath.Join(t.TempDir(), "new")
		status = run(t.Context(), append([]string{"backup", "restore", folder}, how...), &out, &errs)
		return out.String(), errs.String(), status, folder
	}
	ways := map[string][]string{
		"by its configuration": {"--config", file},
		"on a new machine":     {"--from", filepath.Join(dir, "backups"), "--identity", filepath.Join(dir, "backup-keys", "recovery.key")},
	}
	copyWithAnchor(t, p)
	for name, how := range ways {
		if said, wrong, status, _ := restore(how...); status != 0 || !strings.Contains(said, "2 lanes are whole: ") {
			t.Errorf("%s: ended with %d, said %s %s; want 2 whole lanes", name, status, said, wrong)
		}
	}
	err = p.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `DELETE FROM outbox_messages WHERE number = 2`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	copyWithAnchor(t, p)
	for name, how := range ways {
		said, wrong, status, folder := restore(how...)
		if status != 1 || !strings.Contains(said, "1 lane is whole, and others are NOT") || !strings.Contains(wrong, "number 2 of lane "+order) || !strings.Contains(wrong, "it is missing") {
			t.Errorf("%s: ended with %d, said %s %s; want lane and number, and 1", name, status, said, wrong)
		}
		if _, err := loadConfig(filepath.Join(folder, "holdfast.yaml")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestACopyWhoseLaneLacksANumberIsRefused: rows, record and heads of lanes are those of the manifest, and every signature is good; the trial is recorded as one that
// has failed.
func TestACopyWhoseLaneLacksANumberIsRefused(t *testing.T) {
	t.Parallel()
	p := newPlantWithCopies(t)
	order := reportOn(t, p, 1, "4711")
	confirmOn(t, p, order, "two", "4711")
	confirmOn(t, p, order, "three", "4711")
	copyWithAnchor(t, p)
	if _, err := p.cfg.verifyBackup(t.Context(), p.db, "", "test", chosen{}); err != nil {
		t.Fatal(err)
	}
	err := p.db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `DELETE FROM outbox_messages WHERE number = 2`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	copyWithAnchor(t, p)
	_, err = p.cfg.verifyBackup(t.Context(), p.db, "", "test", chosen{})
	if problem.KindOf(err) != problem.Integrity || !strings.Contains(err.Error(), "number 2 of lane") || !strings.Contains(err.Error(), "it is missing") {
		t.Errorf("got %v, want the number that is missing", err)
	}
	var outcomes []string
	err = p.db.View(t.Context(), func(tx *store.Tx) error {
		return tx.Select(t.Context(), &outcomes, `SELECT outcome FROM audit_entries WHERE action = ? ORDER BY seq`, access.BackupVerify)
	})
	if want := []string{audit.Done, audit.Refused}; err != nil || !slices.Equal(outcomes, want) {
		t.Errorf("the record has the outcomes %v, %v, want %v", outcomes, err, want)
	}
}

// newPlantWithCopies is a plant as init makes it, with a folder for copies, opened.
func newPlantWithCopies(t *testing.T) *process {
	t.Helper()
	dir := t.TempDir()
	if status := run(t.Context(), []string{"init", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return canaryPlant(t, cfg, slog.New(slog.DiscardHandler))
}
