package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// remembered tells of a checkpoint that an entry remembers, and that is in the database no more.
func (v *verifier) remembered(p placed, m Mark) {
	if v.inside != nil && !v.inside[m.Size] {
		v.wrong(p.Seq, "the checkpoint of %d entries (%s), which entry %d remembers, was removed from the database", m.Size, m.At.Format(time.RFC3339), p.Seq)
	}
}

// madeBy tells where a checkpoint's row names another node than has signed it.
func (v *verifier) madeBy(r checkpointRow) {
	for _, who := range v.signers {
		if who != "anchor" && !strings.HasSuffix(who, seal.NodeURI("", r.Node)) {
			v.wrong(0, "the checkpoint of %d entries in the database says that node %q made it, and %s has signed it: its row was changed", r.Size, r.Node, who)
		}
	}
}

// guards are the triggers by which the database itself refuses to change the record, or has each entry wait for its place.
var guards = map[store.Dialect][]string{
	store.Postgres: {
		"audit_checkpoints_keep", "audit_entries_added", "audit_entries_keep", "audit_entries_mac", "audit_hashes_keep", "audit_leaves_keep", "audit_tree_stays",
	},
	store.SQLite: {
		"audit_checkpoints_keep", "audit_checkpoints_stay", "audit_entries_added", "audit_entries_keep", "audit_entries_mac", "audit_entries_stay", "audit_hashes_keep", "audit_hashes_stay",
		"audit_leaves_keep", "audit_leaves_stay", "audit_tree_stays",
	},
}

// What stands guard: triggers of these tables that are there, not switched off, and do what they did, whatever their names say.
const (
	guardsSQLite = `SELECT name FROM sqlite_master WHERE type = 'trigger' AND substr(name, 1, length(tbl_name)) = tbl_name
AND (sql LIKE '%RAISE(ABORT%' OR name = 'audit_entries_added' AND sql LIKE '%INSERT INTO audit_pending%') AND (sql NOT LIKE '% WHEN %' OR name = 'audit_entries_mac')`
	guardsPostgres = `SELECT t.tgname FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid JOIN pg_proc AS p ON p.oid = t.tgfoid
WHERE NOT t.tgisinternal AND t.tgenabled IN ('O', 'A') AND c.relnamespace = current_schema()::regnamespace AND substr(t.tgname, 1, length(c.relname)) = c.relname
AND (p.prosrc LIKE '%RAISE EXCEPTION%' OR t.tgname = 'audit_entries_added' AND p.prosrc LIKE '%INSERT INTO audit_pending%') AND (t.tgqual IS NULL OR t.tgname = 'audit_entries_mac')`
)

// Unguarded tells which of the database's own guards of the record are gone or switched off: what somebody did meanwhile the MACs and checkpoints tell,
// that they were to be evaded is told here.
func Unguarded(ctx context.Context, tx *store.Tx) (wrong []Wrong, err error) {
	query := guardsSQLite
	if tx.Dialect() == store.Postgres {
		query = guardsPostgres
	}
	var there []string
	if err := tx.Select(ctx, &there, query); err != nil {
		return nil, fmt.Errorf("read what guards the audit record: %w", err)
	}
	for _, name := range guards[tx.Dialect()] {
		if !slices.Contains(there, name) {
			wrong = append(wrong, Wrong{What: fmt.Sprintf("the trigger %s, by which the database guards the record, was removed, changed or switched off: "+
				"find out by whom, and have it made as its migration has it", name)})
		}
	}
	return wrong, nil
}
