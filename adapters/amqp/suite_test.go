package amqp

import (
	"context"
	"sync"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
)

// TestSuite tries every fault that a broker's link can meet. The others are words that AMQP does not have.
func TestSuite(t *testing.T) { suite(t, func(l *Link) adaptertest.Deliverer { return l }) }

// TestSuiteOfWhatIsCarried: documents in a format of their own are owed no less than events.
func TestSuiteOfWhatIsCarried(t *testing.T) {
	suite(t, func(l *Link) adaptertest.Deliverer { return carrying{l} })
}

// carrying is a link of documents that it only carries.
type carrying struct{ *Link }

func (c carrying) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	ps := make([]Parcel, len(ds))
	for i, d := range ds {
		m := d.Event.Message()
		ps[i] = Parcel{Of: m, ID: m.ID, Type: "PPCC2PRETTICKET01", Media: "application/xml", Body: []byte("<x/>")}
	}
	return c.Carry(ctx, ps)
}

func suite(t *testing.T, as func(*Link) adaptertest.Deliverer) {
	b := amqptest.Shared(t)
	adaptertest.Suite(t, func(t *testing.T) adaptertest.Subject {
		exchange, queue := b.Name(t), b.Name(t)
		p := newProxy(t, b)
		c := config(b)
		c.Addresses = []string{"amqp://" + p.address}
		if adaptertest.Hangs(t) {
			c.ConfirmTimeout = time.Second
		}
		c.Exchanges = []Exchange{{Name: exchange, Kind: "fanout"}}
		c.Queues = []Queue{{Name: queue, Bindings: []Binding{{Exchange: exchange}}}}
		c.Publish = &Publish{Exchange: exchange}
		l := open(t, b, c)
		return adaptertest.Subject{
			Adapter: as(l), ERP: &receiver{b: b, p: p, l: l, exchange: exchange, queue: queue, seen: map[string]bool{}},
			Delivery: func(id string) message.Delivery { return delivery(t, id) }, Blind: true,
			Unknown: unlikeHTTP(),
		}
	})
}

// unlikeHTTP are the faults of which AMQP 0-9-1 has none of its own.
func unlikeHTTP() map[adaptertest.Fault]string {
	const answer = "a broker answers by a confirm, which has neither status nor body"
	out := map[adaptertest.Fault]string{
		adaptertest.Throttle:  "a broker slows a publisher down by not reading, and names no time (connection.blocked: TestABlockedBrokerHangsNothing)",
		adaptertest.SignIn:    "it is said while connecting, not to a message",
		adaptertest.Redirect:  "there are no redirects",
		adaptertest.HalfAfter: "half a frame is a connection that was reset",
	}
	for _, f := range []adaptertest.Fault{
		adaptertest.Unavailable, adaptertest.GarbageBefore, adaptertest.GarbageAfter, adaptertest.ErrorBefore, adaptertest.ErrorAfter,
		adaptertest.GatewayBefore, adaptertest.GatewayAfter, adaptertest.MaintainBefore, adaptertest.MaintainAfter,
	} {
		out[f] = answer
	}
	return out
}

// receiver is an ERP that reads a queue and drops what it knows.
type receiver struct {
	b               *amqptest.Broker
	p               *proxy
	l               *Link
	exchange, queue string
	t               testing.TB

	mu   sync.Mutex
	seen map[string]bool
}

// Meet waits until the link has noticed that the trouble is over, as the relay's breaker does.
func (r *receiver) Meet(t *testing.T, f adaptertest.Fault) {
	t.Helper()
	r.t = t
	bind := (*amqp091.Channel).QueueBind
	err := r.b.Do(func(ch *amqp091.Channel) error {
		if f == adaptertest.Refuse {
			return ch.QueueUnbind(r.queue, "", r.exchange, nil)
		}
		return bind(ch, r.queue, "", r.exchange, false, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	r.p.meet(t, f)
	if f == adaptertest.None {
		until(t, "the link is connected", func() bool { return r.l.usable() })
	}
}

// usable tells whether a message would be sent now.
func (l *Link) usable() bool {
	s, _ := l.out.k.now()
	if s == nil {
		return false
	}
	s.window.mu.Lock()
	defer s.window.mu.Unlock()
	return s.window.shut == nil
}

func (r *receiver) Attempts(id string) int { return r.p.count(id) }

func (r *receiver) Documents(id string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, d := range r.b.Drain(r.t, r.queue) {
		r.seen[d.MessageId] = true
	}
	if r.seen[id] {
		return []string{""} // the broker tells no number
	}
	return nil
}
