package mes

import (
	"context"
	"fmt"

	"holdfast/internal/store"
)

// Conflicted is an order or a lot for which the ERP has sent a number that does not fit. Its notes say why.
type Conflicted struct {
	Sort   string `db:"sort" json:"sort"` // order or lot
	ID     string `db:"id" json:"id"`
	Number string `db:"number" json:"number"`
}

// Conflicts lists what a person must look at because of a number of the ERP, limit of them at most. An order leaves the list when it
// is closed: then nothing is reported on it any more. A lot stays.
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

// keepConflict puts an order or a lot on the list of Conflicts.
func keepConflict(ctx context.Context, tx *store.Tx, sort, id string) error {
	if _, err := tx.Exec(ctx, "INSERT INTO plant_number_conflicts (sort, id) VALUES (?, ?) ON CONFLICT DO NOTHING", sort, id); err != nil {
		return fmt.Errorf("keep that a number of %s %s does not fit: %w", sort, id, err)
	}
	return nil
}
