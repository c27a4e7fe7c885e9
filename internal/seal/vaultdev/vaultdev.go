// Package vaultdev runs a real Vault of one's own on this machine, for tests and for the demo.
//
// # Guarantees
//
//   - It listens on loopback only, with TLS, and keeps all it has in one folder. No other Vault, and none of its variables, is touched.
//   - What it held before Stop it holds after Start, sealed until Unseal.
//   - Stop ends the process that Start began; so does the end of this program.
package vaultdev

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
	"io/fs"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/hashicorp/vault/api"

	"holdfast/internal/port"
	"holdfast/internal/problem"
)

// Server is one Vault. It is for one goroutine at a time.
type Server struct {
	Address string // https://127.0.0.1:…
	CA      string // file with the certificate that vouches for it; its key is beside it, in key.pem
	Token   string // of the administrator, once it is initialised

	program, dir, key string
	process           *exec.Cmd
}

// Find is the program: the one that HOLDFAST_TEST_VAULT names (the official one, or what deploy/dev/services builds), else a vault on the
// PATH.
func Find() (string, error) {
	if p := os.Getenv("HOLDFAST_TEST_VAULT"); p != "" {
		return p, nil
	}
	p, err := exec.LookPath("vault")
	if err != nil {
		return "", &problem.Error{
			Kind: problem.NotFound, What: "start Vault", Why: "vault is not installed here, and HOLDFAST_TEST_VAULT names no program",
			Hint: "install it, or have one built: deploy/dev/services up, then eval \"$(deploy/dev/services env)\"", Cause: err,
		}
	}
	return p, nil
}

// kept is how an initialised Vault is opened again: it is a development tool, so that its key may lie beside its data.
type kept struct{ Token, Key string }

// Open prepares a Vault in a folder, which may hold what an earlier one left. It starts nothing.
func Open(program, dir string) (*Server, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the folder of Vault: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of Vault: %w", err)
	}
	ports, err := port.Free(1)
	if err != nil {
		return nil, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", ports[0])
	s := &Server{Address: "https://" + address, CA: filepath.Join(dir, "ca.pem"), program: program, dir: dir}
	if _, err := os.Stat(s.CA); errors.Is(err, fs.ErrNotExist) {
		err = certify(s.CA, s.path("key.pem"))
		if err != nil {
			return nil, fmt.Errorf("make the certificate of Vault: %w", err)
		}
	}
	c, err := json.Marshal(map[string]any{
		"storage":       map[string]any{"file": map[string]any{"path": s.path("data")}},
		"listener":      map[string]any{"tcp": map[string]any{"address": address, "tls_cert_file": s.CA, "tls_key_file": s.path("key.pem")}},
		"disable_mlock": true, "api_addr": s.Address,
	})
	if err == nil {
		err = os.WriteFile(s.path("vault.json"), c, 0o600)
	}
	if err != nil {
		return nil, fmt.Errorf("write the configuration of Vault: %w", err)
	}
	return s, nil
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

// certify makes a certificate for 127.0.0.1 that vouches for itself.
func certify(certFile, keyFile string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a Vault of one's own"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return errors.Join(
		os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600),
		os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
}

// patience is how long Vault has for what it is waited for; how long it takes decides nothing.
const patience = time.Minute

// Start starts the program and waits until it answers. It comes up sealed, and empty the first time.
func (s *Server) Start(ctx context.Context) error {
	out, err := os.OpenFile(s.path("vault.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of Vault: %w", err)
	}
	defer out.Close()
	s.process = exec.Command(s.program, "server", "-config="+s.path("vault.json")) //nolint:gosec // the program that the user has
	s.process.Stdout, s.process.Stderr = out, out
	s.process.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.process.Start(); err != nil {
		s.process = nil
		return fmt.Errorf("start Vault: %w", err)
	}
	client, err := s.client()
	if err != nil {
		return err
	}
	return s.until(ctx, func() bool { _, err := client.Sys().SealStatusWithContext(ctx); return err == nil })
}

// Stop ends the program; its data stay.
func (s *Server) Stop() error {
	if s.process == nil {
		return nil
	}
	if err := s.process.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("stop Vault: %w", err)
	}
	_ = s.process.Wait() // killed
	s.process = nil
	return nil
}

// Unseal initialises a Vault that is new, opens it and waits until it serves.
func (s *Server) Unseal(ctx context.Context) error {
	client, err := s.client()
	if err != nil {
		return err
	}
	if err := s.initialise(ctx, client); err != nil {
		return fmt.Errorf("initialise Vault: %w%s", err, s.Said())
	}
	if _, err := client.Sys().UnsealWithContext(ctx, s.key); err != nil {
		return fmt.Errorf("unseal Vault: %w%s", err, s.Said())
	}
	client.SetToken(s.Token)
	return s.until(ctx, func() bool { _, err := client.Auth().Token().LookupSelfWithContext(ctx); return err == nil })
}

func (s *Server) initialise(ctx context.Context, client *api.Client) error {
	var k kept
	if b, err := os.ReadFile(s.path("init.json")); err == nil {
		err = json.Unmarshal(b, &k)
		s.Token, s.key = k.Token, k.Key
		return err
	}
	answer, err := client.Sys().InitWithContext(ctx, &api.InitRequest{SecretShares: 1, SecretThreshold: 1})
	if err != nil {
		return err
	}
	s.Token, s.key = answer.RootToken, answer.KeysB64[0]
	b, err := json.Marshal(kept{s.Token, s.key})
	if err != nil {
		return err
	}
	return os.WriteFile(s.path("init.json"), b, 0o600)
}

// Seal has Vault forget how to open its data: it answers nothing but an unseal.
func (s *Server) Seal(ctx context.Context) error {
	admin, err := s.Admin()
	if err == nil {
		err = admin.Sys().SealWithContext(ctx)
	}
	if err != nil {
		return fmt.Errorf("seal Vault: %w", err)
	}
	return nil
}

// until asks until it is so.
func (s *Server) until(ctx context.Context, so func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !so() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("start Vault: it does not come up%s", s.Said())
		case <-tick.C:
		}
	}
	return nil
}

// Said is what the program wrote.
func (s *Server) Said() string {
	b, err := os.ReadFile(s.path("vault.log"))
	if err != nil {
		return ""
	}
	return "\n" + string(b)
}

func (s *Server) client() (*api.Client, error) {
	c := api.DefaultConfig()
	c.Address, c.MaxRetries, c.Timeout = s.Address, 0, 30*time.Second
	if err := c.ConfigureTLS(&api.TLSConfig{CACert: s.CA}); err != nil {
		return nil, fmt.Errorf("set up the client of Vault: %w", err)
	}
	client, err := api.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("set up the client of Vault: %w", err)
	}
	client.ClearToken()
	return client, nil
}

// Admin is a client that may do everything.
func (s *Server) Admin() (*api.Client, error) {
	c, err := s.client()
	if err == nil {
		c.SetToken(s.Token)
	}
	return c, err
}

// Setup runs the script deploy/vault/setup of a folder as an administrator does, with more of the environment if need be, and returns what it
// prints.
func (s *Server) Setup(ctx context.Context, folder string, env []string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", append([]string{filepath.Join(folder, "setup")}, args...)...) //nolint:gosec // our own script
	cmd.Env = append(os.Environ(), "VAULT_ADDR="+s.Address, "VAULT_TOKEN="+s.Token, "VAULT_CACERT="+s.CA, "VAULT_NAMESPACE=")
	cmd.Env = append(cmd.Env, env...)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("set up Vault (%s): %w\n%s", strings.Join(args, " "), err, said.String())
	}
	return strings.TrimSpace(string(out)), nil
}
