package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
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
	Absent  string // with Release: the ID of the message of which the ERP itself has said that it has it not; what follows it stays in doubt
	Unsent  Queued // with Release: the replayed message of which Replay and SentBy are known better than its claim could; its zero value if there is none
	Next    Next
	Again   bool      // it was given before, and nobody knows whether that was kept
	Hold    time.Time // the ERP asked not to be called before; zero if it did not
}

// Done is one message that needs nothing more.
type Done struct {
	ID         string
	Epoch      int64 // with Number, its place in the lane: of what has none, nothing but itself is known to be settled
	Number     int64
	Redelivery int    // Queued.Redelivery
	Creates    string // the object that the receipt's number belongs to
	Role       message.Role
	SentWith   string // the mapping and its content hash
	Sent       bool   // it was sent and answered; else the ERP was asked, or nothing had to be sent
	Receipt    message.Receipt
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
	Altered error // it is not what the plant has committed, which is an alarm
}

// Settle records what became of lanes in hand, many in one transaction. It returns the settlements that must be given again
// soon, because another transaction is appending to their lane at this moment, and those that came too late: the lease was lost,
// and nothing of theirs was recorded.
func (o *Outbox) Settle(ctx context.Context, tx *store.Tx, link string, all []Settlement) (busy, lost []Settlement, err error) {
	names := make([]string, 0, len(all))
	for _, s := range all {
		names = append(names, s.Lane)
	}
	lanes := make([]lane, 0, len(names))
	err = tx.Read(ctx, func(r *store.Row) { lanes = append(lanes, laneOf(r)) }, `SELECT `+laneColumns+` FROM outbox_lanes WHERE link = ?
		AND `+among(tx, "lane")+tx.SkipLocked(), link, listed(tx, names))
	if err != nil {
		return nil, nil, fmt.Errorf("lock lanes of link %s: %w", link, err)
	}
	locked := make(map[string]*lane, len(lanes))
	for i := range lanes {
		locked[lanes[i].Lane] = &lanes[i]
	}
	var held, runs []Settlement
	var done []Done
	for _, s := range merge(all) {
		switch l := locked[s.Lane]; {
		case l == nil:
			busy = append(busy, s)
		case l.Token != s.Token || l.Owner == "":
			lost = append(lost, s)
		case s.isRun(l):
			runs = append(runs, s)
		default:
			s.Done = s.unsettled(l)
			held, done = append(held, s), append(done, s.Done...)
		}
	}
	moved, err := o.move(ctx, tx, link, done)
	if err != nil {
		return nil, nil, err
	}
	for _, s := range held { // what was moved before is settled already: the answer to that commit was lost
		for _, d := range s.Done {
			locked[s.Lane].Pending -= int64(times(moved[d.ID]))
			delete(moved, d.ID)
		}
	}
	if err := o.keepReceipts(ctx, tx, link, locked, runs); err != nil {
		return nil, nil, err
	}
	if held = append(held, runs...); len(held) > 0 {
		err = o.settleLanes(ctx, tx, link, locked, held)
	}
	if err != nil {
		return nil, nil, err
	}
	if len(held) > 0 {
		tx.Wake(Settled)
	}
	return busy, lost, o.hold(ctx, tx, link, all)
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
		s.Done, s.Again = slices.Concat(merged[i].Done, s.Done), s.Again || merged[i].Again
		merged[i] = s
	}
	return merged
}

// chunk bounds the parameters of one statement.
const chunk = 100

// move takes settled messages from the hot table to the history, and tells which: a settlement is given again where the answer to its
// commit was lost, and must then find its work done.
func (o *Outbox) move(ctx context.Context, tx *store.Tx, link string, done []Done) (map[string]bool, error) {
	if len(done) == 0 {
		return nil, nil
	}
	rows, err := o.moveRows(ctx, tx, link, done)
	if err != nil {
		return nil, fmt.Errorf("move settled messages of link %s: %w", link, err)
	}
	moved, sends := make(map[string]bool, len(rows)), make(map[string]int64, len(rows))
	for _, r := range rows {
		moved[r.ID], sends[r.ID] = true, r.Sends
	}
	voided, delivered := 0, 0
	for _, d := range done {
		if !moved[d.ID] {
			continue
		}
		if d.Role == message.Void {
			voided++
		} else if d.Redelivery == 0 || sends[d.ID] > 0 { // a replay of what the ERP still had delivers nothing
			delivered++
		}
		if err := o.created(ctx, tx, link, d); err != nil {
			return nil, err
		}
	}
	if len(moved) == 0 {
		return moved, nil
	}
	return moved, o.count(ctx, tx, link, delivered, voided)
}

// receipts are what is written of settled messages beside what they are.
func (o *Outbox) receipts(ctx context.Context, tx *store.Tx, link string, done []Done) (store.Given, error) {
	n := len(done)
	ids, with, docs, kinds, answered, signed := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	macs, answers, status, asked, sent, again, epochs := make([][]byte, n), make([][]byte, n), make([]int64, n), make([]bool, n), make([]int64, n), make([]int64, n), make([]int64, n)
	var err error
	for i, d := range done {
		r := d.Receipt
		ids[i], with[i], docs[i], kinds[i] = d.ID, d.SentWith, r.Document, r.Kind
		if r.Answer != nil {
			if answers[i], epochs[i], err = tx.Seal(ctx, cellOfAnswer(d.ID, d.Redelivery), r.Answer); err != nil {
				return store.Given{}, fmt.Errorf("seal the answer to message %s: %w", d.ID, err)
			}
		}
		status[i], asked[i], sent[i] = int64(r.Status), r.Asked, int64(times(d.Sent))
		again[i], signed[i] = int64(d.Redelivery), r.Signed
		if !r.At.IsZero() {
			answered[i] = r.At.Format(time.RFC3339Nano)
		}
		if macs[i], err = o.macOf(ctx, tx, cellOfReceipt(d.detail(link, "", tx.Now))); err != nil {
			return store.Given{}, err
		}
	}
	return store.Give(
		store.Col("rid", ids), store.Col("sent_with", with), store.Col("document", docs), store.Col("doc_kind", kinds),
		store.Col("answer", answers), store.Col("status", status), store.Col("answered", answered), store.Col("asked", asked),
		store.Col("sent", sent), store.Col("again", again), store.Col("signed_receipt", signed), store.Col("answer_sealed", epochs),
		store.Col("receipt_mac", macs),
	), nil
}

// movedRow is a message that was moved, and how often it was sent in this delivery.
type movedRow struct {
	ID    string
	Sends int64
}

// moveRows gives those that were there to be moved. A message that a person has had queued again meanwhile is another
// delivery of it, and stays.
func (o *Outbox) moveRows(ctx context.Context, tx *store.Tx, link string, done []Done) (rows []movedRow, err error) {
	const into = `INSERT INTO outbox_delivered (` + kept + `, signature, sends, settled_at,
			sent_with, document, doc_kind, answer, status, answered, asked, signed_receipt, answer_sealed, receipt_mac)
		SELECT ` + kept + `, signature, sends + sent, CAST(? AS BIGINT), sent_with, document, doc_kind, answer, status, answered, asked, signed_receipt, answer_sealed, receipt_mac `
	r, err := o.receipts(ctx, tx, link, done)
	if err != nil {
		return nil, err
	}
	now := store.Micros(tx.Now)
	if tx.Dialect() == store.Postgres {
		err = tx.Select(ctx, &rows, `WITH gone AS (DELETE FROM outbox_messages AS m USING `+r.Table(tx, "r")+`
				WHERE m.id = r.rid AND m.redelivery = r.again RETURNING m.*, r.*)
			`+into+`FROM gone RETURNING id, sends`, append(r.Args(tx), now)...)
		return rows, err
	}
	err = tx.Select(ctx, &rows, into+`FROM `+r.Table(tx, "r")+` CROSS JOIN outbox_messages AS m
		WHERE m.id = r.rid AND m.redelivery = r.again RETURNING id, sends`,
		append([]any{now}, r.Args(tx)...)...)
	if err != nil || len(rows) == 0 {
		return nil, err
	}
	ids := make([]string, 0, len(rows))
	for _, row := range rows {
		ids = append(ids, row.ID)
	}
	_, err = tx.Exec(ctx, `DELETE FROM outbox_messages WHERE `+among(tx, "id"), listed(tx, ids))
	return rows, err
}

// laneRows are rows of outbox_lanes as a settlement leaves them.
type laneRows struct {
	lanes, states, awaits, reasons                []string
	pending, epochs, heads, headAts, dues, sentTo []int64
	scheduled                                     []bool
}

// settleLanes moves the heads of lanes on and, of those that are given back, says when and whether they are claimed again.
func (o *Outbox) settleLanes(ctx context.Context, tx *store.Tx, link string, locked map[string]*lane, held []Settlement) error {
	heads, err := o.readHeads(ctx, tx, link, locked, held)
	if err != nil {
		return err
	}
	var progress, back laneRows
	for _, s := range held {
		l, h := locked[s.Lane], heads[s.Lane]
		if !s.Release {
			progress.add(l, h)
			continue
		}
		back.add(l, h)
		if err := o.giveBack(ctx, tx, link, l, h, s, &back); err != nil {
			return fmt.Errorf("settle lane %s of link %s: %w", s.Lane, link, err)
		}
	}
	if len(progress.lanes) > 0 {
		err := updateLanes(ctx, tx, progress.given(), link, `pending = g.pending, head_epoch = g.head_epoch, head = g.head, head_at = g.head_at`)
		if err != nil {
			return fmt.Errorf("move lanes of link %s on: %w", link, err)
		}
	}
	if len(back.lanes) == 0 {
		return nil
	}
	g := back.given()
	g.Columns = append(g.Columns, store.Col("scheduled", back.scheduled), store.Col("due_at", back.dues), store.Col("sent_to", back.sentTo),
		store.Col("state", back.states), store.Col("awaits", back.awaits), store.Col("reason", back.reasons))
	err = updateLanes(ctx, tx, g, link, `pending = g.pending, head_epoch = g.head_epoch, head = g.head, head_at = g.head_at,
		scheduled = g.scheduled, due_at = g.due_at, sent_to = g.sent_to, state = g.state, awaits = g.awaits,
		reason = CASE WHEN outbox_lanes.paused AND g.state = 'open' THEN outbox_lanes.reason ELSE g.reason END, lease_owner = '', changed_at = ?`,
		store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("give back lanes of link %s: %w", link, err)
	}
	return nil
}

func (r *laneRows) add(l *lane, h row) {
	r.lanes, r.pending, r.epochs = append(r.lanes, l.Lane), append(r.pending, l.Pending), append(r.epochs, h.Epoch)
	r.heads, r.headAts = append(r.heads, h.Number), append(r.headAts, h.CreatedAt)
}

// given are the columns that change with each settlement.
func (r *laneRows) given() store.Given {
	return store.Give(
		store.Col("lane", r.lanes), store.Col("pending", r.pending), store.Col("head_epoch", r.epochs), store.Col("head", r.heads),
		store.Col("head_at", r.headAts),
	)
}

// giveBack adds what becomes of a lane that its holder gives back.
func (o *Outbox) giveBack(ctx context.Context, tx *store.Tx, link string, l *lane, h row, s Settlement, back *laneRows) (err error) {
	awaits := ""
	if s.Next.Altered != nil {
		s.Next.Reason += ". What to do: " + alteredHint
	}
	if next := cmp.Or(s.Next.State, Open); next != Open || l.State != string(Parked) { // a refusal that came meanwhile stays
		l.State, l.Reason = string(next), s.Next.Reason
	}
	if s.Next.State == Waiting {
		if awaits, err = o.await(ctx, tx, link, l, s.Next.Awaits); err != nil {
			return err
		}
	}
	if n := len(s.Done); n > 0 && s.Done[n-1].Redelivery == 0 && s.Done[n-1].Epoch == l.Epoch {
		s.SentTo = h.unsentYet(l.Epoch, s.SentTo)
	}
	dueAt := h.dueAt(tx)
	if s.Next.After > 0 {
		dueAt = max(h.NotBefore, store.Micros(tx.Now.Add(min(s.Next.After, max(longest, o.cfg.Backoff)))))
	}
	back.scheduled, back.dues = append(back.scheduled, h.NotBefore > store.Micros(tx.Now)), append(back.dues, dueAt)
	back.sentTo, back.states = append(back.sentTo, s.SentTo), append(back.states, l.State)
	back.awaits, back.reasons = append(back.awaits, awaits), append(back.reasons, l.Reason)
	if u := s.Unsent; u.ID != "" {
		if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET replay = ?, sent_by = ? WHERE id = ?`, string(u.Replay), u.SentBy, u.ID); err != nil {
			return fmt.Errorf("say how message %s is replayed: %w", u.ID, err)
		}
	}
	if s.Absent != "" {
		if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET doubt = FALSE WHERE id = ?`, s.Absent); err != nil {
			return fmt.Errorf("keep that the ERP has not message %s: %w", s.Absent, err)
		}
	}
	if err := o.alert(ctx, tx, link, l.Lane, s.Next.Altered); err != nil {
		return err
	}
	return o.note(ctx, tx, s.Next)
}

// unsentYet is up to which number what follows may have been sent once all before h is settled, which was of an epoch: numbers begin anew with
// the next, and nothing of that is sent before.
func (w row) unsentYet(epoch, sentTo int64) int64 {
	if w.Epoch > epoch {
		return 0
	}
	return sentTo
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
	if l.Pending == 0 {
		return l.empty(tx), nil
	}
	var h row
	err := tx.Get(ctx, &h, `SELECT id, epoch, number, created_at, not_before FROM outbox_messages WHERE link = ? AND lane = ?
		ORDER BY epoch, number LIMIT 1`, link, l.Lane)
	if err != nil {
		return row{}, fmt.Errorf("read the head: %w", err)
	}
	return h, nil
}

// empty is where the head of a lane stands that owes nothing.
func (l *lane) empty(tx *store.Tx) row {
	return row{Epoch: l.Newest, Number: l.Next, CreatedAt: store.Micros(tx.Now)}
}

// readHeads is readHead of many lanes that were held. Nothing that a lane owes is before the head in its row. A lane of which nothing is there that
// it owes is parked, with an alarm, and holds up no other.
func (o *Outbox) readHeads(ctx context.Context, tx *store.Tx, link string, locked map[string]*lane, held []Settlement) (map[string]row, error) {
	heads := make(map[string]row, len(held))
	var names []string
	var epochs, numbers []int64
	for _, s := range held {
		l := locked[s.Lane]
		if heads[l.Lane] = l.empty(tx); l.Pending > 0 {
			names, epochs, numbers = append(names, l.Lane), append(epochs, l.Epoch), append(numbers, l.Head)
		}
	}
	if len(names) == 0 {
		return heads, nil
	}
	g := store.Give(store.Col("lane", names), store.Col("epoch", epochs), store.Col("head", numbers))
	err := tx.Read(ctx, func(r *store.Row) {
		h := row{Lane: r.Text(), ID: r.Text(), Epoch: r.Int(), Number: r.Int(), CreatedAt: r.Int(), NotBefore: r.Int()}
		heads[h.Lane] = h
	}, `SELECT m.lane, m.id, m.epoch, m.number, m.created_at, m.not_before
		FROM `+g.Table(tx, "g")+` CROSS JOIN outbox_messages AS m WHERE m.id = (SELECT f.id FROM outbox_messages AS f WHERE f.link = ? AND f.lane = g.lane AND (f.epoch, f.number) >= (g.epoch, g.head)
			ORDER BY f.epoch, f.number LIMIT 1)`, append(g.Args(tx), link)...)
	if err != nil {
		return nil, fmt.Errorf("read the heads of lanes of link %s: %w", link, err)
	}
	for _, s := range held {
		l := locked[s.Lane]
		if l.Pending == 0 || heads[s.Lane].ID != "" {
			continue
		}
		h := l.empty(tx)
		if h.Epoch, h.Number = l.Epoch, l.Head; len(s.Done) > 0 {
			h.Number = max(h.Number, s.Done[len(s.Done)-1].Number+1)
		}
		heads[s.Lane] = h
		if err := o.parkGone(ctx, tx, link, l, h.Number); err != nil {
			return nil, err
		}
	}
	return heads, nil
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
	if n.Sent && !n.Spent && n.Verdict == message.Again { // a lock may last for hours: it is told once, not at each try
		var last string
		err := tx.Get(ctx, &last, `SELECT detail FROM outbox_events WHERE id = ? ORDER BY seq DESC LIMIT 1`, n.ID)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read the history of message %s: %w", n.ID, err)
		}
		if last == n.Reason {
			return nil
		}
	}
	return history(ctx, tx, row{ID: n.ID}, what, n.Reason)
}

// history keeps what w was, and why it is no longer.
func history(ctx context.Context, tx *store.Tx, w row, what, detail string) (err error) {
	stored, epoch := w.Body, int64(0)
	if len(w.Body) > 0 {
		if stored, epoch, err = tx.Seal(ctx, w.cellOfEvent(), w.Body); err != nil {
			return fmt.Errorf("seal what message %s was: %w", w.ID, err)
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO outbox_events (id, at, seq, what, detail, body, sealed, large, digest, role, refers, signature)
		VALUES (?, ?, (SELECT COALESCE(MAX(seq), 0) + 1 FROM outbox_events WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		w.ID, store.Micros(tx.Now), w.ID, what, detail, stored, epoch, w.Large, w.Digest, w.Role, w.Refers, w.Signature)
	if err != nil {
		return fmt.Errorf("write the history of message %s: %w", w.ID, err)
	}
	return nil
}
