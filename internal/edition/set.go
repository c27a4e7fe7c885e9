package edition

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"holdfast/internal/store"
)

// Folders of a set: the mappings that the program ships, and the plant's own.
const (
	shipped = "shipped"
	own     = "own"
)

// Whole is everything that a node maps by: what its program ships, and the plant's own edition, without the examples. What was sent by it can
// be mapped again by another node, and by another release of the program.
func Whole(library fs.FS, plant Edition) (Edition, error) {
	e, err := Read(library)
	if err != nil {
		return Edition{}, err
	}
	var all []file
	for folder, part := range map[string]Edition{shipped: e, own: plant} {
		files, err := part.list()
		if err != nil {
			return Edition{}, err
		}
		for _, f := range files {
			if !strings.HasSuffix(f.name, ".example.yaml") {
				all = append(all, file{folder + "/" + f.name, f.text})
			}
		}
	}
	return pack(all)
}

// Folders are those of a Whole, as they were given: what a program shipped, and the plant's own.
func (e Edition) Folders() ([]fs.FS, error) {
	all, err := e.FS()
	if err != nil {
		return nil, err
	}
	first, err := fs.Sub(all, shipped)
	second, errOwn := fs.Sub(all, own)
	return []fs.FS{first, second}, errors.Join(err, errOwn)
}

// KeepSet keeps a Whole under Short of its hash, with the versions of its mappings, until PurgeSets finds that nobody has named it for long.
func KeepSet(ctx context.Context, tx *store.Tx, whole Edition, versions []string) error {
	name := Short(whole.Hash)
	if _, err := tx.Exec(ctx, insertSet, name, whole.Hash, whole.files, strings.Join(versions, "\n")+"\n", store.Micros(tx.Now)); err != nil {
		return fmt.Errorf("keep the set of mappings %s: %w", name, err)
	}
	return nil
}

// LoadSet reads the Whole of a name, or the last that had a version of a mapping; ok is false if none is kept.
func LoadSet(ctx context.Context, tx *store.Tx, by string) (whole Edition, ok bool, err error) {
	var rows []struct {
		Hash, Mappings string
		Files          []byte
	}
	if strings.Contains(by, "@") {
		err = tx.Select(ctx, &rows, selectSetOf, "\n", "\n"+strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(by)+"\n")
	} else {
		err = tx.Select(ctx, &rows, selectSet, by)
	}
	if err != nil {
		return Edition{}, false, fmt.Errorf("read the mappings of %s: %w", by, err)
	}
	for _, r := range rows {
		if strings.Contains(by, "@") && !slices.Contains(strings.Split(r.Mappings, "\n"), by) {
			continue
		}
		whole, err = unpack(r.Hash, r.Files)
		return whole, err == nil, err
	}
	return Edition{}, false, nil
}

// afterwards is how much longer than a message a set is kept that nobody names: more than any transaction lasts that is about to name it, or
// than a node is likely to be stopped in the middle of one.
const afterwards = 30 * 24 * time.Hour

// PurgeSets notes that each set of names, or the last that had a version of a mapping which names has, is in use, and deletes those of which
// that was last noted longer ago than settled messages are kept (keep), and 30 days more. It says how many it deleted.
//
// Names are those that what is owed may have been sent by, and that of the set by which the caller maps. Every node calls it much more often
// than it deletes, so what another node maps by, or is about to name, was noted lately.
func PurgeSets(ctx context.Context, tx *store.Tx, names []string, keep time.Duration) (int64, error) {
	var rows []struct{ Name, Mappings string }
	if err := tx.Select(ctx, &rows, selectSets); err != nil {
		return 0, fmt.Errorf("read which sets of mappings are kept: %w", err)
	}
	for _, by := range names {
		for _, r := range rows {
			if r.Name == by || strings.Contains(by, "@") && slices.Contains(strings.Split(r.Mappings, "\n"), by) {
				if _, err := tx.Exec(ctx, touchSet, store.Micros(tx.Now), r.Name); err != nil {
					return 0, fmt.Errorf("note that the set of mappings %s is in use: %w", r.Name, err)
				}
				break
			}
		}
	}
	gone, err := tx.Exec(ctx, deleteSets, store.Micros(tx.Now.Add(-keep-afterwards)))
	if err != nil {
		return 0, fmt.Errorf("purge sets of mappings: %w", err)
	}
	return gone, nil
}
