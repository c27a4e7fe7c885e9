package inbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"

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

func newRow(m message.Message, how How) row {
	sum := sha256.Sum256(m.Body)
	r := row{
		Source: m.Source, ID: m.ID, Kind: m.Kind, Version: m.Version, Key: m.Key, Time: store.Zoned{Time: m.Time}, Body: m.Body,
		Link: m.Link, Mapping: how.Mapping, Lane: m.Lane, Epoch: max(m.Epoch, 1), Number: m.Number, Prev: m.Prev, Role: string(m.Role),
		Refers: m.Refers, Creates: m.Creates, Cause: m.Cause, Trace: m.Trace, ObjectVersion: how.ObjectVersion, Digest: m.Digest(),
		Content: hex.EncodeToString(sum[:]), State: Ready,
	}
	if how.Link != "" {
		r.Link = how.Link
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

func (r row) message() message.Message {
	return message.Message{
		ID: r.ID, Source: r.Source, Kind: r.Kind, Version: r.Version, Key: r.Key, Time: r.Time.Time, Body: r.Body, Creates: r.Creates,
		Cause: r.Cause, Trace: r.Trace,
		Place: message.Place{
			Link: r.Link, Lane: r.Lane, Epoch: r.Epoch, Number: r.Number, Prev: r.Prev, Role: message.Role(r.Role), Refers: r.Refers,
		},
	}
}

const (
	columns = listed + `, body, original`
	listed  = `seq, source, id, kind, version, key, time, link, mapping, stream, lane, epoch, number, prev, role, refers,
	creates, cause, trace, object_version, digest, content, state, problem, reason, hint, attempts, received_at, settled_at`
)

// insert stores a message unless (source, id) is taken; false if it is.
func insert(ctx context.Context, tx *store.Tx, r *row) (bool, error) {
	r.ReceivedAt = store.Micros(tx.Now)
	if r.State != Ready && r.State != Quarantined {
		r.SettledAt = r.ReceivedAt
	}
	args := []any{
		r.Source, r.ID, r.Kind, r.Version, r.Key, r.Time, r.Body, r.Link, r.Mapping, r.Stream, r.Lane, r.Epoch, r.Number, r.Prev, r.Role,
		r.Refers, r.Creates, r.Cause, r.Trace, r.ObjectVersion, r.Digest, r.Content, r.State, r.Problem, r.Reason, r.Hint, r.ReceivedAt, r.SettledAt,
	}
	err := tx.Get(ctx, &r.Seq, `INSERT INTO inbox_messages (source, id, kind, version, key, time, body, link, mapping, stream, lane, epoch,
		number, prev, role, refers, creates, cause, trace, object_version, digest, content, state, problem, reason, hint, received_at, settled_at)
		VALUES (?`+strings.Repeat(", ?", len(args)-1)+`) ON CONFLICT (source, id) DO NOTHING RETURNING seq`, args...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("store message %s of %s: %w", r.ID, r.Source, err)
	}
	return true, nil
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

// settle moves a message to a state; reason says why, "" if there is nothing to say.
func settle(ctx context.Context, tx *store.Tx, seq int64, state State, reason string) error {
	var at int64
	if state != Ready && state != Quarantined {
		at = store.Micros(tx.Now)
	}
	_, err := tx.Exec(ctx, `UPDATE inbox_messages SET state = ?, problem = '', reason = ?, hint = '', settled_at = ? WHERE seq = ?`,
		state, reason, at, seq)
	if err != nil {
		return fmt.Errorf("mark message %d as %s: %w", seq, state, err)
	}
	return nil
}

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
	DueAt      int64 `db:"due_at"`
	Held       int64
	Attempts   int
	Trouble    string
	GapSince   int64 `db:"gap_since"`
	GapAlerted bool  `db:"gap_alerted"`
}

const streamColumns = `source, stream, lane, epoch, next_number, version, waiting, bytes, due_at, held, attempts, trouble, gap_since, gap_alerted`

// lock reads a stream and keeps others from it until the transaction ends; it makes the row if there is none.
func lock(ctx context.Context, tx *store.Tx, source, name, lane string) (s stream, err error) {
	_, err = tx.Exec(ctx, `INSERT INTO inbox_streams (source, stream, lane) VALUES (?, ?, ?) ON CONFLICT (source, stream) DO NOTHING`, source, name, lane)
	if err == nil {
		err = tx.Get(ctx, &s, `SELECT `+streamColumns+` FROM inbox_streams WHERE source = ? AND stream = ?`+tx.ForUpdate(), source, name)
	}
	if err != nil {
		return stream{}, fmt.Errorf("lock %s of %s: %w", name, source, err)
	}
	return s, nil
}

func (s stream) save(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `UPDATE inbox_streams SET epoch = ?, next_number = ?, version = ?, waiting = ?, bytes = ?, due_at = ?, held = ?,
		attempts = ?, trouble = ?, gap_since = ?, gap_alerted = ? WHERE source = ? AND stream = ?`, s.Epoch, s.Next, s.Version, s.Waiting, s.Bytes,
		s.DueAt, s.Held, s.Attempts, s.Trouble, s.GapSince, s.GapAlerted, s.Source, s.Stream)
	if err != nil {
		return fmt.Errorf("keep the state of %s of %s: %w", s.Stream, s.Source, err)
	}
	return nil
}

// head is the message whose turn it is; false if the stream has none, or waits for a missing number. What
// a person has replayed after its turn is below Next, or of an epoch that has ended.
func (s stream) head(ctx context.Context, tx *store.Tx) (row, bool, error) {
	return find(ctx, tx, `source = ? AND stream = ? AND state = 'ready' AND (number = 0 OR epoch < ? OR (epoch = ? AND number <= ?))
		ORDER BY epoch, number, seq LIMIT 1`, s.Source, s.Stream, s.Epoch, s.Epoch, s.Next)
}

// rest sets when the stream is due: now if there is a head, or when a head that has failed may be tried again; never if there is
// none; a number that is missing begins a gap. A lane that waits for a message in quarantine misses nothing.
func (s *stream) rest(ctx context.Context, tx *store.Tx) error {
	due := store.Micros(tx.Now)
	if s.Attempts > 0 {
		due = max(due, s.DueAt)
	}
	if s.Lane == "" && s.Waiting > 0 {
		s.DueAt = due
		return nil
	}
	s.DueAt = 0
	if s.Waiting == 0 || s.Held != 0 {
		s.GapSince, s.GapAlerted = 0, false
		return nil
	}
	_, found, err := s.head(ctx, tx)
	switch {
	case err != nil:
		return err
	case found:
		s.DueAt, s.GapSince, s.GapAlerted = due, 0, false
	case s.GapSince == 0:
		s.GapSince = store.Micros(tx.Now)
	}
	return nil
}

// count keeps the numbers of waiting messages and their bytes.
func (s *stream) count(r row, n int64) {
	s.Waiting += n
	s.Bytes += n * int64(len(r.Body))
}
