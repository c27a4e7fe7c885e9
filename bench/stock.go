package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

const (
	benchLink   = "erp"
	benchSource = "urn:plant:bench"
	benchKind   = "operation.confirmed"
)

// kilobyte is a JSON document of 1 KiB that does not compress well.
func kilobyte() []byte {
	return textOf(1024, rand.New(rand.NewPCG(1, 2))) // the same bytes in each run
}

// textOf is JSON of that many bytes, of which little can be compressed.
func textOf(size int, r *rand.Rand) []byte {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
	text := make([]byte, size-len(`{"text":""}`))
	for i := range text {
		text[i] = letters[r.IntN(len(letters))]
	}
	return []byte(`{"text":"` + string(text) + `"}`)
}

// owing makes what outbox.Append writes for new lanes, so that many rows can be written at a time: appending a million one by one
// would take an hour. A test holds it against Append. Beside drain.go it is the only place outside internal/outbox that names its
// tables.
type owing struct {
	y       *yard
	body    func() []byte
	lanes   int
	digests []string // of each lane's last message
	at      time.Time
}

const (
	stockRows   = 200 // rows of one statement
	stockCommit = 5_000
)

var (
	messageColumns = []string{
		"link", "lane", "epoch", "number", "id", "event", "source", "kind", "version", "key", "time", "body", "creates", "cause", "trace",
		"mapping", "prev", "role", "refers", "digest", "created_at", "not_before", "expires_at",
	}
	laneColumns = []string{"link", "lane", "next_number", "last_digest", "pending", "head_at", "due_at", "changed_at"}
)

// stock owes n messages in that many new lanes, each in turn.
func (y *yard) stock(ctx context.Context, n, lanes int, body []byte) error {
	return y.stockOf(ctx, n, lanes, func() []byte { return body })
}

// stockOf is stock with a body of each message's own.
func (y *yard) stockOf(ctx context.Context, n, lanes int, body func() []byte) error {
	y.round++
	w := &owing{y: y, body: body, lanes: lanes, digests: make([]string, lanes), at: y.db.Now()}
	write := w.insert
	if y.db.Dialect() == store.Postgres {
		write = w.copy
	}
	if err := write(ctx, "outbox_messages", messageColumns, n, w.message); err != nil {
		return fmt.Errorf("write messages: %w", err)
	}
	err := write(ctx, "outbox_lanes", laneColumns, lanes, func(i int) []any { return w.laneRow(i, n) })
	if err != nil {
		return fmt.Errorf("write lanes: %w", err)
	}
	return y.db.InTx(ctx, func(tx *store.Tx) error { // the planner must know how many there are
		_, err := tx.Exec(ctx, "ANALYZE outbox_messages")
		if err == nil {
			_, err = tx.Exec(ctx, "ANALYZE outbox_lanes")
		}
		return err
	})
}

func (w *owing) lane(i int) string { return fmt.Sprintf("%d-o%d", w.y.round, i%w.lanes) }

// message is the row of message i. They must be asked for in order: each digest covers the one before it in the lane.
func (w *owing) message(i int) []any {
	event := fmt.Sprintf("%d-%d", w.y.round, i)
	m := message.Message{
		ID: outbox.MessageID(benchLink, event), Source: benchSource, Kind: benchKind, Version: 1, Key: w.lane(i), Time: w.at, Body: w.body(),
		Place: message.Place{
			Link: benchLink, Lane: w.lane(i), Epoch: 1, Number: int64(i/w.lanes + 1), Prev: w.digests[i%w.lanes], Role: message.Event,
		},
	}
	digest := m.Digest()
	w.digests[i%w.lanes] = digest
	return []any{
		m.Link, m.Lane, m.Epoch, m.Number, m.ID, event, m.Source, m.Kind, m.Version, m.Key,
		store.Zoned{Time: m.Time},
		m.Body, "", "", "", "",
		m.Prev, string(m.Role), "", digest, store.Micros(w.at), 0, 0,
	}
}

func (w *owing) laneRow(i, n int) []any {
	owed, at := (n-i+w.lanes-1)/w.lanes, store.Micros(w.at)
	return []any{benchLink, w.lane(i), owed + 1, w.digests[i], owed, at, at, at}
}

// copy streams rows into PostgreSQL.
func (w *owing) copy(ctx context.Context, table string, columns []string, n int, row func(i int) []any) error {
	conn, err := pgx.Connect(ctx, w.y.place)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	i := -1
	_, err = conn.CopyFrom(ctx, pgx.Identifier{table}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if i++; i == n {
			return nil, nil // the end
		}
		return row(i), nil
	}))
	return err
}

// insert writes rows into SQLite, many with a statement.
func (w *owing) insert(ctx context.Context, table string, columns []string, n int, row func(i int) []any) error {
	one := "(" + strings.TrimSuffix(strings.Repeat("?, ", len(columns)), ", ") + ")"
	for from := 0; from < n; from += stockCommit {
		err := w.y.db.InTx(ctx, func(tx *store.Tx) error {
			for part := from; part < min(n, from+stockCommit); part += stockRows {
				var args []any
				end := min(n, from+stockCommit, part+stockRows)
				for i := part; i < end; i++ {
					args = append(args, row(i)...)
				}
				_, err := tx.Exec(ctx, `INSERT INTO `+table+` (`+strings.Join(columns, ", ")+`) VALUES `+
					strings.TrimSuffix(strings.Repeat(one+", ", end-part), ", "), args...)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
