package seal

const selectKeys = `SELECT id, node, chain, made_at, retired_at, revoked_at, reason FROM seal_keys`

const insertKey = `INSERT INTO seal_keys (id, node, chain, made_at) VALUES (?, ?, ?, ?)`
