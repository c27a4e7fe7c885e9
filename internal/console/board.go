package console

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// mostPoints is how many points the charts have at most.
const mostPoints = 720

// kept is a figure that costs more than a page may. It is counted again when it is asked for and is older than ten times what counting
// it took, a second at least: by Run, while the one before is shown, or by whoever asks if Run does not or that one is too old.
type kept[T any] struct {
	count func(ctx context.Context) (T, error)
	ask   func() bool // has Run count it again; false if there is no Run

	counting sync.Mutex // held by who counts
	mu       sync.Mutex
	value    T         // guarded by mu
	at       time.Time // when it was counted; guarded by mu
	seen     time.Time // when somebody last asked for it; guarded by mu
	took     time.Duration
}

// get is the figure and from when it is.
func (k *kept[T]) get(ctx context.Context) (T, time.Time, error) {
	k.mu.Lock()
	k.seen = time.Now()
	k.mu.Unlock()
	if v, at, ok := k.fresh(freshFor); ok {
		return v, at, nil
	}
	if v, at, ok := k.fresh(shownFor); ok && k.ask() {
		return v, at, nil
	}
	return k.again(ctx)
}

// again counts the figure, unless somebody has just done so.
func (k *kept[T]) again(ctx context.Context) (T, time.Time, error) {
	k.counting.Lock()
	defer k.counting.Unlock()
	if v, at, ok := k.fresh(freshFor); ok {
		return v, at, nil
	}
	began := time.Now()
	v, err := k.count(ctx)
	if err != nil {
		return v, time.Time{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.value, k.at, k.took = v, began, time.Since(began)
	return v, began, nil
}

// freshFor is for how long a figure is not counted again that took so long to count.
func freshFor(took time.Duration) time.Duration { return max(time.Second, 10*took) }

// shownFor is for how long it is shown while it is counted again.
func shownFor(took time.Duration) time.Duration { return max(30*time.Second, 40*took) }

func (k *kept[T]) fresh(lasts func(took time.Duration) time.Duration) (v T, at time.Time, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.value, k.at, !k.at.IsZero() && time.Since(k.at) < lasts(k.took)
}

// lookedAt is for how long a figure that somebody has asked for is kept fresh.
const lookedAt = 5 * time.Minute

// refresh counts the figure again if it is not fresh, and somebody has asked for it of late.
func (k *kept[T]) refresh(ctx context.Context) error {
	k.mu.Lock()
	wanted := !k.at.IsZero() && time.Since(k.seen) < lookedAt
	k.mu.Unlock()
	if !wanted {
		return nil
	}
	_, _, err := k.again(ctx)
	return err
}

// forget has the figure counted again by whoever asks next: somebody has just changed it.
func (k *kept[T]) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at = time.Time{}
}

// board has the figures of the overview.
type board struct {
	c      *Console
	links  kept[[]outbox.Link]
	inbox  kept[inbox.Status]
	kinds  kept[[]outbox.Tally]
	groups kept[[]outbox.Group]
	orders kept[Work]
	copies kept[copies]
	takes  kept[Outlook] // see Foretell

	running atomic.Bool   // somebody is in Run
	wanted  chan struct{} // holds one while a figure is to be counted again

	mu     sync.Mutex
	points []point // oldest first; guarded by mu
}

// Work is what the ERP has released and the plant has not finished.
type Work struct {
	Orders int       `json:"orders"`
	More   bool      `json:"more,omitempty"` // there are more than were counted
	Until  time.Time `json:"until,omitzero"` // planned end of the last of them; zero if there is none
	Late   int       `json:"late,omitempty"` // whose planned end has passed
}

// WorkLeft counts the first 500 orders that are released and not finished.
func WorkLeft(ctx context.Context, tx *store.Tx, plant *mes.Plant) (v Work, err error) {
	f := mes.OrderFilter{Status: []mes.Status{mes.Released, mes.Started, mes.PartlyConfirmed}}
	list, err := plant.Orders(ctx, tx, f, mes.Page{Limit: 500})
	for _, o := range list.Items {
		if o.End.After(v.Until) {
			v.Until = o.End
		}
		if o.End.Before(tx.Now) {
			v.Late++
		}
	}
	v.Orders, v.More = len(list.Items), list.Next != ""
	return v, err
}

func newBoard(c *Console) *board {
	b := &board{c: c, wanted: make(chan struct{}, 1)}
	b.links.ask, b.inbox.ask, b.kinds.ask, b.groups.ask, b.orders.ask, b.copies.ask, b.takes.ask = b.ask, b.ask, b.ask, b.ask, b.ask, b.ask, b.ask
	b.links.count = func(ctx context.Context) (v []outbox.Link, err error) {
		err = c.view(ctx, func(tx *store.Tx) (err error) { v, err = c.Outbox.Links(ctx, tx); return err })
		return v, err
	}
	b.inbox.count = func(ctx context.Context) (v inbox.Status, err error) {
		err = c.view(ctx, func(tx *store.Tx) (err error) { v, err = c.Inbox.Status(ctx, tx); return err })
		return v, err
	}
	b.kinds.count = func(ctx context.Context) (v []outbox.Tally, err error) {
		err = c.view(ctx, func(tx *store.Tx) (err error) { v, err = c.Outbox.Kinds(ctx, tx); return err })
		return v, err
	}
	b.groups.count = func(ctx context.Context) (v []outbox.Group, err error) {
		err = c.view(ctx, func(tx *store.Tx) (err error) { v, err = c.Outbox.Groups(ctx, tx); return err })
		return v, err
	}
	b.takes.count = func(ctx context.Context) (v Outlook, err error) {
		err = c.view(ctx, func(tx *store.Tx) error {
			links, err := c.Outbox.Links(ctx, tx)
			if err == nil {
				v, err = Foretell(ctx, tx, links)
			}
			return err
		})
		return v, err
	}
	b.orders.count, b.copies.count = b.countOrders, b.countCopies
	return b
}

// view reads the database.
func (c *Console) view(ctx context.Context, fn func(tx *store.Tx) error) error {
	return c.DB.View(ctx, fn)
}

func (b *board) countOrders(ctx context.Context) (v Work, err error) {
	err = b.c.view(ctx, func(tx *store.Tx) (err error) { v, err = WorkLeft(ctx, tx, b.c.Plant); return err })
	return v, err
}

// ask has Run count again what is not fresh, and tells whether there is a Run.
func (b *board) ask() bool {
	select {
	case b.wanted <- struct{}{}:
	default: // it is to do so already
	}
	return b.running.Load()
}

// refresh counts again what somebody has looked at and is not fresh.
func (b *board) refresh(ctx context.Context) error {
	for _, again := range []func(context.Context) error{b.links.refresh, b.inbox.refresh, b.kinds.refresh, b.groups.refresh, b.orders.refresh, b.copies.refresh, b.takes.refresh} {
		if err := again(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Run adds a point to the charts every so often, and counts figures again that pages want, until ctx ends. What cannot be measured is a gap in the
// charts.
func (b *board) Run(ctx context.Context) error {
	b.running.Store(true)
	defer b.running.Store(false)
	every := time.NewTicker(b.c.cfg.Every)
	defer every.Stop()
	if err := b.recall(ctx); err != nil {
		b.c.log.WarnContext(ctx, "the charts begin anew", "err", err)
	}
	do := b.measure
	for {
		if err := errors.Join(do(ctx), b.refresh(ctx)); err != nil && ctx.Err() == nil {
			b.c.log.WarnContext(ctx, "the figures of the console cannot be measured", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			do = b.measure
		case <-b.wanted:
			do = func(context.Context) error { return nil }
		}
	}
}

// recall has the charts go on from the points that were kept.
func (b *board) recall(ctx context.Context) error {
	var o Outlook
	err := b.c.view(ctx, func(tx *store.Tx) (err error) { o, err = ReadOutlook(ctx, tx); return err })
	b.mu.Lock()
	defer b.mu.Unlock()
	b.points = append(o.points, b.points...)
	return err
}

func (b *board) measure(ctx context.Context) error {
	links, at, err := b.links.again(ctx)
	if err != nil {
		return err
	}
	p := point{at: at, Links: map[string]counters{}}
	for _, l := range links {
		p.Links[l.Name] = counters{l.Owed, l.Delivered}
		if l.Breaker == "closed" && l.ChangedAt.After(p.since) && l.ChangedAt.Before(at) {
			p.since = l.ChangedAt
		}
	}
	err = b.c.view(ctx, func(tx *store.Tx) (err error) { p.In, err = b.c.Inbox.Taken(ctx, tx); return err })
	if err != nil {
		return err
	}
	var s Space
	if b.c.cfg.Space != nil {
		if s, err = b.c.cfg.Space(ctx); err != nil {
			return err
		}
	}
	p.Used = s.Used
	if !b.add(p) {
		return nil
	}
	return b.c.DB.InTx(ctx, func(tx *store.Tx) error { return p.keep(ctx, tx) })
}

// add adds a point to the charts, unless nobody has counted since the one before.
func (b *board) add(p point) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.points); n > 0 && !b.points[n-1].at.Before(p.at) {
		return false
	}
	if b.points = append(b.points, p); len(b.points) > mostPoints {
		b.points = b.points[1:]
	}
	return true
}

// history is what the charts show.
func (b *board) history() Outlook {
	b.mu.Lock()
	defer b.mu.Unlock()
	return Outlook{slices.Clone(b.points)}
}

// forget has everything counted again that an act may have changed.
func (b *board) forget() {
	b.links.forget()
	b.inbox.forget()
	b.groups.forget()
}
