package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// Reference is the number that link's ERP gave to an object, "order/…" or "lot/…"; false if it has given none yet.
func (o *Outbox) Reference(ctx context.Context, tx *store.Tx, link, object string) (string, bool, error) {
	var number string
	err := tx.Get(ctx, &number, `SELECT number FROM outbox_refs WHERE link = ? AND object = ?`, link, object)
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look up the number of %s at link %s: %w", object, link, err)
	}
	return number, number != "", nil
}

// Object is the plant's object of a kind ("order", "lot") to which link's ERP gave a number; false if there is none.
func (o *Outbox) Object(ctx context.Context, tx *store.Tx, link, kind, number string) (string, bool, error) {
	var object string
	err := tx.Get(ctx, &object, `SELECT object FROM outbox_refs WHERE link = ? AND number = ? AND number <> '' AND object LIKE ?
		ORDER BY object LIMIT 1`, link, number, kind+"/%")
	if errors.Is(err, sql.ErrNoRows) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("look up the %s that link %s calls %s: %w", kind, link, number, err)
	}
	return object, true, nil
}

// Numbered is the topic that is woken when a receipt has brought a number that somebody is to be told of, see Untold.
const Numbered = "outbox.numbered"

// Reference is what a link's ERP calls an object.
type Reference struct{ Link, Object, Number string }

// SetReference keeps the number that link's ERP gave to an object, and lets exactly the lanes go on that wait for it, each at the
// time of its message if that has one. Who calls it knows the number, so that it is not told by Untold.
func (o *Outbox) SetReference(ctx context.Context, tx *store.Tx, link, object, number string) error {
	return o.refer(ctx, tx, Reference{link, object, number}, true)
}

// refer is SetReference; the same number again is told as it was.
func (o *Outbox) refer(ctx context.Context, tx *store.Tx, r Reference, told bool) error {
	_, err := tx.Exec(ctx, `INSERT INTO outbox_refs (link, object, number, told) VALUES (?, ?, ?, ?)
		ON CONFLICT (link, object) DO UPDATE SET number = excluded.number, voided = FALSE,
			told = (excluded.told OR (outbox_refs.told AND outbox_refs.number = excluded.number))`, r.Link, r.Object, r.Number, told)
	if err != nil {
		return fmt.Errorf("keep the number of %s at link %s: %w", r.Object, r.Link, err)
	}
	if !told {
		tx.Wake(Numbered)
	}
	n, err := tx.Exec(ctx, `UPDATE outbox_lanes SET state = 'open', awaits = '', reason = '',
		due_at = CASE WHEN scheduled AND due_at > ? THEN due_at WHEN head_at > ? THEN ? ELSE head_at END
		WHERE link = ? AND awaits = ? AND awaits <> '' AND state = 'waiting'`, store.Micros(tx.Now), store.Micros(tx.Now), store.Micros(tx.Now), r.Link, r.Object)
	if err != nil {
		return fmt.Errorf("wake the lanes that wait for %s: %w", r.Object, err)
	}
	if n > 0 {
		tx.Wake(Topic)
	}
	return nil
}

// named tells whether an object has a row of its own in the plant, which is to learn the ERP's number.
func named(object string) bool {
	kind, _, _ := strings.Cut(object, "/")
	return kind == "order" || kind == "lot"
}

// Untold lists numbers of orders and lots that receipts have brought and that were not told yet, in the order of their names, from
// the one after the given on. It locks nothing: two who read it at a time both see them.
func (o *Outbox) Untold(ctx context.Context, tx *store.Tx, after Reference, limit int) ([]Reference, error) {
	var refs []Reference
	err := tx.Select(ctx, &refs, `SELECT link, object, number FROM outbox_refs WHERE number <> '' AND NOT told AND (link, object) > (?, ?)
		ORDER BY link, object LIMIT ?`, after.Link, after.Object, limit)
	if err != nil {
		return nil, fmt.Errorf("list the numbers that were not told: %w", err)
	}
	return refs, nil
}

// Told notes that the plant has heard of r. It takes the lock of the reference, so that whoever holds an order or a lot calls it
// last. A number that came since is still untold.
func (o *Outbox) Told(ctx context.Context, tx *store.Tx, r Reference) error {
	_, err := tx.Exec(ctx, `UPDATE outbox_refs SET told = TRUE WHERE link = ? AND object = ? AND number = ?`, r.Link, r.Object, r.Number)
	if err != nil {
		return fmt.Errorf("note that the number of %s is told: %w", r.Object, err)
	}
	return nil
}

// called keeps the number that a receipt gives to an object. One that is known stays, unless it is a replay that brought the other: what
// is sent again is what the ERP no longer has, so that messages must go to the new number. Either way the plant is told, see Called.
func (o *Outbox) called(ctx context.Context, tx *store.Tx, r Reference, replayed bool) error {
	if replayed {
		return o.refer(ctx, tx, r, !named(r.Object))
	}
	known, ok, err := o.Reference(ctx, tx, r.Link, r.Object)
	if err != nil {
		return err
	}
	if !ok || known == r.Number {
		return o.refer(ctx, tx, r, !named(r.Object))
	}
	if _, err := tx.Exec(ctx, `UPDATE outbox_refs SET told = ? WHERE link = ? AND object = ?`, !named(r.Object), r.Link, r.Object); err != nil {
		return fmt.Errorf("note that %s has two numbers at link %s: %w", r.Object, r.Link, err)
	}
	tx.Wake(Numbered)
	return nil
}

// Called lists the numbers that receipts of link's ERP gave to what an event of the plant created, the latest first, each once. More
// than one means that the ERP has, or had, several documents of it.
func (o *Outbox) Called(ctx context.Context, tx *store.Tx, link, event string) ([]string, error) {
	var numbers []string
	err := tx.Select(ctx, &numbers, `SELECT document FROM outbox_delivered WHERE id = ? AND document <> '' AND role <> 'void'
		GROUP BY document ORDER BY MAX(redelivery) DESC`, MessageID(link, event))
	if err != nil {
		return nil, fmt.Errorf("list what link %s calls the object of event %s: %w", link, event, err)
	}
	return numbers, nil
}

// created keeps what a receipt says of an object of the plant's own making. A void means that it will never be created: whoever
// waits for it is parked, for a person to void or amend.
func (o *Outbox) created(ctx context.Context, tx *store.Tx, link string, d Done) error {
	switch {
	case d.Creates == "":
		return nil
	case d.Role != message.Void && d.Receipt.Document != "":
		return o.called(ctx, tx, Reference{link, d.Creates, d.Receipt.Document}, d.Redelivery > 0)
	case d.Role != message.Void:
		return nil
	}
	_, err := tx.Exec(ctx, `INSERT INTO outbox_refs (link, object, voided) VALUES (?, ?, TRUE)
		ON CONFLICT (link, object) DO UPDATE SET voided = (outbox_refs.number = '')`, link, d.Creates)
	if err != nil {
		return fmt.Errorf("keep that %s will not be created at link %s: %w", d.Creates, link, err)
	}
	_, err = tx.Exec(ctx, `UPDATE outbox_lanes SET state = 'parked', awaits = '', reason = ? WHERE link = ? AND awaits = ? AND awaits <> ''`,
		neverCreated(d.Creates), link, d.Creates)
	if err != nil {
		return fmt.Errorf("park the lanes that wait for %s: %w", d.Creates, err)
	}
	return nil
}

func neverCreated(object string) string {
	return "it needs the ERP's number of " + object + ", whose creating message was voided: amend or discard it"
}

// await has a lane wait for an object and returns the object's name; "" if there is nothing to wait for. The object's row is locked
// first, so that a number which comes at this moment is either seen here or finds the lane waiting.
func (o *Outbox) await(ctx context.Context, tx *store.Tx, link string, l *lane, object string) (string, error) {
	var ref struct {
		Number string
		Voided bool
	}
	err := tx.Get(ctx, &ref, `INSERT INTO outbox_refs (link, object) VALUES (?, ?)
		ON CONFLICT (link, object) DO UPDATE SET object = excluded.object RETURNING number, voided`, link, object)
	switch {
	case err != nil:
		return "", fmt.Errorf("ask for the number of %s: %w", object, err)
	case ref.Number != "":
		l.State, l.Reason = string(Open), ""
		return "", nil
	case ref.Voided:
		l.State, l.Reason = string(Parked), neverCreated(object)
		return "", nil
	}
	return object, nil
}
