package edmx

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/odata/edm"
)

// answer is what the service says, before any fault.
type answer struct {
	status int
	header map[string]string
	media  string
	body   []byte
	code   string // of a refusal
}

// serve takes a request through sign-in, token, faults, effect and answer.
func (m *Mock) serve(w http.ResponseWriter, r *http.Request) {
	if m.IsDown() { // the connection was there before, and its listener closes it in a moment
		m.cut(w, true)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, m.cfg.BodyLimit))
	if err != nil {
		m.write(w, r, m.versioned(m.refused(bad(413, "/IWFND/CM_MGW/413", "", "The request is too large"))))
		return
	}
	path, below := m.below(r.URL.EscapedPath())
	c := call{method: r.Method, query: r.URL.Query(), header: r.Header, body: body, host: r.Host}
	if m.cfg.Host != "" {
		c.host = m.cfg.Host
	}
	c.host += strings.TrimSuffix(r.URL.EscapedPath(), path) // links name the service as the request did
	if below {
		c, err = m.inner(c, r.Method, path+"?"+r.URL.RawQuery, r.Header, body)
	}
	if !below || err != nil {
		m.write(w, r, answer{status: 404, media: "text/html", body: []byte("<html><body>Service not found</body></html>")})
		return
	}
	e := &erpmock.Entry{At: m.Now(), Method: r.Method, Path: r.URL.RequestURI(), Operation: c.path, Body: string(body), Bytes: int64(len(body)), Open: true, Trace: r.Header.Get("Traceparent")}
	m.identify(e, c)
	delay, hit := m.arrive(e)
	if delay > 0 {
		m.wait(r, delay)
	}
	if hit != nil && hit.Phase != erpmock.After {
		m.settle(e, 0, erpmock.DeliveredNone)
		m.inject(w, r, hit, answer{status: 503})
		return
	}
	a := m.effect(e, c, r)
	if m.ledger != nil {
		if err := m.ledger.Wait(m.ledger.Last()); err != nil {
			a = answer{status: 500, media: "text/plain", body: []byte("the mock's ledger: " + err.Error())}
		}
	}
	if hit != nil {
		m.settle(e, 0, erpmock.DeliveredNone)
		m.inject(w, r, hit, a)
		return
	}
	m.settle(e, a.status, erpmock.DeliveredFull)
	m.write(w, r, a)
}

// effect does what the request asks for, in one step with rules and journal.
func (m *Mock) effect(e *erpmock.Entry, c call, r *http.Request) answer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if user, password, _ := r.BasicAuth(); m.cfg.User != "" && (user != m.cfg.User || password != m.cfg.Password) {
		return answer{status: 401, media: "text/html", body: []byte("<html><body>Logon failed</body></html>"), header: map[string]string{"WWW-Authenticate": "Basic"}}
	}
	reads := c.method == http.MethodGet || c.method == http.MethodHead
	if c.method == http.MethodHead && m.cfg.NoHead {
		return answer{status: 403, media: "text/plain", body: []byte("HEAD is not allowed")}
	}
	var token map[string]string
	if !m.cfg.NoCSRF {
		if strings.EqualFold(r.Header.Get("X-Csrf-Token"), "Fetch") && reads {
			token = m.give(r)
		} else if !reads && !m.trusted(r) {
			return answer{status: 403, media: "text/plain", body: []byte("CSRF token validation failed"), header: map[string]string{"X-Csrf-Token": "Required"}}
		}
	}
	a := m.versioned(m.route(e, c))
	e.Refusal = a.code
	if !reads {
		m.writes++
	}
	if m.cfg.SessionWrites > 0 && m.writes >= m.cfg.SessionWrites {
		m.writes = 0
		clear(m.sessions)
	}
	for name, v := range token {
		if a.header == nil {
			a.header = map[string]string{}
		}
		a.header[name] = v
	}
	return a
}

// sessionCookie is named as SAP's are.
const sessionCookie = "SAP_SESSIONID_MCK_100"

// give hands out a token and, without a session, a cookie.
func (m *Mock) give(r *http.Request) map[string]string {
	m.tokens++
	out := map[string]string{}
	session := ""
	if k, err := r.Cookie(sessionCookie); err == nil && m.sessions[k.Value] != "" {
		session = k.Value
	} else {
		session = rand.Text()
		out["Set-Cookie"] = sessionCookie + "=" + session + "; path=/; HttpOnly"
		m.sessions[session] = rand.Text()
	}
	out["X-Csrf-Token"] = m.sessions[session]
	return out
}

// trusted tells whether a write has the token of its session.
func (m *Mock) trusted(r *http.Request) bool {
	k, err := r.Cookie(sessionCookie)
	return err == nil && m.sessions[k.Value] != "" && m.sessions[k.Value] == r.Header.Get("X-Csrf-Token")
}

// route finds what the request is for.
func (m *Mock) route(e *erpmock.Entry, c call) answer {
	switch {
	case c.path == "":
		return m.root()
	case c.path == "$metadata":
		if c.header.Get("If-None-Match") == m.etag {
			return answer{status: 304, header: map[string]string{"ETag": m.etag}}
		}
		return answer{status: 200, media: "application/xml", body: m.text, header: map[string]string{"ETag": m.etag}}
	case c.path == "$batch" && c.method == http.MethodPost:
		return m.batch(e, c)
	}
	id := c.header["Requestid"]
	if m.cfg.Repeatable && len(id) > 0 && c.method != http.MethodGet {
		if a, ok := m.answered[id[0]]; ok {
			a.header = map[string]string{"RepeatabilityResult": "accepted"}
			return a
		}
	}
	tx := m.begin(e)
	a := m.do(tx, c)
	if a.status >= 400 {
		tx.rollback()
	} else if tx.commit(); m.cfg.Repeatable && len(id) > 0 {
		m.answered[id[0]] = a
	}
	return a
}

// root is the service document: the names of the sets in V2, each with its address in V4 (OData JSON format 4.0 section 5).
func (m *Mock) root() answer {
	names := slices.Sorted(maps.Keys(m.model.Sets))
	if m.model.Version == edm.V2 {
		return m.json(200, map[string]any{"d": map[string]any{"EntitySets": names}})
	}
	sets := make([]any, 0, len(names))
	for _, name := range names {
		sets = append(sets, map[string]any{"name": name, "kind": "EntitySet", "url": name})
	}
	return m.json(200, map[string]any{"@odata.context": "$metadata", "value": sets})
}

// versioned says in an answer of the service of which version of OData it is.
func (m *Mock) versioned(a answer) answer {
	if a.header == nil {
		a.header = map[string]string{}
	}
	if m.model.Version == edm.V2 {
		a.header["DataServiceVersion"] = "2.0"
	} else {
		a.header["OData-Version"] = "4.0"
	}
	return a
}

func (m *Mock) json(status int, v any) answer {
	b, err := json.Marshal(v)
	if err != nil {
		return answer{status: 500, media: "text/plain", body: []byte(err.Error())}
	}
	return answer{status: status, media: "application/json", body: b, header: map[string]string{}}
}

// single wraps one entity as the version does.
func (m *Mock) single(status int, e map[string]any) answer {
	if m.model.Version == edm.V2 {
		return m.json(status, map[string]any{"d": e})
	}
	return m.json(status, e)
}

// refused writes an error as SAP's gateway does: V2 with a language, inner error and transaction, V4 flat.
func (m *Mock) refused(r *refusal) answer {
	all := append([]refusal{{code: r.code, text: r.text, target: r.target}}, r.details...)
	details := make([]any, 0, len(all))
	if m.model.Version == edm.V4 {
		for _, d := range r.details {
			details = append(details, map[string]any{"code": d.code, "message": d.text, "target": d.target, "@Common.numericSeverity": 4})
		}
		e := map[string]any{"code": r.code, "message": r.text, "details": details}
		if r.target != "" {
			e["target"] = r.target
		}
		a := m.json(r.status, map[string]any{"error": e})
		a.code = r.code
		return a
	}
	for _, d := range all {
		details = append(details, map[string]any{"code": d.code, "message": d.text, "propertyref": d.target, "severity": "error", "target": d.target})
	}
	a := m.json(r.status, map[string]any{"error": map[string]any{
		"code": r.code, "message": map[string]any{"lang": "en", "value": r.text},
		"innererror": map[string]any{"transactionid": fmt.Sprintf("%032X", m.numbers+1), "errordetails": details},
	}})
	a.code = r.code
	return a
}

// write sends an answer, packed where the client takes that.
func (m *Mock) write(w http.ResponseWriter, r *http.Request, a answer) {
	h := w.Header()
	for name, v := range a.header {
		if v != "" {
			h.Set(name, v)
		}
	}
	if a.media != "" {
		h.Set("Content-Type", a.media)
	}
	if len(a.body) > 1024 && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(a.body) // into memory
		_ = z.Close()
		a.body = b.Bytes()
		h.Set("Content-Encoding", "gzip")
	}
	if a.status != 204 && a.status != 304 {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // the client has left if this fails
}

// inject spoils an answer. The effect, if the phase has one, is there by now.
func (m *Mock) inject(w http.ResponseWriter, r *http.Request, f *erpmock.Fault, a answer) {
	if f.Kind == erpmock.Hang || f.Delay > 0 {
		m.wait(r, time.Duration(f.Delay))
	}
	switch f.Kind {
	case erpmock.Status, erpmock.Quota:
		status, media := f.Status, "text/html"
		switch {
		case f.Kind == erpmock.Quota:
			status = 429
		case status == 0:
			status = 503
		}
		instead := answer{status: status, header: map[string]string{}, media: media, body: []byte("<html><body>Service Unavailable</body></html>")}
		if f.Body != "" {
			instead.body, instead.media = []byte(f.Body), "application/json"
		}
		if f.RetryAfter > 0 {
			instead.header["Retry-After"] = strconv.Itoa(int(math.Ceil(time.Duration(f.RetryAfter).Seconds())))
		}
		m.write(w, r, instead)
	case erpmock.Garbage:
		a.body, a.media = []byte("\x00\x01<html><p>not what you think {\"\xff"), "application/json"
		m.write(w, r, a)
	case erpmock.Half:
		m.half(w, a)
	default:
		m.cut(w, f.Kind == erpmock.Reset)
	}
}

func (m *Mock) wait(r *http.Request, d time.Duration) {
	ctx, cancel := r.Context(), context.CancelFunc(func() {})
	if d > 0 {
		ctx, cancel = context.WithTimeout(ctx, d)
	}
	defer cancel()
	select {
	case <-ctx.Done():
	case <-m.stop:
	}
}

// half writes the headers and half of the body, then closes.
func (m *Mock) half(w http.ResponseWriter, a answer) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	fmt.Fprintf(conn, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", a.status, http.StatusText(a.status), a.media, max(1, len(a.body)), a.body[:len(a.body)/2])
	_ = conn.Close() // given up in any case
}

// cut ends the connection without a byte.
func (m *Mock) cut(w http.ResponseWriter, reset bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // then Close sends a reset
	}
	_ = conn.Close() // given up in any case
}
