package anomaly

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Finding is what was doubtful about an event, and what became of it.
type Finding struct {
	Event     string
	Kind      string // of the message
	Order     string // the plant's ID
	Material  string
	Operation string
	FoundAt   time.Time
	Held      bool // it was held; else it was sent, with a flag
	Verdict   Verdict
	DecidedAt time.Time // zero: nobody has said anything yet
	DecidedBy string
	Reason    string
}

type findingRow struct {
	Event     string `db:"event"`
	Kind      string `db:"kind"`
	Object    string `db:"object"`
	Material  string `db:"material"`
	Operation string `db:"operation"`
	FoundAt   int64  `db:"found_at"`
	Held      bool   `db:"held"`
	Doubts    []byte `db:"doubts"`
	DecidedAt int64  `db:"decided_at"`
	DecidedBy string `db:"decided_by"`
	Reason    string `db:"reason"`
}

func (r findingRow) finding() (Finding, error) {
	f := Finding{
		Event: r.Event, Kind: r.Kind, Order: r.Object, Material: r.Material, Operation: r.Operation, FoundAt: store.FromMicros(r.FoundAt),
		Held: r.Held, DecidedAt: store.FromMicros(r.DecidedAt), DecidedBy: r.DecidedBy, Reason: r.Reason,
	}
	f.Verdict.Action = Flag
	if f.Held {
		f.Verdict.Action = Hold
	}
	if err := json.Unmarshal(r.Doubts, &f.Verdict.Doubts); err != nil {
		return Finding{}, fmt.Errorf("read what was doubtful about event %s: %w", r.Event, err)
	}
	return f, nil
}

const findings = `SELECT event, kind, object, material, operation, found_at, held, doubts, decided_at, decided_by, reason FROM anomaly_findings`

// Findings lists the latest findings, those that nobody has decided first; all is every one, else only those. limit is at most 1,000.
func (w *Watch) Findings(ctx context.Context, tx *store.Tx, all bool, limit int) ([]Finding, error) {
	where := ` WHERE decided_at = 0 ORDER BY found_at DESC LIMIT ?`
	if all {
		where = ` ORDER BY CASE WHEN decided_at = 0 THEN 0 ELSE 1 END, found_at DESC LIMIT ?`
	}
	var rows []findingRow
	if err := tx.Select(ctx, &rows, findings+where, max(1, min(cmp.Or(limit, 50), 1000))); err != nil {
		return nil, fmt.Errorf("read what is doubtful: %w", err)
	}
	out := make([]Finding, len(rows))
	for i, r := range rows {
		var err error
		if out[i], err = r.finding(); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Finding is what was doubtful about one event; NotFound if nothing was.
func (w *Watch) Finding(ctx context.Context, tx *store.Tx, event string) (Finding, error) {
	return findingOf(ctx, tx, event, "")
}

func findingOf(ctx context.Context, tx *store.Tx, event, lock string) (Finding, error) {
	var r findingRow
	err := tx.Get(ctx, &r, findings+` WHERE event = ?`+lock, event)
	if errors.Is(err, sql.ErrNoRows) {
		return Finding{}, &problem.Error{
			Kind: problem.NotFound, What: "what is doubtful about event " + event, Why: "nothing was found", Hint: "holdfast anomaly list shows what was",
		}
	}
	if err != nil {
		return Finding{}, fmt.Errorf("read what is doubtful about event %s: %w", event, err)
	}
	return r.finding()
}

// Event is a message of the kind of an event that was doubtful, without its body.
func (w *Watch) Event(ctx context.Context, tx *store.Tx, event string) (message.Message, error) {
	f, err := w.Finding(ctx, tx, event)
	return message.Message{ID: event, Kind: f.Kind, Key: f.Order}, err
}

// Accept says that an event is right as it is, and teaches it: the like of it is not doubted again. m is the event as it stands now, which
// a person may have amended since. A finding that was decided before is refused with Conflict: it would teach twice.
func (w *Watch) Accept(ctx context.Context, tx *store.Tx, m message.Message, by, reason string) error {
	f, err := findingOf(ctx, tx, m.ID, tx.ForUpdate())
	if err != nil {
		return err
	}
	if !f.DecidedAt.IsZero() {
		return &problem.Error{
			Kind: problem.Conflict, What: "accept event " + m.ID, Why: "it was accepted by " + f.DecidedBy + " at " + f.DecidedAt.Format(time.RFC3339),
			Hint: "holdfast anomaly show " + m.ID + " says why",
		}
	}
	if err := teach(ctx, tx, m); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE anomaly_findings SET decided_at = ?, decided_by = ?, reason = ? WHERE event = ?`, store.Micros(tx.Now), by, reason, m.ID)
	if err != nil {
		return fmt.Errorf("accept event %s: %w", m.ID, err)
	}
	return nil
}

// teach learns an event as it stands now, unless it was taken back since. What followed from the events before it, its interval and its pieces, stays as it was seen.
func teach(ctx context.Context, tx *store.Tx, m message.Message) error {
	all, _ := read(m)
	for _, f := range all {
		var was []byte
		err := tx.Get(ctx, &was, `SELECT vals FROM anomaly_samples WHERE event = ? AND item = ?`, m.ID, f.Item)
		if errors.Is(err, sql.ErrNoRows) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read what event %s reported: %w", m.ID, err)
		}
		f.keepRelated(valuesOf(was))
		_, err = tx.Exec(ctx, `UPDATE anomaly_samples SET learned = TRUE, taught = TRUE, doubted = 0, content = ?, vals = ? WHERE event = ? AND item = ? AND NOT reversed`,
			f.content, f.Values.bytes(), m.ID, f.Item)
		if err != nil {
			return fmt.Errorf("learn event %s: %w", m.ID, err)
		}
	}
	return nil
}

// Reset forgets what was learned of a material, in one operation or, where that is empty, in all; of every material where that is empty too.
// What was found stays.
func (w *Watch) Reset(ctx context.Context, tx *store.Tx, material, operation string) (samples int64, err error) {
	where, args := `TRUE`, []any{}
	if material != "" {
		where, args = `material = ?`, []any{material}
	}
	if operation != "" {
		where, args = where+` AND operation = ?`, append(args, operation)
	}
	if samples, err = tx.Exec(ctx, `UPDATE anomaly_samples SET learned = FALSE WHERE learned AND `+where, args...); err != nil {
		return 0, fmt.Errorf("forget what was learned: %w", err)
	}
	if _, err = tx.Exec(ctx, `DELETE FROM anomaly_forgotten WHERE `+where, args...); err != nil {
		return 0, fmt.Errorf("forget what was learned: %w", err)
	}
	return samples, nil
}

// Usual is what is usual of one material in one operation.
type Usual struct {
	Kind      string    `json:"kind"` // confirmation or issue
	Material  string    `json:"material"`
	Operation string    `json:"operation"` // of an issue: the material that is made, a slash and its operation
	Learned   int64     `json:"learned"`   // samples, since it was reset
	Profiles  []Profile `json:"profiles"`
}

// Export is all that was learned, of one material or, where that is empty, of all.
func (w *Watch) Export(ctx context.Context, tx *store.Tx, material string) ([]Usual, error) {
	var keys []struct{ Kind, Material, Operation string }
	err := tx.Select(ctx, &keys, `SELECT kind, material, operation FROM anomaly_samples WHERE learned AND (material = ? OR ? = '')
		GROUP BY kind, material, operation ORDER BY kind, material, operation`, material, material)
	if err != nil {
		return nil, fmt.Errorf("read what was learned: %w", err)
	}
	out := make([]Usual, 0, len(keys))
	for _, k := range keys {
		f := facts{Kind: k.Kind, Material: k.Material, Operation: k.Operation}
		ring, err := w.ring(ctx, tx, &f, OfOperation)
		if err != nil {
			return nil, err
		}
		u := Usual{Kind: k.Kind, Material: k.Material, Operation: k.Operation}
		if u.Learned, err = countOf(ctx, tx, &f, OfOperation); err != nil {
			return nil, err
		}
		for _, field := range judged() {
			if p := profile(field, OfOperation, field.learned(ring)); p.Count > 0 {
				u.Profiles = append(u.Profiles, p)
			}
		}
		out = append(out, u)
	}
	return out, nil
}

// keepFor is how long a finding that was decided, and a sample that was never learned, are kept.
const keepFor = 400 * 24 * time.Hour

// Tidy forgets the samples that no profile is made of any more, a few hundred profiles at a time; it counts them.
func (w *Watch) Tidy(ctx context.Context, tx *store.Tx) error {
	var full []struct{ Kind, Material, Operation string }
	err := tx.Select(ctx, &full, `SELECT kind, material, operation FROM anomaly_samples WHERE learned GROUP BY kind, material, operation
		HAVING COUNT(*) > ? LIMIT 200`, 2*Ring)
	if err != nil {
		return fmt.Errorf("look for samples that are not needed: %w", err)
	}
	for _, k := range full {
		f := facts{Kind: k.Kind, Material: k.Material, Operation: k.Operation}
		if err := f.tidy(ctx, tx); err != nil {
			return err
		}
	}
	old := store.Micros(tx.Now.Add(-keepFor))
	if _, err := tx.Exec(ctx, `DELETE FROM anomaly_samples WHERE NOT learned AND made_at < ?`, old); err != nil {
		return fmt.Errorf("remove samples that nobody learned: %w", err)
	}
	if _, err := tx.Exec(ctx, `DELETE FROM anomaly_findings WHERE decided_at > 0 AND decided_at < ?`, old); err != nil {
		return fmt.Errorf("remove findings of long ago: %w", err)
	}
	return nil
}

// tidy removes what is older than the ring of one profile, and counts what it removed.
func (f *facts) tidy(ctx context.Context, tx *store.Tx) error {
	where, args := f.of(OfOperation)
	n, err := tx.Exec(ctx, `DELETE FROM anomaly_samples WHERE learned AND `+where+` AND seq <= (SELECT seq FROM anomaly_samples
		WHERE learned AND `+where+` ORDER BY seq DESC LIMIT 1 OFFSET ?)`, append(append(args, args...), Ring)...)
	if err != nil {
		return fmt.Errorf("remove samples of material %s: %w", f.Material, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO anomaly_forgotten (kind, material, operation, samples) VALUES (?, ?, ?, ?)
		ON CONFLICT (kind, material, operation) DO UPDATE SET samples = anomaly_forgotten.samples + excluded.samples`, f.Kind, f.Material, f.Operation, n)
	if err != nil {
		return fmt.Errorf("count samples of material %s: %w", f.Material, err)
	}
	return nil
}
