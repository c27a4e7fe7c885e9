package store

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/jmoiron/sqlx"
)

const (
	groupCallers = 128
	groupTime    = 10 * time.Millisecond // long beside a sync of a disk, short for who waits
)

// line is where the writers of a SQLite database wait. Those who wait while one of them writes join its transaction, one after
// the other, each in a savepoint and in its own goroutine; the last of them commits for all, with one fsync. Nobody waits for a
// group to fill: a writer that is alone commits at once.
type line struct {
	pool    *sqlx.DB      // one connection
	callers int           // the most functions in one commit
	open    time.Duration // after this time a group takes nobody in any more

	mu      sync.Mutex
	busy    bool    // somebody writes; guarded by mu
	waiting []*turn // first come, first served; guarded by mu
}

func newLine(pool *sqlx.DB) *line { return &line{pool: pool, callers: groupCallers, open: groupTime} }

// turn is a place in the line.
type turn struct {
	alone bool
	ready chan *group // receives the group to join, nil for the one who must begin it
}

// group is one transaction of SQLite and those who share it. Its fields belong to the one whose turn it is; err is read by all
// once done is closed.
type group struct {
	conn    *sqlx.Conn
	began   time.Time
	alone   bool // takes nobody else in
	callers int
	kept    int   // savepoints that are to be committed
	spoiled error // why nothing of the group can be kept
	err     error
	done    chan struct{}
}

// inTx runs fn in its turn and returns when the commit that it shares is durable.
func (l *line) inTx(ctx context.Context, db *DB, alone bool, fn func(tx *Tx) error) error {
	g, err := l.enter(ctx, alone)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	tx := &Tx{Now: db.Now(), db: db, tx: g.conn}
	err = errPanicked
	defer func() { tx.ended(err) }() // also when fn panics
	mine, ran := l.run(ctx, g, tx, fn)
	if err = ran; mine {
		return err
	}
	<-g.done
	if g.err != nil {
		err = g.err
	}
	return err
}

// run calls fn within a savepoint; mine tells that err is the last word for this caller, whatever becomes of the group. What fn
// found wrong is not: it may have seen the work of those before it, which a failed commit undoes.
func (l *line) run(ctx context.Context, g *group, tx *Tx, fn func(tx *Tx) error) (mine bool, err error) {
	defer l.leave(g) // also when fn panics
	first, kept := g.kept == 0, false
	if err := g.exec("SAVEPOINT caller"); err != nil {
		return true, g.spoil(err)
	}
	defer func() {
		if !kept && g.spoiled == nil {
			_ = g.spoil(g.exec("ROLLBACK TO caller"))
			mine = mine || g.spoiled != nil
		}
	}()
	if err := fn(tx); err != nil {
		return first, err
	}
	if err := ctx.Err(); err != nil {
		return true, err
	}
	if err := g.exec("RELEASE caller"); err != nil {
		return true, g.spoil(err)
	}
	kept = true
	g.kept++
	return false, nil
}

// enter waits for this caller's turn. A caller whose ctx ends leaves the line without effect.
func (l *line) enter(ctx context.Context, alone bool) (*group, error) {
	l.mu.Lock()
	if !l.busy {
		l.busy = true
		l.mu.Unlock()
		return l.begin(ctx, alone)
	}
	t := &turn{alone, make(chan *group, 1)}
	l.waiting = append(l.waiting, t)
	l.mu.Unlock()
	select {
	case g := <-t.ready:
		if g != nil {
			return g, nil
		}
		return l.begin(ctx, alone)
	case <-ctx.Done():
		l.quit(t)
		return nil, ctx.Err()
	}
}

// quit takes t out of the line, or passes its turn on if that has come meanwhile.
func (l *line) quit(t *turn) {
	l.mu.Lock()
	i := slices.Index(l.waiting, t)
	if i >= 0 {
		l.waiting = slices.Delete(l.waiting, i, i+1)
	}
	l.mu.Unlock()
	if i >= 0 {
		return
	}
	if g := <-t.ready; g != nil {
		l.leave(g)
		return
	}
	l.next()
}

// begin opens a transaction that belongs to no caller: ctx ends the wait for it, not the transaction.
func (l *line) begin(ctx context.Context, alone bool) (*group, error) {
	conn, err := l.pool.Connx(ctx)
	if err != nil {
		l.next()
		return nil, err
	}
	g := &group{conn: conn, began: time.Now(), alone: alone, done: make(chan struct{})}
	if _, err := conn.ExecContext(ctx, beginWrite); err != nil {
		_ = g.exec(rollbackAll) // ctx may have ended just after it had begun
		err = errors.Join(err, conn.Close())
		l.next()
		return nil, err
	}
	g.callers = 1
	return g, nil
}

// leave passes the group on to who is next in the line, or ends it. Those whom the last commit has set free are often about to come
// back: with the line empty, whoever is ready to run does so first. For a writer that is alone this costs nothing.
func (l *line) leave(g *group) {
	if l.empty() {
		runtime.Gosched()
	}
	l.mu.Lock()
	if len(l.waiting) > 0 && l.takes(g, l.waiting[0]) {
		t := l.pop()
		l.mu.Unlock()
		g.callers++
		t.ready <- g
		return
	}
	l.mu.Unlock()
	g.end()
	l.next()
}

func (l *line) empty() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) == 0
}

// next has the first of the line begin a group.
func (l *line) next() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		l.busy = false
		return
	}
	l.pop().ready <- nil
}

// pop takes the first out of the line. The caller holds mu.
func (l *line) pop() *turn {
	t := l.waiting[0]
	l.waiting[0] = nil
	l.waiting = l.waiting[1:]
	return t
}

// takes tells whether t may share the transaction of g.
func (l *line) takes(g *group, t *turn) bool {
	return !g.alone && !t.alone && g.spoiled == nil && g.callers < l.callers && time.Since(g.began) < l.open
}

// end commits what the callers left and tells them.
func (g *group) end() {
	switch {
	case g.spoiled != nil:
		_ = g.exec(rollbackAll) // SQLite may have done it
		g.err = fmt.Errorf("%w (%w)", errSpoiled, g.spoiled)
	case g.kept == 0:
		g.err = g.exec(rollbackAll)
	default:
		if err := g.exec(commitAll); err != nil {
			_ = g.exec(rollbackAll) // a commit that fails may leave the transaction open
			g.err = commitError(err)
		}
	}
	_ = g.conn.Close() // gives the connection back
	close(g.done)
}

// spoil remembers the first reason why nothing of the group can be kept.
func (g *group) spoil(err error) error {
	if g.spoiled == nil && err != nil {
		g.spoiled = err
	}
	return err
}

// exec runs a statement of the group itself, which no caller's ctx may interrupt.
func (g *group) exec(statement string) error {
	_, err := g.conn.ExecContext(context.Background(), statement)
	return err
}
