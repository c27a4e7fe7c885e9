package rest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// spoken is what ERPs say when they refuse: problem details (RFC 9457) with the extensions in use, and the error objects of OData
// and of most JSON APIs. Members of other types than expected are passed over.
type spoken struct {
	Title, Detail, Hint, Code, Message string
	Fields                             []problem.Field
}

const (
	mostWords  = 500 // bytes of the ERP's text that are kept
	mostFields = 50
)

// said makes the problem of an answer that is no good one, in the ERP's own words as far as it has any. That a right is missing is told, whatever
// was asked for.
func (l *Link) said(op *operation, what string, a wire.Answer) *problem.Error {
	wait, later := wire.RetryAfter(a.Header, l.now(), l.cfg.MaxRetryAfter)
	r := ruleOf(op, a, later)
	s := listen(a.Body)
	why := "the ERP answered " + statusLine(a.Status)
	if words := s.words(); words != "" {
		why += ": " + words
	}
	e := &problem.Error{Kind: r.kind, What: what, Why: why, Hint: r.hint, Fields: s.Fields}
	if e.Kind == "" {
		e.Kind = problem.Unavailable
	}
	if r.verdict == message.Again && r.link && !r.credentials && wait > 0 {
		e.Cause = &wire.PutOff{After: wait, Throttled: r.throttled}
	}
	if e.Hint == hintAsk && !writes(op.Method) {
		e.Hint = hintRead
	}
	if s.Hint != "" {
		e.Hint = clip(s.Hint)
	}
	if to := a.Header.Get("Location"); a.Status/100 == 3 && to != "" {
		to, _, _ = strings.Cut(to, "?")
		e.Why += " to " + clip(to) + "; redirects are not followed"
	}
	if r.credentials && (a.Status != http.StatusUnauthorized || l.creds.reference() == "") {
		l.creds.guard.Forbidden(e)
	}
	return e
}

// words joins what the ERP said, most general first.
func (s spoken) words() string {
	var out []string
	for _, p := range []string{s.Title, s.Detail, s.Message} {
		if p != "" && (len(out) == 0 || out[len(out)-1] != p) {
			out = append(out, p)
		}
	}
	text := clip(strings.Join(out, ": "))
	if s.Code != "" {
		text = strings.TrimSpace(text + " (" + clip(s.Code) + ")")
	}
	return text
}

// listen reads an error body; what is no JSON object says nothing.
func listen(body []byte) spoken {
	v, err := contract.Decode(body)
	m, _ := v.(map[string]any)
	if err != nil || m == nil {
		return spoken{}
	}
	s := spoken{Title: str(m["title"]), Detail: str(m["detail"]), Hint: str(m["hint"]), Code: str(m["code"]), Message: str(m["message"])}
	switch e := m["error"].(type) {
	case string:
		s.Message = e
	case map[string]any:
		s.Code, s.Message = str(e["code"]), str(e["message"])
		if nested, ok := e["message"].(map[string]any); ok { // OData V2
			s.Message = str(nested["value"])
		}
	}
	for _, name := range []string{"errors", "violations", "invalid-params"} {
		list, _ := m[name].([]any)
		for _, item := range list[:min(len(list), mostFields)] {
			if f, ok := field(item); ok {
				s.Fields = append(s.Fields, f)
			}
		}
	}
	return s
}

// field reads one entry of a list of errors (RFC 9457 section 3, example; RFC 7807 for invalid-params).
func field(item any) (problem.Field, bool) {
	m, ok := item.(map[string]any)
	if !ok {
		return problem.Field{}, false
	}
	f := problem.Field{Pointer: clip(first(m, "pointer", "parameter", "header", "name", "field")), Why: clip(first(m, "detail", "reason", "message", "title"))}
	return f, f.Pointer != "" || f.Why != ""
}

func first(m map[string]any, names ...string) string {
	for _, n := range names {
		if s := str(m[n]); s != "" {
			return s
		}
	}
	return ""
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

// unreachable is the problem of a request that got no answer.
func unreachable(what string, sent bool, err error) *problem.Error {
	if p, ok := errors.AsType[*problem.Error](err); ok { // no secret, or one that rests
		return p
	}
	e := &problem.Error{Kind: problem.Unavailable, What: what, Cause: err}
	if sent {
		e.Why, e.Hint = "the line broke before the answer; the ERP may have it", hintAsk
		return e
	}
	e.Why, e.Hint = "the ERP was not reached; it has got nothing", fmt.Sprintf("%s, or check base_url, network and certificates", hintWait)
	return e
}
