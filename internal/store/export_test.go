package store

import "time"

// Waiting is how many writers stand in the line.
func (db *DB) Waiting() int {
	db.line.mu.Lock()
	defer db.line.mu.Unlock()
	return len(db.line.waiting)
}

// Group sets how many may share a commit, and for how long a group takes others in.
func (db *DB) Group(callers int, open time.Duration) {
	db.line.mu.Lock()
	defer db.line.mu.Unlock()
	db.line.callers, db.line.open = callers, open
}

// CommitTime sets how long a COMMIT may take once nobody waits for it.
func (db *DB) CommitTime(d time.Duration) { db.commitTime = d }

// StayOpen sets what keeps an idle session of PostgreSQL.
var StayOpen = stayOpen

// PID is the server's process of the session that has the turn.
func (t *Turn) PID() uint32 { return t.seat.conn.PgConn().PID() }
