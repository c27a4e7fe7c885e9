// Package httpapi serves openapi/holdfast.yaml, the plant's own API.
//
// # Guarantees
//
//   - A request that does not fit the contract reaches no handler; every wrong field is named at once.
//   - Every changing call is one act of package access: its effect, its audit entry and the answer kept under its
//     Idempotency-Key are one transaction.
//   - Whatever goes wrong is told as a problem document (RFC 9457); the text of an unclassified error stays in the log.
//   - A large body comes in and goes out piece by piece, whatever its size (bodies.go).
//   - Without a Gate it listens on loopback addresses only. With one, each caller is known and permitted what it does, or turned away before
//     its body is read. No page of another site in a browser is answered, and no cookie is looked at.
package httpapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/access"
	"holdfast/internal/inbox"
	"holdfast/internal/job"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/token"
	"holdfast/openapi"
	"holdfast/openapi/contract"
)

//go:generate oapi-codegen --config oapi-codegen.yaml ../../openapi/holdfast.yaml

// Config is the tunable part of a Server; zero fields mean the default.
type Config struct {
	BodyLimit int64         // the most bytes of a request's body; default 1 MiB
	Timeout   time.Duration // how long a request may take, its wait for the ERP not counted; default 30 s
	MaxWait   time.Duration // the longest wait that Prefer: wait=N is granted; default 60 s
	MaxBody   int64         // the most bytes of a body that is kept for a message; default, and the most, message.MaxBody
	// Link is the link whose ERP speaks where an inbound message names none; "" if there are several.
	Link string
	// Links are those of the configuration, true for one of which the senders are verified: an inbound message can name no other. nil: it
	// can name any.
	Links map[string]bool
	// CheckAnswers holds every answer against the contract. A breach is logged and answered with 500. For tests and trials.
	CheckAnswers bool
}

// Checker tells whether an amended message is still about the same object and can be sent as it is: the mapping reads it, and the
// link's contract takes what comes out. nil means yes, as far as that can be told before the ERP answers; an error is a *problem.Error
// of kind Invalid.
type Checker interface {
	Check(ctx context.Context, tx *store.Tx, m outbox.Detail) error
}

// Veil has tokens in the place of the sensitive values of a body, before anything else sees it.
type Veil interface {
	VeilAlone(ctx context.Context, db *store.DB, text []byte) ([]byte, error)
}

// Parts are what the API works on; all but Gate, Veil, Tokens, Pages and Commands are required.
type Parts struct {
	Gate    *access.Gate // nil: whoever calls from this machine is let in, and may do everything
	Checker Checker
	DB      *store.DB
	Plant   *mes.Plant
	Outbox  *outbox.Outbox
	Jobs    *job.Jobs
	Inbox   *inbox.Inbox
	Doer    *access.Doer
	Openers map[string]message.Decrypter // by link: what reads events that are encrypted to the plant
	Veil    Veil                         // nil: bodies are kept as they come
	Tokens  *token.Tokens                // nil: nothing is sensitive
	Pages   http.Handler                 // the console, below /console/ on the same listener; nil: there is none
	// Commands runs what a holdfast on another machine is told, in the name of who calls; nil: it is told nothing.
	Commands func(w http.ResponseWriter, r *http.Request, by access.Actor)
}

// Server serves the API. It is safe for use by many goroutines.
type Server struct {
	Parts
	cfg      Config
	log      *slog.Logger
	contract *contract.Document
	stopping chan struct{} // closed when Run begins to stop: whoever waits for the ERP answers at once
	uploads  chan struct{} // has one of each body that is taken in
}

// New returns a Server. The contract is part of the program; New panics if it is broken, which a test excludes.
func New(parts Parts, cfg Config, log *slog.Logger) *Server {
	cfg.BodyLimit = cmp.Or(cfg.BodyLimit, 1<<20)
	cfg.Timeout = cmp.Or(cfg.Timeout, 30*time.Second)
	cfg.MaxWait = cmp.Or(cfg.MaxWait, time.Minute)
	cfg.MaxBody = min(cmp.Or(cfg.MaxBody, message.MaxBody), message.MaxBody)
	doc, err := contract.Load(openapi.Holdfast(), "holdfast.yaml")
	if err != nil {
		panic(fmt.Sprintf("httpapi: %v", err))
	}
	return &Server{Parts: parts, cfg: cfg, log: log, contract: doc, stopping: make(chan struct{}), uploads: make(chan struct{}, uploads)}
}

// Handler is the API without a listener. Its first request may come before Run.
func (s *Server) Handler() http.Handler {
	strict := NewStrictHandlerWithOptions(s, nil, StrictHTTPServerOptions{
		RequestErrorHandlerFunc: s.unreadable, ResponseErrorHandlerFunc: s.fail,
	})
	h := HandlerWithOptions(strict, StdHTTPServerOptions{ErrorHandlerFunc: s.unreadable})
	if s.cfg.CheckAnswers {
		h = s.checkAnswers(h)
	}
	h = s.checkRequests(h)
	h = s.admitted(h)
	h = s.guard(h)
	h = s.recovered(h)
	h = s.identified(h)
	return traced(h)
}

// Run serves the API on l until ctx ends, then finishes the requests in hand, 10 s at the most. It closes l.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	h, _ := s.Listener()
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       s.cfg.Timeout,
		WriteTimeout:      s.cfg.Timeout + s.cfg.MaxWait + 5*time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("serve the API on %s: %w", l.Addr(), err)
		}
		return nil
	})
	g.Go(func() error {
		<-ctx.Done()
		close(s.stopping)
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := srv.Shutdown(last); err != nil {
			return fmt.Errorf("finish the API's last requests: %w", errors.Join(err, srv.Close()))
		}
		return nil
	})
	return g.Wait()
}
