package audit

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// exportForm names the form of a file with the record.
const exportForm = "holdfast/audit-export/1"

// exported is one line of such a file: the first has Format and Origin, each other an entry with its place or a checkpoint, which follows
// the last entry that it covers.
type exported struct {
	Format string         `json:"format,omitempty"`
	Origin string         `json:"origin,omitempty"`
	Place  *int64         `json:"place,omitempty"`
	Entry  *exportedEntry `json:"entry,omitempty"`
	Hash   *tlog.Hash     `json:"hash,omitempty"` // of the entry in the tree, so that one that is altered is told by its number
	Note   string         `json:"checkpoint,omitempty"`
}

// exportedEntry is an entry in JSON. Before and After are text, exactly as they are kept.
type exportedEntry struct {
	Seq     int64     `json:"seq"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	From    string    `json:"from"`
	Action  string    `json:"action"`
	Object  string    `json:"object"`
	Reason  string    `json:"reason"`
	Before  *string   `json:"before"`
	After   *string   `json:"after"`
	Outcome string    `json:"outcome"`

	Signature *string `json:"signature,omitempty"`
}

// Export writes the record as far as the tree has it: one JSON object a line, entries in the order of their places, each checkpoint after
// the last entry that it covers. VerifyExport checks it anywhere.
func Export(ctx context.Context, db *store.DB, origin string, w io.Writer) error {
	out := bufio.NewWriter(w)
	to := json.NewEncoder(out)
	to.SetEscapeHTML(false)
	if err := to.Encode(exported{Format: exportForm, Origin: origin}); err != nil {
		return fmt.Errorf("write the audit record: %w", err)
	}
	err := db.View(ctx, func(tx *store.Tx) error {
		for from := int64(0); ; from += leavesAtOnce {
			n, err := exportPage(ctx, tx, to, from)
			if err != nil || n == 0 {
				return err
			}
		}
	})
	if err != nil {
		return fmt.Errorf("export the audit record: %w", err)
	}
	return out.Flush()
}

func exportPage(ctx context.Context, tx *store.Tx, to *json.Encoder, from int64) (int, error) {
	var leaves []placed
	if err := tx.Select(ctx, &leaves, selectPlaced, from, from+leavesAtOnce); err != nil {
		return 0, err
	}
	var rows []checkpointRow
	if err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE size > ? AND size <= ? ORDER BY size`, from, from+leavesAtOnce); err != nil {
		return 0, err
	}
	hashes, err := hashesOf(ctx, tx, from, from+int64(len(leaves)))
	if err != nil {
		return 0, err
	}
	for i, l := range leaves {
		e := l.entry()
		if l.Seq == 0 || len(hashes[i]) == 0 || l.Leaf != from+int64(i) {
			return 0, &problem.Error{
				Kind: problem.Integrity, What: fmt.Sprintf("export audit entry %d", l.Entry), Why: "it or its hash is gone",
				Hint: "holdfast audit verify tells what else was altered",
			}
		}
		line := exported{Place: &l.Leaf, Hash: &hashes[i][0], Entry: &exportedEntry{
			e.Seq, e.At, e.Actor, e.From, e.Action, e.Object, e.Reason, textOf(e.Before), textOf(e.After), e.Outcome, textOf(e.Signature),
		}}
		if err := to.Encode(line); err != nil {
			return 0, err
		}
		for len(rows) > 0 && rows[0].Size <= l.Leaf+1 {
			if err := to.Encode(exported{Note: rows[0].Note}); err != nil {
				return 0, err
			}
			rows = rows[1:]
		}
	}
	return len(leaves), nil
}

func textOf(b []byte) *string {
	if b == nil {
		return nil
	}
	s := string(b)
	return &s
}

func bytesOf(s *string) []byte {
	if s == nil {
		return nil
	}
	return []byte(*s)
}

// entry is the entry of a line.
func (e exportedEntry) entry() Entry {
	return Entry{
		Seq: e.Seq, At: e.At, Actor: e.Actor, From: e.From, Action: e.Action, Object: e.Object, Reason: e.Reason,
		Before: bytesOf(e.Before), After: bytesOf(e.After), Outcome: e.Outcome, Signature: bytesOf(e.Signature),
	}
}

// VerifyExport checks what Export has written, against its own checkpoints and those that were kept elsewhere, without any database. The
// error is of kind Invalid for a file that is none.
func VerifyExport(r io.Reader, origin string, outside []Checkpoint, by Signatures) (Report, error) {
	from := json.NewDecoder(r)
	var head exported
	if err := from.Decode(&head); err != nil || head.Format != exportForm {
		return Report{}, noExport(1, err)
	}
	if origin == "" {
		origin = head.Origin
	}
	v := newVerifier(origin, outside, by)
	if head.Origin != origin {
		v.wrong(0, "the file is of another plant: %s", head.Origin)
	}
	for n := 2; from.More(); n++ {
		var line exported
		if err := from.Decode(&line); err != nil {
			return Report{}, noExport(n, err)
		}
		switch {
		case line.Entry != nil && line.Place != nil && line.Hash != nil:
			v.exported(*line.Place, line.Entry.entry(), *line.Hash)
		case line.Note != "":
			v.exportedNote(n, line.Note)
		default:
			return Report{}, noExport(n, nil)
		}
	}
	return v.end(), nil
}

// exported takes an entry of a file.
func (v *verifier) exported(place int64, e Entry, hash tlog.Hash) {
	if place != v.read.size {
		v.wrong(e.Seq, "entry %d is at place %d, where place %d comes next", e.Seq, place, v.read.size)
	}
	r := row{
		Seq: e.Seq, At: store.Micros(e.At), Actor: e.Actor, Origin: e.From, Action: e.Action, Object: e.Object, Reason: e.Reason,
		Old: e.Before, New: e.After, Outcome: e.Outcome, Sig: e.Signature,
	}
	v.leaf(placed{Leaf: v.read.size, Entry: e.Seq, row: r}, []tlog.Hash{hash})
}

// exportedNote takes a checkpoint of a file.
func (v *verifier) exportedNote(line int, note string) {
	v.report.Checkpoints++
	c, err := ParseCheckpoint(note)
	if err != nil {
		v.wrong(0, "line %d: the checkpoint was changed", line)
		return
	}
	v.compare(c, "in the file")
}

func noExport(line int, cause error) error {
	return &problem.Error{
		Kind: problem.Invalid, What: "read an exported audit record", Why: fmt.Sprintf("line %d is not what holdfast audit export writes", line),
		Hint: "export it anew", Cause: cause,
	}
}

// ExportOrigin tells of which plant an exported record is, and leaves the file at its beginning.
func ExportOrigin(f io.ReadSeeker) (string, error) {
	var head exported
	if err := json.NewDecoder(f).Decode(&head); err != nil || head.Format != exportForm {
		return "", noExport(1, err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("read an exported audit record: %w", err)
	}
	return head.Origin, nil
}
