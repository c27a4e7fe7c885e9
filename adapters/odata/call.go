package odata

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// request is one call of a service, or one part of a batch.
type request struct {
	method string
	path   string // below the service's root, percent-encoded, with its slash
	query  string // percent-encoded
	header http.Header
	body   []byte
}

func (r request) writes() bool { return r.method != http.MethodGet && r.method != http.MethodHead }

// call sends a request. One that the service did not touch because its CSRF token had ended is sent once more with a new one, and
// never a third time. sent tells, where there is no answer, whether the service may have got it.
func (c *Client) call(ctx context.Context, r request) (a wire.Answer, sent bool, err error) {
	select {
	case c.link.slots <- struct{}{}:
		defer func() { <-c.link.slots }()
	case <-ctx.Done():
		return wire.Answer{}, false, ctx.Err()
	}
	if !r.writes() {
		a, sent, err = c.once(ctx, r, token{})
		return a, sent, err
	}
	t, err := c.token(ctx, 0)
	if err != nil {
		return wire.Answer{}, false, err
	}
	a, sent, err = c.once(ctx, r, t)
	if err != nil || !mustRenew(a) || c.cfg.NoCSRF {
		return a, sent, err
	}
	if t, err = c.token(ctx, t.age); err != nil {
		return wire.Answer{}, false, err
	}
	return c.once(ctx, r, t)
}

// once puts a request on the wire, with credentials, cookies and token.
func (c *Client) once(ctx context.Context, r request, t token) (wire.Answer, bool, error) {
	u, err := c.url(r)
	if err != nil {
		return wire.Answer{}, false, err
	}
	h := http.Header{}
	for name, v := range c.link.cfg.Headers {
		h.Set(name, v)
	}
	c.version().headers(h, c.cfg.IEEE754)
	for name, vs := range r.header {
		h[name] = vs
	}
	if h.Set("User-Agent", "holdfast"); t.text != "" {
		h.Set(csrf, t.text)
	}
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	}
	answered, err := c.link.creds.apply(ctx, h)
	if err != nil {
		return wire.Answer{}, false, err
	}
	req := (&http.Request{Method: r.method, URL: u, Host: u.Host, Header: h}).WithContext(ctx)
	for _, cookie := range c.link.session.jar.Cookies(u) {
		req.AddCookie(cookie)
	}
	if len(r.body) > 0 {
		req.Body, req.ContentLength = io.NopCloser(bytes.NewReader(r.body)), int64(len(r.body))
	}
	a, sent, err := c.link.http.Exchange(req)
	answered(a.Status)
	if err == nil {
		c.link.session.jar.SetCookies(u, (&http.Response{Header: a.Header}).Cookies())
	}
	return a, sent, err
}

// headers says which version is spoken.
func (v protocol) headers(h http.Header, ieee754 bool) {
	switch edm.Version(v) {
	case 0: // not known yet: an old service refuses a newer version's headers, and a new one an older's
		h.Set("Accept", "application/json")
		return
	case edm.V2:
		h.Set("DataServiceVersion", "2.0")
		h.Set("MaxDataServiceVersion", "2.0")
		h.Set("Accept", "application/json")
		return
	}
	h.Set("OData-Version", "4.0")
	h.Set("OData-MaxVersion", "4.01")
	h.Set("Accept", jsonType(edm.V4, ieee754))
}

// protocol is a version as it is spoken.
type protocol edm.Version

// jsonType is the media type of a body.
func jsonType(v edm.Version, ieee754 bool) string {
	if v == edm.V4 && ieee754 {
		return "application/json;odata.metadata=minimal;IEEE754Compatible=true"
	}
	return "application/json"
}

// version is that of the service's $metadata, 0 until it is known.
func (c *Client) version() protocol {
	if m, _ := c.metadata.known(); m != nil {
		return protocol(m.Version)
	}
	return 0
}

// url is the address of a request. SAP's client and language go along.
func (c *Client) url(r request) (*url.URL, error) {
	u, err := url.Parse(c.link.base.String() + c.path + r.path)
	if err != nil {
		return nil, &problem.Error{Kind: problem.Invalid, What: "address of " + c.name, Why: "its path makes no address", Hint: hintAddress, Cause: err}
	}
	q := r.query
	for _, p := range []struct{ name, value string }{{"sap-client", c.link.cfg.Client}, {"sap-language", c.link.cfg.Language}} {
		if p.value != "" && !strings.Contains("&"+q, "&"+p.name+"=") {
			q = strings.TrimPrefix(q+"&"+p.name+"="+url.QueryEscape(p.value), "&")
		}
	}
	u.RawQuery = q
	return u, nil
}
