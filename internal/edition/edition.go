// Package edition keeps the editions of a plant's mappings, in the plant's database, so that every node maps by the same one.
//
// An edition is all files of a folder of mappings as they were at one time: mappings, tables, fragments, units and examples. It is named by
// the hash of their names and texts.
//
// # Guarantees
//
//   - Until an edition is published, each node takes its own folder. From then on all nodes take the one that was published last, and the
//     folder is only where the next one is written.
//   - Where policy asks for four eyes, an edition is used only after somebody else than its author has approved it. Who that was stands
//     beside it, so that each node can look for itself.
//   - What was done is kept in order, and nothing of it changes: going back takes the edition that was used before, approval and all.
//   - An edition whose files are not what its name says is never given out.
//   - Each set of mappings that a node has mapped by stays readable for as long as anything may have been sent by it that is owed or can be
//     replayed, so that it is asked for as it was sent.
//   - Of what is tried beside the edition in use, places where documents differ are kept, and no value of a message.
//
// The package owns the tables mapping_editions, mapping_steps, mapping_state, mapping_nodes, mapping_sets, mapping_trials and
// mapping_trial_messages.
package edition

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"holdfast/internal/problem"
)

// Topic is woken when another edition is to be used, or tried.
const Topic = "mappings"

// maxSize bounds the files of one edition, in bytes.
const maxSize = 32 << 20

// Edition is the files of a folder of mappings.
type Edition struct {
	Hash  string // SHA-256, hexadecimal
	files []byte // zip
	count int
}

// file is one of them.
type file struct {
	name string
	text []byte
}

// Read takes the files of a folder that mappings are made of: those in YAML and CSV, and those in .yml, which the mappings refuse by name. What
// begins with a dot is passed over, as the mappings do. A folder that is not there is an empty edition.
func Read(folder fs.FS) (Edition, error) {
	var all []file
	size := 0
	err := fs.WalkDir(folder, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == ".":
			return nil
		case err != nil:
			return err
		case name != "." && d.IsDir() && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case d.IsDir() || !Takes(name):
			return nil
		}
		text, err := fs.ReadFile(folder, name)
		if err != nil {
			return err
		}
		if size += len(text); size > maxSize {
			return tooLarge()
		}
		all = append(all, file{name, text})
		return nil
	})
	if err != nil {
		return Edition{}, unread(err)
	}
	return pack(all)
}

// Takes tells whether Read reads the file of a name that is no folder.
func Takes(name string) bool {
	return !strings.HasPrefix(path.Base(name), ".") && slices.Contains([]string{".yaml", ".yml", ".csv"}, path.Ext(name))
}

// unread says why a folder cannot be read. That may change without a change of the folder.
func unread(err error) error {
	if problem.KindOf(err) != problem.Internal {
		return err
	}
	return &problem.Error{
		Kind: problem.Unavailable, What: "read the folder of mappings", Why: "a file or folder in it cannot be read",
		Hint: "let the account that runs Holdfast read the file, or take it out of the folder; a link has to lead to a file", Cause: err,
	}
}

// None is the edition without a file.
func None() (Edition, error) { return pack(nil) }

// pack makes an edition of files, whatever their order.
func pack(all []file) (Edition, error) {
	slices.SortFunc(all, func(a, b file) int { return strings.Compare(a.name, b.name) })
	sum := sha256.New()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, f := range all {
		fmt.Fprintf(sum, "%d %s %d ", len(f.name), f.name, len(f.text))
		sum.Write(f.text)
		w, err := z.Create(f.name)
		if err == nil {
			_, err = w.Write(f.text)
		}
		if err != nil {
			return Edition{}, fmt.Errorf("pack %s: %w", f.name, err)
		}
	}
	if err := z.Close(); err != nil {
		return Edition{}, fmt.Errorf("pack an edition: %w", err)
	}
	return Edition{hex.EncodeToString(sum.Sum(nil)), out.Bytes(), len(all)}, nil
}

// unpack reads what is kept, and holds it against its name.
func unpack(hash string, files []byte) (Edition, error) {
	all, err := Edition{Hash: hash, files: files, count: 1}.list()
	if err != nil {
		return Edition{}, err
	}
	e, err := pack(all)
	if err == nil && e.Hash != hash {
		err = errors.New("its files have the hash " + e.Hash)
	}
	if err != nil {
		return Edition{}, spoilt(hash, err)
	}
	return e, nil
}

func readFile(f *zip.File, most int64) (text []byte, err error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return io.ReadAll(io.LimitReader(r, most+1))
}

func spoilt(hash string, err error) error {
	return &problem.Error{
		Kind: problem.Integrity, What: "read edition " + Short(hash) + " of the mappings", Why: "it is not what was published: " + err.Error(),
		Hint: "publish the mappings again from their folder, and find out who has changed the database", Cause: err,
	}
}

// FS is the edition as a folder.
func (e Edition) FS() (fs.FS, error) {
	return zip.NewReader(bytes.NewReader(e.files), int64(len(e.files)))
}

// Empty tells whether it has no file, so that only the mappings are used that Holdfast ships.
func (e Edition) Empty() bool { return e.count == 0 }

// Short is how an edition is named in what a person reads: the first letters of its hash.
func Short(hash string) string { return hash[:min(12, len(hash))] }

// With is the edition with one file more, or with another text under a name that it has.
func (e Edition) With(name string, text []byte) (Edition, error) {
	all, err := e.list()
	if err != nil {
		return Edition{}, err
	}
	all = append(slices.DeleteFunc(all, func(f file) bool { return f.name == name }), file{name, text})
	size := 0
	for _, f := range all {
		if size += len(f.text); size > maxSize {
			return Edition{}, tooLarge()
		}
	}
	return pack(all)
}

// Texts are its files by their names.
func (e Edition) Texts() (map[string]string, error) {
	all, err := e.list()
	out := make(map[string]string, len(all))
	for _, f := range all {
		out[f.name] = string(f.text)
	}
	return out, err
}

// list unpacks its files.
func (e Edition) list() ([]file, error) {
	if e.count == 0 {
		return nil, nil
	}
	z, err := zip.NewReader(bytes.NewReader(e.files), int64(len(e.files)))
	if err != nil {
		return nil, spoilt(e.Hash, err)
	}
	var all []file
	left := int64(maxSize)
	for _, f := range z.File {
		text, err := readFile(f, left)
		if left -= int64(len(text)); err == nil && left < 0 {
			err = errors.New("it is larger than any that was published")
		}
		if err != nil {
			return nil, spoilt(e.Hash, err)
		}
		all = append(all, file{f.Name, text})
	}
	return all, nil
}

func tooLarge() error {
	return &problem.Error{
		Kind: problem.TooLarge, What: "read the folder of mappings", Why: fmt.Sprintf("its files have more than %d MiB", maxSize>>20),
		Hint: "keep only mappings, tables and examples in it",
	}
}
