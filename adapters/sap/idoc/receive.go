package idoc

import (
	"context"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Accept takes what SAP has sent, all of it in one transaction. It may be given again what it took before, under the same IDs.
type Accept = func(ctx context.Context, batch []message.Incoming) error

// Run takes in what SAP sends, at Receive.Listen, in Receive.Folder and by the Carrier, until ctx ends. What is in hand is finished.
func (l *Link) Run(ctx context.Context, accept Accept) error {
	r := l.cfg.Receive
	if r == nil {
		<-ctx.Done()
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	if r.Listen != "" {
		in, err := net.Listen("tcp", r.Listen)
		if err != nil {
			return &problem.Error{
				Kind: problem.Unavailable, What: "listen for IDocs at " + r.Listen, Why: err.Error(), Hint: "stop what has the port, or choose another for receive.listen",
			}
		}
		g.Go(func() error { return l.serve(ctx, in, accept) })
	}
	if r.Carried {
		g.Go(func() error { return l.carrier.Run(ctx, l.Incoming, accept) })
	}
	if r.Folder != "" {
		g.Go(func() error { return l.pickUp(ctx, accept) })
	}
	return g.Wait()
}

// grace is how long requests in hand have for their end.
const grace = 10 * time.Second

func (l *Link) serve(ctx context.Context, in net.Listener, accept Accept) error {
	s := &http.Server{
		Handler: l.Handler(accept), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, WriteTimeout: 3 * time.Minute, IdleTimeout: time.Minute,
		MaxHeaderBytes: 64 << 10, BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	if r := l.cfg.Receive; r.Cert != "" {
		s.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(r.Cert, r.Key)
			return &pair, err
		}}
		in = tls.NewListener(in, s.TLSConfig)
	}
	var g errgroup.Group
	g.Go(func() error {
		if err := s.Serve(in); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve SAP's IDocs: %w", err)
		}
		return nil
	})
	<-ctx.Done()
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	if err := s.Shutdown(ending); err != nil {
		err = errors.Join(s.Close(), g.Wait()) // who has no answer sends again
		return err
	}
	return g.Wait()
}

// Handler answers SAP's HTTP port. 200 says that everything in the request is in the inbox; after anything else SAP keeps the IDoc, and sends
// it again.
func (l *Link) Handler(accept Accept) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status, text := l.take(r, accept)
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		switch status {
		case http.StatusUnauthorized:
			w.Header().Set("WWW-Authenticate", `Basic realm="holdfast", charset="UTF-8"`)
		case http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "10")
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text+"\n") //nolint:gosec // it is sent as plain text; whoever does not hear it sends again
	})
}

func (l *Link) take(r *http.Request, accept Accept) (status int, text string) {
	if !l.known(r) {
		l.log.Warn("somebody who is not SAP's user called the port for IDocs", "part", "idoc")
		return http.StatusUnauthorized, "sign in as the user of this link"
	}
	if r.Method != http.MethodPost {
		return http.StatusMethodNotAllowed, "IDocs are sent by POST"
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, l.cfg.Receive.MaxBytes+1))
	if err != nil {
		return http.StatusBadRequest, "the request broke off"
	}
	batch, err := l.Incoming(body)
	if err == nil {
		err = accept(r.Context(), batch)
	}
	if err == nil {
		return http.StatusOK, fmt.Sprintf("%d taken", len(batch))
	}
	l.log.Warn("an IDoc was not taken; SAP keeps it", "part", "idoc", "err", err)
	return statusOfError(err), err.Error()
}

// statusOfError is how an IDoc is turned away.
func statusOfError(err error) int {
	switch problem.KindOf(err) {
	case problem.Invalid, problem.TooLarge:
		return http.StatusBadRequest
	case problem.Denied, problem.Integrity:
		return http.StatusForbidden
	case problem.Conflict, problem.Duplicate:
		return http.StatusConflict
	}
	return http.StatusServiceUnavailable
}

// known tells whether a request is signed in. Both halves are compared in the time that equal ones need.
func (l *Link) known(r *http.Request) bool {
	user, password, ok := r.BasicAuth()
	want, err := l.secret(r.Context(), l.cfg.Receive.Secret)
	if err != nil || !ok {
		return false
	}
	same := subtle.ConstantTimeCompare([]byte(user), []byte(l.cfg.Receive.User)) & subtle.ConstantTimeCompare([]byte(password), []byte(want))
	return same == 1
}
