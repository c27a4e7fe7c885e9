package relay_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// narrow is a window that is often full.
type narrow struct {
	*windowed
	most   int64
	flying atomic.Int64
	full   atomic.Int64 // how often it was
}

// Send is relay.Streamer.
func (n *narrow) Send(d message.Delivery, told func(message.Outcome)) bool {
	if n.flying.Add(1) > n.most {
		n.flying.Add(-1)
		n.full.Add(1)
		return false
	}
	return n.windowed.Send(d, func(o message.Outcome) {
		n.flying.Add(-1)
		told(o)
	})
}

// TestAFullWindowIsWaitedFor has fewer places in the window of a link than requests may be under way.
func TestAFullWindowIsWaitedFor(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		n := &narrow{windowed: p.window(), most: 3}
		p.link.Deliverer, p.link.Concurrency, p.link.Start = n, 8, 8
		p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			time.Sleep(3 * time.Millisecond)
			return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Kind: "message"}}, true
		}
		ids := p.oweMany(20, 3)
		p.runFor(3 * time.Second)
		p.wantOnce(ids...)
		if n.full.Load() == 0 {
			t.Error("the window was never full")
		}
	})
}

// late is a link that tells what became of the first delivery of a message only after a while.
type late struct {
	*windowed
	tries map[string]int // the relay's one goroutine alone sends
	after time.Duration
}

// Send is relay.Streamer.
func (l *late) Send(d message.Delivery, told func(message.Outcome)) bool {
	id := d.Event.Message().ID
	if l.tries[id]++; l.tries[id] > 1 {
		return l.windowed.Send(d, told)
	}
	return l.windowed.Send(d, func(o message.Outcome) {
		time.Sleep(l.after)
		told(o)
	})
}

// TestAnAnswerThatComesTooLateSaysNothing: what was given up is asked for, and its lane goes on; what is told of it afterwards is the
// answer to nothing.
func TestAnAnswerThatComesTooLateSaysNothing(t *testing.T) {
	for _, tt := range []struct {
		name string
		lose bool // the lane while the answer is awaited
	}{{"the link's time has run out", false}, {"another node has the lane", true}} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plant) {
				w := p.window()
				p.link.Deliverer = &late{windowed: w, tries: map[string]int{}, after: 20 * time.Second}
				p.link.Timeout = 5 * time.Second
				ids := p.oweMany(2, 2)
				stop := p.start()
				time.Sleep(time.Second)
				if tt.lose {
					err := p.act(func(ctx context.Context, tx *store.Tx) error {
						_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET lease_token = lease_token + 1, lease_owner = 'another'`)
						return err
					})
					if err != nil {
						t.Fatal(err)
					}
				}
				for p.links().Owed > 0 {
					time.Sleep(time.Second)
				}
				time.Sleep(20 * time.Second) // all is told by now
				stop()
				w.aloft.Wait()
				p.wantOnce(ids...)
				if l := p.links(); l.Delivered != int64(len(ids)) {
					t.Errorf("%d count as delivered, want %d", l.Delivered, len(ids))
				}
			})
		})
	}
}

// TestAStopGivesUpWhatIsNotTold: a link that never tells holds up no stop longer than the grace.
func TestAStopGivesUpWhatIsNotTold(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		w := p.window()
		p.link.Deliverer = &late{windowed: w, tries: map[string]int{}, after: 30 * time.Second}
		ids := p.oweMany(2, 2)
		stop := p.start()
		time.Sleep(time.Second)
		began := time.Now()
		stop()
		if took := time.Since(began); took > 11*time.Second {
			t.Errorf("the stop took %s, want the grace of 10 s", took)
		}
		p.link.Deliverer = w
		p.runFor(15 * time.Second)
		w.aloft.Wait()
		p.wantOnce(ids...)
	})
}
