package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/cmd/holdfast/internal/line"
	vaultfiles "holdfast/deploy/vault"
	"holdfast/internal/seal"
	"holdfast/internal/seal/vaultdev"
	"holdfast/internal/store"
)

// vaultSide is what the demo runs besides when the plant's keys are Vault's: a Vault, set up as an administrator does, and the line to it. All
// methods but configure are harmless on nil: a demo without Vault.
type vaultSide struct {
	dir    string
	server *vaultdev.Server
	line   *line.Line
	work   errgroup.Group
	stop   func()
	mended func()
}

// keyringResult is what a demo with Vault shows of its outage.
type keyringResult struct {
	Keyring string `json:"keyring,omitempty"`              // what is not local
	Without int    `json:"signed_without_vault,omitempty"` // messages that were signed while Vault was cut off
	Keys    int    `json:"keys_made,omitempty"`            // that Vault has certified in this run
	After   int    `json:"keys_after_outage,omitempty"`    // of these, once it was back
}

// openVaultSide starts the Vault of the folder, which goes on where that of an earlier demo ended.
func openVaultSide(ctx context.Context, data string) (v *vaultSide, err error) {
	v = &vaultSide{dir: filepath.Join(data, "vault")}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.close())
		}
	}()
	program, err := vaultdev.Find()
	if err != nil {
		return v, err
	}
	if v.server, err = vaultdev.Open(program, v.dir); err != nil {
		return v, err
	}
	if err = errors.Join(v.server.Start(ctx), v.unpack()); err != nil {
		return v, err
	}
	if err = v.server.Unseal(ctx); err != nil {
		return v, err
	}
	u, err := url.Parse(v.server.Address)
	if err != nil {
		return v, fmt.Errorf("find the address of Vault: %w", err)
	}
	if v.line, err = line.Open(ctx, u.Host); err != nil {
		return v, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	v.stop = stop
	v.work.Go(func() error { return v.line.Run(running) })
	return v, nil
}

// unpack writes the files of an administrator.
func (v *vaultSide) unpack() error {
	list, err := vaultfiles.Files.ReadDir(".")
	if err != nil {
		return fmt.Errorf("read the files that set up Vault: %w", err)
	}
	for _, f := range list {
		text, err := vaultfiles.Files.ReadFile(f.Name())
		if err == nil {
			err = os.WriteFile(filepath.Join(v.dir, f.Name()), text, 0o600)
		}
		if err != nil {
			return fmt.Errorf("write the files that set up Vault: %w", err)
		}
	}
	return nil
}

// vaultRole is the node's role at the demo's Vault.
const vaultRole = "demo"

// configure sets Vault up for the node of a configuration and adds what the node needs to know. Keys are replaced every two seconds, so
// that the outage falls among replacements; a plant does it once a day.
func (v *vaultSide) configure(ctx context.Context, file string, text []byte) ([]byte, error) {
	cfg, err := parseConfig(file, text)
	if err != nil {
		return nil, err
	}
	setup := func(args ...string) string {
		said, serr := v.server.Setup(ctx, v.dir, nil, args...)
		err = errors.Join(err, serr)
		return said
	}
	setup("plant", cfg.Plant.Number)
	id := strings.TrimPrefix(setup("node", vaultRole, cfg.nodeURI()), "role_id: ")
	wrapped := setup("secret-id", vaultRole)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(v.dir, "wrapped"), []byte(wrapped+"\n"), 0o600); err != nil {
		return nil, fmt.Errorf("keep the wrapped secret ID: %w", err)
	}
	if err := newPassphrase(cfg.beside(passphraseFile)); err != nil {
		return nil, err
	}
	return fmt.Appendf(text, `
audit: {every: 2s}

keys:                       # a Vault of the demo's own, behind a line that is cut during the outage
  kind: vault
  passphrase: file:%s
  renew: 2s
  vault: {address: "https://%s", ca: vault/ca.pem, role: %s, role_id: %s, wrapped_secret_id: vault/wrapped}
`, passphraseFile, v.line.Address(), vaultRole, id), nil
}

// cut parts plant and Vault.
func (v *vaultSide) cut() {
	if v != nil {
		v.mended = v.line.Cut()
	}
}

// mend joins them again.
func (v *vaultSide) mend() {
	if v != nil && v.mended != nil {
		v.mended()
		v.mended = nil
	}
}

// report waits for a key that Vault has given since the outage, and counts.
func (v *vaultSide) report(ctx context.Context, s *stage, r *demoReport, down, up time.Time) error {
	if v == nil {
		return nil
	}
	r.Keyring = keysVault
	list, err := s.messages(ctx)
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.Origin != nil && !d.Origin.At.Before(down) && d.Origin.At.Before(up) {
			r.Without++
		}
	}
	return until(ctx, 3*time.Minute, "Vault has certified a new key", func() (bool, error) {
		var all []seal.Archived
		err := s.plant.db.View(ctx, func(tx *store.Tx) (err error) {
			all, err = seal.Archive(ctx, tx)
			return err
		})
		r.Keys, r.After = 0, 0
		for _, a := range all {
			if !a.Made.Before(s.began) {
				r.Keys++
			}
			if !a.Made.Before(up) {
				r.After++
			}
		}
		return r.After > 0, err
	})
}

// keyringOK tells whether the plant signed while Vault was away, and has had a new key since.
func (r demoReport) keyringOK() bool {
	return r.Keyring == "" || r.Without > 0 && r.Without >= r.MadeWhileDown && r.After > 0
}

func (r demoReport) printKeyring(w io.Writer) {
	if r.Keyring != "" {
		fmt.Fprintf(w, "Vault was cut off as well: %s signed without it; of %s that it certified, %d came after the outage\n",
			count(r.Without, "message was", "messages were"), count(r.Keys, "key", "keys"), r.After)
	}
}

// close ends the line, then Vault.
func (v *vaultSide) close() error {
	if v == nil {
		return nil
	}
	var errs []error
	if v.stop != nil {
		v.stop()
		errs = append(errs, v.work.Wait())
	}
	if v.server != nil {
		errs = append(errs, v.server.Stop())
	}
	return errors.Join(errs...)
}
