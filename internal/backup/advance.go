package backup

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"holdfast/internal/problem"
)

// replay puts the database's part of a copy that was unpacked into a folder together anew, with the increments that follow it. It checks each.
type replay struct {
	at     position
	folder string
	key    Key
	by     Trust
	anchor Anchor

	files  []*os.File // the copy's, and the spool
	spool  *os.File   // bodies of increments, one after the other; nil before the first
	filled int64      // bytes of the spool
	pieces []place
	have   map[digest]bool
	runs   []run
	size   int64
	plant  map[string]*copied // what has become of the plant's other files, by name; nil: the file is gone
}

// place is where a piece lies.
type place struct {
	file int
	from int64
	size int
}

// reached says how far a copy was advanced.
type reached struct {
	n       int64     // increments
	through time.Time // the moment
	last    Sealed    // the last of them, which names all before it, and the copy
	tells   Increment // what it says
	anchor  int64     // the last that Vault's anchor has signed, and with it all before it
}

// advance applies the increments of a copy, all or as many as the trial says, to what was unpacked of it.
func advance(ctx context.Context, p Place, c Copy, folder string, t Trial) (to reached, err error) {
	to.through = c.Made
	names, err := p.List(ctx)
	if err != nil {
		return to, err
	}
	last := lastIncrement(c.ID, names)
	if t.Increments != nil {
		last = min(last, *t.Increments)
	}
	if last == 0 {
		return to, nil
	}
	s, err := readSealed(ctx, p, c.ID)
	if err != nil {
		return to, err
	}
	prev, err := s.digest()
	if err != nil {
		return to, err
	}
	r := &replay{at: position{Base: c.ID, Page: c.Page, Prev: hex.EncodeToString(prev[:])}, folder: folder, key: t.Key, by: t.Trust, anchor: t.Anchor, have: map[digest]bool{}}
	defer func() { err = errors.Join(err, r.close()) }()
	if err := r.base(); err != nil {
		return to, err
	}
	for to.n < last {
		var anchored bool
		if to.tells, to.last, anchored, err = r.apply(ctx, p, to.n+1); err != nil {
			return to, err
		}
		to.n++
		if to.through = to.tells.Made; anchored {
			to.anchor = to.n
		}
	}
	if t.MustAnchor && to.anchor < to.n {
		return to, &problem.Error{
			Kind: problem.Integrity, What: "open the increments of backup " + c.ID + " of " + p.String(), Why: fmt.Sprintf("Vault's anchor has signed none after number %d: they are the node's word alone", to.anchor),
			Hint: fmt.Sprintf("take what it has signed: --increments %d, or another place", to.anchor),
		}
	}
	return to, errors.Join(r.write(), r.writeFiles())
}

// lastIncrement is the highest number that a place has of a copy's increments, whatever is missing before it.
func lastIncrement(id string, names []string) (last int64) {
	for _, name := range incrementsOf(id, names) {
		digits := strings.TrimSuffix(strings.TrimPrefix(name, id+"."), ".inc")
		if n, err := strconv.ParseInt(digits, 10, 64); err == nil {
			last = max(last, n)
		}
	}
	return last
}

func (r *replay) close() error {
	var errs []error
	for _, f := range r.files {
		errs = append(errs, f.Close())
		if filepath.Base(f.Name()) != databasePart {
			errs = append(errs, os.Remove(f.Name()))
		}
	}
	return errors.Join(errs...)
}

// base takes the pieces of the copy itself.
func (r *replay) base() error {
	f, err := os.Open(filepath.Join(r.folder, databasePart))
	if err != nil {
		return fmt.Errorf("read the copy: %w", err)
	}
	r.files = append(r.files, f)
	var at int64
	cut := newCutter(r.at.Page, func(piece []byte) error {
		r.take(piece, place{0, at, len(piece)})
		at += int64(len(piece))
		return nil
	})
	_, err = io.Copy(cut, bufio.NewReaderSize(f, 1<<20))
	return errors.Join(err, cut.end())
}

// take remembers where a piece lies, once.
func (r *replay) take(piece []byte, at place) {
	if d := digestPiece(piece); !r.have[d] {
		r.have[d] = true
		r.pieces = append(r.pieces, at)
	}
}

// apply checks an increment against those before it, and takes its pieces.
func (r *replay) apply(ctx context.Context, p Place, n int64) (inc Increment, s Sealed, anchored bool, err error) {
	name := r.at.Base + incrementSuffix(n)
	wrong := func(why string) error {
		return &problem.Error{
			Kind: problem.Integrity, What: "open increment " + name + " of " + p.String(), Why: why,
			Hint: fmt.Sprintf("restore what was before it: --increments %d, or from another place", n-1),
		}
	}
	from, err := p.Get(ctx, name)
	if problem.KindOf(err) == problem.NotFound {
		return inc, s, false, wrong("it is missing")
	}
	if err != nil {
		return inc, s, false, err
	}
	defer from.Close()
	given := &source{Reader: from}
	in := bufio.NewReaderSize(given, mostLine)
	if inc, s, err = readIncrement(in, r.by); err == nil {
		anchored, err = s.anchored(r.anchor, ForIncrement)
	}
	if cause := given.away(err); cause != nil {
		return inc, s, false, unread(name, p, cause)
	}
	if err != nil {
		return inc, s, false, wrong(err.Error())
	}
	if inc.Base != r.at.Base || inc.Number != n || inc.Prev != r.at.Prev {
		return inc, s, false, wrong("it does not follow what is before it")
	}
	err = r.body(in, inc)
	if cause := given.away(err); cause != nil {
		return inc, s, false, unread(name, p, cause)
	}
	if err != nil {
		return inc, s, false, wrong("read its body: " + notWritten(err))
	}
	r.at.Pieces, r.at.Number, r.size = inc.Pieces, n, inc.Size
	sum, err := s.digest()
	r.at.Prev = hex.EncodeToString(sum[:])
	return inc, s, anchored, err
}

// body decrypts what follows the line into a file, checks it, and reads pieces and order.
func (r *replay) body(in io.Reader, inc Increment) error {
	plain, err := age.Decrypt(in, r.key.Identity)
	if err != nil {
		return err
	}
	unzipped, err := zstd.NewReader(plain)
	if err != nil {
		return err
	}
	defer unzipped.Close()
	if err := r.spooling(); err != nil {
		return err
	}
	sum, most, from := sha256.New(), mostBody(inc.Size)+max(inc.Files, 0), r.filled
	n, err := io.Copy(io.MultiWriter(r.spool, sum), io.LimitReader(unzipped, most+1))
	r.filled += n
	if err != nil {
		return err
	}
	if n > most {
		return errors.New("it is longer than any that its database needs")
	}
	if hex.EncodeToString(sum.Sum(nil)) != inc.SHA256 {
		return errors.New("its hash is another")
	}
	o := &offset{r: bufio.NewReaderSize(io.NewSectionReader(r.spool, from, n), 1<<20), n: from}
	if err := r.read(o); err != nil {
		return err
	}
	return r.readFiles(o, from+n)
}

// spooling makes the file that takes the bodies. There is one for all of them: a day has more than a process may open.
func (r *replay) spooling() (err error) {
	if r.spool != nil {
		return nil
	}
	if r.spool, err = os.CreateTemp(r.folder, ".increments-"); err == nil {
		r.files = append(r.files, r.spool)
	}
	return err
}

// mostBody is how many bytes the body of an increment has at most, of a database of that size: each of its pieces once, and at most as much again for
// their lengths and their order. Whoever can write to a place could else fill the disk of whoever restores, before the hash tells.
func mostBody(size int64) int64 { return 2*max(size, 0) + 1<<20 }

// offset counts what was read.
type offset struct {
	r *bufio.Reader
	n int64
}

// ReadByte is io.ByteReader.
func (o *offset) ReadByte() (byte, error) {
	b, err := o.r.ReadByte()
	o.n++
	return b, err
}

// errOrder is an order of pieces that are not there.
var errOrder = errors.New("it names pieces that are not there")

func (r *replay) read(o *offset) error {
	file := len(r.files) - 1
	piece := make([]byte, mostPiece)
	for {
		size, err := binary.ReadUvarint(o)
		if err != nil || size > mostPiece {
			return cmp.Or(err, errOrder)
		}
		if size == 0 {
			break
		}
		if _, err := io.ReadFull(o.r, piece[:size]); err != nil {
			return err
		}
		r.take(piece[:size], place{file, o.n, int(size)})
		o.n += int64(size)
	}
	count, err := binary.ReadUvarint(o)
	r.runs = r.runs[:0]
	for ; err == nil && count > 0; count-- {
		from, ferr := binary.ReadUvarint(o)
		many, merr := binary.ReadUvarint(o)
		all := uint64(len(r.pieces))
		if err = errors.Join(ferr, merr); err == nil && (from > all || many > all-from) {
			err = errOrder
		}
		r.runs = append(r.runs, run{int64(from), int64(many)}) //nolint:gosec // both are below the count of pieces
	}
	return err
}

// write puts the database together as the last increment has it, in place of the copy's.
func (r *replay) write() (err error) {
	f, err := os.CreateTemp(r.folder, ".database-")
	if err != nil {
		return fmt.Errorf("put the database together: %w", err)
	}
	out := bufio.NewWriterSize(f, 1<<20)
	order, buf, size := sha256.New(), make([]byte, mostPiece), int64(0)
	for _, run := range r.runs {
		for _, at := range r.pieces[run.from : run.from+run.count] {
			if _, err = r.files[at.file].ReadAt(buf[:at.size], at.from); err != nil {
				return errors.Join(fmt.Errorf("put the database together: %w", err), f.Close())
			}
			d := digestPiece(buf[:at.size])
			order.Write(d[:])
			if size += int64(at.size); size > r.size {
				break
			}
			if _, err = out.Write(buf[:at.size]); err != nil {
				return errors.Join(fmt.Errorf("put the database together: %w", err), f.Close())
			}
		}
	}
	if err := errors.Join(out.Flush(), f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("put the database together: %w", err)
	}
	if size != r.size || hex.EncodeToString(order.Sum(nil)) != r.at.Pieces {
		return damaged("put the database of "+r.at.Base+" together", "it is not what it was when the last increment was made")
	}
	return os.Rename(f.Name(), filepath.Join(r.folder, databasePart))
}
