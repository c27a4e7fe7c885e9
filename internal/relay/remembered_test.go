package relay_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestAStopDuringAnOutageIsOverOnceTheLinkAnswers: the relay is stopped while the link is down. The next one begins as the row says, with one
// message at a time, and the row says that the link is up as soon as it is.
func TestAStopDuringAnOutageIsOverOnceTheLinkAnswers(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		var down atomic.Bool
		down.Store(true)
		var flying, most atomic.Int64
		p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			most.Store(max(most.Load(), flying.Add(1)))
			defer flying.Add(-1)
			time.Sleep(time.Millisecond)
			if down.Load() {
				return message.Outcome{Verdict: message.Again, LinkDown: true, Err: errDown}, false
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		ids := p.oweMany(20, 2)
		p.runFor(time.Minute)
		was := p.links()
		if was.Breaker == "closed" || was.Trouble == "" {
			t.Fatalf("got %+v, want an open breaker before the stop", was)
		}
		most.Store(0)
		stop := p.start()
		time.Sleep(20 * time.Second)
		if l := p.links(); l.Breaker == "closed" || l.Trouble != was.Trouble || most.Load() > 1 {
			t.Errorf("after the start the row says %+v with %d requests at once, want it down as before, and one", l, most.Load())
		}
		down.Store(false)
		time.Sleep(20 * time.Second)
		if l := p.links(); l.Breaker != "closed" || l.Trouble != "" {
			t.Errorf("the row says %+v once the link answers, want closed", l)
		}
		stop()
		p.wantOnce(ids...)

		p.row("open", "connection refused") // whoever wrote it ended before it could write that the link is up
		last := p.oweOne("last")
		p.runFor(20 * time.Second)
		if l := p.links(); l.Breaker != "closed" {
			t.Errorf("the row says %+v after a delivery, want closed", l)
		}
		p.wantOnce(append(ids, last)...)
	})
}

// TestTheRowOfANodeThatIsGoneIsNotBelieved: another node found the link down and was taken away. This one delivers all the while.
func TestTheRowOfANodeThatIsGoneIsNotBelieved(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		stop := p.start()
		time.Sleep(time.Minute)
		p.row("open", "connection refused")
		time.Sleep(10 * time.Second)
		if l := p.links(); l.Breaker != "open" {
			t.Errorf("the row says %+v at once, want it left to the node that may still be there", l)
		}
		time.Sleep(time.Minute)
		if l := p.links(); l.Breaker != "closed" || l.Trouble != "" {
			t.Errorf("the row says %+v, want what the running relay holds", l)
		}
		stop()
	})
}

// row writes what the breaker of another relay says.
func (p *plant) row(breaker, trouble string) {
	p.t.Helper()
	if err := p.act(func(ctx context.Context, tx *store.Tx) error {
		return p.out.SetBreaker(ctx, tx, "erp", breaker, trouble)
	}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plant) oweOne(id string) string {
	p.t.Helper()
	p.owe(event(id, "operation.confirmed", "o-"+id))
	return id
}

// TestALinkThatMayNotIsDownAtOnce: what the ERP answers to one message for a right that is missing it answers to each. The first such answer shows
// the link as down, for that reason, and one message a minute asks whether somebody has given the right.
func TestALinkThatMayNotIsDownAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		var given atomic.Bool
		var asked atomic.Int64
		p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			if asked.Add(1); given.Load() {
				return message.Outcome{Verdict: message.Delivered}, true
			}
			return message.Outcome{
				Verdict: message.Again, LinkDown: true, After: time.Minute, Receipt: message.Receipt{Status: 403},
				Err: &problem.Error{Kind: problem.Denied, What: "post", Why: "the ERP answered 403: No authorization for plant 1000"},
			}, false
		}
		id := p.oweOne("a")
		stop := p.start()
		time.Sleep(10 * time.Second)
		if l := p.links(); l.Breaker == "closed" || !strings.Contains(l.Trouble, "No authorization for plant 1000") {
			t.Errorf("got %+v after the first 403, want the link down, and why", l)
		}
		ids := append(p.oweMany(10, 1), id)
		asked.Store(0)
		time.Sleep(10 * time.Minute)
		if n := asked.Load(); n > 11 {
			t.Errorf("asked %d times in ten minutes, want once a minute", n)
		}
		given.Store(true)
		time.Sleep(3 * time.Minute)
		if l := p.links(); l.Breaker != "closed" {
			t.Errorf("got %+v, want the link up", l)
		}
		stop()
		p.wantOnce(ids...)
	})
}
