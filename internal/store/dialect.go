package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"holdfast/internal/problem"
)

// Dialect is one of the two databases.
type Dialect string

// The dialects.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// PostgreSQL's error codes (PostgreSQL documentation, appendix A) that mean something to us.
const (
	pgUnique        = "23505"
	pgSerialization = "40001"
	pgDeadlock      = "40P01"
	pgDiskFull      = "53100"
	pgIdle          = "25P03" // this and the next: see IdleLimit
	pgLock          = "55P03"
	pgReadOnly      = "25006" // a standby, or a session that is set so
	pgNoRight       = "42501"
)

// IsUnique tells whether err says that a unique key is taken already.
func IsUnique(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || e.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return pgCode(err) == pgUnique
}

// again tells whether the transaction took no effect and may simply run again.
func again(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()&0xff == sqlite3.SQLITE_BUSY
	}
	switch pgCode(err) {
	case pgSerialization, pgDeadlock, pgIdle, pgLock:
		return true
	default:
		return false
	}
}

func pgCode(err error) string {
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		return e.Code
	}
	return ""
}

// lostError marks an error of the database that came with the loss of its connection. The plain words for that, io.EOF and the like,
// are no proof by themselves: a function given to InTx may return them for reasons of its own.
type lostError struct{ error }

// Unwrap gives what the driver said.
func (e lostError) Unwrap() error { return e.error }

// lost marks what the driver said if it tells of a lost connection, or if the connection is closed since. A connection that the end
// of the caller's ctx has closed is not lost.
func lost(ctx context.Context, err error, closed bool) error {
	if err == nil || ctx.Err() != nil || !closed && !gone(err) {
		return err
	}
	return lostError{err}
}

// gone tells whether an error of the driver says that there is no connection any more.
func gone(err error) bool {
	for _, e := range []error{
		io.EOF, io.ErrUnexpectedEOF, net.ErrClosed, sql.ErrConnDone, driver.ErrBadConn, pgconn.ErrConnClosed,
		syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// answered is explain for what the driver said, with nothing of the caller's between.
func answered(ctx context.Context, err error) error { return explain(lost(ctx, err, false)) }

// explain gives an error of the database the words that help a person; what the caller's own code returned stays as it is.
func explain(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*problem.Error](err); ok {
		return err
	}
	switch {
	case full(err):
		return &problem.Error{
			Kind: problem.Full, What: "write to the database", Why: "its disk is full", Cause: err,
			Hint: "free space on the volume of the database; nothing that was accepted is lost, new work is refused until then",
		}
	case unreachable(err):
		return &problem.Error{
			Kind: problem.Unavailable, What: "use the database", Why: "it does not answer, or is busy for too long", Cause: err,
			Hint: "check that the database runs and that database.url is right: holdfast doctor",
		}
	default:
		return err
	}
}

// OnlyRead tells whether an error says that this account, or this copy of the database, can be read and not written.
func OnlyRead(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()&0xff == sqlite3.SQLITE_READONLY
	}
	code := pgCode(err)
	return code == pgReadOnly || code == pgNoRight
}

func full(err error) bool {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code()&0xff == sqlite3.SQLITE_FULL
	}
	return pgCode(err) == pgDiskFull || errors.Is(err, syscall.ENOSPC)
}

func unreachable(err error) bool {
	if _, ok := errors.AsType[lostError](err); ok {
		return true
	}
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		code := e.Code() & 0xff
		return code == sqlite3.SQLITE_BUSY || code == sqlite3.SQLITE_CANTOPEN || code == sqlite3.SQLITE_IOERR
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		class := e.Code[:2] // 08 connection, 53 resources, 57 operator intervention
		return class == "08" || class == "53" || class == "57" || e.Code == pgIdle || e.Code == pgLock
	}
	_, dialing := errors.AsType[*pgconn.ConnectError](err)
	return dialing || errors.Is(err, driver.ErrBadConn) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, fs.ErrPermission)
}

// Micros is a time as both databases keep it: microseconds since 1970 in UTC; 0 for the zero time.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// FromMicros is the time that Micros kept, in UTC.
func FromMicros(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}

// Zoned is a time of the business, kept as text with its offset from UTC (RFC 3339), since neither database keeps offsets.
type Zoned struct{ time.Time }

// Value stores the time with its offset; the zero time as an empty text.
func (z Zoned) Value() (driver.Value, error) {
	if z.IsZero() {
		return "", nil
	}
	return z.Format(time.RFC3339Nano), nil
}

// Unreadable is what is read where a kept time is none: somebody has altered it. It is no time of any message, so that whatever holds a message
// against its digest finds that one altered, and no other is kept from being read.
var Unreadable = time.Date(1, 1, 1, 0, 0, 0, 1, time.UTC)

// Scan reads what Value stored, and Unreadable of any other text.
func (z *Zoned) Scan(src any) error {
	var s string
	switch v := src.(type) {
	case nil:
	case string:
		s = v
	case []byte:
		s = string(v)
	default:
		return fmt.Errorf("a time with its zone is kept as text, not as %T", src)
	}
	if s == "" {
		z.Time = time.Time{}
		return nil
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		t = Unreadable
	}
	z.Time = t
	return nil
}
