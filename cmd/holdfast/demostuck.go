package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/internal/decimal"
)

// stick leaves an order to practise on: the plant makes one and confirms 2 of it, which the ERP refuses. The refusal is the ERP's answer to what was
// sent, and it strikes once: what is corrected, or tried again, is taken.
func (s *stage) stick(ctx context.Context, w io.Writer) error {
	o, err := s.floor.Own(ctx, s.set.Orders[0])
	if err != nil {
		return err
	}
	if err := s.drained(ctx); err != nil { // the ERP knows the order before it refuses anything of it
		return err
	}
	says, err := json.Marshal(map[string]any{
		"type": "about:blank", "title": "Unprocessable", "status": http.StatusUnprocessableEntity, "detail": "yield 2 is more than the 1 piece that the scale has counted",
	})
	if err != nil {
		return fmt.Errorf("write what the ERP refuses with: %w", err)
	}
	refuse, err := json.Marshal(erpmock.Fault{Kind: erpmock.Status, Operation: "createConfirmation", Lane: o.ID, Count: 1, Status: http.StatusUnprocessableEntity, Body: string(says)})
	if err != nil {
		return fmt.Errorf("write a fault: %w", err)
	}
	status, body, err := call(ctx, http.MethodPost, "http://"+s.erp.Addr().String()+"/__mock/faults", refuse)
	if err != nil || status != http.StatusCreated {
		return fmt.Errorf("have the ERP refuse a confirmation: it answers %d %s: %w", status, body, err)
	}
	if err := s.floor.Begin(ctx, o, decimal.FromInt(2)); err != nil {
		return err
	}
	err = until(ctx, time.Minute, "the ERP has refused a confirmation", func() (bool, error) {
		_, parked, _, err := s.owed(ctx)
		return parked > 0, err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "\nTo practise on: order %s is stuck, since the ERP has refused a confirmation of it.\n  docs/when-the-erp-is-down.md says how to find out why, repair it, send it and prove its lane whole\n  console      http://%s/console/messages\n",
		o.Number, s.plant.api.Addr())
	return err
}
