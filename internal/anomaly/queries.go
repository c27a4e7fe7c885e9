package anomaly

import (
	"context"
	"fmt"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// sampled is one learned sample.
type sampled struct {
	values  Values
	taught  bool
	doubted int64
}

// earlier is a sample of the same order.
type earlier struct {
	Event     string `db:"event"`
	Kind      string `db:"kind"`
	Material  string `db:"material"`
	Operation string `db:"operation"`
	PostedAt  int64  `db:"posted_at"`
	Content   string `db:"content"`
	Doubted   int64  `db:"doubted"`
	Reversed  bool   `db:"reversed"`
	Vals      []byte `db:"vals"`
}

// samplesOf are the last samples of an order, the latest first.
func samplesOf(ctx context.Context, tx *store.Tx, object string) ([]earlier, error) {
	var all []earlier
	err := tx.Select(ctx, &all, `SELECT event, kind, material, operation, posted_at, content, doubted, reversed, vals FROM anomaly_samples
		WHERE object = ? ORDER BY seq DESC LIMIT ?`, object, Ring)
	if err != nil {
		return nil, fmt.Errorf("read what was reported of order %s: %w", object, err)
	}
	return all, nil
}

// of is the condition of the samples of a level, with its arguments.
func (f *facts) of(l Level) (where string, args []any) {
	switch l {
	case OfOperation:
		return `kind = ? AND material = ? AND operation = ?`, []any{f.Kind, f.Material, f.Operation}
	case OfMaterial:
		return `kind = ? AND material = ?`, []any{f.Kind, f.Material}
	default:
		return `kind = ?`, []any{f.Kind}
	}
}

// ring are the last learned samples of a level, the oldest first.
func (w *Watch) ring(ctx context.Context, tx *store.Tx, f *facts, l Level) ([]sampled, error) {
	where, args := f.of(l)
	var rows []struct {
		Vals    []byte `db:"vals"`
		Taught  bool   `db:"taught"`
		Doubted int64  `db:"doubted"`
	}
	err := tx.Select(ctx, &rows, `SELECT vals, taught, doubted FROM anomaly_samples WHERE learned AND `+where+` ORDER BY seq DESC LIMIT ?`, append(args, Ring)...)
	if err != nil {
		return nil, fmt.Errorf("read what is usual of material %s: %w", f.Material, err)
	}
	ring := make([]sampled, len(rows))
	for i, r := range rows {
		ring[len(rows)-1-i] = sampled{valuesOf(r.Vals), r.Taught, r.Doubted}
	}
	return ring, nil
}

// countOf is how many samples a level has learned from since it was reset.
func countOf(ctx context.Context, tx *store.Tx, f *facts, l Level) (n int64, err error) {
	where, args := f.of(l)
	err = tx.Get(ctx, &n, `SELECT (SELECT COUNT(*) FROM anomaly_samples WHERE learned AND `+where+`) +
		(SELECT COALESCE(SUM(samples), 0) FROM anomaly_forgotten WHERE `+where+`)`, append(args, args...)...)
	if err != nil {
		return 0, fmt.Errorf("count what was learned of material %s: %w", f.Material, err)
	}
	return n, nil
}

// insert keeps the sample, once for each event and item.
func (f *facts) insert(ctx context.Context, tx *store.Tx, event string, learned bool, doubted int64) error {
	_, err := tx.Exec(ctx, `INSERT INTO anomaly_samples (event, item, kind, material, operation, object, posted_at, content, made_at, learned, doubted, vals)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event, item) DO NOTHING`,
		event, f.Item, f.Kind, f.Material, f.Operation, f.Object, store.Micros(f.at), f.content, store.Micros(tx.Now), learned, doubted, f.Values.bytes())
	if err != nil {
		return fmt.Errorf("keep what event %s reports: %w", event, err)
	}
	return nil
}

// find keeps what is doubtful about a message.
func (f *facts) find(ctx context.Context, tx *store.Tx, m message.Message, v Verdict) error {
	doubts, err := v.encode()
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO anomaly_findings (event, kind, object, material, operation, found_at, held, doubts)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (event) DO NOTHING`,
		m.ID, m.Kind, f.Object, f.Material, f.Operation, store.Micros(tx.Now), v.Action == Hold, doubts)
	if err != nil {
		return fmt.Errorf("keep what is doubtful about event %s: %w", m.ID, err)
	}
	return nil
}

// forget has what was taken back count for nothing: it is as if it had never been reported.
func forget(ctx context.Context, tx *store.Tx, event string) error {
	if _, err := tx.Exec(ctx, `UPDATE anomaly_samples SET learned = FALSE, reversed = TRUE WHERE event = ?`, event); err != nil {
		return fmt.Errorf("forget event %s, which was taken back: %w", event, err)
	}
	return nil
}
