package seal

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/problem"
)

// teller gives tokens of a minute, or what fails says. It notes when it was asked for what.
type teller struct {
	mu     sync.Mutex // of all of it, where a session of its own asks
	fails  error
	asked  []time.Time
	logins int
}

func (f *teller) login(context.Context) (lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	f.logins++
	return lease{token: "token", ttl: time.Minute, renewable: true}, f.fails
}

func (f *teller) renew(context.Context, lease) (lease, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, time.Now())
	return lease{token: "token", ttl: time.Minute, renewable: true}, f.fails
}

func (f *teller) say(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = err
}

// TestASessionAsksAtAMeasuredPace lets Vault work for a while, fail in one way for ten minutes, and work again.
func TestASessionAsksAtAMeasuredPace(t *testing.T) {
	tests := []struct {
		name         string
		fails        error
		most, logins int // in the ten minutes; at the end
	}{
		{"nothing fails", nil, 17, 1},
		{"Vault is away", &problem.Error{Kind: problem.Unavailable}, 40, 2},
		{"the token was revoked", &problem.Error{Kind: problem.Denied}, 40, 2},
		{"something unheard of", errors.New("odd"), 40, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &teller{}
				s := newSession(f, slog.New(slog.DiscardHandler))
				ctx, stop := context.WithCancel(t.Context())
				if _, err := s.token(ctx); err != nil {
					t.Fatal(err)
				}
				go s.run(ctx)
				time.Sleep(5 * time.Minute)
				synctest.Wait()
				before := len(f.asked)
				f.say(tt.fails)
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				if got := len(f.asked) - before; got > tt.most {
					t.Errorf("asked %d times in ten minutes, want %d at most", got, tt.most)
				}
				for i := 1; i < len(f.asked); i++ {
					if d := f.asked[i].Sub(f.asked[i-1]); d < time.Second {
						t.Errorf("asked again after %s", d)
					}
				}
				f.say(nil)
				time.Sleep(time.Minute)
				synctest.Wait()
				if _, err := s.token(ctx); err != nil || f.logins < tt.logins {
					t.Errorf("after %d logins, want %d at least: %v", f.logins, tt.logins, err)
				}
				stop()
			})
		})
	}
}

// TestManyWhoWantATokenAreOneAttempt: a plant that asks a thousand times a second does not pass that on to Vault.
func TestManyWhoWantATokenAreOneAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &teller{fails: &problem.Error{Kind: problem.Unavailable}}
		s := newSession(f, slog.New(slog.DiscardHandler))
		for range 10_000 {
			if _, err := s.token(t.Context()); err == nil {
				t.Fatal("a token from a Vault that is away")
			}
			time.Sleep(time.Millisecond)
		}
		if got := len(f.asked); got > 10 {
			t.Errorf("asked %d times in ten seconds", got)
		}
	})
}

// TestASessionThatNeverBeganRests: where Vault was away from the start there is nothing to renew, and nothing to go round for.
func TestASessionThatNeverBeganRests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSession(&teller{fails: &problem.Error{Kind: problem.Unavailable}}, slog.New(slog.DiscardHandler))
		if _, err := s.token(t.Context()); err == nil {
			t.Fatal("there is a token")
		}
		time.Sleep(time.Minute)
		if got := s.wait(); got < firstPause {
			t.Errorf("it looks again after %s", got)
		}
	})
}

// TestARefusalThatIsNotTheTokensIsNoReasonToLogIn: who asks for what is not allowed has one login in half a minute for it.
func TestARefusalThatIsNotTheTokensIsNoReasonToLogIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &teller{}
		s := newSession(f, slog.New(slog.DiscardHandler))
		for range 60 {
			token, err := s.token(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if s.refused(token, "kv/erp") {
				if _, err := s.token(t.Context()); err != nil {
					t.Fatal(err)
				}
				s.futile("kv/erp")
			}
			time.Sleep(time.Second)
		}
		if f.logins > 4 {
			t.Errorf("%d logins in a minute", f.logins)
		}
		token, err := s.token(t.Context())
		if err != nil || s.refused(token, "kv/erp") || !s.refused(token, "pki/sign/a") {
			t.Errorf("%v: what is refused of another path is taken for what is not allowed, while the token may have ended", err)
		}
	})
}
