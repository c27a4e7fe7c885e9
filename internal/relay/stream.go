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

// stream brings the messages of many lanes over a link that keeps them under way by itself (Streamer): one goroutine begins them all, and
// takes in the answers as many together as have come. To start a goroutine, a context and a timer for each costs more than to send it.
//
// What has to be mapped, asked for, replayed or read from the database goes through the workers, since it may take its time.
type stream struct {
	*runner
	going []*flight // lanes of which something was sent, with their next message; they go first
	fresh []*flight // lanes of which nothing was sent yet
	aloft map[*flight]bool

	woken chan struct{} // holds a token when something was told
	mu    sync.Mutex
	told  []*flight // guarded by mu
	spare []*flight // the memory of what was told before
}

// flight is a lane on its way through a stream.
type flight struct {
	progress
	delivery message.Delivery // of the next message
	begun    time.Time
	traced   trace.Span
	tell     func(message.Outcome)

	flies   bool            // guarded by stream.mu
	outcome message.Outcome // the stream's alone once flies is false
}

func newStream(w *runner) *stream {
	return &stream{runner: w, aloft: map[*flight]bool{}, woken: make(chan struct{}, 1)}
}

// streams tells whether all messages of a claim are simply sent.
func streams(c outbox.Claim) bool {
	for i := range c.Messages {
		if q := &c.Messages[i]; q.Mapping != "" || q.Ask || q.Again || q.Replay != "" || q.Large != nil {
			return false
		}
	}
	return true
}

// noRoom is how long a link without room is left alone, unless an answer comes before.
const noRoom = 5 * time.Millisecond

// run serves what is claimed until runner.stream is closed and nothing is under way. ctx ends when the relay is to stop: what has not
// begun then is given back unsent. At the end of hard what is under way is given up.
func (s *stream) run(ctx, hard context.Context) {
	work, ended := s.stream, hard.Done()
	watch := time.NewTicker(margin)
	defer watch.Stop()
	for work != nil || len(s.aloft)+len(s.going)+len(s.fresh) > 0 {
		wait, moved := s.begin(ctx)
		if !s.sleep(&work, wait, moved, watch.C, ended) {
			s.giveUp(hard)
		}
		if hard.Err() != nil {
			ended = nil // nothing begins any more
		}
		s.takeIn(ctx)
	}
}

// sleep returns when there may be something to do; false says that it is time to look for what takes too long. It takes new lanes in.
func (s *stream) sleep(work *chan outbox.Claim, wait time.Duration, moved <-chan struct{}, watch <-chan time.Time, hard <-chan struct{}) bool {
	var after <-chan time.Time
	if wait > 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		after = t.C
	}
	select {
	case c, open := <-*work:
		s.gather(work, c, open)
	case <-s.woken:
	case <-moved:
	case <-after:
	case <-watch:
		return false
	case <-hard:
		return false
	}
	return true
}

// gather takes in a claim, and those that have come meanwhile.
func (s *stream) gather(work *chan outbox.Claim, c outbox.Claim, open bool) {
	for open {
		f := &flight{progress: newProgress(&lane{runner: s.runner, claim: c, sentTo: c.SentTo})}
		f.tell = func(o message.Outcome) { s.hear(f, o) }
		s.fresh = append(s.fresh, f)
		select {
		case c, open = <-*work:
		default:
			return
		}
	}
	*work = nil
}

// hear notes an outcome, the first of a message.
func (s *stream) hear(f *flight, o message.Outcome) {
	s.mu.Lock()
	first := f.flies
	if first {
		f.flies, f.outcome = false, o
		s.told = append(s.told, f)
	}
	s.mu.Unlock()
	if first {
		token(s.woken)
	}
}

// takeIn passes judgement on what was told, and makes ready what follows it.
func (s *stream) takeIn(ctx context.Context) {
	s.mu.Lock()
	told := s.told
	s.told = s.spare[:0]
	s.mu.Unlock()
	for _, f := range told {
		delete(s.aloft, f)
		q, o := f.claim.Messages[f.next], f.outcome
		f.ended("deliver", o, f.begun, f.traced)
		if f.add(f.judge(ctx, q, f.delivery, o)) {
			s.going = append(s.going, f)
		}
	}
	clear(told)
	s.spare = told
}

// begin sends what may be sent now. It says how long nothing more can begin, less than 0 if only an answer or a claim can change that,
// and what is closed when it is worth trying again before.
func (s *stream) begin(ctx context.Context) (wait time.Duration, moved <-chan struct{}) {
	for _, list := range []*[]*flight{&s.going, &s.fresh} {
		n := 0
		for n < len(*list) && wait == 0 {
			if wait, moved = s.send(ctx, (*list)[n]); wait == 0 {
				n++
			}
		}
		rest := copy(*list, (*list)[n:])
		clear((*list)[rest:])
		if *list = (*list)[:rest]; wait != 0 {
			return wait, moved
		}
	}
	return -1, nil
}

// send sends the next message of a lane, or gives the lane back. A wait that is not 0 says that it could do neither now.
func (s *stream) send(ctx context.Context, f *flight) (wait time.Duration, moved <-chan struct{}) {
	if ctx.Err() != nil || f.breaker.rest() > 0 {
		f.add(verdict{})
		return 0, nil
	}
	begun, wait, moved := f.pace.try()
	if wait != 0 {
		return wait, moved
	}
	q := f.claim.Messages[f.next]
	d, v := f.document(ctx, q, f.claim.SentBy)
	if v != nil {
		f.pace.cancel()
		f.add(*v)
		return 0, nil
	}
	if !f.may() || !f.breaker.acquire() {
		f.pace.cancel()
		f.add(verdict{})
		return 0, nil
	}
	if f.delivery, f.begun = d, begun; f.next == 0 {
		f.reported = begun // not since it was claimed
	}
	_, f.traced = f.span(ctx, "deliver", q)
	s.aloft[f] = true
	s.mu.Lock()
	f.flies = true
	s.mu.Unlock()
	if s.streamer.Send(d, f.tell) {
		return 0, nil
	}
	s.mu.Lock()
	f.flies = false
	s.mu.Unlock()
	delete(s.aloft, f)
	f.pace.cancel()
	f.breaker.giveBack()
	f.traced.End()
	return noRoom, nil
}

// giveUp ends what is under way for too long, or whose lane is not ours any more: nobody knows what becomes of it.
func (s *stream) giveUp(hard context.Context) {
	for f := range s.aloft {
		why := hard.Err()
		switch {
		case why != nil:
		case time.Since(f.begun) > f.link.Timeout:
			why = errLate
		case f.ours(f.claim.Lane, f.claim.Token) <= 0:
			why = errLease
		default:
			continue
		}
		s.hear(f, message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: why})
	}
}

// errLate is why an answer is not waited for any longer.
var errLate = errors.New("there was no answer in time")
