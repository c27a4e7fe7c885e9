package job

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

const columns = `id, state, created_at, created_by, reason, choice, force, rate, canary, go_on, tolerance, total, released, delivered, had, failed,
	skipped, approved_by, approved_at, started_by, started_at, ended_at, next_at, why`

// row is a job as the table has it.
type row struct {
	ID, State, Reason, Choice, Why                   string
	Force                                            bool
	GoOn                                             bool `db:"go_on"`
	Rate, Canary, Tolerance                          int
	Total, Released, Delivered, Had, Failed, Skipped int
	CreatedBy                                        string `db:"created_by"`
	ApprovedBy                                       string `db:"approved_by"`
	StartedBy                                        string `db:"started_by"`
	CreatedAt                                        int64  `db:"created_at"`
	ApprovedAt                                       int64  `db:"approved_at"`
	StartedAt                                        int64  `db:"started_at"`
	EndedAt                                          int64  `db:"ended_at"`
	NextAt                                           int64  `db:"next_at"`
}

func (r row) job() (Job, error) {
	b := Job{
		ID: r.ID, State: State(r.State), Why: r.Why, Force: r.Force, Rate: r.Rate, Canary: r.Canary, GoOn: r.GoOn, Tolerance: r.Tolerance, Reason: r.Reason,
		CreatedBy: r.CreatedBy, CreatedAt: store.FromMicros(r.CreatedAt), ApprovedBy: r.ApprovedBy, ApprovedAt: store.FromMicros(r.ApprovedAt),
		StartedBy: r.StartedBy, StartedAt: store.FromMicros(r.StartedAt), EndedAt: store.FromMicros(r.EndedAt),
		Counts: Counts{
			Total: r.Total, Released: r.Released, Delivered: r.Delivered, Had: r.Had, Failed: r.Failed, Skipped: r.Skipped,
			Waiting: r.Total - r.Released - r.Delivered - r.Had - r.Failed - r.Skipped,
		},
	}
	if err := json.Unmarshal([]byte(r.Choice), &b.Choice); err != nil {
		return Job{}, fmt.Errorf("read the choice of job %s: %w", r.ID, err)
	}
	return b, nil
}

// Item is one message of a job.
type Item struct {
	Seq        int64  `json:"place"`
	Link       string `json:"link"`
	Lane       string `json:"lane"`
	Epoch      int64  `json:"epoch"`
	Number     int64  `json:"number"`
	ID         string `json:"id"`
	Kind       string `json:"kind"`
	Digest     string `json:"-"`
	Redelivery int    `json:"-"`
	Stuck      bool   `json:"stuck"` // its lane stood still at it when the job was planned
	State      string `json:"state"` // waiting, released, delivered, had, failed, skipped or cancelled
	Why        string `json:"why,omitempty"`
}

// Awaits names a job that has still to hand a message to the outbox, planned or running; "" if there is none.
func (j *Jobs) Awaits(ctx context.Context, tx *store.Tx, message string) (string, error) {
	var jobs []string
	err := tx.Select(ctx, &jobs, `SELECT i.job FROM replay_items AS i JOIN replay_jobs AS r ON r.id = i.job
		WHERE i.id = ? AND i.state = 'waiting' AND r.state NOT IN ('done', 'cancelled') ORDER BY i.job LIMIT 1`, message)
	if err != nil {
		return "", fmt.Errorf("look for jobs about message %s: %w", message, err)
	}
	return strings.Join(jobs, ""), nil
}

const itemColumns = `seq, link, lane, epoch, number, id, kind, digest, redelivery, stuck, state, why`

// Items is what a job is about, in the order in which it goes, from after the place of the last one read.
func (j *Jobs) Items(ctx context.Context, tx *store.Tx, id, state string, after int64, limit int) (list []Item, err error) {
	where, args := `job = ? AND seq > ?`, []any{id, after}
	if state != "" {
		where, args = where+` AND state = ?`, append(args, state)
	}
	err = tx.Select(ctx, &list, `SELECT `+itemColumns+` FROM replay_items WHERE `+where+` ORDER BY seq LIMIT `+strconv.Itoa(limit), args...)
	if err != nil {
		return nil, fmt.Errorf("read the messages of job %s: %w", id, err)
	}
	return list, nil
}

// underWay is what of a job has no outcome yet, or failed.
func (j *Jobs) underWay(ctx context.Context, tx *store.Tx, id string) (list []Item, err error) {
	err = tx.Select(ctx, &list, `SELECT `+itemColumns+` FROM replay_items WHERE job = ? AND state IN ('released', 'failed') ORDER BY seq`, id)
	if err != nil {
		return nil, fmt.Errorf("read what of job %s is under way: %w", id, err)
	}
	return list, nil
}

// perInsert bounds the parameters of one statement.
const perInsert = 2000

// freeze writes what a job is about.
func freeze(ctx context.Context, tx *store.Tx, id string, list []outbox.Chosen) error {
	first := 0
	for part := range slices.Chunk(list, perInsert) {
		seqs := make([]int64, len(part))
		for i := range part {
			seqs[i] = int64(first + i + 1)
		}
		first += len(part)
		g := store.Give(
			store.Col("seq", seqs), store.Each("link", part, func(c outbox.Chosen) string { return c.Link }),
			store.Each("lane", part, func(c outbox.Chosen) string { return c.Lane }), store.Each("epoch", part, func(c outbox.Chosen) int64 { return c.Epoch }),
			store.Each("number", part, func(c outbox.Chosen) int64 { return c.Number }), store.Each("id", part, func(c outbox.Chosen) string { return c.ID }),
			store.Each("kind", part, func(c outbox.Chosen) string { return c.Kind }), store.Each("digest", part, func(c outbox.Chosen) string { return c.Digest }),
			store.Each("redelivery", part, func(c outbox.Chosen) int64 { return int64(c.Redelivery) }), store.Each("stuck", part, func(c outbox.Chosen) bool { return c.Failed }),
			store.Each("why", part, func(c outbox.Chosen) string { return c.Why }),
		)
		_, err := tx.Exec(ctx, `INSERT INTO replay_items (job, `+itemColumns+`)
			SELECT CAST(? AS TEXT), seq, link, lane, epoch, number, id, kind, digest, redelivery, stuck, 'waiting', why FROM `+g.Table(tx, "g"),
			append([]any{id}, g.Args(tx)...)...)
		if err != nil {
			return err
		}
	}
	return nil
}

// outcome is what became of one item in a step.
type outcome struct {
	seq        int64
	state, why string
}

// keep writes outcomes of items.
func keep(ctx context.Context, tx *store.Tx, id string, list []outcome) error {
	for part := range slices.Chunk(list, perInsert) {
		g := store.Give(
			store.Each("at", part, func(o outcome) int64 { return o.seq }), store.Each("becomes", part, func(o outcome) string { return o.state }),
			store.Each("says", part, func(o outcome) string { return o.why }),
		)
		_, err := tx.Exec(ctx, `UPDATE replay_items SET state = g.becomes, why = g.says FROM `+g.Table(tx, "g")+` WHERE job = ? AND seq = g.at`,
			append(g.Args(tx), id)...)
		if err != nil {
			return fmt.Errorf("keep how far job %s is: %w", id, err)
		}
	}
	return nil
}

// save writes the figures of a job after a step.
func (s *step) save(ctx context.Context, tx *store.Tx) error {
	c := s.Counts
	ended := int64(0)
	if s.State == Done {
		ended = store.Micros(tx.Now)
	}
	_, err := tx.Exec(ctx, `UPDATE replay_jobs SET state = ?, why = ?, canary = ?, released = ?, delivered = ?, had = ?, failed = ?, skipped = ?, next_at = ?,
		ended_at = CASE WHEN ended_at > 0 THEN ended_at ELSE ? END WHERE id = ?`, string(s.State), s.Why, s.Canary, c.Released, c.Delivered, c.Had, c.Failed, c.Skipped, s.nextAt, ended, s.ID)
	if err != nil {
		return fmt.Errorf("keep how far job %s is: %w", s.ID, err)
	}
	return nil
}

// forget deletes plans that nobody started and jobs that ended long ago.
func (j *Jobs) forget(ctx context.Context, tx *store.Tx) error {
	var ids []string
	err := tx.Select(ctx, &ids, `SELECT id FROM replay_jobs WHERE (state = 'planned' AND created_at < ?) OR (ended_at > 0 AND ended_at < ?) ORDER BY id LIMIT 10`,
		store.Micros(tx.Now.Add(-j.cfg.KeepPlans)), store.Micros(tx.Now.Add(-j.cfg.Keep)))
	for _, id := range ids {
		for _, statement := range []string{`DELETE FROM replay_items WHERE job = ?`, `DELETE FROM replay_jobs WHERE id = ?`} {
			if err == nil {
				_, err = tx.Exec(ctx, statement, id)
			}
		}
	}
	if err != nil {
		return fmt.Errorf("forget old jobs: %w", err)
	}
	return nil
}
