package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// KeysConfig says what the node signs with. Without a kind it has no keys.
type KeysConfig struct {
	Kind       string          `yaml:"kind"`       // local or vault
	Folder     string          `yaml:"folder"`     // of the sealed files
	Passphrase string          `yaml:"passphrase"` // reference to what opens them
	Life       time.Duration   `yaml:"life"`       // local: how long a certificate lasts; at Vault the node's role says so
	Renew      time.Duration   `yaml:"renew"`      // the age at which a key is replaced
	ColdStart  string          `yaml:"cold_start"` // vault: deny or sealed-cache
	AtRest     string          `yaml:"at_rest"`    // on (default) or off: whether bodies are sealed in the database
	Vault      KeysVaultConfig `yaml:"vault"`
}

// KeysVaultConfig says where Vault is and how the node logs in.
type KeysVaultConfig struct {
	Address    string `yaml:"address"`
	CA         string `yaml:"ca"`
	Namespace  string `yaml:"namespace"`
	PKI        string `yaml:"pki"`
	Role       string `yaml:"role"`              // default the node's name
	Wrapped    string `yaml:"wrapped_secret_id"` // file
	RoleID     string `yaml:"role_id"`
	Kubernetes string `yaml:"kubernetes"`       // mount of the login
	PodToken   string `yaml:"kubernetes_token"` // file with the service account's token; default where Kubernetes mounts it
	TokenFile  string `yaml:"token_file"`
}

// The kinds of keyring, and what a start without Vault does.
const (
	keysLocal   = "local"
	keysVault   = "vault"
	sealedCache = "sealed-cache"
)

func (c Config) checkKeys(k *checker) {
	keys := c.Keys
	if keys.Kind == "" {
		return
	}
	k.among("keys.kind", keys.Kind, keysLocal, keysVault)
	k.among("keys.cold_start", keys.ColdStart, "deny", sealedCache)
	k.among("keys.at_rest", keys.AtRest, "on", atRestOff)
	if keys.Passphrase == "" {
		k.wrong("keys.passphrase", "it is missing", "write credential:NAME for a credential of systemd, file:PATH or env:NAME")
	} else if !strings.HasPrefix(keys.Passphrase, "credential:") {
		checkReference(k, "keys.passphrase", keys.Passphrase)
	}
	if keys.Renew < time.Second || keys.Kind == keysLocal && keys.Renew >= keys.Life {
		k.wrong("keys.renew", "it is no age that a key has before its certificate ends", "leave it out: 24h, of a life of 168h")
	}
	if keys.Kind == keysVault {
		keys.Vault.check(k)
	}
}

func (v KeysVaultConfig) check(k *checker) {
	if u, err := url.Parse(v.Address); err != nil || u.Scheme != "https" || u.Host == "" {
		k.wrong("keys.vault.address", "it is no address of Vault with TLS", "write https://vault.example:8200")
	}
	logins := 0
	for _, way := range []string{v.Wrapped, v.Kubernetes, v.TokenFile} {
		if way != "" {
			logins++
		}
	}
	if v.PodToken != "" && v.Kubernetes == "" {
		k.wrong("keys.vault.kubernetes_token", "there is no login by it", "name the mount in kubernetes, or leave it out")
	}
	if logins != 1 || (v.Wrapped == "") != (v.RoleID == "") {
		k.wrong("keys.vault", "it does not name one way to log in",
			"write wrapped_secret_id and role_id as deploy/vault/setup prints them, or kubernetes, or token_file")
	}
}

// nodeURI is this node's name in its certificates.
func (c Config) nodeURI() string { return seal.NodeURI(c.Plant.Source, c.node()) }

// safe is where the keys are sealed.
func (c Config) safe(ctx context.Context) (*seal.Safe, error) {
	passphrase, err := c.secret(ctx, c.Keys.Passphrase)
	if err != nil {
		return nil, err
	}
	return seal.NewSafe(c.Keys.Folder, passphrase, seal.Work), nil
}

// keyring is what certifies the node's keys, with what has to run meanwhile.
type keyring struct {
	seal.Keyring
	safe *seal.Safe
	run  func(ctx context.Context) error // nil if nothing has to
}

func (c Config) openKeyring(ctx context.Context, now func() time.Time, log *slog.Logger) (keyring, error) {
	if c.Keys.Kind == "" {
		return keyring{}, &problem.Error{
			Kind: problem.NotFound, What: "open the keyring", Why: c.file + " names none",
			Hint: "write keys: with kind: local and a passphrase, then holdfast keys init; docs/keys.md tells more",
		}
	}
	safe, err := c.safe(ctx)
	if err != nil {
		return keyring{}, err
	}
	if c.Keys.Kind == keysLocal {
		return keyring{seal.NewLocal(safe, c.nodeURI(), c.Keys.Life, now), safe, nil}, nil
	}
	if c.vault == nil {
		return c.openVault(safe, log)
	}
	return c.vault.keyring(atVault{c.nodeURI(), c.Keys}, func() (keyring, error) { return c.openVault(safe, log) })
}

// openVault is the keyring at Vault, with a session of its own.
func (c Config) openVault(safe *seal.Safe, log *slog.Logger) (keyring, error) {
	v := c.Keys.Vault
	if v.Role == "" {
		v.Role = c.node()
	}
	ring, err := seal.NewVault(seal.VaultConfig{
		Address: v.Address, CA: v.CA, Namespace: v.Namespace, PKI: v.PKI, Role: v.Role,
		Wrapped: v.Wrapped, RoleID: v.RoleID, Kubernetes: v.Kubernetes, KubernetesToken: v.PodToken, TokenFile: v.TokenFile,
	}, safe, c.nodeURI(), log)
	if err != nil {
		return keyring{}, err
	}
	return keyring{ring, safe, ring.Run}, nil
}

// openRing gives the node its key. With Vault it is made anew at each start, unless the plant may start without Vault.
func (c Config) openRing(ctx context.Context, db *store.DB, k keyring, metrics prometheus.Registerer, log *slog.Logger) (*seal.Ring, error) {
	r, err := seal.OpenRing(ctx, db, k, c.safeOfRing(k), c.nodeURI(), seal.RingConfig{
		Renew: c.Keys.Renew, Now: db.Now, Metrics: metrics, Fresh: c.Keys.Kind == keysVault, Record: c.recordKey, Decided: decided,
	}, log)
	return r, c.coldStart(err)
}

// safeOfRing is where the node's key is kept; nil: in memory only.
func (c Config) safeOfRing(k keyring) *seal.Safe {
	if c.Keys.Kind == keysVault && c.Keys.ColdStart != sealedCache {
		return nil
	}
	return k.safe
}

// coldStart says of a keyring that does not answer at a start whether that may be.
func (c Config) coldStart(err error) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind != problem.Unavailable || c.Keys.Kind != keysVault || c.Keys.ColdStart == sealedCache {
		return err
	}
	said := *p
	said.Why += " (keys.cold_start is deny: this plant does not start without Vault)"
	return &said
}

// recordKey has what becomes of the node's keys in the audit record.
func (c Config) recordKey(ctx context.Context, tx *store.Tx, what string, key seal.KeyID, left time.Duration) error {
	e := audit.Entry{Actor: "node:" + c.node(), Action: what, Object: "key/" + string(key)}
	if what == seal.ColdStart {
		e.After = fmt.Appendf(nil, `{"left":%q}`, left.Round(time.Minute))
	}
	return audit.Append(ctx, tx, e)
}

// decided tells which keys are revoked by the audit record. That an entry was removed from it is told by audit verify and the backup, not here.
func decided(ctx context.Context, tx *store.Tx, keys []seal.KeyID) (map[seal.KeyID]time.Time, error) {
	objects := make([]string, len(keys))
	for i, k := range keys {
		objects[i] = "key/" + string(k)
	}
	said, err := audit.Earliest(ctx, tx, objects, access.KeysRevoke, seal.KeyListed)
	since := make(map[seal.KeyID]time.Time, len(said))
	for object, at := range said {
		since[seal.KeyID(strings.TrimPrefix(object, "key/"))] = at
	}
	return since, err
}

// archive is every key that any node ever signed with, revoked if it is by the audit record.
func archive(ctx context.Context, tx *store.Tx) ([]seal.Archived, error) {
	all, err := seal.Archive(ctx, tx)
	if err == nil {
		_, err = seal.Decided(decided).Heed(ctx, tx, all)
	}
	return all, err
}

// systemdCredential reads a credential that systemd has laid down for this service.
func systemdCredential(name string) (string, error) {
	dir := os.Getenv("CREDENTIALS_DIRECTORY")
	bad := &problem.Error{Kind: problem.Invalid, What: "find the credential " + name, Hint: "write LoadCredentialEncrypted=" + name + " into the unit"}
	if dir == "" || strings.ContainsRune(name, '/') {
		bad.Why = "systemd has started this program without credentials, or it is no name of one"
		return "", bad
	}
	b, err := os.ReadFile(dir + "/" + name)
	if err != nil || len(b) == 0 {
		bad.Why = "there is none of this name, or it is empty"
		return "", bad
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}
