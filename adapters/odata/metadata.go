package odata

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/adapters/odata/edm"
	"holdfast/internal/problem"
)

// Client calls one service.
type Client struct {
	link     *Link
	name     string
	cfg      Service
	path     string // without a slash at its end
	metadata metadata
	needed   atomic.Bool  // something names it, whatever the configuration says
	alone    atomic.Int64 // until when its writes have no reads beside them, in nanoseconds since 1970
}

// metadata is a service's $metadata, read once and asked about from time to time.
type metadata struct {
	fetching sync.Mutex // held while it is read

	mu    sync.Mutex // guards what follows
	model *edm.Model
	etag  string
	date  string // Last-Modified, where there is no ETag
	asked time.Time
	waits waits
}

// left is why it is not asked for yet, nil if it may be.
func (m *metadata) left(now time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waits.left(now)
}

func (m *metadata) wait(w waits) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waits = w
}

// known is what is known now, and when the service last said it.
func (m *metadata) known() (*edm.Model, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.model, m.asked
}

// load takes it from a file.
func (m *metadata) load(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	model, err := edm.Parse(text)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.model = model
	return nil
}

// Metadata reads the service's $metadata, or asks whether the one that is known still holds.
func (c *Client) Metadata(ctx context.Context) (*edm.Model, error) {
	c.metadata.fetching.Lock()
	defer c.metadata.fetching.Unlock()
	return c.readMetadata(ctx)
}

// Model is the $metadata that is known and not too old. While the service cannot be asked, an older one serves.
func (c *Client) Model(ctx context.Context) (*edm.Model, error) {
	fresh := func() *edm.Model {
		if m, at := c.metadata.known(); m != nil && c.link.now().Sub(at) < c.link.cfg.MetadataAge {
			return m
		}
		return nil
	}
	if m := fresh(); m != nil {
		return m, nil
	}
	c.metadata.fetching.Lock()
	defer c.metadata.fetching.Unlock()
	if m := fresh(); m != nil {
		return m, nil
	}
	if err := c.metadata.left(c.link.now()); err != nil {
		return nil, err
	}
	m, err := c.readMetadata(ctx)
	c.metadata.wait(putOffBy(err, c.link.now()))
	if old, _ := c.metadata.known(); err != nil && old != nil {
		c.link.log.Warn("the service does not say whether its $metadata still holds; the one that is known serves on",
			"part", "odata", "service", c.name, "err", err)
		c.metadata.leave(c.link.now())
		return old, nil
	}
	return m, err
}

// leave has the $metadata that is known serve as long again: who waits for its answer waits for nothing.
func (m *metadata) leave(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.asked = now
}

// readMetadata calls the service. The lock fetching is held.
func (c *Client) readMetadata(ctx context.Context) (*edm.Model, error) {
	what := "$metadata of " + c.name
	m := &c.metadata
	h := http.Header{"Accept": {"application/xml"}}
	m.mu.Lock()
	if m.model != nil && m.etag != "" {
		h.Set("If-None-Match", m.etag)
	} else if m.model != nil && m.date != "" {
		h.Set("If-Modified-Since", m.date)
	}
	m.mu.Unlock()
	a, _, err := c.call(ctx, request{method: http.MethodGet, path: "/$metadata", header: h})
	switch {
	case err != nil:
		return nil, c.unreachable(what, false, err)
	case a.Cut != nil:
		return nil, c.unreachable(what, false, a.Cut)
	case a.Status != http.StatusOK && a.Status != http.StatusNotModified:
		return nil, c.said(what, a)
	}
	var model *edm.Model
	if a.Status == http.StatusOK {
		if model, err = edm.Parse(a.Body); err != nil {
			if c.isPage(a) {
				return nil, c.signIn(what)
			}
			return nil, notMetadata(what, err)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.asked = c.link.now(); model != nil {
		m.model, m.etag, m.date = model, a.Header.Get("ETag"), a.Header.Get("Last-Modified")
		c.link.learnt.Add(1)
	}
	return m.model, nil
}

// notMetadata is an answer with status 200 that is something else.
func notMetadata(what string, err error) error {
	var e *edm.Error
	p := &problem.Error{
		Kind: problem.Unavailable, What: what, Why: "the answer is no EDMX document that can be read",
		Hint: "correct the service's path; an administrator can look at the document in a browser",
	}
	if errors.As(err, &e) {
		p.Why += ": " + e.Error()
	}
	return p
}
