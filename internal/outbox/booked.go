package outbox

import (
	"context"
	"fmt"

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
	err = tx.Select(ctx, &all, `SELECT item, message, quantity FROM outbox_booked WHERE link = ? AND erp_order = ? ORDER BY item, message`, link, order)
	if err != nil {
		return nil, fmt.Errorf("read what order %s of link %s was booked by: %w", order, link, err)
	}
	return all, nil
}

// Book keeps which items of an ERP's order stand for a message, in the place of what was known of it.
func (o *Outbox) Book(ctx context.Context, tx *store.Tx, link, order, message string, all []Booked) error {
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
