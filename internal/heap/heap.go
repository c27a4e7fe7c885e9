// Package heap has the garbage collector run seldom in a process whose heap is small.
//
// Of a plant little lives at a time, some 10 MB, and Go collects when as much again was allocated: under load that is many times a second, and takes
// a third of the processor time that the program itself uses for a message. A heap that may grow to Floor is collected a few times a second.
//
// # Guarantees
//
//   - A heap of which more lives than half of Floor is collected as Go does by itself.
//   - GOGC and GOMEMLIMIT are the operator's word: with either in the environment nothing is changed.
package heap

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// Floor is the size in bytes below which the heap is not collected.
const Floor = 64 << 20

// usual is Go's own GOGC, in percent: the heap is collected when as much was allocated as lives.
const usual = 100

// Keep has the heap grow to Floor before it is collected, until stop is called. One call at a time has a meaning in a process.
func Keep() (stop func()) {
	for _, name := range []string{"GOGC", "GOMEMLIMIT"} {
		if os.Getenv(name) != "" {
			return func() {}
		}
	}
	k := &keeper{}
	k.adjust(nil)
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.stopped = true
		debug.SetGCPercent(usual)
	}
}

type keeper struct {
	mu      sync.Mutex // guards what follows
	stopped bool
	percent int // that was set last
}

// adjust has GOGC follow what lives, after each collection: its argument is what that collection has freed.
func (k *keeper) adjust(*[16]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.stopped {
		return
	}
	if p := percentOf(live()); p != k.percent {
		k.percent = p
		debug.SetGCPercent(p)
	}
	runtime.AddCleanup(new([16]byte), k.adjust, nil)
}

// percentOf is the GOGC by which a heap of which so many bytes live is collected at Floor, or at twice what lives.
func percentOf(live uint64) int {
	if live >= Floor/2 {
		return usual
	}
	return int((Floor - live) * 100 / max(live, Floor/16)) //nolint:gosec // at most 1,600
}

// live is how many bytes of the heap the last collection found in use; 0 before the first one.
func live() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
