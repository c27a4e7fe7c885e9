package edition

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

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

// KeepSet keeps a Whole under Short of its hash, with the versions of its mappings, for as long as the database.
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
