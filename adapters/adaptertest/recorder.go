package adaptertest

import (
	"context"
	"slices"
	"sync"
	"time"

	"holdfast/internal/message"
)

// Recorder is a Deliverer that remembers: an ERP in memory. Without a program it takes everything, each message once, and knows
// when asked what it has. It is safe for use by many goroutines.
type Recorder struct {
	// Answer, if set, is called for each delivery, outside any lock, and decides its outcome; took tells the Recorder that the
	// message has taken effect, whatever the outcome says. n counts the attempts at this message, from 1.
	Answer func(ctx context.Context, d message.Delivery, n int) (o message.Outcome, took bool)
	// Asked, if set, replaces the answer to Ask.
	Asked func(ctx context.Context, d message.Delivery) (message.Outcome, error)
	// Now is the clock of the record; default time.Now.
	Now func() time.Time

	mu      sync.Mutex
	calls   []Call         // guarded by mu
	tries   map[string]int // guarded by mu
	effects map[string]int // guarded by mu
	flying  map[string]int // deliveries under way by lane; guarded by mu
	crowded []string       // lanes that had two under way; guarded by mu
}

// Call is one request that the Recorder was made.
type Call struct {
	At       time.Time
	Delivery message.Delivery
	Ask      bool
	Verdict  message.Verdict
}

// Deliver gives one Outcome per delivery, in order.
func (r *Recorder) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	out := make([]message.Outcome, 0, len(ds))
	for _, d := range ds {
		out = append(out, r.deliver(ctx, d))
	}
	return out
}

func (r *Recorder) deliver(ctx context.Context, d message.Delivery) message.Outcome {
	m := d.Event.Message()
	n := r.enter(m)
	o, took := message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D-" + m.ID, Kind: "document"}}, true
	at := r.now()
	if r.Answer != nil {
		o, took = r.Answer(ctx, d, n)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flying[m.Lane]--
	if took {
		r.effects[m.ID]++
	}
	r.calls = append(r.calls, Call{At: at, Delivery: d, Verdict: o.Verdict})
	return o
}

func (r *Recorder) enter(m message.Message) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tries == nil {
		r.tries, r.effects, r.flying = map[string]int{}, map[string]int{}, map[string]int{}
	}
	if r.flying[m.Lane]++; r.flying[m.Lane] > 1 {
		r.crowded = append(r.crowded, m.Lane)
	}
	r.tries[m.ID]++
	return r.tries[m.ID]
}

// Ask tells whether the message has taken effect.
func (r *Recorder) Ask(ctx context.Context, d message.Delivery) (message.Outcome, error) {
	m := d.Event.Message()
	o := message.Outcome{Verdict: message.Again, Receipt: message.Receipt{Status: 404}} // an ERP's own word
	r.mu.Lock()
	if r.effects[m.ID] > 0 {
		o = message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Document: "D-" + m.ID, Kind: "document", Asked: true}}
	}
	r.mu.Unlock()
	var err error
	if r.Asked != nil {
		o, err = r.Asked(ctx, d)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, Call{At: r.now(), Delivery: d, Ask: true, Verdict: o.Verdict})
	return o, err
}

func (r *Recorder) now() time.Time {
	if r.Now != nil {
		return r.Now()
	}
	return time.Now()
}

// Calls are all requests so far, in the order in which they ended.
func (r *Recorder) Calls() []Call {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.calls)
}

// Effects counts how often each message has taken effect, by its ID.
func (r *Recorder) Effects() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]int, len(r.effects))
	for id, n := range r.effects {
		all[id] = n
	}
	return all
}

// Delivered are the messages that were taken, in order.
func (r *Recorder) Delivered() []message.Message {
	var list []message.Message
	for _, c := range r.Calls() {
		if !c.Ask && c.Verdict == message.Delivered {
			list = append(list, c.Delivery.Event.Message())
		}
	}
	return list
}

// Crowded are the lanes of which two messages were under way at once.
func (r *Recorder) Crowded() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.crowded)
}
