package mes

import (
	"cmp"
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

// BOM reads the bill of material for a material that is valid on a day ("2026-11-24", in the plant's zone; empty is today): the one
// with the newest validFrom that is not after it. NotFound if there is none.
func (p *Plant) BOM(ctx context.Context, tx *store.Tx, material, on string) (BOM, error) {
	return needValid[BOM](ctx, tx, kindBOM, material, cmp.Or(on, p.day(tx.Now)), "bill of material for "+material)
}

// Routing reads the routing for a material that is valid on a day, as BOM does.
func (p *Plant) Routing(ctx context.Context, tx *store.Tx, material, on string) (Routing, error) {
	return needValid[Routing](ctx, tx, kindRouting, material, cmp.Or(on, p.day(tx.Now)), "routing for "+material)
}

// Materials lists the plant's copies by number; prefix is how the number begins, or empty.
func (p *Plant) Materials(ctx context.Context, tx *store.Tx, prefix string, page Page) (List[Material], error) {
	return listMaster[Material](ctx, tx, kindMaterial, prefix, page)
}

// WorkCentres lists the plant's copies by number; prefix is how the number begins, or empty.
func (p *Plant) WorkCentres(ctx context.Context, tx *store.Tx, prefix string, page Page) (List[WorkCentre], error) {
	return listMaster[WorkCentre](ctx, tx, kindWorkCentre, prefix, page)
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

// needValid reads what is valid on a day; there must be something.
func needValid[T any](ctx context.Context, tx *store.Tx, kind, material, on, what string) (T, error) {
	var none T
	var ck checks
	ck.that(isDay(on), "on", notADay)
	if err := ck.err(what); err != nil {
		return none, err
	}
	var rows []masterRow
	if storable(material) {
		err := tx.Select(ctx, &rows, `SELECT valid_from, erp_version, body FROM plant_master WHERE kind = ? AND number = ?
			ORDER BY CASE WHEN valid_from <= ? THEN 0 ELSE 1 END, CASE WHEN valid_from <= ? THEN valid_from END DESC, valid_from LIMIT 1`,
			kind, material, on, on)
		if err != nil {
			return none, fmt.Errorf("read the %s: %w", what, err)
		}
	}
	switch {
	case len(rows) == 0:
		return none, missing(what, "the plant has no copy of it", "have the ERP send it; it arrives as "+kind+".changed")
	case rows[0].ValidFrom > on:
		return none, missing(what, "none is valid on "+on+": the first is from "+rows[0].ValidFrom+" on",
			"plan it for that day or later, or have the ERP send the one that is valid before")
	}
	var out T
	if err := json.Unmarshal(rows[0].Body, &out); err != nil {
		return none, fmt.Errorf("read the %s: %w", what, err)
	}
	return out, nil
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

// masterRow is one version of the plant's copy of an object.
type masterRow struct {
	ValidFrom string `db:"valid_from"`
	Version   string `db:"erp_version"`
	Body      []byte `db:"body"`
}

// document is the ERP's number of the document that the row came in.
func (r masterRow) document() (string, error) {
	var doc struct {
		Number string `json:"number"`
	}
	if err := json.Unmarshal(r.Body, &doc); err != nil {
		return "", fmt.Errorf("read a kept document: %w", err)
	}
	return doc.Number, nil
}

// keepMaster writes the plant's copy unless a newer one of the same document is there; equal versions are written again. What is
// valid from a day replaces what its document said of that day and of later ones; what it said of the time before stays.
func keepMaster(ctx context.Context, tx *store.Tx, kind string, m master, doc any) error {
	body, err := json.Marshal(doc)
	if err != nil {
		return fmt.Errorf("write %s %s: %w", kind, m.number, err)
	}
	for {
		replaced, late, err := m.replaces(ctx, tx, kind)
		if err != nil || late {
			return err
		}
		for _, from := range replaced {
			if _, err := tx.Exec(ctx, "DELETE FROM plant_master WHERE kind = ? AND number = ? AND valid_from = ?", kind, m.number, from); err != nil {
				return fmt.Errorf("replace %s %s: %w", kind, m.number, err)
			}
		}
		n, err := tx.Exec(ctx, `INSERT INTO plant_master (kind, number, valid_from, erp_version, changed_at, body) VALUES (?, ?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, kind, m.number, m.validFrom, m.version, store.Micros(tx.Now), body)
		if err != nil {
			return fmt.Errorf("keep %s %s: %w", kind, m.number, err)
		}
		if n == 1 {
			return nil
		} // else another transaction has just made the first copy: compare with that
	}
}

// replaces locks the copies that there are, and says which of them m takes the place of; late if one of m's document is newer.
func (m master) replaces(ctx context.Context, tx *store.Tx, kind string) (from []string, late bool, err error) {
	var rows []masterRow
	err = tx.Select(ctx, &rows, "SELECT valid_from, erp_version, body FROM plant_master WHERE kind = ? AND number = ? ORDER BY valid_from"+tx.ForUpdate(), kind, m.number)
	if err != nil {
		return nil, false, fmt.Errorf("read the versions of %s %s: %w", kind, m.number, err)
	}
	for _, r := range rows {
		document, err := r.document()
		if err != nil {
			return nil, false, err
		}
		if document == m.document {
			if late, err := older(fmt.Sprintf("change of %s %s", kind, m.number), m.version, r.Version); err != nil || late {
				return nil, late, err
			}
		}
		if r.ValidFrom == m.validFrom || (document == m.document && r.ValidFrom > m.validFrom) {
			from = append(from, r.ValidFrom)
		}
	}
	return from, false, nil
}
