package odata

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"holdfast/adapters/odata/edm"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// spoken is what a service says when it refuses: the error objects of V2 and V4, in JSON or XML.
type spoken struct {
	Code, Text, Target string
	Details            []detail
	Transaction        string // SAP's number of the request, for its administrators
}

type detail struct{ Code, Text, Target, Severity string }

// refuses tells whether a detail is an error, and not a warning or information beside one.
func (d detail) refuses() bool { return d.Severity == "" || d.Severity == "error" || d.Severity == "4" }

const (
	mostWords   = 500 // bytes of the ERP's text that are kept
	mostDetails = 50
)

// codes are all codes of an answer, the most telling first: some gateways say only that there was an exception, and the details why.
func (s spoken) codes() []string {
	var out []string
	for _, d := range s.Details {
		if d.refuses() {
			out = append(out, d.Code)
		}
	}
	if !strings.HasPrefix(s.Code, "/IWBEP/CX_") {
		return append([]string{s.Code}, out...)
	}
	return append(out, s.Code)
}

// listen reads an error body; what is none says nothing.
func listen(body []byte) spoken {
	trimmed := strings.TrimSpace(string(body[:min(len(body), 64)]))
	if strings.HasPrefix(trimmed, "<") {
		return listenXML(body)
	}
	v, err := contract.Decode(body)
	m, _ := v.(map[string]any)
	e, _ := m["error"].(map[string]any)
	if err != nil || e == nil {
		return spoken{}
	}
	s := spoken{Code: str(e["code"]), Text: words(e["message"]), Target: str(e["target"])}
	lists := []any{e["details"]}
	for _, name := range []string{"innererror", "innerError"} {
		inner, _ := e[name].(map[string]any)
		if t := str(inner["transactionid"]); t != "" {
			s.Transaction = t
		}
		lists = append(lists, inner["errordetails"])
	}
	for _, list := range lists {
		items, _ := list.([]any)
		for _, item := range items[:min(len(items), mostDetails)] {
			if d, ok := item.(map[string]any); ok {
				s.Details = append(s.Details, detail{
					Code: str(d["code"]), Text: words(d["message"]), Target: first(d, "target", "propertyref"),
					Severity: first(d, "severity", "@Common.numericSeverity", "@com.sap.vocabularies.Common.v1.numericSeverity"),
				})
			}
		}
	}
	return s
}

// listenXML reads the XML form, which a service falls back to where it did not get as far as JSON.
func listenXML(body []byte) spoken {
	var e struct {
		XMLName xml.Name `xml:"error"`
		Code    string   `xml:"code"`
		Message string   `xml:"message"`
		Inner   struct {
			Transaction string `xml:"transactionid"`
			Details     []struct {
				Code     string `xml:"code"`
				Message  string `xml:"message"`
				Target   string `xml:"target"`
				Property string `xml:"propertyref"`
				Severity string `xml:"severity"`
			} `xml:"errordetails>errordetail"`
		} `xml:"innererror"`
	}
	if xml.Unmarshal(body, &e) != nil {
		return spoken{}
	}
	s := spoken{Code: e.Code, Text: strings.TrimSpace(e.Message), Transaction: e.Inner.Transaction}
	for _, d := range e.Inner.Details[:min(len(e.Inner.Details), mostDetails)] {
		target := d.Target
		if target == "" {
			target = d.Property
		}
		s.Details = append(s.Details, detail{d.Code, strings.TrimSpace(d.Message), target, d.Severity})
	}
	return s
}

// words is a message: a text, or in V2 an object of language and value.
func words(v any) string {
	if m, ok := v.(map[string]any); ok {
		v = m["value"]
	}
	return str(v)
}

func str(v any) string {
	switch s := v.(type) {
	case string:
		return s
	case json.Number:
		return s.String()
	}
	return ""
}

func first(m map[string]any, names ...string) string {
	for _, n := range names {
		if s := str(m[n]); s != "" {
			return s
		}
	}
	return ""
}

// said makes the problem of an answer that is no good one, in the ERP's own words: its text, its code, and every detail with the
// field that it is about. That a right is missing is told, whatever was asked for.
func (c *Client) said(what string, a wire.Answer) *problem.Error {
	s := listen(a.Body)
	wait, later := wire.RetryAfter(a.Header, c.link.now(), c.link.cfg.MaxRetryAfter)
	r := c.rule(a, s, later)
	why := "the ERP answered " + statusLine(a.Status)
	if s.Text != "" {
		why += ": " + clip(s.Text)
	}
	if s.Code != "" {
		why += " (" + clip(s.Code) + ")"
	}
	if isHTML(a.Header) {
		why += " with a web page"
	}
	e := &problem.Error{Kind: r.kind, What: what, Why: why, Hint: r.hint}
	if e.Kind == "" {
		e.Kind = problem.Unavailable
	}
	if s.Target != "" {
		e.Fields = append(e.Fields, problem.Field{Pointer: clip(s.Target), Why: clip(s.Text)})
	}
	for _, d := range s.Details {
		if d.Text == s.Text && d.Code == s.Code && d.Target == "" {
			continue // SAP repeats the error as its own first detail
		}
		e.Fields = append(e.Fields, problem.Field{Pointer: clip(d.Target), Why: strings.TrimSpace(clip(d.Text) + " (" + clip(d.Code) + ")")})
	}
	if strings.Contains(s.Text, "allows only one operation") {
		e.Hint = "send each write in a change set of its own"
	}
	if to := a.Header.Get("Location"); a.Status/100 == 3 && to != "" {
		to, _, _ = strings.Cut(to, "?")
		e.Why += " to " + clip(to) + "; redirects are not followed"
	}
	if s.Transaction != "" {
		e.Why += "; SAP transaction " + clip(s.Transaction)
	}
	if !later {
		wait = r.wait
	}
	if forbidden := r.credentials && r.wait > 0; forbidden || r.verdict == message.Again && (wait > 0 || r.throttled || r.locked) {
		e.Cause = &wire.PutOff{After: wait, Throttled: r.throttled, Locked: r.locked, Forbidden: forbidden}
	}
	if r.credentials && (a.Status != http.StatusUnauthorized || c.link.creds.without()) {
		c.link.creds.guard.Forbidden(e)
	}
	return e
}

// isPage tells whether a good answer is a web page: no service gives one.
func (c *Client) isPage(a wire.Answer) bool {
	return a.Status/100 == 2 && len(a.Body) > 0 && isHTML(a.Header)
}

// signIn makes the problem of such a page, and has somebody told of it.
func (c *Client) signIn(what string) *problem.Error {
	e := &problem.Error{
		Kind: problem.Denied, What: what, Why: "the ERP answered with a web page, most likely one to log on", Hint: hintSignIn,
		Cause: &wire.PutOff{After: wire.ForbiddenWait, Forbidden: true},
	}
	c.link.creds.guard.Forbidden(e)
	return e
}

// forbidden tells whether a user lacks a right, or is to log on.
func forbidden(err error) bool {
	p, ok := errors.AsType[*wire.PutOff](err)
	return ok && p.Forbidden
}

// putOff is an outcome for which something else had to be had first, a token, the $metadata or an entity, with what the answer to that said of when it may
// be asked for again. Who works on an object says nothing of the link.
func putOff(out message.Outcome, err error) message.Outcome {
	if p, ok := errors.AsType[*wire.PutOff](err); ok {
		out.After, out.Throttled, out.Locked = p.After, p.Throttled, p.Locked && out.Verdict == message.Again
		out.LinkDown = out.LinkDown && !p.Locked
	}
	return out
}

// clip bounds a text and takes out what would break a line of a log.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > mostWords {
		s = strings.ToValidUTF8(s[:mostWords], "") + "…"
	}
	return s
}

// unreachable is the problem of a request that got no answer. A problem that has been told already stays as it is.
func (c *Client) unreachable(what string, sent bool, err error) *problem.Error {
	if p, ok := err.(*problem.Error); ok { //nolint:errorlint // only what is told in words itself
		return p
	}
	e := &problem.Error{Kind: problem.Unavailable, What: what, Cause: err}
	if sent {
		e.Why, e.Hint = "the line broke before the answer; the ERP may have it", hintAsk
		return e
	}
	e.Why, e.Hint = "the ERP was not reached, or did not answer in full", fmt.Sprintf("%s, or check base_url, network and certificates", hintWait)
	return e
}

// violated is the problem of a document that does not fit the $metadata. Its text has places and rules, never values.
func violated(what string, vs []edm.Violation) *problem.Error {
	const named = 3
	e := &problem.Error{Kind: problem.Invalid, What: what, Hint: "correct the mapping or the message, then resume the lane"}
	var places []string
	for i, v := range vs {
		if i < named {
			places = append(places, v.Pointer+" ("+v.Why+")")
		}
		e.Fields = append(e.Fields, problem.Field{Pointer: v.Pointer, Why: v.Why})
	}
	e.Why = "it does not fit the service's $metadata at " + strings.Join(places, ", ")
	if n := len(vs) - named; n > 0 {
		e.Why += fmt.Sprintf(" and %d more places", n)
	}
	return e
}
