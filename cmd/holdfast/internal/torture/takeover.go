package torture

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
)

// Lanes is the database's own word on who holds what. Only the time of a takeover is taken from it; what was delivered, and how often,
// is the ERP's journal to say.
type Lanes interface {
	// InHand names the lanes in a node's hand.
	InHand(ctx context.Context, node string) ([]string, error)
}

// Takeovers is how the lanes of nodes that were gone, killed or frozen, came into other hands.
type Takeovers struct {
	Count   int     `json:"count"`           // nodes whose lanes were all taken over
	Lanes   int     `json:"lanes"`           // of these
	Longest float64 `json:"longest_seconds"` // from the end of a node to when another had its last lane
	Bound   float64 `json:"bound_seconds"`   // the most that lease and poll explain
	Late    int     `json:"late"`            // takeovers that took longer than that
}

// slack is what a busy machine may add to a lease and a poll.
const slack = time.Second

// bound is how long a takeover may take. The node that is gone may have renewed its lease just before, by a clock that is ahead of the
// others', or have been stopped within a transaction that has the lane locked. The others look for lanes at each poll, with a quarter
// of jitter.
func (r *run) bound(gone []*node) time.Duration {
	skew := time.Duration(0)
	for _, g := range gone {
		for _, n := range r.nodes {
			if !slices.Contains(gone, n) {
				skew = max(skew, g.clock()-n.clock())
			}
		}
	}
	return max(r.Lease+skew, r.Idle) + r.Poll*5/4 + slack
}

// bereave takes nodes away for longer than their leases while they have messages under way whose answers do not come, and measures when
// others have their lanes. Nothing else happens meanwhile, so that there is nothing else that a delay could be laid to.
func (r *run) bereave(ctx context.Context, s strike) error {
	var gone []*node
	for _, i := range s.Nodes {
		gone = append(gone, r.nodes[i])
	}
	resume := func() {}
	if len(r.nodes) > len(gone) {
		if err := r.settle(ctx); err != nil {
			return err
		}
		var err error
		if resume, err = r.busy(ctx, gone[0]); err != nil {
			return err
		}
		defer resume()
	}
	bound := r.bound(gone)
	meanwhile := func() error {
		resume()
		if len(r.nodes) == len(gone) {
			pause(ctx, r.Lease+s.For)
			return nil
		}
		return r.watch(ctx, gone, bound, s.For)
	}
	if s.Fault == Kill {
		return r.killWhile(ctx, gone, meanwhile)
	}
	for _, n := range gone {
		inner := meanwhile
		meanwhile = func() error { return n.freeze(inner) }
	}
	return meanwhile()
}

func (r *run) killWhile(ctx context.Context, gone []*node, meanwhile func() error) error {
	for _, n := range gone {
		if err := n.end(ctx, syscall.SIGKILL); err != nil {
			return err
		}
	}
	if err := meanwhile(); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	for _, n := range gone {
		g.Go(func() error { return r.start(ctx, n) })
	}
	return g.Wait()
}

// settle calms the ERP and waits until the link has recovered from what was before.
func (r *run) settle(ctx context.Context) error {
	r.Mock.Up()
	if err := r.Mock.SetFaults(); err != nil {
		return err
	}
	w := r.worker()
	before := int64(-1)
	for until := time.Now().Add(10 * time.Second); time.Now().Before(until) && ctx.Err() == nil; pause(ctx, 50*time.Millisecond) {
		links, err := w.links(ctx)
		if err != nil {
			return err
		}
		delivered, closed := int64(0), true
		for _, l := range links {
			delivered, closed = delivered+l.Delivered, closed && l.Breaker == "closed"
		}
		if before < 0 {
			before = delivered
		}
		if closed && delivered > before+int64(2*len(r.nodes)) {
			break
		}
	}
	return ctx.Err()
}

// busy keeps answers back until the node has something in hand. The answers of a broker come when resume is called, those of the ERP
// never.
func (r *run) busy(ctx context.Context, n *node) (resume func(), err error) {
	resume = func() {}
	if r.Wire != nil {
		resume = r.Wire.Stall()
	} else {
		err = r.add(erpmock.Fault{Kind: erpmock.Hang, Phase: erpmock.After, Count: 2 * len(r.nodes), Delay: erpmock.Duration(time.Second)})
	}
	for until := time.Now().Add(2 * time.Second); err == nil && time.Now().Before(until) && ctx.Err() == nil; pause(ctx, 5*time.Millisecond) {
		var held []string
		if held, err = r.Lanes.InHand(ctx, n.Name); len(held) > 0 {
			break
		}
	}
	return resume, errors.Join(err, ctx.Err())
}

// watch measures until nothing is in the hands of the nodes that are gone, and then waits a little longer, so that who is woken finds
// work done by others. A node that had nothing in hand is not counted.
func (r *run) watch(ctx context.Context, gone []*node, bound, longer time.Duration) error {
	began := time.Now()
	pause(ctx, 100*time.Millisecond) // a commit that was under way is done by then
	had, err := r.inHand(ctx, gone)
	if err != nil || len(had) == 0 {
		pause(ctx, bound)
		return err
	}
	nodes := 0
	for _, n := range gone {
		if slices.ContainsFunc(had, func(l string) bool { return strings.HasPrefix(l, n.Name+" ") }) {
			nodes++
		}
	}
	left := slices.Clone(had)
	for len(left) > 0 && time.Since(began) < bound+readyWithin && ctx.Err() == nil {
		pause(ctx, 10*time.Millisecond)
		now, err := r.inHand(ctx, gone)
		if err != nil {
			return err
		}
		left = slices.DeleteFunc(left, func(l string) bool { return !slices.Contains(now, l) })
	}
	took := time.Since(began)
	fmt.Fprintf(r.Progress, "         %d lanes were taken over after %.2f s, %.2f s is the bound\n", len(had)-len(left), took.Seconds(), bound.Seconds())
	r.mu.Lock()
	r.taken.Count += nodes
	r.taken.Lanes += len(had)
	r.taken.Longest, r.taken.Bound = max(r.taken.Longest, took.Seconds()), max(r.taken.Bound, bound.Seconds())
	if took > bound {
		r.taken.Late++
	}
	r.mu.Unlock()
	pause(ctx, longer)
	return ctx.Err()
}

func (r *run) inHand(ctx context.Context, gone []*node) ([]string, error) {
	var all []string
	for _, n := range gone {
		held, err := r.Lanes.InHand(ctx, n.Name)
		if err != nil {
			return nil, err
		}
		for _, l := range held {
			all = append(all, n.Name+" "+l)
		}
	}
	return all, nil
}
