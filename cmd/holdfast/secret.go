package main

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// secrets finds what references name; relative files begin beside the configuration. The secret itself is in no error.
func (c Config) secret(ctx context.Context, reference string) (string, error) {
	kind, name, _ := strings.Cut(reference, ":")
	bad := &problem.Error{Kind: problem.Invalid, What: "find the secret " + reference}
	switch kind {
	case "env":
		if v := os.Getenv(name); v != "" {
			return v, nil
		}
		bad.Why, bad.Hint = "the environment has no such variable, or it is empty", "set "+name+" where holdfast is started"
		return "", bad
	case "file":
		b, err := os.ReadFile(c.beside(name))
		if err == nil && strings.TrimSpace(string(b)) != "" {
			return strings.TrimRight(string(b), "\r\n"), nil
		}
		bad.Why, bad.Hint = "the file is empty", "write the secret into it"
		if err != nil {
			bad.Why, bad.Hint = why(err), "write the secret into the file and let the user that runs holdfast read it"
		}
		return "", bad
	case "credential":
		return systemdCredential(name)
	case "vault":
		return c.vaultSecret(ctx, name)
	default:
		bad.What, bad.Why, bad.Hint = "find a secret", kind+": references are not in this version", "use env:NAME or file:PATH"
		return "", bad
	}
}

// vaultSecrets is where all who have this configuration find Vault, and secrets of Vault's: by one session, which the keyring keeps alive. It is
// opened by whoever wants the first.
type vaultSecrets struct {
	mu   sync.Mutex
	from *seal.Secrets // guarded by mu

	opening sync.Mutex
	keys    map[atVault]keyring // guarded by opening
}

// atVault is who logs in at Vault, and how.
type atVault struct {
	node string
	keys KeysConfig
}

// keyring is the one keyring of a node at Vault.
func (v *vaultSecrets) keyring(of atVault, open func() (keyring, error)) (keyring, error) {
	v.opening.Lock()
	defer v.opening.Unlock()
	if k, ok := v.keys[of]; ok {
		return k, nil
	}
	k, err := open()
	if err != nil {
		return keyring{}, err
	}
	if v.keys == nil {
		v.keys = map[atVault]keyring{}
	}
	v.keys[of] = k
	return k, nil
}

// vaultSecret finds a secret of Vault's kv engine.
func (c Config) vaultSecret(ctx context.Context, name string) (string, error) {
	if c.vault == nil || c.Keys.Kind != keysVault {
		return "", &problem.Error{Kind: problem.Invalid, What: "find the secret vault:" + name, Why: "the plant has no Vault", Hint: "write keys: with kind: vault, or use env:NAME or file:PATH"}
	}
	from, err := c.vault.open(ctx, c)
	if err != nil {
		return "", err
	}
	return from.Get(ctx, name)
}

func (v *vaultSecrets) open(ctx context.Context, c Config) (*seal.Secrets, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.from != nil {
		return v.from, nil
	}
	log := slog.Default().With("part", "keys")
	k, err := c.openKeyring(ctx, time.Now, log)
	if err != nil {
		return nil, err
	}
	safe := k.safe
	if c.Keys.ColdStart != sealedCache {
		safe = nil
	}
	v.from = seal.NewSecrets(k.Keyring.(*seal.Vault), safe, time.Now, log) //nolint:forcetypeassert // of keyring's kind
	return v.from, nil
}

// databaseURL is the URL to open, with its password where a reference brings one. It must not be printed.
func (c Config) databaseURL(ctx context.Context) (string, error) {
	if strings.HasPrefix(c.Database.URL, "env:") || strings.HasPrefix(c.Database.URL, "file:") {
		return c.secret(ctx, c.Database.URL)
	}
	return c.Database.URL, nil
}

// why words an error of the file system without its path, which the caller has named.
func why(err error) string {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "there is no such file"
	case errors.Is(err, fs.ErrPermission):
		return "it may not be read by this user"
	case errors.Is(err, fs.ErrExist):
		return "it is there already"
	}
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err.Error()
	}
	return err.Error()
}
