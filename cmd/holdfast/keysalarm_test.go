package main

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
