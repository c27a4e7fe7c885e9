package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// PauseLink stops claims of a link until ResumeLink; what is in hand is finished. Appends go on.
func (o *Outbox) PauseLink(ctx context.Context, tx *store.Tx, link, reason string) error {
	return o.pauseLink(ctx, tx, link, true, reason)
}

// ResumeLink lets a paused link go on.
func (o *Outbox) ResumeLink(ctx context.Context, tx *store.Tx, link, reason string) error {
	return o.pauseLink(ctx, tx, link, false, reason)
}

func (o *Outbox) pauseLink(ctx context.Context, tx *store.Tx, link string, paused bool, reason string) error {
	_, err := tx.Exec(ctx, `INSERT INTO outbox_links (link, paused, reason, changed_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (link) DO UPDATE SET paused = excluded.paused, reason = excluded.reason, changed_at = excluded.changed_at`,
		link, paused, reason, store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("pause or resume link %s: %w", link, err)
	}
	tx.Wake(Topic)
	return nil
}

// MostRate is the most requests a second that a person can allow a link.
const MostRate = 10_000

// RateLink has every node send at most so many requests a second over a link, in the place of relay.Link.Rate; 0 gives that its say again.
// Errors: Invalid for a rate that is none.
func (o *Outbox) RateLink(ctx context.Context, tx *store.Tx, link string, rate int) error {
	if rate < 0 || rate > MostRate {
		return &problem.Error{
			Kind: problem.Invalid, What: fmt.Sprintf("rate %d of link %s", rate, link), Why: fmt.Sprintf("it is not between 0 and %d requests a second", MostRate),
			Hint: "write 0 for what the configuration says; to send nothing, pause the link",
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbox_links (link, rate, changed_at) VALUES (?, ?, ?) ON CONFLICT (link) DO UPDATE SET rate = excluded.rate`,
		link, rate, store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("set the rate of link %s: %w", link, err)
	}
	tx.Wake(Topic)
	return nil
}

// PauseLane stops claims of one lane until Resume; what is in hand is finished.
func (o *Outbox) PauseLane(ctx context.Context, tx *store.Tx, link, lane, reason string) error {
	return o.changeLane(ctx, tx, link, lane, `paused = TRUE, reason = ?`, reason)
}

// Resume lets a lane go on from its first message, whatever held it: a pause, a refusal, a wait, an unknown outcome. The attempts
// that the message has spent are forgotten. What may have been sent is asked for before it is sent.
func (o *Outbox) Resume(ctx context.Context, tx *store.Tx, link, lane, reason string) error {
	l, err := lockLane(ctx, tx, link, lane)
	if err != nil {
		return err
	}
	if err := l.recount(ctx, tx, link); err != nil { // what was deleted behind Holdfast is owed no more
		return err
	}
	if _, err := tx.Exec(ctx, `UPDATE outbox_lanes SET paused = FALSE WHERE link = ? AND lane = ?`, link, lane); err != nil {
		return fmt.Errorf("resume lane %s of link %s: %w", lane, link, err)
	}
	return o.reopen(ctx, tx, link, l, "resumed", reason)
}

// Retry has the message sent at once that stands at the head of its lane, as Resume does, except that a lane which a person has
// paused stays paused. It ends a postponement. Another message is refused with Conflict: order in a lane is absolute.
func (o *Outbox) Retry(ctx context.Context, tx *store.Tx, id, reason string) error {
	w, l, err := lockMessage(ctx, tx, "retry message "+id, id)
	if err != nil {
		return err
	}
	if w.Number != l.Head || w.Epoch != l.Epoch {
		return &problem.Error{
			Kind: problem.Conflict, What: "retry message " + id, Why: fmt.Sprintf("message %d of its lane comes first", l.Head),
			Hint: "retry, amend or discard that one",
		}
	}
	if err := lift(ctx, tx, w); err != nil {
		return err
	}
	return o.reopen(ctx, tx, w.Link, l, "retried", reason)
}

// MarkDelivered settles the head of a lane by a person's word that the ERP has it, as document ("" if it has no number). It is
// the way out of an unknown outcome that nobody but a person can settle, and of a refusal that came after the delivery: such a message
// need not be the head, and its lane stays as it is. Denied where a second person has to approve it, see Ask.
func (o *Outbox) MarkDelivered(ctx context.Context, tx *store.Tx, id, document, reason string) error {
	if err := o.alone("mark message " + id + " as delivered"); err != nil {
		return err
	}
	return o.markDelivered(ctx, tx, id, document, reason)
}

func (o *Outbox) markDelivered(ctx context.Context, tx *store.Tx, id, document, reason string) error {
	if found, err := o.takenAnyway(ctx, tx, id, document, reason); found || err != nil {
		return err
	}
	what := "mark message " + id + " as delivered"
	l, w, err := lockHead(ctx, tx, what, id)
	if err != nil {
		return err
	}
	if w.Creates != "" && document == "" && w.Redelivery == 0 { // who waits for the number would wait for ever
		return &problem.Error{
			Kind: problem.Invalid, What: what,
			Why: "other messages may need the ERP's number of " + w.Creates + ", which it creates", Hint: "give the number under which the ERP has it",
		}
	}
	d := Done{ID: w.ID, Epoch: w.Epoch, Number: w.Number, Redelivery: w.Redelivery, Creates: w.Creates, Role: "", SentWith: byPerson}
	d.Receipt.Document, d.Receipt.At, d.Receipt.Asked = document, tx.Now, true
	if err := history(ctx, tx, row{ID: w.ID}, "marked delivered", reason); err != nil {
		return err
	}
	if _, err := o.move(ctx, tx, w.Link, []Done{d}); err != nil {
		return err
	}
	l.Pending--
	h, err := readHead(ctx, tx, w.Link, l)
	if err != nil {
		return err
	}
	if w.Redelivery == 0 {
		l.SentTo = h.unsentYet(w.Epoch, l.SentTo)
	}
	return o.reopen(ctx, tx, w.Link, l, "", reason)
}

// SendAgain lets the head of a lane be sent once without asking, by a person's word that the ERP does not have it. What follows it is asked for as before:
// the word is about the one message.
func (o *Outbox) SendAgain(ctx context.Context, tx *store.Tx, id, reason string) error {
	l, w, err := lockHead(ctx, tx, "send message "+id+" again", id)
	if err != nil {
		return err
	}
	if w.Redelivery == 0 { // of a replay, what follows it may have been sent, and stays so
		_, err := tx.Exec(ctx, `UPDATE outbox_messages SET doubt = (number > ?), doubt_at = ? WHERE link = ? AND lane = ? AND epoch = ? AND number BETWEEN ? AND ? AND redelivery = 0`,
			w.Number, store.Micros(tx.Now), w.Link, w.Lane, w.Epoch, w.Number, max(w.Number, l.SentTo))
		if err != nil {
			return fmt.Errorf("keep in doubt what follows message %s: %w", w.ID, err)
		}
		l.SentTo = w.Number - 1
	}
	if err := setReplay(ctx, tx, w, Forced); err != nil {
		return err
	}
	return o.reopen(ctx, tx, w.Link, l, "sent again", reason)
}

// reopen makes a locked lane claimable at once, from the first message that it still owes; one that a person has paused, once it is
// resumed.
func (o *Outbox) reopen(ctx context.Context, tx *store.Tx, link string, l *lane, what, reason string) error {
	h, err := readHead(ctx, tx, link, l)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_lanes SET pending = ?, head_epoch = ?, head = ?, head_at = ?, scheduled = ?, sent_to = ?, state = 'open',
		awaits = '', reason = CASE WHEN paused THEN reason ELSE '' END, changed_at = ?, due_at = CASE WHEN lease_owner = '' THEN ? ELSE due_at END
		WHERE link = ? AND lane = ?`, l.Pending, h.Epoch, h.Number, h.CreatedAt, h.NotBefore > store.Micros(tx.Now), l.SentTo,
		store.Micros(tx.Now), h.dueAt(tx), link, l.Lane)
	if err != nil {
		return fmt.Errorf("let lane %s of link %s go on: %w", l.Lane, link, err)
	}
	tx.Wake(Topic)
	if l.Pending == 0 || what == "" {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET attempts = 0 WHERE link = ? AND lane = ? AND epoch = ? AND number = ?`,
		link, l.Lane, h.Epoch, h.Number); err != nil {
		return err
	}
	return history(ctx, tx, row{ID: h.ID}, what, reason)
}

func (o *Outbox) changeLane(ctx context.Context, tx *store.Tx, link, lane, set, reason string) error {
	if _, err := lockLane(ctx, tx, link, lane); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET `+set+`, changed_at = ? WHERE link = ? AND lane = ?`, reason, store.Micros(tx.Now), link, lane)
	if err != nil {
		return fmt.Errorf("change lane %s of link %s: %w", lane, link, err)
	}
	tx.Wake(Settled)
	return nil
}

// lockLane locks a lane for an act of a person or an answer of its ERP. What it owes is then all that is left of it in outbox_messages.
func lockLane(ctx context.Context, tx *store.Tx, link, name string) (*lane, error) {
	var l lane
	err := tx.Get(ctx, &l, `SELECT `+claimColumns+` FROM outbox_lanes WHERE link = ? AND lane = ?`+tx.ForUpdate(), link, name)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, &problem.Error{
			Kind: problem.NotFound, What: "lane " + name + " of link " + link, Why: "no message was ever put into it",
			Hint: "holdfast lane list shows the lanes of a link",
		}
	}
	if err != nil {
		return nil, fmt.Errorf("lock lane %s of link %s: %w", name, link, err)
	}
	return &l, fileLane(ctx, tx, link, name)
}

// lockMessage finds a message that is still owed, and locks its lane. What is to be done to it is for the error of one that is not.
func lockMessage(ctx context.Context, tx *store.Tx, what, id string) (row, *lane, error) {
	w, err := owed(ctx, tx, id)
	if problem.KindOf(err) == problem.NotFound {
		return row{}, nil, settled(ctx, tx, what, id)
	}
	if err != nil {
		return row{}, nil, err
	}
	l, err := lockLane(ctx, tx, w.Link, w.Lane)
	if err != nil {
		return row{}, nil, err
	}
	w, err = owed(ctx, tx, id) // again: it may have been settled before the lock was had
	if problem.KindOf(err) == problem.NotFound {
		err = settled(ctx, tx, what, id)
	}
	return w, l, err
}

func owed(ctx context.Context, tx *store.Tx, id string) (row, error) {
	var w row
	err := tx.Get(ctx, &w, `SELECT `+hot+` FROM outbox_messages WHERE id = ?`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return row{}, &problem.Error{
			Kind: problem.NotFound, What: "message " + id, Why: "it is not among those that are still owed",
			Hint: "holdfast msg show tells whether it was delivered",
		}
	}
	if err != nil {
		return row{}, fmt.Errorf("read message %s: %w", id, err)
	}
	return w, nil
}

// lockHead locks a lane that stands still, parked or unknown, because of its first message, which is this one. While a lane goes
// on, nobody needs to say what became of a message: it has not been sent, is being sent, or is asked for.
func lockHead(ctx context.Context, tx *store.Tx, what, id string) (*lane, row, error) {
	w, l, err := lockMessage(ctx, tx, what, id)
	if err != nil {
		return nil, row{}, err
	}
	if l.Pending == 0 || l.Head != w.Number || l.Epoch != w.Epoch {
		return nil, row{}, &problem.Error{
			Kind: problem.Conflict, What: what, Why: "it is not the first that lane " + w.Lane + " owes", Hint: "an earlier message comes first",
		}
	}
	if err := l.free(ctx, tx, w.Link, w.Number); err != nil {
		return nil, row{}, err
	}
	if l.State != string(Parked) && l.State != string(Unknown) {
		return nil, row{}, &problem.Error{
			Kind: problem.Conflict, What: what,
			Why:  "lane " + w.Lane + " is " + l.State + ": it is not a person who must say what became of it",
			Hint: "wait until it is delivered; if it must not be sent, discard it",
		}
	}
	return l, w, nil
}

// free refuses to touch a message that is being sent at this moment. A lease that has ended holds nothing up: it is taken from its
// holder, who is gone or will find that it came too late.
func (l *lane) free(ctx context.Context, tx *store.Tx, link string, number int64) error {
	if l.Owner == "" || number > l.SentTo {
		return nil
	}
	if l.DueAt <= store.Micros(tx.Now) {
		l.Owner, l.Token, l.by.Token = "", l.Token+1, l.by.Token+1
		_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET lease_owner = '', lease_token = ?, sent_by_token = sent_by_token + 1 WHERE link = ? AND lane = ?`, l.Token, link, l.Lane)
		if err != nil {
			return fmt.Errorf("end the lease of lane %s of link %s: %w", l.Lane, link, err)
		}
		return nil
	}
	return &problem.Error{
		Kind: problem.Conflict, What: fmt.Sprintf("message %d of lane %s", number, l.Lane), Why: "it is being sent at this moment by node " + l.Owner,
		Hint: "try again in a few seconds; pause the lane first if it keeps being sent",
	}
}
