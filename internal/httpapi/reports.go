package httpapi

import (
	"context"

	"holdfast/internal/access"
	"holdfast/internal/mes"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// reported is what a report of the shop floor brought about.
type reported[T any] struct {
	value   T
	erp     ERPState
	applied *string
}

// report does one act that makes a thing of its own, under the ID that its event has too.
func report[T any](
	ctx context.Context, s *Server, c call, object func(id string) string, id, prefer string, do func(ctx context.Context, tx *store.Tx) (T, error),
) (reported[T], error) {
	v, res, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[T], error) {
		v, err := do(ctx, tx)
		return did[T]{value: v, object: object(id), events: []string{id}}, err
	})
	if err != nil {
		return reported[T]{}, err
	}
	erp, applied, err := s.told(ctx, res, prefer)
	return reported[T]{v, erp, applied}, err
}

// ListConfirmations answers GET /v1/confirmations.
func (s *Server) ListConfirmations(ctx context.Context, r ListConfirmationsRequestObject) (ListConfirmationsResponseObject, error) {
	p := r.Params
	page := ConfirmationPage{}
	var err error
	f := mes.ConfirmationFilter{Order: p.Order, Operation: p.Operation}
	page.Items, page.NextCursor, err = list(ctx, s, p.Cursor, p.Limit, f, func(ctx context.Context, tx *store.Tx, f mes.ConfirmationFilter, on mes.Page) (mes.List[mes.Confirmation], error) {
		found, err := s.Plant.Confirmations(ctx, tx, f, on)
		page.Altered = found.Altered
		return found, err
	})
	if err == nil {
		err = s.Plant.TellAltered(ctx, s.DB, "confirmation", page.Altered)
	}
	return ListConfirmations200JSONResponse(page), err
}

// GetConfirmation answers GET /v1/confirmations/{confirmation}.
func (s *Server) GetConfirmation(ctx context.Context, r GetConfirmationRequestObject) (GetConfirmationResponseObject, error) {
	v, err := one(ctx, s, r.Confirmation, s.Plant.Confirmation)
	return GetConfirmation200JSONResponse(v), err
}

// CreateConfirmation answers POST /v1/confirmations.
func (s *Server) CreateConfirmation(ctx context.Context, r CreateConfirmationRequestObject) (CreateConfirmationResponseObject, error) {
	cmd := *r.Body
	c := call{access.ConfirmationCreate, "", "", r.Params.IdempotencyKey, r.Body}
	var err error
	if cmd.ID, err = newID(ctx, c, cmd.ID); err != nil {
		return nil, err
	}
	v, err := report(ctx, s, c, access.ConfirmationObject, cmd.ID, r.Params.Prefer, func(ctx context.Context, tx *store.Tx) (mes.Confirmation, error) {
		return s.Plant.Confirm(ctx, tx, cmd)
	})
	return CreateConfirmation201JSONResponse{
		Body:    ConfirmationAct{Confirmation: v.value, ERP: v.erp},
		Headers: CreateConfirmation201ResponseHeaders{Location: "/v1/confirmations/" + v.value.ID, PreferenceApplied: v.applied},
	}, err
}

// ReverseConfirmation answers POST /v1/confirmations/{confirmation}/reverse.
func (s *Server) ReverseConfirmation(ctx context.Context, r ReverseConfirmationRequestObject) (ReverseConfirmationResponseObject, error) {
	cmd, c, err := reversal(ctx, access.ConfirmationReverse, access.ConfirmationObject, r.Confirmation, r.Params.IdempotencyKey, r.Body)
	if err != nil {
		return nil, err
	}
	v, err := report(ctx, s, c, access.ConfirmationObject, cmd.ID, r.Params.Prefer, func(ctx context.Context, tx *store.Tx) (mes.Confirmation, error) {
		return s.Plant.ReverseConfirmation(ctx, tx, cmd)
	})
	return ReverseConfirmation201JSONResponse{
		Body:    ConfirmationAct{Confirmation: v.value, ERP: v.erp},
		Headers: ReverseConfirmation201ResponseHeaders{Location: "/v1/confirmations/" + v.value.ID, PreferenceApplied: v.applied},
	}, err
}

// reversal is the command that takes back the thing named in the path.
func reversal(ctx context.Context, action string, object func(id string) string, of, key string, body *mes.Reversal) (mes.Reversal, call, error) {
	cmd := *body
	cmd.Of = of
	c := call{action, object(of), body.Reason, key, body}
	var err error
	cmd.ID, err = newID(ctx, c, cmd.ID)
	return cmd, c, err
}

// ListMovements answers GET /v1/movements.
func (s *Server) ListMovements(ctx context.Context, r ListMovementsRequestObject) (ListMovementsResponseObject, error) {
	p := r.Params
	page := MovementPage{}
	var err error
	f := mes.MovementFilter{Order: p.Order, Material: p.Material, Batch: p.Batch}
	page.Items, page.NextCursor, err = list(ctx, s, p.Cursor, p.Limit, f, s.Plant.Movements)
	return ListMovements200JSONResponse(page), err
}

// GetMovement answers GET /v1/movements/{movement}.
func (s *Server) GetMovement(ctx context.Context, r GetMovementRequestObject) (GetMovementResponseObject, error) {
	v, err := one(ctx, s, r.Movement, s.Plant.Movement)
	return GetMovement200JSONResponse(v), err
}

// CreateMovement answers POST /v1/movements.
func (s *Server) CreateMovement(ctx context.Context, r CreateMovementRequestObject) (CreateMovementResponseObject, error) {
	b := r.Body
	c := call{access.MovementCreate, "", "", r.Params.IdempotencyKey, b}
	id, err := newID(ctx, c, b.ID)
	if err != nil {
		return nil, err
	}
	cmd := mes.NewMovement{
		ID: id, Order: b.Order, ByProduct: b.ByProduct, Items: b.Items, PostedAt: b.PostedAt, Reason: b.Reason, Text: b.Text, By: b.By,
	}
	move, err := s.mover(b.Type)
	if err != nil {
		return nil, err
	}
	v, err := report(ctx, s, c, access.MovementObject, id, r.Params.Prefer, func(ctx context.Context, tx *store.Tx) (mes.Movement, error) {
		return move(ctx, tx, cmd)
	})
	return CreateMovement201JSONResponse{
		Body:    MovementAct{Movement: v.value, ERP: v.erp},
		Headers: CreateMovement201ResponseHeaders{Location: "/v1/movements/" + v.value.ID, PreferenceApplied: v.applied},
	}, err
}

// mover is the operation of the plant for a type of movement.
func (s *Server) mover(t MovementCreateType) (func(ctx context.Context, tx *store.Tx, cmd mes.NewMovement) (mes.Movement, error), error) {
	switch t {
	case MovementCreateTypeIssue:
		return s.Plant.IssueGoods, nil
	case MovementCreateTypeReceipt:
		return s.Plant.ReceiveGoods, nil
	case MovementCreateTypeScrap:
		return s.Plant.ScrapGoods, nil
	default:
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "post a movement", Why: "there is no such type", Hint: "use issue, receipt or scrap",
			Fields: []problem.Field{{Pointer: "/type", Why: "is not known"}},
		}
	}
}

// ReverseMovement answers POST /v1/movements/{movement}/reverse.
func (s *Server) ReverseMovement(ctx context.Context, r ReverseMovementRequestObject) (ReverseMovementResponseObject, error) {
	cmd, c, err := reversal(ctx, access.MovementReverse, access.MovementObject, r.Movement, r.Params.IdempotencyKey, r.Body)
	if err != nil {
		return nil, err
	}
	v, err := report(ctx, s, c, access.MovementObject, cmd.ID, r.Params.Prefer, func(ctx context.Context, tx *store.Tx) (mes.Movement, error) {
		return s.Plant.ReverseMovement(ctx, tx, cmd)
	})
	return ReverseMovement201JSONResponse{
		Body:    MovementAct{Movement: v.value, ERP: v.erp},
		Headers: ReverseMovement201ResponseHeaders{Location: "/v1/movements/" + v.value.ID, PreferenceApplied: v.applied},
	}, err
}

// ListInspectionResults answers GET /v1/inspection-results.
func (s *Server) ListInspectionResults(ctx context.Context, r ListInspectionResultsRequestObject) (ListInspectionResultsResponseObject, error) {
	p := r.Params
	page := InspectionPage{}
	var err error
	f := mes.InspectionFilter{Order: p.Order, Lot: p.Lot}
	page.Items, page.NextCursor, err = list(ctx, s, p.Cursor, p.Limit, f, s.Plant.Inspections)
	return ListInspectionResults200JSONResponse(page), err
}

// GetInspectionResult answers GET /v1/inspection-results/{inspection}.
func (s *Server) GetInspectionResult(ctx context.Context, r GetInspectionResultRequestObject) (GetInspectionResultResponseObject, error) {
	v, err := one(ctx, s, r.Inspection, s.Plant.Inspection)
	return GetInspectionResult200JSONResponse(v), err
}

// CreateInspectionResult answers POST /v1/inspection-results.
func (s *Server) CreateInspectionResult(ctx context.Context, r CreateInspectionResultRequestObject) (CreateInspectionResultResponseObject, error) {
	cmd := *r.Body
	c := call{access.InspectionRecord, "", "", r.Params.IdempotencyKey, r.Body}
	var err error
	if cmd.ID, err = newID(ctx, c, cmd.ID); err != nil {
		return nil, err
	}
	v, err := report(ctx, s, c, access.InspectionObject, cmd.ID, r.Params.Prefer, func(ctx context.Context, tx *store.Tx) (mes.Inspection, error) {
		return s.Plant.RecordInspection(ctx, tx, cmd)
	})
	return CreateInspectionResult201JSONResponse{
		Body:    InspectionAct{Inspection: v.value, ERP: v.erp},
		Headers: CreateInspectionResult201ResponseHeaders{Location: "/v1/inspection-results/" + v.value.ID, PreferenceApplied: v.applied},
	}, err
}
