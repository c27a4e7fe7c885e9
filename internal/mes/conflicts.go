package mes

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Conflicted is an order or a lot for which the ERP has sent a number that does not fit. Its notes say why.
type Conflicted struct {
	Sort   string `db:"sort" json:"sort"` // order or lot
	ID     string `db:"id" json:"id"`
	Number string `db:"number" json:"number"`
}

// Conflicts lists what a person must look at because of a number of the ERP, limit of them at most. An order leaves the list when it
// is closed: then nothing is reported on it any more. A lot stays until it is dismissed.
func (p *Plant) Conflicts(ctx context.Context, tx *store.Tx, limit int) ([]Conflicted, error) {
	var out []Conflicted
	err := tx.Select(ctx, &out, `SELECT c.sort, c.id, COALESCE(o.number, l.number) AS number FROM plant_number_conflicts c
		LEFT JOIN plant_orders o ON c.sort = 'order' AND o.id = c.id
		LEFT JOIN plant_lots l ON c.sort = 'lot' AND l.id = c.id
		WHERE l.id IS NOT NULL OR o.status NOT IN (?, ?) ORDER BY c.sort DESC, c.id LIMIT ?`, TechnicallyComplete, Cancelled, limit)
	if err != nil {
		return nil, fmt.Errorf("list numbers that do not fit: %w", err)
	}
	return out, nil
}

// DismissConflict takes an order or a lot ("order", "lot") off the list of Conflicts, by a person's word that nothing is left to do. Its
// notes stay; the next number that does not fit lists it again. NotFound if it is not listed.
func (p *Plant) DismissConflict(ctx context.Context, tx *store.Tx, sort, id string) (Conflicted, error) {
	var c Conflicted
	err := tx.Get(ctx, &c, `DELETE FROM plant_number_conflicts WHERE sort = ? AND id = ? RETURNING sort, id, COALESCE(
		(SELECT number FROM plant_orders WHERE sort = 'order' AND plant_orders.id = plant_number_conflicts.id),
		(SELECT number FROM plant_lots WHERE sort = 'lot' AND plant_lots.id = plant_number_conflicts.id), '') AS number`, sort, id)
	if errors.Is(err, sql.ErrNoRows) {
		return c, &problem.Error{
			Kind: problem.NotFound, What: "number conflict of " + sort + " " + id, Why: "it is not listed: there was none, or it was dismissed before",
			Hint: "holdfast status lists what has one",
		}
	}
	if err != nil {
		return c, fmt.Errorf("dismiss the number conflict of %s %s: %w", sort, id, err)
	}
	return c, nil
}

// keepConflict puts an order or a lot on the list of Conflicts.
func keepConflict(ctx context.Context, tx *store.Tx, sort, id string) error {
	if _, err := tx.Exec(ctx, "INSERT INTO plant_number_conflicts (sort, id) VALUES (?, ?) ON CONFLICT DO NOTHING", sort, id); err != nil {
		return fmt.Errorf("keep that a number of %s %s does not fit: %w", sort, id, err)
	}
	return nil
}
