package audit

import (
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// leafForm begins the bytes of each leaf, so that those of another form, if there will be one, are never taken for these.
const leafForm = "holdfast/audit-entry/1"

// absent stands for the length of a part that there is not, so that none is told from an empty one.
const absent = ^uint64(0)

// Leaf is the entry as the tree has it: leafForm, then every column, each preceded by its length in eight bytes, most significant first.
// An entry that a person signed has its signature as one more part. Whoever knows this can check the record without Holdfast (docs/audit.md). The time is in microseconds since 1970.
func (e Entry) Leaf() ([]byte, error) {
	b := make([]byte, 0, 256+len(e.Before)+len(e.After))
	for _, part := range []string{
		leafForm, strconv.FormatInt(e.Seq, 10), strconv.FormatInt(store.Micros(e.At), 10), e.Actor, e.From, e.Action, e.Object, e.Reason, e.Outcome,
	} {
		if !utf8.ValidString(part) {
			return nil, &problem.Error{
				Kind: problem.Integrity, What: fmt.Sprintf("read audit entry %d", e.Seq), Why: "it is not text any more",
				Hint: "the database was altered behind Holdfast: find out by whom",
			}
		}
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	last := [][]byte{e.Before, e.After}
	if e.Signature != nil {
		last = append(last, e.Signature)
	}
	for _, part := range last {
		if part == nil {
			b = binary.BigEndian.AppendUint64(b, absent)
			continue
		}
		b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
		b = append(b, part...)
	}
	return b, nil
}

// hash is the entry's hash in the tree (RFC 6962).
func (e Entry) hash() (tlog.Hash, error) {
	b, err := e.Leaf()
	return tlog.RecordHash(b), err
}

// edge is the right edge of a growing tree: the roots of the whole subtrees of which it consists, the largest first. It is all that is
// needed to add leaves, and to know the root after each.
type edge struct {
	size  int64
	roots []tlog.Hash
}

// edgeAt lists where the hashes are of which the edge of a tree of that size consists.
func edgeAt(size int64) []int64 {
	var at []int64
	done := int64(0)
	for level := 62; level >= 0; level-- {
		if size&(1<<level) != 0 {
			at = append(at, tlog.StoredHashIndex(level, done>>level))
			done += 1 << level
		}
	}
	return at
}

// add adds a leaf and returns the hashes that are whole with it, which follow those of the leaf before in the order of audit_hashes.
func (g *edge) add(leaf tlog.Hash) []tlog.Hash {
	whole := []tlog.Hash{leaf}
	for n := g.size; n&1 == 1; n >>= 1 {
		last := len(g.roots) - 1
		whole = append(whole, tlog.NodeHash(g.roots[last], whole[len(whole)-1]))
		g.roots = g.roots[:last]
	}
	g.roots = append(g.roots, whole[len(whole)-1])
	g.size++
	return whole
}

// root is the root of the tree; that of an empty one is of no use to anybody.
func (g *edge) root() tlog.Hash {
	if len(g.roots) == 0 {
		return tlog.Hash{}
	}
	h := g.roots[len(g.roots)-1]
	for i := len(g.roots) - 2; i >= 0; i-- {
		h = tlog.NodeHash(g.roots[i], h)
	}
	return h
}

// hashesOf reads the kept hashes of leaves from … to-1, each with those that became whole with it. What is gone, or of another length, is left out.
func hashesOf(ctx context.Context, tx *store.Tx, from, to int64) ([][]tlog.Hash, error) {
	var rows []hashRow
	first := tlog.StoredHashCount(from)
	err := tx.Select(ctx, &rows, `SELECT pos, hash FROM audit_hashes WHERE pos >= ? AND pos < ? ORDER BY pos`, first, tlog.StoredHashCount(to))
	if err != nil {
		return nil, err
	}
	byPos := make(map[int64]tlog.Hash, len(rows))
	for _, r := range rows {
		if len(r.Hash) == tlog.HashSize {
			byPos[r.Pos] = tlog.Hash(r.Hash)
		}
	}
	out := make([][]tlog.Hash, to-from)
	for n := from; n < to; n++ {
		for pos := tlog.StoredHashCount(n); pos < tlog.StoredHashCount(n+1); pos++ {
			h, ok := byPos[pos]
			if !ok && pos == tlog.StoredHashCount(n) {
				break
			}
			out[n-from] = append(out[n-from], h)
		}
	}
	return out, nil
}
