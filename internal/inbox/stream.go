package inbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// tooEarly marks what stands in quarantine only because too many wait ahead of it: it comes back by itself.
const tooEarly = problem.Unavailable

// releaseRows is how many of these come back at a time.
const releaseRows = 500

// stream is what is applied in order: a lane, or an object.
type stream struct {
	Source     string
	Stream     string
	Lane       string
	Epoch      int64
	Next       int64 `db:"next_number"`
	Version    string
	Waiting    int64
	Bytes      int64
	Early      int64 // messages that were put aside, in quarantine or discarded, before their turn
	DueAt      int64 `db:"due_at"`
	Held       int64
	Attempts   int
	Trouble    string
	GapSince   int64 `db:"gap_since"`
	GapAlerted bool  `db:"gap_alerted"`
	GapEpoch   int64 `db:"gap_epoch"` // of the number that is missing; 0 if nobody has asked

	was *stream // as it is stored; nil if it was not locked to be changed
}

func (s *stream) place() place { return place{s.Source, s.Stream} }

// keysOf are the columns that tell streams apart.
func keysOf(places []place) []store.Column {
	return []store.Column{
		store.Each("source", places, func(p place) string { return p.source }), store.Each("stream", places, func(p place) string { return p.stream }),
	}
}

const streamColumns = `source, stream, lane, epoch, next_number, version, waiting, bytes, early, due_at, held, attempts, trouble, gap_since, gap_alerted`

// busy is the condition of the index of those streams in which anything waits or is held.
const busy = `(waiting > 0 OR held > 0 OR early > 0)`

// lock reads a stream and keeps others from it until the transaction ends; it makes the row if there is none.
func lock(ctx context.Context, tx *store.Tx, r row) (*stream, error) {
	all, err := lockAll(ctx, tx, []*arrival{{row: r}})
	return all[r.place()], err
}

// lockAll does so for the streams of a batch, in one order for all processes, so that none waits for one that waits for it.
func lockAll(ctx context.Context, tx *store.Tx, all []*arrival) (map[place]*stream, error) {
	lanes := map[place]string{}
	var places []place
	for _, a := range all {
		if _, known := lanes[a.row.place()]; !known {
			places = append(places, a.row.place())
		}
		lanes[a.row.place()] = laneOf(a.row)
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.source, b.source), cmp.Compare(a.stream, b.stream)) })
	found := map[place]*stream{}
	if err := lockKnown(ctx, tx, places, found); err != nil {
		return nil, err
	}
	unknown := slices.DeleteFunc(places, func(p place) bool { return found[p] != nil })
	for part := range parts(tx, unknown, lookRows) {
		query, args := store.Give(append(keysOf(part), store.Each("lane", part, func(p place) string { return lanes[p] }))...).Insert(tx, `inbox_streams`)
		err := tx.Later(ctx, query+` ON CONFLICT (source, stream) DO NOTHING`, args...)
		if err != nil {
			return nil, fmt.Errorf("begin %d streams: %w", len(part), err)
		}
	}
	return found, lockKnown(ctx, tx, unknown, found)
}

// lockKnown does so for those that are there, in the order of places.
func lockKnown(ctx context.Context, tx *store.Tx, places []place, into map[place]*stream) error {
	for part := range parts(tx, places, lookRows) {
		query, args := byKeys(tx, store.Give(keysOf(part)...), `inbox_streams`, streamColumns, "", tx.ForUpdate(), `source`, `stream`)
		err := tx.Read(ctx, func(r *store.Row) {
			is := [2]stream{readStream(r)}
			is[1] = is[0]
			is[0].was = &is[1]
			into[is[0].place()] = &is[0]
		}, query, args...)
		if err != nil {
			return fmt.Errorf("lock %d streams: %w", len(part), err)
		}
	}
	return nil
}

// readStream reads streamColumns.
func readStream(r *store.Row) stream {
	return stream{
		Source: r.Text(), Stream: r.Text(), Lane: r.Text(), Epoch: r.Int(), Next: r.Int(), Version: r.Text(), Waiting: r.Int(), Bytes: r.Int(), Early: r.Int(),
		DueAt: r.Int(), Held: r.Int(), Attempts: int(r.Int()), Trouble: r.Text(), GapSince: r.Int(), GapAlerted: r.Bool(),
	}
}

func laneOf(r row) string {
	if r.numbered() {
		return r.Lane
	}
	return ""
}

func (s *stream) save(ctx context.Context, tx *store.Tx) error {
	return saveAll(ctx, tx, map[place]*stream{s.place(): s})
}

// moved tells whether nothing but the number that is next has changed: in most streams nothing waits and nothing goes wrong.
func (s *stream) moved() bool {
	if s.was == nil {
		return false
	}
	now := *s
	now.Next, now.was = s.was.Next, nil
	return now == *s.was
}

// saveAll keeps the state of streams that are locked.
func saveAll(ctx context.Context, tx *store.Tx, streams map[place]*stream) error {
	var moved, changed []*stream
	for _, s := range streams {
		switch {
		case !s.moved():
			changed = append(changed, s)
		case s.Next != s.was.Next:
			moved = append(moved, s)
		}
	}
	for part := range parts(tx, moved, lookRows) {
		if err := saveNext(ctx, tx, part); err != nil {
			return fmt.Errorf("keep the next numbers of %d streams: %w", len(part), err)
		}
	}
	for part := range parts(tx, changed, insertRows) {
		if err := saveWhole(ctx, tx, part); err != nil {
			return fmt.Errorf("keep the state of %d streams: %w", len(part), err)
		}
	}
	return nil
}

func saveNext(ctx context.Context, tx *store.Tx, all []*stream) error {
	g := store.Give(
		store.Each("source", all, func(s *stream) string { return s.Source }), store.Each("stream", all, func(s *stream) string { return s.Stream }),
		store.Each("next_number", all, func(s *stream) int64 { return s.Next }))
	if tx.Dialect() == store.Postgres {
		return tx.Later(ctx, `UPDATE inbox_streams AS s SET next_number = g.next_number FROM `+g.Table(tx, "g")+`
			WHERE s.source = g.source AND s.stream = g.stream`, g.Args(tx)...)
	}
	query, args := g.Values(tx)
	return tx.Later(ctx, `WITH g (source, stream, next_number) AS MATERIALIZED (`+query+`) UPDATE inbox_streams SET next_number = g.next_number FROM g
		WHERE inbox_streams.source = g.source AND inbox_streams.stream = g.stream`, args...)
}

func saveWhole(ctx context.Context, tx *store.Tx, all []*stream) error {
	counted := func(name string, of func(*stream) int64) store.Column { return store.Each(name, all, of) }
	said := func(name string, of func(*stream) string) store.Column { return store.Each(name, all, of) }
	query, args := store.Give(
		said("source", func(s *stream) string { return s.Source }), said("stream", func(s *stream) string { return s.Stream }),
		said("lane", func(s *stream) string { return s.Lane }), counted("epoch", func(s *stream) int64 { return s.Epoch }),
		counted("next_number", func(s *stream) int64 { return s.Next }), said("version", func(s *stream) string { return s.Version }),
		counted("waiting", func(s *stream) int64 { return s.Waiting }), counted("bytes", func(s *stream) int64 { return s.Bytes }),
		counted("early", func(s *stream) int64 { return s.Early }), counted("due_at", func(s *stream) int64 { return s.DueAt }),
		counted("held", func(s *stream) int64 { return s.Held }), counted("attempts", func(s *stream) int64 { return int64(s.Attempts) }),
		said("trouble", func(s *stream) string { return s.Trouble }), counted("gap_since", func(s *stream) int64 { return s.GapSince }),
		store.Each("gap_alerted", all, func(s *stream) bool { return s.GapAlerted }),
	).Insert(tx, `inbox_streams`)
	return tx.Later(ctx, query+` ON CONFLICT (source, stream) DO UPDATE SET epoch = excluded.epoch, next_number = excluded.next_number,
		version = excluded.version, waiting = excluded.waiting, bytes = excluded.bytes, early = excluded.early, due_at = excluded.due_at,
		held = excluded.held, attempts = excluded.attempts, trouble = excluded.trouble, gap_since = excluded.gap_since,
		gap_alerted = excluded.gap_alerted`, args...)
}

// isTurn tells whether a waiting message of the stream may be applied now. What a person has replayed after its turn is below Next,
// or of an epoch that has ended.
func (s *stream) isTurn(r row) bool {
	return !r.numbered() || r.Epoch < s.Epoch || r.Epoch == s.Epoch && r.Number <= s.Next
}

// isClear tells whether nothing is stored that must be applied before what comes next, or was tried without success.
func (s *stream) isClear() bool {
	return s.Waiting == 0 && s.Early == 0 && s.Held == 0 && s.Attempts == 0
}

// ahead tells whether the turn of a numbered message is not over.
func (s *stream) ahead(r row) bool {
	return r.numbered() && (r.Epoch > s.Epoch || r.Epoch == s.Epoch && r.Number >= s.Next)
}

// look tells whether a message waits whose turn it is.
func (s *stream) look(ctx context.Context, tx *store.Tx) (bool, error) {
	var n int
	err := tx.Get(ctx, &n, `SELECT COUNT(*) FROM (SELECT 1 FROM inbox_messages WHERE source = ? AND stream = ? AND state = 'ready'
		AND (number = 0 OR epoch < ? OR (epoch = ? AND number <= ?)) LIMIT 1) AS head`, s.Source, s.Stream, s.Epoch, s.Epoch, s.Next)
	if err != nil {
		return false, fmt.Errorf("look for the next message of %s: %w", s.Stream, err)
	}
	return n > 0, nil
}

// rest sets when the stream is due: now if there is a message whose turn it is, or when one that has failed may be tried again; never
// if there is none; a number that is missing begins a gap. A lane that waits for a message in quarantine misses nothing. look is asked
// whether there is such a message, if it matters.
func (s *stream) rest(ctx context.Context, tx *store.Tx, look func(context.Context, *store.Tx) (bool, error)) error {
	due := store.Micros(tx.Now)
	if s.Attempts > 0 {
		due = max(due, s.DueAt)
	}
	if s.Lane == "" && s.Waiting > 0 {
		s.DueAt = due
		return nil
	}
	s.DueAt = 0
	here, err := s.headIsHere(ctx, tx, look)
	switch {
	case err != nil:
		return err
	case here:
		s.DueAt = due
	case s.Held == 0 && s.Waiting+s.Early > 0:
		if s.GapSince == 0 {
			s.GapSince = store.Micros(tx.Now)
		}
		return nil
	}
	s.GapSince, s.GapAlerted = 0, false
	return nil
}

// headIsHere tells whether a message waits whose turn it is, and brings back what was put aside.
func (s *stream) headIsHere(ctx context.Context, tx *store.Tx, look func(context.Context, *store.Tx) (bool, error)) (bool, error) {
	if s.Held != 0 || s.Waiting+s.Early == 0 {
		return false, nil
	}
	here, err := look(ctx, tx)
	if err == nil && !here && s.Early > 0 {
		return s.reach(ctx, tx)
	}
	return here, err
}

// reach deals with a message that was put aside before its turn, now that this has come: one that was too early waits again, with
// those behind it; one that was discarded is passed; any other one holds the lane. It tells whether a message waits whose turn it is.
func (s *stream) reach(ctx context.Context, tx *store.Tx) (bool, error) {
	for s.Early > 0 {
		r, found, err := find(ctx, tx, `source = ? AND stream = ? AND epoch = ? AND number = ? AND number > 0`, s.Source, s.Stream, s.Epoch, s.Next)
		switch {
		case err != nil:
			return false, err
		case !found:
			return false, s.recount(ctx, tx)
		case r.State == Ready:
			return true, nil
		case r.State == Quarantined && r.Problem == string(tooEarly):
			return true, s.release(ctx, tx)
		case r.State == Quarantined:
			s.Held = r.Seq
			s.Early--
			return false, nil
		}
		s.Early--
		s.Next++
	}
	return s.look(ctx, tx)
}

// recount corrects the number of those that were put aside, where none other waits: one that was discarded long ago may be forgotten.
func (s *stream) recount(ctx context.Context, tx *store.Tx) error {
	if s.Waiting > 0 {
		return nil
	}
	err := tx.Get(ctx, &s.Early, `SELECT COUNT(*) FROM inbox_messages WHERE source = ? AND stream = ? AND number > 0
		AND (epoch > ? OR (epoch = ? AND number > ?)) AND state IN ('quarantined', 'discarded')`, s.Source, s.Stream, s.Epoch, s.Epoch, s.Next)
	if err != nil {
		return fmt.Errorf("count what was put aside in %s: %w", s.Stream, err)
	}
	return nil
}

// release has a number of messages wait that were too early, from the next one on.
func (s *stream) release(ctx context.Context, tx *store.Tx) error {
	var back []extent
	err := tx.Select(ctx, &back, `UPDATE inbox_messages SET state = 'ready', problem = '', reason = '', hint = '' WHERE seq IN (SELECT seq
		FROM inbox_messages WHERE source = ? AND stream = ? AND epoch = ? AND number >= ? AND number > 0 AND state = 'quarantined' AND problem = ?
		ORDER BY number LIMIT ?) RETURNING `+lengthOf+` AS length, large`, s.Source, s.Stream, s.Epoch, s.Next, tooEarly, releaseRows)
	if err != nil {
		return fmt.Errorf("have early messages of %s wait again: %w", s.Stream, err)
	}
	for _, b := range back {
		s.Bytes += b.size()
	}
	s.Waiting += int64(len(back))
	s.Early -= int64(len(back))
	return nil
}

// count keeps the numbers of waiting messages and their bytes.
func (s *stream) count(r row, n int64) {
	s.Waiting += n
	s.Bytes += n * r.size()
}

// known is a look at a stream of which it is known whether such a message waits.
func known(here bool) func(context.Context, *store.Tx) (bool, error) {
	return func(context.Context, *store.Tx) (bool, error) { return here, nil }
}

// among is a condition for the streams of a batch; prefix stands before the columns.
func among(prefix string, streams []*stream) (clause string, args []any) {
	for _, s := range streams {
		args = append(args, s.Source, s.Stream)
	}
	return "(" + prefix + "source, " + prefix + "stream) IN (VALUES " + tuples(len(streams), 2) + ")", args
}
