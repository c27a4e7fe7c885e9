package outbox

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"holdfast/internal/audit"
	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Discard makes a void of a message that is still owed: its number is kept and nothing is sent under it. A lane that stood still
// because of it goes on. Of a message that was delivered before, only the replay is given up: what was delivered stays delivered.
// Conflict if it was discarded before, or if the ERP may have it; Denied where a second person has to approve it, see Ask.
func (o *Outbox) Discard(ctx context.Context, tx *store.Tx, id string, why Why) error {
	if err := o.alone("discard message " + id); err != nil {
		return err
	}
	return o.discard(ctx, tx, id, string(why), false)
}

// DiscardInDoubt is Discard also of a message that the ERP may have: a person answers for that, and its history says so.
func (o *Outbox) DiscardInDoubt(ctx context.Context, tx *store.Tx, id string, why Why) error {
	if err := o.alone("discard message " + id); err != nil {
		return err
	}
	return o.discard(ctx, tx, id, string(why), true)
}

func (o *Outbox) discard(ctx context.Context, tx *store.Tx, id, reason string, inDoubt bool) error {
	w, l, err := lockMessage(ctx, tx, "discard message "+id, id)
	if err != nil {
		return err
	}
	if w.Role == string(message.Void) {
		return discarded(w.ID)
	}
	if err := w.inHand(ctx, tx, l); err != nil {
		return err
	}
	if err := l.free(ctx, tx, w.Link, w.Number); err != nil {
		return err
	}
	if w.Redelivery > 0 {
		return o.giveUpReplay(ctx, tx, l, w, reason)
	}
	what := voided
	if w.maySent(l.SentTo) {
		if what = VoidedInDoubt; !inDoubt {
			return l.mayHave(w)
		}
	}
	if err := o.void(ctx, tx, &w, what, reason); err != nil {
		return err
	}
	if w.NotBefore > store.Micros(tx.Now) { // a void has nothing to wait for
		if err := errors.Join(lift(ctx, tx, w), o.queueAgain(ctx, tx, w.Link, l)); err != nil {
			return err
		}
	}
	return o.goOn(ctx, tx, l, w, reason)
}

// VoidedInDoubt is in the history of a message that was discarded although the ERP may have it, voided of each other void; amended is of what was
// corrected.
const (
	VoidedInDoubt = "voided in doubt"
	voided        = "voided"
	amended       = "amended"
)

// mayHave is why a message is not discarded of which nobody knows whether it was taken.
func (l *lane) mayHave(w row) error {
	hint := "wait until the ERP has been asked"
	if l.State != string(Open) {
		hint = "look in the ERP, then say so: holdfast msg mark-delivered, or holdfast msg send-again"
	}
	return &problem.Error{
		Kind: problem.Conflict, What: "discard message " + w.ID, Why: "it may have been sent: the ERP may have it",
		Hint: hint + "; to give it up in spite of that, and answer for what the ERP then has: holdfast msg discard --force",
	}
}

// discarded is an error, and not silence: the reason that somebody gives now would not be kept.
func discarded(id string) error {
	return &problem.Error{
		Kind: problem.Conflict, What: "discard message " + id, Why: "it was discarded before, or has expired", Hint: "nothing is left to do",
	}
}

// settled says why nothing is done any more to a message that is not owed.
func settled(ctx context.Context, tx *store.Tx, what, id string) error {
	var w struct{ ID, Role, Document string }
	err := tx.Get(ctx, &w, `SELECT id, role, document FROM outbox_delivered WHERE id = ? ORDER BY redelivery DESC LIMIT 1`, id)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return &problem.Error{Kind: problem.NotFound, What: what, Why: "it was never owed, or is no longer kept", Hint: "see holdfast msg list"}
	case err != nil:
		return fmt.Errorf("read %s: %w", what, err)
	case w.Role == string(message.Void):
		return &problem.Error{Kind: problem.Conflict, What: what, Why: "it was discarded before, or has expired", Hint: "nothing is left to do"}
	}
	why := "it was delivered"
	if w.Document != "" {
		why += ": the ERP has it as " + w.Document
	}
	return &problem.Error{Kind: problem.Conflict, What: what, Why: why, Hint: "reverse it in the plant: the reversal is owed under a new number"}
}

// giveUpReplay takes a message that was delivered before out of the lane again.
func (o *Outbox) giveUpReplay(ctx context.Context, tx *store.Tx, l *lane, w row, reason string) error {
	what := "replay given up"
	if w.Replay == "" {
		what = inDoubt
	}
	if err := history(ctx, tx, row{ID: w.ID}, what, reason); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, `DELETE FROM outbox_messages WHERE id = ?`, w.ID); err != nil {
		return fmt.Errorf("give up the replay of message %s: %w", w.ID, err)
	}
	if err := forget(ctx, tx, []purged{{w.ID, w.Large}}); err != nil { // its first delivery may be purged
		return err
	}
	l.Pending--
	if l.Head == w.Number && l.Epoch == w.Epoch {
		return o.reopen(ctx, tx, w.Link, l, "", reason)
	}
	return o.queueAgain(ctx, tx, w.Link, l)
}

// goOn lets a lane that stood still because of w try w again.
func (o *Outbox) goOn(ctx context.Context, tx *store.Tx, l *lane, w row, reason string) error {
	if l.Head != w.Number || l.Epoch != w.Epoch || l.State == string(Open) {
		return nil
	}
	return o.reopen(ctx, tx, w.Link, l, "resumed", reason)
}

// void turns w into a void, in the table and in hand. The original goes to its history, with what happened.
func (o *Outbox) void(ctx context.Context, tx *store.Tx, w *row, what, reason string) error {
	text, err := json.Marshal(map[string]string{"reason": reason})
	if err != nil {
		return fmt.Errorf("write the reason: %w", err)
	}
	return o.replace(ctx, tx, w, message.Void, message.Message{Body: text}, what, reason)
}

// Amend corrects the body of a message that is still owed, under the same number: the amendment names the digest of the original,
// which stays in the chain. A lane that stood still because of it goes on. The body that an amendment has already changes nothing, unless its lane
// stands still because of it. Invalid if text is not JSON or nothing was changed, Conflict if the message
// is being sent or may have been sent, Denied where a second person has to approve it, see Ask.
func (o *Outbox) Amend(ctx context.Context, tx *store.Tx, id string, text []byte, reason string) error {
	if err := o.alone("amend message " + id); err != nil {
		return err
	}
	return o.amend(ctx, tx, id, text, reason)
}

func (o *Outbox) amend(ctx context.Context, tx *store.Tx, id string, text []byte, reason string) error {
	w, l, err := lockMessage(ctx, tx, "amend message "+id, id)
	if err != nil {
		return err
	}
	what := fmt.Sprintf("amend message %d of lane %s", w.Number, w.Lane)
	if !json.Valid(text) {
		return &problem.Error{Kind: problem.Invalid, What: what, Why: "the new body is not JSON", Hint: "take the old body and change its values"}
	}
	if err := l.free(ctx, tx, w.Link, w.Number); err != nil {
		return err
	}
	if w.maySent(l.SentTo) && w.Redelivery == 0 {
		return &problem.Error{
			Kind: problem.Conflict, What: what, Why: "the ERP may already have it as it was",
			Hint: "find out first: resume the lane to have the ERP asked, or say yourself whether it was delivered",
		}
	}
	if w.Role == string(message.Void) || w.Redelivery > 0 {
		return &problem.Error{
			Kind: problem.Conflict, What: what, Why: "it was discarded, or delivered before", Hint: "book the correction in the plant: it is owed under a new number",
		}
	}
	if err = w.inHand(ctx, tx, l); err == nil {
		err = w.pinned(ctx, tx) // what it is not would be sealed as what it is
	}
	if err == nil {
		err = w.committed(tx)
	}
	if err != nil {
		return err
	}
	if text, err = o.veiled(ctx, tx, text); err != nil {
		return err
	}
	if same(text, w.Body) {
		if w.Role == string(message.Amendment) && (l.Head != w.Number || l.Epoch != w.Epoch || l.State == string(Open)) {
			return nil // somebody asks once more for what was done, whose answer he may not have seen
		}
		return &problem.Error{Kind: problem.Invalid, What: what, Why: "the new body is the one that it has: nothing was changed", Hint: "change its values; to have it sent as it is: holdfast msg retry"}
	}
	if err := o.replace(ctx, tx, &w, message.Amendment, message.Message{Body: text}, amended, reason); err != nil {
		return err
	}
	return o.goOn(ctx, tx, l, w, reason)
}

// committed is an error of kind Integrity if the body in hand is not what the plant has committed. A large one is looked at where it is read.
func (w *row) committed(tx *store.Tx) error {
	if m := w.message(tx); m.Large == nil && (len(m.Body) == 0 || m.Digest() != w.Digest) {
		return w.altered("it is not what the plant has committed")
	}
	return nil
}

// same tells whether two texts are the same JSON, however it is spaced.
func same(a, b []byte) bool {
	var one, other bytes.Buffer
	return json.Compact(&one, a) == nil && json.Compact(&other, b) == nil && bytes.Equal(one.Bytes(), other.Bytes())
}

// replace gives w another role and the body of m under its own number. Its history keeps the body that it had, and the message holds both.
func (o *Outbox) replace(ctx context.Context, tx *store.Tx, w *row, role message.Role, m message.Message, what, reason string) error {
	if err := history(ctx, tx, *w, what, reason); err != nil {
		return err
	}
	m, err := o.aside(ctx, tx, m)
	if err == nil {
		err = w.hold(ctx, tx, m.Large)
	}
	if err != nil {
		return err
	}
	w.Refers = cmp.Or(w.Refers, w.Digest) // the original, however often it is amended
	w.Role, w.Body, w.Large = string(role), m.Body, body.RefOf(m.Large)
	summed := w.message(tx).Summed()
	w.Digest = summed.Digest()
	o.sign(summed, w)
	stored, err := w.stored(ctx, tx)
	if err == nil {
		err = w.setPin(ctx, tx)
	}
	if err == nil {
		_, err = tx.Exec(ctx, `UPDATE outbox_messages SET role = ?, body = ?, sealed = ?, large = ?, refers = ?, digest = ?, signature = ?, pin = ?, attempts = 0 WHERE id = ?`,
			w.Role, stored, w.Sealed, w.Large, w.Refers, w.Digest, w.Signature, w.Pin, w.ID)
	}
	if err != nil {
		return fmt.Errorf("write the %s of message %s: %w", role, w.ID, err)
	}
	if o.signer == nil && !tx.Seals() { // a plant without keys; a command has none at hand, and its act is on the plant's record all the same
		return nil
	}
	// No later message of the lane names its digest: the audit record must hold it itself, or nothing vouches for it once its key has ended.
	return audit.Hold(ctx, tx, "outbox", []audit.Head{{Link: w.Link, Lane: w.Lane, Epoch: w.Epoch, Number: w.Number, Digest: w.Digest}})
}

// byPerson is Detail.SentWith of a message that a person marked as delivered. An attempt at it may still have been under way: a
// replay of it is asked for as what may have been sent is.
const byPerson = "a person's word"

// inDoubt is in the history of a message of which a replay was given up that may have been sent, and so may still be under way.
const inDoubt = "replay given up in doubt"

// maxReplay bounds one act, so that its transaction stays short.
const maxReplay = 10_000

// Range is which delivered messages of a lane are replayed.
type Range struct {
	From, To int64 // numbers; To 0 means the last
	Epoch    int64 // in which they count; 0 means the lane's newest, of which it has several where the plant was restored
	Force    bool  // without asking the ERP first, once each: it makes another document where it has one and does not know them by their IDs
}

// Replay has delivered messages of one lane delivered again where the ERP no longer has them: the same events under the same IDs and
// numbers, ahead of whatever the lane still owes. The ERP is asked for each before it is sent; one that it has counts as delivered
// again, with the number that it says. Where a link cannot ask, the lane stands still as unknown at the first. Each delivery adds a row
// to the history beside the first. Voids, messages that are owed and those that are no longer kept are passed over. It returns how many
// messages it queued. Invalid if the range is none, or longer than 10,000; Conflict if there is nothing in it to replay. How
// many one person may replay is the caller's to judge.
func (o *Outbox) Replay(ctx context.Context, tx *store.Tx, link, name string, r Range, reason string) (int64, error) {
	l, err := lockLane(ctx, tx, link, name)
	if err != nil {
		return 0, err
	}
	last := l.Next - 1
	if r.Epoch = cmp.Or(r.Epoch, l.Newest); r.Epoch != l.Newest { // numbers begin anew with an epoch
		if err := tx.Get(ctx, &last, `SELECT COALESCE(MAX(number), 0) FROM outbox_delivered WHERE link = ? AND lane = ? AND epoch = ?`, link, name, r.Epoch); err != nil {
			return 0, fmt.Errorf("find the last number of lane %s of link %s: %w", name, link, err)
		}
	}
	to, err := r.end(l, last)
	if err != nil {
		return 0, r.elsewhere(ctx, tx, link, name, err)
	}
	how := AskFirst
	if r.Force {
		how = Forced
	}
	const which = `FROM outbox_delivered AS d WHERE link = ? AND lane = ? AND number BETWEEN ? AND ? AND epoch = ? AND role <> 'void' AND large NOT LIKE 'shredded %'
		AND redelivery = (SELECT MAX(redelivery) FROM outbox_delivered AS e WHERE e.link = d.link AND e.lane = d.lane AND e.epoch = d.epoch AND e.number = d.number)
		AND NOT EXISTS (SELECT 1 FROM outbox_messages AS m WHERE m.id = d.id)`
	args := []any{link, name, r.From, to, r.Epoch}
	_, err = tx.Exec(ctx, `INSERT INTO outbox_events (id, at, seq, what, detail)
		SELECT id, CAST(? AS BIGINT), (SELECT COALESCE(MAX(seq), 0) + 1 FROM outbox_events AS v WHERE v.id = d.id), 'replayed', CAST(? AS TEXT) `+which,
		append([]any{store.Micros(tx.Now), reason}, args...)...)
	if err != nil {
		return 0, fmt.Errorf("write the history of a replay: %w", err)
	}
	n, err := tx.Exec(ctx, `INSERT INTO outbox_messages (link, lane, epoch, number, id, event, source, kind, version, key, time, body, large, creates, cause,
		trace, mapping, prev, role, refers, digest, created_at, attempts, redelivery, sealed, signature, sent_by, replay, forced)
		SELECT link, lane, epoch, number, id, event, source, kind, version, key, time, body, large, creates, cause,
		trace, mapping, prev, role, refers, digest, created_at, 0, redelivery + 1, sealed, signature, CASE WHEN sent_with LIKE '%@%' THEN sent_with ELSE '' END,
			CASE WHEN (sent_with = CAST(? AS TEXT) OR EXISTS (SELECT 1 FROM outbox_events AS v WHERE v.id = d.id AND v.what = CAST(? AS TEXT)))
				AND CAST(? AS TEXT) = 'ask' THEN '' ELSE CAST(? AS TEXT) END, CAST(? AS BOOLEAN) `+which,
		append([]any{byPerson, inDoubt, string(how), string(how), r.Force}, args...)...)
	if err != nil {
		return 0, fmt.Errorf("queue messages again: %w", err)
	}
	if n == 0 {
		return 0, r.elsewhere(ctx, tx, link, name, &problem.Error{
			Kind: problem.Conflict, What: r.what(name), Why: "none of them was delivered and can be replayed: each is a void, or still owed, shredded, or no longer kept",
			Hint: "see holdfast msg list --lane " + name,
		})
	}
	l.Pending += n
	return n, o.queueAgain(ctx, tx, link, l)
}

// end is the last number of the range in a lane.
func (r Range) end(l *lane, last int64) (int64, error) {
	bad := func(why, hint string) (int64, error) {
		return 0, &problem.Error{Kind: problem.Invalid, What: r.what(l.Lane), Why: why, Hint: hint}
	}
	switch to := min(cmp.Or(r.To, last), last); {
	case r.From < 1:
		return bad("the numbers of a lane begin at 1", "give a first number of 1 or more")
	case r.To != 0 && r.To < r.From:
		return bad("the range ends before it begins", "give the lower number first")
	case r.From > last:
		return bad(fmt.Sprintf("the lane ends at message %d", last), "see holdfast msg list --lane "+l.Lane)
	case to-r.From >= maxReplay:
		return bad(fmt.Sprintf("a replay spans at most %d messages", maxReplay), "replay it in parts")
	default:
		return to, nil
	}
}

func (r Range) what(lane string) string {
	if r.Epoch > 1 {
		lane += fmt.Sprintf(" in epoch %d", r.Epoch)
	}
	if r.To == 0 {
		return fmt.Sprintf("replay lane %s from message %d on", lane, r.From)
	}
	return fmt.Sprintf("replay messages %d to %d of lane %s", r.From, r.To, lane)
}

// elsewhere adds to the hint in which other epochs the lane has delivered something: whoever has named none may have meant one of before a restore.
func (r Range) elsewhere(ctx context.Context, tx *store.Tx, link, name string, err error) error {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok {
		return err
	}
	var others []struct{ Epoch, First, Last int64 }
	if err := tx.Select(ctx, &others, `SELECT epoch, MIN(number) AS first, MAX(number) AS last FROM outbox_delivered WHERE link = ? AND lane = ? AND epoch <> ?
		GROUP BY epoch ORDER BY epoch DESC LIMIT 3`, link, name, r.Epoch); err != nil {
		return fmt.Errorf("find the epochs of lane %s of link %s: %w", name, link, err)
	}
	for _, e := range others {
		p.Hint += fmt.Sprintf("; numbers %d to %d of --epoch %d were delivered too", e.First, e.Last, e.Epoch)
	}
	return p
}

// queueAgain sets a lane's head anew without changing whether it is held.
func (o *Outbox) queueAgain(ctx context.Context, tx *store.Tx, link string, l *lane) error {
	h, err := readHead(ctx, tx, link, l)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_lanes SET pending = ?, head_epoch = ?, head = ?, head_at = ?, scheduled = ?,
		due_at = CASE WHEN lease_owner = '' THEN ? ELSE due_at END WHERE link = ? AND lane = ?`,
		l.Pending, h.Epoch, h.Number, h.CreatedAt, h.NotBefore > store.Micros(tx.Now), h.dueAt(tx), link, l.Lane)
	tx.Wake(Topic)
	return err
}
