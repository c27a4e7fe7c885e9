package access

import (
	"context"
	"time"
)

// Cheap makes passwords cost little, for tests that try many.
func (u *Users) Cheap() *Users {
	u.pass = newPasswords(8)
	return u
}

// CodeAt is the code that a device shows.
func CodeAt(secret []byte, at time.Time) string { return totp(secret, at.Unix()/totpEvery) }

// Turn waits for a turn at trying a password.
func (u *Users) Turn(ctx context.Context, network string) (done func(), err error) {
	return u.pass.turn(ctx, network)
}

// Waiting is how many networks have or want a turn.
func (u *Users) Waiting() int { return len(u.pass.seats) }
