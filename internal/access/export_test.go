package access

import "time"

// Cheap makes passwords cost little, for tests that try many.
func (u *Users) Cheap() *Users {
	u.pass = newPasswords(8)
	return u
}

// CodeAt is the code that a device shows.
func CodeAt(secret []byte, at time.Time) string { return totp(secret, at.Unix()/totpEvery) }
