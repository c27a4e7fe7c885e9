package inbox

import (
	"strings"

	"holdfast/internal/store"
)

// byKeys selects columns of the rows of a table that have these keys, which are unique, with its parameters: of all, or of those that more
// admits; lock is the clause that locks them. PostgreSQL finds, and locks, them in the given order, each by its key: by itself it may read
// all of a table that it takes for a small one.
func byKeys(tx *store.Tx, g store.Given, table, columns, more, lock string, keys ...string) (string, []any) {
	if tx.Dialect() != store.Postgres {
		query, args := g.Values(tx)
		return `SELECT ` + columns + ` FROM ` + table + ` WHERE (` + strings.Join(keys, `, `) + `) IN (` + query + `)` + more, args
	}
	where := make([]string, len(keys))
	for n, key := range keys {
		where[n] = key + ` = g.` + key
	}
	return `SELECT f.* FROM ` + g.Table(tx, "g") + ` CROSS JOIN LATERAL (SELECT ` + columns + ` FROM ` + table +
		` WHERE ` + strings.Join(where, ` AND `) + more + ` LIMIT 1` + lock + `) AS f`, g.Args(tx)
}
