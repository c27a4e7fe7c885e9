package audit

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// proofForm is the first line of a proof (c2sp.org/tlog-proof).
const proofForm = "c2sp.org/tlog-proof@v1"

// Prove is the proof that an entry is in the record, by the first checkpoint that covers it, which tells best when it was there: a text that anybody can check who has the
// public keys, without the database (c2sp.org/tlog-proof; its extra data is the entry's Leaf). The error is of kind NotFound for an entry
// that there is not, of kind Conflict for one that no checkpoint covers yet.
func Prove(ctx context.Context, tx *store.Tx, seq int64) (string, error) {
	return prove(ctx, tx, seq, "")
}

// ProveNow is Prove by the newest checkpoint, which a key that still counts has signed: it tells whether the entry is in the record as it is now.
func ProveNow(ctx context.Context, tx *store.Tx, seq int64) (string, error) {
	return prove(ctx, tx, seq, " DESC")
}

func prove(ctx context.Context, tx *store.Tx, seq int64, order string) (string, error) {
	what := fmt.Sprintf("prove audit entry %d", seq)
	var rows []row
	if err := tx.Select(ctx, &rows, selectEntries+` WHERE seq = ?`, seq); err != nil {
		return "", fmt.Errorf("read audit entry %d: %w", seq, err)
	}
	if len(rows) == 0 {
		return "", &problem.Error{Kind: problem.NotFound, What: what, Why: "there is none of this number", Hint: "list them with: holdfast audit list"}
	}
	var covers []struct {
		Leaf int64  `db:"leaf"`
		Note string `db:"note"`
	}
	err := tx.Select(ctx, &covers, `SELECT leaf, note FROM audit_leaves JOIN audit_checkpoints ON size > leaf AND `+upToTree+` WHERE entry = ? ORDER BY size`+order+` LIMIT 1`, seq)
	if err != nil {
		return "", fmt.Errorf("read the place of audit entry %d: %w", seq, err)
	}
	if len(covers) == 0 {
		return "", &problem.Error{
			Kind: problem.Conflict, What: what, Why: "no checkpoint covers it yet", Hint: "try again in a minute, while holdfast serve runs",
		}
	}
	c, err := ParseCheckpoint(covers[0].Note)
	if err != nil {
		return "", err
	}
	path, err := tlog.ProveRecord(c.Size, covers[0].Leaf, stored(ctx, tx))
	if err != nil {
		return "", err
	}
	leaf, err := rows[0].entry().Leaf()
	if err != nil {
		return "", err
	}
	if tlog.CheckRecord(path, c.Size, c.Root, covers[0].Leaf, tlog.RecordHash(leaf)) != nil {
		return "", &problem.Error{
			Kind: problem.Integrity, What: what, Why: "the record was altered since it was sealed", Hint: "holdfast audit verify tells what was",
		}
	}
	return writeProof(leaf, covers[0].Leaf, path, c.Note), nil
}

// Newest is the checkpoint that covers the most. The error is of kind NotFound where there is none yet.
func Newest(ctx context.Context, tx *store.Tx) (Checkpoint, error) {
	var rows []checkpointRow
	if err := tx.Select(ctx, &rows, selectCheckpoints+` WHERE `+upToTree+` ORDER BY size DESC LIMIT 1`); err != nil {
		return Checkpoint{}, fmt.Errorf("read the newest checkpoint of the audit record: %w", err)
	}
	if len(rows) == 0 {
		return Checkpoint{}, &problem.Error{
			Kind: problem.NotFound, What: "read the newest checkpoint of the audit record", Why: "there is none yet", Hint: "try again in a minute, while holdfast serve runs",
		}
	}
	return ParseCheckpoint(rows[0].Note)
}

// Consistency is the proof that the record of to entries begins with the record of from entries (RFC 6962 section 2.1.2): who has the roots of
// both, of checkpoints, checks it with tlog.CheckTree or any other program. to is 0 for the newest checkpoint, and is given back. The error is of
// kind NotFound for more entries than the newest checkpoint covers, and Invalid for a from that is after to.
func Consistency(ctx context.Context, tx *store.Tx, from, to int64) (tlog.TreeProof, int64, error) {
	newest, err := Newest(ctx, tx)
	if err != nil {
		return nil, 0, err
	}
	if to == 0 {
		to = newest.Size
	}
	what := fmt.Sprintf("prove that the record of %d entries begins with that of %d", to, from)
	switch {
	case from < 1 || from > to:
		return nil, 0, &problem.Error{Kind: problem.Invalid, What: what, Why: "the earlier one is not the smaller one", Hint: "name the sizes of two checkpoints"}
	case to > newest.Size:
		return nil, 0, &problem.Error{
			Kind: problem.NotFound, What: what, Why: fmt.Sprintf("the newest checkpoint covers %d entries", newest.Size), Hint: "if somebody holds a checkpoint of more, the record was cut: holdfast audit verify",
		}
	}
	proof, err := tlog.ProveTree(to, from, stored(ctx, tx))
	return proof, to, err
}

func writeProof(leaf []byte, place int64, path tlog.RecordProof, note string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\nextra %s\nindex %d\n", proofForm, base64.StdEncoding.EncodeToString(leaf), place)
	for _, h := range path {
		fmt.Fprintln(&b, h)
	}
	return b.String() + "\n" + note
}

// Proven is what a proof says.
type Proven struct {
	Entry      Entry
	Place      int64
	Checkpoint Checkpoint
}

// CheckProof reads a proof and checks that its entry is in the tree of its checkpoint. Who vouches for the checkpoint is for the caller to
// ask (Checkpoint.Check). Anything else than a proof that holds is an error of kind Integrity.
func CheckProof(text string) (Proven, error) {
	p, err := checkProof(text)
	if err != nil {
		return p, &problem.Error{
			Kind: problem.Integrity, What: "check a proof of an audit entry", Why: err.Error(), Hint: "have it made anew with: holdfast audit prove",
		}
	}
	return p, nil
}

func checkProof(text string) (Proven, error) {
	head, note, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 3 || lines[0] != proofForm {
		return Proven{}, errors.New("it is none in the form " + proofForm)
	}
	extra, ok := strings.CutPrefix(lines[1], "extra ")
	leaf, err := base64.StdEncoding.Strict().DecodeString(extra)
	if err != nil || !ok {
		return Proven{}, errors.New("it has no entry in it")
	}
	index, ok := strings.CutPrefix(lines[2], "index ")
	place, err := strconv.ParseInt(index, 10, 64)
	if err != nil || !ok || place < 0 || strconv.FormatInt(place, 10) != index {
		return Proven{}, errors.New("it has no index")
	}
	var path tlog.RecordProof
	for _, l := range lines[3:] {
		h, err := tlog.ParseHash(l)
		if err != nil || h.String() != l {
			return Proven{}, errors.New("it has a hash that is none")
		}
		path = append(path, h)
	}
	p := Proven{Place: place}
	if p.Checkpoint, err = parseCheckpoint(note); err != nil {
		return p, fmt.Errorf("its checkpoint is none: %w", err)
	}
	if p.Entry, err = ParseLeaf(leaf); err != nil {
		return p, err
	}
	if place >= p.Checkpoint.Size || tlog.CheckRecord(path, p.Checkpoint.Size, p.Checkpoint.Root, place, tlog.RecordHash(leaf)) != nil {
		return p, errors.New("the entry is not in the tree of the checkpoint")
	}
	return p, nil
}

// ParseLeaf reads what Entry.Leaf wrote, and nothing else.
func ParseLeaf(leaf []byte) (Entry, error) {
	var parts [12][]byte // the last one of an entry that a person signed
	rest := leaf
	for i := range parts {
		if i == 11 && len(rest) == 0 {
			break
		}
		if len(rest) < 8 {
			return Entry{}, errors.New("the entry is cut")
		}
		n := binary.BigEndian.Uint64(rest)
		rest = rest[8:]
		if n == absent {
			continue
		}
		if n > uint64(len(rest)) {
			return Entry{}, errors.New("the entry is cut")
		}
		parts[i], rest = rest[:n:n], rest[n:]
	}
	seq, err1 := strconv.ParseInt(string(parts[1]), 10, 64)
	at, err2 := strconv.ParseInt(string(parts[2]), 10, 64)
	e := Entry{
		Seq: seq, At: store.FromMicros(at), Actor: string(parts[3]), From: string(parts[4]), Action: string(parts[5]), Object: string(parts[6]),
		Reason: string(parts[7]), Outcome: string(parts[8]), Before: parts[9], After: parts[10], Signature: parts[11],
	}
	again, err3 := e.Leaf()
	if errors.Join(err1, err2, err3) != nil || !bytes.Equal(again, leaf) {
		return Entry{}, errors.New("the entry is of no form that is known here")
	}
	return e, nil
}
