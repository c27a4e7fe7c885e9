package main

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// seedsIn is backup.Trial.Seeds: the keyring is the one that lies in the folder, not the plant's own, since whoever restores may have no other. At Vault a plant has no
// keyring in its copies: Vault is asked, by the plant's own login, and where there is none nobody is.
func (c Config) seedsIn(ctx context.Context, restored *store.DB, folder string, m backup.Manifest) error {
	copied, err := loadConfig(filepath.Join(folder, m.ConfigFile()))
	if err != nil {
		return err
	}
	with := copied
	switch {
	case copied.Keys.Kind == keysLocal:
		for _, name := range namesOf(copied.backupFiles(), copied.Keys.Folder) { // one that lies elsewhere is there under another name
			with.Keys.Folder = filepath.Join(folder, filepath.FromSlash(name))
		}
	case c.Keys.Kind == keysVault:
		with = c
	default:
		return nil
	}
	w, err := lazyKeys{with}.open(ctx)
	if err != nil {
		return err
	}
	err = restored.View(ctx, func(tx *store.Tx) error { return seal.OpensSeeds(ctx, tx, w) })
	if k := problem.KindOf(err); with.Keys.Kind == keysVault || k != problem.Denied && k != problem.NotFound && k != problem.Unavailable {
		return err
	}
	return &problem.Error{
		Kind: problem.Integrity, What: "open what is sealed in backup " + m.ID, Why: "the keyring that was copied with it does not: " + err.Error(),
		Hint: "put ca.age of the time of the copy, or a later one, into the keys' folder of what is restored; take another copy now, and prove it: holdfast backup create",
	}
}

// warnOfSeeds has what keeps the seeds from being looked at keep nobody from a plant.
func warnOfSeeds(w io.Writer, look func(ctx context.Context, restored *store.DB, folder string, m backup.Manifest) error) func(ctx context.Context, restored *store.DB, folder string, m backup.Manifest) error {
	return func(ctx context.Context, restored *store.DB, folder string, m backup.Manifest) error {
		err := look(ctx, restored, folder, m)
		if err == nil || problem.KindOf(err) == problem.Integrity || ctx.Err() != nil {
			return err
		}
		fmt.Fprintf(w, "holdfast: WARNING: nobody knows yet whether what is sealed in it can be read: %v\n", err)
		return nil
	}
}
