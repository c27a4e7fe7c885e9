package outbox

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/store"
)

// The types of given columns, as PostgreSQL calls them.
const (
	ofText  = "TEXT"
	ofInt   = "BIGINT"
	ofBool  = "BOOLEAN"
	ofBytes = "BYTEA"
)

// column is one column of rows that a statement is given.
type column struct {
	name, kind string
	array      any               // the values of all rows
	at         func(row int) any // the value of one
}

func col[T string | int64 | bool | []byte](name, kind string, values []T) column {
	return column{name, kind, values, func(row int) any { return values[row] }}
}

// given is a table of values that travels with a statement. A column is one parameter, on SQLite the whole table: the statement, and
// the plan that the database keeps for it, are the same for any number of rows.
type given struct {
	rows    int
	columns []column
}

// table is what stands in FROM. PostgreSQL is kept from looking into the arrays: it always plans for a few rows, and so reads what they
// name from an index, one by one. From their true number it would conclude that a table of some thousand rows is better read whole.
func (g given) table(tx *store.Tx, as string) string {
	names, parts := make([]string, 0, len(g.columns)), make([]string, 0, len(g.columns))
	for i, c := range g.columns {
		names = append(names, c.name)
		switch value := `json_extract(value, '$[` + strconv.Itoa(i) + `]')`; {
		case tx.Dialect() == store.Postgres:
			parts = append(parts, `(SELECT CAST(? AS `+c.kind+`[]))`)
		case c.kind == ofBytes:
			parts = append(parts, `unhex(`+value+`) AS `+c.name)
		default:
			parts = append(parts, value+` AS `+c.name)
		}
	}
	if tx.Dialect() == store.Postgres {
		return `unnest(` + strings.Join(parts, ", ") + `) AS ` + as + ` (` + strings.Join(names, ", ") + `)`
	}
	return `(SELECT ` + strings.Join(parts, ", ") + ` FROM json_each(?)) AS ` + as
}

// args are the parameters of table.
func (g given) args(tx *store.Tx) []any {
	if tx.Dialect() == store.Postgres {
		args := make([]any, 0, len(g.columns))
		for _, c := range g.columns {
			args = append(args, c.array)
		}
		return args
	}
	b := []byte{'['}
	for row := range g.rows {
		if row > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for i, c := range g.columns {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, c.at(row))
		}
		b = append(b, ']')
	}
	return []any{string(append(b, ']'))}
}

// updateLanes changes the lanes of link that g names, in the transaction's next round trip. set may use its columns.
func (g given) updateLanes(ctx context.Context, tx *store.Tx, link, set string, args ...any) error {
	query := g.laneUpdate(tx, set)
	if tx.Dialect() == store.Postgres {
		args = slices.Concat(args, g.args(tx), []any{link})
	} else {
		args = slices.Concat(g.args(tx), args, []any{link})
	}
	return tx.Later(ctx, query, args...)
}

// laneUpdate has SQLite make the table first and look for each of its lanes then. Left to itself it reads all lanes of the link, and for
// each of them all that it is given.
func (g given) laneUpdate(tx *store.Tx, set string) string {
	const of = ` WHERE outbox_lanes.link = ? AND outbox_lanes.lane = g.lane`
	if tx.Dialect() == store.Postgres {
		return `UPDATE outbox_lanes SET ` + set + ` FROM ` + g.table(tx, "g") + of
	}
	return `WITH g AS MATERIALIZED (SELECT * FROM ` + g.table(tx, "g") + `) UPDATE outbox_lanes SET ` + set + ` FROM g` + of
}

func appendJSON(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return strconv.AppendInt(b, v, 10)
	case bool:
		return strconv.AppendBool(b, v)
	case []byte:
		if v == nil {
			return append(b, "null"...)
		}
		return append(hex.AppendEncode(append(b, '"'), v), '"')
	default:
		quoted, _ := json.Marshal(v) // a string always can be written
		return append(b, quoted...)
	}
}

// among is the condition that expr is one of the texts of a list, which is one parameter; listed makes it.
func among(tx *store.Tx, expr string) string {
	if tx.Dialect() == store.Postgres {
		return expr + ` = ANY (ARRAY(SELECT unnest(CAST(? AS TEXT[]))))`
	}
	return expr + ` IN (SELECT value FROM json_each(?))`
}

func listed(tx *store.Tx, values []string) any {
	if tx.Dialect() == store.Postgres {
		return values
	}
	quoted, _ := json.Marshal(values) // texts always can be written
	return string(quoted)
}
