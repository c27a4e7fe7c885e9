package access

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// User is an account of a person that the plant keeps itself. Nothing that lets anybody in is in it.
type User struct {
	Name       string
	Roles      []string
	MadeBy     string
	MadeAt     time.Time
	PasswordAt time.Time
	Disabled   time.Time // zero: it is not
	Recovery   int       // recovery codes that are left
}

// Shown is what a person is told once: how to have codes made, and what to use where the device is lost.
type Shown struct {
	OTPAuth  string
	Secret   string // the same, to be typed
	Recovery []string
}

// Users keeps the accounts of a plant. It is safe for use by many goroutines.
type Users struct {
	plant  string
	policy *Policy
	pass   *passwords
}

// NewUsers returns the accounts of a plant; their roles are those of the policy.
func NewUsers(plant string, p *Policy) *Users { return &Users{plant, p, newPasswords(passMemory)} }

// Add makes an account in the act's transaction. hash comes from Hash, so that no transaction waits for it.
func (u *Users) Add(ctx context.Context, tx *store.Tx, by, name, hash string, roles []string) (Shown, error) {
	if err := CheckName(name); err != nil {
		return Shown{}, err
	}
	if err := u.checkRoles(name, roles); err != nil {
		return Shown{}, err
	}
	kept, err := json.Marshal(roles)
	if err != nil {
		return Shown{}, fmt.Errorf("write the roles of %s: %w", name, err)
	}
	secret, shown, codes, err := u.factor(name)
	if err != nil {
		return Shown{}, err
	}
	now := store.Micros(tx.Now)
	n, err := tx.Exec(ctx, insertUser, name, hash, kept, secret, codes, by, now, now)
	if err != nil {
		return Shown{}, fmt.Errorf("keep user %s: %w", name, err)
	}
	if n == 0 {
		return Shown{}, &problem.Error{Kind: problem.Conflict, What: "add user " + name, Why: "there is one of this name", Hint: "holdfast access user list shows them"}
	}
	return shown, nil
}

func (u *Users) checkRoles(name string, roles []string) error {
	bad := &problem.Error{Kind: problem.Invalid, What: "give user " + name + " roles", Why: "there is none", Hint: "the roles are: " + strings.Join(u.policy.Roles(), ", ")}
	for _, role := range roles {
		if !u.policy.Has(role) {
			bad.Why = "there is no role " + role
			return bad
		}
	}
	if len(roles) == 0 {
		return bad
	}
	return nil
}

// factor makes the second factor of a person.
func (u *Users) factor(name string) (secret []byte, shown Shown, codes []byte, err error) {
	secret = newSecret()
	plain, kept := newRecovery()
	codes, err = json.Marshal(kept)
	if err != nil {
		return nil, Shown{}, nil, fmt.Errorf("write the recovery codes of %s: %w", name, err)
	}
	return secret, Shown{otpauth(u.plant, name, secret), base32Of(secret), plain}, codes, nil
}

// Hash is a password as it is kept; Invalid if it is none.
func (u *Users) Hash(ctx context.Context, password string) (string, error) {
	if err := checkPassword(password); err != nil {
		return "", err
	}
	return u.pass.hash(ctx, password)
}

// checkOwn refuses what only an account of the plant has.
func checkOwn(name, what string) error {
	if _, ok := bareName(name); !ok || what == "factor" && strings.HasPrefix(name, inDirectory) { // a directory has none
		return nil
	}
	return &problem.Error{Kind: problem.Invalid, What: "give " + name + " another " + what, Why: "they are known elsewhere, where it is kept", Hint: "have it changed there"}
}

// SetPassword replaces a password, takes passkeys and badge away, which whoever knew it may have set, and ends the person's sessions.
func (u *Users) SetPassword(ctx context.Context, tx *store.Tx, name, hash string) error {
	if err := checkOwn(name, "password"); err != nil {
		return err
	}
	if err := u.change(ctx, tx, name, `password = ?, password_at = ?, signed_out_at = ?`, hash, store.Micros(tx.Now), store.Micros(tx.Now)); err != nil {
		return err
	}
	return takeAway(ctx, tx, name)
}

// takeAway ends every other way in than password and code.
func takeAway(ctx context.Context, tx *store.Tx, name string) error {
	for _, table := range []string{"access_passkeys", "access_badges"} {
		if _, err := tx.Exec(ctx, `DELETE FROM `+table+` WHERE owner = ?`, name); err != nil {
			return fmt.Errorf("take the passkeys and the badge of %s away: %w", name, err)
		}
	}
	return nil
}

// SetFactor replaces the second factor and the recovery codes, takes passkeys and badge away, and ends the person's sessions.
func (u *Users) SetFactor(ctx context.Context, tx *store.Tx, name string) (Shown, error) {
	if err := checkOwn(name, "factor"); err != nil {
		return Shown{}, err
	}
	secret, shown, codes, err := u.factor(name)
	if err != nil {
		return Shown{}, err
	}
	if err := u.change(ctx, tx, name, `totp = ?, recovery = ?, signed_out_at = ?`, secret, codes, store.Micros(tx.Now)); err != nil {
		return Shown{}, err
	}
	return shown, takeAway(ctx, tx, name)
}

// Disable lets a person in no more, also one of a provider (oidc:NAME) or of a directory (ad:NAME), and ends their sessions; Enable does again.
func (u *Users) Disable(ctx context.Context, tx *store.Tx, name string) error {
	return u.change(ctx, tx, name, `disabled_at = ?, signed_out_at = ?`, store.Micros(tx.Now), store.Micros(tx.Now))
}

// Enable lets a person in again that was disabled.
func (u *Users) Enable(ctx context.Context, tx *store.Tx, name string) error {
	return u.change(ctx, tx, name, `disabled_at = ?`, 0)
}

// SignOut ends every session of a person, everywhere.
func (u *Users) SignOut(ctx context.Context, tx *store.Tx, name string) error {
	return u.change(ctx, tx, name, `signed_out_at = ?`, store.Micros(tx.Now))
}

func (u *Users) change(ctx context.Context, tx *store.Tx, name, set string, args ...any) error {
	if _, ok := bareName(name); ok {
		return changePerson(ctx, tx, name, set, args...)
	}
	n, err := tx.Exec(ctx, `UPDATE access_users SET `+set+` WHERE name = ?`, append(args, name)...)
	if err != nil {
		return fmt.Errorf("change user %s: %w", name, err)
	}
	if n == 0 {
		return &problem.Error{Kind: problem.NotFound, What: "user " + name, Why: "there is none of this name", Hint: "holdfast access user list shows them"}
	}
	return nil
}

// List lists every account by name.
func (u *Users) List(ctx context.Context, tx *store.Tx) ([]User, error) {
	var rows []userRow
	if err := tx.Select(ctx, &rows, selectUsers+` ORDER BY name`); err != nil {
		return nil, fmt.Errorf("read the users: %w", err)
	}
	out := make([]User, 0, len(rows))
	for _, r := range rows {
		user, err := r.user()
		if err != nil {
			return nil, err
		}
		out = append(out, user)
	}
	return out, nil
}

// find is the row of a name; an empty one if there is none.
func find(ctx context.Context, tx *store.Tx, name string) (userRow, error) {
	return findUser(ctx, tx, `name = ?`, name)
}

func findUser(ctx context.Context, tx *store.Tx, where string, args ...any) (userRow, error) {
	var rows []userRow
	if err := tx.Select(ctx, &rows, selectUsers+` WHERE `+where, args...); err != nil {
		return userRow{}, fmt.Errorf("read a user: %w", err)
	}
	if len(rows) == 0 {
		return userRow{}, nil
	}
	return rows[0], nil
}

// useCode takes a one-time code or a recovery code of a person, once: of two that come at the same time one is refused.
func useCode(ctx context.Context, tx *store.Tx, table string, r userRow, code string) (bool, error) {
	code = strings.ReplaceAll(strings.TrimSpace(code), " ", "")
	if step := stepOf(r.TOTP, code, tx.Now); step > 0 {
		n, err := tx.Exec(ctx, `UPDATE `+table+` SET totp_step = ? WHERE name = ? AND totp_step < ?`, step, r.Name, step)
		if err != nil {
			return false, fmt.Errorf("use a code of %s: %w", r.Name, err)
		}
		return n == 1, nil
	}
	var left []string
	if err := json.Unmarshal(r.Recovery, &left); err != nil {
		return false, fmt.Errorf("read the recovery codes of %s: %w", r.Name, err)
	}
	i := slices.Index(left, recoveryHash(code))
	if i < 0 {
		return false, nil
	}
	rest, err := json.Marshal(slices.Delete(left, i, i+1))
	if err != nil {
		return false, fmt.Errorf("write the recovery codes of %s: %w", r.Name, err)
	}
	n, err := tx.Exec(ctx, `UPDATE `+table+` SET recovery = ? WHERE name = ? AND recovery = ?`, rest, r.Name, r.Recovery)
	if err != nil {
		return false, fmt.Errorf("use a recovery code of %s: %w", r.Name, err)
	}
	return n == 1, nil
}
