// Package relay brings what the plant owes to the ERPs, and keeps at it.
//
// # Guarantees
//
//   - Order: of a lane at most one message is on its way.
//   - Never blindly twice: what may have taken effect, because its answer was lost, its sender killed or its lease lost, is asked
//     for before it is sent again.
//   - An outage spends no attempts: only an ERP's answer about the message itself does. While a link is down one message at a time
//     finds out whether it is back.
//   - No storm: requests never begin faster than the link's cap, halve when the ERP says so (429), wait as long as it asks
//     (Retry-After; also after a restart, and on every node), and open up from one at a time after an outage.
//   - A message that cannot be delivered parks its lane, with the reason, and no other; one that is never answered, by an ERP which
//     answers otherwise, leaves its lane unknown for a person.
//   - Run returns only when nothing is in hand: what was not sent is free for any node at once, and what was settled is in the history.
//
// Links are capped node by node: where several nodes serve one plant, the ERP's limit is divided among them. Their clocks must agree
// within half a lease (NTP).
package relay

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/body"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// Mapper makes the document of a message for a link. An error of type *mapping.Waiting means: not yet; a *problem.Error parks the
// message; any other is tried again.
type Mapper interface {
	Apply(ctx context.Context, mapping string, m message.Verified, refs mapping.Resolver) (message.Document, error)
}

// Deliverer hands documents to one ERP.
type Deliverer interface {
	// Deliver gives one Outcome per delivery, in order. It is done, one way or the other, soon after ctx ends.
	Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome
	// Ask tells whether a delivery took effect: Delivered, Again (certainly not) or Unsure (nobody can say). An error means that
	// it could not ask now, or that it is too early; it is asked again, not before Outcome.After. The Outcome beside an error
	// says whether the link failed (LinkDown, Throttled); one without a verdict counts as a failure of the link. Of the rest only
	// Delivered counts as a sign of life: the adapter may know the other answers by itself. Again with a Receipt.Status says that the
	// ERP itself has just answered that it does not have the message; only then those behind it in the lane count as not sent either.
	Ask(ctx context.Context, d message.Delivery) (message.Outcome, error)
}

// Streamer is a Deliverer that keeps many deliveries under way by itself, as a broker does, so that one costs no goroutine. The relay still
// has at most one message of a lane under way.
type Streamer interface {
	// Send begins a delivery whose document is the event itself, with its body in memory, and never waits, for the network neither: it returns
	// false, and nothing was sent, if there is no room for another now. Else told is called once with the Outcome, by any goroutine or before Send returns; it
	// takes no time and calls nothing back. The relay gives up an answer that takes longer than the link's timeout or the lane's lease.
	Send(d message.Delivery, told func(message.Outcome)) bool
}

// Reader is a Deliverer whose ERP can be read back, for whoever holds it against the plant's own books. Nothing changes by it. An error of
// each ends a reading and is given back; an ERP that is away is a *problem.Error of kind Unavailable.
type Reader interface {
	// Reads is what of it can be read back; of the rest the others give nothing.
	Reads() message.Reads
	// Orders calls each for the orders of these ERP's numbers, those that are not there left out; without numbers for those of the plant
	// that are in work there: released, and neither completed nor marked for deletion.
	Orders(ctx context.Context, numbers []string, each func(message.OrderRead) error) error
	// Documents calls each for what the ERP has booked for these orders, which the ERP's numbers name: confirmations and goods movements.
	Documents(ctx context.Context, orders []string, each func(message.DocumentRead) error) error
}

// Link is one ERP as the relay sees it; zero fields mean the default.
type Link struct {
	Deliverer   Deliverer
	Rate        float64       // the most requests a second from this node; what is given together is one; 0 is no cap
	Concurrency int           // the most messages under way at once; default 8
	Start       int           // how many at once to begin with, before any trouble; default 2
	Batch       int           // the most messages of one lane in hand; default 16
	Together    int           // the most messages, each of another lane, that one Deliver is given; default 1
	Timeout     time.Duration // of one request, which the Deliverer keeps; default 30 s
	Requests    int           // the most requests, one after the other, that Deliver or Ask makes for one message; default 1
	Attempts    int           // answers about a message itself after which it is parked; default 10
}

// Config is the tunable part of a Relay; zero fields mean the default.
type Config struct {
	Node     string                // name of this node, unique in the plant; default "holdfast"
	Poll     time.Duration         // the net under lost wakes; default 1 s, with jitter
	Grace    time.Duration         // how long a request under way may take after Run's ctx has ended; default 10 s
	Backoff  time.Duration         // wait after the first failed attempt; default 1 s, doubled each time
	Failures uint                  // failures of a link in a row that open its breaker; default 5
	Probe    time.Duration         // how often a link that is down is tried; default 2 s, with jitter
	House    time.Duration         // how often figures are refreshed and old messages purged; default 15 s, with jitter
	Metrics  prometheus.Registerer // where the instruments are registered; default nowhere
	Tracer   trace.TracerProvider  // default OpenTelemetry's global one
	// Term is another number each time this process takes the name Node, and 0 while it does not have it (store.Seat). Without the name
	// nothing is claimed and no request begins, and none for a lane that was claimed in an earlier term. Default: always 1.
	Term func() uint64
}

// Relay moves messages from the outbox to the links.
type Relay struct {
	db      *store.DB
	out     *outbox.Outbox
	mapper  Mapper
	check   func(stored string) message.Verifier
	links   map[string]Link
	cfg     Config
	log     *slog.Logger
	metrics *metrics
	tracer  trace.Tracer
	hands   atomic.Int64 // lanes of all links in hand
	runners map[string]*atomic.Pointer[runner]
}

// New returns a Relay. check makes the verifier of a message whose digest was stored (seal.Chain). It opens nothing; Run does the
// work.
func New(db *store.DB, out *outbox.Outbox, mapper Mapper, check func(stored string) message.Verifier, links map[string]Link, cfg Config, log *slog.Logger) *Relay {
	cfg.Node = cmp.Or(cfg.Node, "holdfast")
	cfg.Poll = cmp.Or(cfg.Poll, time.Second)
	cfg.Grace = cmp.Or(cfg.Grace, 10*time.Second)
	cfg.Backoff = cmp.Or(cfg.Backoff, time.Second)
	cfg.Failures = cmp.Or(cfg.Failures, 5)
	cfg.Probe = cmp.Or(cfg.Probe, 2*time.Second)
	cfg.House = cmp.Or(cfg.House, 15*time.Second)
	if cfg.Term == nil {
		cfg.Term = func() uint64 { return 1 }
	}
	if cfg.Tracer == nil {
		cfg.Tracer = otel.GetTracerProvider()
	}
	all, runners := make(map[string]Link, len(links)), make(map[string]*atomic.Pointer[runner], len(links))
	for name, l := range links {
		l.Concurrency = cmp.Or(l.Concurrency, 8)
		l.Start = cmp.Or(l.Start, 2)
		l.Batch = cmp.Or(l.Batch, 16)
		l.Timeout = cmp.Or(l.Timeout, 30*time.Second)
		l.Requests = cmp.Or(l.Requests, 1)
		l.Attempts = cmp.Or(l.Attempts, 10)
		all[name], runners[name] = l, &atomic.Pointer[runner]{}
	}
	return &Relay{
		db: db, out: out, mapper: mapper, check: check, links: all, cfg: cfg, log: log, metrics: newMetrics(cfg.Metrics),
		tracer: cfg.Tracer.Tracer("holdfast/relay"), runners: runners,
	}
}

// Run relays until ctx ends. It then finishes the requests under way, settles them, gives back what it has not sent, files what is
// settled, and returns nil: after at most three times Config.Grace.
func (r *Relay) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for name, l := range r.links {
		g.Go(func() error {
			w := newRunner(r, name, l)
			r.runners[name].Store(w)
			w.run(ctx)
			r.runners[name].Store(nil)
			return nil
		})
	}
	g.Go(func() error {
		r.keepHouse(ctx)
		return nil
	})
	g.Go(func() error {
		r.keepFiling(ctx)
		return nil
	})
	err := g.Wait()
	r.fileRest(ctx)
	return err
}

const (
	purgeChunk = 500
	purgePause = 50 * time.Millisecond
)

// keepHouse refreshes the figures of the links and forgets messages that are older than they need to be, a little at a time. It gives way
// to the messages, for as long again as it rests: the figures are made of all lanes that owe something, and where many do, a relay that
// has just started has better to do than to count them.
func (r *Relay) keepHouse(ctx context.Context) {
	_ = pause(ctx, fileEvery, nil)
	for ctx.Err() == nil {
		for began := time.Now(); r.hands.Load() > 0 && time.Since(began) < r.cfg.House && ctx.Err() == nil; {
			_ = pause(ctx, min(fileEvery, r.cfg.House/4), nil)
		}
		if err := r.measure(ctx); err != nil && ctx.Err() == nil {
			r.log.Warn("figures of the links are not fresh", "err", err)
		}
		wait := r.cfg.House + rand.N(r.cfg.House/4)
		var gone int64
		err := r.db.InTx(ctx, func(tx *store.Tx) (err error) {
			gone, err = r.out.Purge(ctx, tx, purgeChunk)
			return err
		})
		if err != nil && ctx.Err() == nil {
			r.log.Warn("old messages are not purged", "err", err)
		}
		if _, err := r.out.ParkSkipped(ctx, r.db); err != nil && ctx.Err() == nil {
			r.log.Warn("it is not known whether lanes were moved past what they owe", "err", err)
		}
		if _, err := r.out.ParkLost(ctx, r.db); err != nil && ctx.Err() == nil {
			r.log.Warn("it is not known whether messages were taken out of their lanes", "err", err)
		}
		if _, err := r.out.TellForged(ctx, r.db); err != nil && ctx.Err() == nil {
			r.log.Warn("it is not known whether what is kept of deliveries was altered", "err", err)
		}
		swept, err := body.Sweep(ctx, r.db)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("bodies that nothing refers to are not removed", "err", err)
		}
		if gone == purgeChunk || swept == body.Swept {
			wait = purgePause
		}
		_ = pause(ctx, wait, nil)
	}
}

func (r *Relay) measure(ctx context.Context) error {
	return r.db.View(ctx, func(tx *store.Tx) error {
		links, err := r.out.Links(ctx, tx)
		if err != nil {
			return err
		}
		for _, l := range links {
			r.metrics.status(l, tx.Now)
		}
		return nil
	})
}

// reference answers a mapping's question for the number that a link's ERP gave to an object.
func (r *Relay) reference(link string) mapping.Resolver {
	return func(ctx context.Context, object string) (number string, known bool, err error) {
		err = r.db.View(ctx, func(tx *store.Tx) error {
			number, known, err = r.out.Reference(ctx, tx, link, object)
			return err
		})
		if err != nil {
			return "", false, fmt.Errorf("resolve %s: %w", object, err)
		}
		return number, known, nil
	}
}
