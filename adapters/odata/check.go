package odata

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/odata/edm"
	"holdfast/internal/problem"
)

// Check tries each service, for the doctor: its $metadata is read anew, and everything that the configuration names must be in it. All that
// is wrong is told, service by service; where nobody can be reached, or the link's credentials are refused, that alone.
func (l *Link) Check(ctx context.Context) error {
	var rest []string
	for _, name := range l.Services() {
		if l.services[name].optional() {
			rest = append(rest, name)
			continue
		}
		rest = slices.Insert(rest, 0, name) // what must be there is asked first
	}
	first := l.checkService(ctx, rest[0])
	if forAll(first) {
		return first
	}
	found := make([]error, len(rest))
	found[0] = first
	var g errgroup.Group
	g.SetLimit(l.cfg.Parallel)
	for i, name := range rest[1:] {
		g.Go(func() error {
			found[i+1] = l.checkService(ctx, name)
			return nil
		})
	}
	_ = g.Wait() // no function returns an error
	return errors.Join(found...)
}

// Need says that a mapping which is in use names this target: its service must be there, though the configuration calls it optional.
func (l *Link) Need(target string) {
	if c, _, err := l.split(target); err == nil {
		c.needed.Store(true)
	}
}

// optional tells whether the service may be missing: the configuration says so, and nothing that is in use needs it.
func (c *Client) optional() bool { return c.cfg.Optional && !c.needed.Load() }

// forAll tells whether an error is one of the whole system, not of one service: nobody listens there, or we are not let in.
func forAll(err error) bool {
	if problem.KindOf(err) == problem.Denied {
		return !forbidden(err)
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// checkService tells all that is wrong with one service.
func (l *Link) checkService(ctx context.Context, name string) error {
	c := l.services[name]
	m, err := c.Metadata(ctx)
	if err != nil && c.optional() {
		l.log.Warn("an optional service of the link cannot be used", "part", "odata", "service", name, "err", err)
		return nil
	}
	if err != nil {
		return err
	}
	var all []error
	for _, target := range slices.Sorted(maps.Keys(l.cfg.Writes)) {
		service, rest, _ := strings.Cut(target, "/")
		if service != name {
			continue
		}
		t, err := c.target(m, rest)
		if err == nil {
			err = t.checkWrite(m, l.cfg.Writes[target])
		}
		all = append(all, err)
	}
	for i, p := range l.polls {
		if p.client == c {
			at := fmt.Sprintf("polls[%d]", i)
			err := p.check(m, at)
			if err == nil && p.cfg.Delta {
				err = p.checkDelta(ctx, m, at)
			}
			all = append(all, err)
		}
	}
	return errors.Join(all...)
}

// check holds a poll against the $metadata: its set, and each field that it names.
func (p *Poll) check(m *edm.Model, at string) error {
	set, ok := m.Sets[p.set]
	if !ok {
		return wrong(at+".set", "the service's $metadata has no set "+p.set+like(m, p.set), "use a name of its $metadata")
	}
	var all []error
	for _, n := range []struct{ key, name string }{{"watermark", p.cfg.Watermark}, {"key", p.cfg.Key}, {"version", p.cfg.Version}} {
		if n.name == "" || n.key == "version" && n.name == p.cfg.Watermark {
			continue
		}
		f, ok := set.Of.Field(n.name)
		switch {
		case !ok:
			all = append(all, wrong(at+"."+n.key, fmt.Sprintf("%s has no field %q", p.set, n.name), "use a field of the service's $metadata"))
		case n.key == "watermark" && f.NoFilter:
			all = append(all, wrong(at+"."+n.key, fmt.Sprintf("%s cannot be searched by %s", p.set, n.name), "use another field that grows, delta: true or whole: true"))
		case n.key != "key" && !grows(f):
			all = append(all, wrong(at+"."+n.key, fmt.Sprintf("%s is of type %s, whose values have no exact order", n.name, f.Type), "use a field of whole numbers, decimals, dates or moments"))
		}
	}
	if len(all) > 0 {
		return errors.Join(all...)
	}
	if _, err := p.request(m, set, stand{}); err != nil {
		return wrong(at, err.Error(), "use names and values of the service's $metadata")
	}
	return nil
}

// checkDelta reads the first page of a set that is polled by delta links: if that is all, there must be one. A service may say beforehand that there is none.
func (p *Poll) checkDelta(ctx context.Context, m *edm.Model, at string) error {
	set := m.Sets[p.set]
	none := wrong(at+".delta", "the service gives no delta links for "+p.set+", so that it is read as a whole once an hour, and nothing tells what is removed",
		"write watermark with a field that grows with each change, or whole: true, in the place of delta")
	if set.NoDelta {
		return none
	}
	page, _, err := p.page(ctx, m, set, stand{})
	if err == nil && page.Next+page.Delta == "" {
		err = none
	}
	return err
}

// grows tells whether the values of a field can be told apart and put in order without losing a digit.
func grows(f *edm.Field) bool {
	switch f.Type {
	case "Edm.String", "Edm.Int16", "Edm.Int32", "Edm.Int64", "Edm.Byte", "Edm.Decimal", "Edm.Date", "Edm.DateTime", "Edm.DateTimeOffset":
		return !f.Many
	}
	return false
}
