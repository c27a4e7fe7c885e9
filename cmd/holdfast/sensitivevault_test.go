package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/outbox"
	"holdfast/internal/seal/vaulttest"
)

// TestValuesWaitInOrderWhileVaultIsAwayBeyondTheBudget: Vault is sealed for longer than the node's certificate lasts. The plant works on, also
// with persons whom it sees for the first time; nothing leaves, nothing is parked, and an alarm tells. Once Vault is unsealed what was owed goes
// out signed, in its order, with the values, which are nowhere else.
func TestValuesWaitInOrderWhileVaultIsAwayBeyondTheBudget(t *testing.T) {
	t.Parallel()
	w := openVaultWorld(t, 6*time.Second)
	order := reportOn(t, w.process, 1, theirs)
	untilJudged(t, w.process, 1)
	w.overviewSays(w.cfg.nodeURI())
	w.vault.Seal(t)
	w.until("the certificate ends", func() bool { return w.ring.State().Left <= 0 })
	for n, person := range []string{theirs, "canary-4715-another"} {
		confirmOn(t, w.process, order, fmt.Sprint("away", n), person)
	}
	w.until("the lane says why it waits", func() bool {
		l := confirmedLast(t, w.process).LaneState
		if l.State != outbox.Open {
			t.Fatalf("the lane is %s: %s", l.State, l.Reason)
		}
		return strings.Contains(l.Reason, "is not signed yet")
	})
	if n := strings.Count(w.heard.said(), "canary-4715"); n != 1 {
		t.Errorf("the ERP was told %d numbers beyond the budget, want the one before", n)
	}
	if figureOf(t, w.process, "holdfast_keys_outage_half") != 1 ||
		figureOf(t, w.process, "holdfast_keys_unsigned_total") == 0 || !strings.Contains(string(w.log.Bytes()), "level=ERROR") {
		t.Error("no alarm tells that the budget is spent")
	}
	w.overviewSays("not any more")
	w.vault.Unseal(t)
	for _, m := range untilJudged(t, w.process, 3) {
		if !m.Settled || m.Origin == nil {
			t.Errorf("message %d is taken: %t, signed: %t", m.Number, m.Settled, m.Origin != nil)
		}
	}
	var told []string
	for _, said := range w.heard.all() {
		if _, body, _ := strings.Cut(said, " "); strings.Contains(body, "personnel") {
			var c struct{ Personnel, Text string }
			if err := json.Unmarshal([]byte(body), &c); err != nil {
				t.Fatal(err)
			}
			told = append(told, c.Personnel+" "+c.Text)
		}
	}
	if got, want := strings.Join(told, ", "), theirs+" made, "+theirs+" away0, canary-4715-another away1"; got != want {
		t.Errorf("the ERP was told %q, want %q", got, want)
	}
	searchAll(t, w.process, w.dir, w.log.Bytes(), "canary-4715", sharedToken, sharedHop)
}

// vaultWorld is a plant that runs, with keys of a real Vault which last so long, and reveals persons to its ERP.
type vaultWorld struct {
	sapWorld
	t     *testing.T
	vault *vaulttest.Server
}

func openVaultWorld(t *testing.T, life time.Duration) vaultWorld {
	t.Helper()
	w := vaultWorld{sapWorld{dir: t.TempDir(), log: &lockedLog{}, heard: &hearing{next: http.HandlerFunc(takes)}}, t, vaulttest.Start(t)}
	srv := httptest.NewServer(w.heard)
	t.Cleanup(srv.Close)
	if status := run(t.Context(), []string{"init", w.dir, "--erp", srv.URL}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("init ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(w.dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	env := []string{"TOKEN_PERIOD=2s", "KEY_LIFE=" + life.String()}
	w.vault.Setup(t, env, "plant", cfg.Plant.Number)
	wrapped := filepath.Join(t.TempDir(), "wrapped")
	role := strings.TrimPrefix(w.vault.Setup(t, env, "node", "a", cfg.nodeURI()), "role_id: ")
	w.vault.Setup(t, env, "kv", "a", "erp")
	if err := os.WriteFile(wrapped, []byte(w.vault.Setup(t, nil, "secret-id", "a")), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg.Keys.Kind, cfg.Keys.Renew = keysVault, life/6
	cfg.Keys.Vault = KeysVaultConfig{Address: w.vault.Address, CA: w.vault.CA, Role: "a", RoleID: role, Wrapped: wrapped}
	w.secretsInVault()
	l := cfg.Links["erp"]
	l.Reveal, l.REST.Auth.Bearer = []string{"person"}, "vault:holdfast-kv/erp#token"
	l.Proof, l.ProofSecret, l.ProofKey = "http-signature", "vault:holdfast-kv/erp#hop", "plant-1000"
	cfg.Links["erp"], cfg.Sensitive = l, &SensitiveConfig{}
	w.process = canaryPlant(t, cfg, slog.New(slog.NewTextHandler(w.log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if err := w.takeSeat(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.runKeys()
	relaying(t, w.process)
	return w
}

// The secrets that plant and ERP share by Vault: what stands for the plant, and what it signs the hop with, in base64.
const (
	sharedToken = "canary-4718-token"
	sharedHop   = "Y2FuYXJ5LTQ3MTktaG9wLTAxMjM0NTY3ODkwMTIzNDU="
)

// secretsInVault lays them down. A new engine is not ready at once.
func (w *vaultWorld) secretsInVault() {
	w.t.Helper()
	w.until("Vault keeps the secrets", func() bool {
		_, err := w.vault.Admin(w.t).KVv2("holdfast-kv").Put(w.t.Context(), "erp", map[string]any{"token": sharedToken, "hop": sharedHop})
		return err == nil
	})
}

// runKeys runs what keeps keys fresh until the test ends.
func (w *vaultWorld) runKeys() {
	ctx, stop := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var work errgroup.Group
	for _, p := range w.keys {
		work.Go(func() error { return p.run(ctx) })
	}
	w.t.Cleanup(func() {
		stop()
		if err := work.Wait(); err != nil {
			w.t.Error(err)
		}
	})
}

// until waits for something that comes about by itself.
func (w *vaultWorld) until(what string, is func() bool) {
	w.t.Helper()
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for end := time.Now().Add(3 * time.Minute); !is(); <-look.C {
		if time.Now().After(end) {
			w.t.Fatal("not within three minutes: " + what)
		}
	}
}

// overviewSays looks at the tile of the console's first page.
func (w *vaultWorld) overviewSays(want string) {
	w.t.Helper()
	r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1/console/", nil)
	r.RemoteAddr = "127.0.0.1:1"
	page := httptest.NewRecorder()
	w.openConsole().Handler().ServeHTTP(page, r)
	_, tile, _ := strings.Cut(page.Body.String(), "How long it signs without its keyring")
	if tile, _, _ = strings.Cut(tile, "</section>"); page.Code != http.StatusOK || !strings.Contains(tile, want) {
		w.t.Errorf("the console answers %d and says %q, want %q", page.Code, tile, want)
	}
}

// takes is an ERP that takes everything of whoever has the secrets, and tells nothing.
func takes(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if r.Header.Get("Authorization") != "Bearer "+sharedToken || !strings.Contains(r.Header.Get("Signature-Input"), `keyid="plant-1000";alg="hmac-sha256"`) {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	if r.Method != http.MethodPost {
		_, _ = io.WriteString(w, `{"items":[]}`)
		return
	}
	var body map[string]any
	_ = json.NewDecoder(r.Body).Decode(&body)
	body["number"], body["postedAt"] = "0000100001", "2026-11-27T10:00:00Z"
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(body)
}

// figureOf is a figure without labels.
func figureOf(t *testing.T, p *process, name string) float64 {
	t.Helper()
	all, err := p.tel.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if f.GetName() == name {
			return f.GetMetric()[0].GetGauge().GetValue() + f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no figure %s", name)
	return 0
}
