package backup

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"

	"holdfast/internal/seal"
)

// ForIncrement is the purpose under which increments are signed.
const ForIncrement seal.Purpose = "holdfast/backup-increment/1"

// Increment tells what has become of a copy's database since: it is of one moment, as the copy is, and says with those before it how that
// database is put together.
type Increment struct {
	Base   string    `json:"base"` // the copy that it follows
	Number int64     `json:"number"`
	Made   time.Time `json:"made"`
	Prev   string    `json:"prev"`    // SHA-256 of what was signed before it: the copy's manifest, or the increment of the number before
	Pieces string    `json:"pieces"`  // SHA-256 over the digests of the database's pieces, in their order
	SHA256 string    `json:"sha256"`  // of its body before it was compressed and encrypted
	Size   int64     `json:"db_size"` // bytes of the database
	// Files is how many bytes of the body tell what has changed of the plant's other files; none in increments of releases before.
	Files int64 `json:"files_size,omitempty"`
	// Tables, Entries and Root are what a Manifest tells of a copy: rows of each table, and how far the audit record's tree had grown. Increments of releases before have none.
	Tables  map[string]int64 `json:"tables,omitempty"`
	Entries int64            `json:"audit_entries,omitempty"`
	Root    string           `json:"audit_root,omitempty"` // hexadecimal
	Owed    *int64           `json:"owed,omitempty"`       // messages that had not been delivered; nil of releases before
}

// mostLine is the most that the line before the body may have.
const mostLine = 1 << 16

// incrementSuffix is that of increment n of a copy. Numbers have six digits, so that names sort.
func incrementSuffix(n int64) string { return fmt.Sprintf(".%06d.inc", n) }

// run are pieces that follow each other by their numbers.
type run struct{ from, count int64 }

func writeRuns(to io.Writer, runs []run) error {
	b := binary.AppendUvarint(nil, uint64(len(runs)))
	for _, r := range runs {
		b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(r.from)), uint64(r.count)) //nolint:gosec // numbers of a lane begin at 1
	}
	_, err := to.Write(b)
	return err
}

func packIncrement(to io.Writer, s Sealed, body io.Reader, recipients []Recipient) error {
	if err := json.NewEncoder(to).Encode(s); err != nil {
		return err
	}
	locked, err := age.Encrypt(to, recipients...)
	if err != nil {
		return fmt.Errorf("encrypt an increment: %w", err)
	}
	packed, err := zstd.NewWriter(locked)
	if err != nil {
		return fmt.Errorf("compress an increment: %w", err)
	}
	_, err = io.Copy(packed, body)
	return errors.Join(err, packed.Close(), locked.Close())
}

// follow counts the increments of a copy in a place, and reads from the last one how far they go, and what was owed then. One that is missing ends them: verify tells that.
func (c *Copy) follow(ctx context.Context, p Place, names []string, by Trust) error {
	c.Through, c.Owed = c.Made, &c.State.Owed
	for slices.Contains(names, c.ID+incrementSuffix(c.Increments+1)) {
		c.Increments++
	}
	for n := c.Increments; n > 0; n-- { // the last that can be believed
		r, err := p.Get(ctx, c.ID+incrementSuffix(n))
		if err != nil {
			return err
		}
		given := &source{Reader: r}
		inc, _, err := readIncrement(bufio.NewReaderSize(given, mostLine), by)
		_ = r.Close()
		if cause := given.away(err); cause != nil {
			return unread(c.ID+incrementSuffix(n), p, cause)
		}
		if err == nil && inc.Base == c.ID && inc.Number == n {
			c.Through, c.Owed = inc.Made, inc.Owed
			return nil
		}
	}
	return nil
}

// readIncrement reads the line before the body.
func readIncrement(r *bufio.Reader, by Trust) (inc Increment, s Sealed, err error) {
	line, err := r.ReadSlice('\n')
	if len(line) > 0 && errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	if err == nil {
		err = json.Unmarshal(line, &s)
	}
	if err == nil {
		err = json.Unmarshal(s.Manifest, &inc)
	}
	if err != nil {
		return inc, s, damaged("read its first line, which says what it is", notWritten(err))
	}
	if by != nil {
		err = changed("its first line, which says what it is", s.believed(by, ForIncrement, inc.Base))
	}
	return inc, s, err
}
