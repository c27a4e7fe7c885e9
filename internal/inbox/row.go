package inbox

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// row is a message as it is stored.
type row struct {
	Seq            int64
	Source         string
	ID             string
	Kind           string
	Version        int
	Key            string
	Time           store.Zoned
	Body           []byte
	Original       []byte // what came, if a person has changed Body
	Sealed         int64  // by which epoch Body is sealed, of a row that was read
	OriginalSealed int64  `db:"original_sealed"`
	Large          body.Ref
	OriginalLarge  body.Ref `db:"original_large"`
	Link           string
	Mapping        string
	Stream         string
	Lane           string
	Epoch          int64
	Number         int64
	Prev           string
	Role           string
	Refers         string
	Creates        string
	Cause          string
	Trace          string
	ObjectVersion  string `db:"object_version"`
	Digest         string
	Content        string // SHA-256 of the body as it came
	State          State
	Problem        string
	Reason         string
	Hint           string
	Attempts       int
	ReceivedAt     int64 `db:"received_at"`
	SettledAt      int64 `db:"settled_at"`
}

// newRow is the row of a message that is believed: there is no other way to one.
func newRow(v message.Verified, in message.Incoming) row {
	m := v.Message()
	sum := m.Checksum()
	r := placed(m, in.ObjectVersion)
	r.Version, r.Time, r.Body, r.Large = m.Version, store.Zoned{Time: m.Time}, m.Body, body.RefOf(m.Large)
	r.Link, r.Mapping, r.Prev, r.Role, r.Refers, r.Creates, r.Cause, r.Trace = m.Link, in.Mapping, m.Prev, string(m.Role), m.Refers, m.Creates, m.Cause, m.Trace
	r.Digest, r.Content, r.State = m.Digest(), hex.EncodeToString(sum[:]), Ready
	if r.Body == nil {
		r.Body = []byte{}
	}
	return r
}

// placed is where a message says that it stands.
func placed(m message.Message, version string) row {
	r := row{Source: m.Source, ID: m.ID, Kind: m.Kind, Key: m.Key, Lane: m.Lane, Epoch: max(m.Epoch, 1), Number: m.Number, ObjectVersion: version}
	if r.numbered() {
		r.Stream = "lane/" + r.Lane
	} else {
		r.Stream = "object/" + r.Kind + "/" + r.Key
	}
	return r
}

// numbered tells whether the sender counts its messages.
func (r row) numbered() bool { return r.Number > 0 }

// ordered tells whether the message must not be overtaken by a later one of its stream.
func (r row) ordered() bool { return r.numbered() || r.ObjectVersion == "" }

// message is the row as a message, its large body as the caller reads it: in a transaction, or after it.
func (r row) message(large *message.Large) message.Message {
	return message.Message{
		ID: r.ID, Source: r.Source, Kind: r.Kind, Version: r.Version, Key: r.Key, Time: r.Time.Time, Body: r.Body, Large: large, Creates: r.Creates,
		Cause: r.Cause, Trace: r.Trace,
		Place: message.Place{
			Link: r.Link, Lane: r.Lane, Epoch: r.Epoch, Number: r.Number, Prev: r.Prev, Role: message.Role(r.Role), Refers: r.Refers,
		},
	}
}

const (
	columns = listed + `, body, original, sealed, original_sealed`
	listed  = `seq, source, id, kind, version, key, time, link, mapping, stream, lane, epoch, number, prev, role, refers,
	creates, cause, trace, object_version, digest, content, state, problem, reason, hint, attempts, received_at, settled_at, large, original_large`
)

// insertRows is how many rows one statement of SQLite stores at most, a power of two.
const insertRows = 64

// insertion is the statement that stores messages, in their order, and its parameters. Senders have most columns the same for all, or
// none.
func insertion(ctx context.Context, tx *store.Tx, rows []*row) (string, []any, error) {
	bodies, epochs, err := sealAll(ctx, tx, rows)
	if err != nil {
		return "", nil, err
	}
	for _, r := range rows {
		r.ReceivedAt = store.Micros(tx.Now)
	}
	said := func(name string, of func(*row) string) store.Column { return store.Each(name, rows, of) }
	counted := func(name string, of func(*row) int64) store.Column { return store.Each(name, rows, of) }
	g := store.Give(
		said("id", func(r *row) string { return r.ID }), said("key", func(r *row) string { return r.Key }),
		said("time", func(r *row) string { return r.Time.Format(time.RFC3339Nano) }),
		store.Col("body", bodies), said("content", func(r *row) string { return r.Content }),
		said("stream", func(r *row) string { return r.Stream }), said("lane", func(r *row) string { return r.Lane }),
		counted("number", func(r *row) int64 { return r.Number }), said("digest", func(r *row) string { return r.Digest }),

		said("source", func(r *row) string { return r.Source }), said("link", func(r *row) string { return r.Link }),
		said("role", func(r *row) string { return r.Role }), counted("epoch", func(r *row) int64 { return r.Epoch }),
		counted("version", func(r *row) int64 { return int64(r.Version) }),
		said("kind", func(r *row) string { return r.Kind }), said("mapping", func(r *row) string { return r.Mapping }),
		said("prev", func(r *row) string { return r.Prev }), said("refers", func(r *row) string { return r.Refers }),
		said("creates", func(r *row) string { return r.Creates }), said("cause", func(r *row) string { return r.Cause }),
		said("trace", func(r *row) string { return r.Trace }), said("object_version", func(r *row) string { return r.ObjectVersion }),
		said("state", func(r *row) string { return string(r.State) }), said("problem", func(r *row) string { return r.Problem }),
		said("reason", func(r *row) string { return r.Reason }), said("hint", func(r *row) string { return r.Hint }),
		counted("received_at", func(r *row) int64 { return r.ReceivedAt }), counted("settled_at", func(r *row) int64 { return r.SettledAt }),
		store.Col("sealed", epochs),
	)
	query, args := g.Insert(tx, `inbox_messages`,
		[]string{"source", "link", "role", "epoch", "version"}, []string{"kind", "mapping"}, []string{"prev", "refers", "creates", "cause"},
		[]string{"trace"}, []string{"object_version"}, []string{"state", "problem", "reason", "hint", "received_at", "settled_at", "sealed"})
	return query, args, nil
}

// insertSettled stores messages that have had their effect. That one of them was taken before, in another stream, is an error: what the
// plant did must not be kept. It needs no answer, and costs half of what insert does.
func insertSettled(ctx context.Context, tx *store.Tx, rows []*row) error {
	query, args, err := insertion(ctx, tx, rows)
	if err == nil {
		err = tx.Later(ctx, query, args...)
	}
	if err != nil {
		return fmt.Errorf("store %d messages of %s: %w", len(rows), rows[0].Source, err)
	}
	return nil
}

// insert stores messages that wait, in their order, and gives each its row number; one whose (source, id) is taken keeps 0.
func insert(ctx context.Context, tx *store.Tx, rows []*row) error {
	byID := make(map[identity]*row, len(rows))
	for _, r := range rows {
		byID[identity{r.Source, r.ID}] = r
	}
	var stored []struct {
		Seq        int64
		Source, ID string
	}
	query, args, err := insertion(ctx, tx, rows)
	if err != nil {
		return err
	}
	err = tx.Select(ctx, &stored, query+` ON CONFLICT (source, id) DO NOTHING RETURNING seq, source, id`, args...)
	if err != nil {
		return fmt.Errorf("store %d messages of %s: %w", len(rows), rows[0].Source, err)
	}
	for _, s := range stored {
		byID[identity{s.Source, s.ID}].Seq = s.Seq
	}
	return holdBodies(ctx, tx, rows)
}

// parts cuts a batch into what one statement takes (store.Given): on SQLite at most so many rows.
func parts[T any](tx *store.Tx, all []T, most int) iter.Seq[[]T] {
	if tx.Dialect() == store.Postgres {
		return slices.Chunk(all, 1000)
	}
	return chunks(all, most)
}

// chunks cuts a batch into parts of at most so many, each of a power of two: the database remembers every statement that it has
// prepared, and a batch may have any size.
func chunks[T any](all []T, most int) iter.Seq[[]T] {
	return func(yield func([]T) bool) {
		for size := most; len(all) > 0; {
			for size > len(all) {
				size /= 2
			}
			if !yield(all[:size]) {
				return
			}
			all = all[size:]
		}
	}
}

// tuples are placeholders for so many rows of so many columns.
func tuples(rows, columns int) string {
	one := "(?" + strings.Repeat(", ?", columns-1) + ")"
	return one + strings.Repeat(", "+one, rows-1)
}

// identity, place and count are what a message is known by: its ID, its stream, its number.
type (
	identity struct{ source, id string }
	place    struct{ source, stream string }
	count    struct {
		place
		epoch, number int64
	}
)

func (r row) place() place { return place{r.Source, r.Stream} }
func (r row) count() count { return count{r.place(), r.Epoch, r.Number} }

// where says in words where the sender has put a message.
func (r row) where() string {
	if !r.numbered() {
		return "without a number"
	}
	return fmt.Sprintf("as number %d of epoch %d in lane %s", r.Number, r.Epoch, strings.TrimPrefix(r.Stream, "lane/"))
}

// memory is what is known of the messages of a batch.
type memory struct {
	byID     map[identity]*row
	byNumber map[count]*row
}

func (m memory) keep(r *row) {
	m.byID[identity{r.Source, r.ID}] = r
	if r.numbered() {
		m.byNumber[r.count()] = r
	}
}

// lookRows is how many rows one statement looks for at most, a power of two.
const lookRows = 512

// recall finds what is stored already under the IDs and numbers of a batch.
func recall(ctx context.Context, tx *store.Tx, all []*arrival) (memory, error) {
	m := memory{make(map[identity]*row, len(all)), make(map[count]*row, len(all))}
	for part := range parts(tx, all, lookRows) { // none if there is nothing to look for
		ids := store.Give(
			store.Each("source", part, func(a *arrival) string { return a.row.Source }), store.Each("id", part, func(a *arrival) string { return a.row.ID }))
		if err := m.find(ctx, tx, "", ids, `source`, `id`); err != nil {
			return memory{}, err
		}
		counted := slices.DeleteFunc(slices.Clone(part), func(a *arrival) bool { return !a.row.numbered() })
		if len(counted) == 0 {
			continue
		}
		numbers := store.Give(
			store.Each("source", counted, func(a *arrival) string { return a.row.Source }), store.Each("stream", counted, func(a *arrival) string { return a.row.Stream }),
			store.Each("epoch", counted, func(a *arrival) int64 { return a.row.Epoch }), store.Each("number", counted, func(a *arrival) int64 { return a.row.Number }))
		if err := m.find(ctx, tx, ` AND number > 0`, numbers, `source`, `stream`, `epoch`, `number`); err != nil {
			return memory{}, err
		}
	}
	return m, nil
}

// knownBy are the columns by which a message is compared with one that was taken before.
const knownBy = `source, id, kind, key, stream, epoch, number, content`

func (m memory) find(ctx context.Context, tx *store.Tx, more string, g store.Given, keys ...string) error {
	var rows []row
	query, args := byKeys(tx, g, `inbox_messages`, knownBy, more, "", keys...)
	err := tx.Select(ctx, &rows, query, args...)
	if err != nil {
		return fmt.Errorf("look for messages that were taken before: %w", err)
	}
	for n := range rows {
		m.keep(&rows[n])
	}
	return nil
}

// find is the row that query selects; false if there is none.
func find(ctx context.Context, tx *store.Tx, where string, args ...any) (r row, found bool, err error) {
	err = tx.Get(ctx, &r, `SELECT `+columns+` FROM inbox_messages WHERE `+where, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, false, nil
	}
	if err != nil {
		return row{}, false, fmt.Errorf("read a message of the inbox: %w", err)
	}
	return r, true, nil
}

// settle moves messages to a state; reason says why, "" if there is nothing to say.
func settle(ctx context.Context, tx *store.Tx, seqs []int64, state State, reason string) error {
	for chunk := range chunks(seqs, lookRows) {
		query, args, err := tx.In(`UPDATE inbox_messages SET state = ?, problem = '', reason = ?, hint = '', settled_at = ? WHERE seq IN (?)`,
			state, reason, store.Micros(tx.Now), chunk)
		if err == nil {
			_, err = tx.Exec(ctx, query, args...)
		}
		if err != nil {
			return fmt.Errorf("mark %d messages as %s: %w", len(chunk), state, err)
		}
	}
	return nil
}
