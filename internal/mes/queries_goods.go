package mes

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"holdfast/internal/store"
)

// ConfirmationFilter picks confirmations; empty fields pick all.
type ConfirmationFilter struct{ Order, Operation string }

// Confirmation reads one; NotFound if there is none.
func (p *Plant) Confirmation(ctx context.Context, tx *store.Tx, id string) (Confirmation, error) {
	return readBody[Confirmation](ctx, tx, "confirmation", id, "SELECT body FROM plant_confirmations WHERE id = ?", id)
}

// Confirmations lists confirmations and their reversals as they were recorded.
func (p *Plant) Confirmations(ctx context.Context, tx *store.Tx, f ConfirmationFilter, page Page) (List[Confirmation], error) {
	var w where
	w.is("order_id", f.Order)
	w.is("operation", f.Operation)
	return listRecorded[Confirmation](ctx, tx, "plant_confirmations", w, page)
}

func insertConfirmation(ctx context.Context, tx *store.Tx, c Confirmation) error {
	body, err := sealDoc(ctx, tx, c.ID, c)
	if err != nil {
		return fmt.Errorf("write confirmation %s: %w", c.ID, err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO plant_confirmations (id, order_id, operation, reversed_by, recorded_at, body) VALUES (?, ?, ?, '', ?, ?)",
		c.ID, c.Order, c.Operation, store.Micros(c.RecordedAt), body)
	if err != nil {
		return fmt.Errorf("insert confirmation %s: %w", c.ID, err)
	}
	return nil
}

// reverseConfirmation keeps the reversal and marks what it takes back.
func reverseConfirmation(ctx context.Context, tx *store.Tx, done, back Confirmation) error {
	done.ReversedBy = back.ID
	if err := markReversed(ctx, tx, "plant_confirmations", done.ID, back.ID, done); err != nil {
		return err
	}
	return insertConfirmation(ctx, tx, back)
}

// markReversed writes done, which by takes back, unless something else has.
func markReversed(ctx context.Context, tx *store.Tx, table, id, by string, done any) error {
	body, err := sealDoc(ctx, tx, id, done)
	if err != nil {
		return fmt.Errorf("write %s: %w", id, err)
	}
	n, err := tx.Exec(ctx, "UPDATE "+table+" SET reversed_by = ?, body = ? WHERE id = ? AND reversed_by = ''", by, body, id)
	if err != nil {
		return fmt.Errorf("mark %s as reversed: %w", id, err)
	}
	if n != 1 {
		return conflict("reversal of "+id, "it was reversed at this very moment", "nothing is left to reverse")
	}
	return nil
}

// MovementFilter picks movements; empty fields pick all.
type MovementFilter struct{ Order, Material, Batch string }

// Movement reads one; NotFound if there is none.
func (p *Plant) Movement(ctx context.Context, tx *store.Tx, id string) (Movement, error) {
	return readBody[Movement](ctx, tx, "movement", id, "SELECT body FROM plant_movements WHERE id = ?", id)
}

// Movements lists goods movements as they were recorded.
func (p *Plant) Movements(ctx context.Context, tx *store.Tx, f MovementFilter, page Page) (List[Movement], error) {
	var w where
	w.is("order_id", f.Order)
	if f.Material != "" || f.Batch != "" {
		var lot where
		lot.is("material", f.Material)
		lot.is("batch", f.Batch)
		w.add("id IN (SELECT movement_id FROM plant_movement_lots"+lot.String()+")", lot.args...)
	}
	return listRecorded[Movement](ctx, tx, "plant_movements", w, page)
}

func insertMovement(ctx context.Context, tx *store.Tx, m Movement) error {
	body, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("write movement %s: %w", m.ID, err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO plant_movements (id, order_id, type, reversed_by, recorded_at, body) VALUES (?, ?, ?, '', ?, ?)",
		m.ID, orNull(m.Order), m.Type, store.Micros(m.RecordedAt), body)
	if err != nil {
		return fmt.Errorf("insert movement %s: %w", m.ID, err)
	}
	for _, it := range m.Items {
		_, err := tx.Exec(ctx, "INSERT INTO plant_movement_lots (material, batch, movement_id) VALUES (?, ?, ?) ON CONFLICT DO NOTHING", it.Material, it.Batch, m.ID)
		if err != nil {
			return fmt.Errorf("index the lots of movement %s: %w", m.ID, err)
		}
	}
	return nil
}

// reverseMovement marks what the reversal by takes back.
func reverseMovement(ctx context.Context, tx *store.Tx, done Movement, by string) error {
	done.ReversedBy = by
	return markReversed(ctx, tx, "plant_movements", done.ID, by, done)
}

// orNull keeps an empty reference as NULL, which a foreign key passes over.
func orNull(id string) any {
	if id == "" {
		return nil
	}
	return id
}

// moveStock adds a movement to stock. Rows are locked in one order by everybody.
func moveStock(ctx context.Context, tx *store.Tx, m Movement) error {
	for _, d := range m.deltas() {
		_, err := tx.Exec(ctx, "INSERT INTO plant_stock (material, batch, unit, quantity) VALUES (?, ?, ?, '0') ON CONFLICT DO NOTHING", d.Material, d.Batch, d.Unit)
		if err != nil {
			return fmt.Errorf("begin stock of %s: %w", d.Material, err)
		}
		was := d
		err = tx.Get(ctx, &was.Quantity, "SELECT quantity FROM plant_stock WHERE material = ? AND batch = ? AND unit = ?"+tx.ForUpdate(), d.Material, d.Batch, d.Unit)
		if err != nil {
			return fmt.Errorf("read stock of %s: %w", d.Material, err)
		}
		_, err = tx.Exec(ctx, "UPDATE plant_stock SET quantity = ? WHERE material = ? AND batch = ? AND unit = ?",
			was.Quantity.Add(d.Quantity), d.Material, d.Batch, d.Unit)
		if err != nil {
			return fmt.Errorf("write stock of %s: %w", d.Material, err)
		}
	}
	return nil
}

// Stock is what the plant's movements come to, by lot; batch empty means all lots of the material.
func (p *Plant) Stock(ctx context.Context, tx *store.Tx, material, batch string) ([]Stock, error) {
	var w where
	w.is("material", material)
	w.is("batch", batch)
	var out []Stock
	err := tx.Select(ctx, &out, "SELECT material, batch, unit, quantity FROM plant_stock"+w.String()+" ORDER BY material, batch, unit", w.args...)
	if err != nil {
		return nil, fmt.Errorf("read stock: %w", err)
	}
	return out, nil
}

// LotFilter picks lots; empty fields pick all.
type LotFilter struct {
	Material, Number, Order string
	Status                  LotStatus
}

// Lot reads one by the plant's ID; NotFound if there is none.
func (p *Plant) Lot(ctx context.Context, tx *store.Tx, id string) (Lot, error) {
	return readBody[Lot](ctx, tx, "lot", id, "SELECT body FROM plant_lots WHERE id = ?", id)
}

// Lots lists lots as they were recorded.
func (p *Plant) Lots(ctx context.Context, tx *store.Tx, f LotFilter, page Page) (List[Lot], error) {
	var w where
	w.is("material", f.Material)
	w.is("number", f.Number)
	w.is("order_id", f.Order)
	w.is("status", string(f.Status))
	return listRecorded[Lot](ctx, tx, "plant_lots", w, page)
}

// findLot is the lot of that number, nil if the plant has none.
func findLot(ctx context.Context, tx *store.Tx, material, number string) (*Lot, error) {
	if number == "" {
		return nil, nil
	}
	var body []byte
	err := tx.Get(ctx, &body, "SELECT body FROM plant_lots WHERE material = ? AND number = ?", material, number)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read lot %s of %s: %w", number, material, err)
	}
	var lot Lot
	if err := json.Unmarshal(body, &lot); err != nil {
		return nil, fmt.Errorf("read lot %s of %s: %w", number, material, err)
	}
	return &lot, nil
}

func lockLot(ctx context.Context, tx *store.Tx, id string) (Lot, error) {
	return readBody[Lot](ctx, tx, "lot", id, "SELECT body FROM plant_lots WHERE id = ?"+tx.ForUpdate(), id)
}

// insertLot keeps a new lot; false if its material has a lot of that number.
func insertLot(ctx context.Context, tx *store.Tx, l Lot) (bool, error) {
	body, err := json.Marshal(l)
	if err != nil {
		return false, fmt.Errorf("write lot %s: %w", l.Number, err)
	}
	n, err := tx.Exec(ctx, `INSERT INTO plant_lots (id, material, number, order_id, status, recorded_at, body) VALUES (?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT (material, number) DO NOTHING`, l.ID, l.Material, l.Number, orNull(l.Order), l.Status, store.Micros(l.RecordedAt), body)
	if err != nil {
		return false, fmt.Errorf("insert lot %s: %w", l.Number, err)
	}
	return n == 1, nil
}

func updateLot(ctx context.Context, tx *store.Tx, l Lot) error {
	body, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("write lot %s: %w", l.Number, err)
	}
	if _, err := tx.Exec(ctx, "UPDATE plant_lots SET status = ?, body = ? WHERE id = ?", l.Status, body, l.ID); err != nil {
		return fmt.Errorf("update lot %s: %w", l.Number, err)
	}
	return nil
}

// saveLot keeps a changed lot under its next version.
func (p *Plant) saveLot(ctx context.Context, tx *store.Tx, l *Lot) error {
	l.Version++
	l.ChangedAt = p.now(tx)
	return updateLot(ctx, tx, *l)
}

// InspectionFilter picks results; empty fields pick all.
type InspectionFilter struct{ Order, Lot string }

// Inspection reads one; NotFound if there is none.
func (p *Plant) Inspection(ctx context.Context, tx *store.Tx, id string) (Inspection, error) {
	return readBody[Inspection](ctx, tx, "inspection", id, "SELECT body FROM plant_inspections WHERE id = ?", id)
}

// Inspections lists results as they were recorded.
func (p *Plant) Inspections(ctx context.Context, tx *store.Tx, f InspectionFilter, page Page) (List[Inspection], error) {
	var w where
	w.is("order_id", f.Order)
	w.is("lot_id", f.Lot)
	return listRecorded[Inspection](ctx, tx, "plant_inspections", w, page)
}

// rejectedCharacteristic is one of a lot's characteristics whose newest result is rejected, empty if there is none.
func rejectedCharacteristic(ctx context.Context, tx *store.Tx, lot string) (string, error) {
	var bodies [][]byte
	if err := tx.Select(ctx, &bodies, "SELECT body FROM plant_inspections WHERE lot_id = ? ORDER BY recorded_at DESC, id DESC", lot); err != nil {
		return "", fmt.Errorf("read the inspections of lot %s: %w", lot, err)
	}
	seen := map[string]bool{}
	for _, body := range bodies {
		var in Inspection
		if err := json.Unmarshal(body, &in); err != nil {
			return "", fmt.Errorf("read an inspection of lot %s: %w", lot, err)
		}
		if !seen[in.Characteristic] && in.Valuation == Rejected {
			return in.Characteristic, nil
		}
		seen[in.Characteristic] = true
	}
	return "", nil
}

func insertInspection(ctx context.Context, tx *store.Tx, in Inspection) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("write inspection %s: %w", in.ID, err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO plant_inspections (id, order_id, lot_id, recorded_at, body) VALUES (?, ?, ?, ?, ?)",
		in.ID, orNull(in.Order), orNull(in.Lot), store.Micros(in.RecordedAt), body)
	if err != nil {
		return fmt.Errorf("insert inspection %s: %w", in.ID, err)
	}
	return nil
}
