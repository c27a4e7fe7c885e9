package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// refuseBeginning refuses an empty database where a plant has left what it leaves beside its own: that one is gone, and an empty plant in its place would be
// copied over what could bring it back. The error is of kind Conflict. A place of backups that cannot be reached stops no first start, and is told in log.
func (c Config) refuseBeginning(ctx context.Context, log *slog.Logger) error {
	name, err := c.unbegun(ctx)
	if err != nil || name == "" {
		return err
	}
	left, unread := c.leftBehind(ctx)
	if unread != nil {
		log.WarnContext(ctx, "whether there are copies of this plant is not known of every place: the database is empty, and is begun anew unless another place has some", "part", "backup", "err", unread)
	}
	return c.databaseGone(name, left)
}

// databaseGone is nil where nothing is left of another.
func (c Config) databaseGone(name string, left []string) error {
	if len(left) == 0 {
		return nil
	}
	return &problem.Error{
		Kind: problem.Conflict, What: "begin the empty database " + name, Why: "this plant has had one, which is gone or elsewhere; there is still " + strings.Join(left, ", and "),
		Hint: "bring the plant back: holdfast backup restore FOLDER --config " + c.file + "; where it has its database elsewhere, correct database.url; to begin a new plant without what it had: holdfast migrate up --new-plant --config " + c.file,
	}
}

// unbegun is the name of the plant's database if that is empty, or is SQLite's and not there; "" if it is begun. Looking makes nothing.
func (c Config) unbegun(ctx context.Context) (name string, err error) {
	url, err := c.databaseURL(ctx)
	if err != nil {
		return "", err
	}
	if path, ok := strings.CutPrefix(url, "sqlite:"); ok {
		if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
			return path, nil
		}
	}
	db, err := openDatabase(ctx, c, store.Config{NoMigrate: true})
	if err != nil {
		return "", err
	}
	at, err := db.Begun(ctx)
	if at.IsZero() {
		name = db.String()
	}
	return name, errors.Join(err, db.Close())
}

// leftBehind says what there is that only a plant with a database makes: checkpoints of its audit record, the log of its backups, copies. unread
// is why some places could not be looked at.
func (c Config) leftBehind(ctx context.Context) (left []string, unread error) {
	if c.Audit.Checkpoints != "" {
		kept, _, err := audit.ReadCopies(c.Audit.Checkpoints)
		if problem.KindOf(err) != problem.NotFound {
			unread = err
		}
		for i := len(kept) - 1; i >= 0; i-- {
			if kept[i].Origin == c.auditOrigin() {
				left = append(left, fmt.Sprintf("a checkpoint of its audit record with %s in %s", count(kept[i].Size, "entry", "entries"), c.Audit.Checkpoints))
				break
			}
		}
	}
	if c.Backup == nil {
		return left, unread
	}
	if base := backup.Followed(filepath.Join(c.backupWork(), backupLog)); base != "" {
		left = append(left, "the log that follows its backup "+base)
	}
	places, err := c.backupPlaces(ctx)
	unread = errors.Join(unread, err)
	for _, p := range places {
		has, err := c.newestIn(ctx, p)
		if has != "" {
			left = append(left, "its backup "+has+" in "+p.String())
		}
		unread = errors.Join(unread, err)
	}
	return left, unread
}

// newestIn is the newest copy of this plant in a place, whoever has signed it: whose keys count is in the database. "" if there is none.
func (c Config) newestIn(ctx context.Context, p backup.Place) (id string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	all, err := backup.List(ctx, p, nil)
	for _, copied := range all {
		if copied.Plant == c.Plant.Source {
			return copied.ID, nil
		}
	}
	return "", err
}
