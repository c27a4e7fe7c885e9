package mes

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// maxDocument is how many bytes of what the ERP said are read at once.
const maxDocument = 8 << 20

// Apply takes in what the ERP said, after mapping. What is older than what the plant has is without effect, and so is the same
// again. A refusal is a *problem.Error: Invalid for a body that is wrong in itself, Conflict and NotFound for one that does not fit
// what the plant has done meanwhile.
func (p *Plant) Apply(ctx context.Context, tx *store.Tx, m message.Message) error {
	text, err := m.Read(ctx, maxDocument)
	if err != nil {
		return err
	}
	m.Body, m.Large = text, nil
	switch m.Kind {
	case OrderReleasedKind, OrderChangedKind, OrderCancelledKind, OrderClosedKind:
		return p.applyOrder(ctx, tx, m)
	case MaterialChangedKind:
		return applyMaster(ctx, tx, m, kindMaterial, func(x *Material) (master, bool) {
			return master{number: x.Number, document: x.Number, version: x.ERPVersion}, true
		})
	case UnitChangedKind:
		return applyMaster(ctx, tx, m, kindUnit, func(x *Unit) (master, bool) { return master{number: x.Code}, true })
	case WorkCentreChangedKind:
		return applyMaster(ctx, tx, m, kindWorkCentre, func(x *WorkCentre) (master, bool) {
			return master{number: x.Number, document: x.Number, version: x.ERPVersion}, p.here(&x.Plant)
		})
	case BOMChangedKind:
		return applyMaster(ctx, tx, m, kindBOM, func(x *BOM) (master, bool) {
			return master{number: x.Material, document: x.Number, version: x.ERPVersion, validFrom: x.ValidFrom}, p.here(&x.Plant)
		})
	case RoutingChangedKind:
		return applyMaster(ctx, tx, m, kindRouting, func(x *Routing) (master, bool) {
			return master{number: x.Material, document: x.Number, version: x.ERPVersion, validFrom: x.ValidFrom}, p.here(&x.Plant)
		})
	default:
		return &problem.Error{
			Kind: problem.Invalid, What: "message " + m.Kind + " from the ERP", Why: "the plant knows no such kind",
			Hint: "correct the mapping, or leave such messages out of the link",
		}
	}
}

// here tells whether something is for this plant, and says so where the ERP leaves it out.
func (p *Plant) here(plant *string) bool {
	*plant = cmp.Or(*plant, p.cfg.Number)
	return *plant == p.cfg.Number
}

// checked is what can tell whether it is right in itself.
type checked[T any] interface {
	*T
	check() error
}

// master says what the ERP's document is a copy of.
type master struct {
	number    string // what it is kept under: the object's own, or that of the material that it is for
	document  string // the ERP's number of it
	version   string // of the document, in the ERP
	validFrom string // a day; empty is from ever
}

// applyMaster keeps the plant's copy of one object. of says what it is, and whether it is for this plant at all: another plant's is
// without effect.
func applyMaster[T any, P checked[T]](ctx context.Context, tx *store.Tx, m message.Message, kind string, of func(P) (master, bool)) error {
	var doc T
	if err := decode(m, &doc); err != nil {
		return err
	}
	x, here := of(&doc)
	if err := P(&doc).check(); err != nil || !here {
		return err
	}
	return keepMaster(ctx, tx, kind, x, doc)
}

// decode reads a body strictly: a field that the plant does not know is a mistake of the mapping, not something to lose.
func decode(m message.Message, into any) error {
	d := json.NewDecoder(bytes.NewReader(m.Body))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	if err == nil && d.More() {
		err = fmt.Errorf("more follows the document")
	}
	if err != nil {
		return &problem.Error{
			Kind: problem.Invalid, What: "read " + m.Kind + " from the ERP", Why: strings.TrimPrefix(err.Error(), "json: "),
			Hint: "correct the mapping; the fields are those of the plant's own documents",
		}
	}
	return nil
}

// older tells whether version a of what comes before version b, see message.CompareVersions. An empty one is never older. Versions
// that cannot be compared are refused: to take the older for the newer would undo what the ERP said last.
func older(what, a, b string) (bool, error) {
	if a == "" || b == "" {
		return false, nil
	}
	n, err := message.CompareVersions(a, b)
	if err != nil {
		return false, &problem.Error{
			Kind: problem.Invalid, What: what + " by the ERP", Why: err.Error(), Hint: "have the ERP name one kind of version", Cause: err,
			Fields: []problem.Field{field("/erpVersion", "cannot be compared with the one before")},
		}
	}
	return n < 0, nil
}

// applyOrder takes in one of the four things that the ERP says of an order.
func (p *Plant) applyOrder(ctx context.Context, tx *store.Tx, m message.Message) error {
	var e ERPOrder
	if err := decode(m, &e); err != nil {
		return err
	}
	if err := e.check(p.cfg.Number); err != nil {
		return err
	}
	o, found, err := findOrder(ctx, tx, e.ERPNumber, e.ExternalID, m.Key)
	if err != nil {
		return err
	}
	if !found {
		return p.newFromERP(ctx, tx, m, e)
	}
	if late, err := older(m.Kind+" of order "+o.Number, e.ERPVersion, o.ERPVersion); err != nil || late {
		return err
	}
	was := o
	if err := o.take(e.ERPNumber); err != nil {
		return err
	}
	if err := p.hear(ctx, tx, m.Kind, &o, e); err != nil {
		return err
	}
	o.ERPVersion = cmp.Or(e.ERPVersion, o.ERPVersion)
	if o.Number == was.Number && o.ERPVersion == was.ERPVersion && o.Status == was.Status && o.ClosedByERP == was.ClosedByERP && samePlan(&o, &was) {
		return nil
	}
	if err := p.saveOrder(ctx, tx, &o); err != nil {
		return err
	}
	if err := keepWorkCentres(ctx, tx, &o); err != nil {
		return err
	}
	return p.refer(ctx, tx, m, &o)
}

// hear has the order follow what the ERP says anew, and keeps the ERP's word for the next time.
func (p *Plant) hear(ctx context.Context, tx *store.Tx, kind string, o *Order, e ERPOrder) error {
	word, err := readWord(ctx, tx, o.ID)
	if err != nil {
		return err
	}
	news := o.news(e, word)
	overruled := o.overruled(news, word, p.now(tx))
	if err := o.follow(ctx, tx, kind, news, p); err != nil {
		return err
	}
	if kind == OrderCancelledKind || kind == OrderClosedKind {
		return nil // of the plan it says nothing
	}
	for _, n := range overruled {
		o.Notes = noted(o.Notes, n)
	}
	return keepWord(ctx, tx, o.ID, word.with(e))
}

// follow does what the ERP says to an order that the plant has; of the plan, e has only what is new.
func (o *Order) follow(ctx context.Context, tx *store.Tx, kind string, e ERPOrder, p *Plant) error {
	switch kind {
	case OrderCancelledKind:
		return o.cancel(ctx, tx, p)
	case OrderClosedKind:
		if o.Status != Cancelled && o.Status != TechnicallyComplete {
			o.Status, o.CompletedAt = TechnicallyComplete, p.now(tx)
		}
		o.ClosedByERP = o.Status == TechnicallyComplete
		return nil
	default:
		newer, err := older(kind+" of order "+o.Number, o.ERPVersion, e.ERPVersion)
		if err != nil {
			return err
		}
		if newer {
			o.reopen()
		}
		return o.adopt(e, p.limits)
	}
}

// reopen undoes that the ERP closed or cancelled the order, which it does by sending a newer version that is neither. What the plant
// alone completed stays so: the ERP may not have heard of it.
func (o *Order) reopen() {
	if o.Status != Cancelled && !o.ClosedByERP {
		return
	}
	o.Status, o.CompletedAt, o.ClosedByERP = Released, time.Time{}, false
	o.settle()
}

// cancel withdraws an order. The ERP's word counts only while nothing is booked: what was made and used cannot be unmade by it.
func (o *Order) cancel(ctx context.Context, tx *store.Tx, p *Plant) error {
	if o.Status == Cancelled {
		return nil
	}
	what := "cancellation of order " + o.Number + " by the ERP"
	stands, err := anythingStands(ctx, tx, o.ID)
	switch {
	case err != nil:
		return err
	case stands:
		return conflict(what, "work on it is booked: something is confirmed, issued, received or scrapped",
			"reverse the confirmations and movements first and replay the message, or complete the order technically in the ERP")
	case o.Status == TechnicallyComplete:
		return conflict(what, "it is technically completed", "leave it completed in the ERP")
	}
	o.Status, o.CompletedAt = Cancelled, p.now(tx)
	return nil
}

// newFromERP makes the plant's copy of an order that it does not have. One that the ERP has withdrawn already is kept too, so that
// an older message which comes late finds it so.
func (p *Plant) newFromERP(ctx context.Context, tx *store.Tx, m message.Message, e ERPOrder) error {
	what := fmt.Sprintf("%s of order %s by the ERP", m.Kind, e.ERPNumber)
	if e.ExternalID != "" {
		return missing(what, "the ERP says that the plant made it as "+e.ExternalID+", and the plant has no such order",
			"find out in the ERP where the order comes from", field("/externalId", "is no order of the plant"))
	}
	if e.Material == "" || e.Quantity == nil {
		return missing(what, "the plant does not have the order", "have the ERP send it in full: order.released")
	}
	now := p.now(tx)
	o := Order{
		ID: p.orderID(m.Key, e.ERPNumber), Number: e.ERPNumber, ERPNumber: e.ERPNumber, Origin: FromERP, Plant: p.cfg.Number,
		OverDelivery: p.cfg.OverDelivery, Status: Released, Version: 1, ERPVersion: e.ERPVersion, CreatedAt: now, ChangedAt: now,
	}
	if err := o.adopt(e, p.limits); err != nil {
		return err
	}
	if err := o.complain(what); err != nil {
		return err
	}
	if m.Kind == OrderCancelledKind || m.Kind == OrderClosedKind {
		if err := o.follow(ctx, tx, m.Kind, e, p); err != nil {
			return err
		}
	}
	if err := insertOrder(ctx, tx, &o); err != nil {
		return err
	}
	if err := keepWord(ctx, tx, o.ID, e); err != nil {
		return err
	}
	return p.refer(ctx, tx, m, &o)
}

// orderID is the plant's own ID of an order that the ERP made: the message's key, where that is one, so that what comes in about
// the order and what goes out have one key; else one that follows from the ERP's number. Either is the same at each replay.
func (p *Plant) orderID(key, number string) string {
	if u, err := uuid.Parse(key); err == nil && u.String() == key {
		return key
	}
	return p.derive("order", number)
}

// refer tells the link's references what the ERP calls the order.
func (p *Plant) refer(ctx context.Context, tx *store.Tx, m message.Message, o *Order) error {
	if p.cfg.References == nil || m.Link == "" {
		return nil
	}
	if err := p.cfg.References.SetReference(ctx, tx, m.Link, "order/"+o.ID, o.ERPNumber); err != nil {
		return fmt.Errorf("keep the reference of order %s: %w", o.Number, err)
	}
	return nil
}

// complain refuses a new order that lacks what an order needs.
func (o *Order) complain(what string) error {
	var ck checks
	ck.named(o.Material, "/material")
	ck.named(o.Unit, "/unit")
	ck.that(!o.Start.IsZero(), "/start", "is missing")
	ck.that(!o.End.IsZero(), "/end", "is missing")
	return ck.err(what)
}
