package backup

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Restored says what Restore has done.
type Restored struct {
	Manifest
	Place    string `json:"place"`
	Folder   string `json:"folder"`
	Signer   string `json:"signed_by,omitempty"`
	Anchor   bool   `json:"anchored,omitempty"` // Vault's anchor has signed the manifest too
	Doubtful int64  `json:"in_doubt"`           // messages that were owed: each is asked for before it is sent
	// Increments were restored with the copy, up to the moment Through.
	Increments int64     `json:"increments,omitempty"`
	Through    time.Time `json:"through"`
	Took       float64   `json:"seconds"`
	// WholeLanes were looked at and are whole. Broken, of kind Integrity, names those that are not, as the plant had them when it was copied; it is nil where all are,
	// and where nobody has looked (Trial.Lanes).
	WholeLanes int64 `json:"whole_lanes"`
	Broken     error `json:"-"`
	// Shut, of kind Integrity, says that what is sealed in the database does not open with the keyring that was copied with it (Trial.Seeds).
	Shut error `json:"-"`

	to reached // by the increments
}

// Restore unpacks a copy into a folder that has nothing, and makes its database: beside the other files, or at the URL of an empty
// PostgreSQL. A lane that is not whole does not stop it, which would leave no plant at all: it is in Broken. Nothing that was owed at the time of the copy is sent without asking for it first, and new messages begin a new epoch. It leaves
// nothing behind when it fails but the folder; where it is killed, what it leaves does not start. "" is the newest copy; Integrity if that is damaged, Conflict if one before it is of another database (Another): either is restored by its name alone.
func Restore(ctx context.Context, p Place, id, folder, url string, t Trial) (r Restored, err error) {
	began := time.Now()
	if err := empty(folder); err != nil {
		return Restored{}, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return Restored{}, fmt.Errorf("make the folder %s: %w", folder, err)
	}
	c, among, err := newest(ctx, p, id, t.Trust)
	if err = errors.Join(err, passedOver(c, among), Another(among), needsDatabase(c, url)); err != nil {
		return Restored{}, err
	}
	// Until the outbox knows that it was restored nothing of it lies where a start would find it.
	work := filepath.Join(folder, unsettled)
	ready := false
	defer func() { // what it has unpacked is the plant's in plain text
		if !ready {
			err = errors.Join(err, os.RemoveAll(work))
		}
	}()
	signed, err := unpack(ctx, p, c.ID, work, t)
	if err = errors.Join(err, c.named()); err != nil {
		return Restored{}, err
	}
	to, err := advance(ctx, p, c, work, t)
	if err == nil {
		err = t.reached(p, c.ID, to)
	}
	if err != nil {
		return Restored{}, err
	}
	part := filepath.Join(work, databasePart)
	if c.Dialect == string(store.SQLite) {
		file := filepath.Join(work, c.DatabaseFile())
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			return Restored{}, fmt.Errorf("make the folder of the database: %w", err)
		}
		url = "sqlite:" + file
	}
	if err := store.RestoreCopy(ctx, url, part); err != nil {
		return Restored{}, err
	}
	r = Restored{Manifest: c.Manifest, Place: p.String(), Folder: folder, Signer: signed.node, Anchor: signed.anchor, Increments: to.n, Through: to.through, to: to}
	if err = r.settleDown(ctx, url, p, t); err != nil {
		if c.Dialect == string(store.Postgres) {
			err = errors.Join(err, store.UndoRestore(context.WithoutCancel(ctx), url))
		}
		return r, err
	}
	ready = true
	err = errors.Join(os.Remove(part), moveUp(work, folder, c.DatabaseFile()))
	r.Took = time.Since(began).Seconds()
	return r, err
}

// needsDatabase refuses to restore a plant on PostgreSQL while nobody has said into which database: its own may still be in use.
func needsDatabase(c Copy, url string) error {
	if c.Dialect != string(store.Postgres) || url != "" {
		return nil
	}
	return &problem.Error{
		Kind: problem.Invalid, What: "restore backup " + c.ID, Why: "it is of a plant on PostgreSQL, and nothing says into which database",
		Hint: "make an empty one (createdb NAME), and name it: --database env:NAME or file:PATH, where its URL is",
	}
}

// empty refuses a folder that has something, and says what a restore has left there that was killed.
func empty(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil || len(entries) == 0 {
		return nil //nolint:nilerr // it is made, which tells what is wrong
	}
	why, hint := "something is in it", "name a new folder"
	if len(entries) == 1 && entries[0].Name() == unsettled {
		why, hint = "a restore that did not end has left its files there, in plain text", "if none is at work, remove "+filepath.Join(folder, unsettled)+", and restore again"
	}
	return &problem.Error{Kind: problem.Conflict, What: "restore into " + folder, Why: why, Hint: hint}
}

// What a plant is restored into before it may be started, and its database on SQLite where its copy does not say.
const (
	unsettled  = ".restoring"
	sqliteFile = "holdfast.db"
)

// moveUp puts what was restored where it belongs, the database first: without it a configuration would begin a new plant.
func moveUp(work, folder, database string) error {
	entries, err := os.ReadDir(work)
	if err != nil {
		return fmt.Errorf("put what was restored in its place: %w", err)
	}
	first, _, _ := strings.Cut(filepath.ToSlash(database), "/")
	slices.SortStableFunc(entries, func(a, b os.DirEntry) int {
		isDatabase := func(e os.DirEntry) int {
			if strings.HasPrefix(e.Name(), first) {
				return 0
			}
			return 1
		}
		return isDatabase(a) - isDatabase(b)
	})
	for _, e := range entries {
		if err := os.Rename(filepath.Join(work, e.Name()), filepath.Join(folder, e.Name())); err != nil {
			return fmt.Errorf("put what was restored in its place: %w", err)
		}
	}
	return os.Remove(work)
}

// settleDown compares the database with the manifest, which brings it up to date, checks who has signed that, looks at the lanes, and tells the outbox
// that it was restored.
func (r *Restored) settleDown(ctx context.Context, url string, p Place, t Trial) (err error) {
	db, err := store.Open(ctx, url, store.Config{NoMigrate: true, Restoring: true})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if t.Keys != nil {
		t.Keys(db)
	}
	if err := r.compare(ctx, db, t.origin(r.Manifest), r.to); err != nil {
		return err
	}
	by, err := r.checkSigner(ctx, db, p, t)
	if err != nil {
		return err
	}
	if err := errors.Join(r.lookAtLanes(ctx, db, by, t), r.lookAtSeeds(ctx, db, t)); err != nil {
		return err
	}
	after, err := json.Marshal(map[string]any{"made": r.Made, "through": r.Through, "place": r.Place})
	if err != nil {
		return fmt.Errorf("record a restore: %w", err)
	}
	return db.InTx(ctx, func(tx *store.Tx) (err error) {
		if r.Doubtful, err = outbox.New(nil, "", outbox.Config{}).Restored(ctx, tx); err != nil {
			return err
		}
		if err := tx.EndRestore(ctx); err != nil {
			return err
		}
		if t.Settle != nil {
			if err := t.Settle(ctx, tx); err != nil {
				return err
			}
		}
		return audit.AppendOrTell(ctx, tx, audit.Entry{Actor: cmp.Or(t.Actor, "unknown"), Action: "backup.restore", Object: "backup/" + r.ID, After: after})
	})
}

// lookAtLanes says which lanes are whole, before anything is changed in them.
func (r *Restored) lookAtLanes(ctx context.Context, db *store.DB, by Trust, t Trial) (err error) {
	if t.Lanes == nil {
		return nil
	}
	if r.WholeLanes, err = t.Lanes(ctx, db, by); problem.KindOf(err) == problem.Integrity {
		r.Broken, err = err, nil
	}
	return err
}

// lookAtSeeds says whether what is sealed can be read by who has the copy alone.
func (r *Restored) lookAtSeeds(ctx context.Context, db *store.DB, t Trial) error {
	if t.Seeds == nil {
		return nil
	}
	err := t.Seeds(ctx, db, filepath.Join(r.Folder, unsettled), r.Manifest)
	if problem.KindOf(err) == problem.Integrity {
		r.Shut, err = err, nil
	}
	return err
}

// checkSigner holds the signature against the archive of keys that was restored, of which each is certified by the plant's own CA. It returns whose
// signatures count; nil if nobody knows.
func (r *Restored) checkSigner(ctx context.Context, db *store.DB, p Place, t Trial) (Trust, error) {
	if t.TrustBy == nil {
		return t.Trust, nil
	}
	by, err := t.TrustBy(ctx, db)
	if err != nil || by == nil {
		return nil, err
	}
	s, err := readSealed(ctx, p, r.ID)
	if err != nil {
		return nil, err
	}
	if r.Signer, err = s.Signer(by); err != nil {
		return nil, misSigned(r.ID, p, changed(r.ID+sealedSuffix, err))
	}
	if r.Signer == "" {
		return nil, damaged("restore backup "+r.ID, "its manifest is not signed")
	}
	if r.Increments > 0 {
		return by, r.to.last.believed(by, ForIncrement, r.ID)
	}
	return by, nil
}
