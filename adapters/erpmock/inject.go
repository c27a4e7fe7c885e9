package erpmock

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"net/http"
	"strconv"
	"time"
)

// inject spoils an answer. The effect, if the phase has one, is committed by now.
func (c *call) inject(ans answer) {
	f := c.hit
	if f.Kind == Hang || f.Delay > 0 {
		c.wait(time.Duration(f.Delay))
	}
	switch f.Kind {
	case Status, Quota:
		instead := f.answer()
		c.finish(instead.status, "fault", DeliveredNone)
		_ = write(c.w, instead) // how it went changes nothing: the true answer is not delivered
	case Garbage:
		ans.body = []byte("\x00\x01<html><p>not what you think {\"\xff")
		c.finish(ans.status, ans.code, DeliveredNone)
		_ = write(c.w, ans) // as above
	case Half:
		c.partly(ans, len(ans.body)/2)
	case Headers:
		c.partly(ans, 0)
	case Malformed:
		c.finish(0, ans.code, DeliveredNone)
		c.raw([]byte("\x16\x03\x01 this is not HTTP\r\n\r\n"))
	default: // Reset, Lost, Hang
		c.finish(0, ans.code, DeliveredNone)
		cut(c.w, f.Kind == Reset)
	}
}

// answer is what a status or quota fault says instead.
func (s *strike) answer() answer {
	status := s.Status
	switch {
	case s.Kind == Quota:
		status = http.StatusTooManyRequests
	case status == 0:
		status = http.StatusServiceUnavailable
	}
	a := problem(status, "fault", "the mock was told to answer this", "")
	if s.Body != "" {
		a.body, a.media = []byte(s.Body), "text/plain; charset=utf-8"
		if s.Body[0] == '{' || s.Body[0] == '[' {
			a.media = "application/json"
		}
	}
	wait := max(time.Duration(s.RetryAfter), s.wait)
	if wait > 0 {
		secs := int64(math.Ceil(wait.Seconds()))
		a.header = http.Header{"Retry-After": {strconv.FormatInt(secs, 10)}}
	}
	if status == http.StatusNoContent || status == http.StatusNotModified {
		a.body, a.media = nil, ""
	}
	return a
}

// partly writes the headers and the first n bytes of the body, then closes.
func (c *call) partly(ans answer, n int) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\n", ans.status, http.StatusText(ans.status))
	h := http.Header{"Content-Length": {strconv.Itoa(max(1, len(ans.body)))}}
	if ans.media != "" {
		h.Set("Content-Type", ans.media)
	}
	for k, vs := range ans.header {
		h[k] = vs
	}
	_ = h.Write(&b) // into a buffer
	b.WriteString("\r\n")
	b.Write(ans.body[:n])
	c.finish(ans.status, ans.code, DeliveredPart)
	c.raw(b.Bytes())
}

// raw writes bytes past the HTTP server and closes the connection.
func (c *call) raw(b []byte) {
	conn, ok := hijack(c.w)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	_, _ = conn.Write(b) // the connection is given up in any case
	_ = conn.Close()
}

// cut ends the connection without a byte: by a reset, or by an orderly close.
func cut(w http.ResponseWriter, reset bool) {
	conn, ok := hijack(w)
	if !ok {
		panic(http.ErrAbortHandler)
	}
	if tcp, isTCP := conn.(*net.TCPConn); isTCP && reset {
		_ = tcp.SetLinger(0) // then Close sends a reset
	}
	_ = conn.Close()
}

// hijack takes the connection from the server; a recorder in a test has none.
func hijack(w http.ResponseWriter) (net.Conn, bool) {
	conn, _, err := http.NewResponseController(w).Hijack()
	return conn, err == nil
}
