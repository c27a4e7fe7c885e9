package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

func TestLongOutageSpendsNoAttempts(t *testing.T) {
	tests := []struct {
		name string
		down message.Outcome
	}{
		{"nobody listens", message.Outcome{Verdict: message.Again, LinkDown: true, Err: errDown}},
		{"every request hangs", message.Outcome{Verdict: message.Unsure, Err: context.DeadlineExceeded}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, p *plant) {
				var down, flying, most atomic.Int64
				down.Store(1)
				p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
					most.Store(max(most.Load(), flying.Add(1)))
					defer flying.Add(-1)
					time.Sleep(time.Millisecond)
					if down.Load() == 1 {
						return tt.down, false
					}
					return message.Outcome{Verdict: message.Delivered}, true
				}
				p.erp.Asked = func(context.Context, message.Delivery) (message.Outcome, error) {
					if down.Load() == 1 {
						return message.Outcome{}, errDown
					}
					return message.Outcome{Verdict: message.Again}, nil
				}
				p.cfg.Probe, p.cfg.Poll, p.cfg.House = time.Minute, time.Minute, time.Hour // some hundred requests to an ERP that is away
				ids := p.oweMany(20, 3)
				stop := p.start()
				time.Sleep(time.Minute)
				most.Store(0)
				time.Sleep(3 * time.Hour)
				if got := most.Load(); got != 1 {
					t.Errorf("%d requests at once while the link is down, want 1", got)
				}
				if l := p.links(); l.Breaker == "closed" || l.Trouble == "" || l.Parked != 0 {
					t.Errorf("got %+v, want an open breaker, with its trouble, and nothing parked", l)
				}
				down.Store(0)
				time.Sleep(15 * time.Minute)
				stop()
				p.wantOnce(ids...)
				for _, id := range ids {
					if d := p.message(id); d.Attempts > 1 {
						t.Errorf("%s has spent %d attempts", id, d.Attempts)
					}
				}
				if l := p.links(); l.Breaker != "closed" {
					t.Errorf("breaker is %s after the outage", l.Breaker)
				}
			})
		})
	}
}

// TestOutageThatLosesEachAnswerOpensTheBreaker has an adapter that knows by itself that it may send again (an idempotent operation).
func TestOutageThatLosesEachAnswerOpensTheBreaker(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		var back atomic.Bool
		p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			if back.Load() {
				return message.Outcome{Verdict: message.Delivered}, true
			}
			return verdict(message.Unsure), false
		}
		p.erp.Asked = func(context.Context, message.Delivery) (message.Outcome, error) {
			return message.Outcome{Verdict: message.Again}, nil
		}
		ids := p.oweMany(20, 2)
		stop := p.start()
		time.Sleep(10 * time.Minute)
		if l := p.links(); l.Parked != 0 || l.Breaker == "closed" {
			t.Errorf("got %+v, want an open breaker and nothing parked", l)
		}
		back.Store(true)
		time.Sleep(time.Minute)
		stop()
		p.wantOnce(ids...)
	})
}

// TestLoneMessageThatIsNeverAnsweredIsLeftToAPerson has an ERP that hangs on one message and answers questions, with no other traffic.
func TestLoneMessageThatIsNeverAnsweredIsLeftToAPerson(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		poison := outbox.MessageID("erp", "poison")
		p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			if d.Event.Message().ID == poison {
				return message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: context.DeadlineExceeded}, false
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		p.erp.Asked = func(context.Context, message.Delivery) (message.Outcome, error) {
			return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}}, nil
		}
		p.owe(event("poison", "operation.confirmed", "o1"))
		stop := p.start()
		time.Sleep(10 * time.Minute)
		if l := p.lane("o1"); l.State != outbox.Unknown || !strings.Contains(l.Reason, "10 times without an answer") {
			t.Errorf("got %+v, want it unknown with the reason", l)
		}
		if d := p.message("poison"); d.Attempts != 0 {
			t.Errorf("%d attempts are spent, want none: the link was taken to be down", d.Attempts)
		}
		p.owe(event("next", "operation.confirmed", "o2"))
		time.Sleep(10 * time.Second)
		stop()
		if l := p.links(); l.Breaker != "closed" || l.Delivered != 1 {
			t.Errorf("got %+v, want the next message delivered", l)
		}
	})
}

// TestOutageThatLetsOnlyQuestionsPassBlamesNoMessage has every delivery lost for two hours, while questions are answered.
func TestOutageThatLetsOnlyQuestionsPassBlamesNoMessage(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		var back atomic.Bool
		p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			if back.Load() {
				return message.Outcome{Verdict: message.Delivered}, true
			}
			return message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: context.DeadlineExceeded}, false
		}
		p.erp.Asked = func(context.Context, message.Delivery) (message.Outcome, error) {
			return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}}, nil
		}
		p.cfg.Probe, p.cfg.Poll, p.cfg.House = time.Minute, time.Minute, time.Hour
		ids := p.oweMany(5, 2)
		stop := p.start()
		time.Sleep(2 * time.Hour)
		if l := p.links(); l.Parked != 0 {
			t.Errorf("got %+v, want nothing parked", l)
		}
		back.Store(true)
		time.Sleep(10 * time.Minute)
		stop()
		p.wantOnce(ids...)
		for _, id := range ids {
			if d := p.message(id); d.Attempts != 0 {
				t.Errorf("%s has spent %d attempts", id, d.Attempts)
			}
		}
	})
}

// TestTooEarlyToAskIsNoFailureOfTheLink has the ERP work on messages whose answer was lost.
func TestTooEarlyToAskIsNoFailureOfTheLink(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		begun := time.Now()
		p.cfg.Failures = 4
		p.erp.Answer = func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			if d.Event.Message().Number == 1 && n == 1 && d.Event.Message().Key < "o3" {
				return verdict(message.Unsure), true
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		p.erp.Asked = func(context.Context, message.Delivery) (message.Outcome, error) {
			if time.Since(begun) < time.Minute {
				return message.Outcome{Verdict: message.Unsure, After: 5 * time.Second}, errors.New("too early")
			}
			return message.Outcome{Verdict: message.Delivered}, nil
		}
		ids := p.oweMany(3, 1)
		stop := p.start()
		time.Sleep(50 * time.Second)
		if l := p.links(); l.Breaker != "closed" && l.Breaker != "" || l.Owed != 3 {
			t.Errorf("got %+v, want a closed breaker while it is too early to ask", l)
		}
		time.Sleep(time.Minute)
		stop()
		p.wantOnce(ids...)
	})
}

// TestTooManyQuestionsHoldTheLink has the ERP ask for a pause when it is asked.
func TestTooManyQuestionsHoldTheLink(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		var told time.Time
		var well atomic.Bool
		p.erp.Answer = func(ctx context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			if well.Load() {
				return message.Outcome{Verdict: message.Delivered}, true
			}
			return first(verdict(message.Unsure), true)(ctx, d, n)
		}
		p.erp.Asked = func(context.Context, message.Delivery) (message.Outcome, error) {
			if told.IsZero() {
				told = time.Now()
				return message.Outcome{LinkDown: true, Throttled: true, After: 20 * time.Second}, errors.New("429")
			}
			return message.Outcome{Verdict: message.Delivered}, nil
		}
		p.owe(event("a", "operation.confirmed", "o1"))
		stop := p.start()
		time.Sleep(10 * time.Second)
		well.Store(true)
		p.owe(event("b", "operation.confirmed", "o2"))
		time.Sleep(time.Minute)
		stop()
		p.wantOnce("a", "b")
		for _, c := range p.erp.Calls() {
			if waited := c.At.Sub(told); waited > 0 && waited < 20*time.Second {
				t.Errorf("a request %s after the ERP asked for 20 s", waited)
			}
		}
	})
}

func TestRetryAfterHoldsTheWholeLink(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		var asked atomic.Bool
		var at time.Time
		p.erp.Answer = func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			if asked.CompareAndSwap(false, true) {
				at = time.Now()
				return message.Outcome{Verdict: message.Again, LinkDown: true, Throttled: true, After: 7 * time.Second, Err: errors.New("429")}, false
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		p.link.Concurrency = 1
		ids := p.oweMany(10, 1)
		p.runFor(time.Minute)
		p.wantOnce(ids...)
		for _, c := range p.erp.Calls()[1:] {
			if waited := c.At.Sub(at); waited < 7*time.Second {
				t.Errorf("sent again after %s, want at least 7 s", waited)
			}
		}
	})
}

// TestRetryAfterOutlivesTheProcess has the ERP ask for forty seconds, and this node started anew and another one beside it meanwhile.
func TestRetryAfterOutlivesTheProcess(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		var asked atomic.Bool
		var at time.Time
		p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			if asked.CompareAndSwap(false, true) {
				at = time.Now()
				return message.Outcome{Verdict: message.Again, LinkDown: true, After: 40 * time.Second, Err: errors.New("503")}, false
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		p.link.Concurrency = 1
		p.cfg.Node = "n1"
		ids := p.oweMany(4, 2)
		p.runFor(5 * time.Second)
		for _, node := range []string{"n2", "n1"} {
			p.cfg.Node = node
			stop := p.start()
			defer stop()
		}
		time.Sleep(time.Minute)
		p.wantOnce(ids...)
		for _, c := range p.erp.Calls()[1:] {
			if waited := c.At.Sub(at); waited < 40*time.Second {
				t.Errorf("called after %s, want at least 40 s", waited)
			}
		}
	})
}

func TestRateNeverExceedsTheCapAndHalvesWhenTold(t *testing.T) {
	oneByOne(t, func(t *testing.T, p *plant) {
		const top = 50
		p.link.Rate, p.link.Concurrency = top, 16
		begun := time.Now()
		recent := 0
		second := begun
		p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			if now := time.Now(); now.Sub(second) >= time.Second {
				second, recent = now, 0
			}
			recent++
			if since := time.Since(begun); since > 5*time.Second && since < 10*time.Second && recent > top/4 {
				return message.Outcome{Verdict: message.Again, LinkDown: true, Throttled: true, Err: errors.New("429")}, false
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		ids := p.oweMany(300, 4)
		p.runFor(2 * time.Minute)
		p.wantOnce(ids...)
		calls := p.erp.Calls()
		slowest := top
		for from := range calls {
			n := 0
			for n+from < len(calls) && calls[from+n].At.Sub(calls[from].At) < time.Second {
				n++
			}
			if n > top+1 {
				t.Fatalf("%d requests within a second, want at most %d", n, top)
			}
			if since := calls[from].At.Sub(begun); since > 6*time.Second && since < 9*time.Second {
				slowest = min(slowest, n)
			}
		}
		if slowest > top/2 {
			t.Errorf("at least %d requests a second while the ERP said too many, want it halved", slowest)
		}
	})
}

func TestLiveMessagesPassABacklog(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		p.link.Rate, p.link.Concurrency = 50, 8
		p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			time.Sleep(20 * time.Millisecond)
			return message.Outcome{Verdict: message.Delivered}, true
		}
		for i := range 1200 {
			kind := []string{"slow.a", "operation.confirmed"}[i%2]
			p.owe(event(fmt.Sprintf("old%d", i), kind, fmt.Sprintf("old%d", i)))
		}
		time.Sleep(time.Hour)
		stop := p.start()
		for i := range 10 {
			time.Sleep(time.Second)
			for _, kind := range []string{"urgent.a", "operation.confirmed"} {
				id := fmt.Sprintf("%s%d", kind, i)
				p.owe(event(id, kind, id))
				waited := time.Duration(0)
				for ; !p.message(id).Settled && waited < 3*time.Second; waited += 100 * time.Millisecond {
					time.Sleep(100 * time.Millisecond)
				}
				if waited >= 3*time.Second { // what is in hand already goes before it, 32 lanes at most
					t.Errorf("live message %s is not delivered after %v", id, waited)
				}
			}
		}
		slow := 0
		for _, m := range p.erp.Delivered() {
			if m.Kind == "slow.a" {
				slow++
			}
		}
		if slow < 50 {
			t.Errorf("%d background messages delivered, want their tenth", slow)
		}
		stop()
	})
}

// TestClockMayJump sets the process's own clock back and forth while messages wait for their next attempt.
func TestClockMayJump(t *testing.T) {
	for _, by := range []time.Duration{-5 * time.Hour, 5 * time.Hour} {
		t.Run(by.String(), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var offset atomic.Int64
				db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }})
				if err != nil {
					t.Fatal(err)
				}
				p := newPlant(t, db)
				p.erp.Answer = first(message.Outcome{Verdict: message.Again, Err: errors.New("locked")}, false)
				ids := p.oweMany(5, 3)
				stop := p.start()
				time.Sleep(500 * time.Millisecond)
				offset.Store(int64(by))
				time.Sleep(30 * time.Second)
				p.wantOnce(ids...)
				more := event("more", "operation.confirmed", "o1")
				p.owe(more)
				time.Sleep(5 * time.Second)
				offset.Store(0)
				time.Sleep(30 * time.Second)
				stop()
				p.wantOnce(append(ids, "more")...)
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestALeapOfTheClockVoidsNothingAtOnce has messages that expire in an hour wait for an ERP that is away, while the clock leaps ahead.
func TestALeapOfTheClockVoidsNothingAtOnce(t *testing.T) {
	tests := []struct {
		name   string
		stands time.Duration // how long the clock stays ahead
		want   message.Role
	}{
		{"set right again after five minutes", 5 * time.Minute, message.Event},
		{"it was right", time.Hour, message.Void},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var offset, back atomic.Int64
				db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }})
				if err != nil {
					t.Fatal(err)
				}
				p := newPlant(t, db)
				p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
					if back.Load() == 1 {
						return message.Outcome{Verdict: message.Delivered}, true
					}
					return message.Outcome{Verdict: message.Again, LinkDown: true, Err: errDown}, false
				}
				p.owe(event("a", "operation.confirmed", "o1"), outbox.Expires(db.Now().Add(time.Hour)))
				p.cfg.Poll, p.cfg.Probe = 5*time.Second, 5*time.Second
				stop := p.start()
				time.Sleep(time.Minute)
				offset.Store(int64(5 * time.Hour))
				time.Sleep(tt.stands)
				offset.Store(0)
				time.Sleep(time.Minute)
				back.Store(1)
				time.Sleep(time.Minute)
				stop()
				if d := p.message("a"); d.Role != tt.want || !d.Settled {
					t.Errorf("got %+v, want it settled as %s", d, tt.want)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestStopAtAnyInstantLosesNothing stops and starts a relay 200 times at random instants of its work, with lost answers.
func TestStopAtAnyInstantLosesNothing(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		random := rand.New(rand.NewPCG(7, 7))
		var sum atomic.Int64
		p.erp.Answer = func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			time.Sleep(time.Duration(sum.Add(7)%31) * time.Millisecond)
			if k := sum.Add(1); k%11 == 0 {
				return verdict(message.Unsure), k%2 == 0
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		var ids []string
		for run := range 200 {
			for i := range 3 {
				id := fmt.Sprintf("r%d-%d", run, i)
				p.owe(event(id, "operation.confirmed", fmt.Sprintf("o%d", random.IntN(20))))
				ids = append(ids, id)
			}
			p.runFor(time.Duration(random.IntN(120)) * time.Millisecond)
			p.wantNothingInHand()
		}
		p.runFor(2 * time.Minute)
		p.wantOnce(ids...)
	})
}

func (p *plant) wantNothingInHand() {
	p.t.Helper()
	err := p.act(func(ctx context.Context, tx *store.Tx) error {
		lanes, _, err := p.out.Lanes(ctx, tx, outbox.LaneFilter{Limit: 1000}, "")
		for _, l := range lanes {
			if l.InHand != "" || l.DueAt.After(tx.Now.Add(3*time.Second)) {
				p.t.Errorf("after the end %+v", l)
			}
		}
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// TestStopKeepsTheLeaseOfARequestUnderWay has another node ready to take the lane while a slow request ends.
func TestStopKeepsTheLeaseOfARequestUnderWay(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			time.Sleep(25 * time.Second)
			return message.Outcome{Verdict: message.Delivered}, true
		}
		p.owe(event("a", "operation.confirmed", "o1"))
		p.cfg.Node, p.cfg.Grace = "n1", 40*time.Second
		first := p.start()
		time.Sleep(time.Second)
		p.cfg.Node = "n2"
		second := p.start()
		first()
		time.Sleep(10 * time.Second)
		second()
		p.wantOnce("a")
	})
}
