package httpapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"runtime/debug"
	"strings"

	"github.com/google/uuid"

	"holdfast/internal/access"
	"holdfast/internal/body"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// caller is what the context carries: who calls, and the ID of the call.
type caller struct {
	actor   access.Actor
	request string
}

type callerKey struct{}

// actor is who calls.
func actor(ctx context.Context) access.Actor {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.actor
}

// requestID is the ID of the call, that X-Request-ID carries.
func requestID(ctx context.Context) string {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c.request
}

// identified gives each request an ID, the caller's if it is a decent one, and the actor: the local user, until admitted finds another.
func (s *Server) identified(next http.Handler) http.Handler {
	decent := regexp.MustCompile(`^[A-Za-z0-9._-]{1,100}$`)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := r.Header.Get("X-Request-ID")
		if !decent.MatchString(id) {
			id = uuid.NewString()
		}
		host, _, err := net.SplitHostPort(r.RemoteAddr)
		if err != nil {
			host = r.RemoteAddr
		}
		w.Header().Set("X-Request-ID", id)
		c := caller{access.Actor{Name: "local", From: host}, id}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callerKey{}, c)))
	})
}

// recovered makes a panic in one request an answer, so that it ends no other.
func (s *Server) recovered(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(v) // the server's own way to cut a connection
			}
			s.log.ErrorContext(r.Context(), "request panicked", "request", requestID(r.Context()), "err", v, "stack", string(debug.Stack()))
			s.write(w, r, document(errors.New("panic")))
		}()
		next.ServeHTTP(w, r)
	})
}

// guard keeps pages of other sites, which a browser on this machine may show, from calling the API: neither by a name of theirs
// that leads to a loopback address, nor across origins.
func (s *Server) guard(next http.Handler) http.Handler {
	sites := http.NewCrossOriginProtection()
	sites.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.fail(w, r, foreign("the page of another site calls")) }))
	next = sites.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = strings.Trim(r.Host, "[]")
		}
		if r.TLS == nil && !Loopback(host) { // over TLS the certificate is of the name
			s.fail(w, r, foreign("it is called by a name that is not this machine's own"))
			return
		}
		if r.TLS != nil {
			w.Header().Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
		}
		next.ServeHTTP(w, r)
	})
}

func foreign(why string) error {
	return &problem.Error{Kind: problem.Denied, What: "call the API", Why: why, Hint: "call it as 127.0.0.1 or localhost, from this machine"}
}

// timed ends what takes too long. What a caller asked to wait for the ERP comes on top. A transfer may take as long as it goes on.
func (s *Server) timed(w http.ResponseWriter, r *http.Request, op *contract.Operation) (http.ResponseWriter, *http.Request, context.CancelFunc) {
	wait, _ := s.wait(r.Header.Get("Prefer"))
	limit := s.cfg.Timeout + wait
	if streams(op) {
		p := &patient{w, r.Body, s.cfg.Timeout}
		limit, w, r.Body = streamTime, p, p
	}
	ctx, cancel := context.WithTimeout(r.Context(), limit)
	return w, r.WithContext(ctx), cancel
}

// checkRequests lets through only what fits the contract.
func (s *Server) checkRequests(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if all := r.Header.Values("Prefer"); len(all) > 1 { // a list may come in several lines (RFC 9110 section 5.3)
			r.Header.Set("Prefer", strings.Join(all, ", "))
		}
		op, path, err := s.contract.Route(r)
		if err != nil {
			s.lost(w, r, err)
			return
		}
		nameSpan(r.Context(), op)
		if err := s.permitted(r, op, path); err != nil {
			s.fail(w, r, err)
			return
		}
		w, r, done := s.timed(w, r, op)
		defer done()
		wrong, err := s.check(w, r, op, path)
		switch {
		case err != nil:
			s.fail(w, r, err)
		case len(wrong) > 0:
			s.write(w, r, breach(wrong))
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// check holds a request against its operation, the body as well unless that is streamed.
func (s *Server) check(w http.ResponseWriter, r *http.Request, op *contract.Operation, path map[string]string) ([]contract.Violation, error) {
	req := &contract.Request{Path: path, Query: r.URL.Query(), Header: r.Header}
	wrong := unknownQuery(op, r)
	if streams(op) && len(op.MediaTypes()) > 0 {
		if r.ContentLength > s.cfg.MaxBody {
			return nil, body.TooLarge(s.cfg.MaxBody)
		}
		return append(wrong, op.CheckParameters(req)...), nil
	}
	var err error
	if req.Body, err = s.read(w, r); err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(req.Body))
	*r = *r.WithContext(context.WithValue(r.Context(), hopKey{}, hopOf(r, req.Body)))
	_, more := op.CheckRequest(req)
	if wrong = append(wrong, more...); len(wrong) == 0 {
		err = s.veil(r, op, req.Body)
	}
	return wrong, err
}

// veil has the handlers see tokens in the place of sensitive values. What an ERP sends is judged as it came; the inbox veils it.
func (s *Server) veil(r *http.Request, op *contract.Operation, body []byte) error {
	if s.Veil == nil || len(body) == 0 || op.ID == "receiveInbound" {
		return nil
	}
	veiled, err := s.Veil.VeilAlone(r.Context(), s.DB, body)
	r.Body = io.NopCloser(bytes.NewReader(veiled))
	return err
}

// unknownQuery refuses a parameter that the operation does not have: a misspelt filter must not look like a filter.
func unknownQuery(op *contract.Operation, r *http.Request) []contract.Violation {
	known := map[string]bool{}
	for _, p := range op.Parameters() {
		known[p.Name] = known[p.Name] || p.In == "query"
	}
	var wrong []contract.Violation
	for name := range r.URL.Query() {
		if !known[name] {
			wrong = append(wrong, contract.Violation{In: "query", Name: name, Detail: "is no parameter of this operation"})
		}
	}
	return wrong
}

// read takes the whole body, so that it is checked before anything is done.
func (s *Server) read(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.cfg.BodyLimit))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, &problem.Error{
			Kind: problem.TooLarge, What: "read the request", Why: fmt.Sprintf("its body has more than %d bytes", s.cfg.BodyLimit),
			Hint: "send less at once, or raise api.body_limit; what an ERP's message carries may be kept by POST /v1/bodies, and named", Cause: err,
		}
	}
	if err != nil {
		return nil, &problem.Error{Kind: problem.Invalid, What: "read the request", Why: "its body broke off", Hint: "send it again", Cause: err}
	}
	return body, nil
}

// lost answers a path or a method that the contract does not have.
func (s *Server) lost(w http.ResponseWriter, r *http.Request, err error) {
	if !errors.Is(err, contract.ErrMethod) {
		s.fail(w, r, &problem.Error{Kind: problem.NotFound, What: "call " + r.Method, Why: "there is no such path", Hint: "openapi/holdfast.yaml lists them"})
		return
	}
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPatch} {
		other := r.Clone(r.Context())
		other.Method = m
		if _, _, err := s.contract.Route(other); err == nil {
			allow = append(allow, m)
		}
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	p := document(&problem.Error{Kind: problem.Invalid, What: "call " + r.Method, Why: "this path does not have that method", Hint: "use " + strings.Join(allow, " or ")})
	p.Status = http.StatusMethodNotAllowed
	s.write(w, r, p)
}
