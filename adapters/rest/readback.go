package rest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// Reads names the operations by which a comparison reads back what the ERP has. What is left out is not compared.
type Reads struct {
	Order         *Read `yaml:"order,omitempty"`         // one production order, by the ERP's number
	InWork        *Read `yaml:"in_work,omitempty"`       // the orders of the plant that are in work in the ERP
	Confirmations *Read `yaml:"confirmations,omitempty"` // of one order
	Movements     *Read `yaml:"movements,omitempty"`     // goods movements of one order
}

// Read is an operation that reads documents and changes nothing.
type Read struct {
	Operation string            `yaml:"operation"`           // a GET
	Param     string            `yaml:"param,omitempty"`     // takes the ERP's number of the order; none for in_work
	Params    map[string]string `yaml:"params,omitempty"`    // the others, sent as they are
	Items     string            `yaml:"items,omitempty"`     // JSON pointer, in the answer, to the list; empty where the answer is the document
	Page      string            `yaml:"page,omitempty"`      // the parameter that takes the cursor of the next page
	NextPage  string            `yaml:"next_page,omitempty"` // JSON pointer, in the answer, to that cursor; there only if more follows
	// Fields are JSON pointers, in a document, to what is compared, by the names that docs/rest-link.md lists.
	Fields map[string]string `yaml:"fields"`
	// Completed and Deleted are the values of the field status that mean it: an order that takes no reports any more, and one that is gone.
	Completed []string `yaml:"completed,omitempty"`
	Deleted   []string `yaml:"deleted,omitempty"`
}

// mostReadPages bounds the pages of one question: an ERP whose last page names a next one would never end.
const mostReadPages = 10_000

// readFields are the names that Fields may have, and which of them it must.
type readFields struct{ must, may []string }

var (
	orderFields    = readFields{[]string{"number", "material", "quantity", "unit"}, []string{"plant_number", "yield", "received", "status"}}
	confirmFields  = readFields{[]string{"number", "order", "yield", "unit"}, []string{"message", "operation", "scrap", "rework", "posted", "reversed", "reverses"}}
	movementFields = readFields{[]string{"number", "order", "lines", "movement", "material", "quantity", "unit"}, []string{"message", "batch", "posted", "reversed", "reverses"}}
)

// checkReads holds what the configuration reads back against the contract.
func (l *Link) checkReads() error {
	r := l.cfg.Reads
	if r.Order == nil && (r.InWork != nil || r.Confirmations != nil || r.Movements != nil) {
		return wrong("reads.order", "it is missing", "name how one order is read: what the ERP has is compared order by order")
	}
	return errors.Join(l.checkReadback("reads.order", r.Order, orderFields, true), l.checkReadback("reads.in_work", r.InWork, orderFields, false),
		l.checkReadback("reads.confirmations", r.Confirmations, confirmFields, true), l.checkReadback("reads.movements", r.Movements, movementFields, true))
}

func (l *Link) checkReadback(key string, r *Read, f readFields, byOrder bool) error {
	if r == nil {
		return nil
	}
	if byOrder != (r.Param != "") {
		return wrong(key+".param", "it names the parameter that takes the number of an order, where one order is asked for", "give it, but not for in_work")
	}
	if (r.Page == "") != (r.NextPage == "") {
		return wrong(key, "page and next_page go together", "give both or neither")
	}
	params := maps.Clone(r.Params)
	if params == nil {
		params = map[string]string{}
	}
	for _, name := range []string{r.Param, r.Page} {
		if name != "" {
			params[name] = ""
		}
	}
	if err := l.checkRead(key, r.Operation, params); err != nil {
		return err
	}
	if !isPointer(r.Items) || !isPointer(r.NextPage) {
		return wrong(key, "items or next_page is no JSON pointer", "for example /items")
	}
	return f.check(key+".fields", r.Fields)
}

func (f readFields) check(key string, fields map[string]string) error {
	for _, name := range f.must {
		if fields[name] == "" {
			return wrong(key+"."+name, "it is missing", "the JSON pointer to it in a document")
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(f.must, name) && !slices.Contains(f.may, name) {
			return wrong(key+"."+name, "nothing of this name is compared", "one of "+strings.Join(slices.Concat(f.must, f.may), ", "))
		}
		if !isPointer(fields[name]) {
			return wrong(key+"."+name, "it is no JSON pointer", "for example /number")
		}
	}
	return nil
}

// Reader reads back what the ERP has.
type Reader struct{ link *Link }

// Reader is the reading side of the link.
func (l *Link) Reader() Reader { return Reader{l} }

// Reads is what can be read back; nothing where the configuration names no operations for it.
func (b Reader) Reads() message.Reads {
	r := b.link.cfg.Reads
	return message.Reads{Orders: r.Order != nil, InWork: r.InWork != nil, Confirmations: r.Confirmations != nil, Movements: r.Movements != nil}
}

// Orders calls each for the production orders of these numbers, those that the ERP does not have left out; without numbers for those of the plant
// that are in work there. One request asks for one order.
func (b Reader) Orders(ctx context.Context, numbers []string, each func(message.OrderRead) error) error {
	l := b.link
	if len(numbers) == 0 {
		return l.readBack(ctx, l.cfg.Reads.InWork, "", func(item any) error {
			if o := l.cfg.Reads.InWork.order(item); !o.Completed && !o.Deleted {
				return each(o)
			}
			return nil
		})
	}
	r := l.cfg.Reads.Order
	for _, n := range numbers {
		err := l.readBack(ctx, r, n, func(item any) error {
			o := r.order(item)
			if o.Number != n {
				return r.otherOrder(n, o.Number)
			}
			return each(o)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Documents calls each for the confirmations and the goods movements of these orders. One request asks for those of one order.
func (b Reader) Documents(ctx context.Context, orders []string, each func(message.DocumentRead) error) error {
	l := b.link
	for _, n := range orders {
		for _, kind := range []struct {
			r    *Read
			read func(*Read, any) message.DocumentRead
		}{{l.cfg.Reads.Confirmations, (*Read).confirmation}, {l.cfg.Reads.Movements, (*Read).movement}} {
			err := l.readBack(ctx, kind.r, n, func(item any) error {
				d := kind.read(kind.r, item)
				if d.Order != n {
					return kind.r.otherOrder(n, d.Order)
				}
				return each(d)
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// otherOrder is said of an ERP that ignores the parameter by which it is asked for one order: what it gives proves nothing.
func (r *Read) otherOrder(asked, got string) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "read back order " + asked + " by " + r.Operation,
		Why:  fmt.Sprintf("the ERP gave what is of order %q: it does not select by %s", got, r.Param),
		Hint: "correct param or fields of the link's reads",
	}
}

// readBack calls each for every document that an operation gives, page by page. Nothing is read where r is nil.
func (l *Link) readBack(ctx context.Context, r *Read, order string, each func(item any) error) error {
	if r == nil {
		return nil
	}
	cursor := ""
	for range mostReadPages {
		body, there, err := l.readPage(ctx, r, order, cursor)
		if err != nil || !there {
			return err
		}
		items := []any{body}
		if r.Items != "" {
			list, _ := contract.Lookup(body, r.Items)
			var ok bool
			if items, ok = list.([]any); !ok {
				return notReadBack(r, "the answer has no list at "+r.Items, "correct items of the link's reads")
			}
		}
		for _, item := range items {
			if err := each(item); err != nil {
				return err
			}
		}
		next, _ := optional(body, r.NextPage)
		if next == "" {
			return nil
		}
		if next == cursor {
			break
		}
		cursor = next
	}
	return notReadBack(r, "its pages have no end", "correct page and next_page of the link's reads")
}

// readPage reads one page of an operation; there is false where the ERP says that it has no such order.
func (l *Link) readPage(ctx context.Context, r *Read, order, cursor string) (body any, there bool, err error) {
	found, _ := l.doc.Operation(r.Operation)
	op := l.operation(found)
	params := map[string]string{}
	maps.Copy(params, r.Params)
	for name, v := range map[string]string{r.Param: order, r.Page: cursor} {
		if name != "" && v != "" {
			params[name] = v
		}
	}
	what := strings.TrimSpace("read back " + order + " by " + op.ID)
	req, wrong := l.place(op, params, nil, nil)
	if len(wrong) > 0 {
		return nil, false, violated(what, wrong)
	}
	a, err := l.read(ctx, op, req)
	if err == nil {
		err = l.unproven(a)
	}
	if err != nil {
		return nil, false, err
	}
	if p, _ := op.param(r.Param); a.Status == http.StatusNotFound && p != nil && p.In == "path" {
		_, err := notThere(op, what, a)
		return nil, false, err
	}
	if a.Status != http.StatusOK {
		return nil, false, l.said(op, what, a)
	}
	if body, wrong = op.CheckResponse(a.Status, a.Header, a.Body); len(wrong) > 0 {
		e := violated(what, wrong)
		e.Hint = "correct the contract, or the ERP; until then it is not compared"
		return nil, false, e
	}
	return body, true, nil
}

func notReadBack(r *Read, why, hint string) error {
	return &problem.Error{Kind: problem.Unavailable, What: "read back by " + r.Operation, Why: why, Hint: hint}
}

// field is what a document says under a name of Fields, "" for nothing.
func (r *Read) field(item any, name string) string {
	s, _ := optional(item, r.Fields[name])
	return s
}

func (r *Read) order(item any) message.OrderRead {
	status := r.field(item, "status")
	o := message.OrderRead{
		Number: r.field(item, "number"), PlantNumber: r.field(item, "plant_number"), Material: r.field(item, "material"),
		Quantity: r.field(item, "quantity"), Yield: r.field(item, "yield"), Received: r.field(item, "received"), Unit: r.field(item, "unit"),
		Completed: slices.Contains(r.Completed, status), Deleted: slices.Contains(r.Deleted, status),
	}
	o.Released = !o.Completed && !o.Deleted
	return o
}

func (r *Read) confirmation(item any) message.DocumentRead {
	d := r.document(item, "confirmation")
	d.Operation, d.Yield, d.Scrap, d.Rework = r.field(item, "operation"), r.field(item, "yield"), r.field(item, "scrap"), r.field(item, "rework")
	d.Unit = r.field(item, "unit")
	return d
}

func (r *Read) document(item any, kind string) message.DocumentRead {
	reversed := r.field(item, "reversed")
	d := message.DocumentRead{
		Number: r.field(item, "number"), Kind: kind, Order: r.field(item, "order"), Mark: r.field(item, "message"), Posted: r.field(item, "posted"),
		Reversed: reversed != "" && reversed != "false", Reverses: r.field(item, "reverses"),
	}
	if d.Reverses != "" {
		d.Kind = "reversal"
	}
	return d
}

// movement is a goods movement; an ERP has the type of movement in each line, or once for all.
func (r *Read) movement(item any) message.DocumentRead {
	d := r.document(item, "material document")
	list, _ := contract.Lookup(item, r.Fields["lines"])
	lines, _ := list.([]any)
	for _, line := range lines {
		kind := r.field(line, "movement")
		if kind == "" {
			kind = r.field(item, "movement")
		}
		d.Items = append(d.Items, message.ItemRead{
			Movement: kind, Material: r.field(line, "material"), Batch: r.field(line, "batch"), Quantity: r.field(line, "quantity"), Unit: r.field(line, "unit"),
		})
	}
	return d
}
