package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/sync/errgroup"
)

// serveOps serves what watches the process: /livez says that it runs, /readyz that its database answers (an ERP that is away is no
// reason to be taken out of service), /metrics what Prometheus scrapes.
func (p *process) serveOps(ctx context.Context, l net.Listener) error {
	mux := http.NewServeMux()
	for pattern, serve := range p.opsRoutes() {
		mux.Handle(pattern, serve)
	}
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second,
		IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(p.log.Handler(), slog.LevelWarn),
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve on %s: %w", l.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		return srv.Shutdown(last)
	})
	return g.Wait()
}

// opsRoutes are what the listener serves, by their patterns. It asks nobody who they are, and is a loopback address for that: none of it says what a
// message says, or changes anything.
func (p *process) opsRoutes() map[string]http.Handler {
	all := map[string]http.Handler{
		"GET /livez": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.health(w, r, nil) }),
		"GET /readyz": http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			ctx, cancel := context.WithTimeout(r.Context(), 5*time.Second)
			defer cancel()
			p.health(w, r, p.db.Ping(ctx))
		}),
		"GET /metrics": promhttp.HandlerFor(p.tel.registry, promhttp.HandlerOpts{}),
	}
	if p.ring != nil {
		all["GET /.well-known/jwks.json"] = http.HandlerFunc(p.jwks)
	}
	return all
}

// jwks tells the public keys that the plant signs with, old ones too (RFC 7517). While Vault is away it goes by what Vault said last.
func (p *process) jwks(w http.ResponseWriter, r *http.Request) {
	b, err := p.ring.Bundle(r.Context())
	var set []byte
	if err == nil {
		set, err = b.JWKS()
	}
	if err != nil {
		p.log.WarnContext(r.Context(), "the public keys cannot be told", "part", "ops", "err", err)
		http.Error(w, "the database or the keyring does not answer", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	if _, err := w.Write(set); err != nil {
		p.log.DebugContext(r.Context(), "a reader left before its answer", "part", "ops", "err", err)
	}
}

// health answers with a status that a probe understands; the reason is for the log, since probes come unasked from anywhere.
func (p *process) health(w http.ResponseWriter, r *http.Request, err error) {
	status, word := http.StatusOK, "ok"
	if err != nil {
		status, word = http.StatusServiceUnavailable, "the database does not answer"
		p.log.WarnContext(r.Context(), "not ready", "part", "ops", "err", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(map[string]string{"status": word}); err != nil {
		p.log.DebugContext(r.Context(), "a probe left before its answer", "part", "ops", "err", err)
	}
}
