package relay

import (
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

// backoff is how long to wait after the failed attempt of that number, from 1: first, then twice as long each time, at most
// longest; of each half is chance, so that messages which failed together do not come back together. It is computed, not held by
// failsafe-go's retry policy, because it outlives the process: what is kept is the time of the next attempt.
func backoff(attempt int, first, longest time.Duration) time.Duration {
	d := longest
	if shift := attempt - 1; shift < 20 {
		d = min(longest, first<<shift)
	}
	return d/2 + rand.N(d/2+1)
}

// breaker tells whether a link is worth trying. It opens after a number of failures in a row that speak about the link, then lets
// one message through at a time to find out, and closes with the first that is answered.
type breaker struct {
	circuitbreaker.CircuitBreaker[any]
	spare *atomic.Bool // the permit of a probe that found out nothing
}

func newBreaker(failures uint, probe time.Duration, changed func(circuitbreaker.StateChangedEvent)) breaker {
	spare := &atomic.Bool{}
	return breaker{circuitbreaker.NewBuilder[any]().WithFailureThreshold(failures).WithSuccessThreshold(1).
		WithDelay(probe).WithJitterFactor(.25).OnStateChanged(func(e circuitbreaker.StateChangedEvent) {
		spare.Store(false)
		changed(e)
	}).Build(), spare}
}

// acquire tells whether a request may be made. Each that is made ends with RecordSuccess, RecordFailure or giveBack.
func (b breaker) acquire() bool {
	return b.IsHalfOpen() && b.spare.CompareAndSwap(true, false) || b.TryAcquirePermit()
}

// giveBack ends a request that says nothing about the link: the next one may find out.
func (b breaker) giveBack() {
	if b.IsHalfOpen() {
		b.spare.Store(true)
	}
}

// rest is how long the link should be left alone: 0 when a message may be tried.
func (b breaker) rest() time.Duration {
	if b.IsOpen() {
		return b.RemainingDelay()
	}
	return 0
}

// probing tells that all the link may have is one message.
func (b breaker) probing() bool { return !b.IsClosed() }
