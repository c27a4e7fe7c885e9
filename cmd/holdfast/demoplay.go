package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/dataset"
	"holdfast/cmd/holdfast/internal/tally"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// demoReport is what demo --json prints.
type demoReport struct {
	Seed          uint64 `json:"seed"`
	Orders        int    `json:"orders"`
	OwnOrders     int    `json:"own_orders"` // of these, made by the plant itself
	Confirmations int    `json:"confirmations"`
	Movements     int    `json:"movements"`
	Lots          int    `json:"lots"`
	Inspections   int    `json:"inspections"`
	MadeWhileDown int    `json:"made_while_down"`       // messages
	Share         number `json:"share_made_while_down"` // of the messages of this run
	tally.Result
	signedResult
	OutageSeconds number `json:"outage_seconds"`
	DrainSeconds  number `json:"drain_seconds"`
	TotalSeconds  number `json:"total_seconds"`
	Link          string `json:"link,omitempty"` // what is not over HTTP
	Restarts      int    `json:"broker_restarts,omitempty"`
	keyringResult
	ERP string `json:"erp,omitempty"` // what is not the plain one
	sapTrouble
	Earlier int `json:"messages_of_earlier_runs,omitempty"` // of all messages: those of runs before on the same folder

	done, signs bool
}

// number is a hundredth: of a second, or of a whole.
type number int64

func secondsOf(d time.Duration) number {
	return number(d.Round(10*time.Millisecond) / (10 * time.Millisecond))
}

// MarshalJSON writes two places.
func (n number) MarshalJSON() ([]byte, error) { return []byte(n.String()), nil }

func (n number) String() string { return fmt.Sprintf("%d.%02d", n/100, n%100) }

// ok tells whether the demo showed what it promises.
func (r demoReport) ok() bool { return r.done && r.OK() && r.signedOK() && r.keyringOK() }

func (r demoReport) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s (%d of the plant's own), %s, %s, %s, %s\n", count(r.Orders, "order", "orders"), r.OwnOrders,
		count(r.Confirmations, "confirmation", "confirmations"), count(r.Movements, "movement", "movements"), count(r.Lots, "lot", "lots"),
		count(r.Inspections, "inspection result", "inspection results"))
	fmt.Fprintf(w, "%d messages, %d of them (%d %%) made while the link was down; drained %s s after it was back\n", r.Messages-r.Earlier, r.MadeWhileDown, r.Share, r.DrainSeconds)
	if r.Earlier > 0 {
		fmt.Fprintf(w, "%d messages more are of earlier runs on this folder; what follows is of all\n", r.Earlier)
	}
	fmt.Fprintf(w, "the ERP's journal says: delivered %d, lost %d, duplicated %d, out of order %d\n", r.Delivered, r.Lost, r.Duplicated, r.OutOfOrder)
	r.printSigned(w)
	r.printKeyring(w)
	if r.Pending+r.Unknown > 0 {
		fmt.Fprintf(w, "NOT WELL: %d are still owed, %d effects have no message\n", r.Pending, r.Unknown)
	}
	for _, e := range r.Examples {
		fmt.Fprintln(w, "  "+e)
	}
}

// The script: how many of a hundred of the ERP's orders are worked on before, during and after the outage.
const (
	before = 30
	during = 50
	// enough is how many of a hundred messages are to be made while the link is down, more than what is promised (40).
	enough = 48
)

// play is the script. Each order is worked on in one of three acts: before, during and after the outage.
func (s *stage) play(ctx context.Context, say *teller) (r demoReport, err error) {
	s.began = time.Now().Truncate(time.Microsecond)
	stop := s.watch(ctx, say)
	defer stop()
	say.scene("the ERP is at http://%s, the plant at http://%s", s.erp.Addr(), s.plant.api.Addr())
	n := s.flags.orders
	first := max(1, n*before/100)
	second := max(first, n*(before+during)/100)
	list := s.shuffled(n)
	if err := s.masterData(ctx); err != nil {
		return r, err
	}
	if err := s.releaseAll(ctx, list[:second]); err != nil {
		return r, err
	}
	orders, err := s.arrived(ctx, second)
	if err != nil {
		return r, err
	}
	say.scene("%s come down from the ERP; work begins", count(len(orders), "order has", "orders have"))
	if err := s.work(ctx, orders[:first]); err != nil {
		return r, err
	}
	down, up, err := s.blackout(ctx, say, orders[first:], n-second)
	if err != nil {
		return r, err
	}
	if err := s.drained(ctx); err != nil {
		return r, err
	}
	r.DrainSeconds = secondsOf(time.Since(up))
	say.scene("all that was owed is delivered, %s s after the link was back; the rest of the orders comes down", r.DrainSeconds)
	if err := s.finish(ctx, list[second:]); err != nil {
		return r, err
	}
	stop()
	r.OutageSeconds = secondsOf(up.Sub(down))
	r.TotalSeconds = secondsOf(time.Since(s.began))
	return r, s.compare(ctx, &r, down, up)
}

// shuffled draws n orders from the data set.
func (s *stage) shuffled(n int) []dataset.Order {
	rng := rand.New(rand.NewPCG(s.flags.seed, 0x64656d6f))
	var out []dataset.Order
	for len(out) < n {
		for _, i := range rng.Perm(len(s.set.Orders)) {
			out = append(out, s.set.Orders[i])
		}
	}
	return out[:n]
}

func (s *stage) releaseAll(ctx context.Context, orders []dataset.Order) error {
	for _, o := range orders {
		if err := s.release(ctx, o, fmt.Sprintf("planner-%d-%d", time.Now().UnixNano(), s.releases)); err != nil {
			return err
		}
	}
	return nil
}

// masterData waits until the plant has copies of all that it needs to work alone.
func (s *stage) masterData(ctx context.Context) error {
	return until(ctx, time.Minute, "the plant has the ERP's master data", func() (bool, error) {
		for _, o := range s.set.Orders {
			if !s.api.Has(ctx, o.Material) {
				return false, nil
			}
		}
		return true, nil
	})
}

// arrived waits until the plant has n orders to work on, and gives them.
func (s *stage) arrived(ctx context.Context, n int) (orders []mes.Order, err error) {
	err = until(ctx, time.Minute, fmt.Sprintf("%d orders of the ERP are in the plant", n), func() (bool, error) {
		orders, err = s.api.Orders(ctx, string(mes.Released))
		return len(orders) >= n, err
	})
	return orders, err
}

// workers is how many terminals the floor has.
const workers = 4

// work brings orders to their end, some at a time.
func (s *stage) work(ctx context.Context, orders []mes.Order) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(workers)
	for _, o := range orders {
		g.Go(func() error { return s.floor.Work(ctx, o, s.flags.seed) })
	}
	return g.Wait()
}

// blackout cuts the link, works on, makes orders of the plant's own until enough is made without the ERP, and restores the link.
// left is how many orders are still to come.
func (s *stage) blackout(ctx context.Context, say *teller, orders []mes.Order, left int) (down, up time.Time, err error) {
	if err := s.cut(); err != nil {
		return down, up, err
	}
	s.vault.cut()
	down = time.Now()
	say.scene("the link is cut; the plant goes on")
	if err := s.work(ctx, orders); err != nil {
		return down, up, err
	}
	most := max(4, 2*s.flags.orders)
	for i := 0; i < most; i++ {
		more, err := s.needsMore(ctx, down, left)
		if err != nil {
			return down, up, err
		}
		if !more && i >= max(1, s.flags.orders/6) {
			break
		}
		own, err := s.floor.Own(ctx, s.set.Orders[i%len(s.set.Orders)])
		if err != nil {
			return down, up, err
		}
		if err := s.work(ctx, []mes.Order{own}); err != nil {
			return down, up, err
		}
	}
	if err := sleep(ctx, s.flags.outage-time.Since(down)); err != nil {
		return down, up, err
	}
	s.vault.mend()
	if err := s.mend(ctx); err != nil {
		return down, up, err
	}
	up = time.Now()
	say.scene("the link is back after %.1f s; %s made without it", up.Sub(down).Seconds(),
		count(s.floor.Counts().Own, "order of the plant's own was", "orders of the plant's own were"))
	return down, up, nil
}

// needsMore tells whether too few messages were made since the cut, if each order that is left makes as many as those before.
func (s *stage) needsMore(ctx context.Context, down time.Time, left int) (bool, error) {
	all, made, err := s.made(ctx, down)
	if err != nil {
		return false, err
	}
	orders := max(1, s.floor.Counts().Orders)
	expected := all + left*all/orders
	return made*100 < enough*expected, nil
}

// made counts the messages of this run, and those made since a time.
func (s *stage) made(ctx context.Context, from time.Time) (all, since int, err error) {
	list, err := s.messages(ctx)
	for _, d := range list {
		if d.CreatedAt.Before(s.began) {
			continue // of an earlier run on the same folder
		}
		all++
		if !d.CreatedAt.Before(from) {
			since++
		}
	}
	return all, since, err
}

// messages reads the whole outbox from the database.
func (s *stage) messages(ctx context.Context) (all []outbox.Detail, err error) {
	err = s.plant.db.View(ctx, func(tx *store.Tx) error {
		all = nil
		for cursor := ""; ; {
			list, next, err := s.plant.outbox.Messages(ctx, tx, outbox.Filter{OldestFirst: true, Limit: 10_000}, cursor)
			if err != nil {
				return err
			}
			all = append(all, list...)
			if cursor = next; cursor == "" {
				return nil
			}
		}
	})
	return all, err
}

// finish works on the orders that were left for after the outage, and waits until the ERP has everything.
func (s *stage) finish(ctx context.Context, rest []dataset.Order) error {
	if err := s.releaseAll(ctx, rest); err != nil {
		return err
	}
	orders, err := s.arrived(ctx, len(rest))
	if err != nil {
		return err
	}
	if err := s.work(ctx, orders); err != nil {
		return err
	}
	return s.drained(ctx)
}

// drained waits until nothing is owed.
func (s *stage) drained(ctx context.Context) error {
	return until(ctx, 3*time.Minute, "the ERP has everything", func() (bool, error) {
		owed, parked, _, err := s.owed(ctx)
		if err == nil && parked > 0 {
			return true, nil // nobody will come; the comparison tells
		}
		if owed > 0 || err != nil {
			return false, err
		}
		return s.answered(ctx)
	})
}

func (s *stage) owed(ctx context.Context) (owed, parked, delivered int64, err error) {
	err = s.plant.db.View(ctx, func(tx *store.Tx) error {
		links, err := s.plant.outbox.Links(ctx, tx)
		for _, l := range links {
			owed, parked, delivered = owed+l.Owed, parked+l.Parked, delivered+l.Delivered
		}
		return err
	})
	return owed, parked, delivered, err
}

// compare fills in the report from the plant's database and the ERP's journal.
func (s *stage) compare(ctx context.Context, r *demoReport, down, up time.Time) error {
	list, err := s.messages(ctx)
	if err != nil {
		return err
	}
	rows, ours := make([]tally.Message, 0, len(list)), 0
	for _, d := range list {
		rows = append(rows, tally.Message{ID: d.ID, Kind: d.Kind, Lane: d.Lane, Number: d.Number, Settled: d.Settled, Void: d.Role == message.Void})
		if !d.CreatedAt.Before(s.began) {
			ours++
		}
		if !d.CreatedAt.Before(down) && d.CreatedAt.Before(up) {
			r.MadeWhileDown++
		}
	}
	c := s.floor.Counts()
	r.Seed, r.Orders, r.OwnOrders, r.Confirmations, r.Movements = s.flags.seed, c.Orders, c.Own, c.Confirmations, c.Movements
	r.Lots, r.Inspections = c.Lots, c.Inspections
	r.Result = tally.Compare(rows, s.floor.Promised(), s.effects(list))
	r.Earlier = len(list) - ours
	s.signatures(r, list)
	r.Share = number(100 * r.MadeWhileDown / max(1, ours))
	if s.mq != nil {
		r.Link, r.Restarts = s.flags.link, s.mq.restarts
	}
	if s.sap != nil {
		r.ERP, r.sapTrouble = s.flags.erp, s.sap.trouble()
	}
	r.done = true
	return s.vault.report(ctx, s, r, down, up)
}

// effects are those of the ERP's journal.
func (s *stage) effects(list []outbox.Detail) []erpmock.Effect {
	if s.sap != nil {
		return s.sap.effects(list)
	}
	return s.mock.Effects()
}

// watch tells the state of the run, four times a second, until the function that it returns is called.
func (s *stage) watch(ctx context.Context, say *teller) (stop func()) {
	if !say.live {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		for sleep(ctx, 250*time.Millisecond) == nil {
			if owed, _, delivered, err := s.owed(ctx); err == nil {
				link := "link up  "
				if s.isCut() {
					link = "link DOWN"
				}
				c := s.floor.Counts()
				say.status(fmt.Sprintf("%s  %d orders, %d confirmations, %d movements  |  delivered %d, queued %d %s", link, c.Orders, c.Confirmations, c.Movements, delivered, owed, strings.Repeat("#", int(min(owed/10, 30)))))
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

// until asks again and again until something is so.
func until(ctx context.Context, most time.Duration, what string, so func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, most, fmt.Errorf("waited %s in vain until %s", most, what))
	defer cancel()
	for {
		ok, err := so()
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case err != nil:
			return err
		case ok:
			return nil
		}
		if err := sleep(ctx, 50*time.Millisecond); err != nil {
			return context.Cause(ctx)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}
