package relay_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/message"
)

// batches is the Recorder as an ERP that takes many documents in one call: it answers all of them or, where it fails, none.
type batches struct {
	*adaptertest.Recorder
	takes time.Duration
	fail  func(ds []message.Delivery) bool // the answers are lost, after the effects

	mu    sync.Mutex
	sizes []int
}

// Deliver is relay.Deliverer.
func (b *batches) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	b.mu.Lock()
	b.sizes = append(b.sizes, len(ds))
	b.mu.Unlock()
	time.Sleep(b.takes)
	out := b.Recorder.Deliver(ctx, ds)
	if b.fail != nil && b.fail(ds) {
		for i := range out {
			out[i] = message.Outcome{Verdict: message.Unsure, Err: errDown}
		}
	}
	return out
}

// together has the plant's link take so many messages at once.
func (p *plant) together(n int) *batches {
	b := &batches{Recorder: p.erp, takes: 10 * time.Millisecond}
	p.link.Deliverer, p.link.Together, p.link.Concurrency = b, n, 2*n
	return b
}

// TestLanesGoTogetherAndEachInOrder: 2,000 messages of 100 lanes in at most a twentieth of the calls.
func TestLanesGoTogetherAndEachInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		b := p.together(50)
		ids := p.oweMany(100, 20)
		p.runFor(20 * time.Second)
		p.wantOnce(ids...)
		if n := len(b.sizes); n > len(ids)/20 {
			t.Errorf("%d calls for %d messages: %v", n, len(ids), b.sizes)
		}
		p.wantNothingInHand()
	})
}

// TestALostAnswerToManyIsAskedForOneByOne: the ERP has them all, and none is sent again.
func TestALostAnswerToManyIsAskedForOneByOne(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		b := p.together(50)
		var calls atomic.Int64
		b.fail = func(ds []message.Delivery) bool { return calls.Add(1)%4 == 0 && len(ds) > 1 }
		ids := p.oweMany(60, 10)
		p.runFor(30 * time.Minute)
		p.wantOnce(ids...)
		sent := 0
		for _, n := range b.sizes {
			sent += n
		}
		if sent != len(ids) {
			t.Errorf("%d messages were sent, want each of %d once", sent, len(ids))
		}
	})
}

// TestWhatAnERPCannotStomachSpoilsNothingForItsNeighbours: one message that takes down whatever it is sent with, and is never taken.
func TestWhatAnERPCannotStomachSpoilsNothingForItsNeighbours(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		b := p.together(10)
		ids := p.oweMany(30, 3)
		poison := ids[4]
		b.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D-" + d.Event.Message().ID}}, true
		}
		p.link.Deliverer = &spoilt{batches: b, by: poison}
		p.runFor(2 * time.Hour)
		l := p.links()
		if l.Delivered+l.Owed != int64(len(ids)) || l.Owed == 0 || l.Owed > 3 {
			t.Errorf("%d delivered, %d owed: want only the lane of the poison to be left", l.Delivered, l.Owed)
		}
	})
}

// spoilt is an ERP that takes nothing of what it is given together with one message.
type spoilt struct {
	*batches
	by string // the message's event
}

// Deliver is relay.Deliverer.
func (s *spoilt) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	for _, d := range ds {
		if string(d.Event.Message().Body) == `{"id":"`+s.by+`"}` {
			time.Sleep(s.takes)
			out := make([]message.Outcome, len(ds))
			for i := range out {
				out[i] = message.Outcome{Verdict: message.Unsure, Err: errDown}
			}
			return out
		}
	}
	return s.batches.Deliver(ctx, ds)
}
