package relay

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// margin is how much of a lease must be left for a request to begin.
const margin = time.Second

// hand is one lane in hand: its fencing token, and until when it is certainly ours by each of two clocks. The monotonic one stands
// still while the machine is suspended; the other is set by people and NTP.
type hand struct {
	token int64
	term  uint64    // Config.Term when it was claimed
	mono  time.Time // zero once the lane is lost
	wall  time.Time
	bytes int64 // of the bodies that are in memory
}

// holding is a lane in hand by a lease that was written at that reading of the clocks.
func (w *runner) holding(token int64, term uint64, mono, wall time.Time) hand {
	lease := w.out.Config().Lease
	return hand{token: token, term: term, mono: mono.Add(lease), wall: wall.Round(0).Add(lease)}
}

// ours is how long a lane in hand is certainly still ours: by the clock that says so least.
func (w *runner) ours(lane string, token int64) time.Duration {
	left, wall := w.left(lane, token)
	return min(left, wall)
}

// left is how long a lane is ours by the monotonic clock, and by the other.
func (w *runner) left(lane string, token int64) (mono, wall time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.hands[lane]
	if h.token != token || h.mono.IsZero() {
		return 0, 0
	}
	return time.Until(h.mono), h.wall.Sub(w.db.Now().Round(0))
}

// named tells whether the node has had its name ever since it claimed the lane: else another process of that name may have taken it.
func (w *runner) named(lane string, token int64) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	h := w.hands[lane]
	return h.token == token && h.term != 0 && h.term == w.cfg.Term()
}

// may tells whether a request for the lane may begin: it is ours by both clocks, for as long as a request should have, and was claimed under
// the name that the node has now.
func (l *lane) may() bool {
	return l.named(l.claim.Lane, l.claim.Token) && l.ours(l.claim.Lane, l.claim.Token) >= margin
}

// errLease ends the context of a request whose lane is not ours any more.
var errLease = errors.New("the lease of its lane has ended")

// term is a context for one call of the Deliverer, which ends with the first lease of its lanes as they are renewed meanwhile. Each request of the call has its own
// time, the link's timeout, which the Deliverer keeps; the context ends once all that the call may make for its messages would have used it up, so that nothing that
// was begun is cut off because of what came before it, and a Deliverer that hangs is given up. A request cannot begin in it after a lease has ended by either clock, however long the process was stopped or the machine was
// suspended: whoever asks whether it is done is told by the clocks, not by a timer that has yet to run. What has begun may still be on its
// way to the ERP when the lease ends, in a buffer of the link or of the network: the next holder asks for it, and not before
// outbox.Config.AskAfter.
func (w *runner) term(hard context.Context, of ...*lane) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(hard, w.link.Timeout*time.Duration(w.link.Requests*max(1, len(of))))
	ctx, end := context.WithCancelCause(ctx)
	t := term{ctx, of, end}
	var watch sync.Mutex
	watch.Lock() // until timer is set
	var timer *time.Timer
	timer = time.AfterFunc(margin, func() {
		watch.Lock()
		defer watch.Unlock()
		switch left := t.left(); {
		case ctx.Err() != nil:
		case left > 0:
			timer.Reset(left)
		default:
			end(errLease)
		}
	})
	watch.Unlock()
	return t, func() {
		end(context.Canceled)
		timer.Stop()
		cancel()
	}
}

type term struct {
	context.Context
	lanes []*lane
	end   context.CancelCauseFunc
}

// left is how long the lanes are all ours by the monotonic clock.
func (t term) left() time.Duration {
	least := time.Duration(math.MaxInt64)
	for _, l := range t.lanes {
		left, _ := l.left(l.claim.Lane, l.claim.Token)
		least = min(least, left)
	}
	return least
}

// Done is closed at the latest when it is asked for after a lease has ended.
func (t term) Done() <-chan struct{} {
	t.check()
	return t.Context.Done()
}

// Err tells whether the request may go on.
func (t term) Err() error {
	t.check()
	return t.Context.Err()
}

func (t term) check() {
	for _, l := range t.lanes {
		if l.ours(l.claim.Lane, l.claim.Token) <= 0 {
			t.end(errLease)
			return
		}
	}
}

// keepLeases renews what is in hand until ctx ends: a request that is under way at a stop must not lose its lane meanwhile.
func (w *runner) keepLeases(ctx context.Context) {
	lease := w.out.Config().Lease
	for ctx.Err() == nil {
		if err := w.renew(ctx, lease); err != nil {
			w.complain(ctx, "leases are not renewed", err)
		}
		_ = pause(ctx, lease/6, nil)
	}
}

// renew extends the leases in hand that have run for a third of their time.
func (w *runner) renew(ctx context.Context, lease time.Duration) error {
	began, wall := time.Now(), w.db.Now()
	var held, renewed, lost []outbox.Holding
	for _, h := range w.held() {
		if w.ours(h.Lane, h.Token) < lease*2/3 {
			held = append(held, h)
		}
	}
	if len(held) == 0 {
		return nil
	}
	err := w.db.InTx(ctx, func(tx *store.Tx) (err error) {
		renewed, lost, err = w.out.Renew(ctx, tx, w.name, held)
		return err
	})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range renewed {
		if now, ok := w.hands[h.Lane]; ok && now.token == h.Token {
			still := w.holding(h.Token, now.term, began, wall)
			still.bytes = now.bytes
			w.hands[h.Lane] = still
		}
	}
	for _, h := range lost {
		if now, ok := w.hands[h.Lane]; ok && now.token == h.Token {
			w.hands[h.Lane] = hand{token: h.Token, term: now.term, bytes: now.bytes}
		}
	}
	return nil
}
