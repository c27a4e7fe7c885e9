package mes_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"holdfast/internal/mes"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// pages reads a list to its end, three at a time, and fails if a page is longer or the list does not end.
func pages[T any](p *plant, list func(ctx context.Context, tx *store.Tx, page mes.Page) (mes.List[T], error)) []T {
	p.t.Helper()
	var all []T
	page := mes.Page{Limit: 3}
	for range 1000 {
		got := see(p, func(ctx context.Context, tx *store.Tx) (mes.List[T], error) { return list(ctx, tx, page) })
		if len(got.Items) > 3 {
			p.t.Fatalf("got a page of %d, want at most 3", len(got.Items))
		}
		all = append(all, got.Items...)
		if got.Next == "" {
			return all
		}
		page.Cursor = got.Next
	}
	p.t.Fatal("the list does not end")
	return nil
}

func TestOrdersTheMostUrgentFirst(t *testing.T) {
	each(t, func(p *plant) {
		var want []string
		for _, priority := range []int{9, 5, 0} {
			for hour := range 3 {
				e := p.erpOrder()
				// the zones differ, so that only the instant sorts them right
				e.Priority, e.Start = ptr(priority), time.Date(2026, 11, 24, 6+hour, 0, 0, 0, time.UTC).In(time.FixedZone("", (hour-1)*8*3600))
				e.End = e.Start
				p.apply(mes.OrderReleasedKind, e)
				want = append(want, e.ERPNumber)
			}
		}
		list := func(f mes.OrderFilter) []string {
			var got []string
			for _, o := range pages(p, func(ctx context.Context, tx *store.Tx, page mes.Page) (mes.List[mes.Order], error) {
				return p.Orders(ctx, tx, f, page)
			}) {
				got = append(got, o.Number)
			}
			return got
		}
		equal(p.t, "all", list(mes.OrderFilter{}), want)
		equal(p.t, "by material and work centre", list(mes.OrderFilter{Material: "PUMP", WorkCentre: "MILL"}), want)
		equal(p.t, "by number", list(mes.OrderFilter{Number: want[4]}), want[4:5])
		if got := list(mes.OrderFilter{WorkCentre: "NONE"}); got != nil {
			p.t.Errorf("got %q at no work centre, want none", got)
		}
		must(p, p.StartOrder, mes.OrderAct{Order: p.numbered(want[3]).ID})
		must(p, p.StartOrder, mes.OrderAct{Order: p.numbered(want[8]).ID})
		equal(p.t, "by state", list(mes.OrderFilter{Status: []mes.Status{mes.Started, mes.PartlyConfirmed}}), []string{want[3], want[8]})
		equal(p.t, "released", len(list(mes.OrderFilter{Status: []mes.Status{mes.Released}})), 7)
	})
}

func TestListsAreReadByPage(t *testing.T) {
	each(t, func(p *plant) {
		o, other := p.started(), p.started()
		var confirmations, movements, lots, inspections []string
		for i := range 7 {
			confirmations = append(confirmations, must(p, p.Confirm, mes.NewConfirmation{ID: id(100 + i), Order: o.ID, Operation: "0010", Yield: d("1")}).ID)
			movements = append(movements, must(p, p.IssueGoods, mes.NewMovement{ID: id(200 + i), Order: o.ID, Items: []mes.NewItem{
				{Material: "CAST", Batch: fmt.Sprintf("S-%d", i%2), Quantity: d("1")}, {Material: "BOLT", Quantity: d("8")},
			}}).ID)
			lots = append(lots, must(p, p.CreateLot, mes.NewLot{ID: id(300 + i), Order: o.ID}).ID)
			inspections = append(inspections, must(p, p.RecordInspection, mes.NewInspection{
				ID: id(400 + i), Lot: lots[0], Characteristic: "Leak", Code: "OK", Valuation: mes.Accepted,
			}).ID)
		}
		must(p, p.Confirm, mes.NewConfirmation{Order: other.ID, Operation: "0010", Yield: d("1")})
		must(p, p.IssueGoods, mes.NewMovement{Order: other.ID, Items: []mes.NewItem{{Material: "BOLT", Quantity: d("1")}}})
		must(p, p.CreateLot, mes.NewLot{Material: "CAST", Status: mes.Blocked})
		must(p, p.RecordInspection, mes.NewInspection{Order: other.ID, Characteristic: "Leak", Code: "OK", Valuation: mes.Accepted})

		confirmed := func(f mes.ConfirmationFilter) []string {
			return ids(pages(p, func(ctx context.Context, tx *store.Tx, page mes.Page) (mes.List[mes.Confirmation], error) {
				return p.Confirmations(ctx, tx, f, page)
			}), func(c mes.Confirmation) string { return c.ID })
		}
		equal(p.t, "confirmations of the order", confirmed(mes.ConfirmationFilter{Order: o.ID, Operation: "0010"}), confirmations)
		equal(p.t, "all confirmations", len(confirmed(mes.ConfirmationFilter{})), 8)

		moved := func(f mes.MovementFilter) []string {
			return ids(pages(p, func(ctx context.Context, tx *store.Tx, page mes.Page) (mes.List[mes.Movement], error) {
				return p.Movements(ctx, tx, f, page)
			}), func(m mes.Movement) string { return m.ID })
		}
		equal(p.t, "movements of the order", moved(mes.MovementFilter{Order: o.ID}), movements)
		equal(p.t, "movements of the material", len(moved(mes.MovementFilter{Material: "BOLT"})), 8)
		equal(p.t, "movements of the lot", moved(mes.MovementFilter{Material: "CAST", Batch: "S-1"}), []string{id(201), id(203), id(205)})

		lotted := func(f mes.LotFilter) []string {
			return ids(pages(p, func(ctx context.Context, tx *store.Tx, page mes.Page) (mes.List[mes.Lot], error) {
				return p.Lots(ctx, tx, f, page)
			}), func(l mes.Lot) string { return l.ID })
		}
		equal(p.t, "lots of the order", lotted(mes.LotFilter{Order: o.ID, Material: "PUMP", Status: mes.Unrestricted}), lots)
		equal(p.t, "the lot of that number", lotted(mes.LotFilter{Number: "L00000002"}), lots[1:2])

		inspected := func(f mes.InspectionFilter) []string {
			return ids(pages(p, func(ctx context.Context, tx *store.Tx, page mes.Page) (mes.List[mes.Inspection], error) {
				return p.Inspections(ctx, tx, f, page)
			}), func(i mes.Inspection) string { return i.ID })
		}
		equal(p.t, "inspections of the lot", inspected(mes.InspectionFilter{Lot: lots[0]}), inspections)
		equal(p.t, "inspections of the order", len(inspected(mes.InspectionFilter{Order: other.ID})), 1)
	})
}

func ids[T any](all []T, id func(T) string) []string {
	var out []string
	for _, x := range all {
		out = append(out, id(x))
	}
	return out
}

func TestMasterDataAreListedByNumber(t *testing.T) {
	each(t, func(p *plant) {
		for _, n := range []string{"A_1", "A_2", "AB1", "A%", "a%", "Ä1", "Ä2"} {
			p.apply(mes.MaterialChangedKind, mes.Material{Number: n, BaseUnit: "PCE"})
		}
		p.apply(mes.UnitChangedKind, mes.Unit{Code: "GRO", Dimension: "count", Numerator: d("144"), Denominator: d("1")})
		materials := func(prefix string) []string {
			return ids(pages(p, func(ctx context.Context, tx *store.Tx, page mes.Page) (mes.List[mes.Material], error) {
				return p.Materials(ctx, tx, prefix, page)
			}), func(m mes.Material) string { return m.Number })
		}
		all := materials("")
		if len(all) != 13 || !slices.IsSorted(all) {
			p.t.Errorf("got %q, want all 13, sorted", all)
		}
		equal(p.t, "by prefix with a wildcard's character", materials("A_"), []string{"A_1", "A_2"})
		equal(p.t, "by prefix with a percent sign", materials("A%"), []string{"A%"})
		equal(p.t, "by prefix with more bytes than letters", materials("Ä"), []string{"Ä1", "Ä2"})

		count := map[string]int{
			"work centres": len(see(p, func(ctx context.Context, tx *store.Tx) (mes.List[mes.WorkCentre], error) {
				return p.WorkCentres(ctx, tx, "M", mes.Page{Limit: 1000})
			}).Items),
		}
		equal(p.t, "the other kinds", count, map[string]int{"work centres": 1})
	})
}

func TestACursorOfAnotherListIsRefused(t *testing.T) {
	each(t, func(p *plant) {
		for range 2 {
			p.release()
		}
		orders := see(p, func(ctx context.Context, tx *store.Tx) (mes.List[mes.Order], error) {
			return p.Orders(ctx, tx, mes.OrderFilter{}, mes.Page{Limit: 1})
		})
		for _, cursor := range []string{"?", "bm8", orders.Next + "x", orders.Next} {
			err := p.db.View(p.t.Context(), func(tx *store.Tx) error {
				_, err := p.Lots(p.t.Context(), tx, mes.LotFilter{}, mes.Page{Cursor: cursor})
				return err
			})
			refused(p.t, err, problem.Invalid, "the cursor is not one that this list has given")
		}
	})
}

// TestNamesThatNoDatabaseKeeps are names of nothing: a database would answer with an error of its own.
func TestNamesThatNoDatabaseKeeps(t *testing.T) {
	each(t, func(p *plant) {
		p.release()
		for _, name := range []string{"a\x00b", "\xff"} {
			found := see(p, func(ctx context.Context, tx *store.Tx) (int, error) {
				byNumber, err := p.Orders(ctx, tx, mes.OrderFilter{Number: name}, mes.Page{})
				if err != nil {
					return 0, err
				}
				byCentre, err := p.Orders(ctx, tx, mes.OrderFilter{WorkCentre: name}, mes.Page{})
				if err != nil {
					return 0, err
				}
				byPrefix, err := p.Materials(ctx, tx, name, mes.Page{})
				if err != nil {
					return 0, err
				}
				byBatch, err := p.Stock(ctx, tx, "BOLT", name)
				return len(byNumber.Items) + len(byCentre.Items) + len(byPrefix.Items) + len(byBatch), err
			})
			if found != 0 {
				p.t.Errorf("got %d things named %q, want none", found, name)
			}
			for _, read := range []func(ctx context.Context, tx *store.Tx, name string) error{
				func(ctx context.Context, tx *store.Tx, name string) error {
					_, err := p.Order(ctx, tx, name)
					return err
				},
				func(ctx context.Context, tx *store.Tx, name string) error {
					_, err := p.BOM(ctx, tx, name, "")
					return err
				},
			} {
				err := p.db.View(p.t.Context(), func(tx *store.Tx) error { return read(p.t.Context(), tx, name) })
				refused(p.t, err, problem.NotFound, "")
			}
			_, err := do(p, p.CreateLot, mes.NewLot{Material: "CAST", Number: name})
			refused(p.t, err, problem.Invalid, "/number has a control character")
		}
	})
}
