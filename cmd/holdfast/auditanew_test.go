package main

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// started is a plant of a folder that has come as far as to its keys, on a clock of its own; what it logs is told.
func started(t *testing.T, config string, now func() time.Time) (p *process, said *bytes.Buffer) {
	t.Helper()
	cfg, err := loadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	tel, err := openTelemetry(t.Context(), cfg.Telemetry)
	if err != nil {
		t.Fatal(err)
	}
	said = &bytes.Buffer{}
	f, err := openFloors(t.Context(), cfg, store.Config{Now: now}, slog.New(slog.NewTextHandler(said, nil)))
	if err != nil {
		t.Fatal(err)
	}
	p = &process{floors: f, tel: tel}
	if err := p.openKeys(t.Context()); err != nil {
		t.Fatal(err)
	}
	return p, said
}

// madePlant is the configuration of a new plant with a keyring of its own.
func madePlant(t *testing.T) (config string) {
	t.Helper()
	dir := t.TempDir()
	var out bytes.Buffer
	if status := run(t.Context(), []string{"init", dir}, &out, &out); status != 0 {
		t.Fatal(out.String())
	}
	return filepath.Join(dir, "holdfast.yaml")
}

// TestARecordWrittenAnewWithServeStoppedIsAnAlarm: the whole record is emptied of what was ever signed, triggers and copies outside with it.
func TestARecordWrittenAnewWithServeStoppedIsAnAlarm(t *testing.T) {
	config := madePlant(t)
	p, said := started(t, config, func() time.Time { return time.Now().Add(-time.Hour) })
	if err := p.Close(); err != nil || strings.Contains(said.String(), "ALARM") {
		t.Fatalf("the first start: %v, %s", err, said)
	}
	if status, told := typed(t, config, "", "audit", "verify"); status != 1 || !strings.Contains(told, "the database has 1 checkpoint, and ") {
		t.Fatalf("without the copies outside: %d, %s", status, told)
	}
	cfg, err := loadConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	db, err := openDatabase(t.Context(), cfg, store.Config{NoMigrate: true})
	if err != nil {
		t.Fatal(err)
	}
	err = db.InTx(t.Context(), func(tx *store.Tx) error {
		for _, s := range []string{
			`DROP TRIGGER audit_entries_keep`, `DROP TRIGGER audit_entries_stay`, `DROP TRIGGER audit_leaves_stay`, `DROP TRIGGER audit_hashes_stay`, `DROP TRIGGER audit_checkpoints_stay`,
			`UPDATE audit_entries SET actor = 'local:ben'`, `DELETE FROM audit_leaves`, `DELETE FROM audit_hashes`, `DELETE FROM audit_checkpoints`,
			`DROP TRIGGER audit_entries_mac`, `UPDATE audit_entries SET chain = 0, link = 0, previous = NULL, mac = NULL, epoch = 0`, `DELETE FROM audit_chains`,
			`DELETE FROM audit_entries WHERE action = 'audit.macs'`, `DELETE FROM audit_pending`,
			`UPDATE audit_tree SET size = 0`, `INSERT INTO audit_pending (entry) SELECT seq FROM audit_entries`,
		} {
			if _, err := tx.Exec(t.Context(), s); err != nil {
				return err
			}
		}
		return nil
	})
	if err := errors.Join(err, db.Close(), os.RemoveAll(filepath.Join(filepath.Dir(config), "audit"))); err != nil {
		t.Fatal(err)
	}
	if status, told := typed(t, config, "", "audit", "verify"); status != 1 || !strings.Contains(told, "the database has no checkpoint") {
		t.Errorf("verify before the start ends with %d: %s", status, told)
	}
	p, said = started(t, config, time.Now)
	if err := p.Close(); err != nil || !strings.Contains(said.String(), "ALARM") {
		t.Errorf("the next start: %v, %s", err, said)
	}
	if _, told := typed(t, config, "", "audit", "list"); !strings.Contains(told, "audit.begun-anew") || !strings.Contains(told, "threat.audit-gap") {
		t.Errorf("the record says %s", told)
	}
	if status, told := typed(t, config, "", "audit", "verify"); status != 1 || !strings.Contains(told, "may have been written anew") {
		t.Errorf("verify after the start ends with %d: %s", status, told)
	}
}

// TestAPlantThatWasOnlyWorkedOnByCommandsIsNoAlarm: a backup makes a key, and a checkpoint with it.
func TestAPlantThatWasOnlyWorkedOnByCommandsIsNoAlarm(t *testing.T) {
	config := madePlant(t)
	for _, args := range [][]string{{"migrate", "up"}, {"link", "pause", "erp", "--reason", "not yet"}, {"backup", "create", "--reason", "before the upgrade"}} {
		if status, told := typed(t, config, "", args...); status != 0 {
			t.Fatal(told)
		}
	}
	p, said := started(t, config, func() time.Time { return time.Now().Add(time.Hour) })
	if err := p.Close(); err != nil || strings.Contains(said.String(), "ALARM") {
		t.Errorf("the first start: %v, %s", err, said)
	}
	if status, told := typed(t, config, "", "audit", "verify"); strings.Contains(told, "has no checkpoint") {
		t.Errorf("verify ends with %d: %s", status, told)
	}
}

func TestSinceWhenAPlantMustHaveSealed(t *testing.T) {
	now := time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)
	tests := []struct {
		name string
		ages []time.Duration // of the keys, the latest first
		want time.Duration   // of the key that is chosen; 0 for none
	}{
		{"no key", nil, 0},
		{"one just made", []time.Duration{time.Minute}, 0},
		{"one of long ago", []time.Duration{time.Hour}, time.Hour},
		{"the newest may not have got so far", []time.Duration{time.Hour, 2 * time.Hour, 3 * time.Hour}, 2 * time.Hour},
		{"several just made", []time.Duration{0, time.Minute, 5 * time.Hour}, 5 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var keys []seal.Archived
			for _, age := range tt.ages {
				keys = append(keys, seal.Archived{Certificate: seal.Certificate{Made: now.Add(-age)}})
			}
			want := time.Time{}
			if tt.want > 0 {
				want = now.Add(-tt.want)
			}
			if got := mustHaveSealed(keys, now); !got.Equal(want) {
				t.Errorf("got %s, want %s", got, want)
			}
		})
	}
}
