package console

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// point is one point of the charts.
type point struct {
	at    time.Time
	since time.Time           // when a link last came back or was let go on
	Links map[string]counters `json:"links"`
	In    int64               `json:"in"`   // messages taken in since the database was made
	Used  int64               `json:"used"` // bytes of the store
}

// counters are those of one link.
type counters struct {
	Queued    int64 `json:"queued"`
	Delivered int64 `json:"delivered"`
}

// Outlook foretells from the points of the charts how long things take.
type Outlook struct{ points []point } // oldest first

const (
	// keptEvery is how far apart points are kept in the database, at least, and keptFor for how long.
	keptEvery = 50 * time.Second
	keptFor   = time.Hour
	// recently is over how long the pace of now is measured, and lately over how long what comes is: it comes in bursts, such as at the end of
	// a shift's orders.
	recently = time.Minute
	lately   = 10 * time.Minute
)

// ReadOutlook reads the points that the process kept which serves the console.
func ReadOutlook(ctx context.Context, tx *store.Tx) (Outlook, error) {
	var rows []struct {
		At    int64
		Point string
	}
	err := tx.Select(ctx, &rows, "SELECT at, point FROM console_points WHERE at BETWEEN ? AND ? ORDER BY at", store.Micros(tx.Now.Add(-keptFor)), store.Micros(tx.Now))
	if err != nil {
		return Outlook{}, fmt.Errorf("read the points of the charts: %w", err)
	}
	var o Outlook
	for _, r := range rows {
		p := point{at: store.FromMicros(r.At)}
		if err := json.Unmarshal([]byte(r.Point), &p); err != nil {
			return Outlook{}, fmt.Errorf("read the point of the charts of %s: %w", p.at, err)
		}
		o.points = append(o.points, p)
	}
	return o, nil
}

// Foretell are the points that are kept and one of now: what every forecast goes by, of the console and of commands, so that all say the same.
func Foretell(ctx context.Context, tx *store.Tx, links []outbox.Link) (Outlook, error) {
	o, err := ReadOutlook(ctx, tx)
	if err != nil {
		return o, err
	}
	now := point{at: tx.Now, Links: map[string]counters{}}
	if n := len(o.points); n > 0 {
		now.In, now.Used = o.points[n-1].In, o.points[n-1].Used
		if !o.points[n-1].at.Before(now.at) {
			return o, nil
		}
	}
	for _, l := range links {
		now.Links[l.Name] = counters{l.Owed, l.Delivered}
	}
	o.points = append(o.points, now)
	return o, nil
}

// keep has p in the database, unless a node has kept one just before: forecasts begin at the first one after a link came back. What a clock kept that
// was ahead is not believed.
func (p point) keep(ctx context.Context, tx *store.Tx) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, "DELETE FROM console_points WHERE at < ? OR at > ?", store.Micros(p.at.Add(-keptFor)), store.Micros(p.at.Add(recently)))
	if err == nil {
		_, err = tx.Exec(ctx, `INSERT INTO console_points (at, point) SELECT CAST(? AS BIGINT), CAST(? AS TEXT) WHERE NOT EXISTS (SELECT 1 FROM console_points WHERE at > ?)
			ON CONFLICT (at) DO NOTHING`, store.Micros(p.at), string(text), store.Micros(p.lastKept()))
	}
	if err != nil {
		return fmt.Errorf("keep a point of the charts: %w", err)
	}
	return nil
}

// lastKept is since when there must be none for p to be kept.
func (p point) lastKept() time.Time {
	if from := p.at.Add(-keptEvery); p.since.Before(from) {
		return from
	}
	return p.since
}

// Growth is by how many bytes a second the store has grown over the points, 0 if it has not or if they are too short to tell.
func (o Outlook) Growth() float64 {
	if len(o.points) < 2 {
		return 0
	}
	first, last := o.points[0], o.points[len(o.points)-1]
	span := last.at.Sub(first.at).Seconds()
	if span < 30 {
		return 0
	}
	return max(0, float64(last.Used-first.Used)/span)
}

// Lasts is for how long the store lasts at its growth; 0 where it does not grow, or nobody knows.
func (o Outlook) Lasts(free int64) time.Duration {
	g := o.Growth()
	if g < 1 || free <= 0 {
		return 0
	}
	return time.Duration(min(float64(free)/g, 1e9)) * time.Second
}

// pace is how many messages a second went over a link in the last minute, and the best of any minute in which as many were queued as went: with
// fewer, the pace is the plant's and not the link's.
func (o Outlook) pace(link string) (now, best float64) {
	for i, from := 0, 0; i < len(o.points); i++ {
		for from < i && o.points[i].at.Sub(o.points[from].at) > recently {
			from++
		}
		a, b := o.points[from], o.points[i]
		span := b.at.Sub(a.at).Seconds()
		if span < 1 {
			continue
		}
		went := b.Links[link].Delivered - a.Links[link].Delivered
		now = max(0, float64(went)/span)
		if a.Links[link].Queued >= went {
			best = max(best, now)
		}
	}
	return now, best
}

// comes is how many messages a second were queued for a link of late.
func (o Outlook) comes(link string) float64 {
	if len(o.points) == 0 {
		return 0
	}
	last := o.points[len(o.points)-1]
	i := slices.IndexFunc(o.points, func(p point) bool { _, known := p.Links[link]; return known && last.at.Sub(p.at) <= lately })
	if i < 0 {
		return 0
	}
	first := o.points[i]
	a, b := first.Links[link], last.Links[link]
	return perSecond(b.Queued+b.Delivered-a.Queued-a.Delivered, last.at.Sub(first.at))
}

// since are the points from a time on.
func (o Outlook) since(at time.Time) Outlook {
	i := slices.IndexFunc(o.points, func(p point) bool { return !p.at.Before(at) })
	if i < 0 {
		return Outlook{}
	}
	return Outlook{o.points[i:]}
}

// Drain is how long what is queued for l and waits for no person takes, once l is up, while more comes as of late, and how that was reckoned. With limit, messages a second
// at most, it goes no faster; 0 is no limit. Where it is 0, either nothing is known (no words), or as much comes as goes.
func (o Outlook) Drain(l outbox.Link, limit int) (takes time.Duration, how string) {
	goes := l.Owed - l.Standing
	if goes <= 0 {
		return 0, ""
	}
	_, by := o.pace(l.Name)
	how = "at the best pace since the charts began"
	if now, best := o.since(l.ChangedAt).pace(l.Name); best > 0 && now > 0 && l.Breaker == "closed" && !l.Paused {
		by, how = now, "at the pace of the last minute"
	}
	if limit > 0 && (by == 0 || by > float64(limit)) {
		by, how = float64(limit), fmt.Sprintf("at its limit of %d a second", limit)
	}
	if by == 0 {
		return 0, ""
	}
	comes := o.comes(l.Name)
	if comes >= 0.05 {
		how += fmt.Sprintf(", while %.1f a second come", comes)
	}
	if by <= comes {
		return 0, how
	}
	return max(time.Second, time.Duration(float64(goes)/(by-comes)*float64(time.Second))), how
}

// names are the links of the charts.
func (o Outlook) names() []string {
	all := map[string]bool{}
	for _, p := range o.points {
		for name := range p.Links {
			all[name] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}
