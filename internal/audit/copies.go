package audit

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// copies are the checkpoints outside the database: a file a node and month, one JSON object a line, only ever appended to and written
// through to the disk. Each node keeps its own, and takes over only what continues what it has: so it is also a witness, who notices a
// history that is another than it was, within a round.
type copies struct {
	folder, node string

	read bool       // last is what the files end with
	torn bool       // the last file ends within a line: a crash, or a full disk
	last Checkpoint // zero if there is none
}

// newCopies is nil where there are to be none.
func newCopies(folder, node string) *copies {
	if folder == "" {
		return nil
	}
	return &copies{folder: folder, node: url.PathEscape(node)}
}

// kept is a checkpoint as a line has it.
type kept struct {
	Size int64  `json:"size"`
	Note string `json:"note"`
}

// catchUp writes what is in the database and not here, oldest first. After an error it reads its files anew.
// tell writes down what no other round will see.
func (c *copies) catchUp(ctx context.Context, db *store.DB, tell func(ctx context.Context, tx *store.Tx, why string) error) (err error) {
	if !c.read {
		if err = c.readLast(); err != nil {
			return err
		}
	}
	for more := true; more; {
		if more, err = c.next(ctx, db, tell); err != nil {
			return err
		}
	}
	return nil
}

// copiesAtOnce is how many checkpoints are read and proven at a time.
const copiesAtOnce = 100

// next writes some, and tells whether there may be more.
func (c *copies) next(ctx context.Context, db *store.DB, tell func(ctx context.Context, tx *store.Tx, why string) error) (more bool, err error) {
	var fresh []Checkpoint
	err = db.View(ctx, func(tx *store.Tx) (err error) {
		fresh, err = c.fresh(ctx, tx)
		return err
	})
	if err != nil {
		return false, err
	}
	for _, f := range fresh {
		if c.last.At.Sub(f.At) > latest { // it continues what is here, and so it is written
			err := db.InTx(ctx, func(tx *store.Tx) error {
				return tell(ctx, tx, fmt.Sprintf("the checkpoint of %d entries says %s, and the one before it %s: a clock was ahead or was put back, or somebody has made it later than it says",
					f.Size, f.At.Format(time.RFC3339), c.last.At.Format(time.RFC3339)))
			})
			if err != nil {
				return false, err
			}
		}
		if err := c.append(f); err != nil {
			c.read = false
			return false, err
		}
		c.last = f
	}
	return len(fresh) >= copiesAtOnce-1, nil
}

// fresh are the checkpoints after the last, each proven to continue the one before. The error is of kind Integrity where the database
// does not have the last one any more, has another in its place, or has come to another history.
func (c *copies) fresh(ctx context.Context, tx *store.Tx) ([]Checkpoint, error) {
	var rows []checkpointRow
	if err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE size >= ? ORDER BY size LIMIT ?`, c.last.Size, copiesAtOnce); err != nil {
		return nil, fmt.Errorf("read checkpoints of the audit record: %w", err)
	}
	all := make([]Checkpoint, 0, len(rows))
	for _, r := range rows {
		p, err := ParseCheckpoint(r.Note)
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	switch {
	case c.last.Size == 0:
		return all, c.continues(ctx, tx, all)
	case len(all) == 0 || all[0].Size != c.last.Size:
		return nil, c.alarm("the database does not have it (any more)")
	case all[0].Root != c.last.Root:
		return nil, c.alarm("the database has another history in its place")
	}
	return all[1:], c.continues(ctx, tx, all)
}

// continues is nil if each checkpoint continues the one before.
func (c *copies) continues(ctx context.Context, tx *store.Tx, all []Checkpoint) error {
	for i := 1; i < len(all); i++ {
		before, f := all[i-1], all[i]
		proof, err := tlog.ProveTree(f.Size, before.Size, stored(ctx, tx))
		if err != nil {
			return err
		}
		if tlog.CheckTree(proof, f.Size, f.Root, before.Size, before.Root) != nil {
			return c.alarm(fmt.Sprintf("the checkpoint of %d entries in the database does not continue it", f.Size))
		}
	}
	return nil
}

func (c *copies) alarm(why string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("write checkpoints to %s after that of %d entries", c.folder, c.last.Size), Why: why,
		Hint: "ALARM: unless somebody has put back a backup, the audit record was altered: holdfast audit verify; after a restore move the folder aside and keep it",
	}
}

// append adds a line and returns once it is on the disk.
func (c *copies) append(p Checkpoint) error {
	line, err := json.Marshal(kept{p.Size, p.Note})
	if err != nil {
		return fmt.Errorf("write a checkpoint: %w", err)
	}
	line = append(line, '\n')
	name := filepath.Join(c.folder, c.node+"-"+p.At.UTC().Format("2006-01")+".jsonl")
	f, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) //nolint:gosec // it holds no secret, and auditors read it
	if err != nil {
		return fmt.Errorf("open the checkpoints outside: %w", err)
	}
	if c.torn {
		line = append([]byte{'\n'}, line...)
	}
	_, err = f.Write(line)
	if err = errors.Join(err, f.Sync(), f.Close(), syncFolder(c.folder)); err != nil {
		return fmt.Errorf("write a checkpoint to %s: %w", name, err)
	}
	c.torn = false
	return nil
}

// syncFolder makes a new file last beyond a crash of the machine.
func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// readLast finds out with what the files end: the latest that has a checkpoint. A line that is cut is the end of a crash: the database has its
// checkpoint.
func (c *copies) readLast() error {
	if err := os.MkdirAll(c.folder, 0o750); err != nil {
		return fmt.Errorf("make the folder of the checkpoints: %w", err)
	}
	names, err := filepath.Glob(filepath.Join(c.folder, escapeGlob(c.node)+"-[0-9][0-9][0-9][0-9]-[0-9][0-9].jsonl"))
	if err != nil {
		return fmt.Errorf("list the checkpoints outside: %w", err)
	}
	slices.Sort(names)
	c.last, c.torn = Checkpoint{}, false
	for _, name := range slices.Backward(names) {
		torn, err := eachCopy(name, func(p Checkpoint) {
			if p.Size >= c.last.Size {
				c.last = p
			}
		})
		if err != nil {
			return fmt.Errorf("read the checkpoints outside: %w", err)
		}
		c.torn = c.torn || torn // a line that is empty harms no file
		if c.last.Size > 0 {
			break
		}
	}
	c.read = true
	return nil
}

func escapeGlob(s string) string {
	var b []byte
	for i := range len(s) {
		if bytes.IndexByte([]byte(`*?[\`), s[i]) >= 0 {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return string(b)
}

// eachCopy hands over each checkpoint of a file. torn tells that the file ends within a line.
func eachCopy(name string, fn func(Checkpoint)) (torn bool, err error) {
	f, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer f.Close()
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		if p, ok := parseCopy(line); ok {
			fn(p)
		}
		if err != nil {
			return len(line) > 0, nil
		}
	}
}

// parseCopy reads a line.
func parseCopy(line []byte) (Checkpoint, bool) {
	var k kept
	if json.Unmarshal(line, &k) != nil {
		return Checkpoint{}, false
	}
	p, err := ParseCheckpoint(k.Note)
	return p, err == nil && p.Size == k.Size
}

// ReadCopies reads the checkpoints of a file, or of every file of a folder, that a Tree has written; or the one of a file that is a note. spoiled
// says where there is a line that holds none and is not the trace of a crash.
func ReadCopies(path string) (all []Checkpoint, spoiled []string, err error) {
	names := []string{path}
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		names, err = filepath.Glob(filepath.Join(escapeGlob(path), "*.jsonl"))
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &problem.Error{
			Kind: problem.NotFound, What: "read checkpoints from " + path, Why: "there is no such file or folder", Hint: "name the folder of audit.checkpoints, or a copy of it",
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("find checkpoints in %s: %w", path, err)
	}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return nil, nil, fmt.Errorf("read checkpoints: %w", err)
		}
		some, bad := copiesOf(text)
		for _, line := range bad {
			spoiled = append(spoiled, fmt.Sprintf("line %d of %s", line, name))
		}
		all = append(all, some...)
	}
	return all, spoiled, nil
}

// copiesOf reads what a file holds. bad are the numbers of lines without a checkpoint that no crash explains: a crash cuts a line, and the next
// one that is written is the same, whole; so only the last may be cut.
func copiesOf(text []byte) (all []Checkpoint, bad []int) {
	if p, err := ParseCheckpoint(string(text)); err == nil {
		return []Checkpoint{p}, nil
	}
	lines := bytes.Split(text, []byte{'\n'})
	var whole []byte // of which a cut line is the beginning
	for i, line := range slices.Backward(lines) {
		p, ok := parseCopy(line)
		cut := bytes.TrimRight(line, "\x00 \r") // a file system may put zeros where a crash kept the rest away
		switch {
		case ok:
			all, whole = append(all, p), line
		case i == len(lines)-1 && bytes.HasPrefix(cut, []byte(`{"size":`)):
			whole = line
		case len(cut) > 0 && !bytes.HasPrefix(whole, cut):
			bad = append(bad, i+1)
		}
	}
	slices.Reverse(all)
	slices.Reverse(bad)
	return all, bad
}
