package inbox

import (
	"context"
	"errors"

	"holdfast/internal/store"
)

// errNotAtOnce tells that a batch cannot be applied as it is received: it is stored, to be applied message by message.
var errNotAtOnce = errors.New("something speaks against a message of the batch")

// doubtful are the messages that may have been taken before. One that is next in a numbered lane in which nothing waits was not: its
// number would be past. Should its ID be that of another message nonetheless, the database says so when it is stored.
func (d *desk) doubtful(all []*arrival) []*arrival {
	next, doubt := map[*stream]int64{}, []*arrival(nil)
	for _, a := range all {
		s := d.streams[a.row.place()]
		if _, counted := next[s]; !counted {
			next[s] = s.Next
		}
		if d.clear[s] && a.row.numbered() && a.row.Epoch == s.Epoch && a.row.Number == next[s] {
			next[s]++
		} else {
			doubt = append(doubt, a)
		}
	}
	return doubt
}

// effects has the plant act on the messages whose turn it is, in the order of their coming, before they are stored: they are written
// once then, as settled, and their streams once. That is right as long as nothing speaks against any of them. Else the transaction is
// undone, and the batch is stored in another one as what waits: Step then finds out which message it is, and holds up nobody but its
// stream. No savepoint is set, since all is undone or nothing: it would cost two of four round trips.
func (d *desk) effects(ctx context.Context) error {
	for _, a := range d.due {
		if err := ctx.Err(); err != nil {
			return err
		}
		s := d.streams[a.row.place()]
		before := s.Version
		v, err := d.effect(ctx, d.tx, *s, a.row)
		switch {
		case err != nil:
			return err
		case v.state == Quarantined:
			return errNotAtOnce
		}
		a.row.State, a.row.Reason, a.row.SettledAt = v.state, v.reason, store.Micros(d.tx.Now)
		if s.see(a.row, v); s.Version != before {
			d.changed = append(d.changed, s)
		}
	}
	return nil
}
