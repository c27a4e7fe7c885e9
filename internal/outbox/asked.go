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
	Act     string // ToAmend or ToDiscard
	Body    []byte // that a correction gives it
	InDoubt bool   // discard it although the ERP may have it
	By      string
	Reason  string
	At      time.Time

	Changed bool // the message is another by now, so that nobody can approve it any more

	digest     string // of the message when it was asked
	redelivery int
}

// The acts of a Wish.
const (
	ToAmend   = "amend"
	ToDiscard = "discard"
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
	m, l, err := lockMessage(ctx, tx, w.Act+" message "+w.Message, w.Message)
	if err == nil {
		err = m.giveOwn(ctx, tx, l.own)
	}
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
	_, err = tx.Exec(ctx, `INSERT INTO outbox_asked (id, message, seq, act, in_doubt, digest, redelivery, author, reason, asked_at)
		VALUES (?, ?, (SELECT MAX(seq) FROM outbox_events WHERE id = ?), ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (message) DO UPDATE SET id = excluded.id, seq = excluded.seq, act = excluded.act, in_doubt = excluded.in_doubt, digest = excluded.digest,
			redelivery = excluded.redelivery, author = excluded.author, reason = excluded.reason, asked_at = excluded.asked_at`,
		w.ID, w.Message, w.Message, w.Act, w.InDoubt, w.digest, w.redelivery, w.By, w.Reason, store.Micros(w.At))
	if err != nil {
		return Wish{}, fmt.Errorf("keep what is asked of message %s: %w", w.Message, err)
	}
	return w, nil
}

// sum is the ID of a wish.
func (w Wish) sum() (string, error) {
	text, err := json.Marshal([]any{w.Message, w.Act, w.Body, w.InDoubt, w.By, w.Reason, store.Micros(w.At), w.digest, w.redelivery})
	if err != nil {
		return "", fmt.Errorf("write what is asked of message %s: %w", w.Message, err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:16]), nil
}

// grant does what is wanted.
func (o *Outbox) grant(ctx context.Context, tx *store.Tx, m row, w Wish, check func(context.Context, *store.Tx, Detail) error) error {
	if w.Act == ToDiscard {
		return o.discard(ctx, tx, m.ID, w.Reason, w.InDoubt)
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
	sum, err := w.sum()
	switch {
	case err != nil:
		return Wish{}, err
	case !audit.TwoPersons(by, w.By):
		return Wish{}, &problem.Error{
			Kind: problem.Denied, What: what, Why: "it may be " + by + "'s own request", Hint: "somebody else has to look at it and approve it; access.people says whose account is whose",
		}
	case w.Changed:
		return Wish{}, &problem.Error{Kind: problem.Conflict, What: what, Why: "the message was changed since it was asked", Hint: "look at what it is now, and ask anew: holdfast msg show " + w.Message}
	case sum != w.ID:
		return Wish{}, &problem.Error{Kind: problem.Integrity, What: what, Why: "it is not what was asked: the database was altered", Hint: "refuse it, and find out who has changed it: holdfast audit verify"}
	}
	if err := o.endWish(ctx, tx, w, "change approved", by+": "+reason); err != nil {
		return Wish{}, err
	}
	return w, o.grant(ctx, tx, m, w, check)
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
	m, _, err := lockMessage(ctx, tx, w.Act+" message "+w.Message, w.Message)
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
	w.Changed = d.Settled || d.Digest != w.digest || d.Redelivery != w.redelivery
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

const wishColumns = `id, message, seq, act, in_doubt, digest, redelivery, author, reason, asked_at`

type wishRow struct {
	ID, Message, Act, Digest, Author, Reason string
	Seq, Redelivery                          int64
	InDoubt                                  bool  `db:"in_doubt"`
	AskedAt                                  int64 `db:"asked_at"`
}

func (r wishRow) wish() Wish {
	return Wish{
		ID: r.ID, Message: r.Message, Act: r.Act, InDoubt: r.InDoubt, By: r.Author, Reason: r.Reason, At: store.FromMicros(r.AskedAt),
		digest: r.Digest, redelivery: int(r.Redelivery),
	}
}

// mostWishes bounds a list of what is asked.
const mostWishes = 200

// Wishes are what waits for somebody's approval, the oldest first, without their bodies.
func (o *Outbox) Wishes(ctx context.Context, tx *store.Tx) ([]Wish, error) {
	var rows []wishRow
	err := tx.Select(ctx, &rows, `SELECT `+wishColumns+` FROM outbox_asked AS a
		WHERE digest = (SELECT m.digest FROM outbox_messages AS m WHERE m.id = a.message AND m.redelivery = a.redelivery)
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
