// Package erpbroker puts an ERP with an API behind RabbitMQ, as an integration team would: it reads what a plant owes from a queue, calls
// the ERP for it, and publishes the ERP's answers and changes. The demo and torture use it to have the mock ERP at the other end of an
// amqp link.
//
// # Guarantees
//
//   - One effect for each event: before anything is sent, the ERP is asked whether it has a document of this event's ID. What may have
//     taken effect is asked for again, never sent blindly.
//   - Order: of a lane one event is in hand, in the order of the numbers. An early one waits for the one that is missing.
//   - An event is acknowledged after its effect and after its receipt is confirmed by the broker. One that is given again has its
//     receipt published again.
//   - An event that needs a number which the ERP has not given yet waits for the event that brings it, and holds up its own lane only.
//   - Changes are published in the order in which the ERP lists them, each confirmed before the next page is read.
//
// Numbers of what the ERP has made are kept in a file, so that they outlive the process. Which event of a lane comes next is known from
// the ERP's own journal.
package erpbroker

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"holdfast/adapters/amqp"
	"holdfast/adapters/rest"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
)

// Config says how the ERP works.
type Config struct {
	Mapping string           // of events to the ERP's documents; a name or a folder
	Source  string           // CloudEvents source of what the ERP says
	Numbers string           // file that keeps the numbers of what it has made
	Last    map[string]int64 // by lane: the last number that the ERP's journal has. nil for an ERP that begins: each lane begins at 1
	Calls   int64            // calls of the ERP at a time; default 8
}

// ERP is the integration between one ERP and one broker. Run does the work.
type ERP struct {
	cfg     Config
	broker  *amqp.Link
	erp     *rest.Link
	rules   *mapping.Set
	numbers *numbers
	calls   *semaphore.Weighted
	log     *slog.Logger

	work  sync.WaitGroup // lanes in hand
	mu    sync.Mutex
	lanes map[string]*lane // guarded by mu
}

// Open reads the numbers that were kept. The links stay the caller's.
func Open(broker *amqp.Link, erp *rest.Link, rules *mapping.Set, cfg Config, log *slog.Logger) (*ERP, error) {
	known, err := openNumbers(cfg.Numbers)
	if err != nil {
		return nil, err
	}
	if cfg.Calls == 0 {
		cfg.Calls = 8
	}
	return &ERP{
		cfg: cfg, broker: broker, erp: erp, rules: rules, numbers: known, calls: semaphore.NewWeighted(cfg.Calls),
		log: log.With("part", "erp"), lanes: map[string]*lane{},
	}, nil
}

// Close closes the file of the numbers.
func (e *ERP) Close() error { return e.numbers.close() }

// Run works until ctx ends. What is in hand then is given up; the broker has it, and gives it again.
func (e *ERP) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		err := e.broker.Each(ctx, func(_ context.Context, in message.Incoming, done func()) { e.take(ctx, item{in, done}) })
		e.work.Wait()
		return err
	})
	for _, p := range e.erp.Polls() {
		g.Go(func() error {
			e.tell(ctx, p)
			return nil
		})
	}
	return g.Wait()
}

// tell publishes what changes in the ERP, as one of its lists shows it.
func (e *ERP) tell(ctx context.Context, p *rest.Poll) {
	cursor := ""
	for ctx.Err() == nil {
		batch, next, err := p.Poll(ctx, cursor)
		if err == nil {
			err = e.broker.Emit(ctx, batch...)
		}
		switch {
		case err != nil:
			e.log.DebugContext(ctx, "changes of the ERP are not published; they are read again", "err", err)
		case next != cursor && len(batch) > 0:
			cursor = next
			continue
		default:
			cursor = next
		}
		rest := p.Every()
		if err != nil {
			rest = failPause
		}
		_ = pause(ctx, rest)
	}
}

// failPause is how long the ERP waits after something that may pass.
const failPause = 200 * time.Millisecond

// pause waits, and tells whether ctx has ended.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// item is one event in hand. Done acknowledges it.
type item struct {
	message.Incoming
	done func()
}

// lane keeps the order of one lane.
type lane struct {
	next  int64          // number that is due
	early map[int64]item // by number: what came before its turn
	due   []item         // what is to be worked on, in order
	busy  bool           // somebody works on it
}

// take sorts in one event. One whose number is past is answered again: its receipt may have been lost.
func (e *ERP) take(ctx context.Context, it item) {
	e.mu.Lock()
	defer e.mu.Unlock()
	key := fmt.Sprintf("%s@%d", it.Lane, it.Epoch)
	if it.Number == 0 {
		key = "object " + it.Kind + " " + it.Key
	}
	l := e.lanes[key]
	if l == nil {
		l = &lane{next: e.begin(it), early: map[int64]item{}}
		e.lanes[key] = l
	}
	if it.Number > l.next {
		l.early[it.Number] = it
		return
	}
	l.due = append(l.due, it)
	if it.Number == l.next {
		for found := true; found; {
			l.next++
			var early item
			if early, found = l.early[l.next]; found {
				delete(l.early, l.next)
				l.due = append(l.due, early)
			}
		}
	}
	if !l.busy {
		l.busy = true
		e.work.Go(func() { e.serve(ctx, l) })
	}
}

// begin is the number at which a lane begins that is seen for the first time. What the ERP has in its journal is past; of a lane that it
// has nothing of, it cannot know whether numbers without a document were acknowledged in an earlier life.
func (e *ERP) begin(it item) int64 {
	if last, known := e.cfg.Last[it.Lane]; known {
		return last + 1
	}
	if e.cfg.Last == nil {
		return 1
	}
	return it.Number
}

// serve works on a lane until nothing is due.
func (e *ERP) serve(ctx context.Context, l *lane) {
	for {
		e.mu.Lock()
		if len(l.due) == 0 || ctx.Err() != nil {
			l.busy = false
			e.mu.Unlock()
			return
		}
		it := l.due[0]
		l.due = l.due[1:]
		e.mu.Unlock()
		if e.settle(ctx, it) {
			it.done()
		}
	}
}
