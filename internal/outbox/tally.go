package outbox

import (
	"context"
	"fmt"
	"strings"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Count is how many messages Messages lists on all its pages.
func (o *Outbox) Count(ctx context.Context, tx *store.Tx, f Filter) (n int64, err error) {
	where, args, err := f.where(tx, "")
	if err != nil {
		return 0, err
	}
	parts, all := []string{}, []any{}
	for _, p := range f.parts() {
		parts, all = append(parts, `SELECT id FROM (SELECT `+p.from+where+p.and+`) AS p`), append(all, args...)
	}
	if err := tx.Get(ctx, &n, `SELECT COUNT(*) FROM (`+strings.Join(parts, " UNION ALL ")+`) AS a`, all...); err != nil {
		return 0, fmt.Errorf("count messages: %w", err)
	}
	return n, nil
}

// table is one of the tables that a list is read from, with what it leaves out there.
type table struct{ from, and string }

// parts are the tables that have what the filter wants.
func (f Filter) parts() (list []table) {
	if !f.Refused {
		list = append(list, table{fromHot, f.filed()})
	}
	if f.Refused || f.Settled || !f.Owed {
		list = append(list, table{fromCold, ""})
	}
	return list
}

// LetGo are the names that what a message reports has in the record of acts, while it is held as doubtful, or was when it was discarded: whoever lets it go,
// or has it owed again, releases that. What is owed again by another ID is still what was reported under the first, and was corrected there.
func (o *Outbox) LetGo(ctx context.Context, tx *store.Tx, d Detail) (names []string, err error) {
	if !d.held() {
		return nil, nil
	}
	names = reportsOf(d.Event)
	for d.Cause != "" && d.Event == undone(d.Cause) {
		if d, err = o.Message(ctx, tx, d.Cause); problem.KindOf(err) == problem.NotFound {
			return names, nil // it is no longer kept
		} else if err != nil {
			return nil, err
		}
		names = append(append(names, "message/"+d.ID), reportsOf(d.Event)...)
	}
	return names, nil
}

// reportsOf are the names under which somebody may have reported an event.
func reportsOf(event string) []string { return []string{"confirmation/" + event, "movement/" + event} }

// ObjectsOf are the names that the messages of an event, and what it reports, have in the record of acts.
func (o *Outbox) ObjectsOf(ctx context.Context, tx *store.Tx, event string) ([]string, error) {
	all, err := o.Of(ctx, tx, event)
	names := make([]string, 0, len(all))
	for _, m := range all {
		names = append(names, "message/"+m.ID)
	}
	return append(names, reportsOf(event)...), err
}
