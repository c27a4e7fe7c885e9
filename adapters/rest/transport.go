package rest

import (
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"

	"holdfast/adapters/wire"
	"holdfast/openapi/contract"
)

// newClient makes the client side of HTTP.
func newClient(cfg Config) (*wire.Client, error) {
	secure, err := wire.TLS(cfg.TLS.CA, cfg.TLS.Cert, cfg.TLS.Key, cfg.TLS.ServerName)
	if e, ok := errors.AsType[*wire.SettingError](err); ok {
		return nil, wrong(e.Setting, e.Why, "name PEM files that can be read and belong together")
	}
	w := wire.Config{
		Timeout: cfg.Timeout, ConnectTimeout: cfg.ConnectTimeout, IdleTimeout: cfg.IdleTimeout, Idle: cfg.IdleConnections,
		MaxBody: cfg.MaxBody, HTTP2: cfg.HTTP2, TLS: secure,
	}
	if cfg.Proxy != "" {
		if w.Proxy, err = url.Parse(cfg.Proxy); err != nil {
			return nil, wrong("proxy", "it is no address", "for example http://proxy.example:3128")
		}
	}
	return wire.New(w), nil
}

// exchange sends the request once and reads the answer. If there is none, sent tells whether the ERP may have got the request. What the
// contract has in headers of it is covered by its proof. It signs in.
func (l *Link) exchange(hr *http.Request, req *contract.Request) (a wire.Answer, sent bool, err error) {
	answered, err := l.creds.apply(hr.Context(), hr.Header)
	if err != nil {
		return a, false, err
	}
	defer func() { answered(a.Status) }()
	if a, sent, err = l.http.Exchange(hr, slices.Sorted(maps.Keys(req.Header))...); err == nil {
		a.At = l.now()
	}
	return a, sent, err
}
