package odata

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync/atomic"
	"testing"

	"holdfast/adapters/erpmock/edmx"
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
		out := w.link.Deliver(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: got}), []message.Delivery{w.delivery(t, "m1"), w.delivery(t, "m2")})
		for i, o := range out {
			if o.Verdict != message.Again || !errors.Is(o.Err, errLate) {
				t.Errorf("batch of %d: message %d: got %v, want again, since nothing of it was sent", batch, i, o)
			}
		}
		if docs := append(w.Documents("m1"), w.Documents("m2")...); len(docs) > 0 {
			t.Errorf("batch of %d: the ERP has %q", batch, docs)
		}
		if out := w.one(t, w.delivery(t, "m1")); out.Verdict != message.Delivered {
			t.Errorf("batch of %d: got %v, want it delivered by who has it in hand", batch, out)
		}
	}
}
