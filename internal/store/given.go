package store

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// Column is one column of rows that travel with a statement.
type Column struct {
	name, kind string
	rows       int
	array      any               // the values of all rows
	at         func(row int) any // the value of one
	same       func() bool       // tells whether all rows have the same
}

// Value is what a column may have.
type Value interface{ string | int64 | bool | []byte }

// Col is a column of these values.
func Col[T Value](name string, values []T) Column {
	c := Column{name: name, rows: len(values), array: values, at: func(row int) any { return values[row] }, same: func() bool { return false }}
	switch v := any(values).(type) {
	case []int64:
		c.kind, c.same = "BIGINT", func() bool { return alike(v) }
	case []bool:
		c.kind, c.same = "BOOLEAN", func() bool { return alike(v) }
	case [][]byte:
		c.kind, c.array = "BYTEA", pgtype.FlatArray[[]byte](v) // which the driver knows without reflection
	case []string:
		c.kind, c.same = "TEXT", func() bool { return alike(v) }
	}
	return c
}

// Each is a column of what of says of each row.
func Each[R any, T Value](name string, rows []R, of func(R) T) Column {
	values := make([]T, len(rows))
	for n, r := range rows {
		values[n] = of(r)
	}
	return Col(name, values)
}

func alike[T comparable](values []T) bool {
	for _, v := range values {
		if v != values[0] {
			return false
		}
	}
	return true
}

// Given is a table of values that travels with a statement. On PostgreSQL a column is one parameter, and the statement, with the plan that
// is kept for it, the same for any number of rows.
type Given struct {
	Rows    int
	Columns []Column
}

// Give makes a table of columns, which have as many values each.
func Give(columns ...Column) Given {
	g := Given{Columns: columns}
	if len(columns) > 0 {
		g.Rows = columns[0].rows
	}
	return g
}

// Table is what stands in FROM; on SQLite it is one parameter, as JSON, which suits a statement that is run with any number of rows.
// PostgreSQL is kept from looking into the arrays: it always plans for a few rows, and so reads what they name from an index, one by one.
// From their true number it would conclude that a table of some thousand rows is better read whole.
func (g Given) Table(tx *Tx, as string) string {
	names, parts := make([]string, 0, len(g.Columns)), make([]string, 0, len(g.Columns))
	for i, c := range g.Columns {
		names = append(names, c.name)
		switch value := `json_extract(value, '$[` + strconv.Itoa(i) + `]')`; {
		case tx.Dialect() == Postgres:
			parts = append(parts, `(SELECT CAST(? AS `+c.kind+`[]))`)
		case c.kind == "BYTEA":
			parts = append(parts, `unhex(`+value+`) AS `+c.name)
		default:
			parts = append(parts, value+` AS `+c.name)
		}
	}
	if tx.Dialect() == Postgres {
		return `unnest(` + strings.Join(parts, ", ") + `) AS ` + as + ` (` + strings.Join(names, ", ") + `)`
	}
	return `(SELECT ` + strings.Join(parts, ", ") + ` FROM json_each(?)) AS ` + as
}

// Args are the parameters of Table.
func (g Given) Args(tx *Tx) []any {
	if tx.Dialect() == Postgres {
		return g.arrays()
	}
	b := []byte{'['}
	for row := range g.Rows {
		if row > 0 {
			b = append(b, ',')
		}
		b = append(b, '[')
		for i, c := range g.Columns {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, c.at(row))
		}
		b = append(b, ']')
	}
	return []any{string(append(b, ']'))}
}

func (g Given) arrays() []any {
	args := make([]any, 0, len(g.Columns))
	for _, c := range g.Columns {
		args = append(args, c.array)
	}
	return args
}

// Values are the rows as a query, with its parameters. On SQLite each value is one, which suits large bodies and a few sizes of batches.
func (g Given) Values(tx *Tx) (string, []any) {
	if tx.Dialect() == Postgres {
		return `SELECT * FROM ` + g.Table(tx, "g"), g.arrays()
	}
	one := "(?" + strings.Repeat(", ?", len(g.Columns)-1) + ")"
	args := make([]any, 0, g.Rows*len(g.Columns))
	for row := range g.Rows {
		for _, c := range g.Columns {
			args = append(args, c.at(row))
		}
	}
	return `VALUES ` + one + strings.Repeat(", "+one, g.Rows-1), args
}

// Insert is the statement that adds the rows to a table, in their order, with its parameters; ON CONFLICT and RETURNING may follow. A group
// of columns in each of which all rows say the same travels once, and not with each row; there is a statement for each such case, so that
// a group is of columns that go together.
func (g Given) Insert(tx *Tx, table string, groups ...[]string) (string, []any) {
	var once, each Given
	for _, c := range g.Columns {
		in := slices.IndexFunc(groups, func(names []string) bool { return slices.Contains(names, c.name) })
		if in >= 0 && g.alike(groups[in]) {
			once.Columns = append(once.Columns, c)
		} else {
			each.Columns = append(each.Columns, c)
		}
	}
	each.Rows = g.Rows
	var names, list []string
	var args []any
	for _, c := range once.Columns {
		names, list, args = append(names, c.name), append(list, `CAST(? AS `+c.kind+`)`), append(args, c.at(0))
	}
	for _, c := range each.Columns {
		names, list = append(names, c.name), append(list, `g.`+c.name)
	}
	from, more := each.Values(tx)
	if tx.Dialect() == Postgres {
		from = each.Table(tx, "g")
	} else {
		for n := range each.Columns {
			list[len(once.Columns)+n] = `g.column` + strconv.Itoa(n+1)
		}
		from = `(` + from + `) AS g`
	}
	// without a WHERE, SQLite would take ON CONFLICT for the condition of a join
	return `INSERT INTO ` + table + ` (` + strings.Join(names, ", ") + `) SELECT ` + strings.Join(list, ", ") + ` FROM ` + from + ` WHERE TRUE`, append(args, more...)
}

// alike tells whether all rows say the same in all of these columns.
func (g Given) alike(names []string) bool {
	for _, c := range g.Columns {
		if slices.Contains(names, c.name) && !c.same() {
			return false
		}
	}
	return true
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
