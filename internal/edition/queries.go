package edition

const insertEdition = `INSERT INTO mapping_editions (hash, files, at) VALUES (?, ?, ?) ON CONFLICT (hash) DO NOTHING`

const selectEdition = `SELECT files FROM mapping_editions WHERE hash = ?`

const insertSet = `INSERT INTO mapping_sets (name, hash, files, mappings, at) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at`

const selectSet = `SELECT hash, files, mappings FROM mapping_sets WHERE name = ?`

// selectSetOf takes a line feed, and a version between two of them, escaped.
const selectSetOf = `SELECT hash, files, mappings FROM mapping_sets WHERE CAST(? AS TEXT) || mappings LIKE '%' || CAST(? AS TEXT) || '%' ESCAPE '!'
ORDER BY at DESC, name LIMIT 4`

const selectSets = `SELECT name, mappings FROM mapping_sets ORDER BY at DESC, name`

const touchSet = `UPDATE mapping_sets SET at = ? WHERE name = ?`

const deleteSets = `DELETE FROM mapping_sets WHERE at < ?`

const selectHashes = `SELECT hash FROM mapping_editions WHERE substr(hash, 1, length(?)) = ? ORDER BY hash LIMIT 2`

const selectState = `SELECT revision, used, tried, proposed FROM mapping_state WHERE id = 1`

// nextRevision takes the row for this transaction: whoever comes at the same time waits.
const nextRevision = `UPDATE mapping_state SET revision = revision + 1 WHERE id = 1`

const updateState = `UPDATE mapping_state SET used = ?, tried = ?, proposed = ? WHERE id = 1`

const stepColumns = `seq, step, edition, previous, author, approver, actor, reason, at`

const insertStep = `INSERT INTO mapping_steps (` + stepColumns + `) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`

const selectSteps = `SELECT ` + stepColumns + ` FROM mapping_steps ORDER BY seq DESC LIMIT ?`

const selectStep = `SELECT ` + stepColumns + ` FROM mapping_steps WHERE seq = ?`

// selectTaken is the last step, other than one back, by which an edition came into use.
const selectTaken = `SELECT ` + stepColumns + ` FROM mapping_steps WHERE edition = ? AND step IN ('folder', 'publish', 'approve') ORDER BY seq DESC LIMIT 1`

// selectUsed is each step by which an edition came into use, in order.
const selectUsed = `SELECT ` + stepColumns + ` FROM mapping_steps WHERE step IN ('folder', 'publish', 'approve', 'rollback') ORDER BY seq`

// selectInUse is the last step by which any edition came into use.
const selectInUse = `SELECT ` + stepColumns + ` FROM mapping_steps WHERE step IN ('folder', 'publish', 'approve', 'rollback') ORDER BY seq DESC LIMIT 1`

const upsertNode = `INSERT INTO mapping_nodes (node, used, tried, trouble, at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (node) DO UPDATE SET used = excluded.used, tried = excluded.tried, trouble = excluded.trouble, at = excluded.at`

const selectNodes = `SELECT node, used, tried, trouble, at FROM mapping_nodes ORDER BY node`

const upsertTrial = `INSERT INTO mapping_trials (edition, mapping, mapped, differed) VALUES (?, ?, ?, ?)
ON CONFLICT (edition, mapping) DO UPDATE SET mapped = mapping_trials.mapped + excluded.mapped, differed = mapping_trials.differed + excluded.differed`

const selectTrials = `SELECT mapping, mapped, differed FROM mapping_trials WHERE edition = ? ORDER BY mapping`

const countTrialMessages = `SELECT COUNT(*) FROM mapping_trial_messages WHERE edition = ?`

const insertTrialMessage = `INSERT INTO mapping_trial_messages (edition, mapping, message, kind, link, places, at) VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (edition, mapping, message) DO UPDATE SET places = excluded.places, at = excluded.at`

const selectTrialMessages = `SELECT mapping, message, kind, link, places, at FROM mapping_trial_messages WHERE edition = ? ORDER BY at DESC, message LIMIT ?`

type stepRow struct {
	Seq      int64  `db:"seq"`
	Step     string `db:"step"`
	Edition  string `db:"edition"`
	Previous string `db:"previous"`
	Author   string `db:"author"`
	Approver string `db:"approver"`
	Actor    string `db:"actor"`
	Reason   string `db:"reason"`
	At       int64  `db:"at"`
}

type stateRow struct {
	Revision int64 `db:"revision"`
	Used     int64 `db:"used"`
	Tried    int64 `db:"tried"`
	Proposed int64 `db:"proposed"`
}

type nodeRow struct {
	Node    string `db:"node"`
	Used    string `db:"used"`
	Tried   string `db:"tried"`
	Trouble string `db:"trouble"`
	At      int64  `db:"at"`
}

type trialRow struct {
	Mapping  string `db:"mapping"`
	Mapped   int64  `db:"mapped"`
	Differed int64  `db:"differed"`
}

type trialMessageRow struct {
	Mapping string `db:"mapping"`
	Message string `db:"message"`
	Kind    string `db:"kind"`
	Link    string `db:"link"`
	Places  string `db:"places"`
	At      int64  `db:"at"`
}
