// Package adaptertest holds what every adapter must pass, and what stands in for an adapter.
//
// # Guarantees
//
//   - The suite judges by two things only: the outcomes that the adapter gives, and what the ERP itself counted. It knows no
//     protocol, so that it is the same for REST, OData, IDocs and AMQP.
//   - Each fault is tried twice: on a new connection, and on one that was used before. Most clients differ there.
//   - What a subject cannot be tried with it names, with the reason; every other fault is tried.
package adaptertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/internal/message"
)

// Deliverer is what an adapter offers to the relay.
type Deliverer interface {
	// Deliver gives one Outcome per delivery, in order.
	Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome
	// Ask tells whether a delivery has taken effect. After an error it is asked again, not before Outcome.After.
	Ask(ctx context.Context, d message.Delivery) (message.Outcome, error)
}

// Fault is what happens to the next write.
type Fault string

// The faults. Before and After are seen from the effect in the ERP.
const (
	None           Fault = "no fault"
	Refuse         Fault = "refused"                         // the ERP says no to this message
	Throttle       Fault = "too many requests"               // with RetryAfter
	Unavailable    Fault = "unavailable"                     // for maintenance, with RetryAfter
	SignIn         Fault = "credentials refused"             // the ERP does not know us
	Redirect       Fault = "redirected"                      // to another address
	Down           Fault = "nobody listens"                  // until the next Meet
	ResetBefore    Fault = "reset before the effect"         // no byte of an answer
	ResetAfter     Fault = "reset after the effect"          //
	CloseBefore    Fault = "closed before the effect"        // orderly, without a byte
	CloseAfter     Fault = "closed after the effect"         //
	HangBefore     Fault = "hang before the effect"          // longer than the adapter waits
	HangAfter      Fault = "hang after the effect"           //
	HalfAfter      Fault = "half an answer after the effect" //
	GarbageAfter   Fault = "a good status with a senseless body, after the effect"
	GarbageBefore  Fault = "a good status with a senseless body, without effect"
	ErrorBefore    Fault = "internal error before the effect"
	ErrorAfter     Fault = "internal error after the effect"
	GatewayBefore  Fault = "gateway timeout before the effect"
	GatewayAfter   Fault = "gateway timeout after the effect"
	MaintainBefore Fault = "unavailable without a time, before the effect"
	MaintainAfter  Fault = "unavailable without a time, after the effect"
)

// RetryAfter is what the ERP asks to wait under Throttle and Unavailable.
const RetryAfter = 7 * time.Second

// ERP is the far side. It counts for itself; what the adapter says does not reach it.
type ERP interface {
	// Meet makes the next write, and that alone, meet the fault. It also ends Down.
	Meet(t *testing.T, f Fault)
	// Attempts is how many requests to write the message arrived.
	Attempts(id string) int
	// Documents are the numbers of the documents that the message has brought about, one for each effect.
	Documents(id string) []string
}

// Subject is one adapter connected to one ERP. Its time limit for a call should be a second or so where Hangs says so and elsewhere far more
// than a slow machine needs, and the time that an effect may come late some milliseconds.
type Subject struct {
	Adapter Deliverer
	ERP     ERP
	// Delivery makes a good delivery of a message with this ID.
	Delivery func(id string) message.Delivery
	// Unknown are the faults that cannot be made here, each with why: the suite prints them, so that nobody takes them for proven.
	Unknown map[Fault]string
	// Blind says that nobody can be asked what became of a message: Ask answers Again, and the receiver drops an ID that it knows.
	Blind bool
}

// row says what an adapter owes after a fault.
type row struct {
	fault     Fault
	want      []message.Verdict // any of these
	link      bool              // Outcome.LinkDown
	throttled bool
	after     time.Duration
	attempts  int // requests that arrived by the first Deliver
	effects   int // and what they brought about, before anybody asks
	refused   bool
}

// What certainly had no effect may be sent again, all else is asked about.
var rows = [...]row{
	{fault: None, want: one(message.Delivered), attempts: 1, effects: 1},
	{fault: Refuse, want: one(message.Refused), attempts: 1, refused: true},
	{fault: Throttle, want: one(message.Again), link: true, throttled: true, after: RetryAfter, attempts: 1},
	{fault: Unavailable, want: one(message.Again), link: true, after: RetryAfter, attempts: 1},
	{fault: SignIn, want: one(message.Again), link: true, attempts: 1},
	{fault: Redirect, want: one(message.Again), link: true, attempts: 1},
	{fault: Down, want: []message.Verdict{message.Again, message.Unsure}, link: true},
	{fault: ResetBefore, want: one(message.Unsure), link: true, attempts: 1},
	{fault: ResetAfter, want: one(message.Unsure), link: true, attempts: 1, effects: 1},
	{fault: CloseBefore, want: one(message.Unsure), link: true, attempts: 1},
	{fault: CloseAfter, want: one(message.Unsure), link: true, attempts: 1, effects: 1},
	{fault: HangBefore, want: one(message.Unsure), link: true, attempts: 1},
	{fault: HangAfter, want: one(message.Unsure), link: true, attempts: 1, effects: 1},
	{fault: HalfAfter, want: one(message.Unsure), link: true, attempts: 1, effects: 1},
	{fault: GarbageAfter, want: one(message.Unsure), attempts: 1, effects: 1},
	{fault: GarbageBefore, want: one(message.Unsure), attempts: 1},
	{fault: ErrorBefore, want: one(message.Unsure), attempts: 1},
	{fault: ErrorAfter, want: one(message.Unsure), attempts: 1, effects: 1},
	{fault: GatewayBefore, want: one(message.Unsure), link: true, attempts: 1},
	{fault: GatewayAfter, want: one(message.Unsure), link: true, attempts: 1, effects: 1},
	{fault: MaintainBefore, want: []message.Verdict{message.Unsure, message.Again}, link: true, attempts: 1},
	{fault: MaintainAfter, want: one(message.Unsure), link: true, attempts: 1, effects: 1},
}

func one(v message.Verdict) []message.Verdict { return []message.Verdict{v} }

// Hangs tells whether the ERP of this test of the Suite will hang once: only then is there an answer that never comes.
func Hangs(t *testing.T) bool {
	t.Helper()
	return strings.Contains(t.Name(), "/hang_")
}

// Suite tries every fault on an adapter. open is called for each, and gives an ERP without documents and an adapter that has not
// yet called it.
func Suite(t *testing.T, open func(t *testing.T) Subject) {
	t.Helper()
	unknown := open(t).Unknown
	for f, why := range unknown {
		if why == "" || !slices.ContainsFunc(rows[:], func(r row) bool { return r.fault == f }) {
			t.Errorf("the subject does not know %q, and gives no reason or means no fault of the suite", f)
		}
	}
	for _, r := range rows {
		if why, not := unknown[r.fault]; not {
			t.Logf("not tried: %s: %s", r.fault, why)
			continue
		}
		t.Run(string(r.fault)+" on a new connection", func(t *testing.T) { r.try(t, open(t)) })
		t.Run(string(r.fault)+" on a used connection", func(t *testing.T) {
			s := open(t)
			s.ERP.Meet(t, None)
			s.mustDeliver(t, "first-"+t.Name())
			r.try(t, s)
		})
	}
	t.Run("a batch has its outcomes in order", func(t *testing.T) { batch(t, open(t)) })
	t.Run("a context that has ended", func(t *testing.T) { ended(t, open(t)) })
	t.Run("asked about what was never sent", func(t *testing.T) { neverSent(t, open(t)) })
	t.Run("asked about what is known", func(t *testing.T) { known(t, open(t)) })
}

// try delivers into a fault, looks at the outcome, and then does what the relay does until the message is settled.
func (r row) try(t *testing.T, s Subject) {
	d := s.Delivery("m-" + string(r.fault))
	id := d.Event.Message().ID
	s.ERP.Meet(t, r.fault)
	got := s.Adapter.Deliver(t.Context(), []message.Delivery{d})
	if len(got) != 1 {
		t.Fatalf("got %d outcomes of one delivery", len(got))
	}
	r.check(t, got[0])
	if n := s.ERP.Attempts(id); n != r.attempts {
		t.Errorf("one Deliver made %d requests, want %d", n, r.attempts)
	}
	if n := len(s.ERP.Documents(id)); n != r.effects {
		t.Fatalf("the fault left %d effects, want %d: the ERP of this test does not do what it should", n, r.effects)
	}
	s.ERP.Meet(t, None)
	last := s.settle(t, d, got[0])
	docs := s.ERP.Documents(id)
	if r.refused {
		if last.Verdict != message.Refused || len(docs) != 0 {
			t.Errorf("got %s with documents %q, want refused with none", last.Verdict, docs)
		}
		return
	}
	if last.Verdict != message.Delivered || len(docs) != 1 {
		t.Fatalf("settled as %v with documents %q, want delivered with one", last, docs)
	}
	if last.Receipt.Document != docs[0] {
		t.Errorf("receipt has document %q, the ERP has %q", last.Receipt.Document, docs[0])
	}
	if asked := r.effects == 1 && r.fault != None && !s.Blind; last.Receipt.Asked != asked {
		t.Errorf("receipt says asked: %t, want %t", last.Receipt.Asked, asked)
	}
}

// check looks at the first outcome.
func (r row) check(t *testing.T, got message.Outcome) {
	t.Helper()
	if !slices.Contains(r.want, got.Verdict) {
		t.Errorf("got %v, want %v", got, r.want)
	}
	if r.fault == Down && got.Verdict == message.Unsure {
		return // written to a used connection before the news came that it is closed
	}
	if got.LinkDown != r.link || got.Throttled != r.throttled {
		t.Errorf("link down %t, throttled %t; want %t, %t (%v)", got.LinkDown, got.Throttled, r.link, r.throttled, got)
	}
	if got.After != r.after {
		t.Errorf("not before %s, want %s", got.After, r.after)
	}
	if (got.Err == nil) != (got.Verdict == message.Delivered) {
		t.Errorf("%s with error %v: whoever is not told that it worked must be told why", got.Verdict, got.Err)
	}
}

// settle goes on as the relay does, for some rounds: send again what had no effect, ask about what is unknown.
func (s Subject) settle(t *testing.T, d message.Delivery, out message.Outcome) message.Outcome {
	t.Helper()
	for range 20 {
		switch out.Verdict {
		case message.Delivered, message.Refused:
			return out
		case message.Again:
			out = s.Adapter.Deliver(t.Context(), []message.Delivery{d})[0]
		default:
			out = s.ask(t, d)
			if out.Verdict == message.Unsure {
				t.Fatalf("asked, and parked: %v", out)
			}
		}
	}
	t.Fatalf("not settled after 20 rounds; last: %v", out)
	return out
}

// ask asks until there is an answer.
func (s Subject) ask(t *testing.T, d message.Delivery) message.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		out, err := s.Adapter.Ask(ctx, d)
		if err == nil {
			return out
		}
		select {
		case <-ctx.Done():
			t.Fatalf("no answer to the question after %s: %v", d.Event.Message().ID, err)
		case <-time.After(max(out.After, time.Millisecond)):
		}
	}
}

func (s Subject) mustDeliver(t *testing.T, id string) message.Outcome {
	t.Helper()
	out := s.Adapter.Deliver(t.Context(), []message.Delivery{s.Delivery(id)})[0]
	if out.Verdict != message.Delivered {
		t.Fatalf("delivery without a fault: %v", out)
	}
	return out
}

func batch(t *testing.T, s Subject) {
	s.ERP.Meet(t, None)
	ds := make([]message.Delivery, 20)
	for i := range ds {
		ds[i] = s.Delivery(fmt.Sprintf("batch-%d", i))
	}
	out := s.Adapter.Deliver(t.Context(), ds)
	if len(out) != len(ds) {
		t.Fatalf("got %d outcomes of %d deliveries", len(out), len(ds))
	}
	for i, d := range ds {
		docs := s.ERP.Documents(d.Event.Message().ID)
		if len(docs) != 1 || out[i].Receipt.Document != docs[0] {
			t.Errorf("delivery %d: outcome %v, the ERP has %q", i, out[i], docs)
		}
	}
	if got := s.Adapter.Deliver(t.Context(), nil); len(got) != 0 {
		t.Errorf("no deliveries: got %d outcomes", len(got))
	}
}

// ended: a relay that is stopped must not take a message for delivered or refused.
func ended(t *testing.T, s Subject) {
	s.ERP.Meet(t, None)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	d := s.Delivery("ended")
	out := s.Adapter.Deliver(ctx, []message.Delivery{d})[0]
	if out.Verdict != message.Again && out.Verdict != message.Unsure || out.Err == nil {
		t.Errorf("got %v, want again or unknown with an error", out)
	}
	s.settle(t, d, out)
	if docs := s.ERP.Documents("ended"); len(docs) != 1 {
		t.Errorf("settled with documents %q, want one", docs)
	}
}

func neverSent(t *testing.T, s Subject) {
	s.ERP.Meet(t, None)
	s.mustDeliver(t, "another")
	if out := s.ask(t, s.Delivery("never")); out.Verdict != message.Again {
		t.Errorf("got %v, want again", out)
	}
}

func known(t *testing.T, s Subject) {
	s.ERP.Meet(t, None)
	told := s.mustDeliver(t, "told")
	s.mustDeliver(t, "another")
	out := s.ask(t, s.Delivery("told"))
	if s.Blind {
		if out.Verdict != message.Again {
			t.Errorf("got %v from who cannot know, want again", out)
		}
		return
	}
	if out.Verdict != message.Delivered || !out.Receipt.Asked || out.Receipt.Document != told.Receipt.Document {
		t.Errorf("got %v (asked %t), want delivered as %s", out, out.Receipt.Asked, told.Receipt.Document)
	}
}

// Trust is a Verifier for tests: it vouches for everything.
type Trust struct{}

// Verify accepts the message.
func (Trust) Verify(context.Context, message.Message) error { return nil }

// Delivery makes a delivery of a message that nobody has to vouch for.
func Delivery(t *testing.T, m message.Message, doc message.Document) message.Delivery {
	t.Helper()
	v, err := message.Verify(t.Context(), Trust{}, m)
	if err != nil {
		t.Fatalf("verify: %v", err)
	}
	return message.Delivery{Event: v, Doc: doc}
}
