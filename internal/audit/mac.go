package audit

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// MACsBegin is the action of the entry from which on every entry has a MAC under a key of the plant's keyring, which who can write the
// database alone cannot make. What has none and comes later was put in.
const MACsBegin = "audit.macs"

// macsBegun is what such an entry says.
type macsBegun struct {
	WithoutMAC int64     `json:"without_mac"`   // so many entries before have none
	Root       tlog.Hash `json:"root,omitzero"` // of the tree of these; an earlier release did not say

	Receipts *receiptsBegun `json:"receipts,omitempty"` // receipts begin with it too
}

// record is the object of entries about the record itself.
const record = "audit/record"

// chainRow is a chain that this transaction may add to, and the number that its entry gets.
type chainRow struct {
	ID     int64  `db:"id"`
	Length int64  `db:"length"`
	MAC    []byte `db:"mac"`
	Seq    int64  `db:"seq"`
}

// takeChain locks a chain that no other transaction is adding to; nil where there is none.
func takeChain(ctx context.Context, tx *store.Tx) (*chainRow, error) {
	var all []chainRow
	query := selectChainSQLite
	if tx.Dialect() == store.Postgres {
		query = selectChainPostgres
	}
	if err := tx.Select(ctx, &all, query); err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

// newChain is one more chain: as many there are as transactions ever wrote at the same time, and one more for each that somebody has ended by putting an
// entry at its next place. Where they have put one at the first place of the chain to come too, it has a number that nobody can tell before.
func newChain(ctx context.Context, tx *store.Tx) (*chainRow, error) {
	c := chainRow{MAC: []byte{}}
	if err := tx.Get(ctx, &c.ID, `INSERT INTO audit_chains (length, mac) VALUES (0, ?) RETURNING id`, c.MAC); err != nil {
		return nil, err
	}
	var taken bool
	if err := tx.Get(ctx, &taken, `SELECT EXISTS (SELECT 1 FROM audit_entries WHERE chain = ? AND link = 1 AND chain > 0)`, c.ID); err != nil {
		return nil, err
	}
	if taken {
		if _, err := tx.Exec(ctx, `DELETE FROM audit_chains WHERE id = ?`, c.ID); err != nil {
			return nil, err
		}
		c.ID += 1 + rand.Int64N(1<<50) //nolint:gosec // nobody has to keep it secret once it is there
		if _, err := tx.Exec(ctx, insertChain(tx.Dialect()), c.ID, c.MAC); err != nil {
			return nil, err
		}
	}
	return &c, tx.Get(ctx, &c.Seq, nextSeq(tx.Dialect()))
}

func nextSeq(d store.Dialect) string {
	if d == store.Postgres {
		return `SELECT ` + nextSeqPostgres
	}
	return `SELECT ` + nextSeqSQLite
}

// write inserts the entry: with a MAC, and as the next of a chain, once the plant makes MACs.
func (e Entry) write(ctx context.Context, tx *store.Tx) error {
	c, err := takeChain(ctx, tx)
	if err != nil {
		return err
	}
	if c == nil {
		n, err := tx.Exec(ctx, insertEntry(tx.Dialect()), store.Micros(e.At), e.Actor, e.From, e.Action, e.Object, e.Reason, e.Before, e.After, e.Outcome, e.Signature)
		if err != nil || n == 1 {
			return err
		}
		if c, err = newChain(ctx, tx); err != nil { // there are MACs, and every chain is taken
			return err
		}
	}
	return e.add(ctx, tx, *c)
}

func (e Entry) add(ctx context.Context, tx *store.Tx, c chainRow) error {
	e.Seq = c.Seq
	r := row{Seq: c.Seq, Chain: c.ID, Link: c.Length + 1, Previous: c.MAC}
	cell, err := r.cell(e)
	if err != nil {
		return err
	}
	mac, epoch, err := tx.MAC(ctx, cell)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, insertWithMAC(tx.Dialect()), e.Seq, store.Micros(e.At), e.Actor, e.From, e.Action, e.Object, e.Reason, e.Before, e.After, e.Outcome, e.Signature,
		r.Chain, r.Link, r.Previous, mac, epoch)
	if err != nil {
		return err
	}
	return tx.Later(ctx, `UPDATE audit_chains SET length = ?, mac = ? WHERE id = ?`, r.Link, mac, r.Chain)
}

// cell is what the MAC of an entry is of: the entry with its number, and its place in its chain.
func (r row) cell(e Entry) (store.Cell, error) {
	leaf, err := e.Leaf()
	return store.Cell{
		Table: "audit_entries", Row: strconv.FormatInt(r.Seq, 10),
		Bound: [][]byte{leaf, strconv.AppendInt(nil, r.Chain, 10), strconv.AppendInt(nil, r.Link, 10), r.Previous},
	}, err
}

// HasMACs tells whether entries have MACs: by its chains, and also by the entry that says so and by the newest checkpoint, should somebody remove the one or the other.
func HasMACs(ctx context.Context, tx *store.Tx) (is bool, err error) {
	err = tx.Get(ctx, &is, `SELECT `+selectHasMACs+` OR COALESCE((SELECT note LIKE ? FROM audit_checkpoints ORDER BY size DESC LIMIT 1), FALSE)`, record, MACsBegin, notedMACs)
	return is, err
}

// macsThere is HasMACs by what the record holds of them alone: without it nothing can go on with them.
func macsThere(ctx context.Context, tx *store.Tx) (is bool, err error) {
	err = tx.Get(ctx, &is, `SELECT `+selectHasMACs, record, MACsBegin)
	return is, err
}

// macsFrom is one more than the place of the first entry of MACsBegin before a size that the plant has written; 0 if there is none, or its key is not at hand.
func macsFrom(ctx context.Context, tx *store.Tx, size int64) (int64, error) {
	var rows []placed
	if err := tx.Select(ctx, &rows, selectBegin, record, MACsBegin, size); err != nil {
		return 0, fmt.Errorf("read since when audit entries have MACs: %w", err)
	}
	for _, p := range rows {
		if good, err := p.genuine(ctx, tx); good || err != nil && !keyMissing(err) {
			return p.Leaf + 1, err
		}
	}
	return 0, nil
}

// BeginMACs gives every entry a MAC from now on, and says so in the first. What waits gets its place before it: after it nothing without a
// MAC is taken. It is nothing where they have already. With receipts it says so of them too (BeginReceipts).
func BeginMACs(ctx context.Context, tx *store.Tx, actor string, receipts func(ctx context.Context, tx *store.Tx) (bool, error)) error {
	var at treeRow
	if err := tx.Get(ctx, &at, selectTree+tx.ForUpdate()); err != nil {
		return fmt.Errorf("begin to give audit entries MACs: %w", treeGone(err))
	}
	if is, err := macsThere(ctx, tx); err != nil || is {
		return err
	}
	had, err := HasMACs(ctx, tx)
	if err == nil && !had {
		err = tx.Get(ctx, &had, selectHad, record, MACsBegin)
	}
	if err != nil || had {
		return cmp.Or(err, begunBefore("audit entries"))
	}
	if tx.Dialect() == store.Postgres { // who writes an entry now has written it or sees the chain
		if _, err := tx.Exec(ctx, `LOCK TABLE audit_entries IN SHARE ROW EXCLUSIVE MODE`); err != nil {
			return fmt.Errorf("begin to give audit entries MACs: %w", err)
		}
	}
	g, err := readEdge(ctx, tx, at.Size)
	for after, more := int64(0), true; more && err == nil; {
		var rows []row
		if err = tx.Select(ctx, &rows, selectPending, after, atOnce); err != nil || len(rows) == 0 {
			break
		}
		after, more = rows[len(rows)-1].Seq, len(rows) == atOnce
		if rows, _, err = (&stand{now: tx.Now}).honestOf(ctx, tx, rows); err == nil {
			err = place(ctx, tx, g, rows)
		}
	}
	if err != nil {
		return fmt.Errorf("begin to give audit entries MACs: %w", err)
	}
	c, err := newChain(ctx, tx)
	if err == nil {
		at.Size = g.size
		err = at.write(ctx, tx)
	}
	if err != nil {
		return fmt.Errorf("begin to give audit entries MACs: %w", err)
	}
	begun := macsBegun{WithoutMAC: g.size, Root: g.root()}
	if receipts != nil {
		begun.Receipts, err = receiptsFrom(ctx, tx, receipts)
	}
	after, merr := json.Marshal(begun)
	if err = errors.Join(err, merr); err != nil {
		return fmt.Errorf("begin to give audit entries MACs: %w", err)
	}
	e := Entry{At: tx.Now, Actor: actor, Action: MACsBegin, Object: record, After: after}
	return e.text().add(ctx, tx, *c)
}

// macs judges entries in the order of their places, then those that wait: whether each was written by the plant, as it is, and after the one that
// is before it in its chain.
type macs struct {
	began bool               // the entry of MACsBegin was met: from here on each has a MAC
	part  bool               // what came before is not looked at: the first of a chain follows what is there
	last  map[int64]chainRow // the last of each chain
}

func newMACs(began bool) *macs {
	return &macs{began: began, part: began, last: map[int64]chainRow{}}
}

// judge says what is wrong with an entry, "" for nothing. forged tells that it is not what
// Holdfast wrote, or not where; else what is wrong is before it. The error
// is keyMissing where the key of its MAC is not at hand.
func (m *macs) judge(ctx context.Context, tx *store.Tx, r row) (wrong string, forged bool, err error) {
	if !r.bare() && !m.began && (r.Chain == 0 || len(r.MAC) == 0) {
		return fmt.Sprintf("entry %d was changed: it has a part of a MAC (chain, link, MAC before, MAC, epoch), and Holdfast writes all or none", r.Seq), true, nil
	}
	if r.Chain == 0 || len(r.MAC) == 0 {
		if m.began {
			return fmt.Sprintf("entry %d was not written by Holdfast: it has no MAC, and each since the entry of %s has one", r.Seq, MACsBegin), true, nil
		}
		return "", false, nil
	}
	e := r.entry()
	cell, err := r.cell(e)
	if err == nil {
		err = tx.CheckMAC(ctx, cell, r.Epoch, r.MAC)
	}
	if err != nil && problem.KindOf(err) == problem.Integrity {
		return fmt.Sprintf("entry %d was not written by Holdfast as it is: it was put in, changed, or moved to this number", r.Seq), true, nil
	}
	if problem.KindOf(err) == problem.NotFound { // it is of no chain of the plant's
		return "", false, err
	}
	m.began = m.began || e.Action == MACsBegin
	wrong, forged = m.follows(r)
	return wrong, forged, err
}

// bare tells that an entry has nothing of a MAC, as those from before there were any.
func (r row) bare() bool {
	return r.Chain == 0 && r.Link == 0 && r.Epoch == 0 && len(r.Previous) == 0 && len(r.MAC) == 0
}

// keyMissing tells that the key of a MAC is not at hand: it is waited for (Unavailable), or the plant never had it (NotFound).
func keyMissing(err error) bool {
	k := problem.KindOf(err)
	return k == problem.Unavailable || k == problem.NotFound
}

// follows takes the entry for the last of its chain, and says what is wrong before it. moved tells that it is not where it was.
func (m *macs) follows(r row) (wrong string, moved bool) {
	last, known := m.last[r.Chain]
	m.last[r.Chain] = chainRow{ID: r.Chain, Length: r.Link, MAC: r.MAC, Seq: r.Seq}
	switch {
	case !known && m.part:
	case r.Link <= last.Length:
		return fmt.Sprintf("entry %d was moved behind entry %d, which was written after it", r.Seq, last.Seq), true
	case r.Link != last.Length+1 || !bytes.Equal(r.Previous, last.MAC):
		return fmt.Sprintf("what was written before entry %d (chain %d, link %d) was removed or altered", r.Seq, r.Chain, r.Link), false
	}
	return "", false
}

// heads says which chains do not end with what was met last of them.
func (m *macs) heads(ctx context.Context, tx *store.Tx) (wrong []string, err error) {
	var rows []chainRow
	if err := tx.Select(ctx, &rows, `SELECT id, length, mac FROM audit_chains ORDER BY id`); err != nil {
		return nil, err
	}
	for _, c := range rows {
		last, known := m.last[c.ID]
		switch {
		case !known && m.part:
		case !known || last.Length < c.Length:
			wrong = append(wrong, fmt.Sprintf("%d written last in chain %d, after entry %d, removed or altered", c.Length-last.Length, c.ID, last.Seq))
		case last.Length != c.Length || !bytes.Equal(last.MAC, c.MAC):
			wrong = append(wrong, fmt.Sprintf("chain %d says that it ends before entry %d: it was set back", c.ID, last.Seq))
		}
		delete(m.last, c.ID)
	}
	for id, last := range m.last {
		wrong = append(wrong, fmt.Sprintf("chain %d, which ends with entry %d, was removed", id, last.Seq))
	}
	if len(rows) > 0 && !m.began {
		wrong = append(wrong, "the entry of "+MACsBegin+" was removed, and entries without a MAC are not told from those of Holdfast")
	}
	return wrong, nil
}

// before gives a chain's entry before one that waits, for who looks at those that wait alone.
func before(ctx context.Context, tx *store.Tx, r row) (c chainRow, err error) {
	err = tx.Get(ctx, &c, `SELECT chain AS id, link AS length, mac, seq FROM audit_entries WHERE chain = ? AND link = ? AND chain > 0`, r.Chain, r.Link-1)
	if errors.Is(err, sql.ErrNoRows) {
		return chainRow{}, nil
	}
	return c, err
}
