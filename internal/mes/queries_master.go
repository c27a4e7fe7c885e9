package mes

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"

	"holdfast/internal/store"
)

// The kinds of master data, as plant_master keeps them.
const (
	kindMaterial   = "material"
	kindUnit       = "unit"
	kindWorkCentre = "workcentre"
	kindBOM        = "bom"
	kindRouting    = "routing"
)

// Material reads one; NotFound if the ERP has not sent it.
func (p *Plant) Material(ctx context.Context, tx *store.Tx, number string) (Material, error) {
	return needMaster[Material](ctx, tx, kindMaterial, number, "material "+number)
}

// WorkCentre reads one; NotFound if the ERP has not sent it.
func (p *Plant) WorkCentre(ctx context.Context, tx *store.Tx, number string) (WorkCentre, error) {
	return needMaster[WorkCentre](ctx, tx, kindWorkCentre, number, "work centre "+number)
}

// BOM reads the bill of material for a material; NotFound if the ERP has not sent it.
func (p *Plant) BOM(ctx context.Context, tx *store.Tx, material string) (BOM, error) {
	return needMaster[BOM](ctx, tx, kindBOM, material, "bill of material for "+material)
}

// Routing reads the routing for a material; NotFound if the ERP has not sent it.
func (p *Plant) Routing(ctx context.Context, tx *store.Tx, material string) (Routing, error) {
	return needMaster[Routing](ctx, tx, kindRouting, material, "routing for "+material)
}

// Materials lists the plant's copies by number; prefix is how the number begins, or empty.
func (p *Plant) Materials(ctx context.Context, tx *store.Tx, prefix string, page Page) (List[Material], error) {
	return listMaster[Material](ctx, tx, kindMaterial, prefix, page)
}

// WorkCentres lists the plant's copies by number; prefix is how the number begins, or empty.
func (p *Plant) WorkCentres(ctx context.Context, tx *store.Tx, prefix string, page Page) (List[WorkCentre], error) {
	return listMaster[WorkCentre](ctx, tx, kindWorkCentre, prefix, page)
}

// BOMs lists the plant's copies by material; prefix is how the material's number begins, or empty.
func (p *Plant) BOMs(ctx context.Context, tx *store.Tx, prefix string, page Page) (List[BOM], error) {
	return listMaster[BOM](ctx, tx, kindBOM, prefix, page)
}

// Routings lists the plant's copies by material; prefix is how the material's number begins, or empty.
func (p *Plant) Routings(ctx context.Context, tx *store.Tx, prefix string, page Page) (List[Routing], error) {
	return listMaster[Routing](ctx, tx, kindRouting, prefix, page)
}

// Units lists the units that the ERP has sent; the usual codes are known without it.
func (p *Plant) Units(ctx context.Context, tx *store.Tx, page Page) (List[Unit], error) {
	return listMaster[Unit](ctx, tx, kindUnit, "", page)
}

// needMaster reads master data that must be there.
func needMaster[T any](ctx context.Context, tx *store.Tx, kind, number, what string) (T, error) {
	out, ok, err := findMaster[T](ctx, tx, kind, number)
	if err == nil && !ok {
		err = missing(what, "the plant has no copy of it", "have the ERP send it; it arrives as "+kind+".changed")
	}
	return out, err
}

// findMaster reads master data that may be missing.
func findMaster[T any](ctx context.Context, tx *store.Tx, kind, number string) (T, bool, error) {
	var out T
	var body []byte
	if !storable(number) {
		return out, false, nil
	}
	err := tx.Get(ctx, &body, "SELECT body FROM plant_master WHERE kind = ? AND number = ?", kind, number)
	if errors.Is(err, sql.ErrNoRows) {
		return out, false, nil
	}
	if err != nil {
		return out, false, fmt.Errorf("read %s %s: %w", kind, number, err)
	}
	if err := json.Unmarshal(body, &out); err != nil {
		return out, false, fmt.Errorf("read %s %s: %w", kind, number, err)
	}
	return out, true, nil
}

// selectMaster reads all of one kind, for kinds of which there are few.
func selectMaster[T any](ctx context.Context, tx *store.Tx, kind string) ([]T, error) {
	var bodies [][]byte
	if err := tx.Select(ctx, &bodies, "SELECT body FROM plant_master WHERE kind = ? ORDER BY number", kind); err != nil {
		return nil, fmt.Errorf("read every %s: %w", kind, err)
	}
	out := make([]T, len(bodies))
	for i, b := range bodies {
		if err := json.Unmarshal(b, &out[i]); err != nil {
			return nil, fmt.Errorf("read every %s: %w", kind, err)
		}
	}
	return out, nil
}

func listMaster[T any](ctx context.Context, tx *store.Tx, kind, prefix string, page Page) (List[T], error) {
	var w where
	w.add("kind = ?", kind)
	switch {
	case prefix == "":
	case !storable(prefix):
		w.add("1 = 0")
	default:
		w.add("number >= ? AND substr(number, 1, ?) = ?", prefix, utf8.RuneCountInString(prefix), prefix)
	}
	var last string
	more, err := page.after(&last)
	if err != nil {
		return List[T]{}, err
	}
	if more {
		w.add("number > ?", last)
	}
	type row struct {
		Number string `db:"number"`
		Body   []byte `db:"body"`
	}
	var rows []row
	query := "SELECT number, body FROM plant_master" + w.String() + " ORDER BY number LIMIT ?"
	if err := tx.Select(ctx, &rows, query, append(w.args, page.limit()+1)...); err != nil {
		return List[T]{}, fmt.Errorf("list every %s: %w", kind, err)
	}
	return paged[T](rows, page, func(r row) []byte { return r.Body }, func(r row) (string, error) { return cursor(r.Number) })
}

// keepMaster writes the plant's copy unless a newer one is there; equal versions are written again.
func keepMaster(ctx context.Context, tx *store.Tx, kind, number, version string, doc any) error {
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("write %s %s: %w", kind, number, err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO plant_master (kind, number, erp_version, changed_at, body) VALUES (?, ?, '', 0, ?) ON CONFLICT DO NOTHING", kind, number, body)
	if err != nil {
		return fmt.Errorf("insert %s %s: %w", kind, number, err)
	}
	var has string
	if err := tx.Get(ctx, &has, "SELECT erp_version FROM plant_master WHERE kind = ? AND number = ?"+tx.ForUpdate(), kind, number); err != nil {
		return fmt.Errorf("read the version of %s %s: %w", kind, number, err)
	}
	if late, err := older(fmt.Sprintf("change of %s %s", kind, number), version, has); err != nil || late {
		return err
	}
	_, err = tx.Exec(ctx, "UPDATE plant_master SET erp_version = ?, changed_at = ?, body = ? WHERE kind = ? AND number = ?",
		version, store.Micros(tx.Now), body, kind, number)
	if err != nil {
		return fmt.Errorf("update %s %s: %w", kind, number, err)
	}
	return nil
}
