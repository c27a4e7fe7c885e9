package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAnAppendIsSentWithoutAClaim where the lane owed nothing; what follows it in the lane while it is under way is claimed.
func TestAnAppendIsSentWithoutAClaim(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var claims atomic.Int64
		db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{Before: func(_ context.Context, statement string) error {
			if strings.Contains(statement, "AS newest") {
				claims.Add(1)
			}
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		p := newPlant(t, db)
		var before int64
		p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			if got := claims.Load() - before; got != 0 {
				t.Errorf("number %d: lanes were looked for %d times before it was sent, want never", d.Event.Message().Number, got)
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		stop := p.start()
		for _, id := range []string{"a", "b"} { // of a lane that is new, and of one that was
			synctest.Wait()
			before = claims.Load()
			p.owe(event(id, "operation.confirmed", "o1"))
		}
		synctest.Wait()
		p.wantOnce("a", "b")
		p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			time.Sleep(100 * time.Millisecond)
			return message.Outcome{Verdict: message.Delivered}, true
		}
		p.owe(event("c", "operation.confirmed", "o1"))
		synctest.Wait()
		p.owe(event("d", "operation.confirmed", "o1"))
		time.Sleep(300 * time.Millisecond)
		stop()
		p.wantOnce("a", "b", "c", "d")
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestAStopWaitsForTheAppendThatMayTakeALane, which then is in no hand, and was not sent.
func TestAStopWaitsForTheAppendThatMayTakeALane(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		stop := p.start()
		synctest.Wait()
		appended, commit := make(chan struct{}), make(chan struct{})
		var writer sync.WaitGroup
		writer.Go(func() {
			err := p.act(func(ctx context.Context, tx *store.Tx) error {
				err := p.out.Append(ctx, tx, event("a", "operation.confirmed", "o1"))
				close(appended)
				<-commit
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
		<-appended
		time.AfterFunc(3*time.Second, func() { close(commit) })
		stop()
		writer.Wait()
		if l := p.lane("o1"); l.Owed != 1 || l.InHand != "" || l.DueAt.After(p.db.Now()) {
			t.Errorf("got %+v, want it owed, free and due: the next node need not wait", l)
		}
		if got := len(p.erp.Calls()); got != 0 {
			t.Errorf("%d calls after the stop", got)
		}
		p.runFor(3 * time.Second)
		p.wantOnce("a")
		if got := len(p.erp.Calls()); got != 1 {
			t.Errorf("%d calls, want one: nothing had to be asked for", got)
		}
	})
}

// TestANameThatIsLostDuringAnAppend: the lane was taken in a name that another process has had since.
func TestANameThatIsLostDuringAnAppend(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		t.Parallel()
		p := newPlant(t, db)
		var term atomic.Uint64
		term.Store(1)
		p.out = outbox.New(routes, "urn:p", outbox.Config{AskAfter: 20 * time.Millisecond})
		p.cfg.Poll, p.cfg.Term = 20*time.Millisecond, term.Load
		settled, done := db.Subscribe(outbox.Settled)
		defer done()
		stop := p.start()
		p.owe(event("first", "operation.confirmed", "o0")) // the relay is up once it is settled
		for p.links().Owed > 0 {
			<-settled
		}
		var ids []string
		for n := range 20 {
			id := fmt.Sprintf("e%d", n)
			ids = append(ids, id)
			err := p.act(func(ctx context.Context, tx *store.Tx) error {
				err := p.out.Append(ctx, tx, event(id, "operation.confirmed", id))
				term.Add(1)
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		for p.links().Owed > 0 {
			<-settled
		}
		stop()
		p.wantOnce(append(ids, "first")...)
	})
}

// TestNothingIsLostOrDoubledWhereAppendsTakeLanes: many write, some change their mind, answers are lost, and the relay is stopped and started.
func TestNothingIsLostOrDoubledWhereAppendsTakeLanes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		t.Parallel()
		p := newPlant(t, db)
		p.losing()
		settled, done := db.Subscribe(outbox.Settled)
		defer done()
		var ids []string
		mind := errors.New("changed")
		for round := range 6 {
			stop := p.start() // before anybody appends: who appends asks the relay
			var writers sync.WaitGroup
			for w := range 8 {
				for i := range 8 {
					if i%5 != 4 {
						ids = append(ids, fmt.Sprintf("e%d-%d-%d", round, w, i))
					}
				}
				writers.Go(func() {
					for i := range 8 {
						err := p.act(func(ctx context.Context, tx *store.Tx) error {
							err := p.out.Append(ctx, tx, event(fmt.Sprintf("e%d-%d-%d", round, w, i), "operation.confirmed", fmt.Sprintf("o%d", (w+i)%12)))
							if i%5 == 4 {
								return errors.Join(err, mind)
							}
							return err
						})
						if err != nil && !errors.Is(err, mind) {
							t.Error(err)
						}
					}
				})
			}
			if round%2 == 0 {
				<-settled
				stop()
				writers.Wait()
			} else {
				writers.Wait()
				stop()
			}
		}
		stop := p.start()
		for p.links().Owed > 0 {
			<-settled
		}
		stop()
		p.wantOnce(ids...)
	})
}
