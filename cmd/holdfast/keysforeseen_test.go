package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// refusal is what a start of the plant is refused with, as a person reads it; "" if it starts.
func refusal(t *testing.T, config string) string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var out, said bytes.Buffer
	time.AfterFunc(20*time.Second, cancel)
	if run(ctx, []string{"serve", "--config", config}, &out, &said) == 0 {
		return ""
	}
	text, _, _ := strings.Cut(said.String()[strings.Index(said.String(), "holdfast: "):], "\n")
	return strings.TrimPrefix(text, "holdfast: ")
}

// swapped puts the CA of another plant into a plant's folder.
func swapped(t *testing.T, config string) {
	t.Helper()
	other := filepath.Join(t.TempDir(), "other")
	var out bytes.Buffer
	if status := run(t.Context(), []string{"init", other, "--plant", "1200"}, &out, &out); status != 0 {
		t.Fatal(out.String())
	}
	dir := filepath.Dir(config)
	if err := os.RemoveAll(filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"keys-passphrase", "keys/ca.age"} {
		b, err := os.ReadFile(filepath.Join(other, file))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(filepath.Join(dir, file)), 0o700)
		}
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, file), b, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestDoctorForeseesWhatServeRefuses: where the plant would not start, doctor says so in the words of serve.
func TestDoctorForeseesWhatServeRefuses(t *testing.T) {
	once := func(t *testing.T, config string) {
		t.Helper()
		p, _ := started(t, config, time.Now)
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, config string)
		want  string
	}{
		{"the CA of another plant, on a new database", swapped, "it is that of plant 1200"},
		{"the CA of another plant, after a start", func(t *testing.T, config string) { once(t, config); swapped(t, config) }, "it has certified no key of this plant"},
		{"a CA that was made anew, after a start", func(t *testing.T, config string) {
			once(t, config)
			dir := t.TempDir()
			var out bytes.Buffer
			if status := run(t.Context(), []string{"init", dir}, &out, &out); status != 0 {
				t.Fatal(out.String())
			}
			for _, file := range []string{"keys-passphrase", "keys/ca.age"} {
				if err := os.Rename(filepath.Join(dir, file), filepath.Join(filepath.Dir(config), file)); err != nil {
					t.Fatal(err)
				}
			}
		}, "it has certified no key of this plant"},
		{"a node's key that does not open", func(t *testing.T, config string) {
			once(t, config)
			files, err := filepath.Glob(filepath.Join(filepath.Dir(config), "keys", "node-*.age"))
			if err != nil || len(files) != 1 {
				t.Fatal(files, err)
			}
			if err := os.WriteFile(files[0], []byte("no key"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "the passphrase does not open it"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			config := madePlant(t)
			tt.spoil(t, config)
			why := refusal(t, config)
			if !strings.Contains(why, tt.want) {
				t.Fatalf("serve says %q, want %q", why, tt.want)
			}
			_, told := typed(t, config, "", "doctor")
			if !strings.Contains(told, "bad   keys: "+why) || strings.Contains(told, "nothing is in the way") {
				t.Errorf("serve says %q, and doctor %s", why, told)
			}
		})
	}
}

// atVaultAway is a plant whose Vault does not answer.
func atVaultAway(t *testing.T, coldStart string) (config string) {
	t.Helper()
	config = madePlant(t)
	l, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // a port that nobody listens on afterwards
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(filepath.Dir(config), "token")
	if err := os.WriteFile(token, []byte("a token"), 0o600); err != nil {
		t.Fatal(err)
	}
	was := string(text)
	now := strings.Replace(was, "  kind: local ", "  kind: vault\n  cold_start: "+coldStart+"\n  vault: {address: \"https://"+address+"\", token_file: "+token+"} ", 1)
	if now == was {
		t.Fatalf("%s has no keyring of its own", config)
	}
	if err := os.WriteFile(config, []byte(now), 0o600); err != nil {
		t.Fatal(err)
	}
	return config
}

// TestDoctorForeseesAStartWithoutVault: neither doctor nor serve says that the node goes on where it does not start.
func TestDoctorForeseesAStartWithoutVault(t *testing.T) {
	for _, cold := range []string{"deny", "sealed-cache"} {
		t.Run(cold, func(t *testing.T) {
			config := atVaultAway(t, cold)
			why := refusal(t, config)
			status, told := typed(t, config, "", "doctor")
			if !strings.Contains(why, "it does not answer") || strings.Contains(told, "nothing is in the way") || strings.Contains(told, "goes on meanwhile") {
				t.Fatalf("serve says %q, and doctor %s", why, told)
			}
			if want := problem.Unavailable.ExitStatus(); status == 0 || !strings.Contains(told, "bad   Vault: ask Vault for ") || want == 0 {
				t.Errorf("doctor ends with %d: %s", status, told)
			}
			if denied := "(keys.cold_start is deny: this plant does not start without Vault)"; cold == "deny" && (!strings.Contains(why, denied) || !strings.Contains(told, denied)) {
				t.Errorf("serve says %q, and doctor %s", why, told)
			}
		})
	}
}

// TestALostCAIsToldByInit: a folder in which a plant's keys were gets no other CA without a word.
func TestALostCAIsToldByInit(t *testing.T) {
	for _, keep := range []string{"keys", "holdfast.db"} {
		t.Run(keep, func(t *testing.T) {
			config := madePlant(t)
			dir := filepath.Dir(config)
			p, _ := started(t, config, time.Now)
			if err := p.Close(); err != nil {
				t.Fatal(err)
			}
			for _, gone := range []string{"holdfast.yaml", "keys/ca.age", map[string]string{"keys": "holdfast.db", "holdfast.db": "keys"}[keep]} {
				if err := os.RemoveAll(filepath.Join(dir, gone)); err != nil {
					t.Fatal(err)
				}
			}
			var out bytes.Buffer
			status := run(t.Context(), []string{"init", dir}, &out, &out)
			_, wrote := os.Stat(config)
			if _, err := os.Stat(filepath.Join(dir, "keys", "ca.age")); status != 1 || err == nil || wrote == nil || !strings.Contains(out.String(), "put a copy of ca.age back") {
				t.Errorf("init ends with %d: %s", status, &out)
			}
		})
	}
	t.Run("the CA of another plant", func(t *testing.T) {
		dir := filepath.Dir(madePlant(t))
		if err := os.Remove(filepath.Join(dir, "holdfast.yaml")); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if status := run(t.Context(), []string{"init", dir, "--plant", "1200"}, &out, &out); status != 1 || !strings.Contains(out.String(), "it is that of plant 1000") {
			t.Errorf("init ends with %d: %s", status, &out)
		}
	})
}

// TestASecretThatOthersReadIsTold by doctor and at the start.
func TestASecretThatOthersReadIsTold(t *testing.T) {
	config := madePlant(t)
	if _, told := typed(t, config, "", "doctor"); strings.Contains(told, "chmod") {
		t.Fatalf("of what init made doctor says %s", told)
	}
	dir := filepath.Dir(config)
	for file, mode := range map[string]os.FileMode{"keys-passphrase": 0o644, "keys/ca.age": 0o640, "keys": 0o755} {
		if err := os.Chmod(filepath.Join(dir, file), mode); err != nil {
			t.Fatal(err)
		}
	}
	p, said := started(t, config, time.Now)
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	_, told := typed(t, config, "", "doctor")
	for _, file := range []string{"keys-passphrase", "keys/ca.age", "keys"} {
		path := filepath.Join(dir, file)
		if !strings.Contains(told, "chmod go= "+path+"\n") || !strings.Contains(said.String(), "chmod go= "+path) {
			t.Errorf("of %s doctor says %s, and the start %s", path, told, said)
		}
	}
}

// TestWhatARevokedKeyHasSigned: the key of a plant that has delivered is revoked, twice. The second time changes nothing. The record is whole again
// with the next checkpoint; the plant's lanes are whole, and to others what the key signed counts for nothing: only it vouches for when that was.
func TestWhatARevokedKeyHasSigned(t *testing.T) {
	dir := t.TempDir()
	var out bytes.Buffer
	if status := run(t.Context(), []string{"demo", "--once", "--json", "--orders", "1", "--outage", "0s", "--data", dir}, &out, &out); status != 0 {
		t.Fatal(out.String())
	}
	config := filepath.Join(dir, "holdfast.yaml")
	var keys struct {
		Keys []struct{ Key string }
	}
	_, told := typed(t, config, "", "keys", "status", "--json")
	if err := json.Unmarshal([]byte(told), &keys); err != nil || len(keys.Keys) != 1 {
		t.Fatalf("%v: %s", err, told)
	}
	key := keys.Keys[0].Key
	for _, want := range []string{"key " + key + " of ", " is revoked since "} {
		var said bytes.Buffer
		status := run(t.Context(), []string{"keys", "revoke", key, "--reason", "stolen", "--config", config}, &said, &said)
		if told := said.String(); status != 0 || !strings.Contains(told, want) || !strings.Contains(told, "on the keyring's list") {
			t.Errorf("keys revoke ends with %d: %s", status, told)
		}
	}
	if _, told := typed(t, config, "", "audit", "list", "--action", "keys.revoke"); strings.Count(told, "key/"+key) != 1 {
		t.Errorf("the record has %s", told)
	}
	if status, told := typed(t, config, "", "audit", "verify"); status != 1 || !strings.Contains(told, "was revoked: stolen") || !strings.Contains(told, "wait a minute for the next checkpoint") {
		t.Errorf("before the next checkpoint audit verify ends with %d: %s", status, told)
	}
	p, _ := started(t, config, time.Now)
	if _, err := p.record.Seal(t.Context()); err != nil {
		t.Error(err)
	}
	if err := p.Close(); err != nil {
		t.Fatal(err)
	}
	if status, told := typed(t, config, "", "audit", "verify"); status != 0 || !strings.Contains(told, "of revoked keys") || strings.Contains(told, "WRONG") {
		t.Errorf("audit verify ends with %d: %s", status, told)
	}
	proof := filepath.Join(dir, "all.proof")
	if status, told := typed(t, config, "", "msg", "prove", "--all", "--export", proof); status != 1 || !strings.Contains(told, "nothing vouches that it was signed before") {
		t.Errorf("msg prove ends with %d: %s", status, told)
	}
	_, bundle := typed(t, config, "", "keys", "export")
	if err := os.WriteFile(filepath.Join(dir, "keys.json"), []byte(bundle), 0o600); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	status := run(t.Context(), []string{"verify", proof, "--keys", filepath.Join(dir, "keys.json")}, &out, &out)
	if status != problem.Denied.ExitStatus() || !strings.Contains(out.String(), "was revoked at ") || !strings.Contains(out.String(), "nothing vouches that it was signed before") {
		t.Errorf("verify ends with %d: %s", status, &out)
	}
}

// TestKeysStatusBeforeTheFirstStart says that nothing is made yet and what to do, where there is no database.
func TestKeysStatusBeforeTheFirstStart(t *testing.T) {
	config := madePlant(t)
	for _, file := range []string{"holdfast.db", "empty.db"} {
		status, told := typed(t, config, "", "keys", "status")
		if status != 0 || !strings.Contains(told, "no node has a key yet") || !strings.Contains(told, "holdfast serve") || !strings.Contains(told, "keyring: local") {
			t.Errorf("%s: keys status ends with %d: %s", file, status, told)
		}
		if status, told := typed(t, config, "", "keys", "status", "--json"); status != 0 || !strings.Contains(told, `"keys": []`) {
			t.Errorf("%s: keys status --json ends with %d: %s", file, status, told)
		}
		if status, told := typed(t, config, "", "migrate", "up"); status != 0 { // a database that no process has served
			t.Fatal(told)
		}
	}
	if err := os.Remove(filepath.Join(filepath.Dir(config), "keys", "ca.age")); err != nil {
		t.Fatal(err)
	}
	if _, told := typed(t, config, "", "keys", "status"); !strings.Contains(told, "holdfast keys init") {
		t.Errorf("without a CA keys status says %s", told)
	}
}

// examined is a new plant without keys, of which the doctor does not say this yet, and its database.
func examined(t *testing.T, notYet string) (config string, db *store.DB) {
	t.Helper()
	dir := t.TempDir()
	config = filepath.Join(dir, "holdfast.yaml")
	var out bytes.Buffer
	for _, args := range [][]string{{"init", dir, "--keys", "none"}, {"migrate", "up", "--config", config}} {
		if status := run(t.Context(), args, &out, &out); status != 0 {
			t.Fatal(out.String())
		}
	}
	if _, told := typed(t, config, "", "doctor"); strings.Contains(told, notYet) {
		t.Fatalf("before doctor says %s", told)
	}
	cfg, err := loadConfig(config)
	if err == nil {
		db, err = openDatabase(t.Context(), cfg, store.Config{NoMigrate: true})
	}
	if err != nil {
		t.Fatal(err)
	}
	return config, db
}

// TestDoctorTellsOfAlteredLanes: of one that is parked since the database was altered nothing is sent.
func TestDoctorTellsOfAlteredLanes(t *testing.T) {
	config, db := examined(t, "behind Holdfast")
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `INSERT INTO outbox_lanes (link, lane, pending, state, reason) VALUES ('erp', 'o1', 1, 'parked', ?)`, "message 1 is not what the plant has committed. What to do: "+outbox.AlteredDo)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, told := typed(t, config, "", "doctor"); !strings.Contains(told, "look  link erp: of 1 lane nothing is sent: somebody has altered the database behind Holdfast") {
		t.Errorf("doctor says %s", told)
	}
}

// TestDoctorNamesAGuardThatIsMissing: the database refuses by triggers to have the audit record changed.
func TestDoctorNamesAGuardThatIsMissing(t *testing.T) {
	config, db := examined(t, "audit record:")
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(t.Context(), `DROP TRIGGER audit_entries_keep`)
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if status, told := typed(t, config, "", "doctor"); status != 1 || !strings.Contains(told, "bad   audit record: the trigger audit_entries_keep,") {
		t.Errorf("doctor ends with %d and says %s", status, told)
	}
}
