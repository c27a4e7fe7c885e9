package inbox

import (
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"iter"
	"strings"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/store"
)

// row is a message as it is stored.
type row struct {
	Seq           int64
	Source        string
	ID            string
	Kind          string
	Version       int
	Key           string
	Time          store.Zoned
	Body          []byte
	Original      []byte // what came, if a person has changed Body
	Large         body.Ref
	OriginalLarge body.Ref `db:"original_large"`
	Link          string
	Mapping       string
	Stream        string
	Lane          string
	Epoch         int64
	Number        int64
	Prev          string
	Role          string
	Refers        string
	Creates       string
	Cause         string
	Trace         string
	ObjectVersion string `db:"object_version"`
	Digest        string
	Content       string // SHA-256 of the body as it came
	State         State
	Problem       string
	Reason        string
	Hint          string
	Attempts      int
	ReceivedAt    int64 `db:"received_at"`
	SettledAt     int64 `db:"settled_at"`
}

func newRow(m message.Message, in message.Incoming) row {
	sum := m.Checksum()
	r := row{
		Source: m.Source, ID: m.ID, Kind: m.Kind, Version: m.Version, Key: m.Key, Time: store.Zoned{Time: m.Time}, Body: m.Body, Large: body.RefOf(m.Large),
		Link: m.Link, Mapping: in.Mapping, Lane: m.Lane, Epoch: max(m.Epoch, 1), Number: m.Number, Prev: m.Prev, Role: string(m.Role),
		Refers: m.Refers, Creates: m.Creates, Cause: m.Cause, Trace: m.Trace, ObjectVersion: in.ObjectVersion, Digest: m.Digest(),
		Content: hex.EncodeToString(sum[:]), State: Ready,
	}
	if r.Body == nil {
		r.Body = []byte{}
	}
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
	columns = listed + `, body, original`
	listed  = `seq, source, id, kind, version, key, time, link, mapping, stream, lane, epoch, number, prev, role, refers,
	creates, cause, trace, object_version, digest, content, state, problem, reason, hint, attempts, received_at, settled_at, large, original_large`
)

// insertRows is how many messages one statement stores at most, a power of two.
const insertRows = 64

// insert stores messages, in their order, and gives each its row number; one whose (source, id) is taken keeps 0.
func insert(ctx context.Context, tx *store.Tx, rows []*row) error {
	var args []any
	byID := map[identity]*row{}
	for _, r := range rows {
		r.ReceivedAt = store.Micros(tx.Now)
		byID[identity{r.Source, r.ID}] = r
		args = append(args, r.Source, r.ID, r.Kind, r.Version, r.Key, r.Time, r.Body, r.Link, r.Mapping, r.Stream, r.Lane, r.Epoch, r.Number, r.Prev,
			r.Role, r.Refers, r.Creates, r.Cause, r.Trace, r.ObjectVersion, r.Digest, r.Content, r.State, r.Problem, r.Reason, r.Hint, r.ReceivedAt)
	}
	var stored []struct {
		Seq        int64
		Source, ID string
	}
	err := tx.Select(ctx, &stored, `INSERT INTO inbox_messages (source, id, kind, version, key, time, body, link, mapping, stream, lane, epoch,
		number, prev, role, refers, creates, cause, trace, object_version, digest, content, state, problem, reason, hint, received_at)
		VALUES `+tuples(len(rows), len(args)/len(rows))+` ON CONFLICT (source, id) DO NOTHING RETURNING seq, source, id`, args...)
	if err != nil {
		return fmt.Errorf("store %d messages of %s: %w", len(rows), rows[0].Source, err)
	}
	for _, s := range stored {
		byID[identity{s.Source, s.ID}].Seq = s.Seq
	}
	return holdBodies(ctx, tx, rows)
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

// lookRows is how many messages one statement looks for at most, a power of two.
const lookRows = 512

// recall finds what is stored already under the IDs and numbers of a batch.
func recall(ctx context.Context, tx *store.Tx, all []*arrival) (memory, error) {
	m := memory{map[identity]*row{}, map[count]*row{}}
	for chunk := range chunks(all, lookRows) {
		var ids, numbers []any
		for _, a := range chunk {
			ids = append(ids, a.row.Source, a.row.ID)
			if a.row.numbered() {
				numbers = append(numbers, a.row.Source, a.row.Stream, a.row.Epoch, a.row.Number)
			}
		}
		if err := m.find(ctx, tx, `(source, id) IN (VALUES `+tuples(len(ids)/2, 2)+`)`, ids); err != nil {
			return memory{}, err
		}
		if len(numbers) == 0 {
			continue
		}
		four := "(?, ?, CAST(? AS BIGINT), CAST(? AS BIGINT))"
		where := `(source, stream, epoch, number) IN (VALUES ` + four + strings.Repeat(", "+four, len(numbers)/4-1) + `) AND number > 0`
		if err := m.find(ctx, tx, where, numbers); err != nil {
			return memory{}, err
		}
	}
	return m, nil
}

func (m memory) find(ctx context.Context, tx *store.Tx, where string, args []any) error {
	var rows []row
	err := tx.Select(ctx, &rows, `SELECT source, id, kind, key, stream, epoch, number, content FROM inbox_messages WHERE `+where, args...)
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
