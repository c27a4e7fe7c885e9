// Command vault is a real Vault for Holdfast's tests: HashiCorp's own core with the few engines and logins that Holdfast uses. It is
// a development tool and is never shipped; its server is under HashiCorp's licence (BUSL 1.1), which is why it is a module of its own.
//
//	vault server -config FILE
//
// FILE is the part of Vault's own configuration, as JSON, that the tests need (storage "file" or "inmem", one "tcp" listener with
// TLS), so that a test can start the official program with the same file. It comes up sealed and empty, as that does.
package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"
	kubernetes "github.com/hashicorp/vault-plugin-auth-kubernetes"
	kv "github.com/hashicorp/vault-plugin-secrets-kv"
	"github.com/hashicorp/vault/audit"
	"github.com/hashicorp/vault/builtin/credential/approle"
	"github.com/hashicorp/vault/builtin/credential/cert"
	"github.com/hashicorp/vault/builtin/logical/pki"
	"github.com/hashicorp/vault/builtin/logical/transit"
	vaulthttp "github.com/hashicorp/vault/http"
	"github.com/hashicorp/vault/internalshared/configutil"
	"github.com/hashicorp/vault/sdk/helper/consts"
	"github.com/hashicorp/vault/sdk/logical"
	"github.com/hashicorp/vault/sdk/physical"
	"github.com/hashicorp/vault/sdk/physical/file"
	"github.com/hashicorp/vault/sdk/physical/inmem"
	"github.com/hashicorp/vault/vault"
)

// config is what is read of Vault's configuration.
type config struct {
	Storage struct {
		File  *struct{ Path string }
		Inmem *struct{}
	}
	Listener struct {
		TCP struct {
			Address string
			Cert    string `json:"tls_cert_file"`
			Key     string `json:"tls_key_file"`
		}
	}
	APIAddr      string `json:"api_addr"`
	DisableMlock bool   `json:"disable_mlock"`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "vault: %v\n", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("vault server", flag.ContinueOnError)
	name := flags.String("config", "", "configuration `FILE`, JSON")
	if len(args) == 0 || args[0] != "server" {
		return errors.New("the only command is: server -config FILE")
	}
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	c, err := read(*name)
	if err != nil {
		return err
	}
	core, err := newCore(c, hclog.New(&hclog.LoggerOptions{Name: "vault", Output: os.Stderr, Level: hclog.Info}))
	if err != nil {
		return fmt.Errorf("make the core: %w", err)
	}
	err = serve(ctx, c, core)
	return errors.Join(err, core.ShutdownWait())
}

func read(name string) (config, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return config{}, err
	}
	var c config
	if err := json.Unmarshal(b, &c); err != nil {
		return config{}, fmt.Errorf("read %s: %w", name, err)
	}
	return c, nil
}

func newCore(c config, log hclog.Logger) (*vault.Core, error) {
	storage, kind, err := open(c, log)
	if err != nil {
		return nil, err
	}
	return vault.NewCore(&vault.CoreConfig{
		Physical: storage, StorageType: kind, Logger: log, LogLevel: "info",
		DisableMlock: c.DisableMlock, RedirectAddr: c.APIAddr, BuiltinRegistry: builtin,
		AuditBackends: map[string]audit.Factory{audit.TypeFile: audit.NewFileBackend},
	})
}

func open(c config, log hclog.Logger) (storage physical.Backend, kind string, err error) {
	if c.Storage.File == nil {
		storage, err = inmem.NewInmem(nil, log)
		return storage, "inmem", err
	}
	storage, err = file.NewFileBackend(map[string]string{"path": c.Storage.File.Path}, log)
	return storage, "file", err
}

// serve answers until ctx ends. A client may show a certificate: the cert login judges it, not the listener.
func serve(ctx context.Context, c config, core *vault.Core) error {
	tcp := c.Listener.TCP
	pair, err := tls.LoadX509KeyPair(tcp.Cert, tcp.Key)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", tcp.Address)
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: 10 * time.Second,
		Handler: vaulthttp.Handler.Handler(&vault.HandlerProperties{
			Core: core, ListenerConfig: &configutil.Listener{Type: "tcp", Address: tcp.Address},
		}),
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12},
	}
	stop := context.AfterFunc(ctx, func() { _ = server.Close() })
	defer stop()
	if err := server.ServeTLS(l, "", ""); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// registry is the engines and logins by kind and name: Vault asks it at each mount.
type registry map[consts.PluginType]map[string]logical.Factory

var builtin = registry{
	consts.PluginTypeSecrets:    {"kv": kv.Factory, "pki": pki.Factory, "transit": transit.Factory},
	consts.PluginTypeCredential: {"approle": approle.Factory, "cert": cert.Factory, "kubernetes": kubernetes.Factory},
}

// Get returns a function that returns the factory, as Vault wants it.
func (r registry) Get(name string, kind consts.PluginType) (func() (any, error), bool) {
	f, ok := r[kind][name]
	return func() (any, error) { return f, nil }, ok
}

// Contains tells whether there is such a plugin.
func (r registry) Contains(name string, kind consts.PluginType) bool {
	_, ok := r[kind][name]
	return ok
}

// Keys lists the plugins of a kind.
func (r registry) Keys(kind consts.PluginType) []string {
	var names []string
	for name := range r[kind] {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// DeprecationStatus says that everything here is supported.
func (r registry) DeprecationStatus(name string, kind consts.PluginType) (consts.DeprecationStatus, bool) {
	return consts.Supported, r.Contains(name, kind)
}

// IsBuiltinEntPlugin is false: nothing here is of the Enterprise edition.
func (registry) IsBuiltinEntPlugin(string, consts.PluginType) bool { return false }
