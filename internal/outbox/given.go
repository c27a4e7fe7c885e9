package outbox

import (
	"context"
	"encoding/json"
	"slices"

	"holdfast/internal/store"
)

// updateLanes changes the lanes of link that g names, in the transaction's next round trip. set may use its columns.
func updateLanes(ctx context.Context, tx *store.Tx, g store.Given, link, set string, args ...any) error {
	query := laneUpdate(tx, g, set)
	if tx.Dialect() == store.Postgres {
		args = slices.Concat(args, g.Args(tx), []any{link})
	} else {
		args = slices.Concat(g.Args(tx), args, []any{link})
	}
	return tx.Later(ctx, query, args...)
}

// laneUpdate has SQLite make the table first and look for each of its lanes then. Left to itself it reads all lanes of the link, and for
// each of them all that it is given.
func laneUpdate(tx *store.Tx, g store.Given, set string) string {
	const of = ` WHERE outbox_lanes.link = ? AND outbox_lanes.lane = g.lane`
	if tx.Dialect() == store.Postgres {
		return `UPDATE outbox_lanes SET ` + set + ` FROM ` + g.Table(tx, "g") + of
	}
	return `WITH g AS MATERIALIZED (SELECT * FROM ` + g.Table(tx, "g") + `) UPDATE outbox_lanes SET ` + set + ` FROM g` + of
}

// among is the condition that expr is one of the texts of a list, which is one parameter; listed makes it.
func among(tx *store.Tx, expr string) string {
	if tx.Dialect() == store.Postgres {
		return expr + ` = ANY (ARRAY(SELECT unnest(CAST(? AS TEXT[]))))`
	}
	return expr + ` IN (SELECT value FROM json_each(?))`
}

func listed(tx *store.Tx, values []string) any {
	if tx.Dialect() == store.Postgres {
		return values
	}
	quoted, _ := json.Marshal(values) // texts always can be written
	return string(quoted)
}
