package store

import (
	"context"
	"sync"
	"time"

	"holdfast/internal/problem"
)

// Turn is work that one node does for all of a plant. It ends with the process, or with its session, as a seat does; then another node has it. On
// SQLite one process serves a file, and has every turn.
type Turn struct {
	db   *DB
	work string

	mu   sync.Mutex // guards seat
	seat *Seat      // nil while the turn is not ours
}

// Turn is that of some work, which Mine takes.
func (db *DB) Turn(work string) *Turn { return &Turn{db: db, work: work} }

// turnTimeout is how long the server may take to say whose turn it is.
const turnTimeout = 10 * time.Second

// Mine takes the turn if nobody has it, and tells whether it is this node's now. It asks each time: what began in a session that was lost is another's.
func (t *Turn) Mine(ctx context.Context) (bool, error) {
	if t.db.dialect == SQLite {
		return true, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, turnTimeout)
	defer cancel()
	if t.seat != nil && t.seat.conn.Ping(ctx) != nil {
		_ = t.leave() // it is broken
	}
	if t.seat != nil {
		return true, nil
	}
	s := &Seat{db: t.db, node: "turn " + t.work}
	if err := s.take(ctx); problem.KindOf(err) == problem.Conflict {
		return false, nil
	} else if err != nil {
		return false, err
	}
	t.seat = s
	return true, nil
}

// Close gives the turn back, if it is ours; nil has none.
func (t *Turn) Close() error {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.leave()
}

func (t *Turn) leave() error {
	if t.seat == nil {
		return nil
	}
	s := t.seat
	t.seat = nil
	return s.Close()
}
