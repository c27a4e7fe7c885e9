package body

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"holdfast/internal/store"
)

// patrolRows is how many owners are looked at in one walk.
const patrolRows = 200

// Patrol finds holds of messages that are gone, a page at a time, all of them in turn: a node of a release that knows no large bodies
// deletes old messages, and leaves their holds. It is safe for concurrent use.
type Patrol struct {
	Of string // what the names of the owners begin with

	mu    sync.Mutex
	after string // the owner that was looked at last; guarded by mu
}

// Walk looks at the next page of owners and frees those that kept does not name among them. It says how many.
func (p *Patrol) Walk(ctx context.Context, tx *store.Tx, kept func(ctx context.Context, tx *store.Tx, owners []string) ([]string, error)) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var owners []string
	err := tx.Select(ctx, &owners, `SELECT DISTINCT owner FROM body_holds WHERE owner > ? AND owner LIKE ? ORDER BY owner LIMIT ?`, p.after, p.Of+"%", patrolRows)
	if err != nil {
		return 0, fmt.Errorf("look who holds bodies: %w", err)
	}
	if p.after = ""; len(owners) == patrolRows {
		p.after = owners[len(owners)-1]
	}
	if len(owners) == 0 {
		return 0, nil
	}
	there, err := kept(ctx, tx, owners)
	if err != nil {
		return 0, fmt.Errorf("look for messages that hold bodies: %w", err)
	}
	gone := slices.DeleteFunc(owners, func(name string) bool { return slices.Contains(there, name) })
	return len(gone), Free(ctx, tx, gone)
}

// Lost is how many bodies nobody holds and the sweep will never look at. There is none, unless something is wrong with this package.
func Lost(ctx context.Context, tx *store.Tx) (n int64, err error) {
	err = tx.Get(ctx, &n, `SELECT COUNT(*) FROM bodies WHERE loose_at = 0 AND state <> 'gone' AND NOT EXISTS (SELECT 1 FROM body_holds AS h WHERE h.body = bodies.id)`)
	if err != nil {
		return 0, fmt.Errorf("count the bodies that nobody holds: %w", err)
	}
	return n, nil
}
