package odata

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// gatherer joins writes that wait anyway. A write that finds the line free goes at once; those that come while it is on its way wait
// for its end, and then go together. No goroutine is started: whoever sends leads for the others, and hands on when it is done.
type gatherer struct {
	sender sender
	most   int

	mu      sync.Mutex // guards what follows, and place.of
	waiting []*place
	leading int
}

// sender gives one Outcome per write, in order.
type sender func(ctx context.Context, ws []*write) []message.Outcome

// atOnce is how many batches of one service are under way: while the ERP works on one, the next is on the wire.
const atOnce = 2

// place is one write in the queue.
type place struct {
	ctx  context.Context //nolint:containedctx // of its caller, who may not be the one that sends it
	w    *write
	done chan message.Outcome
	lead chan *crowd // it is its turn to send these, itself among them
	of   *crowd      // nil while it waits
}

// crowd is the writes of one batch.
type crowd struct {
	places []*place
	left   atomic.Int64  // how many callers still wait for it
	nobody chan struct{} // closed when none does
}

// leave says that one caller more does not wait.
func (c *crowd) leave() {
	if c.left.Add(-1) == 0 {
		close(c.nobody)
	}
}

func newGatherer(s sender, most int) *gatherer {
	return &gatherer{sender: s, most: most}
}

// send has a write sent, alone or with others.
func (g *gatherer) send(ctx context.Context, w *write) message.Outcome {
	if g.most <= 1 {
		return g.sender(ctx, []*write{w})[0]
	}
	p := &place{ctx: ctx, w: w, done: make(chan message.Outcome, 1), lead: make(chan *crowd, 1)}
	g.mu.Lock()
	g.waiting = append(g.waiting, p)
	if g.leading < atOnce {
		g.leading++
		g.next()
	}
	g.mu.Unlock()
	select {
	case c := <-p.lead:
		return g.work(ctx, p, c)
	case out := <-p.done:
		return out
	case <-ctx.Done():
		return g.giveUp(ctx, p)
	}
}

// next makes a crowd of those that wait, and the first of them its leader. The mutex is held.
func (g *gatherer) next() {
	n := min(len(g.waiting), g.most)
	if n == 0 {
		g.leading--
		return
	}
	c := &crowd{places: slices.Clone(g.waiting[:n]), nobody: make(chan struct{})}
	c.left.Store(int64(n))
	for _, p := range c.places {
		p.of = c
	}
	g.waiting = slices.Delete(g.waiting, 0, n)
	c.places[0].lead <- c
}

// giveUp ends the wait of a caller whose context has ended.
func (g *gatherer) giveUp(ctx context.Context, p *place) message.Outcome {
	out := message.Outcome{Verdict: message.Again, LinkDown: true, Err: &problem.Error{
		Kind: problem.Unavailable, What: p.w.what, Why: "it was given up before it was sent", Hint: hintWait, Cause: ctx.Err(),
	}}
	g.mu.Lock()
	of := p.of
	if of == nil {
		g.waiting = slices.DeleteFunc(g.waiting, func(o *place) bool { return o == p })
	}
	g.mu.Unlock()
	if of == nil {
		return out
	}
	select {
	case c := <-p.lead: // the others rely on it
		return g.work(ctx, p, c)
	case out := <-p.done:
		return out
	default:
	}
	of.leave()
	out.Verdict, out.Err = message.Unsure, &problem.Error{
		Kind: problem.Unavailable, What: p.w.what, Why: "it was given up on its way; the ERP may have it", Hint: hintAsk, Cause: ctx.Err(),
	}
	return out
}

// work sends a crowd, tells each write what became of it, and hands the line on. What is under way ends before its time only when nobody
// waits any more, not when its leader's caller does not; but nothing is put on the wire once the time of one of them is over.
func (g *gatherer) work(ctx context.Context, p *place, c *crowd) message.Outcome {
	all := shared{context.WithoutCancel(ctx), c}
	stop := context.AfterFunc(ctx, c.leave)
	defer stop()
	ws := make([]*write, 0, len(c.places))
	for _, o := range c.places {
		ws = append(ws, o.w)
	}
	for i, out := range g.sender(all, ws) {
		c.places[i].done <- out
	}
	g.mu.Lock()
	g.next()
	g.mu.Unlock()
	return <-p.done
}

// shared is the context of what is sent for a crowd.
type shared struct {
	context.Context
	of *crowd
}

// Done is closed when nobody waits.
func (s shared) Done() <-chan struct{} { return s.of.nobody }

// Err is set then, and when the time of one of the crowd is over: whoever is about to write asks for it (wire.Over). Another node may
// have that message in hand, and a batch is written whole or not at all.
func (s shared) Err() error {
	for _, p := range s.of.places {
		if err := wire.Over(p.ctx); err != nil {
			return err
		}
	}
	return nil
}
