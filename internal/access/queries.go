package access

import (
	"encoding/json"
	"fmt"

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
