// Package oidctest starts a certified OpenID Connect provider for tests: npm's oidc-provider, each time a process of its own with a new key.
//
// Its people are in server/server.js. It asks for no password; the form that it shows has the fields login and factor (otp or none).
package oidctest

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"holdfast/internal/port"
)

// Client is a program that the provider knows.
type Client struct {
	ID       string   `json:"client_id"`
	Secret   string   `json:"client_secret"`
	Redirect []string `json:"redirect_uris"`
	SignOut  []string `json:"post_logout_redirect_uris,omitempty"`
}

// Provider is a running one.
type Provider struct {
	Issuer string
	Ahead  time.Duration // of the machine's clock, from the next Up on

	t       *testing.T
	address string
	clients []Client
	cmd     *exec.Cmd
}

// Address is an address of this machine that nobody listens on, nor is given by the system.
func Address(t *testing.T) string {
	t.Helper()
	ports, err := port.Free(1)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", ports[0])
}

// Start starts a provider, which ends with the test. It calls itself issuer; "" is its own address. Without HOLDFAST_TEST_OIDC the test is skipped, in CI
// it fails.
func Start(t *testing.T, issuer string, clients ...Client) *Provider {
	t.Helper()
	p := &Provider{t: t, Issuer: issuer, address: Address(t), clients: clients}
	if issuer == "" {
		p.Issuer = "http://" + p.address
	}
	p.Up()
	t.Cleanup(p.Down)
	return p
}

// URL is where the process listens.
func (p *Provider) URL() string { return "http://" + p.address }

// Up starts the process again, with another key and nobody signed in.
func (p *Provider) Up() {
	p.t.Helper()
	dir := os.Getenv("HOLDFAST_TEST_OIDC")
	if dir == "" {
		if os.Getenv("CI") != "" {
			p.t.Fatal("HOLDFAST_TEST_OIDC is not set, and CI skips nothing: run deploy/dev/services up")
		}
		p.t.Skip("skipped for want of npm's oidc-provider: set HOLDFAST_TEST_OIDC, or run make test, which installs it")
	}
	_, at, _ := strings.Cut(p.address, ":")
	args, err := json.Marshal(map[string]any{"port": json.Number(at), "issuer": p.Issuer, "clients": p.clients, "ahead": p.Ahead.Milliseconds()})
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd = exec.CommandContext(p.t.Context(), "node", filepath.Join(dir, "server.js"), string(args))
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	p.cmd.Stderr = p.t.Output()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); err != nil || !strings.HasPrefix(line, "listening") {
		p.t.Fatal(fmt.Errorf("the provider said %q: %w", line, err))
	}
}

// Down ends the process.
func (p *Provider) Down() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait() // which says that it was killed
	p.cmd = nil
}
