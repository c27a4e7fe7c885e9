package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// fail tells the caller what err means, and the log what the caller is not told.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := document(err)
	if p.Status >= http.StatusInternalServerError && r.Context().Err() == nil {
		s.log.ErrorContext(r.Context(), "request failed", "request", requestID(r.Context()), "route", r.Pattern, "err", err)
	}
	s.write(w, r, p)
}

// unreadable is for what the generated server cannot read although the contract took it, which is our defect or a hostile request.
func (s *Server) unreadable(w http.ResponseWriter, r *http.Request, err error) {
	s.fail(w, r, &problem.Error{
		Kind: problem.Invalid, What: "read the request", Why: "a value cannot be read", Hint: "compare it with openapi/holdfast.yaml",
		Cause: err,
	})
}

// document is the problem document of an error.
func document(err error) Problem {
	e, ok := errors.AsType[*problem.Error](err)
	switch {
	case ok:
	case errors.Is(err, context.DeadlineExceeded):
		e = &problem.Error{
			Kind: problem.Unavailable, What: "handle the request", Why: "it took too long",
			Hint: "send it again with the same Idempotency-Key: it takes effect once",
		}
	default:
		e = &problem.Error{
			Kind: problem.Internal, What: "handle the request", Why: "something is wrong in Holdfast",
			Hint: "look for the request's ID in the log and report it",
		}
	}
	p := Problem{
		Type: "/problems/" + string(e.Kind), Title: cmp.Or(e.What, string(e.Kind)), Status: e.Kind.HTTPStatus(), Code: string(e.Kind),
		Detail: e.Why, Hint: e.Hint,
	}
	if e == errRange {
		p.Status = http.StatusRequestedRangeNotSatisfiable
	}
	for _, f := range e.Fields {
		p.Errors = append(p.Errors, FieldError{In: placeOf(f.Pointer), Pointer: f.Pointer, Detail: f.Why})
	}
	return p
}

// placeOf tells where a field stands by its spelling: a JSON Pointer is in the body, a name with capitals is a header's.
func placeOf(pointer string) FieldErrorIn {
	switch {
	case pointer == "" || pointer[0] == '/':
		return FieldErrorInBody
	case 'A' <= pointer[0] && pointer[0] <= 'Z':
		return FieldErrorInHeader
	default:
		return FieldErrorInQuery
	}
}

// breach is the problem document of a request that does not fit the contract. The values found are not repeated.
func breach(wrong []contract.Violation) Problem {
	p := Problem{
		Type: "/problems/contract", Title: "read the request", Status: http.StatusBadRequest, Code: "contract",
		Detail: "it does not fit the contract", Hint: "correct the fields named under errors; openapi/holdfast.yaml has the rules",
	}
	for _, v := range wrong {
		p.Errors = append(p.Errors, FieldError{
			In: FieldErrorIn(v.In), Pointer: cmp.Or(v.Name, v.Pointer), Detail: v.Detail, Hint: v.Hint,
		})
	}
	return p
}

// write sends a problem document.
func (s *Server) write(w http.ResponseWriter, r *http.Request, p Problem) {
	p.Instance = "urn:request:" + requestID(r.Context())
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("X-Content-Type-Options", "nosniff")
	switch p.Status {
	case http.StatusServiceUnavailable:
		h.Set("Retry-After", "5")
	case http.StatusTooManyRequests:
		h.Set("Retry-After", "60")
	case http.StatusUnauthorized:
		h.Set("WWW-Authenticate", `Bearer realm="holdfast"`)
	}
	w.WriteHeader(p.Status)
	if err := json.NewEncoder(w).Encode(p); err != nil {
		s.log.DebugContext(r.Context(), "answer not taken", "err", err)
	}
}
