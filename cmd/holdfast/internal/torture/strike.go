package torture

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
)

// strikes lets the schedule happen.
func (r *run) strikes(ctx context.Context) error {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for _, s := range plan(r.Seed, r.Length, r.Kills, r.Faults, len(r.nodes)) {
		if pause(ctx, time.Until(began.Add(s.At))); ctx.Err() != nil {
			break
		}
		fmt.Fprintln(r.Progress, s)
		r.count(s)
		if s.Fault.ofProcess() {
			if err := r.strikeProcess(ctx, s); err != nil {
				return fmt.Errorf("%v: %w", s, errors.Join(err, g.Wait()))
			}
			continue
		}
		g.Go(func() error {
			r.calm.RLock()
			defer r.calm.RUnlock()
			if err := r.strikeAround(ctx, s); err != nil {
				return fmt.Errorf("%v: %w", s, err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	r.Mock.Up()
	return r.Mock.SetFaults()
}

// count keeps how often a fault struck, and how often it cut off what was under way to the ERP: each of those may have to be sent once
// more. What befalls a process does so to the nodes that it hits. When ERP or database go away, every node has something in hand. Behind
// a broker there is one who calls the ERP, and it asks before it sends, whatever plant and broker give it twice.
func (r *run) count(s strike) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counts[s.Fault]++
	switch {
	case r.Broker != nil && s.Fault == Cut:
		r.ends++
	case r.Broker != nil:
	case s.Fault.ofProcess(), s.Fault == SlowDB:
		r.ends += len(s.Nodes)
	case s.Fault == Cut, s.Fault == PostgresRestart:
		r.ends += len(r.nodes)
	}
}

// strikeProcess does what happens to the processes themselves, one after the other.
func (r *run) strikeProcess(ctx context.Context, s strike) error {
	if s.Past || s.Fault == FrozenPastLease {
		r.calm.Lock()
		defer r.calm.Unlock()
	}
	r.turn.Lock()
	defer r.turn.Unlock()
	switch {
	case s.Fault == Clock:
		return r.turnClock(r.nodes[s.Nodes[0]], s)
	case s.Past, s.Fault == FrozenPastLease:
		return r.bereave(ctx, s)
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, i := range s.Nodes {
		n := r.nodes[i]
		g.Go(func() error {
			switch s.Fault {
			case Freeze:
				return n.freeze(func() error { pause(ctx, s.For); return nil })
			case Term:
				return r.again(ctx, n, syscall.SIGTERM)
			default:
				return r.again(ctx, n, syscall.SIGKILL)
			}
		})
	}
	return g.Wait()
}

// turnClock moves the clock of a single node far. Several nodes must agree within half a lease, which is what the product asks for:
// each is kept within a quarter of the true time.
func (r *run) turnClock(n *node, s strike) error {
	by := jumps()[s.Jump]
	if len(r.nodes) > 1 {
		by = r.Lease/4*time.Duration(s.Jump%3-1) - n.clock()
	}
	return n.turnClock(by)
}

// again ends the process and starts it anew.
func (r *run) again(ctx context.Context, n *node, sig syscall.Signal) error {
	if err := n.end(ctx, sig); err != nil {
		return err
	}
	return r.start(ctx, n)
}

// start starts a process. That may fail on a disk that is full just then or without the database, and only then; it is done once more
// when they are back.
func (r *run) start(ctx context.Context, n *node) error {
	away := r.away.Load()
	err := n.start(ctx)
	if err == nil || away == r.away.Load() && away%2 == 0 {
		return err
	}
	fmt.Fprintf(r.Progress, "         no start without disk or database (%v); again when they are back\n", err)
	n.kill() // it may be there and not be ready
	for r.away.Load()%2 == 1 && ctx.Err() == nil {
		pause(ctx, 20*time.Millisecond)
	}
	return r.start(ctx, n)
}

// strikeAround does what happens around the processes.
func (r *run) strikeAround(ctx context.Context, s strike) error {
	few := 1 + int(s.For/(400*time.Millisecond))
	switch s.Fault {
	case Cut:
		r.Mock.Down(s.For)
		pause(ctx, s.For)
		return nil
	case FullDisk:
		return r.fill(ctx, s.For)
	case SlowDB:
		return r.slow(ctx, r.nodes[s.Nodes[0]], s.For)
	case PostgresRestart:
		return r.restartPostgres(ctx, s)
	case BrokerRestart, ConnectionsClosed, BrokerFull, QueueFull:
		return r.strikeBroker(ctx, s)
	case WireDelay:
		return hold(ctx, s.For, r.Wire.Delay(50*time.Millisecond))
	case WireLimit:
		return hold(ctx, s.For, r.Wire.Limit())
	case WireCut:
		return hold(ctx, s.For, r.Wire.Cut())
	case WireReset:
		r.Wire.Reset()
		return nil
	default:
		return r.add(faultsOf(s.Fault, few, s.For)...)
	}
}

// hold leaves a fault on for d.
func hold(ctx context.Context, d time.Duration, undo func()) error {
	defer undo()
	pause(ctx, d)
	return nil
}

func (r *run) add(faults ...erpmock.Fault) error {
	for _, f := range faults {
		f.Method = http.MethodPost
		if _, err := r.Mock.AddFault(f); err != nil {
			return err
		}
	}
	return nil
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

// slow has each statement of one node take longer for d. A new process begins fast: nobody tells it again.
func (r *run) slow(ctx context.Context, n *node, d time.Duration) error {
	say := func(line string) error {
		r.turn.Lock()
		defer r.turn.Unlock()
		return n.tell(line)
	}
	if err := say("slow 10ms"); err != nil {
		return err
	}
	pause(ctx, d)
	return say("slow 0s")
}

// restartPostgres ends the database under whatever is going on in it, and starts it again.
func (r *run) restartPostgres(ctx context.Context, s strike) error {
	r.single.Lock()
	defer r.single.Unlock()
	r.away.Add(1)
	defer r.away.Add(1)
	if err := r.Postgres.Stop(ctx, s.Hard); err != nil {
		return err
	}
	return r.Postgres.Start(ctx)
}

// strikeBroker does what happens to the broker itself, one after the other.
func (r *run) strikeBroker(ctx context.Context, s strike) error {
	r.single.Lock()
	defer r.single.Unlock()
	switch s.Fault {
	case BrokerRestart:
		return r.Broker.Restart(ctx)
	case ConnectionsClosed:
		return r.Broker.CloseConnections(ctx)
	case QueueFull:
		if err := r.Broker.Limit(ctx); err != nil {
			return err
		}
		pause(ctx, s.For)
		return r.Broker.Unlimit(context.WithoutCancel(ctx)) // else what is left could not be drained
	default:
		if err := r.Broker.Fill(ctx); err != nil {
			return err
		}
		pause(ctx, s.For)
		return r.Broker.Free(ctx)
	}
}

// fill takes every free byte of the disk that holds the plant's database, and gives them back after d.
func (r *run) fill(ctx context.Context, d time.Duration) error {
	r.single.Lock()
	defer r.single.Unlock()
	r.away.Add(1)
	defer r.away.Add(1)
	if err := r.Disk.Fill(); err != nil {
		return err
	}
	pause(ctx, d)
	return r.Disk.Free()
}
