package mes

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// OrderFilter picks orders; empty fields pick all.
type OrderFilter struct {
	Status     []Status
	Material   string
	WorkCentre string // an operation of the order is done there
	Number     string // any of its numbers
}

// orderRow is a row of the list of orders.
type orderRow struct {
	ID      string `db:"id"`
	Urgency int64  `db:"urgency"`
	Start   int64  `db:"start_at"`
	Body    []byte `db:"body"`
}

// Order reads an order by the plant's ID; NotFound if there is none.
func (p *Plant) Order(ctx context.Context, tx *store.Tx, id string) (Order, error) {
	return readBody[Order](ctx, tx, "order", id, "SELECT body FROM plant_orders WHERE id = ?", id)
}

// OrderByNumber reads an order by any of its numbers; NotFound if there is none.
func (p *Plant) OrderByNumber(ctx context.Context, tx *store.Tx, number string) (Order, error) {
	return readBody[Order](ctx, tx, "order", number,
		"SELECT body FROM plant_orders WHERE (erp_number = ? AND erp_number <> '') OR (plant_number = ? AND plant_number <> '')", number, number)
}

// Orders lists orders, the most urgent first: by priority, then by planned start.
func (p *Plant) Orders(ctx context.Context, tx *store.Tx, f OrderFilter, page Page) (List[Order], error) {
	w, err := f.where(tx)
	if err != nil {
		return List[Order]{}, err
	}
	var urgency, start int64
	var id string
	more, err := page.after(&urgency, &start, &id)
	if err != nil {
		return List[Order]{}, err
	}
	if more {
		w.add("(urgency, start_at, id) > (?, ?, ?)", urgency, start, id)
	}
	var rows []orderRow
	query := "SELECT id, urgency, start_at, body FROM plant_orders" + w.String() + " ORDER BY urgency, start_at, id LIMIT ?"
	if err := tx.Select(ctx, &rows, query, append(w.args, page.limit()+1)...); err != nil {
		return List[Order]{}, fmt.Errorf("list orders: %w", err)
	}
	return paged[Order](rows, page, func(r orderRow) []byte { return r.Body }, func(r orderRow) (string, error) { return cursor(r.Urgency, r.Start, r.ID) })
}

func (f OrderFilter) where(tx *store.Tx) (where, error) {
	var w where
	if len(f.Status) > 0 {
		cond, args, err := tx.In("status IN (?)", f.Status)
		if err != nil {
			return where{}, fmt.Errorf("list orders by status: %w", err)
		}
		w.add(cond, args...)
	}
	w.is("material", f.Material)
	if f.WorkCentre != "" {
		var at where
		at.is("work_centre", f.WorkCentre)
		w.add("id IN (SELECT order_id FROM plant_order_work_centres"+at.String()+")", at.args...)
	}
	if f.Number != "" {
		if !storable(f.Number) {
			f.Number = ""
		}
		w.add("? <> '' AND (number = ? OR erp_number = ? OR plant_number = ?)", f.Number, f.Number, f.Number, f.Number)
	}
	return w, nil
}

// lockOrder reads an order that is about to change.
func lockOrder(ctx context.Context, tx *store.Tx, id string) (Order, error) {
	return readBody[Order](ctx, tx, "order", id, "SELECT body FROM plant_orders WHERE id = ?"+tx.ForUpdate(), id)
}

// aloneWith has no other transaction give an order this number of the ERP, or the same in its other form, until this one ends: the table's index
// knows only that no two have it in one form.
func aloneWith(ctx context.Context, tx *store.Tx, number string) error {
	if other := otherForm(number); len(other) > len(number) {
		number = other
	}
	return tx.Alone(ctx, "order of the ERP "+number)
}

// findOrder locks the order that the ERP means: by its number, in whichever form, else by the plant's ID or number where the plant made it. No
// other transaction makes one of this number meanwhile.
func findOrder(ctx context.Context, tx *store.Tx, number, external, key string) (Order, bool, error) {
	if err := aloneWith(ctx, tx, number); err != nil {
		return Order{}, false, err
	}
	o, err := readBody[Order](ctx, tx, "order", number, `SELECT body FROM plant_orders
		WHERE (erp_number <> '' AND erp_number IN (?, ?)) OR (plant_number <> '' AND plant_number = ?) OR id IN (?, ?)
		ORDER BY CASE erp_number WHEN ? THEN 0 WHEN ? THEN 1 ELSE 2 END, id LIMIT 1`+tx.ForUpdate(), number, otherForm(number), external, external, key, number, otherForm(number))
	if problem.KindOf(err) == problem.NotFound {
		return Order{}, false, nil
	}
	return o, err == nil, err
}

// orderCalled is the plant's ID of the order that has this number of the ERP, empty if none has.
func orderCalled(ctx context.Context, tx *store.Tx, number string) (string, error) {
	var id string
	err := tx.Get(ctx, &id, "SELECT id FROM plant_orders WHERE erp_number IN (?, ?) AND erp_number <> '' ORDER BY id LIMIT 1", number, otherForm(number))
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("look up the order that the ERP calls %s: %w", number, err)
	}
	return id, nil
}

// anythingStands tells whether a confirmation or goods movement of the order is not taken back. The order's own sums do not tell:
// times alone, by-products, and what no component foresees are in none of them.
func anythingStands(ctx context.Context, tx *store.Tx, id string) (bool, error) {
	var n int
	err := tx.Get(ctx, &n, `SELECT
		(SELECT COUNT(*) FROM plant_confirmations WHERE order_id = ? AND reversed_by = ''
			AND id NOT IN (SELECT reversed_by FROM plant_confirmations WHERE order_id = ?)) +
		(SELECT COUNT(*) FROM plant_movements WHERE order_id = ? AND reversed_by = ''
			AND id NOT IN (SELECT reversed_by FROM plant_movements WHERE order_id = ?))`, id, id, id, id)
	if err != nil {
		return false, fmt.Errorf("look for what is booked on order %s: %w", id, err)
	}
	return n > 0, nil
}

func insertOrder(ctx context.Context, tx *store.Tx, o *Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write order %s: %w", o.Number, err)
	}
	_, err = tx.Exec(ctx, `INSERT INTO plant_orders (id, number, plant_number, erp_number, material, status, urgency, start_at, version, body)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		o.ID, o.Number, o.PlantNumber, o.ERPNumber, o.Material, o.Status, 9-o.Priority, store.Micros(o.Start), o.Version, body)
	if err != nil {
		return fmt.Errorf("insert order %s: %w", o.Number, err)
	}
	return keepWorkCentres(ctx, tx, o)
}

// updateOrder writes an order over the version before. That the version is still there is certain by the order's lock; the
// condition is there in case somebody forgets it.
func updateOrder(ctx context.Context, tx *store.Tx, o *Order) error {
	body, err := json.Marshal(o)
	if err != nil {
		return fmt.Errorf("write order %s: %w", o.Number, err)
	}
	n, err := tx.Exec(ctx, `UPDATE plant_orders SET number = ?, plant_number = ?, erp_number = ?, material = ?, status = ?, urgency = ?,
		start_at = ?, version = ?, body = ? WHERE id = ? AND version = ?`,
		o.Number, o.PlantNumber, o.ERPNumber, o.Material, o.Status, 9-o.Priority, store.Micros(o.Start), o.Version, body, o.ID, o.Version-1)
	if err != nil {
		return fmt.Errorf("update order %s: %w", o.Number, err)
	}
	if n != 1 {
		return fmt.Errorf("update order %s: version %d is gone", o.Number, o.Version-1)
	}
	return nil
}

// readWord is what the ERP said last of an order's plan; nothing if that was before it was kept.
func readWord(ctx context.Context, tx *store.Tx, id string) (ERPOrder, error) {
	var body []byte
	if err := tx.Get(ctx, &body, "SELECT erp_word FROM plant_orders WHERE id = ?", id); err != nil {
		return ERPOrder{}, fmt.Errorf("read the ERP's last word on order %s: %w", id, err)
	}
	var word ERPOrder
	if len(body) == 0 {
		return word, nil
	}
	if err := json.Unmarshal(body, &word); err != nil {
		return ERPOrder{}, fmt.Errorf("read the ERP's last word on order %s: %w", id, err)
	}
	return word, nil
}

// keepWord keeps what the ERP said last of an order's plan.
func keepWord(ctx context.Context, tx *store.Tx, id string, word ERPOrder) error {
	body, err := json.Marshal(ERPOrder{}.with(word)) // without what is no plan
	if err != nil {
		return fmt.Errorf("write the ERP's last word on order %s: %w", id, err)
	}
	if _, err := tx.Exec(ctx, "UPDATE plant_orders SET erp_word = ? WHERE id = ? AND (erp_word IS NULL OR erp_word <> ?)", body, id, body); err != nil {
		return fmt.Errorf("keep the ERP's last word on order %s: %w", id, err)
	}
	return nil
}

// keepWorkCentres replaces the index of the work centres of an order.
func keepWorkCentres(ctx context.Context, tx *store.Tx, o *Order) error {
	if _, err := tx.Exec(ctx, "DELETE FROM plant_order_work_centres WHERE order_id = ?", o.ID); err != nil {
		return fmt.Errorf("index the work centres of order %s: %w", o.Number, err)
	}
	var seen []string
	for _, op := range o.Operations {
		if op.WorkCentre == "" || slices.Contains(seen, op.WorkCentre) {
			continue
		}
		seen = append(seen, op.WorkCentre)
		if _, err := tx.Exec(ctx, "INSERT INTO plant_order_work_centres (order_id, work_centre) VALUES (?, ?)", o.ID, op.WorkCentre); err != nil {
			return fmt.Errorf("index the work centres of order %s: %w", o.Number, err)
		}
	}
	return nil
}
