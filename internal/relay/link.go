package relay

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// runner serves one link.
type runner struct {
	*Relay
	name     string
	link     Link
	pace     *pace
	breaker  breaker
	suspects *suspects
	late     prometheus.Observer // of metrics, this link's: to look them up for each message costs more than to observe
	took     prometheus.Observer
	// delivered counts what this link has delivered, of metrics too.
	delivered prometheus.Counter

	streamer Streamer // nil if the link is none
	stream   chan outbox.Claim
	work     chan outbox.Claim
	reports  chan outbox.Settlement
	freed    chan struct{} // holds a token when a lane was given back
	turned   chan struct{} // holds a token when the breaker has changed

	picked chan struct{} // holds a token when an append has taken a lane, or its place has ended

	mu      sync.Mutex
	hands   map[string]hand   // lanes in hand; guarded by mu
	places  map[string]*place // kept for appends under way; guarded by mu
	taken   []outbox.Taken    // by appends, and not passed on yet; guarded by mu
	reached uint64            // the term in which appends may take lanes, 0 while they may not; guarded by mu
	unsure  bool              // an append may have left a lane in this node's name; guarded by mu
	shut    bool              // nothing is taken any more; guarded by mu
	trouble string            // the last failure of the link itself; guarded by mu
}

func newRunner(r *Relay, name string, l Link) *runner {
	w := &runner{
		Relay: r, name: name, link: l, pace: newPace(l.Rate, l.Concurrency, l.Start), suspects: newSuspects(),
		late: r.metrics.late.WithLabelValues(name), took: r.metrics.took.WithLabelValues(name),
		delivered: r.metrics.outcomes.WithLabelValues(name, string(message.Delivered)),
		work:      make(chan outbox.Claim, inReach(l.Concurrency)), stream: make(chan outbox.Claim, inReach(l.Concurrency)), reports: make(chan outbox.Settlement, 256),
		freed: make(chan struct{}, 1), turned: make(chan struct{}, 1), picked: make(chan struct{}, 1),
		hands: map[string]hand{}, places: map[string]*place{},
	}
	w.streamer, _ = l.Deliverer.(Streamer)
	w.breaker = newBreaker(r.cfg.Failures, r.cfg.Probe, func(circuitbreaker.StateChangedEvent) { token(w.turned) })
	return w
}

const (
	// ahead is how many lanes are in hand for each request that may be under way, enough to keep the link busy during a claim, and
	// mostAhead how many beyond those: a wide link needs no more, however wide it is.
	ahead     = 4
	mostAhead = 500
	// claimed is how many lanes are claimed in one transaction: those are sent while the next are claimed.
	claimed = 250
	// mostBytes is how much memory the bodies may take of what is in hand before nothing more is claimed. The last claim may go beyond it by
	// outbox.Config.ClaimBytes; bodies that are kept beside their messages are not in memory.
	mostBytes = 48 << 20
)

// inReach is how many lanes are in hand at most while so many requests may be under way.
func inReach(window int) int { return window + min((ahead-1)*window, mostAhead) }

// tidyEvery is how often lanes are looked for that a wrong clock has put far away.
const tidyEvery = 15 * time.Second

// run serves the link until ctx ends and nothing is in hand. Requests under way then have Config.Grace to end.
func (w *runner) run(ctx context.Context) {
	hard, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	stop := context.AfterFunc(ctx, func() { _ = pause(hard, w.cfg.Grace, nil); giveUp() })
	defer stop()

	var workers, settler sync.WaitGroup
	settler.Go(func() { w.settle(ctx) })
	if w.link.Together > 1 {
		workers.Go(func() { newCrowd(w).run(ctx, hard) })
	}
	for range w.link.Concurrency {
		if w.link.Together > 1 {
			break
		}
		workers.Go(func() {
			for c := range w.work {
				w.serve(ctx, hard, c)
			}
		})
	}
	if w.streamer != nil {
		workers.Go(func() { newStream(w).run(ctx, hard) })
	}
	var picker sync.WaitGroup
	picker.Go(func() { w.pickUp(ctx) })
	w.dispatch(ctx)
	keeping, kept := context.WithCancel(context.WithoutCancel(ctx))
	var keeper sync.WaitGroup
	keeper.Go(func() { w.keepLeases(keeping) })
	w.close()
	picker.Wait()
	close(w.work)
	close(w.stream)
	workers.Wait()
	close(w.reports)
	settler.Wait()
	kept()
	keeper.Wait()
}

// dispatch claims lanes for the workers, renews their leases and watches the clock.
func (w *runner) dispatch(ctx context.Context) {
	woken, done := w.db.Subscribe(outbox.Topic)
	defer done()
	lease := w.out.Config().Lease
	clock := newClock(w.db.Now)
	var renewed, checked time.Time
	var term uint64 // in which nothing of another process is left in this node's name
	orphans, jumped := true, true
	for asked := true; ctx.Err() == nil; {
		now := w.cfg.Term()
		orphans = orphans || now != term || w.leftUnsure() // whoever had the name meanwhile may have left leases in it
		if now != 0 && (orphans || jumped || time.Since(checked) > tidyEvery) {
			if err := w.tidy(ctx, jumped, now != term); err != nil {
				w.complain(ctx, "leases are not tidied up", err)
			} else {
				orphans, jumped, checked, term = false, false, time.Now(), now
				w.reachable(term)
			}
		}
		more := false
		if room, limit := w.room(); !orphans && room > 0 && (asked || room >= min((limit+1)/2, claimed/2)) {
			n, err := w.claim(ctx, min(room, claimed), term)
			if err != nil {
				w.complain(ctx, "lanes are not claimed", err)
				orphans = true // the commit may have been kept
			}
			more = err == nil && n == claimed
		}
		if time.Since(renewed) >= lease/3 {
			if err := w.renew(ctx, lease); err != nil {
				w.complain(ctx, "leases are not renewed", err)
			}
			renewed = time.Now()
		}
		if asked = more; !more {
			asked = w.wait(ctx, woken, lease)
		}
		jumped = jumped || clock.wentBack()
	}
}

// wait returns true when it is worth looking for work, false when only something in hand has moved.
func (w *runner) wait(ctx context.Context, woken <-chan struct{}, lease time.Duration) bool {
	w.metrics.pace(w.name, w.inHand(), w.pace, w.breaker)
	poll := w.cfg.Poll*3/4 + rand.N(w.cfg.Poll/2+1)
	if rest := max(w.breaker.rest(), w.pace.held()); rest > 0 {
		poll = min(poll, rest)
	}
	if w.inHand() > 0 {
		poll = min(poll, lease/3)
	}
	t := time.NewTimer(poll)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-woken:
		return true
	case <-t.C:
		return true
	case <-w.turned:
		w.keepBreaker(ctx)
		return true
	case <-w.freed:
		return false
	}
}

// room is how many more lanes may be taken in hand, and how many at most.
func (w *runner) room() (room, limit int) {
	if w.breaker.rest() > 0 || w.pace.held() > 0 || w.handBytes() >= mostBytes {
		return 0, 1
	}
	window, rate := w.pace.now()
	limit = inReach(window)
	if rate > 0 {
		limit = min(limit, max(window, int(2*rate)))
	}
	if w.breaker.probing() {
		limit = 1
	}
	return limit - w.inHand() - w.placed(), limit
}

// errHeld undoes a claim on a link that is not to be called yet.
var errHeld = errors.New("the link's ERP has asked not to be called")

// claim takes up to room lanes in hand and says how many there were.
func (w *runner) claim(ctx context.Context, room int, term uint64) (int, error) {
	perLane := w.link.Batch
	if w.breaker.probing() {
		perLane = 1
	}
	// a claim that is cut off at its commit would leave lanes in a hand that does not know of them
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Grace)
	defer cancel()
	began, wall := time.Now(), w.db.Now()
	var claims []outbox.Claim
	var said outbox.Said
	err := w.db.InTx(ctx, func(tx *store.Tx) (err error) {
		said = outbox.Said{}
		if err = w.out.SaidToo(ctx, tx, w.name, &said); err != nil {
			return err
		}
		claims, err = w.out.Claim(ctx, tx, w.cfg.Node, w.name, room, perLane)
		if err == nil && said.Held > 0 {
			return errHeld
		}
		return err
	})
	if err == nil || errors.Is(err, errHeld) {
		w.pace.limit(cmp.Or(float64(said.Rate), w.link.Rate))
		w.correct(said)
	}
	if errors.Is(err, errHeld) { // another node was asked to wait, or this one before its start
		w.pace.holdFor(said.Held)
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	w.mu.Lock()
	before := len(w.hands)
	for _, c := range claims {
		h := w.holding(c.Token, term, began, wall)
		h.bytes = c.Bytes()
		w.hands[c.Lane] = h
	}
	w.Relay.hands.Add(int64(len(w.hands) - before))
	w.mu.Unlock()
	w.pass(claims)
	return len(claims), nil
}

// pass gives claims to those who send. It never blocks for long: room is never more than either channel holds.
func (w *runner) pass(claims []outbox.Claim) {
	for _, c := range claims {
		if w.streamer != nil && streams(c) {
			w.stream <- c
		} else {
			w.work <- c
		}
	}
}

// tidy ends leases in this node's name that it does not hold, and brings near what a wrong clock has put far away. Such leases are of an earlier
// run, of another process that had the name, or of a commit that nobody heard of; a transaction that began in an earlier term may commit
// one at any time. With a term that begins, the breaker goes on from what its row says.
func (w *runner) tidy(ctx context.Context, jumped, begins bool) error {
	held := w.onlyHolding()
	var said outbox.Said
	err := w.db.InTx(ctx, func(tx *store.Tx) error {
		n, err := w.out.TakeBack(ctx, tx, w.cfg.Node, w.name, held)
		if err != nil {
			return err
		}
		if n > 0 {
			w.log.Info("took back lanes of an earlier run", "link", w.name, "lanes", n)
		}
		if _, err = w.out.Rebase(ctx, tx, w.cfg.Node, w.name, jumped); err != nil || !begins {
			return err
		}
		said, err = w.out.Said(ctx, tx, w.name)
		return err
	})
	if err == nil && begins {
		w.recall(said)
	}
	return err
}

// held lists the lanes in hand.
func (w *runner) held() []outbox.Holding {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holdings()
}

// holdings is held for a caller who has mu.
func (w *runner) holdings() []outbox.Holding {
	list := make([]outbox.Holding, 0, len(w.hands)+len(w.places))
	for lane, h := range w.hands {
		list = append(list, outbox.Holding{Lane: lane, Token: h.token})
	}
	return list
}

func (w *runner) inHand() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.hands)
}

// handBytes is how much memory the bodies take that are in hand, or will be by a transaction under way.
func (w *runner) handBytes() (n int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range w.hands {
		n += h.bytes
	}
	for _, p := range w.places {
		n += p.held.bytes
	}
	return n
}

// free forgets lanes that were given back or lost.
func (w *runner) free(lanes ...outbox.Holding) {
	w.mu.Lock()
	for _, h := range lanes {
		if now, ok := w.hands[h.Lane]; ok && now.token == h.Token {
			delete(w.hands, h.Lane)
			w.Relay.hands.Add(-1)
		}
	}
	w.mu.Unlock()
	token(w.freed)
}

// complain logs an error of the database; work goes on when it answers again.
func (w *runner) complain(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		w.log.Warn("the relay waits for the database", "link", w.name, "what", what, "err", err)
		_ = pause(ctx, w.cfg.Poll/4, nil)
	}
}

func token(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// clock notices that the process's own clock was set back: it has moved less than the monotonic one.
type clock struct {
	read func() time.Time
	wall time.Time
	mono time.Time
}

func newClock(read func() time.Time) *clock { return &clock{read, read().Round(0), time.Now()} }

// jump is how much the clock may lag behind before it counts as set back.
const jump = 2 * time.Second

func (c *clock) wentBack() bool {
	wall, mono := c.read().Round(0), time.Now()
	back := mono.Sub(c.mono)-wall.Sub(c.wall) > jump
	c.wall, c.mono = wall, mono
	return back
}
