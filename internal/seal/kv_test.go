package seal_test

import (
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/seal/vaulttest"
)

// TestASecretOfVaultsIsReadAgainAndOutlivesIt: a new value is used after a while; while Vault is away the last one is, at another start too if a
// safe has it, and for a week.
func TestASecretOfVaultsIsReadAgainAndOutlivesIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	v, s := vault(t, dir)
	s.Setup(t, nil, "kv", "a", "erp", "none")
	put := func(path, value string) {
		t.Helper()
		kv := s.Admin(t).KVv2("holdfast-kv")
		var err error
		for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(100 * time.Millisecond) { // a new engine is not ready at once
			if _, err = kv.Put(t.Context(), path, map[string]any{"hop": value}); err == nil {
				return
			}
		}
		t.Fatal(err)
	}
	if err := s.Admin(t).Sys().Mount("other-kv", &api.MountInput{Type: "kv", Options: map[string]string{"version": "2"}}); err != nil {
		t.Fatal(err)
	}
	put("erp", "first")
	now := time.Now()
	clock := func() time.Time { return now }
	safe := seal.NewSafe(dir, "correct horse", work)
	secrets := seal.NewSecrets(v, safe, clock, quiet())
	get := func(of *seal.Secrets, want string, kind problem.Kind) {
		t.Helper()
		if got, err := of.Get(t.Context(), "holdfast-kv/erp#hop"); got != want || problem.KindOf(err) != kind {
			t.Errorf("got %q, %v, want %q and kind %q", got, err, want, kind)
		}
	}
	get(secrets, "first", "")
	put("erp", "second")
	get(secrets, "first", "")
	now = now.Add(6 * time.Minute)
	get(secrets, "second", "")
	for reference, want := range map[string]string{
		"holdfast-kv/erp#none": "no such field", "holdfast-kv/none#hop": "there is nothing there", "other-kv/erp#hop": "read on other-kv/data/erp",
		"holdfast-kv/erp": "none of a kv engine", "holdfast-kv/../other-kv/erp#hop": "none of a kv engine",
	} {
		if got, err := secrets.Get(t.Context(), reference); err == nil || got != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %q, %v, want words with %q", reference, got, err, want)
		}
	}
	if err := s.Admin(t).KVv2("holdfast-kv").DeleteMetadata(t.Context(), "erp"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	get(secrets, "", problem.Denied)
	get(seal.NewSecrets(v, safe, clock, quiet()), "", problem.Denied)
	put("erp", "second")
	now = now.Add(time.Hour)
	get(secrets, "second", "")
	s.Seal(t)
	now = now.Add(time.Hour)
	get(secrets, "second", "")
	get(seal.NewSecrets(v, safe, clock, quiet()), "second", "")
	get(seal.NewSecrets(v, nil, clock, quiet()), "", problem.Unavailable)
	now = now.Add(8 * 24 * time.Hour)
	get(seal.NewSecrets(v, safe, clock, quiet()), "", problem.Unavailable)
}

// TestAVaultThatHangsHoldsUpOneReaderOfASecret, and not those beside it, who use the last value.
func TestAVaultThatHangsHoldsUpOneReaderOfASecret(t *testing.T) {
	t.Parallel()
	s := vaulttest.Start(t)
	if err := s.Admin(t).Sys().Mount("holdfast-kv", &api.MountInput{Type: "kv", Options: map[string]string{"version": "1"}}); err != nil {
		t.Fatal(err)
	}
	// What Secrets reads of version 2 stands at data/… with a field data; an engine of version 1 is ready at once and keeps just that.
	if _, err := s.Admin(t).Logical().WriteWithContext(t.Context(), "holdfast-kv/data/erp", map[string]any{"data": map[string]any{"hop": "first"}}); err != nil {
		t.Fatal(err)
	}
	var hangs atomic.Bool
	asked, heal := make(chan struct{}), make(chan struct{})
	v := through(t, s, func(*http.Request) {
		if hangs.Load() {
			asked <- struct{}{}
			<-heal
		}
	})
	var ahead atomic.Int64
	secrets := seal.NewSecrets(v, nil, func() time.Time { return noon.Add(time.Duration(ahead.Load())) }, quiet())
	get := func() {
		if got, err := secrets.Get(t.Context(), "holdfast-kv/erp#hop"); got != "first" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
	}
	get()
	hangs.Store(true)
	ahead.Store(int64(time.Hour))
	var first sync.WaitGroup
	first.Go(get)
	<-asked
	get() // would wait for ever
	hangs.Store(false)
	close(heal)
	first.Wait()
}

// TestASecretThatVaultDoesNotHaveIsNotAskedForWithEachUse, as a partner's key is with each request.
func TestASecretThatVaultDoesNotHaveIsNotAskedForWithEachUse(t *testing.T) {
	t.Parallel()
	s := vaulttest.Start(t)
	var asked atomic.Int64
	v := through(t, s, func(*http.Request) { asked.Add(1) })
	secrets := seal.NewSecrets(v, nil, func() time.Time { return noon }, quiet())
	for range 100 {
		if _, err := secrets.Get(t.Context(), "holdfast-kv/none#hop"); problem.KindOf(err) != problem.Denied {
			t.Fatalf("got %v, want that it is denied", err)
		}
	}
	if n := asked.Load(); n == 0 || n > 10 {
		t.Errorf("Vault was asked %d times", n)
	}
}

// TestVaultIsWhereTheConfigurationSays, whatever the environment says of agents, proxies and headers.
func TestVaultIsWhereTheConfigurationSays(t *testing.T) {
	s := vaulttest.Start(t)
	for name, value := range map[string]string{
		"VAULT_ADDR": "http://127.0.0.1:1", "VAULT_AGENT_ADDR": "http://127.0.0.1:1", "VAULT_PROXY_ADDR": "http://127.0.0.1:1", "HTTPS_PROXY": "http://127.0.0.1:1",
		"VAULT_HEADERS": `{"X-Stolen":"1"}`, "VAULT_NAMESPACE": "other", "VAULT_TOKEN": "stolen",
	} {
		t.Setenv(name, value)
	}
	var got http.Header
	v := through(t, s, func(r *http.Request) { got = r.Header.Clone() })
	if err := v.Health(t.Context()); err != nil {
		t.Error(err)
	}
	if got == nil || got.Get("X-Stolen") != "" || got.Get("X-Vault-Namespace") != "" || got.Get("X-Vault-Token") != "" || got.Get("X-Vault-Request") == "" {
		t.Errorf("Vault sees the headers %v", got)
	}
}
