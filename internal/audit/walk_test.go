package audit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAnyChangeBySQLIsFoundOut walks over every column of every row of every table of the record: each value is changed, taken away and swapped with
// that of the next row, each row is removed, and put in again under other keys. The triggers that guard the record are gone by then.
func TestAnyChangeBySQLIsFoundOut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &walk{db: db, tables: map[string]*walked{}}
		w.outside, w.by = recordOfEach(t, db)
		whole(t, verify(t, db, w.by, w.outside...))
		w.read(t)
		if got, want := w.names(), []string{"audit_chains", "audit_checkpoints", "audit_entries", "audit_hashes", "audit_leaves", "audit_pending", "audit_tree"}; !slices.Equal(got, want) {
			t.Fatalf("tables of the record are %v, want %v", got, want)
		}
		for _, name := range w.names() {
			t.Run(name, func(t *testing.T) { w.table(t, name, w.tables[name]) })
		}
		whole(t, verify(t, db, w.by, w.outside...))
	})
}

// recordOfEach is a record that has a row of every sort: entries from before MACs, of acts and of lanes, with and without what was before and
// after, with a place that no checkpoint covers, and without one.
func recordOfEach(t *testing.T, db *store.DB) (outside []audit.Checkpoint, by audit.Signatures) {
	t.Helper()
	sign, by := signer(t, db)
	n := int64(0)
	tree := audit.NewTree(db, origin, "a", audit.Config{
		Sign: sign, Check: func(context.Context) (*seal.Notes, error) { return by.(*seal.Notes), nil },
		Lanes: func(context.Context, *store.Tx, time.Time) ([]audit.Head, error) {
			n++
			return []audit.Head{{Link: "erp", Lane: "1", Epoch: 1, Number: n, Digest: "ab"}}, nil
		},
	}, quiet())
	entries(t, db, 1)
	outside = append(outside, sealed(t, tree))
	keyed(t, db, seal.RestConfig{Now: db.Now})
	if err := db.InTx(t.Context(), func(tx *store.Tx) error { return audit.BeginMACs(t.Context(), tx, "node:a", nil) }); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		write(t, db, audit.Entry{Actor: "local:anna", From: "10.0.0.1", Action: "link.pause", Object: "link/1", Reason: "why", After: []byte(`{"a":1}`)}, signed(t, "message/1"))
		outside = append(outside, sealed(t, tree))
	}
	entries(t, db, 1)
	if err := tree.Place(t.Context()); err != nil {
		t.Fatal(err)
	}
	entries(t, db, 2)
	return outside, by
}

// walked is a table as it stands.
type walked struct {
	columns []string
	keys    map[string]bool // of the primary key
	types   map[string]string
	null    map[string]bool
	rows    int
}

type walk struct {
	db      *store.DB
	tables  map[string]*walked
	outside []audit.Checkpoint
	by      audit.Signatures
}

func (w *walk) names() (all []string) {
	for name := range w.tables {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// read reads what tables there are. audit_notes is none of the record: it is what a process without the plant's keys has to tell, of which nobody vouches
// for a word, also where a node repeats it.
func (w *walk) read(t *testing.T) {
	t.Helper()
	query := `SELECT m.name AS "table", c.name AS "column", c.type AS type, c.pk AS key, 1 - c."notnull" AS optional FROM sqlite_master AS m, pragma_table_info(m.name) AS c
		WHERE m.type = 'table' AND m.name LIKE 'audit#_%' ESCAPE '#' ORDER BY m.name, c.cid`
	if w.db.Dialect() == store.Postgres {
		query = `SELECT c.table_name AS "table", c.column_name AS "column", upper(c.data_type) AS type, CASE c.is_nullable WHEN 'YES' THEN 1 ELSE 0 END AS optional,
			(SELECT COUNT(*) FROM information_schema.key_column_usage AS k JOIN information_schema.table_constraints AS p USING (constraint_schema, constraint_name)
			WHERE p.constraint_type = 'PRIMARY KEY' AND k.table_schema = c.table_schema AND k.table_name = c.table_name AND k.column_name = c.column_name) AS key
			FROM information_schema.columns AS c WHERE c.table_schema = current_schema() AND c.table_name LIKE 'audit#_%' ESCAPE '#' ORDER BY c.table_name, c.ordinal_position`
	}
	var all []struct {
		Table, Column, Type string
		Key, Optional       int64
	}
	err := w.db.View(t.Context(), func(tx *store.Tx) error {
		if err := tx.Select(t.Context(), &all, query); err != nil {
			return err
		}
		for _, c := range all {
			if c.Table == "audit_notes" {
				continue
			}
			is := w.tables[c.Table]
			if is == nil {
				is = &walked{keys: map[string]bool{}, types: map[string]string{}, null: map[string]bool{}}
				w.tables[c.Table] = is
				if err := tx.Get(t.Context(), &is.rows, `SELECT COUNT(*) FROM `+c.Table); err != nil {
					return err
				}
			}
			is.columns = append(is.columns, c.Column)
			is.keys[c.Column], is.types[c.Column], is.null[c.Column] = c.Key > 0, c.Type, c.Optional > 0
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// table changes everything in one.
func (w *walk) table(t *testing.T, name string, is *walked) {
	key := ""
	for c, k := range is.keys {
		if k {
			key = c
		}
	}
	if key == "" || is.rows == 0 {
		t.Fatalf("key %q, %d rows", key, is.rows)
	}
	at := func(row int) string {
		return fmt.Sprintf(`%s = (SELECT %s FROM %s ORDER BY %s LIMIT 1 OFFSET %d)`, key, key, name, key, row)
	}
	for row := range is.rows {
		entry := ""
		if name == "audit_entries" {
			entry = "entry " + w.text(t, fmt.Sprintf(`SELECT seq FROM audit_entries ORDER BY seq LIMIT 1 OFFSET %d`, row))
		}
		w.want(t, entry, `DELETE FROM `+name+` WHERE `+at(row))
		for _, c := range is.columns {
			for _, to := range w.values(is, c) {
				w.want(t, entry, fmt.Sprintf(`UPDATE %s SET %s = %s WHERE %s`, name, c, to, at(row)))
			}
			if c != key && row+1 < is.rows {
				w.want(t, "", fmt.Sprintf(`UPDATE %[1]s SET %[2]s = CASE WHEN %[3]s THEN (SELECT %[2]s FROM %[1]s WHERE %[4]s) ELSE (SELECT %[2]s FROM %[1]s WHERE %[3]s) END WHERE %[3]s OR %[4]s`,
					name, c, at(row), at(row+1)))
			}
		}
		w.want(t, "", w.again(name, key, is, at(row)))
	}
}

// values are those that a column is given.
func (w *walk) values(is *walked, c string) (all []string) {
	switch kind := is.types[c]; {
	case strings.Contains(kind, "INT"):
		all = []string{c + " + 1", c + " - 1", c + " + 1000003", "0", "1", "-" + c, "9223372036854775807"}
	case kind == "TEXT":
		all = []string{c + " || 'x'", "'local:eve'", "''", "lower(" + c + ")", "upper(" + c + ")"}
	case w.db.Dialect() == store.Postgres:
		all = []string{c + ` || '\x00'::bytea`, `'\x'::bytea`, `'\x7b7d'::bytea`}
	default:
		all = []string{"CAST(" + c + " || x'20' AS BLOB)", "x''", "x'7b7d'"}
	}
	if w.db.Dialect() == store.SQLite { // which keeps a value of any type in a column of any
		all = append(all, "CAST("+c+" AS TEXT)", "CAST("+c+" AS BLOB)", "CAST("+c+" AS REAL)")
	}
	if is.null[c] {
		all = append(all, "NULL")
	}
	return all
}

// again puts a row in once more, under another key.
func (w *walk) again(name, key string, is *walked, at string) string {
	values, own := slices.Clone(is.columns), ""
	for i, c := range is.columns {
		switch {
		case c == key || name == "audit_leaves":
			values[i] = c + " + 1000"
		case name == "audit_entries" && c == "link":
			values[i] = c + " + 1000"
		}
	}
	if w.db.Dialect() == store.Postgres {
		own = " OVERRIDING SYSTEM VALUE"
	}
	return fmt.Sprintf(`INSERT INTO %s (%s)%s SELECT %s FROM %s WHERE %s`, name, strings.Join(is.columns, ", "), own, strings.Join(values, ", "), name, at)
}

func (w *walk) text(t *testing.T, query string) (text string) {
	t.Helper()
	if err := w.db.View(t.Context(), func(tx *store.Tx) error { return tx.Get(t.Context(), &text, query) }); err != nil {
		t.Fatal(err)
	}
	return text
}

// want has a statement change the record, and verify tell of it, of the entry where that is named. What the database refuses, or what changes nothing, is
// no change.
func (w *walk) want(t *testing.T, entry, statement string) {
	t.Helper()
	undone := errors.New("undone")
	var refused, done bool
	var r audit.Report
	err := w.db.InTx(t.Context(), func(tx *store.Tx) error {
		for _, s := range disarm(tx.Dialect()) {
			if _, err := tx.Exec(t.Context(), s); err != nil {
				return err
			}
		}
		before, err := w.dump(t.Context(), tx)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(t.Context(), statement); err != nil {
			refused = true
			return undone
		}
		after, err := w.dump(t.Context(), tx)
		if err != nil {
			return err
		}
		if done = before != after; !done {
			return undone
		}
		r, err = audit.Verify(t.Context(), tx, origin, w.outside, w.by)
		return errors.Join(err, undone)
	})
	if !errors.Is(err, undone) || strings.Contains(err.Error(), "\n") {
		t.Errorf("%s: %v", statement, err)
		return
	}
	if refused || !done {
		return
	}
	told := slices.ContainsFunc(r.Wrong, func(x audit.Wrong) bool {
		return strings.Contains(x.What+" ", entry+" ") || entry == fmt.Sprintf("entry %d", x.Entry)
	})
	if r.Err() == nil || entry != "" && !told {
		t.Errorf("%s: got %+v, want %q told", statement, r.Wrong, entry)
	}
}

// dump is all that the record holds.
func (w *walk) dump(ctx context.Context, tx *store.Tx) (string, error) {
	var b strings.Builder
	for _, name := range w.names() {
		is := w.tables[name]
		parts := make([]string, 0, 2*len(is.columns))
		for _, c := range is.columns {
			if w.db.Dialect() == store.Postgres {
				parts = append(parts, "COALESCE("+c+"::text, 'null')")
			} else {
				parts = append(parts, "typeof("+c+")", "quote("+c+")")
			}
		}
		var rows []string
		if err := tx.Select(ctx, &rows, `SELECT `+strings.Join(parts, ` || ',' || `)+` AS line FROM `+name+` ORDER BY 1`); err != nil {
			return "", err
		}
		fmt.Fprintln(&b, name, rows)
	}
	return b.String(), nil
}
