package inbox

import (
	"strings"

	"holdfast/internal/store"
)

// The types of columns that a statement is given rows of, as PostgreSQL calls them.
const (
	text    = "TEXT"
	number  = "BIGINT"
	boolean = "BOOLEAN"
	bytea   = "BYTEA"
)

// values are rows that travel with a statement. On PostgreSQL a column is one parameter, and the statement is the same for any number of
// rows; SQLite has a parameter for each value.
type values struct {
	kinds []string
	rows  [][]any
}

func (v *values) add(row ...any) { v.rows = append(v.rows, row) }

// query is what gives the rows. PostgreSQL is kept from looking into the arrays: it plans for a few rows then, and so finds what they name
// by an index, one by one.
func (v *values) query(tx *store.Tx) string {
	if tx.Dialect() != store.Postgres {
		return `VALUES ` + tuples(len(v.rows), len(v.kinds))
	}
	var b strings.Builder
	b.WriteString(`SELECT * FROM unnest(`)
	for n, kind := range v.kinds {
		if n > 0 {
			b.WriteString(`, `)
		}
		b.WriteString(`(SELECT CAST(? AS ` + kind + `[]))`)
	}
	b.WriteString(`)`)
	return b.String()
}

// find selects columns of the rows of a table that have these keys, which are unique: of all, or of those that more admits, and lock is the clause that locks them. PostgreSQL
// finds, and locks, them in the given order, each by its key: by itself it may read all of a table that it takes for a small one.
func (v *values) find(tx *store.Tx, table, columns, more, lock string, keys ...string) string {
	if tx.Dialect() != store.Postgres {
		return `SELECT ` + columns + ` FROM ` + table + ` WHERE (` + strings.Join(keys, `, `) + `) IN (` + v.query(tx) + `)` + more
	}
	where := make([]string, len(keys))
	for n, key := range keys {
		where[n] = key + ` = g.` + key
	}
	return `SELECT f.* FROM (` + v.query(tx) + `) AS g (` + strings.Join(keys, `, `) + `) CROSS JOIN LATERAL (SELECT ` + columns + ` FROM ` + table +
		` WHERE ` + strings.Join(where, ` AND `) + more + ` LIMIT 1` + lock + `) AS f`
}

// args are the parameters of query.
func (v *values) args(tx *store.Tx) []any {
	if tx.Dialect() != store.Postgres {
		args := make([]any, 0, len(v.rows)*len(v.kinds))
		for _, row := range v.rows {
			args = append(args, row...)
		}
		return args
	}
	args := make([]any, len(v.kinds))
	for n, kind := range v.kinds {
		switch kind {
		case number:
			args[n] = columnOf[int64](v.rows, n)
		case boolean:
			args[n] = columnOf[bool](v.rows, n)
		case bytea:
			args[n] = columnOf[[]byte](v.rows, n)
		default:
			args[n] = columnOf[string](v.rows, n)
		}
	}
	return args
}

func columnOf[T any](rows [][]any, n int) []T {
	column := make([]T, len(rows))
	for i, row := range rows {
		column[i] = row[n].(T)
	}
	return column
}
