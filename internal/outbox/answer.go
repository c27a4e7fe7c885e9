package outbox

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

// The kinds of message by which an ERP answers what was delivered to it without an answer, as what goes through a broker is.
const (
	ReceiptKind = "erp.receipt" // it has made a document of it
	RefusalKind = "erp.refusal" // it says no
)

// maxAnswer is how many bytes an answer may have.
const maxAnswer = 1 << 20

// answer is the body of both kinds.
type answer struct {
	Message  string    `json:"message"`            // the ID of the message that it is about
	Document string    `json:"document,omitempty"` // receipt: the ERP's number of what it made
	Kind     string    `json:"kind,omitempty"`     // receipt: the ERP's word for it
	At       time.Time `json:"at,omitzero"`        // when; the answer's own time without it
	Code     string    `json:"code,omitempty"`     // refusal: the ERP's word for the reason
	Text     string    `json:"text,omitempty"`     // refusal: the reason, for a person
}

// Answer keeps what m, an answer of one of the kinds above, says of a message that m's link has delivered. The same answer again is
// without effect. A receipt brings the ERP's number of what the message created, as one that comes at once does. A refusal is kept
// with the delivery and parks the lane: what was sent behind the message is sent, what was not waits for a person.
//
// An answer to a message that is still owed is Unavailable, and to be given again: it came before the sender could write down that
// the message was delivered. One to a message that nobody sent is NotFound, one that contradicts an earlier one Conflict.
func (o *Outbox) Answer(ctx context.Context, tx *store.Tx, m message.Message) error {
	text, err := m.Read(ctx, maxAnswer)
	if err != nil {
		return err
	}
	var a answer
	if err := json.Unmarshal(text, &a); err != nil || a.Message == "" {
		return &problem.Error{
			Kind: problem.Invalid, What: "read " + m.Kind + " " + m.ID, Why: "it does not name the message that it is about",
			Hint: `have the ERP send {"message": "the id of the event", "document": "…"}`, Cause: err,
		}
	}
	if a.At.IsZero() {
		a.At = m.Time
	}
	t, err := findTarget(ctx, tx, m.Link, a.Message)
	if err != nil {
		return err
	}
	if m.Kind == RefusalKind {
		err = o.refused(ctx, tx, t, a)
	} else {
		err = o.received(ctx, tx, t, a)
	}
	if err == nil {
		tx.Wake(Settled)
	}
	return err
}

// findTarget locks the lane of a message and reads its last delivery. That of a message which is being delivered again is not asked
// for if it was answered: the answer is about the one under way.
func findTarget(ctx context.Context, tx *store.Tx, link, id string) (full, error) {
	what := "answer to message " + id
	var t full
	var lane string
	err := tx.Get(ctx, &lane, `SELECT lane FROM outbox_delivered WHERE id = ? AND link = ? UNION ALL
		SELECT lane FROM outbox_messages WHERE id = ? AND link = ? LIMIT 1`, id, link, id, link)
	if err == nil {
		if _, err = lockLane(ctx, tx, link, lane); err == nil {
			err = tx.Get(ctx, &t, `SELECT `+onlyReceipt+` WHERE id = ? AND link = ? ORDER BY redelivery DESC LIMIT 1`, id, link)
		}
	}
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return t, fmt.Errorf("find the delivery of message %s: %w", id, err)
	}
	if err == nil && t.Document == "" && t.Refused == "" {
		return t, nil
	}
	var owed int
	if err := tx.Get(ctx, &owed, `SELECT COUNT(*) FROM outbox_messages WHERE id = ? AND link = ?`, id, link); err != nil {
		return t, fmt.Errorf("find message %s: %w", id, err)
	}
	switch {
	case owed > 0:
		return t, &problem.Error{
			Kind: problem.Unavailable, What: what, Why: "it came before it was written down that the message is delivered",
			Hint: "nothing to do: it is taken as soon as that is known",
		}
	case err != nil:
		return t, &problem.Error{
			Kind: problem.NotFound, What: what, Why: "link " + link + " has sent no such message, or it is no longer kept",
			Hint: "find out in the ERP what it means: holdfast msg list shows the messages that are kept",
		}
	}
	return t, nil
}

// received keeps a receipt with the delivery that it is about.
func (o *Outbox) received(ctx context.Context, tx *store.Tx, t full, a answer) error {
	what := "receipt of message " + a.Message
	switch {
	case t.Document != "" && t.Document != a.Document:
		return &problem.Error{
			Kind: problem.Conflict, What: what, Why: fmt.Sprintf("the ERP has called it %s before, and calls it %s now", t.Document, orNothing(a.Document)),
			Hint: "find out in the ERP which of the two is right, and cancel the other",
		}
	case t.Creates != "" && a.Document == "" && t.Role != string(message.Void):
		return &problem.Error{
			Kind: problem.Invalid, What: what, Why: "it does not give the number of " + t.Creates + ", which the message created",
			Hint: "have the ERP send the number as document",
		}
	case t.Document != "":
		return nil
	}
	err := o.rewrite(ctx, tx, []full{t}, func(f *full) { f.Document, f.DocKind, f.Answered = a.Document, a.Kind, store.Zoned{Time: a.At} })
	if err == nil {
		err = o.unrefused(ctx, tx, a.Message)
	}
	if err != nil {
		return fmt.Errorf("keep the receipt of message %s: %w", a.Message, err)
	}
	return o.created(ctx, tx, t.Link, Done{
		ID: a.Message, Redelivery: t.Redelivery, Creates: t.Creates, Role: message.Role(t.Role), Receipt: message.Receipt{Document: a.Document},
	})
}

// refused keeps a refusal with the delivery that it is about, and parks what the lane has not sent yet. A holder that has the lane in
// hand finishes what it has; its settlement leaves the lane parked.
func (o *Outbox) refused(ctx context.Context, tx *store.Tx, t full, a answer) error {
	why := cmp.Or(a.Text, a.Code, "it gave no reason")
	if a.Code != "" && a.Text != "" {
		why = a.Code + ": " + a.Text
	}
	switch {
	case t.Document != "":
		return &problem.Error{
			Kind: problem.Conflict, What: "refusal of message " + a.Message, Why: "the ERP has taken it before, as " + t.Document,
			Hint: "find out in the ERP whether that document stands",
		}
	case t.Refused == why:
		return nil
	}
	if err := o.unrefused(ctx, tx, a.Message); err != nil { // of an earlier delivery
		return err
	}
	err := o.rewrite(ctx, tx, []full{t}, func(f *full) { f.Refused, f.Answered = why, store.Zoned{Time: a.At} })
	if err != nil {
		return fmt.Errorf("keep the refusal of message %s: %w", a.Message, err)
	}
	if err := history(ctx, tx, row{ID: a.Message}, "refused", why); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_lanes SET state = 'parked', awaits = '', reason = ?, changed_at = ?
		WHERE link = ? AND lane = ? AND state IN ('open', 'waiting')`,
		fmt.Sprintf("the ERP refused message %d, and has what was sent behind it: %s", t.Number, why), store.Micros(tx.Now), t.Link, t.Lane)
	if err != nil {
		return fmt.Errorf("park lane %s of link %s: %w", t.Lane, t.Link, err)
	}
	return nil
}

// takenAnyway ends the refusal of a message that was delivered by a person's word that the ERP has it, as document. It tells whether
// there is such a message.
func (o *Outbox) takenAnyway(ctx context.Context, tx *store.Tx, id, document, reason string) (bool, error) {
	var link string
	err := tx.Get(ctx, &link, `SELECT link FROM outbox_delivered WHERE id = ? AND refused <> '' LIMIT 1`, id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find whether message %s was refused: %w", id, err)
	}
	t, err := findTarget(ctx, tx, link, id)
	if err == nil {
		err = o.received(ctx, tx, t, answer{Message: id, Document: document, At: tx.Now})
	}
	if err == nil {
		err = history(ctx, tx, row{ID: id}, "marked delivered", reason)
	}
	tx.Wake(Settled)
	return true, err
}

// unrefused ends what the ERP has said against a message.
func (o *Outbox) unrefused(ctx context.Context, tx *store.Tx, id string) error {
	var rows []full
	err := tx.Select(ctx, &rows, `SELECT `+onlyReceipt+` WHERE id = ? AND refused <> ''`, id)
	if err == nil {
		err = o.rewrite(ctx, tx, rows, func(f *full) { f.Refused = "" })
	}
	if err != nil {
		return fmt.Errorf("end the refusal of message %s: %w", id, err)
	}
	return nil
}

// orNothing is a number that is never empty.
func orNothing(number string) string { return cmp.Or(number, "nothing") }
