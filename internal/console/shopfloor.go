package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"holdfast/internal/access"
	"holdfast/internal/decimal"
	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// floorView is the dispatch list of a work centre.
type floorView struct {
	WorkCentre string
	Centres    []mes.WorkCentre
	Orders     []mes.Order
	Next       string
	Away       away
}

// away says on every page of the shop floor whether the ERP is there.
type away struct {
	Is     bool
	Half   bool // only its polls fail: whether it takes reports nobody knows while none is owed
	Link   string
	Since  time.Time
	Queued int64
}

// orderView is one order with the forms of its work.
type orderView struct {
	mes.Order
	Started, Open bool
	Away          away
	Told          told // what the ERP was told of it
	Operations    []mes.Operation
	Components    []mes.Component
	Confirmations []mes.Confirmation
	Altered       []string // confirmations that cannot be opened
	Movements     []mes.Movement
}

// told counts what was reported of an order.
type told struct{ Delivered, Waiting int64 }

// awayNow tells whether a link is not up: of several one that is down before one that is half up, and the one that has been so the longest.
func (c *Console) awayNow(ctx context.Context) (a away, err error) {
	links, _, err := c.board.links.get(ctx)
	if err != nil {
		return away{}, err
	}
	in, _, err := c.board.inbox.get(ctx)
	if err != nil {
		return away{}, err
	}
	for _, k := range c.cfg.Links { // one over which nothing was sent yet may have polls
		if !slices.ContainsFunc(links, func(l outbox.Link) bool { return l.Name == k.Name }) {
			links = append(slices.Clip(links), outbox.Link{Name: k.Name, Breaker: "closed"})
		}
	}
	for _, l := range links {
		state, _, since := Stand(l, in.Feeds)
		half := state == Degraded
		ours := slices.ContainsFunc(c.cfg.Links, func(k Link) bool { return k.Name == l.Name })
		if !ours || state != Down && state != Paused && !half {
			continue // one that has left the configuration says nothing of the ERP
		}
		if !a.Is || a.Half && !half || a.Half == half && since.Before(a.Since) {
			a = away{Is: true, Half: half, Link: l.Name, Since: since, Queued: l.Owed}
		}
	}
	return a, nil
}

// shopfloor answers GET /console/shopfloor. What a scanner reads is the number of an order, and leads to its page.
func (c *Console) shopfloor(r *http.Request) (*page, error) {
	ctx, q := r.Context(), r.URL.Query()
	v := floorView{WorkCentre: q.Get("centre")}
	if scan := strings.TrimSpace(q.Get("scan")); scan != "" {
		return c.scanned(ctx, scan)
	}
	var err error
	if v.Away, err = c.awayNow(ctx); err != nil {
		return nil, err
	}
	err = c.view(ctx, func(tx *store.Tx) error {
		centres, err := c.Plant.WorkCentres(ctx, tx, "", mes.Page{Limit: 200})
		if err != nil {
			return err
		}
		v.Centres = centres.Items
		f := mes.OrderFilter{Status: []mes.Status{mes.Released, mes.Started, mes.PartlyConfirmed}, WorkCentre: v.WorkCentre}
		list, err := c.Plant.Orders(ctx, tx, f, mes.Page{Cursor: q.Get("after"), Limit: perPage / 2})
		v.Orders = list.Items
		if list.Next != "" {
			v.Next = Root + "shopfloor?" + url.Values{"centre": {v.WorkCentre}, "after": {list.Next}}.Encode()
		}
		return err
	})
	return &page{name: "shopfloor", Title: "Shop floor", Section: "Shop floor", Live: true, Floor: true, Body: v}, err
}

// scanned leads to the order that a label names.
func (c *Console) scanned(ctx context.Context, scan string) (*page, error) {
	var o mes.Order
	err := c.view(ctx, func(tx *store.Tx) (err error) {
		if o, err = c.Plant.OrderByNumber(ctx, tx, scan); problem.KindOf(err) == problem.NotFound {
			o, err = c.Plant.Order(ctx, tx, scan)
		}
		return err
	})
	if problem.KindOf(err) == problem.NotFound {
		err = &problem.Error{Kind: problem.NotFound, What: "find order " + scan, Why: "the plant has no order of this number", Hint: "scan the order's own label, or look for it in the list"}
	}
	return &page{to: Root + "shopfloor/" + o.ID}, err
}

// order answers GET /console/shopfloor/{order}.
func (c *Console) order(r *http.Request) (*page, error) {
	v, err := c.orderView(r.Context(), r.PathValue("order"))
	if err != nil {
		return nil, err
	}
	return orderPage(v), nil
}

func orderPage(v orderView) *page {
	return &page{name: "order", Title: "Order " + v.Number, Section: "Shop floor", Live: true, Floor: true, Body: v}
}

func (c *Console) orderView(ctx context.Context, id string) (v orderView, err error) {
	if v.Away, err = c.awayNow(ctx); err != nil {
		return v, err
	}
	err = c.view(ctx, func(tx *store.Tx) error {
		if v.Order, err = c.Plant.Order(ctx, tx, id); err != nil {
			return err
		}
		confirmations, err := c.Plant.Confirmations(ctx, tx, mes.ConfirmationFilter{Order: id}, mes.Page{Limit: perPage})
		if err != nil {
			return err
		}
		movements, err := c.Plant.Movements(ctx, tx, mes.MovementFilter{Order: id}, mes.Page{Limit: perPage})
		if err != nil {
			return err
		}
		v.Altered = confirmations.Altered
		v.Confirmations, v.Movements = confirmations.Items, movements.Items
		for _, l := range c.cfg.Links {
			lane, err := c.Outbox.Lane(ctx, tx, l.Name, id)
			if err != nil && problem.KindOf(err) != problem.NotFound {
				return err
			}
			v.Told.Waiting += lane.Owed
			v.Told.Delivered += max(0, lane.Next-1-lane.Owed)
		}
		return nil
	})
	if err == nil {
		err = c.Plant.TellAltered(ctx, c.DB, "confirmation", v.Altered)
	}
	v.Started = v.Status == mes.Started || v.Status == mes.PartlyConfirmed
	v.Open = v.Started || v.Status == mes.Released
	for _, o := range v.Order.Operations {
		if o.Status != mes.OperationClosed && o.Control != mes.ControlNone {
			v.Operations = append(v.Operations, o)
		}
	}
	for _, k := range v.Order.Components {
		if !k.Backflush {
			v.Components = append(v.Components, k)
		}
	}
	return v, err
}

// orderActs are what is reported of an order: its action, and what it does within tx. id is that of the event.
func (c *Console) orderActs(r *http.Request, order, id, by string) map[string]orderAct {
	act := mes.OrderAct{ID: id, Order: order, By: by, Reason: r.PostFormValue("reason")}
	return map[string]orderAct{
		"start": {access.OrderStart, func(ctx context.Context, tx *store.Tx) error { _, err := c.Plant.StartOrder(ctx, tx, act); return err }},
		"complete": {access.OrderComplete, func(ctx context.Context, tx *store.Tx) error {
			_, err := c.Plant.CompleteOrder(ctx, tx, act)
			return err
		}},
		"confirm": {access.ConfirmationCreate, func(ctx context.Context, tx *store.Tx) error {
			n, err := confirmationOf(r, order, id, by)
			if err == nil {
				_, err = c.Plant.Confirm(ctx, tx, n)
			}
			return err
		}},
		"consume": {access.MovementCreate, func(ctx context.Context, tx *store.Tx) error {
			n, err := movementOf(r, order, id, by)
			if err == nil {
				_, err = c.Plant.IssueGoods(ctx, tx, n)
			}
			return err
		}},
		"receive": {access.MovementCreate, func(ctx context.Context, tx *store.Tx) error {
			n, err := movementOf(r, order, id, by)
			if err == nil {
				_, err = c.Plant.ReceiveGoods(ctx, tx, n)
			}
			return err
		}},
	}
}

type orderAct struct {
	action string
	do     func(ctx context.Context, tx *store.Tx) error
}

// actOnOrder answers POST /console/shopfloor/{order}/{act}.
func (c *Console) actOnOrder(r *http.Request) (*page, error) {
	id := r.PathValue("order")
	event := r.PostFormValue("key") // the form's own: sent twice, it is the same event
	if _, err := uuid.Parse(event); err != nil {
		return nil, &problem.Error{Kind: problem.Invalid, What: "report work", Why: "the form has no key", Hint: "open the order again and send the form from there"}
	}
	by, err := c.veiled(r.Context(), actorOf(r.Context()).Name)
	if err != nil {
		return nil, err
	}
	a, err := choose(c.orderActs(r, id, event, by), r.PathValue("act"))
	if err != nil {
		return nil, err
	}
	err = c.act(r, deed{a.action, "order/" + id, ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		before, err := c.Plant.Order(ctx, tx, id)
		if err == nil {
			err = a.do(ctx, tx)
		}
		if err != nil {
			return change{}, err
		}
		after, err := c.Plant.Order(ctx, tx, id)
		return change{object: reportObject(a.action, event), events: []string{event}, before: before, after: after}, err
	})
	c.board.forget()
	if err == nil {
		return &page{to: Root + "shopfloor/" + id + "?did=" + r.PathValue("act")}, nil
	}
	v, again := c.orderView(r.Context(), id)
	return c.again(r, orderPage(v), errOr(err, again))
}

// reportObject is the name of what a report has made, as the API has it; "" for what is done to the order itself.
func reportObject(action, event string) string {
	switch action {
	case access.ConfirmationCreate:
		return access.ConfirmationObject(event)
	case access.MovementCreate:
		return access.MovementObject(event)
	default:
		return ""
	}
}

// veiled is what the plant keeps of who did something, as if it came by the API.
func (c *Console) veiled(ctx context.Context, by string) (string, error) {
	if !c.Tokens.On() {
		return by, nil
	}
	text, err := json.Marshal(map[string]string{"by": by})
	if err == nil {
		text, err = c.Tokens.VeilAlone(ctx, c.DB, text)
	}
	var veiled struct {
		By string `json:"by"`
	}
	if err == nil {
		err = json.Unmarshal(text, &veiled)
	}
	if err != nil {
		return "", fmt.Errorf("report work: %w", err)
	}
	return veiled.By, nil
}

// confirmationOf reads the form of a confirmation.
func confirmationOf(r *http.Request, order, id, by string) (mes.NewConfirmation, error) {
	n := mes.NewConfirmation{
		ID: id, Order: order, Operation: r.PostFormValue("operation"), Reason: strings.TrimSpace(r.PostFormValue("code")), Personnel: by,
		Final: r.PostFormValue("final") == "yes",
	}
	var err error
	for _, f := range []struct {
		name string
		to   *decimal.Decimal
	}{{"yield", &n.Yield}, {"scrap", &n.Scrap}, {"rework", &n.Rework}} {
		if *f.to, err = quantity(r.PostFormValue(f.name)); err != nil {
			return n, err
		}
	}
	return n, nil
}

// movementOf reads the form of a goods movement of one material.
func movementOf(r *http.Request, order, id, by string) (mes.NewMovement, error) {
	q, err := quantity(r.PostFormValue("quantity"))
	item := mes.NewItem{Component: r.PostFormValue("component"), Batch: strings.TrimSpace(r.PostFormValue("batch")), Quantity: q}
	item.Serials = strings.FieldsFunc(r.PostFormValue("serials"), func(c rune) bool { return c == ',' || unicode.IsSpace(c) })
	return mes.NewMovement{ID: id, Order: order, By: by, Items: []mes.NewItem{item}}, err
}

// quantity reads a number as people write it, with a point or a comma before the fraction; nothing is 0.
func quantity(text string) (decimal.Decimal, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return decimal.Decimal{}, nil
	}
	if strings.Count(text, ",") == 1 && !strings.Contains(text, ".") {
		text = strings.Replace(text, ",", ".", 1)
	}
	d, err := decimal.Parse(text)
	if err != nil {
		return d, &problem.Error{Kind: problem.Invalid, What: "read the quantity " + text, Why: "it is not a number", Hint: "write 12 or 12.5", Cause: err}
	}
	return d, nil
}

// OpenOf tells what of a component is still to be issued, for the form.
func (v orderView) OpenOf(k mes.Component) string {
	left := k.Quantity.Sub(k.Withdrawn)
	if left.Sign() < 0 {
		return "0"
	}
	return left.String()
}

// Missing tells what is still to be made in the operation of the form; "" where somebody chooses among several, so that no number of another one stands
// there.
func (v orderView) Missing() string {
	if len(v.Operations) != 1 {
		return ""
	}
	op := v.Operations[0]
	left := v.Quantity.Sub(op.Yield).Sub(op.Scrap).Sub(op.Rework)
	if left.Sign() <= 0 {
		return ""
	}
	return left.String()
}

// IssueUnit is the unit of what is consumed: of several, that of the material which is chosen.
func (v orderView) IssueUnit() string {
	unit := ""
	for _, k := range v.Components {
		if unit != "" && k.Unit != unit {
			return "in the unit of the material"
		}
		unit = k.Unit
	}
	return unit
}

// Unreceived tells what was made and is not in stock.
func (v orderView) Unreceived() string {
	left := v.Yield.Sub(v.Received)
	if left.Sign() < 0 {
		return "0"
	}
	return left.String()
}

// Serves tells whether an operation of an order is done at the work centre of the list.
func (v floorView) Serves(o mes.Order) []mes.Operation {
	if v.WorkCentre == "" {
		return o.Operations
	}
	return slices.DeleteFunc(slices.Clone(o.Operations), func(op mes.Operation) bool { return op.WorkCentre != v.WorkCentre })
}
