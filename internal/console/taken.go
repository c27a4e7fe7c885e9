package console

import (
	"context"
	"net/http"

	"holdfast/internal/access"
	"holdfast/internal/store"
)

// taken keeps on record that somebody takes a list out, before any of it leaves: how many messages, and by which address.
func (c *Console) taken(r *http.Request, q query) error {
	n := 0
	address := q.address("messages", func(q *query) { q.Cursor = "" })
	for more := true; more; more = q.Cursor != "" {
		rows, next, _, err := c.find(r.Context(), q, perRead)
		if err != nil {
			return err
		}
		n, q.Cursor = n+len(rows), next
	}
	return c.act(r, deed{access.MsgExport, "messages", ""}, func(context.Context, *store.Tx) (change, error) {
		return change{after: map[string]any{"messages": n, "filter": address}}, nil
	})
}
