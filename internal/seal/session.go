package seal

import (
	"context"
	"crypto/tls"
	"log/slog"
	"maps"
	"sync"
	"time"
)

// lease is a token of Vault's and how long it holds.
type lease struct {
	token     string
	ttl       time.Duration // 0: it does not end
	renewable bool
	by        *tls.Certificate // of the login, which Vault wants to see again at a renewal; nil: it was another login
}

// tokens gets tokens from Vault. Errors are of kind Denied where Vault refuses and Unavailable where it does not answer.
type tokens interface {
	login(ctx context.Context) (lease, error)
	renew(ctx context.Context, l lease) (lease, error)
}

// session keeps a token at hand. It renews at two thirds of its time, logs in again when Vault does not want it any more, and waits
// longer after each failure: a second first, half a minute at most. However often it is asked, it asks Vault at most once a second.
// (Vault's own LifetimeWatcher, as of api 1.23.0, asks thousands of times a second where it is refused, and gives up in silence.)
type session struct {
	from tokens
	log  *slog.Logger

	mu    sync.Mutex // held through an attempt: those who want a token wait for the one that is under way
	lease lease
	have  bool
	used  bool          // lease has been tried and refused
	next  time.Time     // no attempt before
	pause time.Duration // after the next failure
	last  error         // of the last attempt
	until time.Time     // end of lease

	calm map[string]time.Time // until then a refusal of that path is not the token's: a new one was refused it too
}

func newSession(from tokens, log *slog.Logger) *session {
	return &session{from: from, log: log, pause: firstPause, calm: map[string]time.Time{}}
}

// token is a token that Vault is believed to accept: the one at hand, or a new one. While an attempt is not due yet it is the error
// of the last one.
func (s *session) token(ctx context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.have && !s.used && (s.lease.ttl == 0 || time.Now().Before(s.until)) {
		return s.lease.token, nil
	}
	if err := s.attempt(ctx, s.from.login); err != nil {
		return "", err
	}
	return s.lease.token, nil
}

// refused says that Vault did not accept the token for a path, and tells whether another may be: the next call logs in again then.
func (s *session) refused(token, path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease.token != token {
		return true
	}
	s.used = s.used || time.Now().After(s.calm[path])
	return s.used
}

// futile says that a new token was refused a path as well, so that it is not allowed: who asks for it again and again has no login for each. What
// is refused of other paths may be the token's all the same.
func (s *session) futile(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(s.calm, func(_ string, until time.Time) bool { return now.After(until) })
	s.calm[path] = now.Add(mostPause)
}

// attempt gets a lease by login or renewal, unless it is too early for any attempt.
func (s *session) attempt(ctx context.Context, by func(context.Context) (lease, error)) error {
	now := time.Now()
	if now.Before(s.next) && s.last != nil {
		return s.last
	}
	if wait := s.next.Sub(now); wait > 0 {
		if err := sleep(ctx, wait); err != nil {
			return err
		}
	}
	l, err := by(ctx)
	if err != nil {
		s.last, s.next = err, time.Now().Add(jitter(s.pause)+firstPause/2)
		s.pause = min(2*s.pause, mostPause)
		return err
	}
	s.lease, s.have, s.used, s.last, s.pause = l, true, false, nil, firstPause
	s.next, s.until = time.Now().Add(firstPause), time.Now().Add(l.ttl)
	return nil
}

// run renews until ctx ends.
func (s *session) run(ctx context.Context) {
	for {
		if err := sleep(ctx, s.wait()); err != nil {
			return
		}
		if err := s.renew(ctx); err != nil && ctx.Err() == nil {
			s.log.WarnContext(ctx, "Vault gives no token", "part", "keys", "err", err)
		}
	}
}

// wait is how long the lease needs no care: two thirds of its time, spread; after a failure until the next attempt is due.
func (s *session) wait() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	switch {
	case !s.have || s.lease.ttl == 0: // there is nothing to renew
		return lookAgain
	case s.last != nil:
		return max(0, s.next.Sub(now))
	default:
		two := s.until.Add(-s.lease.ttl / 3)
		return max(firstPause, two.Sub(now)-jitter(s.lease.ttl/20))
	}
}

// renew renews the lease, or logs in where it cannot be renewed or Vault refuses to. A token that nobody has asked for yet is not got.
func (s *session) renew(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.have || s.lease.ttl == 0 {
		return nil
	}
	if s.used || !s.lease.renewable || !time.Now().Before(s.until) {
		return s.attempt(ctx, s.from.login)
	}
	err := s.attempt(ctx, func(ctx context.Context) (lease, error) { return s.from.renew(ctx, s.lease) })
	if isDenied(err) {
		s.used = true // the next attempt logs in
	}
	return err
}

// sleep waits, or says that ctx has ended.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
