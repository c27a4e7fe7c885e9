package odata

import (
	"context"
	"net/http"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// Together calls each for every entity that the queries find, with the place of its query. Where the link may join writes, the queries go in one
// $batch; one alone, or where the service refuses the $batch, as All does. What one query lacks, all do: an error ends it.
func (c *Client) Together(ctx context.Context, qs []Query, each func(n int, e Entity) error) error {
	if len(qs) < 2 || c.link.cfg.Batch < 2 {
		return c.oneByOne(ctx, qs, each)
	}
	sets, groups := make([]*edm.Set, len(qs)), make([][]request, len(qs))
	var m *edm.Model
	for i, q := range qs {
		var err error
		if m, sets[i], err = c.set(ctx, q.Set); err != nil {
			return err
		}
		query, err := q.build(sets[i].Of, m.Version)
		if err != nil {
			return c.invalid(q.Set, err)
		}
		groups[i] = []request{{method: http.MethodGet, path: "/" + q.Set, query: query}}
	}
	parts, a, _, err := c.batch(ctx, m, groups)
	what := "read of " + qs[0].Set
	switch {
	case err != nil:
		return c.unreachable(what, false, err)
	case parts == nil && takesNoReads(a):
		return c.oneByOne(ctx, qs, each)
	case parts == nil && c.isPage(a):
		return c.signIn("answer of " + c.name)
	case parts == nil:
		return c.said(what, a)
	}
	for i, p := range parts {
		if err := c.partOf(ctx, m, sets[i], groups[i][0], p[0], qs[i].Top, func(e Entity) error { return each(i, e) }); err != nil {
			return err
		}
	}
	return nil
}

// oneByOne sends a request for each query.
func (c *Client) oneByOne(ctx context.Context, qs []Query, each func(n int, e Entity) error) error {
	for i, q := range qs {
		if _, err := c.All(ctx, q, func(e Entity) error { return each(i, e) }); err != nil {
			return err
		}
	}
	return nil
}

// partOf reads the entities of one query of a batch, and follows its pages.
func (c *Client) partOf(ctx context.Context, m *edm.Model, s *edm.Set, r request, p part, top int, each func(Entity) error) error {
	switch {
	case p.missing:
		return &problem.Error{Kind: problem.Unavailable, What: "read of " + s.Name, Why: "the answer to the batch has no part for it", Hint: hintReach}
	case p.answer.Status != http.StatusOK:
		return c.said("read of "+s.Name, p.answer)
	}
	_, err := c.pagesFrom(ctx, m, s, r, p.answer, top, each)
	return err
}

// takesNoReads tells whether an answer to a batch of reads is about the batch, most likely: each of them alone may be answered.
func takesNoReads(a wire.Answer) bool {
	switch a.Status {
	case http.StatusUnauthorized, http.StatusProxyAuthRequired, http.StatusTooManyRequests, http.StatusRequestTimeout:
		return false
	}
	return a.Status/100 == 4 || a.Status == http.StatusNotImplemented
}
