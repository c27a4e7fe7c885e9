package odata

import (
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/http"
	"strings"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// Entity is one entity in plain values.
type Entity = edm.Entity

// Page is one answer to a query.
type Page struct {
	Entities []Entity
	Count    string // how many there are in all, if it was asked; "" if not told
	Next     string // link to the next page, "" at the end
	Delta    string // link to what changes from here on, "" if the service gives none

	strange []strange // entities that cannot be read, for a reader that takes the others all the same
}

// strange is an entity that does not fit the $metadata.
type strange struct {
	raw map[string]any
	err error
}

// Get reads one entity by its key, with what expand names.
func (c *Client) Get(ctx context.Context, set string, key map[string]any, expand ...string) (Entity, error) {
	m, s, err := c.set(ctx, set)
	if err != nil {
		return Entity{}, err
	}
	path, err := s.Of.KeyPath(key, m.Version)
	if err != nil {
		return Entity{}, c.invalid(set, err)
	}
	query, err := Query{Expand: expand}.build(s.Of, m.Version)
	if err != nil {
		return Entity{}, c.invalid(set, err)
	}
	r := request{method: http.MethodGet, path: "/" + set + path, query: query}
	a, err := c.read(ctx, "read of "+set, r)
	if err != nil {
		return Entity{}, err
	}
	e, err := c.entity(m, s.Of, a)
	if err != nil {
		return Entity{}, err
	}
	return e, c.complete(ctx, m, s.Of, &e, r)
}

// complete reads the rest of what an entity's links were expanded to, where the service gave only the first page of it.
func (c *Client) complete(ctx context.Context, m *edm.Model, of *edm.Struct, e *Entity, from request) error {
	for _, l := range of.Links {
		switch below := e.Values[l.Name].(type) {
		case Entity:
			if err := c.complete(ctx, m, l.Target, &below, from); err != nil {
				return err
			}
		case []Entity:
			all, err := c.rest(ctx, m, l, below, e.More[l.Name], from)
			if err != nil {
				return err
			}
			for i := range all {
				if err := c.complete(ctx, m, l.Target, &all[i], from); err != nil {
					return err
				}
			}
			e.Values[l.Name] = all
		}
	}
	e.More = nil
	return nil
}

// rest follows the pages of a link.
func (c *Client) rest(ctx context.Context, m *edm.Model, l *edm.Link, all []Entity, next string, from request) ([]Entity, error) {
	for pages := 0; next != ""; pages++ {
		r, err := c.relative(next, from)
		if err == nil && pages >= c.link.cfg.MaxPages {
			err = fmt.Errorf("the pages of %s do not end", l.Name)
		}
		if err != nil {
			return nil, c.invalid(l.Name, err)
		}
		a, err := c.read(ctx, "read of "+l.Name, r)
		if err != nil {
			return nil, err
		}
		p, err := c.page(m, l.Target, a)
		if err != nil {
			return nil, err
		}
		all, next = append(all, p.Entities...), p.Next
	}
	return all, nil
}

// All calls each for every entity that the query finds, page after page, and gives the link to what changes afterwards, if Query.Track asks for it and the
// service has one. An error of each ends it.
func (c *Client) All(ctx context.Context, q Query, each func(Entity) error) (delta string, err error) {
	m, s, err := c.set(ctx, q.Set)
	if err != nil {
		return "", err
	}
	query, err := q.build(s.Of, m.Version)
	if err != nil {
		return "", c.invalid(q.Set, err)
	}
	r := request{method: http.MethodGet, path: "/" + q.Set, query: query}
	if q.Track {
		r.header = tracks(m.Version)
	}
	return c.pages(ctx, m, s, r, q.Top, each)
}

// tracks is the header by which a request asks for a link to what changes afterwards: the first one of a reading alone (OData 4.01 part 1 section 8.2.8.6).
// V2 has none for it.
func tracks(v edm.Version) http.Header {
	if v != edm.V4 {
		return nil
	}
	return http.Header{"Prefer": {"odata.track-changes"}}
}

// Changes follows a delta link that an earlier All or Changes gave. What is gone comes as an Entity that is Gone.
func (c *Client) Changes(ctx context.Context, set, delta string, each func(Entity) error) (next string, err error) {
	m, s, err := c.set(ctx, set)
	if err != nil {
		return "", err
	}
	r, err := c.relative(delta, request{method: http.MethodGet, path: "/" + set})
	if err != nil {
		return "", c.invalid(set, err)
	}
	return c.pages(ctx, m, s, r, 0, each)
}

// pages reads one page after the other. A page that was read before, or too many of them, end it with an error.
func (c *Client) pages(ctx context.Context, m *edm.Model, s *edm.Set, r request, top int, each func(Entity) error) (string, error) {
	a, err := c.read(ctx, "read of "+s.Name, r)
	if err != nil {
		return "", err
	}
	return c.pagesFrom(ctx, m, s, r, a, top, each)
}

// pagesFrom goes on from the first page, which a request was answered with.
func (c *Client) pagesFrom(ctx context.Context, m *edm.Model, s *edm.Set, r request, a wire.Answer, top int, each func(Entity) error) (string, error) {
	seen := map[string]bool{}
	for n := 0; ; {
		seen[r.path+"?"+r.query] = true
		p, err := c.page(m, s.Of, a)
		if err != nil {
			return "", err
		}
		for _, e := range p.Entities {
			if err := c.complete(ctx, m, s.Of, &e, r); err != nil {
				return "", err
			}
			if err := each(e); err != nil {
				return "", err
			}
			if n++; n == top {
				return p.Delta, nil
			}
		}
		if p.Next == "" {
			return p.Delta, nil
		}
		if r, err = c.relative(p.Next, r); err != nil {
			return "", c.invalid(s.Name, err)
		}
		if seen[r.path+"?"+r.query] || len(seen) >= c.link.cfg.MaxPages {
			return "", c.invalid(s.Name, fmt.Errorf("the pages do not end: the link to the next one leads back, or there are more than %d", c.link.cfg.MaxPages))
		}
		if a, err = c.read(ctx, "read of "+s.Name, r); err != nil {
			return "", err
		}
	}
}

// set finds an entity set in the $metadata.
func (c *Client) set(ctx context.Context, name string) (*edm.Model, *edm.Set, error) {
	m, err := c.Model(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, ok := m.Sets[name]
	if !ok {
		return nil, nil, &problem.Error{
			Kind: problem.NotFound, What: fmt.Sprintf("entity set %q of %s", name, c.name), Why: "the service's $metadata has none of this name",
			Hint: "use a name of its $metadata",
		}
	}
	return m, s, nil
}

// read calls the service and gives the answer if it is a good one.
func (c *Client) read(ctx context.Context, what string, r request) (wire.Answer, error) {
	a, _, err := c.call(ctx, r)
	switch {
	case err != nil:
		return a, c.unreachable(what, false, err)
	case a.Cut != nil:
		return a, c.unreachable(what, false, a.Cut)
	case a.Status != http.StatusOK:
		return a, c.said(what, a)
	}
	return a, nil
}

// body reads an answer's JSON object.
func (c *Client) body(a wire.Answer) (map[string]any, error) {
	if isHTML(a.Header) {
		return nil, c.signIn("answer of " + c.name)
	}
	v, err := contract.Decode(a.Body)
	m, ok := v.(map[string]any)
	if err != nil || !ok {
		return nil, &problem.Error{Kind: problem.Unavailable, What: "answer of " + c.name, Why: "it is no JSON object that can be read", Hint: hintReach, Cause: err}
	}
	return m, nil
}

// entity reads an answer that is one entity.
func (c *Client) entity(m *edm.Model, of *edm.Struct, a wire.Answer) (Entity, error) {
	raw, err := c.body(a)
	if err != nil {
		return Entity{}, err
	}
	if m.Version == edm.V2 {
		d, ok := raw["d"].(map[string]any)
		if !ok {
			return Entity{}, c.unread(fmt.Errorf("it has no object d"))
		}
		raw = d
	}
	e, err := of.Plain(raw)
	if err != nil {
		return Entity{}, c.unread(err)
	}
	if t := a.Header.Get("ETag"); e.ETag == "" {
		e.ETag = t
	}
	return e, nil
}

// page reads an answer that is a list, of which all can be read.
func (c *Client) page(m *edm.Model, of *edm.Struct, a wire.Answer) (Page, error) {
	p, err := c.somePage(m, of, a)
	if err == nil && len(p.strange) > 0 {
		return Page{}, c.unread(p.strange[0].err)
	}
	return p, err
}

// somePage reads an answer that is a list.
func (c *Client) somePage(m *edm.Model, of *edm.Struct, a wire.Answer) (Page, error) {
	raw, err := c.body(a)
	if err != nil {
		return Page{}, err
	}
	var p Page
	list, isList := raw["value"].([]any)
	if m.Version == edm.V2 {
		list, isList = raw["d"].([]any) // as version 1 of the protocol had it
		if d, ok := raw["d"].(map[string]any); ok {
			list, isList = d["results"].([]any)
			p.Count, _ = d["__count"].(string)
			p.Next, _ = d["__next"].(string)
			p.Delta, _ = d["__delta"].(string)
		}
	} else {
		p.control(raw)
	}
	if !isList {
		return Page{}, c.unread(fmt.Errorf("it has no list of entities"))
	}
	for _, item := range list {
		o, ok := item.(map[string]any)
		if !ok {
			return Page{}, c.unread(fmt.Errorf("it lists something that is no object"))
		}
		e, err := of.Plain(o)
		if err != nil {
			p.strange = append(p.strange, strange{o, err})
			continue
		}
		p.Entities = append(p.Entities, e)
	}
	return p, nil
}

// control reads what V4 says around a list, by the names of 4.0 and 4.01.
func (p *Page) control(raw map[string]any) {
	for _, prefix := range []string{"@odata.", "@"} {
		if n, ok := raw[prefix+"count"].(json.Number); ok {
			p.Count = n.String()
		}
		if s, ok := raw[prefix+"nextLink"].(string); ok {
			p.Next = s
		}
		if s, ok := raw[prefix+"deltaLink"].(string); ok {
			p.Delta = s
		}
	}
}

func (c *Client) unread(err error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "answer of " + c.name, Why: "it does not fit the service's $metadata: " + err.Error(),
		Hint: "if the service has changed, restart or wait for metadata_age; else tell its owner",
	}
}

func (c *Client) invalid(what string, err error) error {
	return &problem.Error{Kind: problem.Invalid, What: what + " of " + c.name, Why: err.Error(), Hint: "correct the configuration or the mapping"}
}

func isHTML(h http.Header) bool {
	t, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	return err == nil && strings.EqualFold(t, "text/html")
}
