package access

const insertKey = `INSERT INTO access_keys (actor, key, request, at) VALUES (?, ?, ?, ?) ON CONFLICT (actor, key) DO NOTHING`

const selectKey = `SELECT request, result FROM access_keys WHERE actor = ? AND key = ?`

const updateKey = `UPDATE access_keys SET result = ? WHERE actor = ? AND key = ?`

const deleteKeys = `DELETE FROM access_keys WHERE at < ?`

type keyRow struct {
	Request string `db:"request"`
	Result  []byte `db:"result"`
}
