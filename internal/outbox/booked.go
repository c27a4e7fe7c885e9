package outbox

import (
	"context"
	"fmt"
	"slices"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Booked says that an item of a document which an ERP made by itself stands for a message, and for how much of it: a receipt of goods that
// SAP books with a confirmation names no message.
type Booked struct {
	Item, Message string
	Quantity      string // exact decimal
}

// Booked are the items of an ERP's order that stand for messages, by the order's number there.
func (o *Outbox) Booked(ctx context.Context, tx *store.Tx, link, order string) (all []Booked, err error) {
	err = tx.Select(ctx, &all, `SELECT item, message, quantity FROM outbox_booked WHERE link = ? AND erp_order = ? AND item <> '' ORDER BY item, message`, link, order)
	if err != nil {
		return nil, fmt.Errorf("read what order %s of link %s was booked by: %w", order, link, err)
	}
	return all, nil
}

// Book keeps which items of an ERP's order stand for a message, in the place of what was known of it. known is what Booked gave before they were found: where
// that has changed since, on this node or another, the error is of kind Precondition, and nothing is kept.
func (o *Outbox) Book(ctx context.Context, tx *store.Tx, link, order, message string, known, all []Booked) error {
	// A row without an item is the order's lock: else two nodes on PostgreSQL read the same, and both write.
	_, err := tx.Exec(ctx, `INSERT INTO outbox_booked (link, erp_order, item, message, quantity, at) VALUES (?, ?, '', '', '0', ?)
		ON CONFLICT (link, erp_order, item, message) DO UPDATE SET at = excluded.at`, link, order, store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("lock what order %s of link %s was booked by: %w", order, link, err)
	}
	present, err := o.Booked(ctx, tx, link, order)
	if err != nil {
		return err
	}
	if !slices.Equal(present, known) {
		return &problem.Error{
			Kind: problem.Precondition, What: "keep what message " + message + " was booked by", Why: "it or another of the order was looked at meanwhile", Hint: "look again",
		}
	}
	if _, err := tx.Exec(ctx, `DELETE FROM outbox_booked WHERE link = ? AND erp_order = ? AND message = ?`, link, order, message); err != nil {
		return fmt.Errorf("forget what message %s was booked by: %w", message, err)
	}
	for _, b := range all {
		_, err := tx.Exec(ctx, `INSERT INTO outbox_booked (link, erp_order, item, message, quantity, at) VALUES (?, ?, ?, ?, ?, ?)`,
			link, order, b.Item, message, b.Quantity, store.Micros(tx.Now))
		if err != nil {
			return fmt.Errorf("keep what message %s was booked by: %w", message, err)
		}
	}
	return nil
}

// forgetBooked forgets a few of what was booked longer ago than receipts are kept.
func (o *Outbox) forgetBooked(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM outbox_booked WHERE (link, erp_order, item, message) IN
		(SELECT link, erp_order, item, message FROM outbox_booked WHERE at < ? ORDER BY at LIMIT 1000)`, store.Micros(tx.Now.Add(-o.cfg.Keep)))
	if err != nil {
		return fmt.Errorf("forget what was booked long ago: %w", err)
	}
	return nil
}
