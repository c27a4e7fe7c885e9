package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Log follows a copy with increments: what a database has become since is put into the places every few seconds, so that little is lost with it. A
// database is cut into pieces, and an increment has those that are new, and the order of all. Where nothing is known of a copy that can be followed
// it has nothing to do until Create begins one. Its folder has what places still lack; what is in that is encrypted.
type Log struct {
	folder string

	mu   sync.Mutex // guards what follows
	at   position
	last time.Time // when the last increment was made
	cost time.Duration
	lost bool // no place that could be reached has the copy any more
	know *known
	says []Sealed // of whom the copy and its increments are signed: the copy's own first, and of each other key the first increment
}

// position is where a log stands, as its file keeps it.
type position struct {
	Base   string    `json:"base"` // "": there is no copy to follow
	Made   time.Time `json:"made"`
	Begun  time.Time `json:"begun"` // as of the copy's Manifest
	Page   int64     `json:"page"`
	Number int64     `json:"number"` // of the last increment
	Prev   string    `json:"prev"`
	Pieces string    `json:"pieces"`
	// Config and Database are as of the copy's Manifest, and Files the SHA-256 of what is in the places of the plant's other files, by their names.
	Config   string            `json:"config"`
	Database string            `json:"database"`
	Files    map[string]string `json:"files"`
}

// The names in a log's folder.
const (
	positionFile = "position.json"
	signedFile   = "signed.json"
	piecesFile   = "pieces" // digests of the copy's pieces, and of each increment's by its number
)

// OpenLog goes on where the log in a folder stood.
func OpenLog(folder string) (*Log, error) {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of the log: %w", err)
	}
	if err := sweepBodies(folder); err != nil {
		return nil, err
	}
	l := &Log{folder: folder, know: newKnown()}
	b, err := os.ReadFile(filepath.Join(folder, positionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &l.at)
	}
	if err == nil {
		b, err = os.ReadFile(filepath.Join(folder, signedFile))
	}
	if err == nil {
		err = json.Unmarshal(b, &l.says)
	}
	for n := int64(0); err == nil && n <= l.at.Number; n++ {
		var digests []byte
		if digests, err = os.ReadFile(filepath.Join(folder, fmt.Sprint(piecesFile, n))); err == nil {
			l.know.load(digests)
		}
	}
	if err != nil || l.at.Begun.IsZero() || l.at.Files == nil { // whatever is wrong with it, also that a release before has kept it: a new copy begins it anew
		l.at, l.know, l.says = position{}, newKnown(), nil
	}
	return l, nil
}

// bodies is what the names begin with of files that are gone as soon as they are open.
const bodies = ".body-"

// sweepBodies removes those that a process of a release before has left, which are not encrypted.
func sweepBodies(folder string) error {
	left, err := filepath.Glob(filepath.Join(folder, bodies+"*"))
	for _, name := range left {
		err = errors.Join(err, os.Remove(name))
	}
	if err != nil {
		return fmt.Errorf("remove what was left in the log: %w", err)
	}
	return nil
}

// Followed is the copy that the log of a folder follows; "" if there is none. It makes nothing.
func Followed(folder string) (id string) {
	var at position
	if b, err := os.ReadFile(filepath.Join(folder, positionFile)); err == nil {
		_ = json.Unmarshal(b, &at) // one that cannot be read follows nothing
	}
	return at.Base
}

// known are the pieces of a copy and its increments, by their numbers in the order in which they came first.
type known struct {
	numbers map[digest]int64
	fresh   []byte // digests since the last save
	order   hash.Hash
	size    int64
}

func newKnown() *known { return &known{numbers: map[digest]int64{}, order: sha256.New()} }

// know takes a piece.
func (k *known) know(piece []byte) error {
	k.number(piece)
	return nil
}

// number is that of a piece, and whether it is new.
func (k *known) number(piece []byte) (n int64, fresh bool) {
	d := digestPiece(piece)
	k.order.Write(d[:])
	k.size += int64(len(piece))
	n, there := k.numbers[d]
	if !there {
		n = int64(len(k.numbers))
		k.numbers[d] = n
		k.fresh = append(k.fresh, d[:]...)
	}
	return n, !there
}

func (k *known) load(digests []byte) {
	for c := range slices.Chunk(digests, len(digest{})) {
		k.numbers[digest(c)] = int64(len(k.numbers))
	}
}

// forget takes back what was not saved: the increment that brought it is not kept.
func (k *known) forget() {
	for c := range slices.Chunk(k.fresh, len(digest{})) {
		delete(k.numbers, digest(c))
	}
	k.fresh = nil
}

// begin has the log follow a copy that was made. What places lacked of the one before they need no more.
func (l *Log) begin(k *known, s Sealed, m Manifest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	old, err := os.ReadDir(l.folder)
	if err != nil {
		return fmt.Errorf("look into the log: %w", err)
	}
	l.at, l.know, l.says, l.last = position{}, newKnown(), nil, m.Made
	if err := os.Remove(filepath.Join(l.folder, positionFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("begin the log anew: %w", err)
	}
	for _, e := range old {
		if err := os.RemoveAll(filepath.Join(l.folder, e.Name())); err != nil {
			return fmt.Errorf("begin the log anew: %w", err)
		}
	}
	sum := sha256.Sum256(s.Manifest)
	at := position{
		Base: m.ID, Made: m.Made, Begun: m.Begun, Page: m.Page, Prev: hex.EncodeToString(sum[:]), Pieces: hex.EncodeToString(k.order.Sum(nil)),
		Config: m.Config, Database: m.Database, Files: filesOf(m.Parts),
	}
	if err := l.sign(s); err != nil {
		return err
	}
	if err := l.save(at, k.fresh); err != nil {
		return err
	}
	k.fresh = nil
	l.at, l.know, l.lost = at, k, false
	return nil
}

// save keeps where the log stands. The position comes last: what it does not name is not there.
func (l *Log) save(at position, digests []byte) error {
	text, err := json.Marshal(at)
	if err != nil {
		return fmt.Errorf("keep the log: %w", err)
	}
	to := Folder(l.folder)
	if err := to.Put(context.Background(), fmt.Sprint(piecesFile, at.Number), bytes.NewReader(digests)); err != nil {
		return err
	}
	return to.Put(context.Background(), positionFile, bytes.NewReader(text))
}

// sign remembers that somebody has signed something of what the log has made.
func (l *Log) sign(s Sealed) error {
	says := append(slices.Clip(l.says), s)
	text, err := json.Marshal(says)
	if err != nil {
		return fmt.Errorf("keep the log: %w", err)
	}
	if err := Folder(l.folder).Put(context.Background(), signedFile, bytes.NewReader(text)); err != nil {
		return err
	}
	l.says = says
	return nil
}

// Believed is nil if whoever has signed the copy that the log follows, and the increments behind it, is trusted still. Otherwise nobody restores it any more, such as after a
// key was revoked; the error is as of Trust. A nil Trust believes everything.
func (l *Log) Believed(by Trust) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if by == nil {
		return nil
	}
	for n, s := range l.says {
		purpose := ForIncrement
		if n == 0 {
			purpose = ForManifest
		}
		if err := s.believed(by, purpose, l.at.Base); err != nil {
			return err
		}
	}
	return nil
}

// Without are the places that have not got the copy that the log follows, and one of those that have; none where no place that can be reached has it.
func (l *Log) Without(ctx context.Context, places []Place) (has Place, without []Place) {
	id, _ := l.Base()
	for _, p := range places {
		names, err := p.List(ctx)
		switch {
		case err != nil || id == "": // the place is told by who writes to it
		case slices.Contains(names, id+sealedSuffix) && slices.Contains(names, id+archiveSuffix):
			has = p
		default:
			without = append(without, p)
		}
	}
	if has == nil {
		return nil, nil
	}
	return has, without
}

// Carry puts the copy that the log follows into a place, from another that has it, and reads it back: what is shipped goes there from then on.
func (l *Log) Carry(ctx context.Context, from, to Place) (err error) {
	l.mu.Lock()
	id, says := l.at.Base, l.says
	l.mu.Unlock()
	if id == "" || len(says) == 0 {
		return nil
	}
	r, err := from.Get(ctx, id+archiveSuffix)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if err := to.Put(ctx, id+archiveSuffix, r); err != nil {
		return fmt.Errorf("bring backup %s from %s to %s: %w", id, from, to, err)
	}
	if err := compare(ctx, to, id, says[0]); err != nil { // it may have been damaged where it was taken from
		return errors.Join(err, to.Remove(ctx, id+archiveSuffix))
	}
	return says[0].put(ctx, to, id)
}

// Base is the copy that the log follows; "" if there is none.
func (l *Log) Base() (id string, made time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.at.Base, l.at.Made
}

// Lost tells that of the places that could be reached at the last Ship none had the copy that the log follows: somebody has removed it, and what was
// shipped is nowhere.
func (l *Log) Lost() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Cost is how long the last increment took to make, without the way to the places.
func (l *Log) Cost() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.cost
}

// idle is how long no increment is made while nothing has changed.
const idle = 10 * time.Minute

// Ship makes an increment and puts it, with what they lack of those before, into every place that has the copy. It returns the moment of which the
// places together have everything: the latest that any of them has. Where the database is not the one of the copy it follows that no more, and the error, of kind
// Conflict, says so once: nothing of one plant's database stands behind the copy of another, and the next copy begins anew. So does one after configuration or database
// have got another name, without an error.
func (l *Log) Ship(ctx context.Context, src Source, o Options) (through time.Time, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if src.Config != l.at.Config || src.File != l.at.Database { // what is restored would have the old names, and its configuration the new ones
		l.at, l.know = position{}, newKnown()
	}
	if l.at.Base == "" {
		return through, nil
	}
	began := time.Now()
	err = l.increment(ctx, src, o)
	if errors.Is(err, errAnother) {
		err = l.another()
	}
	if l.cost = time.Since(began); err != nil {
		return through, err
	}
	var errs []error
	shipped, lacking := false, 0
	for _, p := range o.Places {
		here, err := l.shipTo(ctx, p)
		if err != nil {
			errs = append(errs, fmt.Errorf("ship what has changed to %s: %w", p, err))
		} else if !here {
			lacking++
		}
		shipped = shipped || here
	}
	l.lost = !shipped && lacking > 0
	if shipped {
		through = l.last
	}
	return through, errors.Join(errs...)
}

// errAnother is that the database is not the one of the copy that the log follows.
var errAnother = errors.New("the database is another than the copy's")

// another has the log follow nothing. Its files stay until a copy begins it anew.
func (l *Log) another() error {
	base := l.at.Base
	l.at, l.know = position{}, newKnown()
	return &problem.Error{
		Kind: problem.Conflict, What: "ship what has changed since backup " + base, Why: "that is a copy of another database than the plant has now",
		Hint: "a copy of its own is made for it to follow; if the database was lost, stop the plant and restore: holdfast backup restore FOLDER " + base,
	}
}

// increment makes one, unless nothing has changed.
func (l *Log) increment(ctx context.Context, src Source, o Options) error {
	now := src.DB.Now().UTC().Truncate(time.Microsecond) // before the moment of the copy: what it promises is in it
	body, err := os.CreateTemp(l.folder, bodies+"*")
	if err != nil {
		return fmt.Errorf("make an increment: %w", err)
	}
	defer func() { _ = body.Close() }()
	if err := os.Remove(body.Name()); err != nil { // it is not encrypted: whoever is killed leaves nothing of it
		return fmt.Errorf("make an increment: %w", err)
	}
	l.know.order, l.know.size = sha256.New(), 0
	sum := sha256.New()
	inc := Increment{Base: l.at.Base, Number: l.at.Number + 1, Made: now, Prev: l.at.Prev}
	runs, err := l.pieces(ctx, src, io.MultiWriter(body, sum), l.tells(ctx, &inc))
	pieces := hex.EncodeToString(l.know.order.Sum(nil))
	var files change
	if err == nil { // after the database: a key that something in it was sealed with is in its file by then
		files, err = src.changed(l.at.Files)
	}
	if err != nil || pieces == l.at.Pieces && files.none() && now.Sub(l.last) < idle {
		l.know.forget()
		if err == nil {
			l.last = now
		}
		return err
	}
	err = writeRuns(io.MultiWriter(body, sum), runs)
	if err == nil {
		inc.Files, err = files.write(io.MultiWriter(body, sum))
	}
	inc.Pieces, inc.SHA256, inc.Size = pieces, hex.EncodeToString(sum.Sum(nil)), l.know.size
	if err == nil {
		err = l.keep(ctx, inc, files, body, o)
	}
	if err != nil {
		l.know.forget()
		return err
	}
	return nil
}

// tells has an increment tell of its database, if that is the one of the copy.
func (l *Log) tells(ctx context.Context, inc *Increment) func(tx *store.Tx) error {
	return func(tx *store.Tx) error {
		begun, err := tx.Begun(ctx)
		if err == nil && !begun.Equal(l.at.Begun) {
			err = errAnother
		}
		if err != nil {
			return err
		}
		return inc.tell(ctx, tx)
	}
}

// tell reads what the increment says of its database at the moment of which it is.
func (inc *Increment) tell(ctx context.Context, tx *store.Tx) (err error) {
	if inc.Tables, err = tx.Counts(ctx); err != nil {
		return err
	}
	if inc.Entries, inc.Root, err = audit.Tip(ctx, tx); err != nil {
		return err
	}
	owed, err := outbox.New(nil, "", outbox.Config{}).Owed(ctx, tx)
	inc.Owed = &owed
	return err
}

// pieces writes those of the database that are new, each after its length, and 0 after the last; it returns the order of all. within reads the database of
// that moment.
func (l *Log) pieces(ctx context.Context, src Source, to io.Writer, within func(tx *store.Tx) error) (runs []run, err error) {
	w := bufio.NewWriterSize(to, 1<<20)
	cut := newCutter(l.at.Page, func(piece []byte) error {
		n, fresh := l.know.number(piece)
		if last := len(runs) - 1; last >= 0 && runs[last].from+runs[last].count == n {
			runs[last].count++
		} else {
			runs = append(runs, run{n, 1})
		}
		if !fresh {
			return nil
		}
		_, err := w.Write(binary.AppendUvarint(nil, uint64(len(piece))))
		if err == nil {
			_, err = w.Write(piece)
		}
		return err
	})
	err = src.DB.Copy(ctx, cut, within)
	if err = errors.Join(err, cut.end(), w.WriteByte(0), w.Flush()); err != nil {
		return nil, err
	}
	return runs, nil
}

// keep puts an increment into the log's folder: a line that says what it is, signed, and its body.
func (l *Log) keep(ctx context.Context, inc Increment, files change, body *os.File, o Options) error {
	text, err := json.Marshal(inc)
	if err != nil {
		return fmt.Errorf("write an increment: %w", err)
	}
	s := Sealed{Manifest: text}
	if err := s.sign(o.Signer, ForIncrement); err != nil {
		return err
	}
	sum := sha256.Sum256(text)
	if o.Anchor != nil {
		s.Anchor = o.Anchor(ctx, sum[:])
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return fmt.Errorf("write an increment: %w", err)
	}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(packIncrement(w, s, body, o.Recipients)) }()
	err = Folder(l.folder).Put(ctx, inc.Base+incrementSuffix(inc.Number), r)
	if err = errors.Join(err, r.Close()); err != nil {
		return err
	}
	at := l.at
	at.Number, at.Prev, at.Pieces, at.Files = inc.Number, hex.EncodeToString(sum[:]), inc.Pieces, files.after(l.at.Files)
	if !slices.ContainsFunc(l.says, func(said Sealed) bool { return said.Key == s.Key }) {
		if err := l.sign(s); err != nil {
			return err
		}
	}
	if err := l.save(at, l.know.fresh); err != nil {
		return err
	}
	l.at, l.last, l.know.fresh = at, inc.Made, nil
	return nil
}

// shipTo puts what a place lacks into it, in order, and reads it back. It is false for a place that has not the copy.
func (l *Log) shipTo(ctx context.Context, p Place) (bool, error) {
	names, err := p.List(ctx)
	if err != nil || !slices.Contains(names, l.at.Base+sealedSuffix) {
		return false, err
	}
	for n := int64(1); n <= l.at.Number; n++ {
		name := l.at.Base + incrementSuffix(n)
		if slices.Contains(names, name) {
			continue
		}
		if err := l.putOne(ctx, p, name); err != nil {
			return false, err
		}
	}
	return true, nil
}

// putOne puts an increment into a place and reads it back. It may be as large as the database, and is never held whole.
func (l *Log) putOne(ctx context.Context, p Place, name string) error {
	f, err := os.Open(filepath.Join(l.folder, name))
	if err != nil {
		return fmt.Errorf("read an increment: %w", err)
	}
	defer f.Close()
	sum := sha256.New()
	if err := p.Put(ctx, name, io.TeeReader(f, sum)); err != nil {
		return err
	}
	if err := readBack(ctx, p, name, sum.Sum(nil)); err != nil {
		return errors.Join(err, p.Remove(ctx, name))
	}
	return nil
}

func readBack(ctx context.Context, p Place, name string, want []byte) error {
	r, err := p.Get(ctx, name)
	if err != nil {
		return err
	}
	defer r.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, r); err != nil {
		return fmt.Errorf("read it back: %w", err)
	}
	if !bytes.Equal(sum.Sum(nil), want) {
		return damaged("read "+name+" back from "+p.String(), "it is not what was written")
	}
	return nil
}
