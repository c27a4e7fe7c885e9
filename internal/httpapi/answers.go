package httpapi

import (
	"bytes"
	"maps"
	"net/http"

	"holdfast/openapi/contract"
)

// recorder keeps an answer back until it has been checked.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (r *recorder) Header() http.Header { return r.header }

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 {
		r.status = status
	}
}

func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	return r.body.Write(b)
}

// checkAnswers holds each answer against the contract before it leaves.
func (s *Server) checkAnswers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		rec := &recorder{header: w.Header().Clone()}
		next.ServeHTTP(rec, r)
		op, _, err := s.contract.Route(r)
		if err == nil {
			if _, wrong := op.CheckResponse(rec.status, rec.header, rec.body.Bytes()); len(wrong) > 0 {
				s.wrongAnswer(w, r, wrong)
				return
			}
		}
		maps.Copy(w.Header(), rec.header)
		w.WriteHeader(rec.status)
		if _, err := w.Write(rec.body.Bytes()); err != nil {
			s.log.DebugContext(r.Context(), "answer not taken", "err", err)
		}
	})
}

func (s *Server) wrongAnswer(w http.ResponseWriter, r *http.Request, wrong []contract.Violation) {
	for _, v := range wrong {
		s.log.ErrorContext(r.Context(), "answer breaks the contract", "route", r.Pattern, "request", requestID(r.Context()), "err", v.String())
	}
	p := breach(wrong)
	p.Title, p.Detail, p.Status, p.Code = "answer the request", "the answer does not fit the contract", http.StatusInternalServerError, "internal"
	s.write(w, r, p)
}
