package store

import (
	"context"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jmoiron/sqlx"
)

// Row is one row of an answer, read column by column from the left. It is for the few queries whose rows are many: to have database/sql
// and reflection fill a struct costs several times what the database needs for it. What its methods give is the caller's to keep; Row
// itself holds only until the function that was given it returns. NULL reads as the zero value.
type Row struct {
	column int // the next

	wire   [][]byte // PostgreSQL: as it came, in the formats of fields
	fields []field
	texts  string // PostgreSQL: those of all columns, one after the other, so that a row costs one allocation for them
	from   int    // where in texts the next one begins
	room   []byte // in which texts is put together; used again for each row

	values []driver.Value // elsewhere: as the driver gave them
	err    error          // the first thing that was not what it was read as
}

// field is what is known of a column of PostgreSQL.
type field struct {
	oid    uint32
	binary bool
}

// Text reads a column of text.
func (r *Row) Text() string {
	i := r.next()
	if r.wire == nil {
		switch v := r.values[i].(type) {
		case nil:
			return ""
		case string:
			return v
		case []byte:
			return string(v)
		default:
			r.wrong(i, "text", v)
			return ""
		}
	}
	if r.fields[i].oid != pgtype.TextOID {
		return string(r.wire[i])
	}
	s := r.texts[r.from:]
	s = s[:min(len(s), len(r.wire[i]))]
	r.from += len(s)
	return s
}

// Int reads a column of whole numbers.
func (r *Row) Int() int64 {
	i := r.next()
	if r.wire == nil {
		switch v := r.values[i].(type) {
		case nil:
			return 0
		case int64:
			return v
		default:
			r.wrong(i, "a whole number", v)
			return 0
		}
	}
	switch b := r.wire[i]; {
	case len(b) == 0:
		return 0
	case !r.fields[i].binary:
		n, err := strconv.ParseInt(string(b), 10, 64)
		if err != nil {
			r.wrong(i, "a whole number", string(b))
		}
		return n
	case r.fields[i].oid == pgtype.Int8OID && len(b) == 8:
		return int64(binary.BigEndian.Uint64(b)) //nolint:gosec // the wire's two's complement, as it was written
	case r.fields[i].oid == pgtype.Int4OID && len(b) == 4:
		return int64(int32(binary.BigEndian.Uint32(b))) //nolint:gosec // the same
	default:
		r.wrong(i, "a whole number", b)
		return 0
	}
}

// Bool reads a column of true and false.
func (r *Row) Bool() bool {
	i := r.next()
	if r.wire == nil {
		switch v := r.values[i].(type) {
		case nil:
			return false
		case bool:
			return v
		case int64:
			return v != 0
		default:
			r.wrong(i, "true or false", v)
			return false
		}
	}
	b := r.wire[i]
	return len(b) == 1 && (b[0] == 1 || b[0] == 't')
}

// Bytes reads a column of bytes.
func (r *Row) Bytes() []byte {
	i := r.next()
	if r.wire == nil {
		switch v := r.values[i].(type) {
		case nil:
			return nil
		case []byte:
			return v
		case string:
			return []byte(v)
		default:
			r.wrong(i, "bytes", v)
			return nil
		}
	}
	b := r.wire[i]
	if b == nil {
		return nil
	}
	if !r.fields[i].binary {
		r.wrong(i, "bytes", "their text")
		return nil
	}
	return append(make([]byte, 0, len(b)), b...)
}

// Zoned reads a time of the business.
func (r *Row) Zoned() time.Time {
	var z Zoned
	if err := z.Scan(r.Text()); err != nil && r.err == nil {
		r.err = err
	}
	return z.Time
}

// next is the column to read. Beyond the last one it is the last, and give tells.
func (r *Row) next() int {
	r.column++
	return min(r.column, max(len(r.wire), len(r.values))) - 1
}

// Wrong is the first thing of the row so far that was not what it was read as, nil if there is none. Whoever asks answers for it: the rows after it are
// read all the same, where they would not be otherwise.
func (r *Row) Wrong() error {
	err := r.err
	r.err = nil
	return err
}

func (r *Row) wrong(i int, want string, got any) {
	if r.err == nil {
		r.err = fmt.Errorf("column %d is %T, not %s", i+1, got, want)
	}
}

// onWire begins a row of PostgreSQL.
func (r *Row) onWire(wire [][]byte) {
	r.from, r.wire, r.room = 0, wire, r.room[:0]
	for i, f := range r.fields {
		if f.oid == pgtype.TextOID {
			r.room = append(r.room, wire[i]...)
		}
	}
	r.texts = string(r.room)
}

// give has a row of that many columns read. Whoever does not read all of them means another query.
func (r *Row) give(each func(r *Row), columns int) error {
	r.column = 0
	if each(r); r.err == nil && r.column != columns {
		r.err = fmt.Errorf("%d columns were read of %d", r.column, columns)
	}
	return r.err
}

// rowsOf hands on what PostgreSQL answers to a query.
func (r *Row) rowsOf(rows pgx.Rows, each func(r *Row)) error {
	defer rows.Close()
	for rows.Next() {
		if r.fields == nil {
			for _, f := range rows.FieldDescriptions() {
				r.fields = append(r.fields, field{f.DataTypeOID, f.Format == pgx.BinaryFormatCode})
			}
		}
		r.onWire(rows.RawValues())
		if err := r.give(each, len(r.fields)); err != nil {
			return err
		}
	}
	rows.Close()
	return rows.Err()
}

// Read has each called with every row of a query.
func (tx *Tx) Read(ctx context.Context, each func(r *Row), query string, args ...any) error {
	if err := tx.db.before(ctx, query); err != nil {
		return err
	}
	switch h := tx.tx.(type) {
	case *session:
		_, err := h.send(ctx, queued{tx.rebind(query), args, each})
		return err
	case *sqlx.Conn:
		return lost(ctx, readDriver(ctx, h, each, query, args), false)
	case sqlx.QueryerContext:
		return lost(ctx, readRows(ctx, h, each, tx.rebind(query), args), false)
	default:
		return fmt.Errorf("%T reads no rows", h)
	}
}

// ReadLater is Read of which the answer is not needed now: each has been called once the next statement is answered. See Later.
func (tx *Tx) ReadLater(ctx context.Context, each func(r *Row), query string, args ...any) error {
	s, ok := tx.tx.(*session)
	if !ok {
		return tx.Read(ctx, each, query, args...)
	}
	if err := tx.db.before(ctx, query); err != nil {
		return err
	}
	s.queue = append(s.queue, queued{tx.rebind(query), args, each})
	return nil
}

// readDriver reads rows of SQLite from its driver.
func readDriver(ctx context.Context, conn *sqlx.Conn, each func(r *Row), query string, args []any) error {
	given := make([]driver.NamedValue, 0, len(args))
	for i, a := range args {
		v, err := driver.DefaultParameterConverter.ConvertValue(a)
		if err != nil {
			return fmt.Errorf("parameter %d: %w", i+1, err)
		}
		given = append(given, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return conn.Raw(func(c any) (err error) {
		rows, err := c.(driver.QueryerContext).QueryContext(ctx, query, given)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, rows.Close()) }()
		r := Row{values: make([]driver.Value, len(rows.Columns()))}
		for {
			switch err := rows.Next(r.values); {
			case errors.Is(err, io.EOF):
				return nil
			case err != nil:
				return err
			}
			if err := r.give(each, len(r.values)); err != nil {
				return err
			}
		}
	})
}

// readRows reads rows from database/sql.
func readRows(ctx context.Context, q sqlx.QueryerContext, each func(r *Row), query string, args []any) (err error) {
	rows, err := q.QueryContext(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	columns, err := rows.Columns()
	if err != nil {
		return err
	}
	r := Row{values: make([]driver.Value, len(columns))}
	found, into := make([]any, len(columns)), make([]any, len(columns))
	for i := range into {
		into[i] = &found[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		for i, v := range found {
			r.values[i] = v
		}
		if err := r.give(each, len(r.values)); err != nil {
			return err
		}
	}
	return rows.Err()
}
