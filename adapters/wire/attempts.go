package wire

import (
	"sync"
	"time"
)

// Attempts remembers when the outcome of a message became unknown. To forget one is safe: the wait for a late effect then begins anew.
type Attempts struct {
	mu sync.Mutex
	at map[string]time.Time // guarded by mu; by message ID
}

const mostAttempts = 100_000 // 10 MB or so

// NewAttempts returns one that remembers nothing.
func NewAttempts() *Attempts { return &Attempts{at: map[string]time.Time{}} }

// Note says that an attempt ended now and may have taken effect.
func (a *Attempts) Note(id string, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.note(id, now)
}

// note needs mu.
func (a *Attempts) note(id string, now time.Time) {
	if len(a.at) >= mostAttempts {
		clear(a.at)
	}
	a.at[id] = now
}

// Since is when the last attempt was; at the time that is given, from here on, if that is not known.
func (a *Attempts) Since(id string, at time.Time) time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	if t, ok := a.at[id]; ok {
		return t
	}
	a.note(id, at)
	return at
}

// Drop says that the outcome is known.
func (a *Attempts) Drop(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.at, id)
}
