package relay

import (
	"context"
	"sync"
	"time"
)

const (
	rampEvery = time.Second // how long a rate holds before it is raised
	rampBy    = 1.25        // by how much
	slowest   = 0.1         // requests a second: below this a link is better called down
)

// pace decides when the next request may go to one link: how many are under way at once, how many begin in a second, and not
// before the ERP said (Retry-After). After trouble it starts with one request at a time and opens up with each answer, so that
// an ERP which has just come back is not met by a storm.
//
// The spacing is our own: failsafe-go's limiter has a fixed rate, and replacing it at each step would let the permits that the
// old one has promised pass beside those of the new one, above the cap.
type pace struct {
	widest int // the most requests under way at once

	mu      sync.Mutex
	top     float64       // the cap of a person or the configuration, requests a second; 0 is none; guarded by mu
	rate    float64       // the present cap; 0 is none; guarded by mu
	raised  time.Time     // when rate last changed; guarded by mu
	cut     time.Time     // when rate was last halved; guarded by mu
	next    time.Time     // when the next request may begin; guarded by mu
	hold    time.Time     // nothing begins before; guarded by mu
	window  int           // the most requests under way now; guarded by mu
	flying  int           // requests under way; guarded by mu
	second  time.Time     // the second that is being counted; guarded by mu
	counted [2]int        // requests begun in the last second and in this one; guarded by mu
	moved   chan struct{} // closed and replaced when a waiter should look again; guarded by mu
	waiting bool          // somebody waits for moved; guarded by mu
}

func newPace(top float64, widest, first int) *pace {
	return &pace{top: top, rate: top, widest: widest, window: min(first, widest), moved: make(chan struct{})}
}

// limit makes top the cap from now on; 0 is none.
func (p *pace) limit(top float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.top == top {
		return
	}
	if now := time.Now(); top > 0 {
		p.next = now.Add(time.Duration(float64(time.Second) / top)) // what the old cap promised is not waited for
	} else {
		p.next = now
	}
	p.top, p.rate = top, top
	p.tell()
}

// enter waits until a request may begin, and says when it did. Each enter that returns nil is followed by one leave or
// cancel.
func (p *pace) enter(ctx context.Context) (time.Time, error) {
	for {
		begun, wait, moved := p.try()
		if wait == 0 {
			return begun, nil
		}
		if err := pause(ctx, wait, moved); err != nil {
			return time.Time{}, err
		}
	}
}

// try is enter that does not wait: it says how long nothing can begin, less than 0 if only an answer can change that, and what is closed
// when it is worth trying again before. A wait of 0 means that the request has begun.
func (p *pace) try() (begun time.Time, wait time.Duration, moved <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if wait = p.wait(now); wait == 0 {
		p.begin(now)
		return now, 0, nil
	}
	p.waiting = true
	return now, wait, p.moved
}

// join takes one message more into the request that has just begun, if so many may be under way.
func (p *pace) join() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.flying >= p.window {
		return false
	}
	p.flying++
	return true
}

// wait is how long nothing can begin: 0 if a request may begin now, less than 0 if only an answer can change that. It needs mu.
func (p *pace) wait(now time.Time) time.Duration {
	switch {
	case p.flying >= p.window:
		return -1
	case p.hold.After(now):
		return p.hold.Sub(now)
	}
	p.ramp(now)
	if p.rate > 0 && p.next.After(now) {
		return p.next.Sub(now)
	}
	return 0
}

func (p *pace) begin(now time.Time) {
	p.flying++
	if now.Sub(p.second) >= time.Second {
		last := p.counted[1]
		if now.Sub(p.second) >= 2*time.Second {
			last = 0
		}
		p.second, p.counted = now, [2]int{last, 0}
	}
	p.counted[1]++
	if p.rate > 0 {
		p.next = now.Add(time.Duration(float64(time.Second) / p.rate))
	}
}

// ramp raises a rate that was cut, step by step up to the cap. Without a cap the rate is forgotten once it limits nothing.
func (p *pace) ramp(now time.Time) {
	if p.rate == 0 || p.rate == p.top || now.Sub(p.raised) < rampEvery {
		return
	}
	p.rate, p.raised = p.rate*rampBy, now
	switch begun := float64(max(p.counted[0], p.counted[1])); {
	case p.top > 0:
		p.rate = min(p.rate, p.top)
	case p.rate > 100 && p.rate > 4*begun:
		p.rate = 0
	}
}

// leave ends a request that was answered as it should be, or not (well).
func (p *pace) leave(well bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying--
	if well {
		p.window = min(p.window+1, p.widest) // each answer adds one, so that a round of answers doubles it
	} else {
		p.window = max(p.window/2, 1)
	}
	p.tell()
}

// cancel ends a request that was not made after all.
func (p *pace) cancel() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.flying--
	p.tell()
}

// throttled halves the rate for an ERP that answered a request begun at that time with "too many" (429). Requests that were under
// way at the last cut say nothing about the rate since then.
func (p *pace) throttled(begun time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !begun.After(p.cut) && !p.cut.IsZero() {
		return
	}
	now := time.Now()
	if p.rate == 0 {
		p.rate = float64(max(p.counted[0], p.counted[1], 1))
	}
	p.rate, p.cut, p.raised = max(p.rate/2, slowest), now, now
	p.next = now.Add(time.Duration(float64(time.Second) / p.rate))
	p.tell()
}

// holdFor lets nothing begin for that long (Retry-After).
func (p *pace) holdFor(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if until := time.Now().Add(d); until.After(p.hold) {
		p.hold = until
	}
	p.tell()
}

// held is how long the ERP has asked us to wait from now on.
func (p *pace) held() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(0, time.Until(p.hold))
}

// now is the present window and rate, for instruments and for the size of a claim.
func (p *pace) now() (window int, rate float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.window, p.rate
}

// tell has every waiter look again. It needs mu.
func (p *pace) tell() {
	if p.waiting {
		close(p.moved)
		p.moved, p.waiting = make(chan struct{}), false
	}
}

// pause waits for d, or without end if d is below 0, until moved or the end of ctx.
func pause(ctx context.Context, d time.Duration, moved <-chan struct{}) error {
	var after <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		after = t.C
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-moved:
	case <-after:
	}
	return nil
}
