package odata

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
)

// late is a context whose time ends without a word on Done: as where the process was stopped, and its timers have yet to run.
type late struct {
	context.Context
	over atomic.Bool
}

func (l *late) Err() error {
	if l.over.Load() {
		return errLate
	}
	return nil
}

var errLate = errors.New("the lease has ended")

// TestNothingIsWrittenAfterTheTimeOfARequest has the time end between the last look of net/http at the context and the first byte.
func TestNothingIsWrittenAfterTheTimeOfARequest(t *testing.T) {
	for _, batch := range []int{1, 10} {
		d := dialects()[0]
		w := d.start(t, edmx.Config{}, func(c *Config) { c.Batch = batch })
		if out := w.one(t, w.delivery(t, "m0")); out.Verdict != message.Delivered { // token and metadata are at hand now
			t.Fatalf("got %v", out)
		}
		ctx := &late{Context: t.Context()}
		got := func(httptrace.GotConnInfo) { ctx.over.Store(true) }
		out := w.link.Deliver(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: got}), []message.Delivery{w.delivery(t, "m1")})[0]
		if out.Verdict != message.Again || !errors.Is(out.Err, errLate) {
			t.Errorf("batch of %d: got %v, want again, since nothing of it was sent", batch, out)
		}
		if docs := w.Documents("m1"); len(docs) > 0 {
			t.Errorf("batch of %d: the ERP has %q", batch, docs)
		}
		if out := w.one(t, w.delivery(t, "m1")); out.Verdict != message.Delivered {
			t.Errorf("batch of %d: got %v, want it delivered by who has it in hand", batch, out)
		}
	}
}

// TestABatchIsNotWrittenAfterTheTimeOfOneOfIt: whoever leads has time left, and another of the batch has not.
func TestABatchIsNotWrittenAfterTheTimeOfOneOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		free, said := make(chan struct{}), make(chan error, 3)
		g := newGatherer(func(ctx context.Context, ws []*write) []message.Outcome {
			if ws[0].what == "blocks" {
				<-free
			} else {
				said <- wire.Over(ctx)
			}
			return make([]message.Outcome, len(ws))
		}, 10)
		for range atOnce { // the line is taken
			go g.send(t.Context(), &write{what: "blocks"})
		}
		synctest.Wait()
		go g.send(t.Context(), &write{what: "leads"})
		synctest.Wait()
		other := &late{Context: t.Context()}
		go g.send(other, &write{what: "follows"})
		synctest.Wait()
		other.over.Store(true)
		close(free)
		if err := <-said; !errors.Is(err, errLate) {
			t.Errorf("err = %v, want that the time of one is over", err)
		}
		synctest.Wait()
	})
}
