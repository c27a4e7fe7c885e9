package console

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// mostPoints is how many points the charts have at most.
const mostPoints = 720

// kept is a figure that costs more than a page may. It is counted again when it is asked for and is older than ten times what counting
// it took, a second at least. Whoever asks while somebody counts gets the one before, if there is one.
type kept[T any] struct {
	count func(ctx context.Context) (T, error)

	counting sync.Mutex // held by who counts
	mu       sync.Mutex
	value    T         // guarded by mu
	at       time.Time // when it was counted; guarded by mu
	took     time.Duration
}

// get is the figure and from when it is.
func (k *kept[T]) get(ctx context.Context) (T, time.Time, error) {
	if v, at, ok := k.fresh(); ok || !at.IsZero() && !k.counting.TryLock() {
		return v, at, nil
	} else if at.IsZero() {
		k.counting.Lock()
	}
	defer k.counting.Unlock()
	if v, at, ok := k.fresh(); ok {
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

func (k *kept[T]) fresh() (v T, at time.Time, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.value, k.at, !k.at.IsZero() && time.Since(k.at) < max(time.Second, 10*k.took)
}

// forget has the figure counted again by whoever asks next: somebody has just changed it.
func (k *kept[T]) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.at = time.Time{}
}

// point is one point of the charts.
type point struct {
	at    time.Time
	links map[string]counters
	in    int64 // messages taken in since the database was made
	used  int64 // bytes of the store
}

// counters are those of one link.
type counters struct{ queued, delivered int64 }

// board has the figures of the overview.
type board struct {
	c      *Console
	links  kept[[]outbox.Link]
	inbox  kept[inbox.Status]
	kinds  kept[[]outbox.Tally]
	groups kept[[]outbox.Group]
	orders kept[released]

	mu     sync.Mutex
	points []point // oldest first; guarded by mu
}

// released is the work that the ERP has released and the plant has not finished.
type released struct {
	Orders int
	More   bool      // there are more than were counted
	Until  time.Time // planned end of the last of them; zero if there is none
	Late   int       // whose planned end has passed
}

func newBoard(c *Console) *board {
	b := &board{c: c}
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
	b.orders.count = b.countOrders
	return b
}

// view reads the database.
func (c *Console) view(ctx context.Context, fn func(tx *store.Tx) error) error {
	return c.DB.View(ctx, fn)
}

func (b *board) countOrders(ctx context.Context) (v released, err error) {
	var list mes.List[mes.Order]
	f := mes.OrderFilter{Status: []mes.Status{mes.Released, mes.Started, mes.PartlyConfirmed}}
	err = b.c.view(ctx, func(tx *store.Tx) (err error) {
		list, err = b.c.Plant.Orders(ctx, tx, f, mes.Page{Limit: 500})
		return err
	})
	now := b.c.DB.Now()
	for _, o := range list.Items {
		if o.End.After(v.Until) {
			v.Until = o.End
		}
		if o.End.Before(now) {
			v.Late++
		}
	}
	v.Orders, v.More = len(list.Items), list.Next != ""
	return v, err
}

// Run adds a point to the charts every so often until ctx ends. What cannot be measured is a gap in the charts.
func (b *board) Run(ctx context.Context) error {
	every := time.NewTicker(b.c.cfg.Every)
	defer every.Stop()
	for {
		if err := b.measure(ctx); err != nil && ctx.Err() == nil {
			b.c.log.WarnContext(ctx, "the figures of the console cannot be measured", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
		}
	}
}

func (b *board) measure(ctx context.Context) error {
	links, at, err := b.links.get(ctx)
	if err != nil {
		return err
	}
	p := point{at: at, links: map[string]counters{}}
	for _, l := range links {
		p.links[l.Name] = counters{l.Owed, l.Delivered}
	}
	err = b.c.view(ctx, func(tx *store.Tx) (err error) { p.in, err = b.c.Inbox.Taken(ctx, tx); return err })
	if err != nil {
		return err
	}
	var s Space
	if b.c.cfg.Space != nil {
		if s, err = b.c.cfg.Space(ctx); err != nil {
			return err
		}
	}
	p.used = s.Used
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.points); n > 0 && !b.points[n-1].at.Before(at) {
		return nil // nobody has counted since
	}
	if b.points = append(b.points, p); len(b.points) > mostPoints {
		b.points = b.points[1:]
	}
	return nil
}

// history are the points that there are.
func (b *board) history() []point {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.points)
}

// rate is how many messages a second went over a link in the last minute, and the best of any minute in the charts.
func rate(points []point, link string) (now, best float64) {
	const minute = time.Minute
	for i, from := 0, 0; i < len(points); i++ {
		for from < i && points[i].at.Sub(points[from].at) > minute {
			from++
		}
		span := points[i].at.Sub(points[from].at).Seconds()
		if span < 1 {
			continue
		}
		now = float64(points[i].links[link].delivered-points[from].links[link].delivered) / span
		best = max(best, now)
	}
	return now, best
}

// growth is by how many bytes a second the store has grown over the charts, 0 if it has not or if they are too short to tell.
func growth(points []point) float64 {
	if len(points) < 2 {
		return 0
	}
	first, last := points[0], points[len(points)-1]
	span := last.at.Sub(first.at).Seconds()
	if span < 30 {
		return 0
	}
	return max(0, float64(last.used-first.used)/span)
}

// names are the links of the charts.
func names(points []point) []string {
	all := map[string]bool{}
	for _, p := range points {
		for name := range p.links {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// forget has everything counted again that an act may have changed.
func (b *board) forget() {
	b.links.forget()
	b.inbox.forget()
	b.groups.forget()
}
