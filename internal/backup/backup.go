// Package backup copies a plant while it works, keeps the copies in several places, proves that each can be restored, and restores one.
//
// # Guarantees
//
//   - A copy is of one moment: database, configuration, mappings and keyring. The rows that its manifest counts are the rows in it.
//   - What leaves the machine is encrypted to at least two recipients (age): the site's own, and one whose key can lie in a safe. Each archive
//     is read back from each place and compared before it counts as written there.
//   - A copy counts as good only after Verify has fetched it from a place, opened and restored it, and found in the restored database the rows,
//     the audit record and the heads of lanes that the manifest names. The manifest is signed with the node's key.
//   - Between copies increments follow (Log): each brings the database to another moment as a whole, and names what is before it.
//   - What is restored sends nothing twice unseen: what may have been delivered since the copy is asked for before it is sent, and what is
//     new is counted in a new epoch, so that a receiver tells it from what it has got under the same numbers.
//
// It owns no table: what becomes of copies is in the audit record, and in a file beside each of them.
package backup

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// ForManifest is the purpose under which manifests are signed, so that their signatures serve for nothing else.
const ForManifest seal.Purpose = "holdfast/backup/1"

// ForProof is the purpose under which proofs are signed.
const ForProof seal.Purpose = "holdfast/backup-proof/1"

// Manifest tells what a copy holds.
type Manifest struct {
	ID      string    `json:"id"`
	Plant   string    `json:"plant"` // its CloudEvents source
	Node    string    `json:"node"`
	Program string    `json:"program"` // version that made it
	Made    time.Time `json:"made"`
	Dialect string    `json:"dialect"` // sqlite or postgres
	Schema  string    `json:"schema"`  // the last step of the schema
	// Begun is when the database was made, see store.DB.Begun: copies with another are of another database. Zero in copies of releases before.
	Begun time.Time `json:"begun,omitzero"`
	Page  int64     `json:"page,omitempty"` // bytes of the pieces into which the database is cut for increments; 0: by content
	// Config and Database are the names, below the folder of a plant, of its configuration and of its SQLite file; copies of releases before have none, see ConfigFile.
	Config   string           `json:"config,omitempty"`
	Database string           `json:"database,omitempty"`
	Parts    []Part           `json:"parts"`
	Tables   map[string]int64 `json:"tables"` // rows of each
	State    State            `json:"state"`
}

// ConfigFile is the name of the configuration in the folder of a plant that is restored.
func (m Manifest) ConfigFile() string { return cmp.Or(m.Config, "holdfast.yaml") }

// DatabaseFile is the name of its SQLite file there.
func (m Manifest) DatabaseFile() string { return cmp.Or(m.Database, sqliteFile) }

// named is nil if both names lie below the folder, and neither where Restore works.
func (m Manifest) named() error {
	for _, name := range []string{m.ConfigFile(), m.DatabaseFile()} {
		if !filepath.IsLocal(name) || Reserved(name) {
			return damaged("open backup "+m.ID, "its manifest names "+name+" as a file of the plant")
		}
	}
	return nil
}

// Reserved tells whether a name is one that copies and Restore have for themselves.
func Reserved(name string) bool {
	top, _, _ := strings.Cut(filepath.ToSlash(filepath.Clean(name)), "/")
	return slices.Contains([]string{".", "manifest.json", databasePart, unsettled}, top)
}

// Part is one file of a copy.
type Part struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// State is what a database says of itself, and says again once it is restored.
type State struct {
	Entries int64  `json:"audit_entries"` // that have their place in the audit record's tree
	Root    string `json:"audit_root"`    // of that tree, hexadecimal
	Lanes   int64  `json:"lanes"`
	Heads   string `json:"lane_heads"` // SHA-256 over the head of every lane
	Owed    int64  `json:"owed"`       // messages that had not been delivered
}

// Sealed is what stands beside an archive: its manifest as it was signed, and what the archive must be.
type Sealed struct {
	Manifest  json.RawMessage `json:"manifest"`
	Key       string          `json:"key,omitempty"`       // that has signed the manifest
	Signature string          `json:"signature,omitempty"` // in hexadecimal; none of a plant without a keyring
	Anchor    string          `json:"anchor,omitempty"`    // the line by which Vault's anchor has signed the manifest too, where there was a Vault
	Size      int64           `json:"size"`
	SHA256    string          `json:"sha256"` // of the archive
}

// Signer signs with the node's key.
type Signer interface {
	Sign(p seal.Purpose, digest []byte) (message.Signature, error)
}

// Trust checks signatures.
type Trust interface {
	Verify(p seal.Purpose, digest []byte, s message.Signature) (node string, err error)
}

// Anchor checks the signatures of Vault's anchor, which no node holds: who steals a node's key cannot make up a copy of earlier.
type Anchor interface {
	Verify(p seal.Purpose, digest []byte, line string) error
}

// anchored tells whether Vault's anchor has signed what it says for that purpose; a nil Anchor knows of none.
func (s Sealed) anchored(by Anchor, p seal.Purpose) (bool, error) {
	if s.Anchor == "" || by == nil {
		return false, nil
	}
	digest, err := s.digest()
	if err != nil {
		return false, err
	}
	return true, by.Verify(p, digest[:], s.Anchor)
}

// read gives the manifest that is called so.
func (s Sealed) read(name string) (Manifest, error) {
	var m Manifest
	if err := json.Unmarshal(s.Manifest, &m); err != nil {
		return m, damaged("read "+name, "it is not what was written: "+err.Error())
	}
	return m, nil
}

// seal makes the file beside an archive.
func (m Manifest) seal(by Signer, size int64, sum string) (Sealed, error) {
	b, err := json.Marshal(m)
	if err != nil {
		return Sealed{}, fmt.Errorf("write a manifest: %w", err)
	}
	s := Sealed{Manifest: b, Size: size, SHA256: sum}
	return s, s.sign(by, ForManifest)
}

// sign puts the signature over what s says; none if there is nobody to sign.
func (s *Sealed) sign(by Signer, p seal.Purpose) error {
	if by == nil {
		return nil
	}
	digest := sha256.Sum256(s.Manifest)
	signature, err := by.Sign(p, digest[:])
	if err != nil {
		return err
	}
	s.Key, s.Signature = string(signature.Key), hex.EncodeToString(signature.Bytes())
	return nil
}

// Signer tells which node has signed the manifest; "" if nobody has. Errors: Integrity for a signature that is not over it, others as of Trust.
func (s Sealed) Signer(by Trust) (string, error) { return s.signer(by, ForManifest) }

func (s Sealed) signer(by Trust, p seal.Purpose) (string, error) {
	if s.Signature == "" {
		return "", nil
	}
	raw, err := hex.DecodeString(s.Signature)
	if err != nil {
		return "", damaged("check the signature of a manifest", "it is no hexadecimal")
	}
	signature, err := message.ParseSignature(raw)
	if err != nil {
		return "", err
	}
	digest, err := s.digest()
	if err != nil {
		return "", err
	}
	node, err := by.Verify(p, digest[:], signature)
	if e, ok := errors.AsType[*problem.Error](err); ok && e.Kind == problem.Denied {
		err = &problem.Error{Kind: e.Kind, What: e.What, Why: e.Why, Hint: hintDenied, Cause: err}
	}
	return node, err
}

// hintDenied is for a signature of a key that is unknown or was revoked, which vouches for nothing, of whatever time it is.
const hintDenied = "take a copy that a key of the plant has signed which still counts: holdfast backup list; where one was revoked, serve makes another within minutes, and holdfast backup create at once"

// digest is the SHA-256 of what was signed: the file is written for people, with space in between.
func (s Sealed) digest() (sum [32]byte, err error) {
	var signed bytes.Buffer
	if err := json.Compact(&signed, s.Manifest); err != nil {
		return sum, damaged("read what was signed", err.Error())
	}
	return sha256.Sum256(signed.Bytes()), nil
}

// Place keeps archives. Names are those that List gives.
type Place interface {
	fmt.Stringer
	// Put keeps what r gives under a name, whole or not at all.
	Put(ctx context.Context, name string, r io.Reader) error
	// Get opens what is kept; NotFound if there is nothing of that name.
	Get(ctx context.Context, name string) (io.ReadCloser, error)
	List(ctx context.Context) ([]string, error)
	Remove(ctx context.Context, name string) error
}

// The names of an archive and of what stands beside it, of one copy.
const (
	archiveSuffix = ".tar.zst.age"
	sealedSuffix  = ".json"
	provenSuffix  = ".proven.json"
)

// Proof says that a copy was restored from a place, and how long it took.
type Proof struct {
	ID     string    `json:"id"`
	Place  string    `json:"place"`
	At     time.Time `json:"at"`
	Took   float64   `json:"seconds"`
	Opened string    `json:"opened_by"` // the recipient whose key opened it
	Signer string    `json:"signed_by,omitempty"`
	Anchor bool      `json:"anchored,omitempty"` // Vault's anchor has signed the manifest too
	// Increments were restored with it, up to the moment Through.
	Increments int64     `json:"increments,omitempty"`
	Through    time.Time `json:"through"`
}

// Copy is one backup in one place.
type Copy struct {
	Manifest
	Place string `json:"place"`
	Size  int64  `json:"size"`
	// Increments follow the copy; with all of them it is of the moment Through. Without any that is when it was made.
	Increments int64     `json:"increments,omitempty"`
	Through    time.Time `json:"through"`
	// Owed is how many messages had not been delivered at Through; nil where the last increment does not tell, as those of releases before. State.Owed is the copy's own.
	Owed    *int64 `json:"owed,omitempty"`
	Proven  *Proof `json:"proven,omitempty"`
	Trouble string `json:"trouble,omitempty"` // why what stands beside the archive cannot be read
	// Unfinished is an archive with nothing beside it, not even increments or a proof: it may still be being written. It is in Trouble as well.
	Unfinished bool `json:"unfinished,omitempty"`
	// Bare is a manifest that is believed, of which the archive is missing: it was lost, or a removal was cut short. It is in Trouble as well.
	Bare bool `json:"bare,omitempty"`
	// Removing is one that is Bare and need not be kept: the next Prune removes what is left of it. Keep.Mark sets it.
	Removing bool `json:"removing,omitempty"`
}

// List gives the copies of a place, the newest first. What nobody whom by trusts has signed is in Trouble, and its proof is none; nil believes
// everything, which is for showing alone: whoever can write to a place can give a copy any date.
func List(ctx context.Context, p Place, by Trust) ([]Copy, error) {
	names, err := p.List(ctx)
	if err != nil {
		return nil, err
	}
	var all []Copy
	for _, name := range names {
		id, ok := strings.CutSuffix(name, archiveSuffix)
		if !ok {
			if id, ok = withoutArchive(name, names); ok {
				c, err := bare(ctx, p, id, by)
				if err != nil {
					return nil, err
				}
				all = append(all, c)
			}
			continue
		}
		if !slices.Contains(names, id+sealedSuffix) {
			if isID(id) {
				all = append(all, withoutManifest(p, id, names))
			}
			continue
		}
		c, err := read(ctx, p, id, slices.Contains(names, id+provenSuffix), by)
		if ofOne(err) {
			c.Trouble = err.Error()
		} else if err != nil {
			return nil, err
		}
		if c.Trouble == "" {
			if err := c.follow(ctx, p, names, by); err != nil {
				return nil, err
			}
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Copy) int { return cmp.Or(b.Through.Compare(a.Through), b.Made.Compare(a.Made)) })
	return all, nil
}

// ofOne tells whether an error is of one copy, that is damaged or another plant's: it hides no other.
func ofOne(err error) bool {
	k := problem.KindOf(err)
	return k == problem.Integrity || k == problem.NotFound || k == problem.Denied
}

// bare is the copy of which a place has the manifest and not the archive.
func bare(ctx context.Context, p Place, id string, by Trust) (Copy, error) {
	c, err := read(ctx, p, id, false, by)
	if err != nil && !ofOne(err) {
		return c, err
	}
	c.Bare, c.Through = err == nil, c.Made
	c.Trouble = errors.Join(missing(p, id+archiveSuffix), err).Error()
	return c, nil
}

// withoutArchive is the copy whose manifest stands there and whose archive does not: the archive is written first, and removed first.
func withoutArchive(name string, names []string) (id string, is bool) {
	id, is = strings.CutSuffix(name, sealedSuffix)
	if !is || strings.HasSuffix(name, provenSuffix) || slices.Contains(names, id+archiveSuffix) {
		return "", false
	}
	return id, isID(id)
}

// isID tells whether a name is one that Create gives.
func isID(name string) bool {
	made, _, _ := strings.Cut(name, "-")
	_, err := time.Parse(idTime, made)
	return err == nil
}

// withoutManifest is the copy whose archive stands there without its manifest. The archive is written first, so that one that has nothing else beside it may not be whole.
func withoutManifest(p Place, id string, names []string) Copy {
	c := Copy{Manifest: Manifest{ID: id}, Place: p.String(), Trouble: noManifest(p, id).Error()}
	c.Unfinished = !slices.Contains(names, id+provenSuffix) && len(incrementsOf(id, names)) == 0
	return c
}

func noManifest(p fmt.Stringer, id string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: "read " + id + sealedSuffix + " in " + p.String(),
		Why:  "the manifest is missing beside the archive: it was removed, or whoever writes the copy has not ended",
		Hint: "take the manifest from another place that has this copy, or take another copy: holdfast backup list",
	}
}

// read gives the copy of that name, which is what it is called there, whatever its manifest says.
func read(ctx context.Context, p Place, id string, proven bool, by Trust) (Copy, error) {
	c := Copy{Place: p.String()}
	s, err := readSealed(ctx, p, id)
	if err == nil {
		c.Manifest, err = s.read(id + sealedSuffix + " in " + p.String())
	}
	if err == nil && by != nil {
		err = changed(id+sealedSuffix+" in "+p.String(), s.believed(by, ForManifest, id))
	}
	if err == nil && c.ID != id {
		err = damaged("read the manifest of "+id, "it is that of "+c.ID)
	}
	c.ID, c.Size = id, s.Size
	if err == nil && proven {
		c.Proven, err = readProof(ctx, p, id, by)
	}
	return c, err
}

// believed is nil if somebody whom by trusts has signed it.
func (s Sealed) believed(by Trust, p seal.Purpose, id string) error {
	who, err := s.signer(by, p)
	if err == nil && who == "" {
		err = damaged("believe what stands beside backup "+id, "it is not signed")
	}
	return err
}

// readProof gives the proof beside a copy; none if it cannot be believed.
func readProof(ctx context.Context, p Place, id string, by Trust) (*Proof, error) {
	var s Sealed
	if err := readJSON(ctx, p, id+provenSuffix, &s); err != nil {
		return nil, err
	}
	if by != nil && s.believed(by, ForProof, id) != nil {
		return nil, nil //nolint:nilnil // as if it were not there: it is proven again
	}
	var proof Proof
	if err := json.Unmarshal(s.Manifest, &proof); err != nil {
		return nil, damaged("read the proof of backup "+id, err.Error())
	}
	if proof.ID != id {
		return nil, nil //nolint:nilnil // it is of another
	}
	return &proof, nil
}

func readSealed(ctx context.Context, p Place, id string) (s Sealed, err error) {
	return s, readJSON(ctx, p, id+sealedSuffix, &s)
}

// mostJSON is the most that a file beside an archive may have.
const mostJSON = 1 << 20

func readJSON(ctx context.Context, p Place, name string, v any) error {
	r, err := p.Get(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	given := &source{Reader: r}
	err = json.NewDecoder(io.LimitReader(given, mostJSON)).Decode(v)
	if cause := given.away(err); cause != nil {
		return unread(name, p, cause)
	}
	if err != nil {
		return damaged("read "+name+" in "+p.String(), notWritten(err))
	}
	return nil
}

// notWritten says in words why what was read cannot be what was written.
func notWritten(err error) string {
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "it was cut off, or never written to its end"
	case errors.Is(err, io.EOF):
		return "it is empty"
	default:
		return "it is not what was written: " + err.Error()
	}
}

// changed says of what a signature is that does not fit. Other errors, such as of a key that is not known, stay as they are.
func changed(what string, err error) error {
	if problem.KindOf(err) != problem.Integrity {
		return err
	}
	return &problem.Error{
		Kind: problem.Integrity, What: "read " + what, Why: "it was changed after it was signed, or its signature was: " + err.Error(),
		Hint: "take that file from another place that has the copy, or take another copy: holdfast backup list",
	}
}

func damaged(what, why string) error {
	return &problem.Error{Kind: problem.Integrity, What: what, Why: why, Hint: "take another copy: holdfast backup list names those that were proven"}
}
