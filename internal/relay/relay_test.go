package relay_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// plant is a plant with one link in a synctest bubble: its database is in memory, and time passes when everything waits.
type plant struct {
	log  *slog.Logger
	t    *testing.T
	db   *store.DB
	out  *outbox.Outbox
	erp  *adaptertest.Recorder
	link relay.Link
	cfg  relay.Config
	rule mapper
}

// mapper makes a document of the event itself.
type mapper func(ctx context.Context, m message.Verified, refs mapping.Resolver) (message.Document, error)

func (f mapper) Apply(ctx context.Context, name string, m message.Verified, refs mapping.Resolver) (message.Document, error) {
	if f != nil {
		return f(ctx, m, refs)
	}
	return message.Document{Mapping: name + "@1", Target: "post", Body: m.Message().Body}, nil
}

var routes = []outbox.Route{
	{Kinds: []string{"urgent.*"}, Link: "erp", Mapping: "all", Priority: 1},
	{Kinds: []string{"slow.*"}, Link: "erp", Mapping: "all", Priority: -1},
	{Kinds: []string{"*"}, Link: "erp", Mapping: "all"},
}

// windowed is the Recorder as a link that keeps many messages under way by itself.
type windowed struct {
	*adaptertest.Recorder
	aloft sync.WaitGroup
}

// Send is relay.Streamer.
func (w *windowed) Send(d message.Delivery, told func(message.Outcome)) bool {
	w.aloft.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // longer than the relay waits
		defer cancel()
		told(w.Deliver(ctx, []message.Delivery{d})[0])
	})
	return true
}

// eachWay is bubble with a link that answers each call, one that takes many messages in a call, and one that keeps many under way by itself.
func eachWay(t *testing.T, test func(t *testing.T, p *plant)) {
	t.Helper()
	oneByOne(t, test)
	t.Run("together", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *plant) {
			p.link.Together = 4
			test(t, p)
		})
	})
}

// oneByOne is eachWay for what is said of one message at a time: a call for many takes as long as the slowest, and is one request.
func oneByOne(t *testing.T, test func(t *testing.T, p *plant)) {
	t.Helper()
	t.Run("calls", func(t *testing.T) { bubble(t, test) })
	t.Run("window", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *plant) {
			w := p.window()
			test(t, p)
			w.aloft.Wait() // also for what nobody waits for any more
		})
	})
}

// window has the events themselves go over a link that keeps many under way by itself.
func (p *plant) window() *windowed {
	w := &windowed{Recorder: p.erp}
	p.link.Deliverer = w
	unmapped := slices.Clone(routes)
	for i := range unmapped {
		unmapped[i].Mapping = ""
	}
	p.out = outbox.New(unmapped, "urn:plant:1000", outbox.Config{})
	return w
}

// bubble runs test, beside others, on a plant whose clock is the bubble's.
func bubble(t *testing.T, test func(t *testing.T, p *plant)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		test(t, newPlant(t, db))
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
}

func newPlant(t *testing.T, db *store.DB) *plant {
	p := &plant{t: t, db: db, out: outbox.New(routes, "urn:plant:1000", outbox.Config{}), erp: &adaptertest.Recorder{}, log: slog.New(slog.DiscardHandler)}
	p.link.Deliverer = p.erp
	return p
}

func event(id, kind, key string) message.Message {
	return message.Message{
		ID: id, Kind: kind, Version: 1, Key: key, Time: time.Now(), Body: []byte(`{"id":"` + id + `"}`), Place: message.Place{Role: message.Event},
	}
}

func (p *plant) owe(m message.Message, opts ...outbox.Option) {
	p.t.Helper()
	if err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error { return p.out.Append(p.t.Context(), tx, m, opts...) }); err != nil {
		p.t.Fatalf("append %s: %v", m.ID, err)
	}
}

// act runs an operator's act.
func (p *plant) act(fn func(ctx context.Context, tx *store.Tx) error) error {
	return p.db.InTx(context.Background(), func(tx *store.Tx) error { return fn(context.Background(), tx) })
}

// start runs a relay and returns what stops it and waits for its end.
func (p *plant) start() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	r := relay.New(p.db, p.out, p.rule, seal.Chain, map[string]relay.Link{"erp": p.link}, p.cfg, p.log)
	p.out.HandTo(r)
	go func() { done <- r.Run(ctx) }()
	return func() {
		p.t.Helper()
		cancel()
		if err := <-done; err != nil {
			p.t.Errorf("run: %v", err)
		}
	}
}

// runFor runs a relay for that long.
func (p *plant) runFor(d time.Duration) {
	p.t.Helper()
	stop := p.start()
	time.Sleep(d)
	stop()
}

func (p *plant) lane(name string) outbox.Lane {
	p.t.Helper()
	var l outbox.Lane
	err := p.db.View(p.t.Context(), func(tx *store.Tx) (err error) {
		l, err = p.out.Lane(p.t.Context(), tx, "erp", name)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return l
}

func (p *plant) message(event string) outbox.Detail {
	p.t.Helper()
	var d outbox.Detail
	err := p.db.View(p.t.Context(), func(tx *store.Tx) (err error) {
		d, err = p.out.Message(p.t.Context(), tx, outbox.MessageID("erp", event))
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return d
}

// wantOnce checks that each event took effect exactly once, in the order of its lane, and that nothing is owed.
func (p *plant) wantOnce(events ...string) {
	p.t.Helper()
	effects := p.erp.Effects()
	for _, e := range events {
		if n := effects[outbox.MessageID("erp", e)]; n != 1 {
			p.t.Errorf("%s took effect %d times, want once", e, n)
		}
	}
	if len(effects) != len(events) {
		p.t.Errorf("%d messages took effect, want %d", len(effects), len(events))
	}
	last := map[string]int64{}
	for _, m := range p.erp.Delivered() {
		if m.Number < last[m.Lane] {
			p.t.Errorf("lane %s: message %d came after %d", m.Lane, m.Number, last[m.Lane])
		}
		last[m.Lane] = m.Number
	}
	if crowded := p.erp.Crowded(); crowded != nil {
		p.t.Errorf("lanes %q had two messages under way", crowded)
	}
	if owed := p.links().Owed; owed != 0 {
		p.t.Errorf("%d messages are still owed", owed)
	}
}

func (p *plant) links() outbox.Link {
	p.t.Helper()
	var l []outbox.Link
	err := p.db.View(p.t.Context(), func(tx *store.Tx) (err error) {
		l, err = p.out.Links(p.t.Context(), tx)
		return err
	})
	if err != nil || len(l) != 1 {
		p.t.Fatalf("links: %v, %v", l, err)
	}
	return l[0]
}

// losing has every eleventh answer be lost, half of them after the message took effect, and the relay look again soon.
func (p *plant) losing() {
	p.out = outbox.New(routes, "urn:p", outbox.Config{AskAfter: 20 * time.Millisecond})
	p.cfg.Poll, p.cfg.Probe = 50*time.Millisecond, 50*time.Millisecond
	var n atomic.Int64
	p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
		if k := n.Add(1); k%11 == 0 {
			return verdict(message.Unsure), k%2 == 0
		}
		return message.Outcome{Verdict: message.Delivered}, true
	}
}

var errDown = errors.New("connection refused")

func (p *plant) oweMany(lanes, each int) []string {
	p.t.Helper()
	var ids []string
	for n := range each {
		for l := range lanes {
			id := fmt.Sprintf("e%d-%d", l, n)
			p.owe(event(id, "operation.confirmed", fmt.Sprintf("o%d", l)))
			ids = append(ids, id)
		}
	}
	return ids
}

func TestDeliversOnceAndInOrder(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		ids := p.oweMany(10, 5)
		p.runFor(3 * time.Second)
		p.wantOnce(ids...)
		d := p.message("e0-0")
		if !d.Settled || d.Receipt.Document != "D-"+d.ID || d.Mapping != "" && d.SentWith != "all@1" {
			t.Errorf("got %+v, want it settled with its receipt", d)
		}
		if l := p.links(); l.Delivered != 50 || l.Breaker != "closed" {
			t.Errorf("got %+v, want 50 delivered", l)
		}
	})
}

func TestNewMessageIsRelayedAtOnce(t *testing.T) {
	eachWay(t, func(t *testing.T, p *plant) {
		stop := p.start()
		time.Sleep(100 * time.Millisecond)
		began := time.Now()
		p.owe(event("a", "operation.confirmed", "o1"))
		synctest.Wait()
		if waited := time.Since(began); waited != 0 {
			t.Errorf("time passed: %s", waited)
		}
		p.wantOnce("a")
		stop()
	})
}
