// Package vaulttest gives each test a real Vault of its own, which the test may seal, stop and start again with its data.
package vaulttest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	"holdfast/internal/port"
)

// Server is a Vault with TLS on loopback and its data in the test's folder.
type Server struct {
	Address string // https://127.0.0.1:…
	CA      string // file with the certificate that vouches for it
	Token   string // of the administrator

	program, config, log, key string
	process                   *exec.Cmd
}

// Start starts a Vault, initialises and unseals it. HOLDFAST_TEST_VAULT names the program: the official one or deploy/dev/vault, which
// "deploy/dev/services up" builds. Without it the test is skipped, and fails where CI is set.
func Start(tb testing.TB) *Server {
	tb.Helper()
	program := os.Getenv("HOLDFAST_TEST_VAULT")
	if program == "" {
		if os.Getenv("CI") != "" {
			tb.Fatal("HOLDFAST_TEST_VAULT is not set, and CI skips nothing: run deploy/dev/services up")
		}
		tb.Skip("skipped for want of Vault: set HOLDFAST_TEST_VAULT, or run make test, which builds one")
	}
	dir := tb.TempDir()
	s := &Server{program: program, config: filepath.Join(dir, "vault.json"), log: filepath.Join(dir, "vault.log"), CA: filepath.Join(dir, "ca.pem")}
	s.configure(tb, dir)
	s.Restart(tb)
	tb.Cleanup(func() { s.Stop(tb) })
	answer, err := s.client(tb).Sys().Init(&api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		tb.Fatalf("initialise Vault: %v%s", err, s.said())
	}
	s.Token, s.key = answer.RootToken, answer.KeysB64[0]
	s.Unseal(tb)
	return s
}

// configure writes what the program reads: a certificate for loopback and Vault's own configuration as JSON.
func (s *Server) configure(tb testing.TB, dir string) {
	tb.Helper()
	ports, err := port.Free(1)
	if err != nil {
		tb.Fatal(err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	s.Address = "https://" + address
	key := filepath.Join(dir, "key.pem")
	certify(tb, s.CA, key)
	c, err := json.Marshal(map[string]any{
		"storage":       map[string]any{"file": map[string]any{"path": filepath.Join(dir, "data")}},
		"listener":      map[string]any{"tcp": map[string]any{"address": address, "tls_cert_file": s.CA, "tls_key_file": key}},
		"disable_mlock": true, "api_addr": s.Address,
	})
	if err == nil {
		err = os.WriteFile(s.config, c, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// certify makes a certificate for 127.0.0.1 that vouches for itself.
func certify(tb testing.TB, certFile, keyFile string) {
	tb.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tb.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "vault of a test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		tb.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tb.Fatal(err)
	}
	for name, b := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(b), 0o600); err != nil {
			tb.Fatal(err)
		}
	}
}

// Restart starts the program again, with its data, sealed.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	out, err := os.OpenFile(s.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		tb.Fatal(err)
	}
	defer out.Close()
	s.process = exec.Command(s.program, "server", "-config="+s.config) //nolint:gosec // the program that the tester names
	s.process.Stdout, s.process.Stderr = out, out
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		tb.Fatal(err)
	}
	client := s.client(tb)
	until(tb, func() bool { _, err := client.Sys().SealStatus(); return err == nil }, s.said)
}

// until asks until it is so, for half a minute.
func until(tb testing.TB, so func() bool, said func() string) {
	tb.Helper()
	for end := time.Now().Add(30 * time.Second); !so(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("Vault does not come up%s", said())
		}
	}
}

// said is what the program wrote.
func (s *Server) said() string {
	b, err := os.ReadFile(s.log)
	if err != nil {
		return ""
	}
	return "\n" + string(b)
}

// Stop ends the program; its data stay.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	if s.process == nil {
		return
	}
	if err := s.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		tb.Error(err)
	}
	_ = s.process.Wait() // killed
	s.process = nil
}

// Seal has Vault forget how to open its data: it answers nothing but an unseal.
func (s *Server) Seal(tb testing.TB) {
	tb.Helper()
	if err := s.Admin(tb).Sys().Seal(); err != nil {
		tb.Fatalf("seal Vault: %v", err)
	}
}

// Unseal opens it again and waits until it serves.
func (s *Server) Unseal(tb testing.TB) {
	tb.Helper()
	if _, err := s.client(tb).Sys().Unseal(s.key); err != nil {
		tb.Fatalf("unseal Vault: %v%s", err, s.said())
	}
	admin := s.Admin(tb)
	until(tb, func() bool { _, err := admin.Auth().Token().LookupSelf(); return err == nil }, s.said)
}

// client is a client without a token.
func (s *Server) client(tb testing.TB) *api.Client {
	tb.Helper()
	c := api.DefaultConfig()
	c.Address, c.MaxRetries, c.Timeout = s.Address, 0, 30*time.Second
	if err := c.ConfigureTLS(&api.TLSConfig{CACert: s.CA}); err != nil {
		tb.Fatal(err)
	}
	client, err := api.NewClient(c)
	if err != nil {
		tb.Fatal(err)
	}
	client.ClearToken()
	return client
}

// Admin is a client that may do everything.
func (s *Server) Admin(tb testing.TB) *api.Client {
	tb.Helper()
	c := s.client(tb)
	c.SetToken(s.Token)
	return c
}

// Setup runs deploy/vault/setup as an administrator does, with more of the environment if need be, and returns what it prints.
func (s *Server) Setup(tb testing.TB, env []string, args ...string) string {
	tb.Helper()
	_, here, _, _ := runtime.Caller(0)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(filepath.Dir(here), "../../../deploy/vault/setup"), args...) //nolint:gosec // our own script
	cmd.Env = append(os.Environ(), "VAULT_ADDR="+s.Address, "VAULT_TOKEN="+s.Token, "VAULT_CACERT="+s.CA, "VAULT_NAMESPACE=")
	cmd.Env = append(cmd.Env, env...)
	var errors strings.Builder
	cmd.Stderr = &errors
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("deploy/vault/setup %s: %v\n%s", strings.Join(args, " "), err, errors.String())
	}
	return strings.TrimSpace(string(out))
}
