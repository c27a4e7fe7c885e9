package wire

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"holdfast/internal/problem"
)

// Guard sees to it that no far side locks a link's user for wrong secrets, as SAP and directories do after a few. A secret that was not accepted
// yet is tried by one request at a time; one that was refused is left alone for longer each time, and nothing is sent meanwhile. Another secret
// is tried at once. It is safe for concurrent use once its fields are set.
type Guard struct {
	Spare  int              // refusals before a secret rests: 1 where what is refused may only have come to its end, as a token
	Now    func() time.Time // tells the time
	Forget func()           // has the next secret be had anew: this one was refused, or rests

	turn chan struct{} // held by who tries what was not accepted yet

	mu       sync.Mutex // guards what follows
	accepted string     // the secret that was last taken
	refused  string     // the secret that was last refused, so many times in a row
	why      string
	tries    int
	rest     time.Time // until then what was refused is not tried
	denied   func(why error)
	told     time.Time // when it heard of it last
	untold   error     // what it would have heard before it was known
}

// NewGuard returns a Guard. forget is its Forget.
func NewGuard(forget func()) *Guard {
	return &Guard{Now: time.Now, Forget: forget, turn: make(chan struct{}, 1)}
}

// WhenDenied has f hear of a refusal: when it begins, and each hour while it lasts. f must not call the Guard.
func (g *Guard) WhenDenied(f func(why error)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.denied = f; g.untold != nil {
		g.tell(g.untold)
	}
}

// rests are how long a secret is left alone after it was refused once, twice and more often. SAP locks a user at five by default.
func rests() []time.Duration { return []time.Duration{time.Minute, 10 * time.Minute, time.Hour} }

// tellEvery is how often a refusal that lasts is told.
const tellEvery = time.Hour

const hintSignIn = "renew the link's credentials or the rights of its user there; the link tries again by itself"

// Enter gives leave to send the secret that get gives, which is called again where another's try had to be waited for. left must be called with
// the status of the answer, 0 if there was none.
func (g *Guard) Enter(ctx context.Context, get func(context.Context) (string, error)) (left func(status int), err error) {
	secret, err := g.fresh(ctx, get)
	if err != nil {
		return nil, err
	}
	if g.proven(secret) {
		return func(status int) { g.judge(secret, status) }, nil
	}
	select {
	case g.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if secret, err = g.fresh(ctx, get); err != nil { // whoever had the turn may have been refused
		<-g.turn
		return nil, err
	}
	return func(status int) { g.judge(secret, status); <-g.turn }, nil
}

// fresh is a secret that does not rest.
func (g *Guard) fresh(ctx context.Context, get func(context.Context) (string, error)) (string, error) {
	secret, err := get(ctx)
	if err != nil {
		return "", err
	}
	if err := g.Resting(secret); err != nil {
		g.Forget() // it may be another one by then
		return "", err
	}
	return secret, nil
}

func (g *Guard) proven(secret string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.accepted == secret
}

// Resting is the error of a secret that was refused not long ago, nil for others.
func (g *Guard) Resting(secret string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.tries == 0 || secret != g.refused || !g.Now().Before(g.rest) {
		return nil
	}
	return denied(fmt.Sprintf("%s, %d times in a row; so that no user is locked, they are not tried before %s", g.why, g.tries, g.rest.Format(time.RFC3339)))
}

// judge takes in what an answer says of a secret: 401 refuses it, and any other word takes it. Errors of 500 and above may be those of something
// in between, and say nothing.
func (g *Guard) judge(secret string, status int) {
	switch {
	case status == http.StatusUnauthorized:
		g.Refuse(secret, "the far side answered 401 Unauthorized")
		g.Forget()
	case status != 0 && status < http.StatusInternalServerError && status != http.StatusProxyAuthRequired:
		g.mu.Lock()
		defer g.mu.Unlock()
		g.accepted = secret
		if g.refused == secret {
			g.refused, g.tries, g.rest, g.told = "", 0, time.Time{}, time.Time{}
		}
	}
}

// Refuse notes that a secret was not taken, and why.
func (g *Guard) Refuse(secret, why string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.refused != secret {
		g.refused, g.tries, g.told = secret, 0, time.Time{}
	}
	g.tries++
	g.accepted, g.why = "", why
	if n, all := g.tries-1-g.Spare, rests(); n >= 0 {
		g.rest = g.Now().Add(all[min(n, len(all)-1)])
		g.tell(denied(fmt.Sprintf("%s, %d times in a row", why, g.tries)))
	}
}

// ForbiddenWait is how long a link rests whose user lacks a right: somebody must give it to him, and each try until then is one in vain.
const ForbiddenWait = time.Minute

// Forbidden takes in that a right is refused, or that a sign-in page answered.
func (g *Guard) Forbidden(why error) {
	g.Forget()
	g.mu.Lock()
	defer g.mu.Unlock()
	g.tell(why)
}

// tell says that we are refused, seldom. The lock is held.
func (g *Guard) tell(why error) {
	if g.denied == nil {
		g.untold = why
		return
	}
	if g.untold = nil; g.told.IsZero() || g.Now().Sub(g.told) >= tellEvery {
		g.told = g.Now()
		g.denied(why)
	}
}

func denied(why string) error {
	return &problem.Error{Kind: problem.Denied, What: "credentials of the link", Why: why, Hint: hintSignIn}
}
