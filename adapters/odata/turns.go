package odata

import (
	"strconv"
	"sync"
	"time"

	"holdfast/adapters/wire"
)

// turns are the states in which a process has last read objects that are read each time, as those of a set that is read as a whole and those that have no watermark, so that one that comes back after another is a message
// of its own. It is not part of the cursor, which would be as long as the set: after a restart what comes back is told the next day.
type turns struct {
	mu sync.Mutex
	by map[string]turn // guarded by mu; by the object's whole key
}

// turn is a state, and what tells its message from those of the same state before.
type turn struct{ state, mark string }

// mostTurns bounds what is remembered.
const mostTurns = 200_000

// turn is the mark of an object's state: "" of the first in which it was read, else when it was met first after another.
func (t *turns) turn(key, state string, now time.Time) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	sum := wire.Hash(state)
	last, met := t.by[key]
	switch {
	case met && last.state == sum:
		return last.mark
	case met:
		last.mark = "~" + strconv.FormatInt(now.UnixMicro(), 10)
	case t.by == nil:
		t.by = map[string]turn{}
	case len(t.by) >= mostTurns:
		return ""
	}
	t.by[key] = turn{sum, last.mark}
	return last.mark
}
