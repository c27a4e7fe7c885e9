package outbox

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Wish is what a person wants done to a message where another has to approve it (Config.FourEyes).
type Wish struct {
	ID      string // a digest of all the rest: who approves it approves what they have seen, and nothing else
	Message string
	Act     string // ToAmend, ToDiscard, ToUndiscard or ToMarkDelivered
	Body    []byte // that a correction gives it
	InDoubt bool   // discard it although the ERP may have it
	By      string
	Reason  string
	At      time.Time

	Document string // ToMarkDelivered: the ERP's number of it, "" if it has none

	Changed bool // the message is another by now, so that nobody can approve it any more

	digest     string // of the message when it was asked
	redelivery int
	mac        []byte // as macOf gives it
}

// The acts of a Wish.
const (
	ToAmend         = "amend"
	ToDiscard       = "discard"
	ToUndiscard     = "undiscard"
	ToMarkDelivered = "mark-delivered"
)

// Asked is in the history of a message that somebody wants changed, with the body that they want.
const Asked = "change asked"

// alone refuses to one person what policy leaves to two.
func (o *Outbox) alone(what string) error {
	if !o.cfg.FourEyes {
		return nil
	}
	return &problem.Error{
		Kind: problem.Denied, What: what, Why: "a second person has to approve it (policy.four_eyes)",
		Hint: "ask for it by holdfast msg or the console, where somebody else approves it",
	}
}

var errTried = errors.New("it can be done")

// Ask keeps what a person wants done to a message, for another to approve; what could not be done now is refused as the act itself would be, and
// check is asked whether a corrected message can be sent. Conflict if somebody has asked for something already that still stands.
func (o *Outbox) Ask(ctx context.Context, tx *store.Tx, w Wish, check func(context.Context, *store.Tx, Detail) error) (Wish, error) {
	m, err := o.lockWanted(ctx, tx, w)
	if err != nil {
		return Wish{}, err
	}
	if earlier, err := o.WishOf(ctx, tx, m.ID); err != nil || earlier != nil && !earlier.Changed {
		return Wish{}, errors.Join(err, taken(earlier))
	}
	err = tx.Savepoint(ctx, func() error {
		if err := o.grant(ctx, tx, m, w, check); err != nil {
			return err
		}
		return errTried
	})
	if !errors.Is(err, errTried) {
		return Wish{}, err
	}
	w.At, w.digest, w.redelivery = tx.Now, m.Digest, m.Redelivery
	return o.keepWish(ctx, tx, m, w)
}

// lockWanted locks the lane of the message that a wish is about: it may be settled where the act is one of settled messages too.
func (o *Outbox) lockWanted(ctx context.Context, tx *store.Tx, w Wish) (row, error) {
	m, l, err := lockMessage(ctx, tx, w.Act+" message "+w.Message, w.Message)
	if err == nil {
		return m, m.giveOwn(ctx, tx, l.own)
	}
	if problem.KindOf(err) != problem.Conflict || w.Act != ToUndiscard && w.Act != ToMarkDelivered {
		return row{}, err
	}
	d, err := o.Message(ctx, tx, w.Message)
	if err == nil {
		_, err = lockLane(ctx, tx, d.Link, d.Lane)
	}
	if err == nil {
		d, err = o.Message(ctx, tx, w.Message) // again: it may have been another before the lock was had
	}
	return row{ID: d.ID, Kind: d.Kind, Digest: d.Digest, Redelivery: d.Redelivery}, err
}

func taken(w *Wish) error {
	if w == nil {
		return nil
	}
	return &problem.Error{
		Kind: problem.Conflict, What: w.Act + " message " + w.Message, Why: w.By + " has asked for a change of it already, and nobody has approved or refused that",
		Hint: "look at it first: holdfast msg approve " + w.ID + ", or holdfast msg refuse " + w.ID,
	}
}

// keepWish writes a wish, and what it says to the history of its message.
func (o *Outbox) keepWish(ctx context.Context, tx *store.Tx, m row, w Wish) (_ Wish, err error) {
	if w.Body, err = o.veiled(ctx, tx, w.Body); err != nil {
		return Wish{}, err
	}
	if w.ID, err = w.sum(); err != nil {
		return Wish{}, err
	}
	mac, err := o.vouch(ctx, tx, w.cell(), "keep what is asked of message "+w.Message)
	if err != nil {
		return Wish{}, err
	}
	kept, err := o.aside(ctx, tx, message.Message{ID: m.ID, Kind: m.Kind, Body: w.Body})
	if err == nil {
		err = m.hold(ctx, tx, kept.Large)
	}
	if err != nil {
		return Wish{}, err
	}
	m.Body, m.Large, m.Digest, m.Role, m.Refers, m.Signature = kept.Body, body.RefOf(kept.Large), "", "", "", nil
	if err := history(ctx, tx, m, Asked, w.Act+", by "+w.By+": "+w.Reason); err != nil {
		return Wish{}, err
	}
	_, err = tx.Exec(ctx, `INSERT INTO outbox_asked (id, message, seq, act, in_doubt, digest, redelivery, author, reason, asked_at, document, mac)
		VALUES (?, ?, (SELECT MAX(seq) FROM outbox_events WHERE id = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (message) DO UPDATE SET id = excluded.id, seq = excluded.seq, act = excluded.act, in_doubt = excluded.in_doubt, digest = excluded.digest,
			redelivery = excluded.redelivery, author = excluded.author, reason = excluded.reason, asked_at = excluded.asked_at,
			document = excluded.document, mac = excluded.mac`,
		w.ID, w.Message, w.Message, w.Act, w.InDoubt, w.digest, w.redelivery, w.By, w.Reason, store.Micros(w.At), w.Document, mac)
	if err != nil {
		return Wish{}, fmt.Errorf("keep what is asked of message %s: %w", w.Message, err)
	}
	return w, nil
}

// sum is the ID of a wish.
func (w Wish) sum() (string, error) {
	says := []any{w.Message, w.Act, w.Body, w.InDoubt, w.By, w.Reason, store.Micros(w.At), w.digest, w.redelivery}
	if w.Document != "" { // else it is what a node of the release before makes of it
		says = append(says, w.Document)
	}
	text, err := json.Marshal(says)
	if err != nil {
		return "", fmt.Errorf("write what is asked of message %s: %w", w.Message, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// cell is a request as its author has made it: the ID is a digest of all of it, which whoever can write the database can make too.
func (w Wish) cell() store.Cell {
	return store.Cell{Table: "outbox_asked", Row: w.Message, Bound: [][]byte{[]byte(w.ID), []byte(w.By)}}
}

// grant does what is wanted.
func (o *Outbox) grant(ctx context.Context, tx *store.Tx, m row, w Wish, check func(context.Context, *store.Tx, Detail) error) error {
	switch w.Act {
	case ToDiscard:
		return o.discard(ctx, tx, m.ID, w.Reason, w.InDoubt)
	case ToUndiscard:
		_, err := o.undiscard(ctx, tx, m.ID, w.Reason)
		return err
	case ToMarkDelivered:
		return o.markDelivered(ctx, tx, m.ID, w.Document, w.Reason)
	}
	if err := o.amend(ctx, tx, m.ID, w.Body, w.Reason); err != nil {
		return err
	}
	amended, err := o.Message(ctx, tx, m.ID)
	if err != nil {
		return err
	}
	return check(ctx, tx, amended)
}

// Approve does what somebody else has asked for. Denied to who may be the one that asked, Conflict if the message is another by now, Integrity if
// what was asked is not what it was; what the act itself is refused for stays asked.
func (o *Outbox) Approve(ctx context.Context, tx *store.Tx, id, by, reason string, check func(context.Context, *store.Tx, Detail) error) (Wish, error) {
	w, m, err := o.lockWish(ctx, tx, id)
	if err != nil {
		return Wish{}, err
	}
	what := "approve " + id
	switch {
	case !audit.TwoPersons(by, w.By):
		return Wish{}, &problem.Error{
			Kind: problem.Denied, What: what, Why: "it may be " + by + "'s own request", Hint: "somebody else has to look at it and approve it; access.people says whose account is whose",
		}
	case w.Changed:
		return Wish{}, &problem.Error{Kind: problem.Conflict, What: what, Why: "the message was changed since it was asked", Hint: "look at what it is now, and ask anew: holdfast msg show " + w.Message}
	}
	if err := o.wasAsked(ctx, tx, w); err != nil {
		return Wish{}, err
	}
	if err := o.endWish(ctx, tx, w, "change approved", by+": "+reason); err != nil {
		return Wish{}, err
	}
	return w, o.grant(ctx, tx, m, w, check)
}

// wasAsked is an error of kind Integrity if a request is not what somebody has asked of this plant.
func (o *Outbox) wasAsked(ctx context.Context, tx *store.Tx, w Wish) error {
	sum, err := w.sum()
	if err != nil {
		return err
	}
	e := &problem.Error{
		Kind: problem.Integrity, What: "approve " + w.ID, Why: "it is not what was asked: the database was altered", Hint: "refuse it, and find out who has changed it: holdfast audit verify",
	}
	if sum != w.ID {
		return e
	}
	vouched, err := o.vouches(ctx, tx)
	if err != nil || !vouched {
		return err
	}
	if is, err := genuine(ctx, tx, w.cell(), w.mac); err != nil || is {
		return err
	}
	if len(w.mac) == 0 {
		e.Why, e.Hint = "nothing vouches for it: the release before has kept it, or somebody has put it into the database", "refuse it; whoever has asked asks anew"
	}
	return e
}

// Refuse ends what somebody has asked for; whoever asked may take it back so.
func (o *Outbox) Refuse(ctx context.Context, tx *store.Tx, id, by, reason string) (Wish, error) {
	w, err := o.wish(ctx, tx, `id = ?`, id)
	if err == nil && w == nil {
		err = noWish(id)
	}
	if err != nil {
		return Wish{}, err
	}
	return *w, o.endWish(ctx, tx, *w, "change refused", by+": "+reason)
}

// lockWish reads a wish and its message, whose lane it locks.
func (o *Outbox) lockWish(ctx context.Context, tx *store.Tx, id string) (Wish, row, error) {
	w, err := o.wish(ctx, tx, `id = ?`, id)
	if err == nil && w == nil {
		err = noWish(id)
	}
	if err != nil {
		return Wish{}, row{}, err
	}
	m, err := o.lockWanted(ctx, tx, *w)
	if err != nil {
		return Wish{}, row{}, err
	}
	if w, err = o.wish(ctx, tx, `id = ?`, id); err == nil && w == nil { // again: somebody may have been first
		err = noWish(id)
	}
	if err != nil {
		return Wish{}, row{}, err
	}
	return *w, m, nil
}

func noWish(id string) error {
	return &problem.Error{Kind: problem.NotFound, What: "request " + id, Why: "nobody has asked for it, or it was approved or refused", Hint: "see what waits: holdfast msg asked"}
}

func (o *Outbox) endWish(ctx context.Context, tx *store.Tx, w Wish, what, detail string) error {
	n, err := tx.Exec(ctx, `DELETE FROM outbox_asked WHERE id = ?`, w.ID)
	if err != nil {
		return fmt.Errorf("end request %s: %w", w.ID, err)
	}
	if n == 0 { // somebody else has ended it since it was read
		return noWish(w.ID)
	}
	return history(ctx, tx, row{ID: w.Message}, what, detail)
}

// WishOf is what somebody wants done to a message; nil if nobody has asked.
func (o *Outbox) WishOf(ctx context.Context, tx *store.Tx, id string) (*Wish, error) {
	return o.wish(ctx, tx, `message = ?`, id)
}

func (o *Outbox) wish(ctx context.Context, tx *store.Tx, where, arg string) (*Wish, error) {
	var r wishRow
	err := tx.Get(ctx, &r, `SELECT `+wishColumns+` FROM outbox_asked WHERE `+where, arg)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what is asked of a message: %w", err)
	}
	w := r.wish()
	d, err := o.Message(ctx, tx, w.Message)
	if err != nil {
		return nil, err
	}
	w.Changed = w.Act != ToUndiscard && d.Settled && (w.Act != ToMarkDelivered || d.Refused == "") || d.Digest != w.digest || d.Redelivery != w.redelivery
	for _, h := range d.History {
		if h.Seq != r.Seq {
			continue
		}
		if w.Body, err = (message.Message{ID: w.Message, Body: h.Body, Large: h.Large}).Read(ctx, message.MaxBody); err != nil {
			return nil, err
		}
	}
	return &w, nil
}

const wishColumns = `id, message, seq, act, in_doubt, digest, redelivery, author, reason, asked_at, document, mac`

type wishRow struct {
	ID, Message, Act, Digest, Author, Reason, Document string

	Seq, Redelivery int64
	InDoubt         bool  `db:"in_doubt"`
	AskedAt         int64 `db:"asked_at"`
	MAC             []byte
}

func (r wishRow) wish() Wish {
	return Wish{
		ID: r.ID, Message: r.Message, Act: r.Act, InDoubt: r.InDoubt, By: r.Author, Reason: r.Reason, At: store.FromMicros(r.AskedAt),
		Document: r.Document, digest: r.Digest, redelivery: int(r.Redelivery), mac: r.MAC,
	}
}

// mostWishes bounds a list of what is asked.
const mostWishes = 200

// Wishes are what waits for somebody's approval, the oldest first, without their bodies.
func (o *Outbox) Wishes(ctx context.Context, tx *store.Tx) ([]Wish, error) {
	var rows []wishRow
	err := tx.Select(ctx, &rows, `SELECT `+wishColumns+` FROM outbox_asked AS a
		WHERE digest = (SELECT m.digest FROM outbox_messages AS m WHERE m.id = a.message AND m.redelivery = a.redelivery)
			OR EXISTS (SELECT 1 FROM outbox_delivered AS d WHERE d.id = a.message AND d.redelivery = a.redelivery AND d.digest = a.digest
				AND (a.act = '`+ToUndiscard+`' OR a.act = '`+ToMarkDelivered+`' AND d.refused <> ''))
		ORDER BY asked_at, id LIMIT `+fmt.Sprint(mostWishes))
	if err != nil {
		return nil, fmt.Errorf("read what is asked of messages: %w", err)
	}
	list := make([]Wish, 0, len(rows))
	for _, r := range rows {
		list = append(list, r.wish())
	}
	return list, nil
}
