package httpapi

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"time"
)

// pagesRoot is where the pages begin; whoever opens the listener's own address in a browser is led there.
const pagesRoot = "/console/"

// CommandsPath is where the program on another machine has its commands run.
const CommandsPath = "/commands/v1"

// routes are the API with the console and the commands beside it, by their patterns. Neither is part of the contract: the pages have a gate, a policy and
// answers of their own, and of the commands both ends are this program.
func (s *Server) routes() map[string]http.Handler {
	all := map[string]http.Handler{"/": s.Handler()}
	if s.Commands != nil {
		all["POST "+CommandsPath] = s.identified(s.recovered(s.guard(s.admitted(http.HandlerFunc(s.command)))))
	}
	if s.Pages != nil {
		all[pagesRoot] = s.recovered(s.identified(s.Pages))
		all["GET /{$}"] = http.RedirectHandler(pagesRoot, http.StatusSeeOther)
	}
	return all
}

// Listener is all that the API's listener serves, and the patterns of that.
func (s *Server) Listener() (h http.Handler, patterns []string) {
	mux, all := http.NewServeMux(), s.routes()
	for pattern, h := range all {
		mux.Handle(pattern, h)
	}
	return mux, slices.Sorted(maps.Keys(all))
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
