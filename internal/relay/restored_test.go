package relay_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestWhatTheLostPlantDeliveredBehindADiscardIsNotSentAgain: it had discarded a, which the ERP refused, and delivered b and c after the copy. Of the
// restored lane the ERP does not have a, refuses it again, and a person discards it again.
func TestWhatTheLostPlantDeliveredBehindADiscardIsNotSentAgain(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		bad := outbox.MessageID("erp", "a")
		had := map[string]bool{outbox.MessageID("erp", "b"): true, outbox.MessageID("erp", "c"): true}
		p.erp.Asked = func(_ context.Context, d message.Delivery) (message.Outcome, error) {
			if had[d.Event.Message().ID] {
				return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "1", Status: 200}}, nil
			}
			return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}}, nil
		}
		p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			if m := d.Event.Message(); m.ID == bad && m.Role == message.Event {
				return message.Outcome{Verdict: message.Refused, Receipt: message.Receipt{Status: 422}}, false
			}
			return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "2", Status: 201}}, true
		}
		for _, id := range []string{"a", "b", "c"} {
			p.owe(event(id, "operation.confirmed", "o1"))
		}
		if err := p.act(func(ctx context.Context, tx *store.Tx) error { _, err := p.out.Restored(ctx, tx); return err }); err != nil {
			t.Fatal(err)
		}
		p.out = outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "all"}}, "urn:plant:1000", outbox.Config{})
		time.Sleep(time.Second)
		fresh := uuid.Must(uuid.NewV7()).String() // made since: nobody is to be asked for it
		p.owe(event(fresh, "operation.confirmed", "o1"))
		p.runFor(5 * time.Minute)
		if l := p.lane("o1"); l.State != outbox.Parked {
			t.Fatalf("the lane is %s (%s), want it parked", l.State, l.Reason)
		}
		if err := p.act(func(ctx context.Context, tx *store.Tx) error { return p.out.Discard(ctx, tx, bad, "period closed") }); err != nil {
			t.Fatal(err)
		}
		p.runFor(5 * time.Minute)
		for id := range had {
			if n := p.erp.Effects()[id]; n > 0 {
				t.Errorf("message %s, which the ERP had, took effect again (%d)", id, n)
			}
		}
		asked := 0
		for _, c := range p.erp.Calls() {
			if c.Ask {
				asked++
			}
		}
		if l := p.lane("o1"); l.Owed != 0 || p.erp.Effects()[outbox.MessageID("erp", fresh)] != 1 || asked != 3 {
			t.Errorf("%d are owed (%s), %d were asked for, %v took effect; want none, the three that the copy owed, and what is new once", l.Owed, l.Reason, asked, p.erp.Effects())
		}
	})
}

// TestWhatHasExpiredAndIsNotThereIsNotSent: it was in doubt, so that it could not become a void before the ERP was asked for it.
func TestWhatHasExpiredAndIsNotThereIsNotSent(t *testing.T) {
	doubts := map[string]func(p *plant){
		"a copy was restored after it had expired": func(p *plant) {
			time.Sleep(5 * time.Hour)
			if err := p.act(func(ctx context.Context, tx *store.Tx) error { _, err := p.out.Restored(ctx, tx); return err }); err != nil {
				p.t.Fatal(err)
			}
		},
		"who held it was killed": func(p *plant) {
			p.claimAs("gone")
			time.Sleep(5 * time.Hour)
		},
	}
	short := []string{outbox.MessageID("erp", "a"), outbox.MessageID("erp", "b")}
	for name, doubt := range doubts {
		t.Run(name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, p *plant) {
				p.erp.Asked = func(context.Context, message.Delivery) (message.Outcome, error) {
					return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}}, nil
				}
				p.owe(event("first", "operation.confirmed", "o1")) // where it is not, nothing that follows it is, and nobody asks for that
				for _, id := range []string{"a", "b"} {
					p.owe(event(id, "operation.confirmed", "o1"), outbox.Expires(time.Now().Add(time.Hour)))
				}
				p.owe(event("last", "operation.confirmed", "o1"))
				doubt(p)
				p.runFor(5 * time.Minute)
				for _, c := range p.erp.Calls() {
					if m := c.Delivery.Event.Message(); !c.Ask && m.Role == message.Event && slices.Contains(short, m.ID) {
						t.Errorf("message %s was sent four hours after it had expired", m.ID)
					}
				}
				for id, want := range map[string]message.Role{"first": message.Event, "a": message.Void, "b": message.Void, "last": message.Event} {
					if got := p.message(id).Role; got != want {
						t.Errorf("message %s is a %s, want a %s", id, got, want)
					}
				}
				if l := p.lane("o1"); l.Owed != 0 {
					t.Errorf("%d are owed (%s), want none", l.Owed, l.Reason)
				}
				for _, id := range []string{"first", "last"} {
					if n := p.erp.Effects()[outbox.MessageID("erp", id)]; n != 1 {
						t.Errorf("message %s, which does not expire, took effect %d times", id, n)
					}
				}
			})
		})
	}
}

// TestACallThatIsRepeatedAfterARestoreHasNoSecondEffect: what the lost plant delivered after the copy is new to the restored one, and bears the ID that the
// ERP knows. It is asked for also where the relay could have it in its hand at once; what the ERP does not have is sent, and what it cannot be asked for waits
// for a person, as all that is in doubt does.
func TestACallThatIsRepeatedAfterARestoreHasNoSecondEffect(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		p.erp.Asked = func(_ context.Context, d message.Delivery) (message.Outcome, error) {
			switch d.Event.Message().ID {
			case outbox.MessageID("erp", "delivered"):
				return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "1", Status: 200}}, nil
			case outbox.MessageID("erp", "unanswerable"):
				return message.Outcome{Verdict: message.Unsure}, nil
			}
			return message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}}, nil
		}
		if err := p.act(func(ctx context.Context, tx *store.Tx) error { _, err := p.out.Restored(ctx, tx); return err }); err != nil {
			t.Fatal(err)
		}
		stop := p.start()
		time.Sleep(time.Minute)
		for _, id := range []string{"delivered", "missing", "unanswerable"} {
			p.owe(event(id, "operation.confirmed", id))
		}
		time.Sleep(time.Minute)
		stop()
		sent := map[string]int{}
		for _, c := range p.erp.Calls() {
			if !c.Ask {
				sent[c.Delivery.Event.Message().ID]++
			}
		}
		if n := sent[outbox.MessageID("erp", "delivered")]; n != 0 {
			t.Errorf("what the ERP has was sent again (%d times)", n)
		}
		if n := sent[outbox.MessageID("erp", "missing")]; n != 1 {
			t.Errorf("what the ERP does not have was sent %d times, want once", n)
		}
		if l, n := p.lane("unanswerable"), sent[outbox.MessageID("erp", "unanswerable")]; l.State != outbox.Unknown || n != 0 {
			t.Errorf("where nobody can say the lane is %s (%s), and it was sent %d times; want it unknown, and nothing sent", l.State, l.Reason, n)
		}
		for _, id := range []string{"delivered", "missing"} {
			if l := p.lane(id); l.Owed != 0 {
				t.Errorf("lane %s owes %d (%s)", id, l.Owed, l.Reason)
			}
		}
	})
}
