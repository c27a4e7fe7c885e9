package relay_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
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

func TestReplaySendsTheSameEventsAgain(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		p.oweMany(1, 5)
		p.runFor(2 * time.Second)
		var n int64
		err := p.act(func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = p.out.Replay(ctx, tx, "erp", "o0", 2, 3, "the ERP was restored from yesterday's copy")
			return err
		})
		if err != nil || n != 2 {
			t.Fatalf("replayed %d, %v", n, err)
		}
		p.owe(event("new", "operation.confirmed", "o0"))
		p.runFor(2 * time.Second)
		var got []int64
		for _, m := range p.erp.Delivered() {
			got = append(got, m.Number)
		}
		if want := []int64{1, 2, 3, 4, 5, 2, 3, 6}; len(got) != len(want) || got[5] != 2 || got[6] != 3 || got[7] != 6 {
			t.Errorf("delivered %v, want %v", got, want)
		}
		d := p.message("e0-1")
		if d.Redelivery != 1 || d.History[0].What != "replayed" || p.erp.Effects()[d.ID] != 2 {
			t.Errorf("got %+v", d)
		}
	})
}
