package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/rest"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

const (
	pace        = 10 * time.Millisecond // one message each: 100 a second
	paced       = 500                   // messages of a turn
	latencyGoal = 3.0                   // ms above the bare client's p99
	createID    = "018f6b1e-7d7f-7c3a-9a59-0f1e2d3c4b5a"
)

// spread is what one turn met.
type spread struct{ p50, p99 float64 } // ms

func spreadOf(times []time.Duration) spread {
	slices.Sort(times)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	return spread{ms(times[len(times)/2]), ms(times[len(times)*99/100])}
}

// document gives the body of the mock row as the document of each message: what is measured is the way, not the mapping.
type document struct{}

// Apply is relay.Mapper.
func (document) Apply(_ context.Context, name string, m message.Verified, _ mapping.Resolver) (message.Document, error) {
	return message.Document{Mapping: name, Target: "createConfirmation", Params: map[string]string{"X-Plant": "1000"}, Body: m.Message().Body}, nil
}

// clocked notes when the link below it has given its answer.
type clocked struct {
	relay.Deliverer
	answered chan<- answer
}

type answer struct {
	event string
	at    time.Time
	ok    bool
}

// Deliver is relay.Deliverer.
func (c clocked) Deliver(ctx context.Context, ds []message.Delivery) []message.Outcome {
	out := c.Deliverer.Deliver(ctx, ds)
	at := time.Now()
	for i, d := range ds {
		c.answered <- answer{d.Event.Message().ID, at, out[i].Verdict == message.Delivered}
	}
	return out
}

// confirmationOf is the document of the mock row with an ID of its own.
func confirmationOf(i int) []byte {
	return []byte(strings.Replace(confirmation, createID, fmt.Sprintf("018f6b1e-7d7f-7c3a-9a59-%012x", i), 1))
}

// atPace calls f for each of n, a hundred a second, each in its own time: who is late does not hold up the next.
func atPace(ctx context.Context, n int, f func(i int) error) error {
	tick := time.NewTicker(pace)
	defer tick.Stop()
	var g errgroup.Group
	for i := range n {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		g.Go(func() error { return f(i) })
	}
	return g.Wait()
}

// bareClient posts n documents with net/http.
func bareClient(ctx context.Context, addr string, n int) (spread, error) {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	defer client.CloseIdleConnections()
	times := make([]time.Duration, n)
	err := atPace(ctx, n, func(i int) error {
		began := time.Now()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/confirmations", bytes.NewReader(confirmationOf(i)))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("X-Plant", "1000")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusCreated {
			return fmt.Errorf("answered %s: %w", resp.Status, err)
		}
		times[i] = time.Since(began)
		return nil
	})
	return spreadOf(times), err
}

// restLine is a plant with one rest link to the mock, its relay running.
type restLine struct {
	y        *yard
	answered chan answer
	close    func() error
}

func openLine(ctx context.Context, dialect store.Dialect, addr string) (*restLine, error) {
	y, err := openYard(ctx, dialect)
	if err != nil {
		return nil, err
	}
	log := slog.New(slog.DiscardHandler)
	link, err := rest.Open(rest.Config{BaseURL: "http://" + addr, Spec: mockSpec}, nil, log)
	if err != nil {
		y.close()
		return nil, err
	}
	l := &restLine{y: y, answered: make(chan answer, paced)}
	y.out = newOutbox("bench")
	r := relay.New(y.db, y.out, document{}, seal.Chain, map[string]relay.Link{benchLink: {Deliverer: clocked{link, l.answered}}}, relay.Config{}, log)
	y.out.HandTo(r)
	running, stop := context.WithCancel(ctx)
	g, running := errgroup.WithContext(running)
	g.Go(func() error { return r.Run(running) })
	g.Go(func() error { return y.db.Run(running) })
	l.close = func() error {
		stop()
		err := g.Wait()
		link.Close()
		y.close()
		return err
	}
	return l, nil
}

// turn commits n messages, each in a lane of its own, and measures each from its commit to the ERP's answer.
func (l *restLine) turn(ctx context.Context, n int) (spread, error) {
	var mu sync.Mutex
	began := make(map[string]time.Time, n)
	l.y.round++
	err := atPace(ctx, n, func(i int) error {
		id := fmt.Sprintf("%d-%d", l.y.round, i)
		err := l.y.db.InTx(ctx, func(tx *store.Tx) error {
			return l.y.out.Append(ctx, tx, message.Message{ID: id, Kind: benchKind, Version: 1, Key: id, Time: tx.Now, Body: confirmationOf(i)})
		})
		mu.Lock()
		began[outbox.MessageID(benchLink, id)] = time.Now()
		mu.Unlock()
		return err
	})
	if err != nil {
		return spread{}, err
	}
	times := make([]time.Duration, 0, n)
	for len(times) < n {
		select {
		case a := <-l.answered:
			if !a.ok {
				return spread{}, fmt.Errorf("the mock did not take message %s", a.event)
			}
			times = append(times, a.at.Sub(began[a.event]))
		case <-ctx.Done():
			return spread{}, ctx.Err()
		}
	}
	return spreadOf(times), nil
}

// latencyRow compares what a message waits for the ERP's answer after its commit with a call of net/http.
func latencyRow(ctx context.Context, o options) ([]Result, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	mock, err := startContender(ctx, "mock", self, func(host, port string) []string { return []string{"serve-mock", mockSpec, host + ":" + port} })
	if err != nil {
		return nil, err
	}
	defer mock.stop()
	n := o.of(paced)
	var results []Result
	for _, dialect := range []store.Dialect{store.SQLite, store.Postgres} {
		l, err := openLine(ctx, dialect, mock.addr)
		if err != nil {
			return results, err
		}
		r, err := l.against(ctx, o, mock.addr, n)
		if cerr := l.close(); err == nil {
			err = cerr
		}
		if err != nil {
			return results, fmt.Errorf("%s: %w", dialect, err)
		}
		results = append(results, r...)
	}
	return results, nil
}

func (l *restLine) against(ctx context.Context, o options, addr string, n int) ([]Result, error) {
	half := map[string][]float64{}
	name := "Holdfast, " + string(l.y.db.Dialect())
	kept := func(name string, f func() (spread, error)) contestant {
		return contestant{name, func(context.Context) (float64, error) {
			s, err := f()
			half[name] = append(half[name], s.p50)
			return s.p99, err
		}}
	}
	m, err := contest(ctx, o.rounds,
		kept("net/http", func() (spread, error) { return bareClient(ctx, addr, n) }),
		kept(name, func() (spread, error) { return l.turn(ctx, n) }),
	)
	if err != nil {
		return nil, err
	}
	p50 := plain("commit → ERP's answer at 100/s: p50, "+string(l.y.db.Dialect()), "ms", median(half[name]))
	p50.Reference = median(half["net/http"])
	p50.Ratio = p50.Value / p50.Reference
	p99 := plain("the same: p99", "ms", m[name])
	p99.Reference, p99.Ratio = m["net/http"], m[name]/m["net/http"]
	p99.Bound, p99.OK = fmt.Sprintf("within %g ms of net/http", latencyGoal), m[name] <= m["net/http"]+latencyGoal
	return []Result{p50, p99}, nil
}
