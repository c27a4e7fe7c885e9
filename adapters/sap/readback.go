package sap

import (
	"context"
	"slices"
	"strings"

	"holdfast/adapters/odata"
	"holdfast/internal/message"
)

// together is how many orders or materials are asked for in one request: an address has room for some 2,000 characters.
const together = 20

// readTogether is how many are asked for in one $batch.
const readTogether = 10 * together

// chunks calls read with the names, a few at a time; with none if there are none.
func chunks(names []string, read func(some []any) error) error {
	if len(names) == 0 {
		return read(nil)
	}
	for some := range slices.Chunk(names, together) {
		values := make([]any, 0, len(some))
		for _, n := range some {
			values = append(values, n)
		}
		if err := read(values); err != nil {
			return err
		}
	}
	return nil
}

// Reads is what can be read back: everything that is compared.
func (l *Link) Reads() message.Reads {
	return message.Reads{Orders: true, InWork: true, Confirmations: true, Movements: true}
}

// Orders calls each for the production orders of these numbers, those that SAP does not have left out; without numbers for those of the plant that
// are in work: released, and neither completed nor marked for deletion. These come without components.
func (l *Link) Orders(ctx context.Context, numbers []string, each func(message.OrderRead) error) error {
	c, err := l.Service(Orders)
	if err != nil {
		return err
	}
	m, err := c.Model(ctx)
	if err != nil {
		return err
	}
	q := odata.Query{Set: "A_ProductionOrder_2", OrderBy: []odata.Order{{Field: "ManufacturingOrder"}}}
	if len(numbers) == 0 {
		return l.inWork(ctx, c, q, each)
	}
	for _, link := range []string{"to_ProductionOrderComponent", "to_ProductionOrderItem"} { // older releases have less
		if set := m.Sets[q.Set]; set != nil {
			if _, ok := set.Of.Link(link); ok {
				q.Expand = append(q.Expand, link)
			}
		}
	}
	return chunks(numbers, func(some []any) error {
		q.Where = odata.AnyOf("ManufacturingOrder", some...)
		_, err := c.All(ctx, q, func(e odata.Entity) error { return each(orderOf(e)) })
		return err
	})
}

// inWork reads the orders of the plant that are in work. SAP leaves out what has ended, of which there is ever more.
func (l *Link) inWork(ctx context.Context, c *odata.Client, q odata.Query, each func(message.OrderRead) error) error {
	q.Where = odata.And(
		odata.Equal("ProductionPlant", l.plant), odata.Equal("OrderIsReleased", "X"),
		odata.NotEqual("OrderIsTechnicallyCompleted", "X"), odata.NotEqual("OrderIsMarkedForDeletion", "X"))
	_, err := c.All(ctx, q, func(e odata.Entity) error {
		if o := orderOf(e); !o.Completed && !o.Deleted {
			return each(o)
		}
		return nil
	})
	return err
}

// orderOf is an order as it is compared.
func orderOf(e odata.Entity) message.OrderRead {
	o := message.OrderRead{
		Number: text(e, "ManufacturingOrder"), PlantNumber: text(e, "UnloadingPointName"), Material: text(e, "Material"),
		Quantity: text(e, "TotalQuantity"), Yield: text(e, "MfgOrderConfirmedYieldQty"),
		Unit: text(e, "ProductionUnit"), UnitISO: text(e, "ProductionUnitISOCode"),
		Released: text(e, "OrderIsReleased") != "", Deleted: text(e, "OrderIsMarkedForDeletion") != "",
		Completed: text(e, "OrderIsTechnicallyCompleted") != "" || text(e, "OrderIsClosed") != "",
	}
	for _, i := range nested(e, "to_ProductionOrderItem") {
		if o.Received == "" || text(i, "ManufacturingOrderItem") == "0001" { // the others are co-products
			o.Received = text(i, "MfgOrderItemGoodsReceiptQty")
		}
	}
	for _, c := range nested(e, "to_ProductionOrderComponent") {
		o.Components = append(o.Components, message.ComponentRead{
			Item: text(c, "ReservationItem"), Material: text(c, "Material"), Required: text(c, "RequiredQuantity"),
			Withdrawn: text(c, "WithdrawnQuantity"), Unit: text(c, "BaseUnit"),
		})
	}
	return o
}

// Documents calls each for the confirmations and the material documents of these orders.
func (l *Link) Documents(ctx context.Context, orders []string, each func(message.DocumentRead) error) error {
	if len(orders) == 0 {
		return nil
	}
	if err := l.confirmations(ctx, orders, each); err != nil {
		return err
	}
	return l.movements(ctx, orders, each)
}

func (l *Link) confirmations(ctx context.Context, orders []string, each func(message.DocumentRead) error) error {
	c, err := l.Service(Confirmations)
	if err != nil {
		return err
	}
	return chunks(orders, func(some []any) error {
		q := odata.Query{Set: "ProdnOrdConf2", Where: odata.AnyOf("OrderID", some...), OrderBy: []odata.Order{{Field: "ConfirmationGroup"}, {Field: "ConfirmationCount"}}}
		_, err := c.All(ctx, q, func(e odata.Entity) error { return each(confirmationOf(e)) })
		return err
	})
}

func confirmationOf(e odata.Entity) message.DocumentRead {
	d := message.DocumentRead{
		Number: text(e, "ConfirmationGroup") + "/" + text(e, "ConfirmationCount"), Kind: "confirmation", Order: text(e, "OrderID"),
		Operation: text(e, "OrderOperation"), Mark: text(e, "ExternalSystemConfirmation"), Posted: day(e, "PostingDate"), Reversed: e.Values["IsReversed"] == true,
		Yield: text(e, "ConfirmationYieldQuantity"), Scrap: text(e, "ConfirmationScrapQuantity"), Rework: text(e, "ConfirmationReworkQuantity"),
		Unit: text(e, "ConfirmationUnit"),
	}
	if e.Values["IsReversal"] == true {
		d.Kind = "reversal"
	}
	return d
}

// movements reads the items of the orders, then the heads of their documents, which alone have the message's mark.
func (l *Link) movements(ctx context.Context, orders []string, each func(message.DocumentRead) error) error {
	c, err := l.Service(Movements)
	if err != nil {
		return err
	}
	found := map[string]*message.DocumentRead{}
	var items []odata.Entity
	err = chunks(orders, func(some []any) error {
		q := odata.Query{Set: "A_MaterialDocumentItem", Where: odata.AnyOf("ManufacturingOrder", some...), OrderBy: []odata.Order{
			{Field: "MaterialDocumentYear"}, {Field: "MaterialDocument"}, {Field: "MaterialDocumentItem"},
		}}
		_, err := c.All(ctx, q, func(e odata.Entity) error {
			number := document(e)
			d := found[number]
			if d == nil {
				d = &message.DocumentRead{Number: number, Kind: "material document", Order: text(e, "ManufacturingOrder")}
				found[number], items = d, append(items, e)
			}
			addItem(d, e)
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	return l.heads(ctx, c, items, found, each)
}

// addItem takes in one item of a material document, which is reversed when all of its items are.
func addItem(d *message.DocumentRead, e odata.Entity) {
	d.Reversed = (d.Reversed || len(d.Items) == 0) && e.Values["GoodsMovementIsCancelled"] == true
	d.Items = append(d.Items, message.ItemRead{
		Movement: text(e, "GoodsMovementType"), Material: text(e, "Material"), Batch: text(e, "Batch"), Quantity: text(e, "QuantityInEntryUnit"),
		Unit: text(e, "EntryUnit"),
	})
	if r := text(e, "ReversedMaterialDocument"); r != "" {
		d.Kind, d.Reverses = "reversal", r+"/"+text(e, "ReversedMaterialDocumentYear")
	}
}

// heads reads the heads of documents that one item each names, and gives the documents in their order.
func (l *Link) heads(ctx context.Context, c *odata.Client, items []odata.Entity, found map[string]*message.DocumentRead, each func(message.DocumentRead) error) error {
	for some := range slices.Chunk(items, together) {
		keys := make([]odata.Condition, 0, len(some))
		for _, e := range some {
			keys = append(keys, odata.And(
				odata.Equal("MaterialDocumentYear", text(e, "MaterialDocumentYear")), odata.Equal("MaterialDocument", text(e, "MaterialDocument"))))
		}
		q := odata.Query{Set: "A_MaterialDocumentHeader", Where: odata.Or(keys...)}
		_, err := c.All(ctx, q, func(e odata.Entity) error {
			if d := found[document(e)]; d != nil {
				d.Mark, d.Posted = text(e, l.movementID), day(e, "PostingDate")
			}
			return nil
		})
		if err != nil {
			return err
		}
		for _, e := range some {
			if err := each(*found[document(e)]); err != nil {
				return err
			}
		}
	}
	return nil
}

// document is a material document's number as receipts have it.
func document(e odata.Entity) string {
	return text(e, "MaterialDocument") + "/" + text(e, "MaterialDocumentYear")
}

// Stock calls each for what SAP has of these materials in the plant, of all if none is named: the plant's own stock, none that is at a
// supplier's or belongs to a customer.
func (l *Link) Stock(ctx context.Context, materials []string, each func(message.StockRead) error) error {
	c, err := l.Service(Stock)
	if err != nil {
		return err
	}
	return chunks(materials, func(some []any) error {
		where := []odata.Condition{odata.Equal("Plant", l.plant), odata.Equal("InventorySpecialStockType", "")}
		if some != nil {
			where = append(where, odata.AnyOf("Material", some...))
		}
		q := odata.Query{Set: "A_MatlStkInAcctMod", Where: odata.And(where...), OrderBy: []odata.Order{
			{Field: "Material"}, {Field: "StorageLocation"}, {Field: "Batch"}, {Field: "InventoryStockType"},
		}}
		_, err := c.All(ctx, q, func(e odata.Entity) error {
			return each(message.StockRead{
				Material: text(e, "Material"), StorageLocation: text(e, "StorageLocation"), Batch: text(e, "Batch"), Type: text(e, "InventoryStockType"),
				Quantity: text(e, "MatlWrhsStkQtyInMatlBaseUnit"), Unit: text(e, "MaterialBaseUnit"),
			})
		})
		return err
	})
}

// text is a field as text, "" if it has no value.
func text(e odata.Entity, name string) string {
	s, _ := e.Values[name].(string)
	return s
}

// day is the date of a field that is one.
func day(e odata.Entity, name string) string {
	d, _, _ := strings.Cut(text(e, name), "T")
	return d
}

// nested are the entities that a link led to.
func nested(e odata.Entity, link string) []odata.Entity {
	list, _ := e.Values[link].([]odata.Entity)
	return list
}
