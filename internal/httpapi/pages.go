package httpapi

import "net/http"

// pagesRoot is where the pages begin; whoever opens the listener's own address in a browser is led there.
const pagesRoot = "/console/"

// withPages is the API with the console beside it. The pages are not part of the contract: they have a gate, a policy and answers of their
// own.
func (s *Server) withPages() http.Handler {
	if s.Pages == nil {
		return s.Handler()
	}
	mux := http.NewServeMux()
	mux.Handle("/", s.Handler())
	mux.Handle(pagesRoot, s.recovered(s.identified(s.Pages)))
	mux.Handle("GET /{$}", http.RedirectHandler(pagesRoot, http.StatusSeeOther))
	return mux
}
