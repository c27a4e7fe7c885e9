package audit

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"holdfast/internal/store"
)

// values tells of values that Holdfast writes nowhere, although they read as what it wrote: an empty one in place of none, and on SQLite, which keeps a
// value of any type in any column, one of another type: no search finds an entry whose actor is not text.
func (v *verifier) values(ctx context.Context, tx *store.Tx) error {
	const empty = `length(old) = 0 OR length(new) = 0 OR length(signature) = 0 OR length(mac) = 0 OR (chain = 0) = (previous IS NOT NULL)`
	var entries []int64
	if err := tx.Select(ctx, &entries, `SELECT seq FROM audit_entries WHERE `+empty+` ORDER BY seq LIMIT ?`, mostWrong+1); err != nil {
		return err
	}
	for _, seq := range entries {
		v.wrong(seq, "entry %d was changed: it has an empty value where Holdfast writes none, or none where it writes an empty one", seq)
	}
	if tx.Dialect() == store.Postgres {
		return nil
	}
	return v.types(ctx, tx)
}

// declared is a column as its migration has it.
type declared struct {
	Table    string `db:"table"`
	Column   string `db:"column"`
	Type     string `db:"type"`
	Key      int64  `db:"key"`
	Required bool   `db:"required"`
}

const selectDeclared = `SELECT m.name AS "table", c.name AS "column", c.type AS type, c.pk AS key, c."notnull" AS required FROM sqlite_master AS m, pragma_table_info(m.name) AS c
WHERE m.type = 'table' AND substr(m.name, 1, 6) = 'audit_' ORDER BY m.name, c.cid`

// types are those of every value that SQLite has of the record.
func (v *verifier) types(ctx context.Context, tx *store.Tx) error {
	var columns []declared
	if err := tx.Select(ctx, &columns, selectDeclared); err != nil {
		return err
	}
	other, keys := map[string][]string{}, map[string]string{}
	var tables []string
	for _, c := range columns {
		if _, known := other[c.Table]; !known {
			tables = append(tables, c.Table)
		}
		other[c.Table] = append(other[c.Table], c.other())
		if c.Key > 0 {
			keys[c.Table] = c.Column
		}
	}
	for _, table := range tables {
		var rows []string
		query := `SELECT COALESCE(CAST(` + keys[table] + ` AS TEXT), 'none') FROM ` + table + ` WHERE ` + strings.Join(other[table], " OR ") + ` ORDER BY rowid LIMIT ?`
		if err := tx.Select(ctx, &rows, query, mostWrong+1); err != nil {
			return err
		}
		for _, key := range rows {
			entry := int64(0)
			what := fmt.Sprintf("row %s of %s (its %s)", key, table, keys[table])
			if table == "audit_entries" {
				entry, _ = strconv.ParseInt(key, 10, 64)
				what = "entry " + key
			}
			v.wrong(entry, "%s was changed: it has a value of another type than Holdfast writes", what)
			v.mistyped = true
		}
	}
	return nil
}

// other is the condition that a value is of another type than its column.
func (c declared) other() string {
	kind := strings.ToLower(c.Type)
	if strings.Contains(kind, "int") {
		kind = "integer"
	}
	if c.Required || c.Key > 0 {
		return "typeof(" + c.Column + ") <> '" + kind + "'"
	}
	return "typeof(" + c.Column + ") NOT IN ('" + kind + "', 'null')"
}
