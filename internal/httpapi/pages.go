package httpapi

import (
	"context"
	"net/http"
	"time"
)

// pagesRoot is where the pages begin; whoever opens the listener's own address in a browser is led there.
const pagesRoot = "/console/"

// CommandsPath is where the program on another machine has its commands run.
const CommandsPath = "/commands/v1"

// withPages is the API with the console and the commands beside it. Neither is part of the contract: the pages have a gate, a policy and
// answers of their own, and of the commands both ends are this program.
func (s *Server) withPages() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler())
	if s.Commands != nil {
		mux.Handle("POST "+CommandsPath, s.identified(s.recovered(s.guard(s.admitted(http.HandlerFunc(s.command))))))
	}
	if s.Pages != nil {
		mux.Handle(pagesRoot, s.recovered(s.identified(s.Pages)))
		mux.Handle("GET /{$}", http.RedirectHandler(pagesRoot, http.StatusSeeOther))
	}
	return mux
}

// command runs one command for as long as it goes on and its caller stays, and until the server begins to stop.
func (s *Server) command(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 2*s.cfg.BodyLimit) // a file in it grows by a third
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	end := make(chan struct{})
	defer close(end)
	go func() {
		select {
		case <-s.stopping:
			cancel()
		case <-end:
		}
	}()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Time{}) // status --watch has no end
	s.Commands(w, r.WithContext(ctx), actor(ctx))
}
