package outbox

import (
	"sync"
	"time"
)

const (
	leap  = 2 * time.Second  // by how much a clock that is set is told from one that is kept
	doubt = 10 * time.Minute // how long a clock must stand after a leap ahead before it is believed
)

// expiry is the clock by which messages expire: the process's own, except that a leap ahead counts only after it has stood for a
// while. A void cannot be taken back, and a clock that was set wrong is soon set right. Which of the two a leap is cannot be known on
// one machine; one that was suspended looks the same. A process that starts with a wrong clock cannot tell.
type expiry struct {
	mu    sync.Mutex
	wall  time.Time     // the process's clock at the last look; guarded by mu
	mono  time.Time     // the monotonic one; guarded by mu
	ahead time.Duration // how far the clock has leapt that is not believed yet; guarded by mu
	leapt time.Time     // when, by the monotonic clock; guarded by mu
}

// look compares how far both clocks have come since the last look. wall is a reading of this moment.
func (e *expiry) look(wall time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	wall, mono := wall.Round(0), time.Now()
	by := wall.Sub(e.wall) - mono.Sub(e.mono)
	switch first := e.mono.IsZero(); {
	case first:
	case by > leap:
		e.ahead, e.leapt = e.ahead+by, mono
	case by < -leap:
		e.ahead = max(0, e.ahead+by)
	}
	if mono.Sub(e.leapt) >= doubt {
		e.ahead = 0
	}
	e.wall, e.mono = wall, mono
}

// at is what the time is for a message that expires.
func (e *expiry) at(wall time.Time) time.Time {
	e.mu.Lock()
	defer e.mu.Unlock()
	return wall.Add(-e.ahead)
}
