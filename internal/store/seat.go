package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/problem"
)

const (
	seatPatience = 5 * time.Second        // how long a start waits for a process of the same name that is just ending
	seatAgain    = 250 * time.Millisecond // pause before the next try, plus jitter
	seatLook     = 2 * time.Second        // how often the connection is tried that holds the seat
)

// Seat is the right of one process to a node's name in one database: whoever has it may take back what an earlier process of that name
// had in hand. It ends with the process at once, however that ends. On SQLite there is one seat for the file, whatever the name; on
// PostgreSQL it is a session's advisory lock, one for each schema and name, so that a pooler between must keep sessions apart.
type Seat struct {
	db   *DB
	node string
	file *os.File  // SQLite; nil in memory
	conn *pgx.Conn // PostgreSQL
	held atomic.Bool
	term atomic.Uint64 // how often it was taken
}

// TakeSeat takes the name of a node. Conflict if another process has it.
func (db *DB) TakeSeat(ctx context.Context, node string) (*Seat, error) {
	s := &Seat{db: db, node: node}
	for begun := time.Now(); ; {
		err := s.take(ctx)
		if problem.KindOf(err) != problem.Conflict || time.Since(begun) > seatPatience || ctx.Err() != nil {
			return s, err
		}
		rest(ctx, seatAgain+rand.N(seatAgain))
	}
}

// Held tells whether this process has the name now.
func (s *Seat) Held() bool { return s.held.Load() }

// Term is another number each time the name is taken, and 0 while it is not held. Between two terms another process may have had the
// name: what this one had in hand in an earlier term it must not take for its own.
func (s *Seat) Term() uint64 {
	n := s.term.Load()
	if !s.Held() || s.term.Load() != n { // lost, and perhaps taken again, while we looked
		return 0
	}
	return n
}

func (s *Seat) take(ctx context.Context) error {
	var err error
	if s.db.dialect == Postgres {
		err = s.takePostgres(ctx)
	} else {
		err = s.takeFile()
	}
	if err == nil {
		s.term.Add(1) // before anybody can see it held
	}
	s.held.Store(err == nil)
	return err
}

// takeFile locks a file beside the database: to lock the database's own would end SQLite's locks on it.
func (s *Seat) takeFile() error {
	path, err := s.db.file()
	if err != nil || path == "" {
		return err
	}
	f, err := os.OpenFile(path+"-serve", os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open the lock of the database: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		pid := make([]byte, 20)
		n, _ := f.Read(pid)
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return errors.Join(fmt.Errorf("lock %s: %w", f.Name(), err), f.Close())
		}
		return errors.Join(&problem.Error{
			Kind: problem.Conflict, What: "serve " + s.db.String(), Why: "another process serves this file already" + number(pid[:n]),
			Hint: "end that one first; a second node needs PostgreSQL",
		}, f.Close())
	}
	s.file = f
	if f.Truncate(0) == nil { // on a full disk nobody learns the number, and the lock is had all the same
		_, _ = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
	}
	return nil
}

// number is the process of a lock file, in words.
func number(text []byte) string {
	if pid := strings.TrimSpace(string(text)); pid != "" {
		return " (process " + pid + ")"
	}
	return ""
}

// takePostgres opens a session of its own. Keepalives free the seat of a machine that is gone without a word.
func (s *Seat) takePostgres(ctx context.Context) error {
	schema, err := s.db.channel(ctx)
	if err != nil {
		return answered(ctx, err)
	}
	conn, err := pgx.Connect(ctx, s.db.url)
	if err != nil {
		return answered(ctx, fmt.Errorf("connect for the node's name: %w", err))
	}
	var got bool
	err = stayOpen(ctx, conn)
	if err == nil {
		err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", lockID(schema+" node "+s.node)).Scan(&got)
	}
	if err == nil && !got {
		err = &problem.Error{
			Kind: problem.Conflict, What: "run node " + s.node + " on " + s.db.String(), Why: "another process runs under this name",
			Hint: "end that one, or give each process a name of its own: relay.node; if the other's machine is gone, the name is free within half a minute",
		}
	}
	if err != nil {
		return errors.Join(answered(ctx, err), conn.Close(context.WithoutCancel(ctx)))
	}
	s.conn = conn
	return nil
}

// stayOpen sets what keeps an idle session, and ends one whose client is gone, as far as the server has such settings: PostgreSQL 13 has
// no idle_session_timeout.
func stayOpen(ctx context.Context, conn *pgx.Conn) error {
	_, err := conn.Exec(ctx, `SELECT set_config(s.name, w.setting, false) FROM pg_settings s JOIN (VALUES ('tcp_keepalives_idle', '10'),
		('tcp_keepalives_interval', '5'), ('tcp_keepalives_count', '3'), ('idle_session_timeout', '0')) w (name, setting) ON w.name = s.name`)
	return err
}

// Run keeps the seat until ctx ends. One that is lost with its connection is taken again as soon as the database answers and nobody
// else has it; until then Held is false.
func (s *Seat) Run(ctx context.Context) error {
	if s.conn == nil {
		<-ctx.Done()
		return nil
	}
	told := contact{log: s.db.cfg.Log, what: "hold the name of node " + s.node + "; nothing is claimed without it"}
	for ctx.Err() == nil {
		err := s.watch(ctx)
		for ctx.Err() == nil && err != nil {
			s.held.Store(false)
			told.tell(ctx, err)
			rest(ctx, seatAgain+rand.N(seatAgain))
			err = s.take(ctx)
		}
		told.tell(ctx, err)
	}
	return nil
}

// watch returns once the session is lost.
func (s *Seat) watch(ctx context.Context) error {
	for {
		if err := s.quiet(ctx); err != nil {
			_ = s.conn.Close(context.WithoutCancel(ctx)) // it is broken
			return fmt.Errorf("the session that holds the node's name: %w", err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// quiet waits for a while and then looks whether the session is still there; it hears at once when the server closes it.
func (s *Seat) quiet(ctx context.Context) error {
	look, cancel := context.WithTimeout(ctx, seatLook)
	defer cancel()
	if _, err := s.conn.WaitForNotification(look); err != nil && look.Err() == nil {
		return err
	}
	if ctx.Err() != nil {
		return nil
	}
	look, cancel = context.WithTimeout(ctx, seatLook)
	defer cancel()
	if err := s.conn.Ping(look); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Close gives the name back. PostgreSQL is told so: a connection that is merely closed holds its locks for a moment more.
func (s *Seat) Close() error {
	s.held.Store(false)
	switch {
	case s.file != nil:
		return s.file.Close()
	case s.conn != nil && !s.conn.IsClosed():
		ctx, cancel := context.WithTimeout(context.Background(), seatLook)
		defer cancel()
		_, _ = s.conn.Exec(ctx, "SELECT pg_advisory_unlock_all()") // if it is not heard, the end of the session is
		return s.conn.Close(ctx)
	}
	return nil
}
