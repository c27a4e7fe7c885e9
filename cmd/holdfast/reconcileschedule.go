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
	Every       time.Duration `yaml:"every"`        // between two comparisons of a link; 0: never by the clock
	AfterOutage bool          `yaml:"after_outage"` // whenever a link is back
	Back        time.Duration `yaml:"back"`         // how far before the outage, or the present, it looks; default 24 h
}

func (c Config) checkReconcile(k *checker) {
	for name, d := range map[string]time.Duration{"every": c.Reconcile.Every, "back": c.Reconcile.Back} {
		if d < 0 {
			k.wrong("reconcile."+name, "it is negative", "write 24h, or leave it out")
		}
	}
}

// reconciler compares by the clock and after outages. It asks each ERP for every message of the time, a few at once, and changes nothing: what
// differs is in the audit record, and on the page Reconcile. Of several nodes each does so, unless another has just done it.
type reconciler struct {
	r     *records
	check sendable
	cfg   ReconcileConfig
	node  string
	links []string
	log   *slog.Logger
	down  map[string]time.Time // links that were seen down, since when; Run's alone
	tried map[string]time.Time // when a comparison failed last; Run's alone
}

func (p *process) reconciler() *reconciler {
	r := &records{cfg: p.cfg, db: p.db, out: p.outbox, in: p.inbox, doer: p.doer, jobs: p.jobs, plant: p.plant, tokens: p.tokens}
	return &reconciler{
		r: r, check: sendable{p.outbox, p.cfg.mapper(p.live, p.tokens, p.db), p.links, p.live}, cfg: p.cfg.Reconcile, node: "node:" + p.cfg.node(),
		links: slices.Sorted(maps.Keys(p.cfg.Links)), log: p.log.With("part", "reconcile"), down: map[string]time.Time{}, tried: map[string]time.Time{},
	}
}

// Run compares whenever it is time, until ctx ends. What cannot be compared, since the ERP is away, is tried again when it is due.
func (s *reconciler) Run(ctx context.Context) error {
	if s.cfg.Every == 0 && !s.cfg.AfterOutage {
		return nil
	}
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
		s.tried[link] = now
		if err := s.compare(ctx, link, window{from: from.Add(-cmp.Or(s.cfg.Back, 24*time.Hour)), to: now}); err != nil {
			errs = append(errs, err)
			continue
		}
		delete(s.down, link)
		delete(s.tried, link)
	}
	return errors.Join(errs...)
}

// tryReconcile is how long after a comparison that failed the next one begins.
const tryReconcile = 5 * time.Minute

// due tells whether a link is to be compared now, and from before which time on.
func (s *reconciler) due(link string, up map[string]time.Time, last, now time.Time) (from time.Time, due bool) {
	since, was := s.down[link]
	back, isUp := up[link]
	if was && isUp && (!s.cfg.AfterOutage || last.After(back)) {
		delete(s.down, link) // another node has compared since, or nobody asks for it
		was = false
	}
	if !was && s.cfg.AfterOutage && last.Before(back) { // it came back before this process began, and nobody has compared since
		since, was = last, true
		if last.IsZero() {
			since = back
		}
	}
	switch {
	case !isUp || now.Sub(s.tried[link]) < tryReconcile:
		return now, false
	case was:
		return since, true
	default:
		return now, s.cfg.Every > 0 && now.Sub(last) >= s.cfg.Every
	}
}

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
