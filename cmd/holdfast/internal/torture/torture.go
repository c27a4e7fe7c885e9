// Package torture runs the real process against the ERP mock under a schedule of faults made from a seed, and lets the ERP's own
// journal say whether anything was lost, doubled or reordered.
//
// # What a seed reproduces
//
// The schedule (which fault strikes when, for how long) and the choices of each worker come from the seed alone. How the
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
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
)

// Config is one run. Everything but the tuning is required.
type Config struct {
	Seed    uint64
	Length  time.Duration // of the schedule; draining comes on top
	Kills   int
	Faults  []Fault
	Workers int           // shop-floor clients at a time
	InHand  int           // most messages that the plant has under way at one time
	Drain   time.Duration // how long the plant may take to send all that it owes once the faults are over

	Serve     func() *exec.Cmd // the plant's process
	API       string           // its base URL
	Ready     string           // its /readyz
	Control   string           // its control socket
	Disk      string           // folder on the disk of its database that may be filled; empty leaves full-disk out
	Mock      *erpmock.Mock
	Release   func(material string) (number string, err error)
	Materials []string  // that can be made
	Known     []string  // paths of the API that are there once the plant has the master data; only then the run begins
	Silent    []string  // kinds for which the ERP's contract has no document
	Log       io.Writer // the plant's own output
	Progress  io.Writer // one line for each strike
}

// Report is what a run did and what the oracle says.
type Report struct {
	Seed         uint64        `json:"seed"`
	Strikes      map[Fault]int `json:"strikes"`
	Starts       int           `json:"process_starts"`
	Orders       int           `json:"orders"`
	Acts         int           `json:"acts"`
	DrainSeconds float64       `json:"drain_seconds"`
	Stuck        string        `json:"stuck,omitempty"` // what was still owed when draining was given up
	Verdict
}

// OK tells whether the run holds what the product promises.
func (r Report) OK() bool { return r.Stuck == "" && r.Verdict.OK() }

// run is a Config at work.
type run struct {
	Config
	node    *node
	book    *ledger
	turn    sync.Mutex   // one strike at a time acts on the process
	filling sync.Mutex   // one strike at a time fills the disk
	fills   atomic.Int64 // odd while the disk is full
	mu      sync.Mutex
	counts  map[Fault]int // guarded by mu
}

// Run starts the plant, lets the workers produce under the schedule, ends the faults, waits for the plant to send all that it
// owes, and judges. Its error means that the run itself failed; what the oracle found is in the Report.
func Run(ctx context.Context, cfg Config) (Report, error) {
	r := &run{
		Config: cfg, book: &ledger{}, counts: map[Fault]int{},
		node: &node{serve: cfg.Serve, ready: cfg.Ready, control: cfg.Control, log: cfg.Log},
	}
	if err := r.node.start(ctx); err != nil {
		return Report{}, err
	}
	defer func() { _ = r.node.signal(syscall.SIGKILL) }()
	if err := r.learn(ctx); err != nil {
		return Report{}, err
	}
	if err := r.produce(ctx); err != nil {
		return Report{}, err
	}
	began := time.Now()
	stuck, err := r.drain(ctx)
	if err != nil {
		return Report{}, err
	}
	drained := time.Since(began).Seconds()
	if err := r.node.end(ctx, syscall.SIGTERM); err != nil {
		return Report{}, err
	}
	ends := r.counts[Kill] + r.counts[Term] + r.counts[Freeze] + r.counts[Cut] + r.counts[Clock] + r.counts[SlowDB]
	return Report{
		Seed: cfg.Seed, Strikes: r.counts, Starts: r.node.starts, Orders: r.book.orders, Acts: r.book.acts,
		DrainSeconds: drained, Stuck: stuck,
		Verdict: judge(r.book.promises, cfg.Mock.Journal(), cfg.Silent, cfg.InHand, ends),
	}, nil
}

// learn waits until the plant has the master data from the ERP.
func (r *run) learn(ctx context.Context) error {
	ctx, stop := context.WithTimeoutCause(ctx, time.Minute, errors.New("the plant did not learn the master data within a minute"))
	defer stop()
	for _, path := range r.Known {
		for get(ctx, r.API+path) != nil {
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
		w := &worker{
			api: r.API, materials: r.Materials, release: r.Release, book: r.book, enough: enough,
			rng: rand.New(rand.NewPCG(r.Seed, uint64(i))), client: &http.Client{Timeout: 10 * time.Second},
		}
		g.Go(func() error { return w.run(ctx) })
	}
	g.Go(func() error {
		defer close(enough)
		return r.strikes(ctx)
	})
	return g.Wait()
}

func (r *run) strikes(ctx context.Context) error {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range plan(r.Seed, r.Length, r.Kills, r.Faults) {
		if pause(ctx, time.Until(began.Add(s.At))); ctx.Err() != nil {
			break
		}
		fmt.Fprintln(r.Progress, s)
		r.mu.Lock()
		r.counts[s.Fault]++
		r.mu.Unlock()
		switch s.Fault {
		case Kill, Term, Freeze, Clock:
			if err := r.strikeProcess(ctx, s); err != nil {
				return fmt.Errorf("%v: %w", s, errors.Join(err, g.Wait()))
			}
		default:
			g.Go(func() error { return r.strikeAround(ctx, s) })
		}
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.Mock.Up()
	return r.Mock.SetFaults()
}

// strikeProcess does what happens to the process itself, one after the other.
func (r *run) strikeProcess(ctx context.Context, s strike) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	switch s.Fault {
	case Freeze:
		return r.node.freeze(ctx, s.For)
	case Clock:
		return r.node.tell(fmt.Sprintf("clock %s", s.Jump))
	case Term:
		return r.again(ctx, syscall.SIGTERM)
	default:
		return r.again(ctx, syscall.SIGKILL)
	}
}

// again ends the process and starts it anew. A start may fail on a disk that is full just then, and only then; it is made once
// more when there is room.
func (r *run) again(ctx context.Context, sig syscall.Signal) error {
	fills := r.fills.Load()
	err := r.node.restart(ctx, sig)
	if err == nil || fills == r.fills.Load() && fills%2 == 0 {
		return err
	}
	fmt.Fprintf(r.Progress, "         no start on a full disk (%v); again when there is room\n", err)
	for r.fills.Load()%2 == 1 && ctx.Err() == nil {
		pause(ctx, 20*time.Millisecond)
	}
	return r.node.start(ctx)
}

// strikeAround does what happens around the process.
func (r *run) strikeAround(ctx context.Context, s strike) error {
	few := 1 + int(s.For/(400*time.Millisecond))
	switch s.Fault {
	case Cut:
		r.Mock.Down(s.For)
		return nil
	case FullDisk:
		return r.fill(ctx, s.For)
	case SlowDB:
		return r.slow(ctx, s.For)
	default:
		return errors.Join(r.add(faultsOf(s.Fault, few, s.For)...)...)
	}
}

func (r *run) add(faults ...erpmock.Fault) (errs []error) {
	for _, f := range faults {
		f.Method = http.MethodPost
		_, err := r.Mock.AddFault(f)
		errs = append(errs, err)
	}
	return errs
}

// faultsOf are the mock's faults for one of ours; each strikes few times.
func faultsOf(f Fault, few int, d time.Duration) []erpmock.Fault {
	switch f {
	case Lost:
		return []erpmock.Fault{{Kind: erpmock.Lost, Count: few}, {Kind: erpmock.Half, Phase: erpmock.After, Count: 1}}
	case Reset:
		return []erpmock.Fault{{Kind: erpmock.Reset, Count: few}, {Kind: erpmock.Reset, Phase: erpmock.After, Count: 1}}
	case Hang:
		return []erpmock.Fault{{Kind: erpmock.Hang, Phase: erpmock.After, Count: 1, Delay: erpmock.Duration(d)}}
	case Throttle:
		return []erpmock.Fault{{Kind: erpmock.Status, Status: http.StatusTooManyRequests, RetryAfter: erpmock.Duration(time.Second), Count: few}}
	default:
		return []erpmock.Fault{
			{Kind: erpmock.Status, Status: http.StatusServiceUnavailable, Count: few},
			{Kind: erpmock.Status, Status: http.StatusInternalServerError, Phase: erpmock.After, Count: 1},
			{Kind: erpmock.Status, Status: http.StatusBadGateway, Phase: erpmock.After, Count: 1},
		}
	}
}

// slow has each statement of the plant's database take longer for d. A new process begins fast: nobody tells it again.
func (r *run) slow(ctx context.Context, d time.Duration) error {
	say := func(line string) error {
		r.turn.Lock()
		defer r.turn.Unlock()
		return r.node.tell(line)
	}
	if err := say("slow 10ms"); err != nil {
		return err
	}
	pause(ctx, d)
	return say("slow 0s")
}

// fill takes every free byte of the disk that holds the plant's database, and gives them back after d.
func (r *run) fill(ctx context.Context, d time.Duration) error {
	if r.Disk == "" {
		return nil
	}
	r.filling.Lock()
	defer r.filling.Unlock()
	r.fills.Add(1)
	defer r.fills.Add(1)
	name := filepath.Join(r.Disk, "filler")
	f, err := os.Create(name)
	if err != nil && !errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("fill the disk: %w", err)
	}
	if err == nil {
		chunk := make([]byte, 64<<10)
		for len(chunk) > 0 {
			if _, err := f.Write(chunk); err != nil {
				chunk = chunk[:len(chunk)/2]
			}
		}
		if err := f.Close(); err != nil {
			return fmt.Errorf("fill the disk: %w", err)
		}
	}
	pause(ctx, d)
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("free the disk: %w", err)
	}
	return nil
}

// drain waits until the plant owes nothing, and says what it still owes when that takes too long or a person would have to act.
func (r *run) drain(ctx context.Context) (stuck string, err error) {
	deadline := time.Now().Add(r.Drain)
	w := &worker{api: r.API, client: &http.Client{Timeout: 10 * time.Second}}
	for {
		var links struct {
			Items []struct {
				Link    string `json:"link"`
				Owed    int64  `json:"owed"`
				Parked  int64  `json:"parked"`
				Waiting int64  `json:"waiting"`
			} `json:"items"`
		}
		if err := w.call(ctx, http.MethodGet, "/v1/links", "", nil, &links); err != nil {
			return "", fmt.Errorf("ask the plant what it owes: %w", err)
		}
		owed := int64(0)
		for _, l := range links.Items {
			owed += l.Owed
		}
		if owed == 0 {
			return "", nil
		}
		if time.Now().After(deadline) {
			b, err := json.Marshal(links.Items)
			return fmt.Sprintf("after %s the plant still owes %d messages: %s", r.Drain, owed, b), err
		}
		if pause(ctx, 100*time.Millisecond); ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
	}
}
