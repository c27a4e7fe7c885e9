package relay

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/trace"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
)

// crowd brings the messages of many lanes over a link to which many can be handed at once (Link.Together), as an ERP takes them that knows
// batches. Of each lane one message at most is in a batch. Nothing is held back for a batch: what waits while others are on their way goes
// together, and what comes alone goes alone.
//
// A question is asked for one message at a time. A message that twice ended without an answer among others is sent alone from then on: what
// an ERP cannot stomach must not make its neighbours suspect.
type crowd struct {
	*runner
	asking sync.WaitGroup

	mu     sync.Mutex
	going  []*member     // lanes of which something was sent; they go first; guarded by mu
	fresh  []*member     // lanes of which nothing was sent yet; guarded by mu
	taken  int           // lanes that may come back; guarded by mu
	closed bool          // no lane comes any more; guarded by mu
	moved  chan struct{} // closed and replaced when a waiter should look again; guarded by mu
}

// member is a lane on its way through a crowd.
type member struct {
	progress
	delivery message.Delivery // of the next message, once it was made
	made     bool
	asked    bool // the next message was asked for, and may be sent
}

// atOnce is how many batches are under way: while the ERP works on one, the next is on the wire.
const atOnce = 2

func newCrowd(w *runner) *crowd { return &crowd{runner: w, moved: make(chan struct{})} }

// run serves what comes through runner.work until that is closed and nothing is in hand. ctx and hard are as those of serve.
func (g *crowd) run(ctx, hard context.Context) {
	var all sync.WaitGroup
	for range atOnce {
		all.Go(func() {
			for {
				some := g.take(ctx)
				if some == nil {
					return
				}
				g.send(ctx, hard, some)
				g.back(len(some))
			}
		})
	}
	for c := range g.work {
		g.mu.Lock()
		g.taken++
		g.mu.Unlock()
		g.put(ctx, hard, &member{progress: newProgress(&lane{runner: g.runner, claim: c, sentTo: c.SentTo})})
		g.back(1)
	}
	g.mu.Lock()
	g.closed = true
	g.tell()
	g.mu.Unlock()
	all.Wait()
	g.asking.Wait()
}

// tell has every waiter look again. It needs mu.
func (g *crowd) tell() {
	close(g.moved)
	g.moved = make(chan struct{})
}

// back says that so many lanes that were taken are put, or given back.
func (g *crowd) back(n int) {
	g.mu.Lock()
	g.taken -= n
	g.tell()
	g.mu.Unlock()
}

// put makes a lane ready to have its next message sent: what may have been sent is asked for first.
func (g *crowd) put(ctx, hard context.Context, m *member) {
	q := m.claim.Messages[m.next]
	if m.mustAsk(q) && !m.asked {
		g.mu.Lock()
		g.taken++
		g.mu.Unlock()
		g.asking.Go(func() {
			g.question(ctx, hard, m, q)
			g.back(1)
		})
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if m.next > 0 || m.asked {
		g.going = append(g.going, m)
	} else {
		g.fresh = append(g.fresh, m)
	}
	g.tell()
}

// question asks for the next message of a lane, and goes on as the answer allows.
func (g *crowd) question(ctx, hard context.Context, m *member, q outbox.Queued) {
	v := m.make(ctx)
	if v == nil {
		if v = m.question(ctx, hard, q, &m.delivery); v == nil {
			m.asked = true
			g.put(ctx, hard, m)
			return
		}
	}
	g.settled(ctx, hard, m, *v)
}

// settled takes the verdict on the next message of a lane, and makes ready what follows it.
func (g *crowd) settled(ctx, hard context.Context, m *member, v verdict) {
	m.delivery, m.made, m.asked = message.Delivery{}, false, false
	if m.add(v) {
		g.put(ctx, hard, m)
	}
}

// make makes what is to be delivered next; where it cannot, the verdict says why.
func (m *member) make(ctx context.Context) (v *verdict) {
	if !m.made {
		m.delivery, v = m.prepare(ctx, m.claim.Messages[m.next])
		m.made = v == nil
	}
	return v
}

// take waits until messages may be sent, and takes as many together as the link may have; nil at the end. Each has a place in the pace.
func (g *crowd) take(ctx context.Context) []*member {
	for {
		g.mu.Lock()
		ready, moved, over := len(g.going)+len(g.fresh), g.moved, g.closed && g.taken == 0
		g.mu.Unlock()
		switch {
		case ready == 0 && over:
			return nil
		case ready == 0:
			<-moved
			continue
		case ctx.Err() != nil, g.breaker.rest() > 0:
			g.giveBack()
			continue
		}
		_, wait, paced := g.pace.try()
		if wait != 0 {
			_ = pause(ctx, wait, paced)
			continue
		}
		if some := g.pick(); len(some) > 0 {
			return some
		}
		g.pace.cancel() // somebody else was quicker
	}
}

// pick takes as many lanes as may go together, of which the first has its place in the pace already.
func (g *crowd) pick() (some []*member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	lonely := false // the first is to go alone
	for _, list := range []*[]*member{&g.going, &g.fresh} {
		rest := (*list)[:0]
		for i, m := range *list {
			if lonely || len(some) == g.link.Together {
				rest = append(rest, (*list)[i:]...)
				break
			}
			alone := g.suspects.alone(m.claim.Messages[m.next].ID)
			if len(some) > 0 && (alone || !g.pace.join()) {
				rest = append(rest, m)
				continue
			}
			some, lonely = append(some, m), alone
		}
		clear((*list)[len(rest):])
		*list = rest
	}
	g.taken += len(some)
	return some
}

// giveBack gives lanes back unsent that cannot be served now.
func (g *crowd) giveBack() {
	g.mu.Lock()
	all := append(g.going, g.fresh...)
	g.going, g.fresh = nil, nil
	g.mu.Unlock()
	for _, m := range all {
		m.add(verdict{})
	}
}

// send hands the next messages of lanes over, together, and makes verdicts of the answers.
func (g *crowd) send(ctx, hard context.Context, some []*member) {
	var ready []*member
	for _, m := range some {
		v := m.make(ctx)
		if v == nil && (ctx.Err() != nil || !m.may() || !g.breaker.acquire()) {
			v = &verdict{}
		}
		if v == nil {
			ready = append(ready, m)
			continue
		}
		g.pace.cancel()
		g.settled(ctx, hard, m, *v)
	}
	if len(ready) == 0 {
		return
	}
	within, cancel := g.term(hard, lanes(ready)...) // before the leases are looked at, as in call
	defer cancel()
	for _, m := range ready {
		if m.may() {
			continue
		}
		for _, m := range ready {
			g.pace.cancel()
			g.breaker.giveBack()
			g.settled(ctx, hard, m, verdict{})
		}
		return
	}
	g.deliver(ctx, hard, within, ready)
}

// deliver makes one call for the next messages of lanes.
func (g *crowd) deliver(ctx, hard, within context.Context, ready []*member) {
	begun := time.Now()
	ds := make([]message.Delivery, 0, len(ready))
	spans := make([]trace.Span, 0, len(ready))
	for _, m := range ready {
		_, span := m.span(within, "deliver", m.claim.Messages[m.next])
		ds, spans = append(ds, m.delivery), append(spans, span)
	}
	all := g.link.Deliverer.Deliver(within, ds)
	if len(all) != len(ds) {
		all = make([]message.Outcome, len(ds))
		for i := range all {
			all[i] = message.Outcome{Verdict: message.Unsure, Err: errNoAnswer}
		}
	}
	for i, m := range ready {
		for _, d := range ds { // what the ERP says of one may be about another
			all[i] = all[i].Scrubbed(d.Doc.Secret)
		}
		m.ended("deliver", all[i], begun, spans[i])
	}
	for i, m := range ready {
		g.settled(ctx, hard, m, m.judge(ctx, m.claim.Messages[m.next], ds[i], all[i]))
	}
}

// errNoAnswer is why nothing is known of a message that was handed over.
var errNoAnswer = errors.New("the adapter gave no answer for it")

func lanes(some []*member) []*lane {
	out := make([]*lane, 0, len(some))
	for _, m := range some {
		out = append(out, m.lane)
	}
	return out
}
