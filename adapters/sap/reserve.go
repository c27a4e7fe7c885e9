package sap

import (
	"context"
	"encoding/json"
	"fmt"

	"holdfast/adapters/odata"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/openapi/contract"
)

// movement is the target whose items name reservations.
const movement = Movements + "/A_MaterialDocumentHeader"

// reserved fills in the number of the reservation of each item that names only the reservation's item and its order. All components of an
// order are in one reservation. Without anything to fill in, the delivery is as it was; failed says why nothing can be sent.
func (l *Link) reserved(ctx context.Context, d message.Delivery) (out message.Delivery, failed *message.Outcome) {
	v, err := contract.Decode(d.Doc.Body)
	doc, _ := v.(map[string]any)
	items, _ := doc["to_MaterialDocumentItem"].([]any)
	if err != nil || len(items) == 0 {
		return d, nil // odata says what is wrong with it
	}
	filled := false
	for _, item := range items {
		i, _ := item.(map[string]any)
		order, _ := i["ManufacturingOrder"].(string)
		if i["ReservationItem"] == nil || i["Reservation"] != nil || order == "" {
			continue
		}
		number, failed := l.reservation(ctx, order)
		if failed != nil {
			return d, failed
		}
		i["Reservation"], filled = number, true
	}
	if !filled {
		return d, nil
	}
	if d.Doc.Body, err = json.Marshal(doc); err != nil {
		return d, &message.Outcome{Verdict: message.Refused, Err: fmt.Errorf("write the goods movement: %w", err)}
	}
	return d, nil
}

// reservation is the number of an order's reservation. It never changes, so that it is asked for once.
func (l *Link) reservation(ctx context.Context, order string) (string, *message.Outcome) {
	l.mu.Lock()
	number := l.reservations[order]
	l.mu.Unlock()
	if number != "" {
		return number, nil
	}
	number, err := l.readReservation(ctx, order)
	switch {
	case err != nil:
		failed := odata.NotSent(err)
		return "", &failed
	case number == "":
		return "", &message.Outcome{Verdict: message.Refused, Err: &problem.Error{
			Kind: problem.Invalid, What: "goods movement of order " + order, Why: "SAP has no reservation for the order, and the movement names an item of it",
			Hint: "look at the order's components in SAP, then send the message again",
		}}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.reservations) >= mostReservations {
		clear(l.reservations)
	}
	l.reservations[order] = number
	return number, nil
}

// readReservation asks SAP, "" where it has none.
func (l *Link) readReservation(ctx context.Context, order string) (number string, err error) {
	c, err := l.Service(Orders)
	if err != nil {
		return "", err
	}
	m, err := c.Model(ctx)
	if err != nil {
		return "", err
	}
	_, err = c.All(ctx, odata.Query{Set: components(m), Where: odata.Equal("ManufacturingOrder", order), Top: 1}, func(e odata.Entity) error {
		number = text(e, "Reservation")
		return nil
	})
	return number, err
}

// mostReservations bounds what is remembered.
const mostReservations = 10_000
