package httpapi

import (
	"context"
	"slices"

	"holdfast/internal/mes"
)

// ListOperations answers GET /v1/operations: the dispatch list.
func (s *Server) ListOperations(ctx context.Context, r ListOperationsRequestObject) (ListOperationsResponseObject, error) {
	p := r.Params
	wanted := p.Status
	if len(wanted) == 0 {
		wanted = []mes.OperationStatus{mes.OperationOpen, mes.OperationPartly}
	}
	f := mes.OrderFilter{WorkCentre: p.WorkCentre, Status: []mes.Status{mes.Released, mes.Started, mes.PartlyConfirmed}}
	orders, next, err := list(ctx, s, p.Cursor, p.Limit, f, s.Plant.Orders)
	page := OperationPage{Items: []DispatchItem{}, NextCursor: next}
	for _, o := range orders {
		for _, op := range o.Operations {
			if (p.WorkCentre == "" || op.WorkCentre == p.WorkCentre) && slices.Contains(wanted, op.Status) {
				page.Items = append(page.Items, dispatch(o, op))
			}
		}
	}
	return ListOperations200JSONResponse(page), err
}

func dispatch(o mes.Order, op mes.Operation) DispatchItem {
	return DispatchItem{
		Order: o.ID, Number: o.Number, Material: o.Material, Status: o.Status, Priority: o.Priority, Start: o.Start, End: o.End,
		Planned: o.Quantity, Unit: o.Unit, Operation: op,
	}
}
