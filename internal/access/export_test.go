package access

import (
	"context"
	"errors"
	"net/http"
	"time"

	"golang.org/x/oauth2"
)

// Cheap makes passwords cost little, for tests that try many.
func (u *Users) Cheap() *Users {
	u.pass = newPasswords(8)
	return u
}

// CodeAt is the code that a device shows.
func CodeAt(secret []byte, at time.Time) string { return totp(secret, at.Unix()/totpEvery) }

// Turn waits for a turn at trying a password, at a terminal or, without one, elsewhere.
func (u *Users) Turn(ctx context.Context, from, terminal string) (done func(), err error) {
	return u.pass.turn(ctx, caller{from, terminal})
}

// Waiting is how many networks have or want a turn.
func (u *Users) Waiting() int { return len(u.pass.seats) }

// Look asks every provider once, as Run does again and again.
func (p *Providers) Look(ctx context.Context) {
	for _, one := range p.all {
		if one.said.Load() != nil {
			one.said.Load().keys.refresh(ctx)
		}
		one.look(ctx)
	}
}

// Challenge is the S256 challenge of a PKCE verifier.
func Challenge(verifier string) string { return oauth2.S256ChallengeFromVerifier(verifier) }

// RefusedBy is what is made of a directory's words.
func RefusedBy(words string) error { return refusedBy(errors.New(words)) }

// Unnamed is a signature of whoever has a name, without a request.
func (s *Sessions) Unnamed(user, meaning, password, code string) *Signature {
	return &Signature{s, user, "192.0.2.1", meaning, password, code, false}
}

// Attempt counts an attempt, as a sign-in does.
func (s *Sessions) Attempt(name, from string) error { return s.attempt(name, from) }

// Address is what counts as a caller's address.
func Address(r *http.Request) string { return address(r) }
