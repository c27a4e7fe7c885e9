package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"holdfast/internal/store"
)

// Tally counts what a link owes of one kind.
type Tally struct {
	Link, Kind string
	Owed       int64
	OldestAt   time.Time
}

// Kinds counts what is owed by kind. It reads each message that is owed, so its cost grows with their number, not with history: who shows
// it often keeps it for a while.
func (o *Outbox) Kinds(ctx context.Context, tx *store.Tx) ([]Tally, error) {
	type row struct {
		Link, Kind string
		N, Oldest  int64
	}
	var all, settled []row
	err := tx.Select(ctx, &all, `SELECT link, kind, COUNT(*) AS n, MIN(created_at) AS oldest FROM outbox_messages GROUP BY link, kind ORDER BY link, kind`)
	if err != nil {
		return nil, fmt.Errorf("count what is owed: %w", err)
	}
	err = tx.Select(ctx, &settled, `SELECT m.link, m.kind, COUNT(*) AS n, 0 AS oldest FROM outbox_receipts AS r
		JOIN outbox_messages AS m ON `+isReceiptOf+` GROUP BY m.link, m.kind`)
	if err != nil {
		return nil, fmt.Errorf("count what is settled and not filed: %w", err)
	}
	var out []Tally
	for _, r := range all {
		for _, s := range settled {
			if s.Link == r.Link && s.Kind == r.Kind {
				r.N -= s.N
			}
		}
		if r.N > 0 {
			out = append(out, Tally{r.Link, r.Kind, r.N, store.FromMicros(r.Oldest)})
		}
	}
	return out, nil
}

// Group is lanes that stand still for the same reason, numbers and names in it aside.
type Group struct {
	Link     string
	State    State
	Reason   string // as Alike has it
	Lanes    int64  // that stand still for it
	Messages int64  // that these owe
	OldestAt time.Time
}

// Groups says for which reasons lanes stand still until a person acts, the most frequent first. It reads each of these lanes, see Kinds.
func (o *Outbox) Groups(ctx context.Context, tx *store.Tx) ([]Group, error) {
	type key struct{ link, state, reason string }
	found := map[key]*Group{}
	err := tx.Read(ctx, func(r *store.Row) {
		link, state, reason := r.Text(), r.Text(), Alike(r.Text())
		lanes, messages, oldest := r.Int(), r.Int(), store.FromMicros(r.Int())
		g := found[key{link, state, reason}]
		if g == nil {
			g = &Group{Link: link, State: State(state), Reason: reason, OldestAt: oldest}
			found[key{link, state, reason}] = g
		}
		g.Lanes, g.Messages = g.Lanes+lanes, g.Messages+messages
		if oldest.Before(g.OldestAt) {
			g.OldestAt = oldest
		}
	}, `SELECT link, state, reason, COUNT(*), CAST(SUM(pending) AS BIGINT), MIN(head_at) FROM outbox_lanes WHERE state = 'parked' GROUP BY link, state, reason
		UNION ALL SELECT link, state, reason, COUNT(*), CAST(SUM(pending) AS BIGINT), MIN(head_at) FROM outbox_lanes WHERE owing AND state = 'unknown' GROUP BY link, state, reason`)
	if err != nil {
		return nil, fmt.Errorf("group the lanes that stand still: %w", err)
	}
	out := make([]Group, 0, len(found))
	for _, g := range found {
		out = append(out, *g)
	}
	slices.SortFunc(out, func(a, b Group) int {
		return cmp.Or(cmp.Compare(b.Lanes, a.Lanes), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Reason, b.Reason), cmp.Compare(a.State, b.State))
	})
	return out, nil
}

// gap stands for what differs between reasons that are alike.
const gap = "…"

// Alike is a reason without what differs from message to message: each word that has a digit is a gap.
func Alike(reason string) string {
	words := strings.FieldsFunc(reason, unicode.IsSpace)
	for i, w := range words {
		if strings.ContainsFunc(w, unicode.IsDigit) {
			words[i] = gap
		}
	}
	return strings.Join(words, " ")
}

// Pattern is the LIKE pattern that the reasons of a group fit.
func Pattern(alike string) string {
	var b strings.Builder
	for _, r := range alike {
		switch {
		case string(r) == gap, unicode.IsSpace(r):
			b.WriteByte('%')
		case r == '%' || r == '_' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// around is a pattern that every reason of a group fits, and others may; "" without a group.
func around(group string) string {
	if group == "" {
		return ""
	}
	return "%" + Pattern(group) + "%"
}
