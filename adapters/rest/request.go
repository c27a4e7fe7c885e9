package rest

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/http/httpguts"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// compose makes the request of a delivery: the mapped document, the envelope and the idempotency key, held against the contract.
// Nothing that breaks the contract gets further.
func (l *Link) compose(op *operation, d message.Delivery) (*contract.Request, []contract.Violation) {
	m := d.Event.Message()
	params := map[string]string{}
	for _, from := range []map[string]string{op.cfg.Params, d.Doc.Params} {
		for name, v := range from {
			params[name] = v
		}
	}
	if _, has := op.param(l.cfg.IdempotencyHeader); has {
		params[l.cfg.IdempotencyHeader] = m.ID
	}
	if d.Doc.Whole {
		for _, f := range l.envelope(m) {
			l.fillParam(op, f.name, f.value, params)
		}
		return l.place(op, params, d.Doc.Body, d.Doc.Large)
	}
	body, wrong := l.fillEnvelope(op, m, d.Doc.Body, params)
	req, more := l.place(op, params, body, nil)
	return req, append(wrong, more...)
}

// place puts parameters where the contract has them and holds the request against it. Of a large body, which is read as it is sent, that
// is its media type.
func (l *Link) place(op *operation, params map[string]string, body []byte, large *message.Large) (*contract.Request, []contract.Violation) {
	req := &contract.Request{Path: map[string]string{}, Query: url.Values{}, Header: http.Header{}, Body: body}
	var wrong []contract.Violation
	for name, v := range params {
		p, ok := op.param(name)
		if !ok {
			wrong = append(wrong, contract.Violation{
				In: "query", Name: name, Keyword: "unknown", Detail: "the contract has no parameter of this name",
				Hint: "correct the mapping", Spec: op.Position(),
			})
			continue
		}
		if !set(req, p, v) || l.proofs.Sign != nil && p.In == "header" && !signable(v) {
			wrong = append(wrong, contract.Violation{
				In: p.In, Name: p.Name, Keyword: "syntax", Detail: "the value cannot stand in a " + p.In + " parameter",
				Hint: "correct the mapping", Spec: op.Position(),
			})
		}
	}
	if large != nil {
		req.Header.Set("Content-Type", cmp.Or(large.Media, op.mediaType()))
		return req, append(wrong, op.CheckParameters(req)...)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", op.mediaType())
	}
	_, more := op.CheckRequest(req)
	return req, append(wrong, more...)
}

// set puts one value in its place; false if it would not arrive there as it is.
func set(req *contract.Request, p *contract.Parameter, v string) bool {
	switch p.In {
	case "path":
		req.Path[p.Name] = v
		return v != "" && v != "." && v != ".." // RFC 3986 section 5.2.4: such a segment names another resource
	case "query":
		req.Query.Set(p.Name, v)
	case "header":
		req.Header.Set(p.Name, v)
		return validHeader(p.Name, v)
	default:
		req.Header.Add("Cookie", (&http.Cookie{Name: p.Name, Value: v}).String()) //nolint:gosec // a cookie that is sent to the ERP has a name and a value alone
	}
	return true
}

// signable tells whether a proof can cover a header of this value (RFC 9421 section 2.1: it is ASCII).
func signable(v string) bool {
	return !strings.ContainsFunc(v, func(r rune) bool { return r < ' ' && r != '\t' || r > '~' })
}

func validHeader(name, value string) bool {
	return httpguts.ValidHeaderFieldName(name) && httpguts.ValidHeaderFieldValue(value)
}

// mediaType is the JSON type that the operation takes, application/json before others.
func (o *operation) mediaType() string {
	types := o.MediaTypes()
	if i := slices.IndexFunc(types, func(t string) bool { return strings.HasSuffix(t, "+json") }); i >= 0 && !slices.Contains(types, "application/json") {
		return types[i]
	}
	return "application/json"
}

// fillEnvelope adds what carries the message itself, where the operation has a place for it and the mapping has left it open. A
// message ID that differs from the message's is a violation: the ERP would be asked for another one later.
func (l *Link) fillEnvelope(op *operation, m message.Message, body []byte, params map[string]string) ([]byte, []contract.Violation) {
	var have map[string]json.RawMessage
	if json.Unmarshal(body, &have) != nil || have == nil {
		return body, nil // no JSON object: the check of the request says so
	}
	var wrong []contract.Violation
	for _, f := range l.envelope(m) {
		if !l.hasProperty(op, f.name) {
			l.fillParam(op, f.name, f.value, params)
			continue
		}
		given, mapped := have[f.name]
		if !mapped {
			body = prepend(body, f.name, f.value, len(have) > 0)
			have[f.name] = json.RawMessage(f.value)
		}
		if mapped && f.name == l.cfg.Envelope.MessageID && string(given) != f.value {
			wrong = append(wrong, contract.Violation{
				In: "body", Pointer: "/" + f.name, Keyword: "envelope", Detail: "it is not the ID of the message",
				Hint: "leave it out of the mapping; the link fills it in", Spec: op.Position(),
			})
		}
	}
	return body, wrong
}

// part is a piece of the message itself, as JSON, under the name that the ERP gives it.
type part struct{ name, value string }

func (l *Link) envelope(m message.Message) []part {
	return slices.DeleteFunc([]part{
		{l.cfg.Envelope.MessageID, quote(m.ID)},
		{l.cfg.Envelope.Digest, quote(m.Digest())},
		{l.cfg.Envelope.Lane, quote(m.Lane)},
		{l.cfg.Envelope.LaneNumber, strconv.FormatInt(m.Number, 10)},
	}, func(p part) bool { return p.name == "" || p.value == `""` || p.value == "0" })
}

func (l *Link) fillParam(op *operation, name, value string, params map[string]string) {
	p, ok := op.param(name)
	if _, given := params[name]; !ok || given || p.In == "path" {
		return
	}
	params[name] = strings.Trim(value, `"`)
}

func quote(s string) string {
	b, _ := json.Marshal(s) // a string can always be written
	return string(b)
}

// prepend writes a member at the beginning of a JSON object and leaves every other byte as it is.
func prepend(body []byte, name, value string, more bool) []byte {
	open := bytes.IndexByte(body, '{') + 1
	member := quote(name) + ":" + value
	if more {
		member += ","
	}
	return slices.Concat(body[:open], []byte(member), body[open:])
}

// hasProperty tells whether the operation's body has a top-level property, by its schema or a part of it.
func (l *Link) hasProperty(op *operation, name string) bool {
	ptr, ok := op.BodySchema()
	return ok && l.schemaHas(ptr, name, 8)
}

func (l *Link) schemaHas(ptr, name string, depth int) bool {
	v, at, ok := l.doc.At(ptr)
	schema, _ := v.(map[string]any)
	if !ok || schema == nil || depth == 0 {
		return false
	}
	if props, _, ok := l.doc.At(at + "/properties"); ok {
		if m, _ := props.(map[string]any); m[name] != nil {
			return true
		}
	}
	parts, _ := schema["allOf"].([]any)
	for i := range parts {
		if l.schemaHas(fmt.Sprintf("%s/allOf/%d", at, i), name, depth-1) {
			return true
		}
	}
	return false
}

// httpRequest writes the request for net/http. The body has no GetBody on purpose: see attempt.
func (l *Link) httpRequest(ctx context.Context, op *operation, req *contract.Request) (*http.Request, error) {
	u, err := l.url(op, req)
	if err != nil {
		return nil, err
	}
	h := http.Header{}
	for name, v := range l.cfg.Headers {
		setHeader(h, name, v)
	}
	for name, vs := range req.Header {
		setHeader(h, name, vs[0])
	}
	h.Set("Accept", "application/json, application/problem+json, */*;q=0.1")
	h.Set("User-Agent", "holdfast")
	if trace.SpanContextFromContext(ctx).IsValid() {
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
	}
	out := (&http.Request{Method: op.Method, URL: u, Host: u.Host, Header: h}).WithContext(ctx)
	if len(req.Body) > 0 {
		out.Body, out.ContentLength = io.NopCloser(bytes.NewReader(req.Body)), int64(len(req.Body))
	}
	return out, nil
}

// setHeader sets a header. The two names by which net/http takes a write for one that it may repeat are spelled in lower case,
// which is the same to the ERP (RFC 9110 section 5.1) and nothing to net/http.
func setHeader(h http.Header, name, value string) {
	if c := http.CanonicalHeaderKey(name); c == "Idempotency-Key" || c == "X-Idempotency-Key" {
		h[strings.ToLower(c)] = []string{value}
		return
	}
	h.Set(name, value)
}

// url joins the base with the operation's path; a path value stays one segment whatever is in it.
func (l *Link) url(op *operation, req *contract.Request) (*url.URL, error) {
	path := op.Path
	for name, v := range req.Path {
		path = strings.ReplaceAll(path, "{"+name+"}", url.PathEscape(v))
	}
	u, err := url.Parse(l.base.String() + path)
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "address of " + op.ID, Why: "the contract's path makes no address", Hint: "correct the contract", Cause: err,
		}
	}
	u.RawQuery = req.Query.Encode()
	return u, nil
}

// violated is the problem of a message that breaks the contract. Its text has places and rules, never values.
func violated(what string, vs []contract.Violation) *problem.Error {
	const named = 3
	e := &problem.Error{Kind: problem.Invalid, What: what, Hint: "correct the mapping or the message, then resume the lane"}
	var first []string
	for i, v := range vs {
		where := strings.TrimSpace(v.In + " " + v.Name + v.Pointer)
		if i < named {
			first = append(first, where+" ("+v.Keyword+")")
		}
		pointer := v.Pointer
		if v.Name != "" {
			pointer = v.Name + v.Pointer
		}
		e.Fields = append(e.Fields, problem.Field{Pointer: pointer, Why: strings.TrimSpace(v.Detail + " " + v.Spec)})
	}
	e.Why = fmt.Sprintf("it breaks the contract at %s", strings.Join(first, ", "))
	if n := len(vs) - named; n > 0 {
		e.Why += fmt.Sprintf(" and %d more places", n)
	}
	return e
}
