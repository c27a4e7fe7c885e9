package httpapi

import (
	"context"
	"net/http"
	"strconv"

	"holdfast/internal/message"
)

// hopKey is under what a context carries the request as it came, for the check of its proof.
type hopKey struct{}

// hop is the request as it came.
func hop(ctx context.Context) message.Hop {
	h, _ := ctx.Value(hopKey{}).(message.Hop)
	return h
}

func hopOf(r *http.Request, body []byte) message.Hop {
	h := message.Hop{
		Method: r.Method, Scheme: "http", Authority: r.Host, Path: r.URL.EscapedPath(), Query: r.URL.RawQuery, Header: r.Header.Clone(), Body: body,
	}
	if r.TLS != nil {
		h.Scheme = "https"
	}
	if r.ContentLength >= 0 {
		h.Header["Content-Length"] = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	return h
}
