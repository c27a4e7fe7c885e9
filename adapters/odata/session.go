package odata

import (
	"context"
	"errors"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"time"

	"holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// session is what a system knows of us between requests: cookies, and a CSRF token for each service. One goroutine at a time renews
// it, and the others take what it got: in one session every fetch may make the tokens before it worthless.
type session struct {
	jar *cookiejar.Jar

	fetching sync.Mutex // held while a token is fetched

	mu     sync.Mutex       // guards what follows
	tokens map[string]token // by service
	waits  map[string]waits // of those that gave none, by service
}

// waits is until when something is not asked for, since the ERP has put us off, and with which words.
type waits struct {
	until time.Time
	why   error
}

// left is the problem of who asks before, with what is left of the time; nil of who may ask.
func (w waits) left(now time.Time) error {
	p, ok := errors.AsType[*problem.Error](w.why)
	if !ok || !now.Before(w.until) {
		return nil
	}
	said, _ := errors.AsType[*wire.PutOff](w.why)
	rest, words := *said, *p
	rest.After = w.until.Sub(now)
	words.Cause = &rest
	return &words
}

// putOffBy are those of a problem, none if the ERP did not say when it wants to be asked again.
func putOffBy(err error, now time.Time) waits {
	if p, ok := errors.AsType[*wire.PutOff](err); ok && p.RetryAfter() > 0 {
		return waits{now.Add(p.After), err}
	}
	return waits{}
}

// token is a CSRF token, and how many were had before it.
type token struct {
	text string // empty: the service wants none
	age  int    // 0: never fetched
}

func (s *session) get(service string) token {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tokens[service]
}

func (s *session) set(service, text string) token {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := token{text, s.tokens[service].age + 1}
	s.tokens[service] = t
	return t
}

// csrf is the header, and the word by which a token is fetched and asked for.
const csrf = "X-Csrf-Token"

// token is the service's present token, or a new one if the present one is as old as the one that was refused.
func (c *Client) token(ctx context.Context, refused int) (token, error) {
	if c.cfg.NoCSRF {
		return token{age: 1}, nil
	}
	s := c.link.session
	if t := s.get(c.name); t.age > refused {
		return t, nil
	}
	s.fetching.Lock()
	defer s.fetching.Unlock()
	if t := s.get(c.name); t.age > refused {
		return t, nil // somebody else was here first
	}
	if err := s.left(c.name, c.link.now()); err != nil {
		return token{}, err
	}
	text, err := c.fetchToken(ctx)
	if err != nil {
		s.wait(c.name, putOffBy(err, c.link.now()))
		return token{}, err
	}
	return s.set(c.name, text), nil
}

func (s *session) left(service string, now time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waits[service].left(now)
}

func (s *session) wait(service string, w waits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waits[service] = w
}

// fetchToken asks the service's root, by HEAD or, where a service refuses that, by GET; with the slash at its end or, where that is
// not there, without.
func (c *Client) fetchToken(ctx context.Context) (string, error) {
	var last wire.Answer
	page := false
	for _, try := range []struct{ method, path string }{
		{http.MethodHead, "/"}, {http.MethodGet, "/"}, {http.MethodGet, ""},
	} {
		r := request{method: try.method, path: try.path, header: http.Header{csrf: {"Fetch"}, "Accept": {"application/json"}}}
		a, _, err := c.once(ctx, r, token{})
		if err != nil {
			return "", c.unreachable("CSRF token of "+c.name, false, err)
		}
		if t := a.Header.Get(csrf); t != "" && !strings.EqualFold(t, "Required") && a.Status < 500 {
			return t, nil
		}
		if last = a; a.Status == http.StatusUnauthorized || c.putsOff(a) {
			break
		}
		if page = page || c.isPage(a); a.Status/100 == 2 && try.method == http.MethodGet && !c.isPage(a) {
			return "", nil // it answers, and gives none: it wants none
		}
	}
	if page {
		return "", c.signIn("CSRF token of " + c.name)
	}
	e := c.said("CSRF token of "+c.name, last)
	if e.Kind == problem.Invalid {
		e.Kind, e.Hint = problem.Unavailable, hintAddress
	}
	return "", e
}

// putsOff tells whether an answer asks to be left alone for a while, whatever is asked for.
func (c *Client) putsOff(a wire.Answer) bool {
	_, later := wire.RetryAfter(a.Header, c.link.now(), c.link.cfg.MaxRetryAfter)
	return a.Status == http.StatusTooManyRequests || a.Status == http.StatusServiceUnavailable && later
}

// mustRenew tells whether an answer says that a token is missing or has ended. Nothing was done then.
func mustRenew(a wire.Answer) bool {
	return a.Status == http.StatusForbidden && strings.EqualFold(a.Header.Get(csrf), "Required")
}
