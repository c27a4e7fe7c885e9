package relay_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
)

// TestAllThatAKilledProcessHasSentOfALaneIsAskedFor has a process killed between the answers to several messages of a lane and their
// settlement, which they share.
func TestAllThatAKilledProcessHasSentOfALaneIsAskedFor(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		ids := p.oweMany(3, 4)
		p.cfg.Node = "n1"
		for i, c := range p.claimAs("n1") {
			for _, q := range c.Messages[:i+1] {
				d := message.Delivery{}
				d.Event, _ = message.Verify(t.Context(), nothing{}, q.Message)
				p.erp.Deliver(t.Context(), []message.Delivery{d})
			}
		}
		p.runFor(20 * time.Second)
		p.wantOnce(ids...)
		sent := 0
		for _, c := range p.erp.Calls() {
			sent += b2i(!c.Ask)
		}
		if got, want := sent, len(ids); got != want {
			t.Errorf("sent %d messages, want each once: %d", got, want)
		}
	})
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestMessagesOfALaneAreSettledTogetherUnlessTheyAreSlow counts how often the settling of one lane of four is told of.
func TestMessagesOfALaneAreSettledTogetherUnlessTheyAreSlow(t *testing.T) {
	tests := []struct {
		name  string
		takes time.Duration // one answer
		want  []int64       // owed after each commit
	}{
		{"at once", time.Millisecond, []int64{0}},
		{"each longer than a report may wait", 300 * time.Millisecond, []int64{3, 2, 1, 0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, p *plant) {
				p.oweMany(1, 4)
				p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
					time.Sleep(tt.takes)
					return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: d.Event.Message().ID}}, true
				}
				settled, done := p.db.Subscribe(outbox.Settled)
				defer done()
				stop := p.start()
				var got []int64
				for len(got) == 0 || got[len(got)-1] > 0 {
					<-settled
					got = append(got, p.lane("o0").Owed)
				}
				stop()
				if len(got) != len(tt.want) {
					t.Fatalf("owed %v after each settlement, want %v", got, tt.want)
				}
				for i := range got {
					if got[i] != tt.want[i] {
						t.Errorf("owed %v after each settlement, want %v", got, tt.want)
					}
				}
			})
		})
	}
}

// TestAWideLinkBeginsWideAndRecoversFromOne looks at how many requests are under way at most.
func TestAWideLinkBeginsWideAndRecoversFromOne(t *testing.T) {
	oneByOne(t, func(t *testing.T, p *plant) {
		ids := p.oweMany(400, 1)
		var flying, most atomic.Int64
		began := time.Now()
		p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			n := flying.Add(1)
			defer flying.Add(-1)
			for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
			}
			time.Sleep(10 * time.Millisecond)
			if time.Since(began) < 5*time.Second {
				return message.Outcome{Verdict: message.Again, LinkDown: true, Err: errDown}, false
			}
			return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D"}}, true
		}
		p.link.Concurrency, p.link.Start = 300, 300
		stop := p.start()
		time.Sleep(11 * time.Millisecond)
		synctest.Wait()
		if got := most.Load(); got < 250 {
			t.Errorf("began with %d requests at once, want as many as a claim has lanes", got)
		}
		time.Sleep(time.Second) // the breaker has opened
		most.Store(0)
		time.Sleep(5*time.Second - time.Since(began))
		if got := most.Load(); got > 1 {
			t.Errorf("%d requests at once while the link is down, want one", got)
		}
		time.Sleep(time.Minute)
		stop()
		p.wantOnce(ids...)
	})
}
