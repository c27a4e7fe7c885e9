package relay_test

import (
	"context"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
)

// TestAnIdempotentNeighbourProvesNothing has a process killed that has sent two messages of a lane. The operation of the first may be
// repeated, so that its adapter does not ask; that says nothing of the second.
func TestAnIdempotentNeighbourProvesNothing(t *testing.T) {
	tests := []struct {
		name string
		then message.Outcome // to the first message, when it is sent once more
	}{
		{"taken once more", message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D", Status: 200}}},
		{"not now", message.Outcome{Verdict: message.Again, Err: errDown, Receipt: message.Receipt{Status: 409}}},
		{"no connection", message.Outcome{Verdict: message.Again, LinkDown: true, Err: errDown}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plant) {
				p.owe(event("a", "order.started", "o1"))
				p.owe(event("b", "operation.confirmed", "o1"))
				for _, q := range p.claimAs("holdfast")[0].Messages {
					var d message.Delivery
					d.Event, _ = message.Verify(t.Context(), nothing{}, q.Message)
					p.erp.Deliver(t.Context(), []message.Delivery{d}) // and the answer is lost with the process
				}
				p.erp.Answer = func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
					if n == 2 && d.Event.Message().Kind == "order.started" {
						return tt.then, false
					}
					return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D", Status: 200}}, n == 1
				}
				p.erp.Asked = func(_ context.Context, d message.Delivery) (message.Outcome, error) {
					if d.Event.Message().Kind == "order.started" { // the adapter's own word
						return message.Outcome{Verdict: message.Again}, nil
					}
					return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D", Status: 200}}, nil
				}
				p.runFor(time.Minute)
				if owed := p.links().Owed; owed != 0 {
					t.Errorf("%d messages are owed", owed)
				}
				for _, c := range p.erp.Calls()[2:] {
					if m := c.Delivery.Event.Message(); m.Kind == "operation.confirmed" && !c.Ask {
						t.Error("the second message was sent again without a question")
					}
				}
			})
		})
	}
}

// TestWhatSomebodyMayHaveDoesNotExpire: a broker turns away a message of which another of its queues may have a copy. It is sent once more under
// its ID, and is no message of which nobody has heard.
func TestWhatSomebodyMayHaveDoesNotExpire(t *testing.T) {
	for _, tt := range []struct {
		name string
		sent bool
		want message.Role
	}{{"it may be with somebody", true, message.Event}, {"it is with nobody", false, message.Void}} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plant) {
				began := time.Now()
				p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
					if time.Since(began) < 2*time.Minute {
						return message.Outcome{Verdict: message.Again, LinkDown: true, Sent: tt.sent, Err: errDown}, false
					}
					return message.Outcome{Verdict: message.Delivered}, true
				}
				p.erp.Asked = func(context.Context, message.Delivery) (message.Outcome, error) {
					return message.Outcome{Verdict: message.Again}, nil // a broker cannot tell
				}
				p.owe(event("a", "operation.confirmed", "o1"), outbox.Expires(p.db.Now().Add(time.Minute)))
				p.runFor(5 * time.Minute)
				if d := p.message("a"); d.Role != tt.want || !d.Settled {
					t.Errorf("got %+v, want it settled as %s", d, tt.want)
				}
			})
		})
	}
}
