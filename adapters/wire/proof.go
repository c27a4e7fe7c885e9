package wire

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"holdfast/internal/message"
)

// Receipt is the header in which an ERP that signs its receipts sends them.
const Receipt = "Holdfast-Receipt"

// MostReceipt bounds what is kept of that header.
const MostReceipt = 8 << 10

// Signer shows the far side who asks: it adds to the header of a request what proves that, made anew each time. The header of a request
// with a body that is not in memory has its Content-Digest (RFC 9530) already.
type Signer interface {
	SignHop(ctx context.Context, h *message.Hop) error
}

// Proofs are what shows the ERP who asks, and the plant who has answered. What is nil is not asked for.
type Proofs struct {
	Sign     Signer                  // signs each request, anew each time that it is sent
	Answers  message.HopVerifier     // an answer that it does not vouch for proves nothing
	Receipts message.ReceiptVerifier // a message is delivered once the ERP has signed that it took it
}

// ProveBy has every request signed, and every answer judged. Either may be nil. It must not be called while anything is exchanged.
func (c *Client) ProveBy(signer Signer, judge message.HopVerifier) { c.signer, c.judge = signer, judge }

// prove signs a request, if requests are signed. It gives the request as it is signed, for the answer to refer to.
func (c *Client) prove(ctx context.Context, req *http.Request, covers []string) (*message.Hop, error) {
	if c.signer == nil && c.judge == nil {
		return nil, nil
	}
	h, err := HopOf(req)
	if err != nil || c.signer == nil {
		return h, err
	}
	h.Covers = covers
	if err := c.signer.SignHop(ctx, h); err != nil {
		return nil, fmt.Errorf("prove who asks: %w", err)
	}
	for _, name := range [...]string{"Content-Digest", "Signature-Input", "Signature", "Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"} {
		if values := h.Header[name]; values != nil {
			req.Header[name] = values
		}
	}
	return h, nil
}

// HopOf is a request that is about to leave, with its body unless that is large: then its header has its digest.
func HopOf(req *http.Request) (*message.Hop, error) {
	h := &message.Hop{
		Method: req.Method, Scheme: req.URL.Scheme, Authority: req.Host, Path: req.URL.EscapedPath(), Query: req.URL.RawQuery,
		Header: map[string][]string{},
	}
	if h.Authority == "" {
		h.Authority = req.URL.Host
	}
	for name, values := range req.Header {
		h.Header[http.CanonicalHeaderKey(name)] = values
	}
	if req.Body == nil {
		return h, nil
	}
	h.Header["Content-Length"] = []string{strconv.FormatInt(req.ContentLength, 10)}
	if req.Header.Get("Content-Digest") != "" {
		return h, nil
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, fmt.Errorf("read the body of a request: %w", err)
	}
	err = req.Body.Close()
	h.Body, req.Body = body, io.NopCloser(bytes.NewReader(body))
	return h, err
}

// proofOf has an answer judged.
func (c *Client) proofOf(ctx context.Context, a Answer, asked *message.Hop) message.Proof {
	if c.judge == nil {
		return message.Proof{}
	}
	h := message.Hop{Status: a.Status, Header: map[string][]string{}, Body: a.Body, Asked: asked}
	for name, values := range a.Header {
		h.Header[name] = values
	}
	if len(a.Body) > 0 && h.Header["Content-Length"] == nil { // it came in pieces, which no signature covers
		h.Header["Content-Length"] = []string{strconv.Itoa(len(a.Body))}
	}
	return message.ProveHop(ctx, c.judge, h)
}
