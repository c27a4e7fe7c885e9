package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/seal"
	"holdfast/internal/seal/vaulttest"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestWhatIsNotSignedIsAnAlert once, each time that there is more of it.
func TestWhatIsNotSignedIsAnAlert(t *testing.T) {
	var missed, late int64
	probes := unsignedProbes("node/a", func() (int64, int64) { return missed, late })
	look := func(name string) string {
		t.Helper()
		for _, p := range probes {
			if p.Name == name {
				why, err := p.Look(t.Context())
				if err != nil || alert.SeverityOf(name) != alert.Warning {
					t.Errorf("%s: %v, %s", name, err, alert.SeverityOf(name))
				}
				return why
			}
		}
		t.Fatalf("nobody looks for %s", name)
		return ""
	}
	for _, name := range []string{"threat.messages-unsigned", "threat.signed-late"} {
		if why := look(name); why != "" {
			t.Errorf("%s: %q of nothing", name, why)
		}
	}
	missed, late = 3, 2
	for name, want := range map[string]string{"threat.messages-unsigned": "3 times", "threat.signed-late": "2 messages"} {
		if why := look(name); !strings.HasPrefix(why, want) {
			t.Errorf("%s: %q, want %q", name, why, want)
		}
		if why := look(name); why != "" {
			t.Errorf("%s: %q once more", name, why)
		}
	}
}

// TestASecondUnwrapIsAnAlertOfTheRecord, by what serve tells.
func TestASecondUnwrapIsAnAlertOfTheRecord(t *testing.T) {
	s := vaulttest.Start(t)
	s.Setup(t, nil, "plant", "1000")
	node := seal.NodeURI("urn:plant:1000", "a")
	id := strings.TrimPrefix(s.Setup(t, nil, "node", "a", node), "role_id: ")
	token := strings.TrimSpace(s.Setup(t, nil, "secret-id", "a"))
	if _, err := s.Admin(t).Logical().Unwrap(token); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	wrapped := filepath.Join(dir, "wrapped")
	if err := os.WriteFile(wrapped, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	safe := seal.NewSafe(dir, "correct horse", 10)
	v, err := seal.NewVault(seal.VaultConfig{Address: s.Address, CA: s.CA, Role: "a", RoleID: id, Wrapped: wrapped}, safe, node, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	f := &floors{db: storetest.SQLite(t), log: slog.New(slog.DiscardHandler), alerts: alert.New(slog.New(slog.DiscardHandler))}
	f.tellOpened(keyring{Keyring: v})
	if _, _, err := v.Roots(t.Context()); err == nil {
		t.Fatal("it logs in by a secret that somebody else has")
	}
	var all []audit.Entry
	if err := f.db.View(t.Context(), func(tx *store.Tx) (err error) {
		all, err = audit.List(t.Context(), tx, audit.Filter{Action: "threat.secret-id-opened"})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(all) != 1 || !strings.HasPrefix(all[0].Object, "node/") || !strings.Contains(all[0].Reason, "unwrapped before") || alert.SeverityOf(all[0].Action) != alert.Critical {
		t.Errorf("the record has %+v", all)
	}
}

// TestTheKeyringAndSecretsOfVaultAreOneSession, which lives past the end of its token: a secret is read by it after that, without another login.
func TestTheKeyringAndSecretsOfVaultAreOneSession(t *testing.T) {
	s := vaulttest.Start(t)
	env := []string{"TOKEN_PERIOD=2s"}
	s.Setup(t, env, "plant", "1000")
	dir := t.TempDir()
	t.Setenv("HOLDFAST_TEST_PASSPHRASE", "correct horse battery staple")
	cfg := Config{Plant: PlantConfig{Number: "1000", Source: "urn:plant:1000"}, vault: &vaultSecrets{}}
	cfg.Relay.Node = "a"
	wrapped := filepath.Join(dir, "wrapped")
	cfg.Keys = KeysConfig{Kind: keysVault, Folder: dir, Passphrase: "env:HOLDFAST_TEST_PASSPHRASE", Vault: KeysVaultConfig{
		Address: s.Address, CA: s.CA, Role: "a", Wrapped: wrapped, RoleID: strings.TrimPrefix(s.Setup(t, env, "node", "a", cfg.nodeURI()), "role_id: "),
	}}
	s.Setup(t, env, "kv", "a", "erp", "mes")
	if err := os.WriteFile(wrapped, []byte(s.Setup(t, env, "secret-id", "a")), 0o600); err != nil {
		t.Fatal(err)
	}
	admin := s.Admin(t)
	for _, path := range []string{"erp", "mes"} {
		for end := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) { // a new engine is not ready at once
			if _, err := admin.KVv2("holdfast-kv").Put(t.Context(), path, map[string]any{"hop": "of " + path}); err == nil {
				break
			} else if time.Now().After(end) {
				t.Fatal(err)
			}
		}
	}
	read := func(path string) {
		t.Helper()
		if got, err := cfg.secret(t.Context(), "vault:holdfast-kv/"+path+"#hop"); got != "of "+path || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	read("erp")
	k, err := cfg.openKeyring(t.Context(), time.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { _ = k.run(ctx) })
	defer running.Wait()
	defer stop()
	if _, _, err := k.Roots(t.Context()); err != nil {
		t.Fatal(err)
	}
	mine := tokensOf(t, s)
	if len(mine) != 1 {
		t.Fatalf("keyring and secrets have %d tokens, want one", len(mine))
	}
	time.Sleep(4 * time.Second) // twice what the token lives
	read("mes")
	if again := tokensOf(t, s); len(again) != 1 || again[0] != mine[0] {
		t.Errorf("it has tokens %v then, want %v", again, mine)
	}
}

// tokensOf are the accessors of the tokens by which nodes are logged in with their certificates.
func tokensOf(t *testing.T, s *vaulttest.Server) (mine []string) {
	t.Helper()
	admin := s.Admin(t)
	all, err := admin.Logical().List("auth/token/accessors")
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all.Data["keys"].([]any) {
		if about, err := admin.Auth().Token().LookupAccessor(a.(string)); err == nil && about.Data["path"] == "auth/holdfast-cert/login" {
			mine = append(mine, a.(string))
		}
	}
	return mine
}
