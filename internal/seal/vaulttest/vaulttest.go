// Package vaulttest gives each test a real Vault of its own, which the test may seal, stop and start again with its data.
package vaulttest

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/hashicorp/vault/api"

	"holdfast/internal/seal/vaultdev"
)

// Server is a Vault with TLS on loopback and its data in the test's folder.
type Server struct {
	Address string // https://127.0.0.1:…
	CA      string // file with the certificate that vouches for it; its key is beside it, in key.pem
	Token   string // of the administrator

	server *vaultdev.Server
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
	server, err := vaultdev.Open(program, tb.TempDir())
	if err != nil {
		tb.Fatal(err)
	}
	s := &Server{Address: server.Address, CA: server.CA, server: server}
	tb.Cleanup(func() { s.Stop(tb) })
	s.Restart(tb)
	s.Unseal(tb)
	s.Token = server.Token
	return s
}

// Restart starts the program again, with its data, sealed.
func (s *Server) Restart(tb testing.TB) {
	tb.Helper()
	must(tb, s.server.Start(context.Background()))
}

// Stop ends the program; its data stay.
func (s *Server) Stop(tb testing.TB) {
	tb.Helper()
	must(tb, s.server.Stop())
}

// Seal has Vault forget how to open its data: it answers nothing but an unseal.
func (s *Server) Seal(tb testing.TB) {
	tb.Helper()
	must(tb, s.server.Seal(context.Background()))
}

// Unseal opens it again and waits until it serves.
func (s *Server) Unseal(tb testing.TB) {
	tb.Helper()
	must(tb, s.server.Unseal(context.Background()))
}

// Admin is a client that may do everything.
func (s *Server) Admin(tb testing.TB) *api.Client {
	tb.Helper()
	c, err := s.server.Admin()
	must(tb, err)
	return c
}

// Setup runs deploy/vault/setup as an administrator does, with more of the environment if need be, and returns what it prints.
func (s *Server) Setup(tb testing.TB, env []string, args ...string) string {
	tb.Helper()
	out, err := s.Try(env, args...)
	must(tb, err)
	return out
}

// Try is Setup of what may fail; the error has what the script says.
func (s *Server) Try(env []string, args ...string) (string, error) {
	_, here, _, _ := runtime.Caller(0)
	return s.server.Setup(context.Background(), filepath.Join(filepath.Dir(here), "../../../deploy/vault"), env, args...)
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
