// Package torture runs the real process, or several of them on one database, against the ERP mock under a schedule of faults made from
// a seed, and lets the ERP's own journal say whether anything was lost, doubled or reordered.
//
// # What a seed reproduces
//
// The schedule (which fault strikes when, whom, for how long) and the choices of each worker come from the seed alone. How the
// operating system interleaves the processes does not: a seed that has failed is run again until it fails again.
package torture

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/internal/disk"
	"holdfast/cmd/holdfast/internal/line"
)

// Config is one run. Everything but the tuning is required.
type Config struct {
	Seed    uint64
	Length  time.Duration // of the schedule; draining comes on top
	Kills   int
	Faults  []Fault
	Workers int           // shop-floor clients at a time
	InHand  int           // most messages that one node has under way at one time
	Drain   time.Duration // how long the plant may take to send all that it owes once the faults are over
	Lease   time.Duration // of a lane in a node's hand
	Poll    time.Duration // how often a node looks for lanes that nobody has
	Idle    time.Duration // how long the database leaves a transaction its locks whose node stands still

	Nodes    []Node     // the plant's processes, all on one database
	Disk     *disk.Disk // of its database, that may be filled; nil leaves full-disk out
	Postgres Database   // whose server may be restarted; nil leaves postgres-restart out
	Lanes    Lanes      // of several nodes
	Unfiled  Unfiled

	// Signatures says at the end what a receiver with the plant's public keys alone makes of what reached the ERP; nil for a plant that signs
	// nothing.
	Signatures func(ctx context.Context) (Signatures, error)

	Broker    Broker     // between plant and ERP; nil if they talk over HTTP
	Wire      *line.Line // between plant and broker
	Mock      *erpmock.Mock
	Release   func(material string) (number string, err error)
	Materials []string  // that can be made
	Known     []string  // paths of the API that are there once the plant has the master data; only then the run begins
	Silent    []string  // kinds for which the ERP's contract has no document
	Progress  io.Writer // one line for each strike
}

// Database is a server of the run's own.
type Database interface {
	// Stop ends the server: in order, or at once as a crash would.
	Stop(ctx context.Context, atOnce bool) error
	// Start returns when it answers.
	Start(ctx context.Context) error
}

// Broker is a message broker of the run's own.
type Broker interface {
	// Restart ends the broker and returns when it takes connections again.
	Restart(ctx context.Context) error
	// CloseConnections has the broker close every connection.
	CloseConnections(ctx context.Context) error
	// Fill has the broker take its disk for full: it takes nothing, until Free.
	Fill(ctx context.Context) error
	Free(ctx context.Context) error
	Limit(ctx context.Context) error   // queues turn away what comes while some messages wait
	Unlimit(ctx context.Context) error // undoes it
}

// Unfiled asks the database how many messages' receipts are not filed, and how many large bodies are lost, which no message holds and
// nothing will remove: none, once all nodes have ended in order.
type Unfiled func(ctx context.Context) (receipts, bodies int64, err error)

// Report is what a run did and what the oracle says.
type Report struct {
	Seed         uint64        `json:"seed"`
	Nodes        int           `json:"nodes"`
	Strikes      map[Fault]int `json:"strikes"`
	Starts       int           `json:"process_starts"`
	Takeovers    Takeovers     `json:"takeovers"`
	Orders       int           `json:"orders"`
	Acts         int           `json:"acts"`
	DrainSeconds float64       `json:"drain_seconds"`
	Stuck        string        `json:"stuck,omitempty"` // what was still owed when draining was given up
	Settled      int64         `json:"settled"`         // messages that the plant counts as settled: each promised one, once
	Unfiled      int64         `json:"unfiled"`         // receipts that were not filed when the plant had ended
	LostBodies   int64         `json:"lost_bodies"`     // that no message held by then, and nothing would remove
	Verdict
}

// OK tells whether the run holds what the product promises. One in which nothing was promised shows nothing.
func (r Report) OK() bool {
	return r.Promised > 0 && r.Stuck == "" && r.Takeovers.Late == 0 && r.Settled == int64(r.Promised) && r.Unfiled == 0 && r.LostBodies == 0 && r.Verdict.OK()
}

// run is a Config at work.
type run struct {
	Config
	nodes  []*node
	book   *ledger
	turn   sync.Mutex   // one strike at a time acts on the processes
	calm   sync.RWMutex // held to read by what happens around the processes, to write by who wants nothing of that meanwhile
	single sync.Mutex   // one strike at a time takes the disk or the database away
	away   atomic.Int64 // odd while no process can start: the disk is full or the database away
	mu     sync.Mutex
	counts map[Fault]int // guarded by mu
	ends   int           // how often what a node had in hand was cut off; guarded by mu
	taken  Takeovers     // guarded by mu
}

// Run starts the plant, lets the workers produce under the schedule, ends the faults, waits for the plant to send all that it
// owes, and judges. Its error means that the run itself failed; what the oracle found is in the Report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	r := &run{Config: cfg, book: &ledger{}, counts: map[Fault]int{}}
	for _, n := range cfg.Nodes {
		r.nodes = append(r.nodes, &node{Node: n})
	}
	defer func() {
		for _, n := range r.nodes {
			n.kill()
		}
	}()
	if err := r.begin(ctx); err != nil {
		return Report{}, err
	}
	if err := r.produce(ctx); err != nil {
		return Report{}, err
	}
	began := time.Now()
	stuck, settled, err := r.drain(ctx)
	if err != nil {
		return Report{}, err
	}
	drained := time.Since(began).Seconds()
	starts := 0
	for _, n := range r.nodes {
		if err := n.end(ctx, syscall.SIGTERM); err != nil {
			return Report{}, err
		}
		starts += n.starts
	}
	unfiled, bodies, err := r.Unfiled(ctx)
	if err != nil {
		return Report{}, err
	}
	verdict := judge(r.book.promises, cfg.Mock.Journal(), cfg.Silent, cfg.InHand, r.ends)
	if cfg.Signatures != nil {
		s, err := cfg.Signatures(ctx)
		if err != nil {
			return Report{}, fmt.Errorf("check the signatures: %w", err)
		}
		verdict.signed(cfg.Mock.Journal(), s)
	}
	return Report{
		Seed: cfg.Seed, Nodes: len(r.nodes), Strikes: r.counts, Starts: starts, Takeovers: r.taken, Orders: r.book.orders, Acts: r.book.acts,
		DrainSeconds: drained, Stuck: stuck, Settled: settled, Unfiled: unfiled, LostBodies: bodies,
		Verdict: verdict,
	}, nil
}

// begin starts the nodes, one after the other, and waits until the plant has the master data from the ERP.
func (r *run) begin(ctx context.Context) error {
	for _, n := range r.nodes {
		if err := n.start(ctx); err != nil {
			return err
		}
	}
	ctx, stop := context.WithTimeoutCause(ctx, time.Minute, errors.New("the plant did not learn the master data within a minute"))
	defer stop()
	for _, path := range r.Known {
		for get(ctx, r.nodes[0].API+path) != nil {
			if pause(ctx, 50*time.Millisecond); ctx.Err() != nil {
				return context.Cause(ctx)
			}
		}
	}
	return nil
}

// produce runs workers and schedule beside each other until the schedule is over and each worker has its last answer.
func (r *run) produce(ctx context.Context) error {
	enough := make(chan struct{})
	g, ctx := errgroup.WithContext(ctx)
	for i := range r.Workers {
		w := r.worker()
		w.materials, w.release, w.book, w.enough, w.at = r.Materials, r.Release, r.book, enough, i%len(w.apis)
		w.rng = rand.New(rand.NewPCG(r.Seed, uint64(i)))
		g.Go(func() error { return w.run(ctx) })
	}
	g.Go(func() error {
		defer close(enough)
		return r.strikes(ctx)
	})
	return g.Wait()
}

// worker is a client of all nodes. Where there is another to go to, it is less patient.
func (r *run) worker() *worker {
	w := &worker{client: &http.Client{Timeout: 10 * time.Second}}
	for _, n := range r.nodes {
		w.apis = append(w.apis, n.API)
	}
	if len(w.apis) > 1 {
		w.client.Timeout = 3 * time.Second
	}
	return w
}

// state is what the plant says of a link.
type state struct {
	Link      string `json:"link"`
	Owed      int64  `json:"owed"`
	Parked    int64  `json:"parked"`
	Waiting   int64  `json:"waiting"`
	Delivered int64  `json:"delivered"`
	Voided    int64  `json:"voided"`
	Breaker   string `json:"breaker"`
}

// links asks any node.
func (w *worker) links(ctx context.Context) ([]state, error) {
	var links struct{ Items []state }
	if err := w.call(ctx, http.MethodGet, "/v1/links", "", nil, &links); err != nil {
		return nil, fmt.Errorf("ask the plant what it owes: %w", err)
	}
	return links.Items, nil
}

// drain waits until the plant owes nothing, and says how many messages it has settled, and what it still owes when that takes too long or
// a person would have to act.
func (r *run) drain(ctx context.Context) (stuck string, settled int64, err error) {
	deadline := time.Now().Add(r.Drain)
	w := r.worker()
	for {
		links, err := w.links(ctx)
		if err != nil {
			return "", 0, err
		}
		owed := int64(0)
		settled = 0
		for _, l := range links {
			owed, settled = owed+l.Owed, settled+l.Delivered+l.Voided
		}
		if owed == 0 && r.Broker != nil {
			return "", settled, r.arrive(ctx, deadline)
		}
		if owed == 0 {
			return "", settled, nil
		}
		if time.Now().After(deadline) {
			b, err := json.Marshal(links)
			return fmt.Sprintf("after %s the plant still owes %d messages: %s", r.Drain, owed, b), settled, err
		}
		if pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
			return "", 0, context.Cause(ctx)
		}
	}
}

// arrive waits until the ERP has taken all that the broker has: nothing promised is missing, and nothing more comes for a while, in which
// a second one could. What is missing at the deadline is for the oracle to tell.
func (r *run) arrive(ctx context.Context, deadline time.Time) error {
	for quiet, last := 0, 0; quiet < 4 && time.Now().Before(deadline); {
		journal := r.Mock.Journal()
		if v := judge(r.book.promises, journal, r.Silent, 0, 0); v.Lost == 0 && v.Attempts == last {
			quiet++
		} else {
			quiet, last = 0, v.Attempts
		}
		if pause(ctx, 500*time.Millisecond); ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	return nil
}
