package odata

import (
	"context"
	"net/http"
	"slices"
	"time"

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

// Beside is what is read in the same $batch as the writes of one target, after them: the documents that carry the messages' IDs, with what they lead
// to. It costs no request, and promises nothing: an ERP may not have written all of it yet, or not answer, and a write that goes alone has none.
type Beside struct {
	Target string            // SERVICE/SET; "" is none
	Expand string            // the navigation property
	Wants  func(string) bool // tells of which messages, by their IDs
	Found  func(Entity)      // is given each document; by several at once
}

// beside is one read in a batch of writes.
type beside struct {
	request
	of *edm.Struct
}

// aloneFor is how long writes go without reads beside them, once a batch with some had no answer of its own.
const aloneFor = time.Hour

// mostBeside is how many documents one address asks for.
const mostBeside = 20

// reads are those that go with some writes of one service.
func (b Beside) reads(ws []*write) (out []beside) {
	var marks []any
	var of *write
	for _, w := range ws {
		inJSON := w.model.Version == edm.V4 && w.client.link.cfg.BatchFormat == JSON // an answer that breaks off there tells nothing of the writes either
		if w.client.name+"/"+w.target.name == b.Target && w.mark != "" && !inJSON && b.Wants(w.message) {
			marks, of = append(marks, w.mark), w
		}
	}
	for some := range slices.Chunk(marks, mostBeside) {
		s := of.target.set
		query, err := Query{Where: AnyOf(of.target.cfg.ID, some...), Expand: []string{b.Expand}}.build(s.Of, of.model.Version)
		if err != nil {
			continue // it is no such service; who needs it reads it by itself
		}
		out = append(out, beside{request{method: http.MethodGet, path: "/" + s.Name, query: query}, s.Of})
	}
	return out
}

// seen takes in what one read found, if that is all of it.
func (c *Client) seen(m *edm.Model, r beside, p part, b Beside) {
	if p.missing || p.answer.Status != http.StatusOK {
		return
	}
	page, err := c.page(m, r.of, p.answer)
	if err != nil || page.Next != "" {
		return
	}
	for _, e := range page.Entities {
		if e.More[b.Expand] == "" {
			b.Found(e)
		}
	}
}
