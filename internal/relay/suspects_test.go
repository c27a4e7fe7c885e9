package relay_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
)

// TestMessagesThatAreNeverAnsweredSlowTheLinkForAWhileOnly has an ERP hang on some messages, with little other traffic.
func TestMessagesThatAreNeverAnsweredSlowTheLinkForAWhileOnly(t *testing.T) {
	tests := []struct {
		name    string
		poisons int
		asked   message.Outcome
		words   string
	}{
		{"two", 2, message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}}, "10 times without an answer, while the ERP answers questions"},
		{"three", 3, message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}}, "10 times without an answer, while the ERP answers questions"},
		{"one that is not asked for", 1, message.Outcome{Verdict: message.Again}, "10 times without an answer, while the ERP answers others"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plant) {
				p.erp.Answer = func(ctx context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
					if strings.HasPrefix(d.Event.Message().Key, "bad") {
						<-ctx.Done()
						return message.Outcome{Verdict: message.Unsure, LinkDown: true, Err: errors.New("no answer")}, false
					}
					return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D", Status: 201}}, true
				}
				p.erp.Asked = func(context.Context, message.Delivery) (message.Outcome, error) { return tt.asked, nil }
				for i := range tt.poisons {
					p.owe(event(fmt.Sprint("p", i), "operation.confirmed", fmt.Sprint("bad", i)))
				}
				p.cfg.Poll = 5 * time.Second // it finds nothing that a wake or the breaker does not
				stop := p.start()
				for i := range 150 {
					p.owe(event(fmt.Sprint("g", i), "operation.confirmed", fmt.Sprint("o", i%50)))
					time.Sleep(18 * time.Second)
				}
				for i := range tt.poisons {
					if l := p.lane(fmt.Sprint("bad", i)); l.State != outbox.Unknown || !strings.Contains(l.Reason, tt.words) {
						t.Errorf("got %+v, want it unknown, with the reason", l)
					}
				}
				for i := 120; i < 150; i++ {
					if d := p.message(fmt.Sprint("g", i)); !d.Settled || d.Receipt.At.Sub(d.CreatedAt) > time.Second {
						t.Errorf("message %d took %s (settled %t), want the link free", i, d.Receipt.At.Sub(d.CreatedAt), d.Settled)
					}
				}
				stop()
			})
		})
	}
}
