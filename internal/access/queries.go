package access

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/store"
)

const insertKey = `INSERT INTO access_keys (actor, key, request, at) VALUES (?, ?, ?, ?) ON CONFLICT (actor, key) DO NOTHING`

const selectKey = `SELECT request, result FROM access_keys WHERE actor = ? AND key = ?`

const updateKey = `UPDATE access_keys SET result = ? WHERE actor = ? AND key = ?`

const deleteKeys = `DELETE FROM access_keys WHERE at < ?`

type keyRow struct {
	Request string `db:"request"`
	Result  []byte `db:"result"`
}

const insertToken = `INSERT INTO access_tokens (id, name, hash, rights, made_by, made_at, expires_at) VALUES (?, ?, ?, ?, ?, ?, ?)`

const tokenColumns = `SELECT id, name, hash, rights, made_by, made_at, expires_at, revoked_at, used_on FROM access_tokens`

const selectToken = tokenColumns + ` WHERE id = ?`

const selectTokens = tokenColumns + ` ORDER BY made_at DESC, id`

const revokeTokens = `UPDATE access_tokens SET revoked_at = ? WHERE (id = ? OR name = ?) AND revoked_at = 0 AND expires_at > ?`

const useToken = `UPDATE access_tokens SET used_on = ? WHERE id = ? AND used_on < ?`

type tokenRow struct {
	ID      string `db:"id"`
	Name    string `db:"name"`
	Hash    []byte `db:"hash"`
	Rights  []byte `db:"rights"`
	MadeBy  string `db:"made_by"`
	Made    int64  `db:"made_at"`
	Expires int64  `db:"expires_at"`
	Revoked int64  `db:"revoked_at"`
	Used    int64  `db:"used_on"`
}

func (r tokenRow) token() (Token, error) {
	t := Token{
		ID: r.ID, Name: r.Name, MadeBy: r.MadeBy, MadeAt: store.FromMicros(r.Made), Expires: store.FromMicros(r.Expires),
		Revoked: store.FromMicros(r.Revoked), Used: store.FromMicros(r.Used),
	}
	if err := json.Unmarshal(r.Rights, &t.Rights); err != nil {
		return Token{}, fmt.Errorf("read the rights of token %s: %w", r.ID, err)
	}
	return t, nil
}

const insertUser = `INSERT INTO access_users (name, password, roles, totp, recovery, made_by, made_at, password_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO NOTHING`

const selectUsers = `SELECT name, password, roles, totp, recovery, made_by, made_at, password_at, disabled_at, signed_out_at, sealed, open_until, handle FROM access_users`

type userRow struct {
	Name       string `db:"name"`
	Password   string `db:"password"`
	Roles      []byte `db:"roles"`
	TOTP       []byte `db:"totp"`
	Recovery   []byte `db:"recovery"`
	MadeBy     string `db:"made_by"`
	Made       int64  `db:"made_at"`
	PasswordAt int64  `db:"password_at"`
	Disabled   int64  `db:"disabled_at"`
	SignedOut  int64  `db:"signed_out_at"`
	Sealed     int64  `db:"sealed"`
	OpenUntil  int64  `db:"open_until"`
	Handle     string `db:"handle"`
}

// closed tells whether the account lets nobody in at a time: it is disabled, or sealed and not open.
func (r userRow) closed(now time.Time) bool {
	return r.Disabled != 0 || r.Sealed != 0 && store.Micros(now) >= r.OpenUntil
}

func (r userRow) user() (User, error) {
	u := User{
		Name: r.Name, MadeBy: r.MadeBy, MadeAt: store.FromMicros(r.Made), PasswordAt: store.FromMicros(r.PasswordAt), Disabled: store.FromMicros(r.Disabled),
	}
	var codes []string
	if err := errors.Join(json.Unmarshal(r.Roles, &u.Roles), json.Unmarshal(r.Recovery, &codes)); err != nil {
		return User{}, fmt.Errorf("read user %s: %w", r.Name, err)
	}
	u.Recovery = len(codes)
	return u, nil
}

const selectPasskeys = `SELECT id, owner, label, credential, sign_count, made_at, used_at, suspect_at FROM access_passkeys`

const insertPasskey = `INSERT INTO access_passkeys (id, owner, label, credential, sign_count, made_at) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`

// usePasskey counts a use: only upwards, except where the authenticator does not count.
const usePasskey = `UPDATE access_passkeys SET sign_count = ?, used_at = ? WHERE id = ? AND owner = ? AND suspect_at = 0 AND (sign_count < ? OR sign_count = 0 AND ? = 0)`

type passkeyRow struct {
	ID         string `db:"id"`
	Owner      string `db:"owner"`
	Label      string `db:"label"`
	Credential []byte `db:"credential"`
	Count      int64  `db:"sign_count"`
	Made       int64  `db:"made_at"`
	Used       int64  `db:"used_at"`
	Suspect    int64  `db:"suspect_at"`
}

const insertSession = `INSERT INTO access_sessions (token, data, expires) VALUES (?, ?, ?)`

const updateSession = `UPDATE access_sessions SET data = ?, expires = ? WHERE token = ?`

const selectSession = `SELECT data FROM access_sessions WHERE token = ? AND expires > ?`

const deleteSession = `DELETE FROM access_sessions WHERE token = ?`

const deleteSessions = `DELETE FROM access_sessions WHERE expires <= ? RETURNING data`
