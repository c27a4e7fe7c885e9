package audit

import (
	"context"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// insertEntry inserts an entry unless entries have MACs.
func insertEntry(d store.Dialect) string {
	seq, number := "seq, ", nextSeqSQLite+", "
	if d == store.Postgres {
		seq, number = "", ""
	}
	return `INSERT INTO audit_entries (` + seq + `at, actor, origin, action, object, reason, old, new, outcome, signature)
SELECT ` + number + `?, ?, ?, ?, ?, ?, ?, ?, ?, ? WHERE NOT EXISTS (SELECT 1 FROM audit_chains)`
}

// insertChain begins a chain under a number of its own.
func insertChain(d store.Dialect) string {
	if d == store.Postgres {
		return `INSERT INTO audit_chains (id, length, mac) OVERRIDING SYSTEM VALUE VALUES (?, 0, ?)`
	}
	return `INSERT INTO audit_chains (id, length, mac) VALUES (?, 0, ?)`
}

// insertWithMAC inserts an entry whose number is known, as its MAC is of that too.
func insertWithMAC(d store.Dialect) string {
	own := ""
	if d == store.Postgres {
		own = " OVERRIDING SYSTEM VALUE"
	}
	return `INSERT INTO audit_entries (seq, at, actor, origin, action, object, reason, old, new, outcome, signature, chain, link, previous, mac, epoch)` + own + `
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`
}

const (
	nextSeqPostgres = `nextval(pg_get_serial_sequence('audit_entries', 'seq')) AS seq`

	// One more than the largest number there ever was, as SQLite itself remembers it. Who can write the database can have it remember anything, or put an entry
	// under a number after which there is none: then it is the number after the largest that is free and below 2^62, which no plant comes to.
	nextSeqSQLite = `(SELECT CASE WHEN typeof(s) = 'integer' AND s < 4611686018427387904 AND s >= (SELECT COALESCE(MAX(seq), 0) FROM audit_entries) THEN s + 1
ELSE COALESCE((SELECT e.seq + 1 FROM audit_entries AS e WHERE e.seq BETWEEN 0 AND 4611686018427387902 AND NOT EXISTS (SELECT 1 FROM audit_entries AS f WHERE f.seq = e.seq + 1)
ORDER BY e.seq DESC LIMIT 1), 1) END FROM (SELECT (SELECT seq FROM sqlite_sequence WHERE name = 'audit_entries') AS s)) AS seq`

	// The number is taken once the chain is locked, so that numbers grow along a chain.
	selectChainPostgres = `SELECT c.id, c.length, c.mac, ` + nextSeqPostgres + ` FROM
(SELECT id, length, mac FROM audit_chains WHERE ` + goesOn + ` ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED) AS c`
	selectChainSQLite = `SELECT id, length, mac, ` + nextSeqSQLite + ` FROM audit_chains WHERE ` + goesOn + ` ORDER BY id LIMIT 1`

	// goesOn is a chain at whose next place nothing is. Who puts an entry there ends that chain, and no act.
	goesOn = `NOT EXISTS (SELECT 1 FROM audit_entries AS e WHERE e.chain = audit_chains.id AND e.link = audit_chains.length + 1 AND e.chain > 0)`
)

const columns = `seq, at, actor, origin, action, object, reason, old, new, outcome, signature, chain, link, previous, mac, epoch`

const selectEntries = `SELECT ` + columns + ` FROM audit_entries`

const selectTree = `SELECT size, owner, until, lanes_at, macs, receipts, mac FROM audit_tree WHERE id = 1`

const updateTree = `UPDATE audit_tree SET size = ?, owner = ?, until = ?, lanes_at = ?, receipts = ?, mac = ? WHERE id = 1`

const selectPending = `SELECT ` + columns + ` FROM audit_pending JOIN audit_entries ON seq = entry WHERE entry > ? ORDER BY entry LIMIT ?`

// selectEnds are the chains with the entry that each says is its last.
const selectEnds = `SELECT c.id, c.length, c.mac, COALESCE(e.seq, 0) AS seq, e.mac AS has,
(SELECT COALESCE(MAX(m.link), 0) FROM audit_entries AS m WHERE m.chain = c.id AND m.chain > 0) AS most FROM audit_chains AS c
LEFT JOIN audit_entries AS e ON e.chain = c.id AND e.link = c.length AND e.chain > 0 ORDER BY c.id`

// selectBegan tells whether the entry of MACsBegin has its place before this one.
const selectBegan = `SELECT EXISTS (SELECT 1 FROM audit_entries JOIN audit_leaves ON entry = seq WHERE object = ? AND action = ? AND chain > 0 AND leaf < ?)`

// selectHad tells whether entries have had MACs, also where somebody has taken away what HasMACs looks at.
const selectHad = `SELECT EXISTS (SELECT 1 FROM audit_entries WHERE chain > 0) OR EXISTS (SELECT 1 FROM audit_entries WHERE object = ? AND action = ?)`

// selectHasMACs tells whether there are chains, or the entry that begins them.
const selectHasMACs = `EXISTS (SELECT 1 FROM audit_chains) OR EXISTS (SELECT 1 FROM audit_entries WHERE object = ? AND action = ? AND chain > 0)`

// notedMACs is a checkpoint's note that says where they begin.
const notedMACs = "%\n" + macsLine + "%"

// selectBegin are the entries of MACsBegin that have a place before one.
const selectBegin = `SELECT ` + columns + `, leaf, entry FROM audit_entries JOIN audit_leaves ON entry = seq WHERE object = ? AND action = ? AND chain > 0 AND leaf >= 0 AND leaf < ? ORDER BY leaf`

// selectPlace is the place of an entry that the tree has; none where it waits.
const selectPlace = `SELECT leaf FROM audit_leaves WHERE entry = ? AND leaf >= 0 AND leaf < (SELECT size FROM audit_tree WHERE id = 1)`

// selectMoved is one page of the entries that hold lanes, with their places.
const selectMoved = `SELECT ` + columns + `, leaf, entry FROM audit_entries JOIN audit_leaves ON entry = seq
WHERE object = ? AND action = ? AND at >= ? AND seq > ? ORDER BY seq LIMIT 100`

const insertCheckpoint = `INSERT INTO audit_checkpoints (size, at, node, note) VALUES (?, ?, ?, ?)`

// upToTree leaves out checkpoints of more leaves than there are: nobody has made them.
const upToTree = `size <= (SELECT size FROM audit_tree WHERE id = 1)`

// selectSealed is how many leaves the largest checkpoint covers.
const selectSealed = `SELECT COALESCE(MAX(size), 0) FROM audit_checkpoints WHERE ` + upToTree

// selectMarked tells whether there is an entry that remembers a checkpoint.
const selectMarked = `SELECT seq FROM audit_entries WHERE object = ? AND action = ? AND old IS NOT NULL ORDER BY seq DESC LIMIT 1`

const selectCheckpoints = `SELECT size, at, node, note FROM audit_checkpoints`

// selectPlaced is one page of the tree's leaves with their entries; an entry that is gone has no columns.
const selectPlaced = `SELECT leaf, entry, COALESCE(at, 0) AS at, COALESCE(actor, '') AS actor, COALESCE(origin, '') AS origin, COALESCE(action, '') AS action,
COALESCE(object, '') AS object, COALESCE(reason, '') AS reason, old, new, COALESCE(outcome, '') AS outcome, COALESCE(seq, 0) AS seq, signature,
COALESCE(chain, 0) AS chain, COALESCE(link, 0) AS link, previous, mac, COALESCE(epoch, 0) AS epoch
FROM audit_leaves LEFT JOIN audit_entries ON seq = entry WHERE leaf >= ? AND leaf < ? ORDER BY leaf`

// selectChained is one page of a chain's entries up to a link, the last first, each with its place, -1 where it has none.
const selectChained = `SELECT ` + columns + `, COALESCE(leaf, -1) AS leaf, seq AS entry FROM audit_entries LEFT JOIN audit_leaves ON entry = seq
WHERE chain = ? AND chain > 0 AND link <= ? ORDER BY link DESC LIMIT 1000`

// selectRemoved is a chain that a checkpoint covers, and that there is no more.
const selectRemoved = `SELECT chain FROM audit_entries JOIN audit_leaves ON entry = seq
WHERE chain > 0 AND link = 1 AND leaf < ? AND NOT EXISTS (SELECT 1 FROM audit_chains WHERE id = chain) ORDER BY chain LIMIT 1`

type row struct {
	Seq     int64  `db:"seq"`
	At      int64  `db:"at"`
	Actor   string `db:"actor"`
	Origin  string `db:"origin"`
	Action  string `db:"action"`
	Object  string `db:"object"`
	Reason  string `db:"reason"`
	Old     []byte `db:"old"`
	New     []byte `db:"new"`
	Outcome string `db:"outcome"`
	Sig     []byte `db:"signature"`

	Chain    int64  `db:"chain"`
	Link     int64  `db:"link"`
	Previous []byte `db:"previous"`
	MAC      []byte `db:"mac"`
	Epoch    int64  `db:"epoch"`
}

func (r row) entry() Entry {
	return Entry{
		Seq: r.Seq, At: store.FromMicros(r.At), Actor: r.Actor, From: r.Origin, Action: r.Action, Object: r.Object, Reason: r.Reason,
		Before: r.Old, After: r.New, Outcome: r.Outcome, Signature: r.Sig,
	}
}

// placed is a leaf with its entry.
type placed struct {
	Leaf  int64 `db:"leaf"`
	Entry int64 `db:"entry"`
	row
}

type treeRow struct {
	Size    int64  `db:"size"`
	Owner   string `db:"owner"`
	Until   int64  `db:"until"`
	LanesAt int64  `db:"lanes_at"`
	MACs    int64  `db:"macs"` // whether a node begins with MACs by itself

	Receipts int64 `db:"receipts"` // whether a node begins with those of receipts by itself

	MAC []byte `db:"mac"` // of all these, with its epoch in front; nil until entries have MACs
}

type checkpointRow struct {
	Size int64  `db:"size"`
	At   int64  `db:"at"`
	Node string `db:"node"`
	Note string `db:"note"`
}

// stored reads hashes of the tree, as the functions of tlog ask for them: at these positions, in this order.
func stored(ctx context.Context, tx *store.Tx) tlog.HashReaderFunc {
	return func(at []int64) ([]tlog.Hash, error) {
		if len(at) == 0 {
			return nil, nil
		}
		query, args, err := tx.In(`SELECT pos, hash FROM audit_hashes WHERE pos IN (?)`, at)
		if err != nil {
			return nil, err
		}
		var rows []hashRow
		if err := tx.Select(ctx, &rows, query, args...); err != nil {
			return nil, fmt.Errorf("read hashes of the audit record: %w", err)
		}
		byPos := make(map[int64][]byte, len(rows))
		for _, r := range rows {
			byPos[r.Pos] = r.Hash
		}
		out := make([]tlog.Hash, len(at))
		for i, pos := range at {
			if copy(out[i][:], byPos[pos]) != tlog.HashSize || len(byPos[pos]) != tlog.HashSize {
				return nil, &problem.Error{
					Kind: problem.Integrity, What: fmt.Sprintf("read hash %d of the audit record", pos), Why: "it is gone, or was changed",
					Hint: "the database was altered behind Holdfast: holdfast audit verify tells more",
				}
			}
		}
		return out, nil
	}
}

type hashRow struct {
	Pos  int64  `db:"pos"`
	Hash []byte `db:"hash"`
}
