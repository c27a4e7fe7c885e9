package inbox

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/store"
)

// turn is what one stream is given to do in one transaction: the next of its messages, in order.
type turn struct {
	claimed stream  // as it was
	stream  *stream // as it shall be
	rows    []row   // one more than limit, to know whether more follow
	limit   int
	unread  *outcome // of its first message, which cannot be read; nil if all can
	done    []outcome
}

// outcome is what became of a message.
type outcome struct {
	row
	verdict
}

// claim locks the streams that are due, the longest waiting first, and reads what they may do; one that another process has in hand
// is passed over. Their messages are read once they are locked: nobody else can settle them any more.
func (i *Inbox) claim(ctx context.Context, tx *store.Tx) ([]*turn, error) {
	query, args := i.claimQuery(tx)
	var streams []*stream
	err := tx.Select(ctx, &streams, query, args...)
	if garbled(tx, err) {
		if n, lookErr := i.restUnreadable(ctx, tx); lookErr != nil || n == 0 {
			return nil, errors.Join(err, lookErr)
		}
		streams = nil
		err = tx.Select(ctx, &streams, query, args...)
	}
	if err != nil {
		return nil, fmt.Errorf("look for messages to apply: %w", err)
	}
	if len(streams) == 0 {
		return nil, nil
	}
	limit := max(i.cfg.Batch/len(streams), 1)
	rows, unread, err := heads(ctx, tx, streams, limit+1)
	if err != nil {
		return nil, err
	}
	turns := make([]*turn, len(streams))
	for n, s := range streams {
		at := place{s.Source, s.Stream}
		if turns[n] = (&turn{claimed: *s, stream: s, rows: rows[at], limit: limit}); unread[at] != nil {
			turns[n].unread, turns[n].rows = unread[at], []row{unread[at].row}
		}
	}
	return turns, nil
}

func (i *Inbox) claimQuery(tx *store.Tx) (string, []any) {
	return `SELECT ` + streamColumns + ` FROM inbox_streams WHERE due_at > 0 AND held = 0 AND due_at <= ? ORDER BY due_at LIMIT ?` + tx.SkipLocked(),
		[]any{store.Micros(tx.Now), i.cfg.Batch}
}

// Plan is what the database says of how it runs the claim (EXPLAIN), a line a row.
func (i *Inbox) Plan(ctx context.Context, tx *store.Tx) ([]string, error) {
	query, args := i.claimQuery(tx)
	if tx.Dialect() == store.Postgres {
		var lines []string
		err := tx.Select(ctx, &lines, `EXPLAIN `+query, args...)
		return lines, err
	}
	var rows []struct {
		ID, Parent, NotUsed int
		Detail              string
	}
	err := tx.Select(ctx, &rows, `EXPLAIN QUERY PLAN `+query, args...)
	lines := make([]string, len(rows))
	for n, r := range rows {
		lines[n] = r.Detail
	}
	return lines, err
}

// heads reads the next waiting messages of each stream, limit at most. A number beyond these cannot be reached in this turn, so that
// nobody reads a thousand messages that wait for a missing one. Of a stream of which a message cannot be read there is that one, in unread.
func heads(ctx context.Context, tx *store.Tx, streams []*stream, limit int) (out map[place][]row, unread map[place]*outcome, err error) {
	out, unread = map[place][]row{}, map[place]*outcome{}
	for chunk := range chunks(streams, lookRows) {
		rows, err := headsOf(ctx, tx, chunk, limit, unread)
		if err != nil {
			return nil, nil, fmt.Errorf("read the messages to apply: %w", err)
		}
		for _, r := range rows {
			out[r.place()] = append(out[r.place()], r)
		}
	}
	return out, unread, nil
}

// headsOf asks PostgreSQL once for all of them. SQLite is asked for each: it has no LATERAL, and is no round trip away.
func headsOf(ctx context.Context, tx *store.Tx, streams []*stream, limit int, unread map[place]*outcome) (rows []row, err error) {
	if tx.Dialect() == store.Postgres {
		where, args := among("s.", streams)
		err = tx.Select(ctx, &rows, `SELECT m.* FROM inbox_streams s CROSS JOIN LATERAL (SELECT `+columns+` FROM inbox_messages
			WHERE source = s.source AND stream = s.stream AND state = 'ready'
			AND (number = 0 OR epoch < s.epoch OR (epoch = s.epoch AND number < s.next_number + ?)) ORDER BY epoch, number, seq LIMIT ?) m
			WHERE `+where+` ORDER BY m.epoch, m.number, m.seq`, append([]any{limit, limit}, args...)...)
		return rows, err
	}
	for _, s := range streams {
		var of []row
		err := tx.Select(ctx, &of, `SELECT `+columns+` FROM inbox_messages WHERE source = ? AND stream = ? AND state = 'ready'
			AND (number = 0 OR epoch < ? OR (epoch = ? AND number < ?)) ORDER BY epoch, number, seq LIMIT ?`,
			s.Source, s.Stream, s.Epoch, s.Epoch, s.Next+int64(limit), limit)
		if garbled(tx, err) {
			if o, lookErr := unreadable(ctx, tx, s); lookErr != nil || o != nil {
				unread[s.place()] = o
				if lookErr != nil {
					return nil, lookErr
				}
				continue
			}
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, of...)
	}
	return rows, nil
}

// run applies the messages of a turn, one after the other, until one must be waited for or holds the stream. It begins anew each time.
func (t *turn) run(ctx context.Context, tx *store.Tx, effect func(context.Context, *store.Tx, stream, row) (verdict, error)) (*row, error) {
	*t.stream, t.done = t.claimed, nil
	if t.unread != nil {
		t.end(t.unread.row, t.unread.verdict)
		t.stream.Held = t.unread.Seq
		return nil, nil
	}
	for n := range t.rows {
		r := t.rows[n]
		if len(t.done) == t.limit || !t.stream.isTurn(r) || t.stream.Held != 0 {
			return nil, nil
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		v, err := effect(ctx, tx, *t.stream, r)
		if err != nil {
			return &r, err
		}
		t.end(r, v)
	}
	return nil, nil
}

// end moves the stream on behind a message.
func (t *turn) end(r row, v verdict) {
	t.done = append(t.done, outcome{r, v})
	s := t.stream
	s.Attempts, s.Trouble = 0, ""
	s.count(r, -1)
	if v.state == Quarantined {
		if r.ordered() {
			s.Held = r.Seq
		}
		return
	}
	s.advance(r)
	s.see(r, v)
}

// see keeps the version of the object that a mapping has seen: what is older comes late.
func (s *stream) see(r row, v verdict) {
	if (v.state == Done || v.state == LeftOut) && r.ObjectVersion != "" && !r.numbered() {
		s.Version = r.ObjectVersion
	}
}

// more tells whether a message follows whose turn it is.
func (t *turn) more() bool {
	rest := t.rows[len(t.done):]
	return len(rest) > 0 && t.stream.isTurn(rest[0])
}

// advance goes past a number whose turn it was. If the next one is missing, that is a gap of its own.
func (s *stream) advance(r row) {
	if r.numbered() && r.Epoch == s.Epoch && r.Number == s.Next {
		s.Next++
		s.GapSince, s.GapAlerted = 0, false
	}
}

// conclude writes what became of the messages and moves their streams on, in the transaction of the effects.
func (i *Inbox) conclude(ctx context.Context, tx *store.Tx, turns []*turn) error {
	type end struct {
		state  State
		reason string
	}
	ends := map[end][]int64{}
	streams := map[place]*stream{}
	for _, t := range turns {
		streams[place{t.stream.Source, t.stream.Stream}] = t.stream
		for _, o := range t.done {
			if o.state != Quarantined {
				ends[end{o.state, o.reason}] = append(ends[end{o.state, o.reason}], o.Seq)
				continue
			}
			i.log.WarnContext(ctx, "a message is quarantined", "message", o.ID, "kind", o.Kind, "key", o.Key, "reason", o.reason)
			if err := errors.Join(quarantine(ctx, tx, o.Seq, o.why), i.altered(ctx, tx, o.row, o.why)); err != nil {
				return err
			}
		}
	}
	for e, seqs := range ends {
		if err := settle(ctx, tx, seqs, e.state, e.reason); err != nil {
			return err
		}
	}
	var changed []*stream
	for _, t := range turns {
		if t.stream.Version != t.claimed.Version {
			changed = append(changed, t.stream)
		}
	}
	if err := supersede(ctx, tx, changed); err != nil {
		return err
	}
	for _, t := range turns {
		if err := t.stream.rest(ctx, tx, known(t.more())); err != nil {
			return err
		}
	}
	return saveAll(ctx, tx, streams)
}

// supersede settles what stands in quarantine with an older version of an object that was applied in a newer one.
func supersede(ctx context.Context, tx *store.Tx, streams []*stream) error {
	versions := map[place]string{}
	for _, s := range streams {
		versions[place{s.Source, s.Stream}] = s.Version
	}
	for chunk := range chunks(streams, lookRows) {
		where, args := among("", chunk)
		var older []row
		err := tx.Select(ctx, &older, `SELECT seq, source, stream, object_version FROM inbox_messages WHERE state = 'quarantined' AND object_version <> ''
			AND `+where, args...)
		if err != nil {
			return fmt.Errorf("look for older versions in quarantine: %w", err)
		}
		for _, o := range older {
			version := versions[o.place()]
			newer, err := newerThan(o.ObjectVersion, version)
			if err != nil || newer {
				continue
			}
			if err := settle(ctx, tx, []int64{o.Seq}, Superseded, "version "+version+" of the object was applied after this one was refused"); err != nil {
				return err
			}
		}
	}
	return nil
}
