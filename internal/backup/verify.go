package backup

import (
	"archive/tar"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// Key opens archives.
type Key struct {
	Name     string // as a Proof names it
	Identity age.Identity
}

// ParseKey reads the identities of a file as age-keygen writes it.
func ParseKey(name, text string) (Key, error) {
	all, err := age.ParseIdentities(strings.NewReader(text))
	if err != nil || len(all) == 0 {
		return Key{}, &problem.Error{Kind: problem.Invalid, What: "read the key " + name, Why: "it is no identity of age", Hint: "give the file that age-keygen has written", Cause: err}
	}
	return Key{name, all[0]}, nil
}

// Trial says where a copy is restored to be proven.
type Trial struct {
	Key   Key
	Trust Trust // nil: signatures are not checked
	// Anchor checks the signature of Vault's anchor, where a copy has one; nil: it is not checked.
	Anchor Anchor
	// MustAnchor refuses a copy without one, and increments of which none that follows has one. It needs Anchor.
	MustAnchor bool
	// Signer signs the proof; nil: nobody does, and a plant with keys does not believe it.
	Signer Signer
	Actor  string // who restores, for the audit record
	// TrustBy makes the Trust of the archive of keys in a database that was restored, where the plant's own is lost; nil: none.
	TrustBy func(ctx context.Context, restored *store.DB) (Trust, error)
	// Lanes looks at every lane of a database that was restored, and says how many are whole; of one that is not the error, of kind Integrity, names link, lane and
	// number. by is whose signatures count; nil: they are not checked. nil: nobody looks.
	Lanes func(ctx context.Context, restored *store.DB, by Trust) (whole int64, err error)
	// Seeds tells whether what is sealed in a database that was restored opens with the keyring that was copied with it, by the files that were unpacked into a folder;
	// of one that does not the error is of kind Integrity. nil: nobody looks.
	Seeds func(ctx context.Context, restored *store.DB, folder string, m Manifest) error
	// Keys gives a database that was restored the plant's keyring, so that who restored it is in its audit record; nil: it is only told there.
	Keys func(restored *store.DB)
	// Settle ends in a database that was restored what must not come back with a copy, in the transaction that makes it ready; nil: nothing.
	Settle func(ctx context.Context, tx *store.Tx) error
	// Reaches is the moment that a copy must reach with its increments, as whoever restores it knows from elsewhere: of what was removed from the end nothing in a place
	// tells. Zero: any.
	Reaches time.Time
	// Increments is how many are restored with a copy; nil: all that follow it.
	Increments *int64
	Origin     string // of the audit record's checkpoints; default that of the plant that the manifest names
	Work       string // folder for what is unpacked; it goes away
	URL        string // of the plant's database; a trial of PostgreSQL is made on its server
	Now        func() time.Time
	Progress   func(done, of int64) // bytes of the archive that were fetched; may be nil
}

// Verify fetches a copy from a place, opens it, restores it into a database for the trial, and holds that against the manifest. "" is the newest
// copy that can be read. What it has found is kept beside the copy. Errors: Integrity for whatever is not as it was written, also where the proof is of a
// copy before one that is damaged, Denied for a key that does not open it.
func Verify(ctx context.Context, p Place, id string, t Trial) (proof Proof, err error) {
	c, among, err := newest(ctx, p, id, t.Trust)
	if err != nil {
		return Proof{}, err
	}
	work, leave, err := workFolder(t.Work, "verify-")
	if err != nil {
		return Proof{}, err
	}
	defer func() { err = errors.Join(err, leave()) }()
	began := time.Now()
	signed, err := unpack(ctx, p, c.ID, work, t)
	var to reached
	if err == nil {
		to, err = advance(ctx, p, c, work, t)
	}
	if err == nil {
		err = t.reached(p, c.ID, to)
	}
	if err == nil {
		err = t.restore(ctx, c.Manifest, work, to)
	}
	if problem.KindOf(err) == problem.Integrity { // what was proven once is not so any more
		return Proof{}, errors.Join(err, p.Remove(ctx, c.ID+provenSuffix))
	}
	if err != nil {
		return Proof{}, err
	}
	proof = Proof{ID: c.ID, Place: p.String(), At: t.Now().UTC(), Took: time.Since(began).Seconds(), Opened: t.Key.Name, Signer: signed.node, Anchor: signed.anchor, Increments: to.n, Through: to.through}
	return proof, errors.Join(t.keep(ctx, p, proof), passedOver(c, among))
}

// reached refuses a copy that does not reach as far as it must.
func (t Trial) reached(p Place, id string, to reached) error {
	if !to.through.Before(t.Reaches) {
		return nil
	}
	return &problem.Error{
		Kind: problem.Conflict, What: "take backup " + id + " of " + p.String(),
		Why:  fmt.Sprintf("with its increments it reaches %s, and must reach %s: what is behind that was removed, or never came there", to.through.UTC().Format(time.RFC3339), t.Reaches.UTC().Format(time.RFC3339)),
		Hint: "look in the other places; to be content with it, leave --reaches out",
	}
}

// keep puts a proof beside the copy, signed: whoever can write to the place could make up another.
func (t Trial) keep(ctx context.Context, p Place, proof Proof) error {
	b, err := json.Marshal(proof)
	if err != nil {
		return fmt.Errorf("write a proof: %w", err)
	}
	s := Sealed{Manifest: b}
	if err := s.sign(t.Signer, ForProof); err != nil {
		return err
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return fmt.Errorf("write a proof: %w", err)
	}
	return p.Put(ctx, proof.ID+provenSuffix, strings.NewReader(string(text)+"\n"))
}

// restore makes a database of the copy and compares it.
func (t Trial) restore(ctx context.Context, m Manifest, work string, to reached) (err error) {
	from := t.URL
	if m.Dialect == string(store.SQLite) {
		from = "sqlite:"
	}
	scratch, drop, err := store.Scratch(ctx, from, work)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop(context.WithoutCancel(ctx))) }()
	if err := store.RestoreCopy(ctx, scratch, filepath.Join(work, databasePart)); err != nil {
		return err
	}
	db, err := store.Open(ctx, scratch, store.Config{NoMigrate: true, Restoring: true})
	if err != nil {
		return err
	}
	err = m.compare(ctx, db, t.origin(m), to)
	if err == nil && t.Lanes != nil {
		_, err = t.Lanes(ctx, db, t.Trust)
	}
	if err == nil && t.Seeds != nil {
		err = t.Seeds(ctx, db, work, m)
	}
	return errors.Join(err, db.Close())
}

func (t Trial) origin(m Manifest) string {
	return cmp.Or(t.Origin, audit.Origin(string(seal.ForCheckpoint), m.Plant))
}

// compare holds a restored database against the manifest: its rows as they were copied, and, brought up to date if the copy is of an older
// version, what it says of itself. Where increments have changed it since, it is held against what the last of them tells.
func (m Manifest) compare(ctx context.Context, db *store.DB, origin string, to reached) error {
	what, tables := "backup "+m.ID, m.Tables
	if to.n > 0 {
		what, tables = fmt.Sprintf("increment %d of backup %s", to.n, m.ID), to.tells.Tables
	}
	if to.n == 0 || tables != nil {
		if err := compareRows(ctx, db, what, tables); err != nil {
			return err
		}
	}
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	var state State
	if err := db.View(ctx, func(tx *store.Tx) (err error) {
		state, err = stateOf(ctx, tx, origin)
		return err
	}); err != nil {
		return err
	}
	switch is := to.tells; {
	case to.n == 0 && state != m.State:
		return damaged("restore "+what, fmt.Sprintf("audit record or lanes are not those of the copy: %+v, and were %+v", state, m.State))
	case to.n > 0 && is.Root != "" && (state.Entries != is.Entries || state.Root != is.Root):
		return damaged("restore "+what, fmt.Sprintf("the audit record has %d entries and the root %s, and had %d and %s", state.Entries, state.Root, is.Entries, is.Root))
	case to.n > 0 && is.Owed != nil && state.Owed != *is.Owed:
		return damaged("restore "+what, fmt.Sprintf("%d messages are owed, and %d were", state.Owed, *is.Owed))
	}
	return nil
}

// compareRows holds the rows of every table against those that were counted.
func compareRows(ctx context.Context, db *store.DB, what string, want map[string]int64) error {
	tables, err := db.Counts(ctx)
	if err != nil {
		return err
	}
	for _, name := range sortedKeys(want) {
		if tables[name] != want[name] {
			return damaged("restore "+what, fmt.Sprintf("table %s has %d rows, %d were copied", name, tables[name], want[name]))
		}
	}
	if len(tables) != len(want) {
		return damaged("restore "+what, fmt.Sprintf("it has %d tables, %d were copied", len(tables), len(want)))
	}
	return nil
}

// signers are who has signed a manifest.
type signers struct {
	node   string
	anchor bool
}

// signers tells who has signed the manifest of a copy, as far as it can be checked. Whoever can write to a place can encrypt to its recipients
// too: what a Trial trusts must have signed it.
func (t Trial) signers(s Sealed, id string) (by signers, err error) {
	if t.Trust != nil {
		if by.node, err = s.Signer(t.Trust); err != nil {
			return by, changed(id+sealedSuffix, err)
		}
		if by.node == "" {
			return by, damaged("open backup "+id, "its manifest is not signed")
		}
	}
	by.anchor, err = s.anchored(t.Anchor, ForManifest)
	if err == nil && !by.anchor && t.MustAnchor {
		err = damaged("open backup "+id, "Vault's anchor has not signed its manifest")
	}
	return by, err
}

// misSigned says of which copy, and where, it cannot be said who has signed it.
func misSigned(id string, p Place, err error) error {
	what := "check who has signed the backup " + id + " of " + p.String()
	e, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return fmt.Errorf("%s: %w", what, err)
	}
	return &problem.Error{Kind: e.Kind, What: what, Why: e.Error(), Hint: e.Hint}
}

// unpack fetches and opens an archive into a folder, and checks each part. It returns who has signed its manifest.
func unpack(ctx context.Context, p Place, id, folder string, t Trial) (by signers, err error) {
	s, err := readSealed(ctx, p, id)
	if problem.KindOf(err) == problem.NotFound {
		return by, noManifest(p, id)
	}
	if err != nil {
		return by, err
	}
	if by, err = t.signers(s, id); err != nil {
		return by, misSigned(id, p, err)
	}
	m, err := s.read(id + sealedSuffix + " in " + p.String())
	if err != nil {
		return by, err
	}
	if m.ID != id {
		return by, damaged("open backup "+id, "its manifest is of backup "+m.ID)
	}
	r, err := p.Get(ctx, id+archiveSuffix)
	if err != nil {
		return by, err
	}
	defer r.Close()
	counted := &counting{to: io.Discard, sum: sha256.New()}
	given := &source{Reader: r}
	whole := io.TeeReader(&progress{r: given, of: s.Size, tell: t.Progress}, counted)
	openErr := open(whole, t.Key, folder, m, s)
	if given.err == nil {
		_, _ = io.Copy(io.Discard, whole) // what fails is in given
	}
	if given.err != nil {
		return by, unread(id+archiveSuffix, p, given.err)
	}
	if counted.n != s.Size || hex.EncodeToString(counted.sum.Sum(nil)) != s.SHA256 {
		return by, damaged("open backup "+id+" of "+p.String(), notAsWritten(counted.n, s.Size))
	}
	return by, openErr
}

// notAsWritten says what is wrong with an archive that has n bytes, and was written with size.
func notAsWritten(n, size int64) string {
	switch {
	case n < size:
		return fmt.Sprintf("the archive has %d bytes of %d: it was cut off, or never written to its end", n, size)
	case n > size:
		return fmt.Sprintf("the archive has %d bytes, and was written with %d: something was put behind it", n, size)
	default:
		return fmt.Sprintf("the archive has all its %d bytes, and some are not those that were written: its disk or somebody has changed them", size)
	}
}

// open decrypts an archive and writes its parts.
func open(r io.Reader, key Key, folder string, m Manifest, s Sealed) error {
	plain, err := age.Decrypt(r, key.Identity)
	if _, ok := errors.AsType[*age.NoIdentityMatchError](err); ok {
		return &problem.Error{
			Kind: problem.Denied, What: "open backup " + m.ID, Why: "the key " + key.Name + " is of none of its recipients",
			Hint: "give the site's key or the recovery key: --identity FILE", Cause: err,
		}
	}
	if err != nil {
		return damaged("open backup "+m.ID, err.Error())
	}
	unzipped, err := zstd.NewReader(plain)
	if err != nil {
		return damaged("open backup "+m.ID, err.Error())
	}
	defer unzipped.Close()
	t := tar.NewReader(unzipped)
	if err := openManifest(t, s); err != nil {
		return damaged("open backup "+m.ID, err.Error())
	}
	for _, part := range m.Parts {
		if err := openPart(t, folder, part); err != nil {
			return spoilt("open backup "+m.ID, part.Name+": ", err)
		}
	}
	if _, err := t.Next(); !errors.Is(err, io.EOF) {
		return damaged("open backup "+m.ID, "it has more than its manifest names: "+cmp.Or(fmt.Sprint(err), "a part"))
	}
	return nil
}

// openManifest compares the manifest in the archive with the one beside it.
func openManifest(t *tar.Reader, s Sealed) error {
	h, err := t.Next()
	if err != nil {
		return err
	}
	var inside, beside any
	b, err := io.ReadAll(io.LimitReader(t, mostJSON))
	if err = errors.Join(err, json.Unmarshal(b, &inside), json.Unmarshal(s.Manifest, &beside)); err != nil {
		return err
	}
	if h.Name != "manifest.json" || fmt.Sprint(inside) != fmt.Sprint(beside) {
		return errors.New("the manifest in it is not the one beside it")
	}
	return nil
}

// openPart writes one file below the folder; a name that leads elsewhere is refused.
func openPart(t *tar.Reader, folder string, p Part) (err error) {
	h, err := t.Next()
	if errors.Is(err, io.EOF) {
		return errors.New("it is missing")
	}
	if err != nil {
		return err
	}
	if h.Name != p.Name || !filepath.IsLocal(p.Name) {
		return fmt.Errorf("%s stands in its place", h.Name)
	}
	path := filepath.Join(folder, filepath.FromSlash(p.Name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, sum), io.LimitReader(t, p.Size+1))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if n != p.Size || hex.EncodeToString(sum.Sum(nil)) != p.SHA256 {
		return errors.New("it is not what was copied")
	}
	return nil
}
