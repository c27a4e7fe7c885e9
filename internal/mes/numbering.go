package mes

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// numberingPoll is how long a number waits that no wake has told of: one brought by another process whose notification was lost,
// or one whose telling has failed.
const numberingPoll = 10 * time.Second

// Numbering tells the plant what the ERP calls the orders and lots that the plant made, as soon as a receipt has brought it.
//
// It does so in transactions of its own, since the one that settles a receipt holds the lane, which an act of the plant asks for
// while it holds the order. What a crash has left untold is told at the next start. Several may run on one database: the second
// finds the number known.
type Numbering struct {
	db    *store.DB
	plant *Plant
	out   *outbox.Outbox
	log   *slog.Logger
}

// NewNumbering returns a Numbering. It touches nothing; Run does the work.
func NewNumbering(db *store.DB, plant *Plant, out *outbox.Outbox, log *slog.Logger) *Numbering {
	return &Numbering{db, plant, out, log}
}

// Run tells numbers until ctx ends.
func (n *Numbering) Run(ctx context.Context) error {
	woken, done := n.db.Subscribe(outbox.Numbered)
	defer done()
	for {
		wake := woken
		if err := n.tellAll(ctx); err != nil && ctx.Err() == nil {
			n.log.WarnContext(ctx, "numbers of the ERP wait to be told to the plant", "err", err)
			wake = nil // a number more does not help: wait for the next poll
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-time.After(numberingPoll + rand.N(numberingPoll/10)):
		}
	}
}

// tellAll tells every number that is untold. One that fails keeps none of the others back.
func (n *Numbering) tellAll(ctx context.Context) error {
	const page = 200
	var failed []error
	var last outbox.Reference
	for {
		var refs []outbox.Reference
		err := n.db.View(ctx, func(tx *store.Tx) (err error) {
			refs, err = n.out.Untold(ctx, tx, last, page)
			return err
		})
		if err != nil {
			return errors.Join(append(failed, err)...)
		}
		for _, r := range refs {
			if err := n.tell(ctx, r); err != nil {
				failed = append(failed, fmt.Errorf("tell that link %s calls %s %s: %w", r.Link, r.Object, r.Number, err))
			}
			last = r
		}
		if len(refs) < page || ctx.Err() != nil {
			return errors.Join(failed...)
		}
	}
}

// tell tells one number, once. One that does not fit, or that takes the place of another, becomes a note on the object: the receipt
// stands, and a person must look.
func (n *Numbering) tell(ctx context.Context, r outbox.Reference) error {
	var conflict error
	err := n.db.InTx(ctx, func(tx *store.Tx) error {
		_, event, _ := cutObject(r.Object) // orders and lots are created by the event that has their ID
		called, err := n.out.Called(ctx, tx, r.Link, event)
		if err != nil {
			return err
		}
		conflict = n.plant.numbered(ctx, tx, r.Object, r.Number, called)
		switch {
		case conflict == nil:
		case problem.KindOf(conflict) == problem.Conflict:
			if err := n.plant.noteConflict(ctx, tx, r.Object, "link "+r.Link+": "+conflict.Error()+"; "+hintOf(conflict)); err != nil {
				return err
			}
		default:
			return conflict
		}
		return n.out.Told(ctx, tx, r)
	})
	if err == nil && conflict != nil {
		n.log.WarnContext(ctx, "the ERP's number of an object does not fit", "order", r.Object, "err", conflict)
	}
	return err
}

// hintOf is what a refusal advises.
func hintOf(err error) string {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Hint
	}
	return ""
}

// Numbered tells the plant that the ERP calls an object number: "order/ID" or "lot/ID", as the receipt of the message that created
// it says. Objects that the plant does not have are passed over. A number that does not fit is a Conflict, and nothing is changed:
// the object has another already, or the ERP has sent another order under it.
func (p *Plant) Numbered(ctx context.Context, tx *store.Tx, object, number string) error {
	return p.numbered(ctx, tx, object, number, nil)
}

// numbered is Numbered of a number that a link brought, whose receipts have called the object so, the latest first. A number of theirs
// that the object has gives way to the latest, which a replay has brought: that is a Conflict too, and the change is to be kept.
func (p *Plant) numbered(ctx context.Context, tx *store.Tx, object, number string, called []string) error {
	kind, id, _ := cutObject(object)
	var err error
	switch kind {
	case "order":
		err = p.numberOrder(ctx, tx, id, number, called)
	case "lot":
		err = p.numberLot(ctx, tx, id, number, called)
	}
	if problem.KindOf(err) == problem.NotFound {
		return nil
	}
	return err
}

func (p *Plant) numberOrder(ctx context.Context, tx *store.Tx, id, number string, called []string) error {
	if err := aloneWith(ctx, tx, number); err != nil {
		return err
	}
	o, err := lockOrder(ctx, tx, id)
	if err != nil {
		return err
	}
	what := "order " + o.Number
	if sameNumber(o.ERPNumber, number) {
		return alone(what, number, called)
	}
	twin, err := orderCalled(ctx, tx, number)
	if err != nil {
		return err
	}
	if twin != "" {
		return conflict("number "+number+" for "+what, "the ERP has sent it as an order of its own, which the plant keeps as "+twin,
			"both stand for one order of the ERP: report on one of them only", field("/erpNumber", "belongs to order "+twin))
	}
	if slices.Contains(called, o.ERPNumber) {
		o.ERPNumber = ""
	}
	if err := o.take(number); err != nil {
		return err
	}
	if err := p.saveOrder(ctx, tx, &o); err != nil {
		return err
	}
	return alone(what, number, called)
}

// alone refuses a number beside which receipts have brought another.
func alone(what, number string, called []string) error {
	i := slices.IndexFunc(called, func(other string) bool { return other != number })
	switch {
	case i < 0:
		return nil
	case called[0] != number:
		return fresh(what, number, called[0])
	}
	return conflict("number "+number+" for "+what, "the ERP called it "+called[i]+" before it was sent again",
		"messages go to "+number+" from now on: look in the ERP whether "+called[i]+" is still there, and cancel it then",
		field("/erpNumber", "is not the number known"))
}

// take gives an order that the plant made the ERP's number.
func (o *Order) take(number string) error {
	if sameNumber(o.ERPNumber, number) {
		return nil // it keeps the form by which people know it
	}
	if err := fresh("order "+o.Number, o.ERPNumber, number); err != nil {
		return err
	}
	o.ERPNumber, o.Number = number, number
	return nil
}

// filled is up to how many characters SAP fills the numbers of orders with zeros.
const filled = 12

// otherForm is a number as the ERP's other interface writes it: SAP's IDocs fill the number of an order with zeros, and its services leave them
// out. "" if there is no other form.
func otherForm(number string) string {
	switch bare := strings.TrimLeft(number, "0"); {
	case bare == "" || strings.Trim(bare, "0123456789") != "":
		return ""
	case len(number) == filled && bare != number:
		return bare
	case len(number) < filled && bare == number:
		return strings.Repeat("0", filled-len(number)) + number
	}
	return ""
}

// sameNumber tells whether two numbers of the ERP are one, in whichever form.
func sameNumber(a, b string) bool { return a != "" && (a == b || a == otherForm(b)) }

// fresh refuses a number other than the one known.
func fresh(what, known, number string) error {
	if known == "" || known == number {
		return nil
	}
	return conflict("number "+number+" for "+what, "the ERP calls it "+known+" already",
		"find out in the ERP which of the two is the plant's, and cancel the other", field("/erpNumber", "is not the number known"))
}

func (p *Plant) numberLot(ctx context.Context, tx *store.Tx, id, number string, called []string) error {
	l, err := lockLot(ctx, tx, id)
	if err != nil {
		return err
	}
	what := "lot " + l.Number
	if l.ERPNumber == number {
		return alone(what, number, called)
	}
	if !slices.Contains(called, l.ERPNumber) {
		if err := fresh(what, l.ERPNumber, number); err != nil {
			return err
		}
	}
	l.ERPNumber = number
	if err := p.saveLot(ctx, tx, &l); err != nil {
		return err
	}
	return alone(what, number, called)
}

// noteConflict notes on an order or a lot that a number does not fit, and lists it for a person to look at.
func (p *Plant) noteConflict(ctx context.Context, tx *store.Tx, object, text string) error {
	n := Note{At: p.now(tx), Code: NumberConflict, Text: text}
	kind, id, _ := cutObject(object)
	if err := keepConflict(ctx, tx, kind, id); err != nil {
		return err
	}
	if kind == "lot" {
		l, err := lockLot(ctx, tx, id)
		if err != nil {
			return err
		}
		l.Notes = noted(l.Notes, n)
		return p.saveLot(ctx, tx, &l)
	}
	o, err := lockOrder(ctx, tx, id)
	if err != nil {
		return err
	}
	o.Notes = noted(o.Notes, n)
	return p.saveOrder(ctx, tx, &o)
}
