package relay_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func TestExpiredMessageBecomesAVoid(t *testing.T) {
	tests := []struct {
		name    string
		mapping string
		calls   int
	}{
		{"link that takes documents", "all", 1},
		{"link that takes the events themselves", "", 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plant) {
				p.out = outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: tt.mapping}}, "urn:plant:1000", outbox.Config{})
				p.owe(event("late", "operation.confirmed", "o1"), outbox.Expires(p.db.Now().Add(time.Minute)))
				p.owe(event("next", "operation.confirmed", "o1"))
				time.Sleep(2 * time.Minute)
				p.runFor(5 * time.Second)
				late, next := p.message("late"), p.message("next")
				if late.Role != message.Void || !late.Settled || late.Refers != next.Prev || !next.Settled || !strings.Contains(string(late.Body), "expired") {
					t.Errorf("got %+v, then %+v", late, next)
				}
				if got := len(p.erp.Calls()); got != tt.calls {
					t.Errorf("%d calls, want %d", got, tt.calls)
				}
			})
		})
	}
}

func TestScheduledMessageHoldsItsLaneUntilItsTime(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		when := p.db.Now().Add(time.Hour)
		p.cfg.Poll = 2 * time.Second
		p.owe(event("a", "operation.confirmed", "o1"))
		p.owe(event("b", "operation.confirmed", "o1"), outbox.NotBefore(when))
		p.owe(event("c", "operation.confirmed", "o1"))
		p.owe(event("d", "operation.confirmed", "o2"))
		p.runFor(61 * time.Minute)
		p.wantOnce("a", "b", "c", "d")
		for _, c := range p.erp.Calls() {
			m := c.Delivery.Event.Message()
			early := m.ID == outbox.MessageID("erp", "a") || m.ID == outbox.MessageID("erp", "d")
			if early != c.At.Before(when) || !early && c.At.After(when.Add(3*time.Second)) {
				t.Errorf("message %d of %s was sent at %s", m.Number, m.Lane, c.At)
			}
		}
	})
}

func TestPauseOfLinkAndLane(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		stop := p.start()
		do := func(fn func(ctx context.Context, tx *store.Tx) error) {
			t.Helper()
			if err := p.act(fn); err != nil {
				t.Fatal(err)
			}
		}
		do(func(ctx context.Context, tx *store.Tx) error { return p.out.PauseLink(ctx, tx, "erp", "ERP upgrade") })
		p.oweMany(2, 1)
		time.Sleep(time.Minute)
		if l := p.links(); len(p.erp.Calls()) != 0 || !l.Paused || l.Owed != 2 {
			t.Errorf("%d calls while %+v", len(p.erp.Calls()), l)
		}
		do(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(p.out.PauseLane(ctx, tx, "erp", "o1", "under review"), p.out.ResumeLink(ctx, tx, "erp", "done"))
		})
		time.Sleep(time.Minute)
		if got := len(p.erp.Calls()); got != 1 || !p.lane("o1").Paused {
			t.Errorf("%d calls with one lane paused, want 1", got)
		}
		do(func(ctx context.Context, tx *store.Tx) error { return p.out.Resume(ctx, tx, "erp", "o1", "reviewed") })
		synctest.Wait()
		p.wantOnce("e0-0", "e1-0")
		stop()
	})
}

// TestARateThatAPersonSets: it holds within two seconds, in place of the configuration's, and that has its say again.
func TestARateThatAPersonSets(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		rate := func(n int) {
			t.Helper()
			if err := p.act(func(ctx context.Context, tx *store.Tx) error { return p.out.RateLink(ctx, tx, "erp", n) }); err != nil {
				t.Fatal(err)
			}
		}
		rate(2)
		stop := p.start()
		p.oweMany(60, 1)
		time.Sleep(5 * time.Second)
		if got := len(p.erp.Calls()); got < 8 || got > 11 {
			t.Errorf("%d calls in 5 s at 2 a second", got)
		}
		rate(10)
		time.Sleep(2 * time.Second)
		before := len(p.erp.Calls())
		time.Sleep(2 * time.Second)
		if got := len(p.erp.Calls()) - before; got < 18 || got > 22 {
			t.Errorf("%d calls in 2 s at 10 a second", got)
		}
		rate(0)
		time.Sleep(2 * time.Second)
		if got := len(p.erp.Calls()); got != 60 || p.links().Rate != 0 {
			t.Errorf("%d of 60 were sent without a cap, the link is %+v", got, p.links())
		}
		stop()
		for _, n := range []int{-1, outbox.MostRate + 1} {
			if err := p.act(func(ctx context.Context, tx *store.Tx) error { return p.out.RateLink(ctx, tx, "erp", n) }); problem.KindOf(err) != problem.Invalid {
				t.Errorf("a rate of %d: %v, want it refused", n, err)
			}
		}
	})
}

// replayed is a lane with five messages, of which a person has 2 and 3 replayed before 6 is owed.
func replayed(t *testing.T, p *plant, force bool) {
	t.Helper()
	p.oweMany(1, 5)
	p.runFor(2 * time.Second)
	err := p.act(func(ctx context.Context, tx *store.Tx) error {
		_, err := p.out.Replay(ctx, tx, "erp", "o0", outbox.Range{From: 2, To: 3, Force: force}, "the ERP was restored from yesterday's copy")
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	p.owe(event("new", "operation.confirmed", "o0"))
}

func TestReplaySendsOnlyWhatTheERPDoesNotHave(t *testing.T) {
	tests := []struct {
		name  string
		force bool
		lost  []string // events whose effects the ERP has lost
		want  []int64  // numbers sent, the first five delivered before
	}{
		{"it has all", false, nil, []int64{1, 2, 3, 4, 5, 6}},
		{"it has lost one", false, []string{"e0-2"}, []int64{1, 2, 3, 4, 5, 3, 6}},
		{"it has lost both", false, []string{"e0-1", "e0-2"}, []int64{1, 2, 3, 4, 5, 2, 3, 6}},
		{"nobody asks it", true, nil, []int64{1, 2, 3, 4, 5, 2, 3, 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plant) {
				replayed(t, p, tt.force)
				p.erp.Asked = func(_ context.Context, d message.Delivery) (message.Outcome, error) {
					if e := d.Event.Message(); !d.Quiet || slices.ContainsFunc(tt.lost, func(l string) bool { return outbox.MessageID("erp", l) == e.ID }) {
						return message.Outcome{Verdict: message.Again}, nil
					}
					return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "7"}}, nil
				}
				p.runFor(2 * time.Second)
				var got []int64
				for _, m := range p.erp.Delivered() {
					got = append(got, m.Number)
				}
				if !slices.Equal(got, tt.want) {
					t.Errorf("delivered %v, want %v", got, tt.want)
				}
				for _, e := range []string{"e0-1", "e0-2"} {
					sent := tt.force || slices.Contains(tt.lost, e)
					if d := p.message(e); d.Redelivery != 1 || !d.Settled || (d.Sends == 1) != sent || d.Receipt.Asked == sent || d.History[0].What != "replayed" {
						t.Errorf("got %+v, want it sent: %t", d, sent)
					}
				}
			})
		})
	}
}

func TestAReplayThatIsForcedIsSentUnaskedOnce(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		p.erp.Answer = func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			if n == 2 && d.Event.Message().Number == 2 {
				return message.Outcome{Verdict: message.Unsure, Err: errors.New("the answer was lost")}, true
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		replayed(t, p, true)
		p.runFor(time.Minute)
		if d := p.message("e0-1"); d.Sends != 1 || !d.Receipt.Asked || p.erp.Effects()[d.ID] != 2 {
			t.Errorf("got %+v with %d effects, want it sent once more and then asked for", d, p.erp.Effects()[d.ID])
		}
	})
}
