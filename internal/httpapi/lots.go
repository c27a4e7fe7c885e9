package httpapi

import (
	"context"

	"holdfast/internal/access"
	"holdfast/internal/mes"
	"holdfast/internal/store"
)

// ListLots answers GET /v1/lots.
func (s *Server) ListLots(ctx context.Context, r ListLotsRequestObject) (ListLotsResponseObject, error) {
	p := r.Params
	page := LotPage{}
	var err error
	f := mes.LotFilter{Material: p.Material, Number: p.Number, Order: p.Order, Status: p.Status}
	page.Items, page.NextCursor, err = list(ctx, s, p.Cursor, p.Limit, f, s.Plant.Lots)
	return ListLots200JSONResponse(page), err
}

// GetLot answers GET /v1/lots/{lot}.
func (s *Server) GetLot(ctx context.Context, r GetLotRequestObject) (GetLotResponseObject, error) {
	v, err := one(ctx, s, r.Lot, s.Plant.Lot)
	return GetLot200JSONResponse{Body: v, Headers: GetLot200ResponseHeaders{ETag: etag(v.Version)}}, err
}

// CreateLot answers POST /v1/lots.
func (s *Server) CreateLot(ctx context.Context, r CreateLotRequestObject) (CreateLotResponseObject, error) {
	cmd := *r.Body
	c := call{access.LotCreate, "", "", r.Params.IdempotencyKey, r.Body}
	var err error
	if cmd.ID, err = newID(ctx, c, cmd.ID); err != nil {
		return nil, err
	}
	v, err := report(ctx, s, c, access.LotObject, cmd.ID, r.Params.Prefer, func(ctx context.Context, tx *store.Tx) (mes.Lot, error) {
		return s.Plant.CreateLot(ctx, tx, cmd)
	})
	return CreateLot201JSONResponse{
		Body:    LotAct{Lot: v.value, ERP: v.erp},
		Headers: CreateLot201ResponseHeaders{Location: "/v1/lots/" + v.value.ID, ETag: etag(v.value.Version), PreferenceApplied: v.applied},
	}, err
}

// DecideLot answers POST /v1/lots/{lot}/decide.
func (s *Server) DecideLot(ctx context.Context, r DecideLotRequestObject) (DecideLotResponseObject, error) {
	cmd := *r.Body
	cmd.Lot = r.Lot
	asked := struct {
		Decision *mes.LotDecision
		IfMatch  string // who has seen another lot asks for something else
	}{r.Body, r.Params.IfMatch}
	c := call{access.LotDecide, access.LotObject(r.Lot), cmd.Reason, r.Params.IdempotencyKey, asked}
	var err error
	if cmd.ID, err = newID(ctx, c, cmd.ID); err != nil {
		return nil, err
	}
	l, res, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[mes.Lot], error) {
		before, err := s.Plant.Lot(ctx, tx, r.Lot)
		if err != nil {
			return did[mes.Lot]{}, err
		}
		if !matches(r.Params.IfMatch, before.Version) {
			return did[mes.Lot]{}, stale("lot " + before.Number)
		}
		cmd := cmd
		cmd.IfVersion = before.Version // whoever comes between the two is refused
		l, err := s.Plant.DecideLot(ctx, tx, cmd)
		return did[mes.Lot]{value: l, before: before, events: []string{cmd.ID}}, err
	})
	if err != nil {
		return nil, err
	}
	erp, applied, err := s.told(ctx, res, r.Params.Prefer)
	return DecideLot200JSONResponse{
		Body:    LotAct{Lot: l, ERP: erp},
		Headers: DecideLot200ResponseHeaders{ETag: etag(l.Version), PreferenceApplied: applied},
	}, err
}
