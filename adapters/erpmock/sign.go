package erpmock

import (
	"net/http"
	"strconv"
	"time"

	"holdfast/internal/message"
)

// Signer signs what the mock says, as an ERP does that has keys.
type Signer interface {
	// SignAnswer adds the proof of an answer to its header.
	SignAnswer(h *message.Hop) error
	// SignReceipt is the receipt of an event that was taken, for the header Holdfast-Receipt; target is what its document has changed, if
	// anything.
	SignReceipt(id, digest, document, target string, at time.Time) (string, error)
}

// judgeHop notes whether the proof of a request counts. It refuses nothing: the journal tells.
func (c *call) judgeHop(body []byte) {
	if c.m.cfg.Hops == nil {
		return
	}
	c.entry.Hop = Verified
	if err := message.ProveHop(c.r.Context(), c.m.cfg.Hops, *c.asked(body)).Err(); err != nil {
		c.entry.Hop = err.Error()
	}
}

// asked is the request as it came.
func (c *call) asked(body []byte) *message.Hop {
	h := &message.Hop{
		Method: c.r.Method, Scheme: "http", Authority: c.r.Host, Path: c.r.URL.EscapedPath(), Query: c.r.URL.RawQuery, Header: c.r.Header.Clone(), Body: body,
	}
	if c.r.TLS != nil {
		h.Scheme = "https"
	}
	if c.r.ContentLength > 0 {
		h.Header["Content-Length"] = []string{strconv.FormatInt(c.r.ContentLength, 10)}
	}
	return h
}

// sign adds to an answer the receipt of the message that it is about, and the proof that it answers this request.
func (c *call) sign(ans answer) answer {
	if c.m.cfg.Signer == nil {
		return ans
	}
	header := http.Header{}
	for name, values := range ans.header {
		header[http.CanonicalHeaderKey(name)] = values
	}
	if receipt, err := c.receipt(ans.status); err != nil {
		return problem(http.StatusInternalServerError, "no-receipt", err.Error(), "")
	} else if receipt != "" {
		header.Set("Holdfast-Receipt", receipt)
	}
	if ans.media != "" {
		header.Set("Content-Type", ans.media)
	}
	h := &message.Hop{Status: ans.status, Header: header, Body: ans.body, Asked: c.asked(nil)}
	if err := c.m.cfg.Signer.SignAnswer(h); err != nil {
		return problem(http.StatusInternalServerError, "no-signature", err.Error(), "")
	}
	ans.header = header
	return ans
}

// receipt is that of the message which a request brings, or asks for; "" if it was not taken, or that is asked of none.
func (c *call) receipt(status int) (string, error) {
	id := c.entry.MessageID
	if c.r.Method == http.MethodGet {
		id = c.r.URL.Query().Get(c.m.plan.names.Message)
	}
	if id == "" || status/100 != 2 {
		return "", nil
	}
	c.s.mu.Lock()
	var digest, document, target string
	for _, r := range c.s.store.messages[id] {
		digest, document, target = r.envelope.Digest, r.number, r.target
		break
	}
	c.s.mu.Unlock()
	if document == "" {
		return "", nil
	}
	return c.m.cfg.Signer.SignReceipt(id, digest, document, target, c.m.Now())
}
