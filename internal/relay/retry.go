package relay

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
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

// recall has the breaker go on from what its row says, as whoever had the node's name before has left it: a link that was down is probed
// until it answers, and the row says then that it is up.
func (w *runner) recall(said outbox.Said) {
	switch down := said.Breaker != circuitbreaker.ClosedState.String(); {
	case down && w.breaker.IsClosed():
		w.mu.Lock()
		w.trouble = said.Trouble
		w.mu.Unlock()
		w.breaker.HalfOpen()
	case !down && !w.breaker.IsClosed():
		token(w.turned)
	}
}

// correct has a row be written that says the link is down where it is not. A node that finds it down says so again at each probe: a row that is
// older was written by one that has gone, or the database was away when it was to say that the link is up.
func (w *runner) correct(said outbox.Said) {
	stale := 2*w.cfg.Probe + w.link.Timeout
	if said.Breaker != circuitbreaker.ClosedState.String() && w.breaker.IsClosed() && said.Age > stale {
		token(w.turned)
	}
}

// keepBreaker stores what the breaker says, for every node and page to see.
func (w *runner) keepBreaker(ctx context.Context) {
	state, trouble := w.breaker.State().String(), ""
	if w.breaker.probing() {
		w.mu.Lock()
		trouble = w.trouble
		w.mu.Unlock()
	}
	err := w.db.InTx(ctx, func(tx *store.Tx) error { return w.out.SetBreaker(ctx, tx, w.name, state, trouble) })
	if err != nil {
		w.complain(ctx, "the state of a breaker is not kept", err)
	}
	w.log.Info("breaker turned", "link", w.name, "state", state, "trouble", trouble)
}
