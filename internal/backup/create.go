package backup

import (
	"archive/tar"
	"bufio"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Source is the plant that is copied.
type Source struct {
	DB      *store.DB
	Origin  string // of the audit record's checkpoints, see audit.Origin
	Plant   string // its CloudEvents source
	Node    string
	Program string
	Config  string // as of Manifest
	File    string // Manifest.Database
	// Files are what is copied besides the database: names in the copy, and files or folders of this machine. What is not there is left out.
	Files map[string]string
	// Once are names in Files that a copy has and increments do not: what the database tells as well, and must not be told of a later moment than the database's.
	Once []string
	// Work is a folder in which the copy is put together before it is encrypted; what is in it goes away with Create.
	Work string
}

// Options of Create.
type Options struct {
	Places     []Place
	Recipients []Recipient
	Signer     Signer // nil: the manifest is not signed
	// Anchor has Vault's anchor sign the digest of the manifest, or of the increment, too, and gives its line; "" where it cannot. nil: there is none.
	Anchor   func(ctx context.Context, digest []byte) string
	Progress func(done, of int64)     // bytes of the archive that were written to places; may be nil
	Written  func(place string) error // what is called when a place has the whole copy; may be nil
	Log      *Log                     // begins anew with this copy; nil: no increments follow it
}

// The name of the database's part.
const databasePart = "database"

// Create copies the plant while it works, and writes the copy to every place. A place that fails does not keep it from the others; the error
// then tells of all that failed, and the manifest is given nevertheless if one place has it.
func Create(ctx context.Context, src Source, o Options) (m Manifest, err error) {
	work, leave, err := workFolder(src.Work, "backup-")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	begin := newKnown()
	if m, err = src.copy(ctx, work, begin.know); err != nil {
		return m, err
	}
	archive := filepath.Join(work, "archive")
	size, sum, err := pack(archive, m, src.parts(work), o.Recipients)
	if err != nil {
		return m, err
	}
	sealed, err := m.seal(o.Signer, size, sum)
	if err != nil {
		return m, err
	}
	if o.Anchor != nil {
		digest := sha256.Sum256(sealed.Manifest)
		sealed.Anchor = o.Anchor(ctx, digest[:])
	}
	wrote, err := o.write(ctx, m.ID, archive, sealed)
	if o.Log != nil && wrote > 0 {
		err = errors.Join(err, o.Log.begin(begin, sealed, m))
	}
	return m, err
}

// copy takes the database and says what it holds.
func (s Source) copy(ctx context.Context, work string, know func(piece []byte) error) (Manifest, error) {
	now := s.DB.Now().UTC()
	var tail [3]byte
	if _, err := rand.Read(tail[:]); err != nil {
		return Manifest{}, fmt.Errorf("name a backup: %w", err)
	}
	m := Manifest{
		ID: now.Format(idTime) + "-" + hex.EncodeToString(tail[:]), Plant: s.Plant, Node: s.Node, Program: s.Program,
		Made: now.Truncate(time.Microsecond), Dialect: string(s.DB.Dialect()), Config: s.Config, Database: s.File,
	}
	steps, err := s.DB.Migrations(ctx)
	if err != nil {
		return m, err
	}
	for _, step := range steps {
		if !step.Applied.IsZero() {
			m.Schema = step.Name
		}
	}
	if m.Page, err = s.DB.PageSize(ctx); err != nil {
		return m, err
	}
	if err := s.database(ctx, filepath.Join(work, databasePart), &m, know); err != nil {
		return m, err
	}
	m.Parts, err = describe(s.parts(work))
	return m, err
}

// database writes the database's part, and into the manifest what the database said of itself at that moment. know is called with each piece of it.
func (s Source) database(ctx context.Context, file string, m *Manifest, know func(piece []byte) error) (err error) {
	f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write the copy: %w", err)
	}
	to := bufio.NewWriterSize(f, 1<<20)
	cut := newCutter(m.Page, know)
	err = s.DB.Copy(ctx, io.MultiWriter(to, cut), func(tx *store.Tx) (err error) {
		if m.Begun, err = tx.Begun(ctx); err != nil {
			return err
		}
		if m.Tables, err = tx.Counts(ctx); err == nil {
			m.State, err = stateOf(ctx, tx, s.Origin)
		}
		return err
	})
	return errors.Join(err, cut.end(), to.Flush(), f.Close())
}

// stateOf asks a database for what a manifest says of it.
func stateOf(ctx context.Context, tx *store.Tx, origin string) (State, error) {
	r, err := audit.Verify(ctx, tx, origin, nil, nil)
	if err == nil {
		err = r.Err()
	}
	if err != nil {
		return State{}, err
	}
	out := outbox.New(nil, "", outbox.Config{})
	heads, err := out.Moved(ctx, tx, time.Time{})
	if err != nil {
		return State{}, err
	}
	owed, err := out.Owed(ctx, tx)
	return State{Entries: r.Entries, Root: r.Root, Lanes: int64(len(heads)), Heads: digestOf(heads), Owed: owed}, err
}

func digestOf(heads []audit.Head) string {
	h := sha256.New()
	for _, l := range heads {
		fmt.Fprintf(h, "%q %q %d %d %s\n", l.Link, l.Lane, l.Epoch, l.Number, l.Digest)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// parts are the files of a copy by their names in it.
func (s Source) parts(work string) map[string]string {
	all := map[string]string{databasePart: filepath.Join(work, databasePart)}
	for name, path := range s.Files {
		all[name] = path
	}
	return all
}

// eachFile calls fn for each file of the parts, in the order of their names.
func eachFile(parts map[string]string, fn func(name, path string) error) error {
	for _, name := range sortedKeys(parts) {
		root := parts[name]
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) && path == root {
				return fs.SkipAll
			}
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return fmt.Errorf("name a part: %w", err)
			}
			if rel == "." {
				return fn(name, path)
			}
			return fn(name+"/"+filepath.ToSlash(rel), path)
		})
		if err != nil {
			return fmt.Errorf("read %s for the backup: %w", root, err)
		}
	}
	return nil
}

func describe(parts map[string]string) ([]Part, error) {
	var all []Part
	err := eachFile(parts, func(name, path string) error {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		h := sha256.New()
		n, err := io.Copy(h, f)
		all = append(all, Part{name, n, hex.EncodeToString(h.Sum(nil))})
		return err
	})
	return all, err
}

// pack writes the archive: a tar of the manifest and the parts, compressed, then encrypted.
func pack(file string, m Manifest, parts map[string]string, to []Recipient) (size int64, sum string, err error) {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return 0, "", fmt.Errorf("write the archive: %w", err)
	}
	counted := &counting{to: out, sum: sha256.New()}
	locked, err := age.Encrypt(counted, to...)
	if err != nil {
		return 0, "", errors.Join(fmt.Errorf("encrypt the archive: %w", err), out.Close())
	}
	packed, err := zstd.NewWriter(locked)
	if err != nil {
		return 0, "", errors.Join(fmt.Errorf("compress the archive: %w", err), out.Close())
	}
	err = writeTar(packed, m, parts)
	if err = errors.Join(err, packed.Close(), locked.Close(), out.Close()); err != nil {
		return 0, "", fmt.Errorf("write the archive: %w", err)
	}
	return counted.n, hex.EncodeToString(counted.sum.Sum(nil)), nil
}

func writeTar(to io.Writer, m Manifest, parts map[string]string) error {
	w := tar.NewWriter(to)
	text, err := json.Marshal(m)
	if err != nil {
		return err
	}
	head := func(name string, size int64) error {
		return w.WriteHeader(&tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: m.Made, Format: tar.FormatPAX})
	}
	if err := head("manifest.json", int64(len(text))); err != nil {
		return err
	}
	if _, err := w.Write(text); err != nil {
		return err
	}
	n := 0
	err = eachFile(parts, func(name, path string) error {
		if n >= len(m.Parts) || m.Parts[n].Name != name {
			return &problem.Error{Kind: problem.Conflict, What: "copy " + path, Why: "files came or went while the backup was made", Hint: "make another"}
		}
		if err := head(name, m.Parts[n].Size); err != nil {
			return err
		}
		err := copyPart(w, path, m.Parts[n])
		n++
		return err
	})
	return errors.Join(err, w.Close())
}

// copyPart refuses a file that has changed since it was described.
func copyPart(w io.Writer, path string, p Part) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(io.MultiWriter(w, h), io.LimitReader(f, p.Size))
	if err == nil && (n != p.Size || hex.EncodeToString(h.Sum(nil)) != p.SHA256) {
		err = &problem.Error{Kind: problem.Conflict, What: "copy " + path, Why: "it was changed while the backup was made", Hint: "make another"}
	}
	return err
}

// counting counts and digests what passes.
type counting struct {
	to  io.Writer
	n   int64
	sum hash.Hash
}

// Write is io.Writer.
func (c *counting) Write(b []byte) (int, error) {
	n, err := c.to.Write(b)
	c.n += int64(n)
	c.sum.Write(b[:n])
	return n, err
}

// write puts a copy into every place and reads it back. What stands beside an archive comes last: without it the archive is none.
func (o Options) write(ctx context.Context, id, archive string, s Sealed) (wrote int, err error) {
	var errs []error
	of := s.Size * int64(len(o.Places))
	for i, p := range o.Places {
		err := o.writeTo(ctx, p, id, archive, s, int64(i)*s.Size, of)
		if err == nil && o.Written != nil {
			err = o.Written(p.String())
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("write backup %s to %s: %w", id, p, err))
			continue
		}
		wrote++
	}
	return wrote, errors.Join(errs...)
}

func (o Options) writeTo(ctx context.Context, p Place, id, archive string, s Sealed, done, of int64) error {
	f, err := os.Open(archive)
	if err != nil {
		return err
	}
	defer f.Close()
	watched := &progress{r: f, done: done, of: of, tell: o.Progress}
	if err := p.Put(ctx, id+archiveSuffix, watched); err != nil {
		return err
	}
	if err := compare(ctx, p, id, s); err != nil {
		return err
	}
	return s.put(ctx, p, id)
}

// put writes what stands beside an archive.
func (s Sealed) put(ctx context.Context, p Place, id string) error {
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write the manifest of %s: %w", id, err)
	}
	return p.Put(ctx, id+sealedSuffix, strings.NewReader(string(text)+"\n"))
}

// compare reads an archive back from a place.
func compare(ctx context.Context, p Place, id string, s Sealed) error {
	r, err := p.Get(ctx, id+archiveSuffix)
	if err != nil {
		return err
	}
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if n != s.Size || hex.EncodeToString(h.Sum(nil)) != s.SHA256 {
		return damaged("read "+id+archiveSuffix+" back from "+p.String(), fmt.Sprintf("it has %d bytes of another content; it was written with %d", n, s.Size))
	}
	return nil
}

// progress tells how much was read.
type progress struct {
	r        io.Reader
	done, of int64
	tell     func(done, of int64)
}

// Read is io.Reader.
func (p *progress) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	p.done += int64(n)
	if p.tell != nil {
		p.tell(p.done, p.of)
	}
	return n, err
}
