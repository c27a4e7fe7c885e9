package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// State is what a lane does.
type State string

// The states of a lane. Whether a person has paused it is told apart from them.
const (
	Open    State = "open"    // its head is sent when it is due
	Parked  State = "parked"  // the ERP refused its head, or a person parked it: a person must act
	Unknown State = "unknown" // its head may have taken effect and nobody can say: a person must
	Waiting State = "waiting" // its head needs a number that the ERP has not given yet
)

// Settlement is what the holder of a lane reports.
type Settlement struct {
	Lane    string
	Token   int64
	Done    []Done // from the head on, in order
	Release bool   // the holder gives the lane back; Next says how
	SentTo  int64  // with Release: messages up to this number may have been sent
	Unsent  Queued // with Release: the message to replay that was certainly not sent; its zero value if there is none
	Next    Next
	Hold    time.Time // the ERP asked not to be called before; zero if it did not
}

// Done is one message that needs nothing more.
type Done struct {
	ID       string
	Creates  string // the object that the receipt's number belongs to
	Role     message.Role
	SentWith string // the mapping and its content hash
	Sent     bool   // it was sent and answered; else the ERP was asked, or nothing had to be sent
	Receipt  message.Receipt
}

// Next is what becomes of the message at the head of a lane that is given back.
type Next struct {
	State   State         // "" and Open: it stays claimable
	After   time.Duration // from now until the next attempt; 0 means at once
	ID      string        // the message that State, Spent and Reason are about
	Spent   bool          // it costs the message one attempt
	Sent    bool          // the ERP received it, certainly or possibly
	Reason  string        // for a person
	Awaits  string        // Waiting: the object
	Verdict message.Verdict
}

// Settle records what became of lanes in hand, many in one transaction. It returns the settlements that must be given again
// soon, because another transaction is appending to their lane at this moment, and those that came too late: the lease was lost,
// and nothing of theirs was recorded.
func (o *Outbox) Settle(ctx context.Context, tx *store.Tx, link string, all []Settlement) (busy, lost []Settlement, err error) {
	names := make([]string, 0, len(all))
	for _, s := range all {
		names = append(names, s.Lane)
	}
	query, args, err := tx.In(`SELECT `+laneColumns+` FROM outbox_lanes WHERE link = ? AND lane IN (?)`+tx.SkipLocked(), link, names)
	if err != nil {
		return nil, nil, err
	}
	var lanes []lane
	if err := tx.Select(ctx, &lanes, query, args...); err != nil {
		return nil, nil, fmt.Errorf("lock lanes of link %s: %w", link, err)
	}
	locked := make(map[string]*lane, len(lanes))
	for i := range lanes {
		locked[lanes[i].Lane] = &lanes[i]
	}
	owed, err := stillOwed(ctx, tx, all)
	if err != nil {
		return nil, nil, err
	}
	var held []Settlement
	var done []Done
	for _, s := range merge(all) {
		switch l := locked[s.Lane]; {
		case l == nil:
			busy = append(busy, s)
		case l.Token != s.Token || l.Owner == "":
			lost = append(lost, s)
		default:
			s.Done = slices.DeleteFunc(slices.Clone(s.Done), func(d Done) bool { return !owed[d.ID] })
			held, done = append(held, s), append(done, s.Done...)
		}
	}
	if err := o.move(ctx, tx, link, done); err != nil {
		return nil, nil, err
	}
	for _, s := range held {
		if err := o.settleLane(ctx, tx, link, locked[s.Lane], s); err != nil {
			return nil, nil, fmt.Errorf("settle lane %s of link %s: %w", s.Lane, link, err)
		}
	}
	if len(held) > 0 {
		tx.Wake(Settled)
	}
	return busy, lost, o.hold(ctx, tx, link, all)
}

// hold keeps until when the ERP has asked not to be called, for every node and the next start.
func (o *Outbox) hold(ctx context.Context, tx *store.Tx, link string, all []Settlement) error {
	var until time.Time
	for _, s := range all {
		if s.Hold.After(until) {
			until = s.Hold
		}
	}
	if !until.After(tx.Now) {
		return nil
	}
	if most := tx.Now.Add(longest); until.After(most) {
		until = most
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbox_links (link, hold_until) VALUES (?, ?)
		ON CONFLICT (link) DO UPDATE SET hold_until = excluded.hold_until WHERE outbox_links.hold_until < excluded.hold_until`, link, store.Micros(until))
	if err != nil {
		return fmt.Errorf("keep that link %s is not to be called: %w", link, err)
	}
	return nil
}

// merge joins the settlements of one claim, in order: all that is done, and the last word on the lane.
func merge(all []Settlement) []Settlement {
	merged := make([]Settlement, 0, len(all))
	at := make(map[Holding]int, len(all))
	for _, s := range all {
		h := Holding{s.Lane, s.Token}
		i, ok := at[h]
		if !ok {
			at[h], merged = len(merged), append(merged, s)
			continue
		}
		s.Done = slices.Concat(merged[i].Done, s.Done)
		merged[i] = s
	}
	return merged
}

// stillOwed tells which of the messages done are not in the history yet. A settlement is given again where the answer to its commit
// was lost, and must then find its work done.
func stillOwed(ctx context.Context, tx *store.Tx, all []Settlement) (map[string]bool, error) {
	var done []string
	for _, s := range all {
		for _, d := range s.Done {
			done = append(done, d.ID)
		}
	}
	owed := make(map[string]bool, len(done))
	for part := range slices.Chunk(done, chunk) {
		query, args, err := tx.In(`SELECT id FROM outbox_messages WHERE id IN (?)`, part)
		if err != nil {
			return nil, err
		}
		var ids []string
		if err := tx.Select(ctx, &ids, query, args...); err != nil {
			return nil, fmt.Errorf("find the messages to settle: %w", err)
		}
		for _, id := range ids {
			owed[id] = true
		}
	}
	return owed, nil
}

// chunk bounds the parameters of one statement.
const chunk = 100

// move takes settled messages from the hot table to the history.
func (o *Outbox) move(ctx context.Context, tx *store.Tx, link string, done []Done) error {
	for part := range slices.Chunk(done, chunk) {
		if err := moveChunk(ctx, tx, part); err != nil {
			return fmt.Errorf("move settled messages of link %s: %w", link, err)
		}
	}
	voided, delivered := 0, 0
	for _, d := range done {
		if d.Role == message.Void {
			voided++
		} else {
			delivered++
		}
		if err := o.created(ctx, tx, link, d); err != nil {
			return err
		}
	}
	if len(done) == 0 {
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbox_links (link, delivered, voided, last_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (link) DO UPDATE SET delivered = outbox_links.delivered + excluded.delivered,
			voided = outbox_links.voided + excluded.voided, last_at = excluded.last_at`, link, delivered, voided, store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("count what link %s delivered: %w", link, err)
	}
	return nil
}

func moveChunk(ctx context.Context, tx *store.Tx, done []Done) error {
	blob := map[store.Dialect]string{store.SQLite: "BLOB", store.Postgres: "BYTEA"}[tx.Dialect()]
	one := `(CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS TEXT), CAST(? AS ` + blob + `), CAST(? AS BIGINT), CAST(? AS TEXT), CAST(? AS BOOLEAN), CAST(? AS BIGINT))`
	args := make([]any, 0, 10*len(done))
	ids := make([]any, 0, len(done))
	for _, d := range done {
		r := d.Receipt
		args = append(args, d.ID, d.SentWith, r.Document, r.Kind, r.Answer, r.Status, store.Zoned{Time: r.At}, r.Asked, times(d.Sent))
		ids = append(ids, d.ID)
	}
	args = append(args, store.Micros(tx.Now))
	values := strings.TrimSuffix(strings.Repeat(one+", ", len(done)), ", ")
	_, err := tx.Exec(ctx, `WITH r (rid, sent_with, document, doc_kind, answer, status, answered, asked, sent) AS (VALUES `+values+`)
		INSERT INTO outbox_delivered (`+kept+`, signature, sends, settled_at, sent_with, document, doc_kind, answer, status, answered, asked)
		SELECT `+kept+`, signature, sends + r.sent, CAST(? AS BIGINT), r.sent_with, r.document, r.doc_kind, r.answer, r.status, r.answered, r.asked
		FROM outbox_messages JOIN r ON id = r.rid`, args...)
	if err != nil {
		return err
	}
	marks := strings.TrimSuffix(strings.Repeat("?, ", len(ids)), ", ")
	n, err := tx.Exec(ctx, `DELETE FROM outbox_messages WHERE id IN (`+marks+`)`, ids...)
	if err == nil && n != int64(len(done)) {
		return fmt.Errorf("%d of %d settled messages are gone", int64(len(done))-n, len(done))
	}
	return err
}

// settleLane moves the lane's head on and, if it is given back, says when and whether it is claimed again.
func (o *Outbox) settleLane(ctx context.Context, tx *store.Tx, link string, l *lane, s Settlement) error {
	l.Pending -= int64(len(s.Done))
	h, err := readHead(ctx, tx, link, l)
	if err != nil {
		return err
	}
	if !s.Release {
		_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET pending = ?, head_epoch = ?, head = ?, head_at = ? WHERE link = ? AND lane = ?`,
			l.Pending, h.Epoch, h.Number, h.CreatedAt, link, l.Lane)
		return err
	}
	awaits := ""
	if next := cmp.Or(s.Next.State, Open); next != Open || l.State != string(Parked) { // a refusal that came meanwhile stays
		l.State, l.Reason = string(next), s.Next.Reason
	}
	if s.Next.State == Waiting {
		if awaits, err = o.await(ctx, tx, link, l, s.Next.Awaits); err != nil {
			return err
		}
	}
	dueAt := h.dueAt(tx)
	if s.Next.After > 0 {
		dueAt = max(h.NotBefore, store.Micros(tx.Now.Add(min(s.Next.After, max(longest, o.cfg.Backoff)))))
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_lanes SET pending = ?, head_epoch = ?, head = ?, head_at = ?, scheduled = ?, due_at = ?, sent_to = ?,
		state = ?, awaits = ?, reason = CASE WHEN paused AND CAST(? AS TEXT) = 'open' THEN reason ELSE ? END, lease_owner = '', changed_at = ?
		WHERE link = ? AND lane = ?`,
		l.Pending, h.Epoch, h.Number, h.CreatedAt, h.NotBefore > store.Micros(tx.Now), dueAt, s.SentTo, l.State, awaits, l.State, l.Reason,
		store.Micros(tx.Now), link, l.Lane)
	if err != nil {
		return err
	}
	if u := s.Unsent; u.ID != "" {
		if err := setReplay(ctx, tx, row{ID: u.ID}, u.Replay); err != nil {
			return err
		}
	}
	return o.note(ctx, tx, s.Next)
}

// times is how often something happened that happened or not.
func times(happened bool) int {
	if happened {
		return 1
	}
	return 0
}

// readHead is the first message that the lane still owes; of an empty lane the place that the next append takes.
func readHead(ctx context.Context, tx *store.Tx, link string, l *lane) (row, error) {
	h := row{Epoch: l.Epoch, Number: l.Next, CreatedAt: store.Micros(tx.Now)}
	if l.Pending == 0 {
		return h, nil
	}
	err := tx.Get(ctx, &h, `SELECT id, epoch, number, created_at, not_before FROM outbox_messages WHERE link = ? AND lane = ?
		ORDER BY epoch, number LIMIT 1`, link, l.Lane)
	if err != nil {
		return row{}, fmt.Errorf("read the head: %w", err)
	}
	return h, nil
}

// dueAt is when a head can be sent: since it was appended, but not before its time. One that a clock which was ahead has dated into
// the future is due now.
func (w row) dueAt(tx *store.Tx) int64 {
	return max(min(w.CreatedAt, store.Micros(tx.Now)), w.NotBefore)
}

// note writes what befell the head into its history.
func (o *Outbox) note(ctx context.Context, tx *store.Tx, n Next) error {
	if n.ID == "" || n.Reason == "" {
		return nil
	}
	if n.Spent || n.Sent {
		_, err := tx.Exec(ctx, `UPDATE outbox_messages SET attempts = attempts + ?, sends = sends + ? WHERE id = ?`, times(n.Spent), times(n.Sent), n.ID)
		if err != nil {
			return err
		}
	}
	what := string(n.Verdict)
	if n.State != "" && n.State != Open {
		what = string(n.State)
	}
	return history(ctx, tx, row{ID: n.ID}, what, n.Reason)
}

// history keeps what w was, and why it is no longer.
func history(ctx context.Context, tx *store.Tx, w row, what, detail string) error {
	_, err := tx.Exec(ctx, `INSERT INTO outbox_events (id, at, seq, what, detail, body, digest, role, refers)
		VALUES (?, ?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM outbox_events WHERE id = ?), ?, ?, ?, ?, ?, ?)`,
		w.ID, store.Micros(tx.Now), w.ID, what, detail, w.Body, w.Digest, w.Role, w.Refers)
	if err != nil {
		return fmt.Errorf("write the history of message %s: %w", w.ID, err)
	}
	return nil
}
