package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// passphraseFile is where the configuration that init and demo write finds what opens the plant's keys.
const passphraseFile = "keys-passphrase"

// keysFlag says whether init and demo make a keyring.
func keysFlag(cmd *cobra.Command, kind *string) {
	cmd.Flags().StringVar(kind, "keys", keysLocal, "what messages are signed with: local, a keyring of the plant's own, or none")
}

func checkKeysFlag(kind string) error {
	if kind == keysLocal || kind == "none" {
		return nil
	}
	return &problem.Error{
		Kind: problem.Invalid, What: "make the plant's keys", Why: "--keys is neither local nor none",
		Hint: "leave it out for local; Vault is set up as docs/keys.md says",
	}
}

// makeKeys makes the keyring of a configuration that init or demo has written: a passphrase that nobody knows, and a CA. What is there stays.
func (c Config) makeKeys(ctx context.Context) error {
	if c.Keys.Kind != keysLocal {
		return nil
	}
	if err := newPassphrase(c.beside(passphraseFile)); err != nil {
		return err
	}
	safe, err := c.safe(ctx)
	if err != nil {
		return err
	}
	if err := seal.InitLocal(safe, c.Plant.Number, time.Now()); problem.KindOf(err) != problem.Conflict {
		return err
	}
	return nil
}

func newPassphrase(file string) error {
	b := make([]byte, 32)
	if _, err := rand.Read(b); err != nil {
		return fmt.Errorf("make a passphrase: %w", err)
	}
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err == nil {
		_, err = f.WriteString(base64.RawURLEncoding.EncodeToString(b) + "\n")
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		return &problem.Error{Kind: problem.Unavailable, What: "write " + file, Why: why(err), Hint: "choose a folder that this user may write to"}
	}
	return nil
}
