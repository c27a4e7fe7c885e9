package main

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
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

// refuseSecondCA is an error of kind Conflict where the database has what an earlier CA of the plant has vouched for or sealed: another CA opens and proves none of it.
func (c Config) refuseSecondCA(ctx context.Context) error {
	r, err := openRecords(ctx, c)
	if problem.KindOf(err) == problem.NotFound {
		return nil // there is no database yet
	}
	if err != nil {
		return err
	}
	defer func() { _ = r.db.Close() }()
	steps, err := r.db.Migrations(ctx)
	if err != nil || !slices.ContainsFunc(steps, func(s store.Migration) bool { return !s.Applied.IsZero() }) {
		return err
	}
	return r.db.View(ctx, func(tx *store.Tx) error {
		keys, err := seal.Archive(ctx, tx)
		if err != nil {
			return err
		}
		rest, err := seal.ReadRestState(ctx, tx)
		if err != nil || len(keys) == 0 && rest.Epochs == 0 {
			return err
		}
		return &problem.Error{
			Kind: problem.Conflict, What: "make the keys of plant " + c.Plant.Number, Why: fmt.Sprintf("%s has %s and %s of an earlier CA, and no other opens or proves them",
				r.db, count(int64(len(keys)), "key", "keys"), count(int64(rest.Epochs), "epoch", "epochs")),
			Hint: "put a copy of ca.age back into " + c.Keys.Folder,
		}
	})
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

// keysLast has a key's ID that begins with a hyphen, as one in 64 does, read as what it is and not as a flag: behind "--", at the end.
func keysLast(args []string) []string {
	if len(args) == 0 || args[0] != "keys" || slices.Contains(args, "--") {
		return args
	}
	for i, a := range args[1:] {
		if before := args[i]; keyWithHyphen.MatchString(a) && !strings.HasPrefix(before, "-") {
			return append(slices.Delete(slices.Clone(args), i+1, i+2), "--", a)
		}
	}
	return args
}

// keyWithHyphen is a SHA-256 in base64url that begins with a hyphen.
var keyWithHyphen = regexp.MustCompile(`^-[A-Za-z0-9_-]{42}$`)
