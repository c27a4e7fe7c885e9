package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// ReconcileConfig says when the plant holds what it has reported against what the ERPs have, by itself.
type ReconcileConfig struct {
	At          string        `yaml:"at"`           // the time of day in the plant's zone at which each link is compared, or "never"; default 02:30
	Every       time.Duration `yaml:"every"`        // between two comparisons of a link, instead of At
	AfterOutage *bool         `yaml:"after_outage"` // whenever a link is back; default true
	Back        time.Duration `yaml:"back"`         // how far before the outage, or the present, it looks; default 24 h
}

// atNight is when each link is compared where nobody says otherwise; neverAt that it is not by the clock.
const (
	atNight = "02:30"
	neverAt = "never"
)

func (c ReconcileConfig) afterOutage() bool { return c.AfterOutage == nil || *c.AfterOutage }

// byClock tells whether links are compared by the clock.
func (c ReconcileConfig) byClock() bool { return c.Every > 0 || c.At != neverAt }

// lastAt is when it was time last in a zone, at or before now; the zero time where it never is.
func (c ReconcileConfig) lastAt(now time.Time, zone *time.Location) time.Time {
	at, err := time.Parse("15:04", cmp.Or(c.At, atNight))
	if err != nil { // never; all else was refused when the configuration was read
		return time.Time{}
	}
	day := now.In(zone)
	for back := 0; ; back++ { // an hour that a day leaves out or has twice comes as time.Date has it
		if t := time.Date(day.Year(), day.Month(), day.Day()-back, at.Hour(), at.Minute(), 0, 0, zone); !t.After(now) {
			return t
		}
	}
}

func (c Config) checkReconcile(k *checker) {
	for name, d := range map[string]time.Duration{"every": c.Reconcile.Every, "back": c.Reconcile.Back} {
		if d < 0 {
			k.wrong("reconcile."+name, "it is negative", "write 24h, or leave it out")
		}
	}
	if _, err := time.Parse("15:04", c.Reconcile.At); err != nil && c.Reconcile.At != "" && c.Reconcile.At != neverAt {
		k.wrong("reconcile.at", "it is no time of day", `write it as "02:30", in the plant's zone, or never`)
	}
	if c.Reconcile.At != "" && c.Reconcile.Every > 0 {
		k.wrong("reconcile.at", "every says when already", "write one of them")
	}
}

// reconciler compares by the clock and after outages. It asks each ERP for every message of the time, a few at once, and changes nothing: what
// differs is in the audit record, and on the page Reconcile. Of several nodes the one whose turn it is does so. A link that cannot be asked is left out.
type reconciler struct {
	r     *records
	check sendable
	cfg   ReconcileConfig
	node  string
	links []string
	zone  *time.Location
	turn  *store.Turn // nil: there is but one node
	began time.Time   // from then on it is looked for what a link that was never compared missed
	log   *slog.Logger
	down  map[string]time.Time // links that were seen down, since when; Run's alone
	tried map[string]time.Time // when a comparison failed last; Run's alone
}

func (p *process) reconciler() *reconciler {
	r := &records{cfg: p.cfg, db: p.db, out: p.outbox, in: p.inbox, doer: p.doer, jobs: p.jobs, plant: p.plant, tokens: p.tokens}
	links := slices.DeleteFunc(slices.Sorted(maps.Keys(p.cfg.Links)), func(name string) bool { _, _, asks := p.cfg.Links[name].patience(); return !asks })
	return &reconciler{
		r: r, check: sendable{p.outbox, p.cfg.mapper(p.live, p.tokens, p.db), p.links, p.live}, cfg: p.cfg.Reconcile, node: "node:" + p.cfg.node(),
		links: links, zone: p.cfg.zone(), turn: p.db.Turn("reconcile"), began: p.db.Now(), log: p.log.With("part", "reconcile"), down: map[string]time.Time{}, tried: map[string]time.Time{},
	}
}

// Run compares whenever it is time, until ctx ends. What cannot be compared, since the ERP is away, is tried again when it is due.
func (s *reconciler) Run(ctx context.Context) error {
	if len(s.links) == 0 || !s.cfg.byClock() && !s.cfg.afterOutage() {
		return nil
	}
	defer func() { _ = s.turn.Close() }() // if it is not heard, the end of the session is
	look := time.NewTicker(min(10*time.Second, cmp.Or(s.cfg.Every, 10*time.Second)))
	defer look.Stop()
	for {
		if err := s.step(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "plant and ERP cannot be compared", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}

// step compares each link for which it is time.
func (s *reconciler) step(ctx context.Context) error {
	var breakers []outbox.Link
	last := map[string]time.Time{}
	err := s.r.db.View(ctx, func(tx *store.Tx) (err error) {
		if breakers, err = s.r.out.Breakers(ctx, tx); err != nil {
			return err
		}
		for _, link := range s.links {
			list, err := audit.List(ctx, tx, audit.Filter{Action: access.ReconcileRun, Object: "link/" + link, Limit: 1})
			if err != nil {
				return err
			}
			if len(list) > 0 {
				last[link] = list[0].At
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	now, up := s.r.db.Now(), s.seen(breakers)
	var errs []error
	for _, link := range s.links {
		from, due := s.due(link, up, last[link], now)
		if !due {
			continue
		}
		if mine, err := s.mine(ctx); !mine {
			return err // the node whose turn it is compares, and this one sees it in the record
		}
		s.tried[link] = now
		if err := s.compare(ctx, link, window{from: from.Add(-s.cfg.back()), to: now}); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(s.down, link)
		delete(s.tried, link)
	}
	return errors.Join(errs...)
}

// mine tells whether of the plant's nodes it is this one that compares.
func (s *reconciler) mine(ctx context.Context) (bool, error) {
	if s.turn == nil {
		return true, nil
	}
	return s.turn.Mine(ctx)
}

// tryReconcile is how long after a comparison that failed the next one begins.
const tryReconcile = 5 * time.Minute

// due tells whether a link is to be compared now, and from before which time on.
func (s *reconciler) due(link string, up map[string]time.Time, last, now time.Time) (from time.Time, due bool) {
	since, was := s.down[link]
	back, isUp := up[link]
	if was && isUp && (!s.cfg.afterOutage() || last.After(back)) {
		delete(s.down, link) // another node has compared since, or nobody asks for it
		was = false
	}
	if !was && s.cfg.afterOutage() && last.Before(back) { // it came back before this process began, and nobody has compared since
		since, was = last, true
		if last.IsZero() { // what a plant did before it was ever compared is not asked for at its first start: a time of messages, one by one
			since, was = back, !back.Before(s.began)
		}
	}
	switch {
	case !isUp || now.Sub(s.tried[link]) < tryReconcile:
		return now, false
	case was:
		return since, true
	case s.cfg.Every > 0:
		return now, now.Sub(last) >= s.cfg.Every
	case last.IsZero(): // a plant that has just begun has nothing to compare yet
		last = s.began
	}
	if !last.Before(s.cfg.lastAt(now, s.zone)) {
		return now, false
	}
	if until := last.Add(s.cfg.back()); until.Before(now) { // a night was missed: from the last comparison on
		return until, true
	}
	return now, true
}

// back is how long before its occasion a comparison begins.
func (c ReconcileConfig) back() time.Duration { return cmp.Or(c.Back, 24*time.Hour) }

// seen keeps which links are down, and gives those that are up, with when they came back.
func (s *reconciler) seen(breakers []outbox.Link) map[string]time.Time {
	up := map[string]time.Time{}
	for _, link := range s.links {
		up[link] = time.Time{}
	}
	for _, l := range breakers {
		if _, ours := up[l.Name]; !ours {
			continue
		}
		if l.Paused { // a person wants nothing to go there, and no question either
			delete(up, l.Name)
			continue
		}
		if up[l.Name] = l.ChangedAt; l.Breaker == "closed" {
			continue
		}
		delete(up, l.Name)
		if _, known := s.down[l.Name]; !known {
			s.down[l.Name] = l.ChangedAt
		}
	}
	return up
}

func (s *reconciler) compare(ctx context.Context, link string, w window) error {
	c, err := s.r.compare(ctx, io.Discard, s.check, link, w)
	if err != nil {
		return fmt.Errorf("compare what link %s has: %w", link, err)
	}
	after, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write what was compared: %w", err)
	}
	if len(c.Differences) > 0 {
		s.log.WarnContext(ctx, "plant and ERP differ: see the page Reconcile", "link", link, "differences", len(c.Differences)+c.More)
	}
	return s.r.db.InTx(ctx, func(tx *store.Tx) error {
		return audit.Append(ctx, tx, audit.Entry{Actor: s.node, Action: access.ReconcileRun, Object: "link/" + link, After: after})
	})
}
