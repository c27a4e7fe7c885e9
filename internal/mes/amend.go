package mes

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// event is the body of one kind of message to the ERP. Its names tell which object it is about: what the plant has booked under
// them is not for an amendment to change.
type event interface{ names() []name }

// name is one member that names an object.
type name struct{ pointer, value string }

// eventOf is an empty body of a kind; nil for one that the plant does not make.
func eventOf(kind string) event {
	switch kind {
	case OrderCreatedKind:
		return new(OrderCreated)
	case OrderStartedKind:
		return new(OrderStarted)
	case OrderCompletedKind:
		return new(OrderCompleted)
	case OperationConfirmedKind, ConfirmationReversedKind:
		return new(OperationConfirmed)
	case GoodsIssuedKind, GoodsReceivedKind, GoodsScrappedKind, GoodsReversedKind:
		return new(GoodsMoved)
	case LotCreatedKind:
		return new(LotCreated)
	case LotChangedKind:
		return new(LotChanged)
	case InspectionRecordedKind:
		return new(InspectionRecorded)
	default:
		return nil
	}
}

// Amends refuses now as an amendment of was, the message as it was written: a body that is not whole, that has a member which the
// plant's own event of this kind does not have, or that is about another object. What the values say is not judged here.
func Amends(ctx context.Context, now, was message.Message) error {
	body, old := eventOf(was.Kind), eventOf(was.Kind)
	if body == nil {
		return nil // not the plant's own: its mapping judges it
	}
	original, err := was.Read(ctx, maxDocument)
	if err == nil {
		err = json.Unmarshal(original, old)
	}
	if err != nil {
		return fmt.Errorf("read what %s %s was: %w", was.Kind, was.ID, err)
	}
	text, err := now.Read(ctx, maxDocument)
	if err != nil {
		return err
	}
	what := "amend message " + now.ID
	var ck checks
	if err := json.Unmarshal(text, body); err != nil {
		return notOfKind(what, was.Kind, err)
	}
	if err := ck.whole(text, body); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	ck.names(body.names(), old.names())
	if len(ck.fields) == 0 {
		d := json.NewDecoder(bytes.NewReader(text)) // an unknown member that is empty shows here only
		d.DisallowUnknownFields()
		if err := d.Decode(eventOf(was.Kind)); err != nil {
			return notOfKind(what, was.Kind, err)
		}
	}
	return amendable(ck.err(what))
}

// amendable says to a person what an amendment may change.
func amendable(err error) error {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		p.Hint = "take the old body and change its values only; what is about another object is booked in the plant, and this message discarded"
	}
	return err
}

// notOfKind refuses a body that cannot be read as one of its kind.
func notOfKind(what, kind string, err error) error {
	p := &problem.Error{Kind: problem.Invalid, What: what, Why: "the body is no " + kind + ": " + strings.TrimPrefix(err.Error(), "json: ")}
	if t, ok := errors.AsType[*json.UnmarshalTypeError](err); ok && t.Field != "" {
		p.Fields = []problem.Field{field("/"+strings.ReplaceAll(t.Field, ".", "/"), "is a "+t.Value)}
	}
	return amendable(p)
}

// whole notes each member of text that is twice there, or that body does not have, and each that body always has and text does not.
// Names are compared letter for letter: a mapping reads them so, though encoding/json does not.
func (c *checks) whole(text []byte, body event) error {
	canonical, err := json.Marshal(body)
	if err != nil {
		return err
	}
	given, err := c.tree(json.NewDecoder(bytes.NewReader(text)), "")
	if err != nil {
		return err
	}
	known, err := c.tree(json.NewDecoder(bytes.NewReader(canonical)), "")
	if err == nil {
		c.same(given, known, "")
	}
	return err
}

// tree reads one value, and notes members that are twice there.
func (c *checks) tree(d *json.Decoder, at string) (any, error) {
	d.UseNumber()
	t, err := d.Token()
	if err != nil || (t != json.Delim('{') && t != json.Delim('[')) {
		return t, err
	}
	members, items := map[string]any{}, []any{}
	for d.More() {
		if t == json.Delim('[') {
			x, err := c.tree(d, at+"/"+strconv.Itoa(len(items)))
			if err != nil {
				return nil, err
			}
			items = append(items, x)
			continue
		}
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		k, _ := key.(string)
		_, twice := members[k]
		c.that(!twice, member(at, k), "is there twice")
		if members[k], err = c.tree(d, member(at, k)); err != nil {
			return nil, err
		}
	}
	if _, err := d.Token(); err != nil || t == json.Delim('[') {
		return items, err
	}
	return members, nil
}

// member is the JSON Pointer to a member of what is at a pointer.
func member(at, key string) string {
	return at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// same notes where the members of two values are not the same. What is empty may be there or not.
func (c *checks) same(given, known any, at string) {
	switch known := known.(type) {
	case map[string]any:
		g, _ := given.(map[string]any)
		for _, k := range slices.Sorted(maps.Keys(g)) {
			_, ok := known[k]
			c.that(ok || empty(g[k]), member(at, k), "is not known here")
		}
		for _, k := range slices.Sorted(maps.Keys(known)) {
			if g[k] == nil && known[k] != nil {
				c.that(false, member(at, k), "is missing")
				continue
			}
			c.same(g[k], known[k], member(at, k))
		}
	case []any:
		g, _ := given.([]any)
		for i := range min(len(g), len(known)) {
			c.same(g[i], known[i], at+"/"+strconv.Itoa(i))
		}
	}
}

// empty tells whether a value says nothing.
func empty(v any) bool {
	switch v := v.(type) {
	case nil:
		return true
	case string:
		return v == ""
	case bool:
		return !v
	case json.Number:
		return v == "0"
	case []any:
		return len(v) == 0
	default:
		return false
	}
}

// names notes each name that is not what it was.
func (c *checks) names(now, was []name) {
	for i := range now {
		c.that(now[i] == was[i], now[i].pointer,
			fmt.Sprintf("is %s and was %s: an amendment is about the same object", cmp.Or(now[i].value, "left out"), cmp.Or(was[i].value, "left out")))
	}
}

func (p Place) names(more ...name) []name { return append([]name{{"/plant", p.Plant}}, more...) }

// names are those of an order; of none they are empty.
func (r *OrderRef) names() []name {
	if r == nil {
		r = &OrderRef{}
	}
	return []name{{"/order/id", r.ID}, {"/order/number", r.Number}, {"/order/plantNumber", r.PlantNumber}, {"/order/erpNumber", r.ERPNumber}}
}

func (b *OrderCreated) names() []name {
	ref := b.Order.ref()
	return b.Place.names(append(ref.names(), name{"/order/plant", b.Order.Plant}, name{"/order/origin", string(b.Order.Origin)})...)
}

func (b *OrderStarted) names() []name { return b.Place.names(b.Order.names()...) }

func (b *OrderCompleted) names() []name { return b.Place.names(b.Order.names()...) }

func (b *OperationConfirmed) names() []name {
	c := b.Confirmation
	return b.Place.names(append(b.Order.names(),
		name{"/confirmation/id", c.ID}, name{"/confirmation/order", c.Order}, name{"/confirmation/reverses", c.Reverses})...)
}

func (b *GoodsMoved) names() []name {
	m := b.Movement
	return b.Place.names(append(b.Order.names(), name{"/movement/id", m.ID}, name{"/movement/order", m.Order},
		name{"/movement/type", string(m.Type)}, name{"/movement/reverses", m.Reverses})...)
}

func (l Lot) names() []name {
	return []name{{"/lot/id", l.ID}, {"/lot/number", l.Number}, {"/lot/erpNumber", l.ERPNumber}, {"/lot/order", l.Order}, {"/lot/material", l.Material}}
}

func (b *LotCreated) names() []name {
	return b.Place.names(slices.Concat(b.Order.names(), b.Lot.names())...)
}

func (b *LotChanged) names() []name {
	return b.Place.names(slices.Concat(b.Order.names(), b.Lot.names())...)
}

func (b *InspectionRecorded) names() []name {
	i := b.Inspection
	return b.Place.names(append(b.Order.names(),
		name{"/inspection/id", i.ID}, name{"/inspection/order", i.Order}, name{"/inspection/lot", i.Lot}, name{"/inspection/batch", i.Batch})...)
}
