package console

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/inbox"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// linkViews joins what the store knows of links with those of the configuration, of which some may never have been used.
func (c *Console) linkViews(r *http.Request) ([]linkView, error) {
	all, _, err := c.board.links.get(r.Context())
	if err != nil {
		return nil, err
	}
	in, _, err := c.board.inbox.get(r.Context())
	if err != nil {
		return nil, err
	}
	foretold, _, err := c.board.takes.get(r.Context())
	if err != nil {
		return nil, err
	}
	o := c.board.history()
	var out []linkView
	for _, k := range c.cfg.Links {
		i := slices.IndexFunc(all, func(l outbox.Link) bool { return l.Name == k.Name })
		v := linkView{Link: outbox.Link{Name: k.Name}, Kind: k.Kind, Rate: k.Rate, together: k.Together}
		if i >= 0 {
			v.Link = all[i]
		}
		out = append(out, v)
	}
	for _, l := range all {
		if !slices.ContainsFunc(c.cfg.Links, func(k Link) bool { return k.Name == l.Name }) {
			out = append(out, linkView{Link: l, State: "removed", Tone: "critical", Why: "it is not in the configuration any more, so nothing is sent over it"})
		}
	}
	slices.SortFunc(out, func(a, b linkView) int { return cmp.Compare(a.Name, b.Name) })
	for i := range out {
		out[i].fill(o, foretold, in.Feeds, c.DB.Now())
	}
	return out, nil
}

// fill says how a link is and how long its queue takes.
func (v *linkView) fill(o, foretold Outlook, feeds []inbox.FeedStatus, now time.Time) {
	v.Since = v.ChangedAt
	if v.State != "removed" {
		v.State, v.Why, v.Since = Stand(v.Link, feeds)
		v.Tone = map[string]string{Up: "positive", Degraded: "critical", Down: "negative", Paused: "critical"}[v.State]
	}
	if !v.OldestAt.IsZero() {
		v.OldFor = now.Sub(v.OldestAt)
	}
	recent, _ := o.pace(v.Name)
	v.Now = fmt.Sprintf("%.1f/s", recent)
	if v.Link.Rate > 0 {
		v.Rate, v.Asked = v.Link.Rate, true
	}
	v.Takes, v.DrainBy = foretold.Drain(v.Link, v.Rate*max(1, v.together))
}

// links answers GET /console/links.
func (c *Console) links(r *http.Request) (*page, error) {
	v, err := c.linkViews(r)
	if err == nil {
		err = c.view(r.Context(), func(tx *store.Tx) error { return pausers(r.Context(), tx, v) })
	}
	return &page{name: "links", Title: "Links", Section: "Links", Live: true, Body: v}, err
}

// pausers fills in who has paused each link that is.
func pausers(ctx context.Context, tx *store.Tx, links []linkView) error {
	for i := range links {
		if !links[i].Paused {
			continue
		}
		list, err := audit.List(ctx, tx, audit.Filter{Object: "link/" + links[i].Name, Action: access.LinkPause, Outcome: audit.Done, Limit: 1})
		if err != nil {
			return err
		}
		for _, e := range list {
			links[i].By = e.Actor
		}
	}
	return nil
}

// actOnLink answers POST /console/links/{link}/{act}.
func (c *Console) actOnLink(r *http.Request) (*page, error) {
	name := r.PathValue("link")
	type linkAct struct {
		action string
		do     func(ctx context.Context, tx *store.Tx, link, reason string) error
	}
	a, err := choose(map[string]linkAct{
		"rate": {access.LinkRate, func(ctx context.Context, tx *store.Tx, link, _ string) error {
			n, err := number(r, "rate", "write how many requests a second, or 0 for what the configuration says")
			if err != nil {
				return err
			}
			return c.Outbox.RateLink(ctx, tx, link, n)
		}},
		"pause":  {access.LinkPause, c.Outbox.PauseLink},
		"resume": {access.LinkResume, c.Outbox.ResumeLink},
	}, r.PathValue("act"))
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(c.cfg.Links, func(k Link) bool { return k.Name == name }) {
		return nil, &problem.Error{Kind: problem.NotFound, What: "link " + name, Why: "the configuration has no such link", Hint: "choose one of the list"}
	}
	err = c.act(r, deed{a.action, "link/" + name, name}, func(ctx context.Context, tx *store.Tx) (change, error) {
		before, err := c.linkState(ctx, tx, name)
		if err == nil {
			err = a.do(ctx, tx, name, r.PostFormValue("reason"))
		}
		if err != nil {
			return change{}, err
		}
		after, err := c.linkState(ctx, tx, name)
		return change{before: before, after: after}, err
	})
	c.board.forget()
	if err != nil {
		p, again := c.links(r)
		return c.again(r, p, errOr(err, again))
	}
	return &page{to: Root + "links?did=" + r.PathValue("act") + "-link"}, nil
}

// linkState is a link as the audit record keeps it.
func (c *Console) linkState(ctx context.Context, tx *store.Tx, name string) (map[string]any, error) {
	l, err := c.Outbox.LinkState(ctx, tx, name)
	if problem.KindOf(err) == problem.NotFound { // nothing was ever sent over it
		l, err = outbox.Link{Name: name, Breaker: "closed"}, nil
	}
	return map[string]any{"link": name, "paused": l.Paused, "reason": l.Reason, "breaker": l.Breaker, "owed": l.Owed, "rate": l.Rate}, err
}
