package seal_test

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// TestWhatVaultRefusesIsToldWithTheRightRemedy: a node must not be given the right to revoke.
func TestWhatVaultRefusesIsToldWithTheRightRemedy(t *testing.T) {
	away := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusForbidden)
		_, _ = w.Write([]byte(`{"errors":["permission denied"]}`))
	}))
	defer away.Close()
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	cfg := seal.VaultConfig{Address: away.URL, Role: "a", TokenFile: write("token", []byte("t"))}
	cfg.CA = write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: away.Certificate().Raw}))
	open := func(cfg seal.VaultConfig) (*seal.Vault, error) {
		return seal.NewVault(cfg, seal.NewSafe(dir, "correct horse", 10), "urn:x:node:a", slog.New(slog.DiscardHandler))
	}
	said := func(err error) *problem.Error {
		p := &problem.Error{}
		if !errors.As(err, &p) {
			t.Fatalf("got %v", err)
		}
		return p
	}
	v, err := open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if p := said(v.As("t").Revoke(t.Context(), &x509.Certificate{SerialNumber: big.NewInt(1)})); !strings.Contains(p.Hint, "operator.hcl") || strings.Contains(p.Hint, "node.hcl") {
		t.Errorf("revoke: hint %q", p.Hint)
	}
	foreign := cfg
	foreign.CA = ""
	if v, err = open(foreign); err != nil {
		t.Fatal(err)
	}
	if p := said(v.Health(t.Context())); !strings.Contains(p.Hint, "keys.vault.ca") {
		t.Errorf("another CA: %v, hint %q", p, p.Hint)
	}
	missing := cfg
	missing.CA = filepath.Join(dir, "none.pem")
	if _, err = open(missing); strings.Contains(said(err).Error(), "holds none") {
		t.Errorf("no file: %v", err)
	}
}
