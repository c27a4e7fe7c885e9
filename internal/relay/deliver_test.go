package relay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func verdict(v message.Verdict) message.Outcome {
	return message.Outcome{Verdict: v, Err: errors.New(string(v)), Receipt: message.Receipt{Document: "4711"}}
}

// first answers the first attempt at each message with o, and takes the message then if took is set; later attempts succeed.
func first(o message.Outcome, took bool) func(context.Context, message.Delivery, int) (message.Outcome, bool) {
	return func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
		if n == 1 {
			return o, took
		}
		return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D-" + d.Event.Message().ID}}, true
	}
}

func TestLostAnswerIsAskedForBeforeAnythingIsSentAgain(t *testing.T) {
	tests := []struct {
		name     string
		took     bool
		attempts int
	}{
		{"it took effect", true, 1},
		{"it did not", false, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			eachWay(t, func(t *testing.T, p *plant) {
				p.erp.Answer = first(verdict(message.Unsure), tt.took)
				p.owe(event("a", "operation.confirmed", "o1"))
				p.owe(event("b", "operation.confirmed", "o1"))
				p.runFor(20 * time.Second)
				p.wantOnce("a", "b")
				if got := p.message("a").Receipt.Asked; got != tt.took {
					t.Errorf("receipt was asked for: %t, want %t", got, tt.took)
				}
				var sent int
				for _, c := range p.erp.Calls() {
					if !c.Ask && c.Delivery.Event.Message().ID == outbox.MessageID("erp", "a") {
						sent++
					}
				}
				if sent != tt.attempts {
					t.Errorf("sent %d times, want %d", sent, tt.attempts)
				}
			})
		})
	}
}

func TestAnAnswerThatNobodyClassifiedIsAskedFor(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		p.erp.Answer = first(message.Outcome{}, true)
		p.owe(event("a", "operation.confirmed", "o1"))
		p.runFor(20 * time.Second)
		p.wantOnce("a")
	})
}

// claimAs has a node claim every lane, as a process does that is killed before it settles.
func (p *plant) claimAs(node string) []outbox.Claim {
	p.t.Helper()
	var claims []outbox.Claim
	err := p.act(func(ctx context.Context, tx *store.Tx) (err error) {
		claims, err = p.out.Claim(ctx, tx, node, "erp", 100, 16)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return claims
}

func TestWhatAKilledProcessMayHaveSentIsAskedFor(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		ids := p.oweMany(3, 2)
		p.cfg.Node = "n1"
		for _, c := range p.claimAs("n1") {
			d := message.Delivery{}
			if d.Event, _ = message.Verify(t.Context(), nothing{}, c.Messages[0].Message); c.Lane != "o2" {
				p.erp.Deliver(t.Context(), []message.Delivery{d}) // and the answer is lost with the process
			}
		}
		p.runFor(20 * time.Second)
		p.wantOnce(ids...)
	})
}

type nothing struct{}

func (nothing) Verify(context.Context, message.Message) error { return nil }

func TestAnotherNodeWaitsForTheLease(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		p.owe(event("a", "operation.confirmed", "o1"))
		p.claimAs("gone")
		p.cfg.Node = "n2"
		began := time.Now()
		stop := p.start()
		for p.links().Owed > 0 {
			time.Sleep(100 * time.Millisecond)
		}
		if waited := time.Since(began); waited < 10*time.Second || waited > 15*time.Second {
			t.Errorf("taken over after %s, want 10 to 15 s", waited)
		}
		stop()
		p.wantOnce("a")
	})
}

func TestNobodyCanSayParksAsUnknownForAPerson(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		var told []bool
		answer := first(verdict(message.Unsure), true)
		p.erp.Answer = func(ctx context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			if d.Event.Message().ID == outbox.MessageID("erp", "b") {
				told = append(told, d.Anew)
			}
			return answer(ctx, d, n)
		}
		p.erp.Asked = func(_ context.Context, d message.Delivery) (message.Outcome, error) {
			if d.Anew {
				t.Error("a person's word is asked about")
			}
			return verdict(message.Unsure), nil
		}
		p.owe(event("a", "operation.confirmed", "o1"))
		p.owe(event("b", "operation.confirmed", "o2"))
		p.owe(event("c", "operation.confirmed", "o2"))
		stop := p.start()
		time.Sleep(10 * time.Second)
		if l := p.lane("o1"); l.State != outbox.Unknown || l.Owed != 1 {
			t.Fatalf("got %+v, want it unknown", l)
		}
		err := p.act(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(p.out.MarkDelivered(ctx, tx, outbox.MessageID("erp", "a"), "4711", "seen in the ERP"), p.out.SendAgain(ctx, tx, outbox.MessageID("erp", "b"), "not there"))
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Second)
		stop()
		if l, d := p.lane("o1"), p.message("a"); l.Owed != 0 || d.Receipt.Document != "4711" {
			t.Errorf("got %+v and %+v, want it settled by a person's word", l, d.Receipt)
		}
		if got := p.erp.Effects()[outbox.MessageID("erp", "b")]; got != 2 {
			t.Errorf("b took effect %d times, want 2: a person had it sent again", got)
		}
		if !slices.Equal(told, []bool{false, true}) {
			t.Errorf("b is told to be sent by a person's word: %v, want the second time", told)
		}
		if l := p.lane("o2"); l.State != outbox.Unknown || l.Head != 2 {
			t.Errorf("got %+v, want the lane's next message unknown too", l)
		}
	})
}

func TestRefusedMessageParksItsLaneAlone(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		refused := outbox.MessageID("erp", "bad")
		p.erp.Answer = func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			if m := d.Event.Message(); m.ID == refused && m.Role == message.Event {
				return message.Outcome{Verdict: message.Refused, Err: errors.New("period is closed")}, false
			}
			return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "1"}}, true
		}
		p.owe(event("bad", "operation.confirmed", "o1"))
		p.owe(event("after", "operation.confirmed", "o1"))
		p.owe(event("other", "operation.confirmed", "o2"))
		stop := p.start()
		time.Sleep(5 * time.Minute)
		if l := p.lane("o1"); l.State != outbox.Parked || l.Owed != 2 || l.Reason != "period is closed" {
			t.Errorf("got %+v, want it parked with the reason", l)
		}
		if calls := p.erp.Calls(); len(calls) != 2 {
			t.Errorf("%d calls, want 2: one refusal, one delivery", len(calls))
		}
		err := p.act(func(ctx context.Context, tx *store.Tx) error {
			return p.out.Amend(ctx, tx, refused, []byte(`{"id":"bad","period":"12"}`), "booked into the open period")
		})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		stop()
		p.wantOnce("bad", "after", "other")
		bad, after := p.message("bad"), p.message("after")
		if bad.Role != message.Amendment || bad.History[1].Digest != bad.Refers || after.Prev != bad.Refers {
			t.Errorf("got %+v followed by %q, want an amendment that names the original, and so does its successor", bad, after.Prev)
		}
	})
}

func TestMessageIsGivenUpAfterItsAttempts(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		p.link.Attempts = 6
		p.erp.Answer = func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			return message.Outcome{Verdict: message.Again, Err: errors.New("order is locked")}, false
		}
		p.owe(event("a", "operation.confirmed", "o1"))
		p.runFor(10 * time.Minute)
		l, d := p.lane("o1"), p.message("a")
		if l.State != outbox.Parked || !strings.Contains(l.Reason, "attempt 6") || d.Attempts != 6 || len(d.History) != 6 {
			t.Errorf("got %+v, %d attempts, history %v", l, d.Attempts, d.History)
		}
		calls := p.erp.Calls()
		for i := 2; i < len(calls); i++ {
			before, after := calls[i-1].At.Sub(calls[i-2].At), calls[i].At.Sub(calls[i-1].At)
			if after < before/2 {
				t.Errorf("waited %s, then %s: want it to grow", before, after)
			}
		}
		err := p.act(func(ctx context.Context, tx *store.Tx) error { return p.out.Retry(ctx, tx, d.ID, "unlocked") })
		if err != nil || p.message("a").Attempts != 0 || p.lane("o1").State != outbox.Open {
			t.Errorf("after a retry: %v, %+v", err, p.lane("o1"))
		}
	})
}

// TestALockIsTriedAgainSoonForAsLongAsItLasts: whoever has an order open in the ERP over lunch parks nothing, and the message goes soon after.
func TestALockIsTriedAgainSoonForAsLongAsItLasts(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		p.link.Attempts = 6
		began := time.Now()
		p.erp.Answer = func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			if time.Since(began) < 10*time.Minute {
				return message.Outcome{Verdict: message.Again, Locked: true, After: 5 * time.Second, Err: errors.New("order is locked by MILLER")}, false
			}
			return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "1"}}, true
		}
		p.owe(event("a", "operation.confirmed", "o1"))
		p.owe(event("b", "operation.confirmed", "o1"))
		p.runFor(5 * time.Minute)
		if l, d := p.lane("o1"), p.message("a"); l.State != outbox.Open || l.Reason != "order is locked by MILLER" || d.Attempts != 0 || len(d.History) != 1 {
			t.Errorf("got %+v, %d attempts, %d lines of history", l, d.Attempts, len(d.History))
		}
		p.runFor(5*time.Minute + 10*time.Second)
		p.wantOnce("a", "b")
		if n := len(p.erp.Calls()); n < 80 {
			t.Errorf("%d calls in ten minutes, want one every few seconds", n)
		}
	})
}

func TestPoisonThatIsNeverAnsweredParksWhileOthersGoOn(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		poison := outbox.MessageID("erp", "poison")
		p.erp.Answer = func(_ context.Context, d message.Delivery, n int) (message.Outcome, bool) {
			if d.Event.Message().ID == poison {
				return verdict(message.Unsure), false
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		p.owe(event("poison", "operation.confirmed", "o1"))
		stop := p.start()
		var ids []string
		for i := range 120 {
			time.Sleep(time.Second)
			id := "e" + string(rune('a'+i%26)) + string(rune('a'+i/26))
			p.owe(event(id, "operation.confirmed", id))
			ids = append(ids, id)
		}
		time.Sleep(5 * time.Second)
		stop()
		if l := p.lane("o1"); l.State != outbox.Parked || !strings.Contains(l.Reason, "without effect") {
			t.Errorf("got %+v, want it parked", l)
		}
		if got := len(p.erp.Delivered()); got != len(ids) {
			t.Errorf("%d others delivered, want %d", got, len(ids))
		}
	})
}

func TestAlteredMessageIsNotSent(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		p.owe(event("a", "operation.confirmed", "o1"))
		err := p.act(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_messages SET body = ?`, []byte(`{"yield":"999"}`))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		p.runFor(5 * time.Second)
		if l := p.lane("o1"); l.State != outbox.Parked || !strings.Contains(l.Reason, "digest") || len(p.erp.Calls()) != 0 {
			t.Errorf("got %+v and %d calls, want it parked unsent", l, len(p.erp.Calls()))
		}
	})
}

// TestWhatIsSentIsTheCopyThatWasVerified: rows that somebody alters once they are claimed, while the first of them is under way, change nothing of
// what leaves the plant; a copy that a later claim reads is looked at anew, and stays.
func TestWhatIsSentIsTheCopyThatWasVerified(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		var alter sync.Once
		var failed error
		p.erp.Answer = func(ctx context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			alter.Do(func() {
				failed = p.act(func(ctx context.Context, tx *store.Tx) error {
					_, err := tx.Exec(ctx, `UPDATE outbox_messages SET body = ?, kind = ?`, []byte(`{"yield":"999"}`), "operation.reversed")
					return err
				})
			})
			if m := d.Event.Message(); !strings.HasPrefix(string(m.Body), `{"id":"`) || m.Kind != "operation.confirmed" || strings.Contains(string(d.Doc.Body), "999") {
				t.Errorf("%s left as %s with %s", m.ID, m.Kind, m.Body)
			}
			return message.Outcome{Verdict: message.Delivered}, true
		}
		for _, id := range []string{"a", "b", "c"} {
			p.owe(event(id, "operation.confirmed", "o1"))
		}
		p.runFor(5 * time.Second)
		if failed != nil {
			t.Fatal(failed)
		}
		if n := len(p.erp.Delivered()); n == 0 {
			t.Error("nothing left the plant")
		}
		p.owe(event("d", "operation.confirmed", "o1"))
		if err := p.act(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE outbox_messages SET body = ? WHERE number = 4`, []byte(`{"yield":"999"}`))
			return err
		}); err != nil {
			t.Fatal(err)
		}
		p.runFor(5 * time.Second)
		if l := p.lane("o1"); l.State != outbox.Parked || !strings.Contains(l.Reason, "digest") {
			t.Errorf("got %+v, want what was altered before its claim parked", l)
		}
	})
}

func TestMessageThatCannotBeMappedParks(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want outbox.State
	}{
		{"it does not fit its mapping", &problem.Error{Kind: problem.Invalid, Why: "no unit"}, outbox.Parked},
		{"the database was away", errors.New("connection lost"), outbox.Open},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plant) {
				p.rule = func(context.Context, message.Verified, mapping.Resolver) (message.Document, error) {
					return message.Document{}, tt.err
				}
				p.owe(event("a", "operation.confirmed", "o1"))
				p.runFor(5 * time.Second)
				if l := p.lane("o1"); l.State != tt.want || l.Owed != 1 || len(p.erp.Calls()) != 0 {
					t.Errorf("got %+v, want %s and no call", l, tt.want)
				}
			})
		})
	}
}

// TestAMappingThatRunsAwayParksItsLaneAlone: one that would take time and memory without end is stopped at its bound, which counts steps, and the
// relay goes on with the other lanes.
func TestAMappingThatRunsAwayParksItsLaneAlone(t *testing.T) {
	set, err := mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: test.happened}\nto: {operation: post}\n" +
		"fields: {a: {each: src.l, item: x, fields: {b: {each: src.l, item: y, fields: {c: {each: src.l, item: z, value: z}}}}}}\n")}})
	if err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T, p *plant) {
		p.rule = func(ctx context.Context, m message.Verified, refs mapping.Resolver) (message.Document, error) {
			return set.Apply(ctx, "m", m, refs)
		}
		runaway, good := event("a", "test.happened", "o1"), event("b", "test.happened", "o2")
		runaway.Body = []byte(`{"l":[` + strings.TrimSuffix(strings.Repeat("1,", 3000), ",") + `]}`)
		good.Body = []byte(`{"l":[1]}`)
		p.owe(runaway)
		p.owe(good)
		p.runFor(5 * time.Second)
		if l := p.lane("o1"); l.State != outbox.Parked || !strings.Contains(l.Reason, "more than") {
			t.Errorf("got %+v, want it parked at its bound", l)
		}
		if calls := p.erp.Calls(); len(calls) != 1 || calls[0].Delivery.Event.Message().Key != "o2" {
			t.Errorf("got %d calls, want one, of the other lane", len(calls))
		}
	})
}

// TestMappingsThatChangeUnderLoadLoseAndDoubleNothing: mappings are changed again and again while a backlog goes out.
func TestMappingsThatChangeUnderLoadLoseAndDoubleNothing(t *testing.T) {
	of := func(which string) fstest.MapFS {
		return fstest.MapFS{"m.yaml": {Data: []byte("from: {kind: operation.confirmed}\nto: {operation: post}\nfields: {id: event.id, by: {const: " + which + "}}\n")}}
	}
	first, err := mapping.Load(of("v0"))
	if err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T, p *plant) {
		live, n := mapping.NewLive(first), 0
		var mu sync.Mutex
		p.rule = func(ctx context.Context, m message.Verified, refs mapping.Resolver) (message.Document, error) {
			mu.Lock()
			defer mu.Unlock()
			if n++; n%5 == 0 {
				if _, err := live.Reload(func(*mapping.Set) error { return nil }, of(fmt.Sprintf("v%d", n%3))); err != nil {
					return message.Document{}, err
				}
			}
			return live.Apply(ctx, "m", m, refs)
		}
		ids := p.oweMany(10, 8)
		p.runFor(5 * time.Second)
		p.wantOnce(ids...)
		used := map[string]string{}
		for _, c := range p.erp.Calls() {
			doc := c.Delivery.Doc
			_, made, _ := strings.Cut(string(doc.Body), `"by":`)
			if was, ok := used[doc.Mapping]; ok && was != made {
				t.Errorf("%s made %s and %s", doc.Mapping, was, made)
			}
			used[doc.Mapping] = made
		}
		if len(used) < 2 {
			t.Errorf("mapped by %v, want several versions", used)
		}
	})
}

// needsNumber waits for the number of the order that the message is about.
func needsNumber(ctx context.Context, m message.Verified, refs mapping.Resolver) (message.Document, error) {
	e := m.Message()
	if e.Creates != "" || e.Kind == "plain" {
		return message.Document{Mapping: "m@1"}, nil
	}
	object := "order/" + e.Key
	number, ok, err := refs(ctx, object)
	if err != nil || !ok {
		return message.Document{}, errors.Join(err, &mapping.Waiting{Object: object})
	}
	return message.Document{Mapping: "m@1", Params: map[string]string{"order": number}}, nil
}

func TestLateReferenceWaitsForTheReceipt(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		p.rule = needsNumber
		needs := event("needs", "operation.confirmed", "o1")
		needs.Lane = "lot/7" // another lane than the order's
		p.owe(needs)
		stop := p.start()
		time.Sleep(10 * time.Second)
		if l := p.lane("lot/7"); l.State != outbox.Waiting || l.Awaits != "order/o1" {
			t.Fatalf("got %+v, want it waiting for order/o1", l)
		}
		creates := event("creates", "order.created", "o1")
		creates.Creates = "order/o1"
		p.owe(creates)
		synctest.Wait()
		stop()
		p.wantOnce("needs", "creates")
		for _, c := range p.erp.Calls() {
			if c.Delivery.Event.Message().Kind == "operation.confirmed" && c.Delivery.Doc.Params["order"] != "D-"+outbox.MessageID("erp", "creates") {
				t.Errorf("sent with number %q", c.Delivery.Doc.Params["order"])
			}
		}
	})
}

// TestANumberThatComesLaterIsNoTrouble: many ERPs tell the document's number in a confirmation of their own, as SAP of an IDoc.
func TestANumberThatComesLaterIsNoTrouble(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		var trouble strings.Builder
		p.log = slog.New(slog.NewTextHandler(&trouble, &slog.HandlerOptions{Level: slog.LevelWarn}))
		p.erp.Answer = func(context.Context, message.Delivery, int) (message.Outcome, bool) {
			return message.Outcome{Verdict: message.Delivered}, true
		}
		creates := event("creates", "plain", "o1")
		creates.Creates = "order/o1"
		p.owe(creates)
		p.runFor(3 * time.Second)
		p.wantOnce("creates")
		if trouble.Len() > 0 {
			t.Errorf("logged %s", trouble.String())
		}
	})
}

func TestWhatWaitsForAVoidedCreationParks(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		p.rule = needsNumber
		for _, id := range []string{"early", "late"} {
			m := event(id, "operation.confirmed", "o1")
			m.Lane = id
			if id == "early" {
				p.owe(m)
			}
			if id == "late" {
				creates := event("creates", "order.created", "o1")
				creates.Creates = "order/o1"
				p.owe(creates, outbox.NotBefore(p.db.Now().Add(time.Hour)))
				p.runFor(3 * time.Second)
				if err := p.act(func(ctx context.Context, tx *store.Tx) error {
					return p.out.Discard(ctx, tx, outbox.MessageID("erp", "creates"), "made by mistake")
				}); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Hour)
				p.runFor(3 * time.Second)
				p.owe(m)
				p.runFor(3 * time.Second)
			}
			if id == "late" {
				for _, lane := range []string{"early", "late"} {
					if l := p.lane(lane); l.State != outbox.Parked || !strings.Contains(l.Reason, "voided") {
						t.Errorf("got %+v, want it parked", l)
					}
				}
			}
		}
		if l := p.links(); l.Voided != 1 || l.Delivered != 0 {
			t.Errorf("got %+v, want one void", l)
		}
	})
}
