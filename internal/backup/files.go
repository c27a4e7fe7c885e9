package backup

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// change is what has become of the plant's files beside its database since an increment, or the copy, before. In the body of an increment it stands behind the order of
// pieces: the length of its JSON, that, and the parts as they are, in its order. Where nothing has changed nothing stands there.
type change struct {
	Parts []Part   `json:"parts,omitempty"` // new ones, and those of another content
	Gone  []string `json:"gone,omitempty"`

	at map[string]string // the files of the parts, by name
}

// none tells that nothing has changed.
func (c change) none() bool { return len(c.Parts) == 0 && len(c.Gone) == 0 }

// after is what a plant has, by SHA-256, that had before.
func (c change) after(before map[string]string) map[string]string {
	has := maps.Clone(before)
	for _, name := range c.Gone {
		delete(has, name)
	}
	for _, p := range c.Parts {
		has[p.Name] = p.SHA256
	}
	return has
}

// filesOf are the SHA-256 of parts by name, without that of the database.
func filesOf(parts []Part) map[string]string {
	has := map[string]string{}
	for _, p := range parts {
		if p.Name != databasePart {
			has[p.Name] = p.SHA256
		}
	}
	return has
}

// changed compares the plant's files with what it had. A folder that is away, or has nothing, is one whose disk is not mounted: what it had stays.
func (s Source) changed(before map[string]string) (c change, err error) {
	roots := maps.Clone(s.Files)
	for _, name := range s.Once {
		delete(roots, name)
	}
	c.at = map[string]string{}
	var there []string // roots that have something
	for _, root := range sortedKeys(roots) {
		some := len(c.at)
		if err := eachFile(map[string]string{root: roots[root]}, func(name, path string) error {
			c.at[name] = path
			return nil
		}); err != nil {
			return c, err
		}
		if len(c.at) > some {
			there = append(there, root)
		}
	}
	now, err := describe(c.at)
	if err != nil {
		return c, err
	}
	for _, p := range now {
		if before[p.Name] != p.SHA256 {
			c.Parts = append(c.Parts, p)
		}
	}
	for _, name := range sortedKeys(before) {
		if _, still := c.at[name]; !still && slices.ContainsFunc(there, func(root string) bool { return strings.HasPrefix(name, root+"/") }) {
			c.Gone = append(c.Gone, name)
		}
	}
	return c, nil
}

// write gives what stands in a body, and its length.
func (c change) write(to io.Writer) (n int64, err error) {
	if c.none() {
		return 0, nil
	}
	text, err := json.Marshal(c)
	if err != nil {
		return 0, fmt.Errorf("tell what has changed of the files: %w", err)
	}
	w := &counting{to: to, sum: sha256.New()}
	if _, err := w.Write(append(binary.AppendUvarint(nil, uint64(len(text))), text...)); err != nil {
		return 0, err
	}
	for _, p := range c.Parts {
		if err := copyPart(w, c.at[p.Name], p); err != nil {
			return 0, err
		}
	}
	return w.n, nil
}

// copied is where the content of a file lies in the spool.
type copied struct {
	from int64
	Part
}

// errFiles is a change of files that no plant has written.
var errFiles = errors.New("what it says of the plant's files is nothing that was written")

// readFiles remembers what an increment says of the plant's files, behind what was read of it; end is where its body ends in the spool.
func (r *replay) readFiles(o *offset, end int64) error {
	if o.n == end {
		return nil
	}
	size, err := binary.ReadUvarint(o)
	if err != nil || size > mostJSON {
		return cmp.Or(err, errFiles)
	}
	text := make([]byte, size)
	if _, err := io.ReadFull(o.r, text); err != nil {
		return err
	}
	o.n += int64(size)
	var c change
	if err := json.Unmarshal(text, &c); err != nil {
		return errFiles
	}
	if r.plant == nil {
		r.plant = map[string]*copied{}
	}
	for _, name := range c.Gone {
		if !filepath.IsLocal(name) || Reserved(name) {
			return errFiles
		}
		r.plant[name] = nil
	}
	at := o.n
	for _, p := range c.Parts {
		if !filepath.IsLocal(p.Name) || Reserved(p.Name) || p.Size < 0 || p.Size > end-at {
			return errFiles
		}
		r.plant[p.Name] = &copied{at, p}
		at += p.Size
	}
	if at != end {
		return errFiles
	}
	return nil
}

// writeFiles has the plant's files be as the last increment has them. What is no more goes first, what is in a folder before the folder: where one was, there
// may be a file of its name now.
func (r *replay) writeFiles() error {
	names := sortedKeys(r.plant)
	for _, name := range slices.Backward(names) {
		if r.plant[name] == nil {
			if err := r.removeFile(name); err != nil {
				return err
			}
		}
	}
	for _, name := range names {
		of := r.plant[name]
		if of == nil {
			continue
		}
		if err := r.removeFile(name); err != nil {
			return err
		}
		if err := r.writeFile(r.placeOf(name), of); err != nil {
			return fmt.Errorf("write %s as the increments have it: %w", name, err)
		}
	}
	return nil
}

func (r *replay) placeOf(name string) string {
	return filepath.Join(r.folder, filepath.FromSlash(name))
}

func (r *replay) removeFile(name string) error {
	if err := os.Remove(r.placeOf(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove what is no more as it was copied: %w", err)
	}
	return nil
}

func (r *replay) writeFile(path string, of *copied) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), io.NewSectionReader(r.spool, of.from, of.Size))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if hex.EncodeToString(sum.Sum(nil)) != of.SHA256 {
		return damaged("write "+of.Name, "it is not what was copied")
	}
	return nil
}
