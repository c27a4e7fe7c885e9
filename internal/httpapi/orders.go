package httpapi

import (
	"context"
	"strings"

	"github.com/google/uuid"

	"holdfast/internal/access"
	"holdfast/internal/mes"
	"holdfast/internal/store"
)

// newID is the ID of an act and of the event that tells of it. The caller's own counts first. Under an Idempotency-Key it follows from
// who does what to which object under which key (UUIDv5, RFC 9562), so that the plant, which forgets no ID, knows a repetition even
// when the key is forgotten. Else it is a UUIDv7, which sorts by time.
func newID(ctx context.Context, c call, given string) (string, error) {
	if given != "" {
		return given, nil
	}
	if c.key != "" {
		name := strings.Join([]string{"holdfast", actor(ctx).Name, c.action, c.object, c.key}, "\x00")
		return uuid.NewSHA1(uuid.NameSpaceOID, []byte(name)).String(), nil
	}
	id, err := uuid.NewV7()
	return id.String(), err
}

// ListOrders answers GET /v1/orders.
func (s *Server) ListOrders(ctx context.Context, r ListOrdersRequestObject) (ListOrdersResponseObject, error) {
	p := r.Params
	f := mes.OrderFilter{Status: p.Status, Material: p.Material, WorkCentre: p.WorkCentre, Number: p.Number}
	page := OrderPage{}
	var err error
	page.Items, page.NextCursor, err = list(ctx, s, p.Cursor, p.Limit, f, s.Plant.Orders)
	return ListOrders200JSONResponse(page), err
}

// list reads one page; an empty one is an empty list, not null.
func list[T, F any](
	ctx context.Context, s *Server, cursor string, n int, f F,
	read func(ctx context.Context, tx *store.Tx, f F, page mes.Page) (mes.List[T], error),
) ([]T, string, error) {
	from, err := cursorIn(cursor)
	if err != nil {
		return nil, "", err
	}
	var found mes.List[T]
	err = s.DB.View(ctx, func(tx *store.Tx) (err error) {
		found, err = read(ctx, tx, f, mes.Page{Cursor: from, Limit: limit(n)})
		return err
	})
	return append([]T{}, found.Items...), cursorOut(found.Next), err
}

// one reads one thing.
func one[T any](ctx context.Context, s *Server, id string, read func(ctx context.Context, tx *store.Tx, id string) (T, error)) (T, error) {
	var v T
	err := s.DB.View(ctx, func(tx *store.Tx) (err error) {
		v, err = read(ctx, tx, id)
		return err
	})
	return v, err
}

// GetOrder answers GET /v1/orders/{order}.
func (s *Server) GetOrder(ctx context.Context, r GetOrderRequestObject) (GetOrderResponseObject, error) {
	o, err := one(ctx, s, r.Order, s.Plant.Order)
	return GetOrder200JSONResponse{Body: o, Headers: GetOrder200ResponseHeaders{ETag: etag(o.Version)}}, err
}

// CreateOrder answers POST /v1/orders.
func (s *Server) CreateOrder(ctx context.Context, r CreateOrderRequestObject) (CreateOrderResponseObject, error) {
	cmd := *r.Body
	c := call{access.OrderCreate, "", "", r.Params.IdempotencyKey, r.Body}
	var err error
	if cmd.ID, err = newID(ctx, c, cmd.ID); err != nil {
		return nil, err
	}
	o, res, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[mes.Order], error) {
		o, err := s.Plant.CreateOrder(ctx, tx, cmd)
		return did[mes.Order]{value: o, object: "order/" + o.ID, events: []string{cmd.ID}}, err
	})
	if err != nil {
		return nil, err
	}
	erp, applied, err := s.told(ctx, res, r.Params.Prefer)
	return CreateOrder201JSONResponse{
		Body:    OrderAct{Order: o, ERP: erp},
		Headers: CreateOrder201ResponseHeaders{Location: "/v1/orders/" + o.ID, ETag: etag(o.Version), PreferenceApplied: applied},
	}, err
}

// ChangeOrder answers PATCH /v1/orders/{order}.
func (s *Server) ChangeOrder(ctx context.Context, r ChangeOrderRequestObject) (ChangeOrderResponseObject, error) {
	cmd := *r.Body
	cmd.Order = r.Order
	c := call{action: access.OrderChange, object: "order/" + r.Order, body: r.Body}
	o, _, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[mes.Order], error) {
		before, err := s.Plant.Order(ctx, tx, r.Order)
		if err != nil {
			return did[mes.Order]{}, err
		}
		if !matches(r.Params.IfMatch, before.Version) {
			return did[mes.Order]{}, stale("order " + before.Number)
		}
		cmd := cmd
		cmd.IfVersion = before.Version // whoever comes between the two is refused
		o, err := s.Plant.ChangeOrder(ctx, tx, cmd)
		return did[mes.Order]{value: o, before: before}, err
	})
	return ChangeOrder200JSONResponse{Body: o, Headers: ChangeOrder200ResponseHeaders{ETag: etag(o.Version)}}, err
}

// StartOrder answers POST /v1/orders/{order}/start.
func (s *Server) StartOrder(ctx context.Context, r StartOrderRequestObject) (StartOrderResponseObject, error) {
	c := call{access.OrderStart, "order/" + r.Order, r.Body.Reason, r.Params.IdempotencyKey, r.Body}
	body, applied, err := s.actOnOrder(ctx, c, *r.Body, r.Order, r.Params.Prefer, s.Plant.StartOrder)
	return StartOrder200JSONResponse{orderActed(body, applied)}, err
}

// CompleteOrder answers POST /v1/orders/{order}/complete.
func (s *Server) CompleteOrder(ctx context.Context, r CompleteOrderRequestObject) (CompleteOrderResponseObject, error) {
	c := call{access.OrderComplete, "order/" + r.Order, r.Body.Reason, r.Params.IdempotencyKey, r.Body}
	body, applied, err := s.actOnOrder(ctx, c, *r.Body, r.Order, r.Params.Prefer, s.Plant.CompleteOrder)
	return CompleteOrder200JSONResponse{orderActed(body, applied)}, err
}

func orderActed(body OrderAct, applied *string) OrderActedJSONResponse {
	return OrderActedJSONResponse{Body: body, Headers: OrderActedResponseHeaders{PreferenceApplied: applied}}
}

func (s *Server) actOnOrder(
	ctx context.Context, c call, cmd mes.OrderAct, order, prefer string,
	do func(ctx context.Context, tx *store.Tx, cmd mes.OrderAct) (mes.Order, error),
) (OrderAct, *string, error) {
	var err error
	if cmd.ID, err = newID(ctx, c, cmd.ID); err != nil {
		return OrderAct{}, nil, err
	}
	cmd.Order = order
	o, res, err := act(ctx, s, c, func(ctx context.Context, tx *store.Tx) (did[mes.Order], error) {
		before, err := s.Plant.Order(ctx, tx, order)
		if err != nil {
			return did[mes.Order]{}, err
		}
		o, err := do(ctx, tx, cmd)
		return did[mes.Order]{value: o, before: before, events: []string{cmd.ID}}, err
	})
	if err != nil {
		return OrderAct{}, nil, err
	}
	erp, applied, err := s.told(ctx, res, prefer)
	return OrderAct{Order: o, ERP: erp}, applied, err
}
