package main

import (
	"bytes"
	"cmp"
	"context"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"holdfast/internal/decimal"
	"holdfast/internal/job"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// bookkeeping is an ERP that has every report of the plant's, and shows its documents as a test has them.
type bookkeeping struct {
	link
	orders    []message.OrderRead
	inWork    []message.OrderRead
	documents []message.DocumentRead
}

// Ask is of relay.Deliverer.
func (*bookkeeping) Ask(context.Context, message.Delivery) (message.Outcome, error) {
	return message.Outcome{Verdict: message.Delivered}, nil
}

// Orders is of relay.Reader.
func (e *bookkeeping) Orders(_ context.Context, numbers []string, each func(message.OrderRead) error) error {
	list := e.orders
	if numbers == nil {
		list = e.inWork
	}
	for _, o := range list {
		if err := each(o); err != nil {
			return err
		}
	}
	return nil
}

// Documents is of relay.Reader.
func (e *bookkeeping) Documents(_ context.Context, _ []string, each func(message.DocumentRead) error) error {
	for _, d := range e.documents {
		if err := each(d); err != nil {
			return err
		}
	}
	return nil
}

// Reads is of relay.Reader.
func (*bookkeeping) Reads() message.Reads {
	return message.Reads{Orders: true, InWork: true, Confirmations: true, Movements: true}
}

// compared is a plant with an order that it has reported, and its ERP, which has booked all as reported.
type compared struct {
	*records
	t         *testing.T
	check     sendable
	erp       *bookkeeping
	order     mes.Order
	confirmed outbox.Detail // the last confirmation of the order
	says      mes.Confirmation
}

func startCompared(t *testing.T) *compared {
	t.Helper()
	ctx, dir := t.Context(), filepath.Join(t.TempDir(), "d")
	if status := run(ctx, []string{"demo", "--once", "--json", "--erp", "sap", "--orders", "2", "--outage", "0s", "--keys", "none", "--data", dir}, io.Discard, io.Discard); status != 0 {
		t.Fatalf("the demo ended with %d", status)
	}
	cfg, err := loadConfig(filepath.Join(dir, "holdfast.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := openRecords(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.db.Close() })
	c := &compared{records: r, t: t, erp: &bookkeeping{}}
	check, done, err := r.sendable(ctx)
	if err != nil {
		t.Fatal(err)
	}
	c.check = check
	t.Cleanup(done)
	c.check.links = map[string]link{"erp": c.erp}
	c.books()
	return c
}

// books gives the ERP a document of each confirmation that was delivered, as the plant has it.
func (c *compared) books() {
	c.t.Helper()
	var orders mes.List[mes.Order]
	c.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		orders, err = c.plant.Orders(ctx, tx, mes.OrderFilter{}, mes.Page{Limit: 100})
		return err
	})
	for _, o := range orders.Items {
		if o.ERPNumber == "" {
			continue
		}
		c.erp.orders = append(c.erp.orders, message.OrderRead{Number: o.ERPNumber, Material: o.Material, Quantity: o.Quantity.String(), Yield: o.Yield.String(), Received: o.Received.String(), Unit: o.Unit, Released: true})
		told, err := c.delivered(c.t.Context(), "erp", o.ID)
		if err != nil {
			c.t.Fatal(err)
		}
		for _, m := range told {
			if m.Kind != mes.OperationConfirmedKind {
				continue
			}
			c.order, c.confirmed = o, m
			c.tx(func(ctx context.Context, tx *store.Tx) (err error) {
				c.says, err = c.plant.Confirmation(ctx, tx, m.Event)
				return err
			})
			c.erp.documents = append(c.erp.documents, message.DocumentRead{Number: m.Receipt.Document, Kind: "confirmation", Order: o.ERPNumber, Yield: c.says.Yield.String(), Unit: c.says.Unit})
		}
	}
	if c.confirmed.ID == "" {
		c.t.Fatal("the demo has confirmed nothing")
	}
}

func (c *compared) tx(fn func(ctx context.Context, tx *store.Tx) error) {
	c.t.Helper()
	if err := c.db.InTx(c.t.Context(), func(tx *store.Tx) error { return fn(c.t.Context(), tx) }); err != nil {
		c.t.Fatal(err)
	}
}

// differences compares, and gives what differs.
func (c *compared) differences() comparison {
	c.t.Helper()
	found, err := c.compare(c.t.Context(), io.Discard, c.check, "erp", window{from: c.db.Now().Add(-1e12 * 3600), to: c.db.Now()})
	if err != nil {
		c.t.Fatal(err)
	}
	return found
}

// apply repairs what a comparison has found.
func (c *compared) apply(found comparison, expect int) (string, error) {
	var out bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetContext(c.t.Context())
	p := &reconciling{link: "erp", apply: true}
	p.expect, p.reason = expect, "the ERP has booked it otherwise"
	err := c.applyComparison(c.t.Context(), cmd, p, found)
	return out.String(), err
}

func (c *compared) owed() (kinds []string) {
	c.t.Helper()
	c.tx(func(ctx context.Context, tx *store.Tx) error {
		list, _, err := c.out.Messages(ctx, tx, outbox.Filter{Link: "erp", Lane: c.order.ID, Owed: true, OldestFirst: true}, "")
		slices.SortFunc(list, func(a, b outbox.Detail) int { return cmp.Compare(a.Number, b.Number) })
		for _, d := range list {
			kinds = append(kinds, d.Kind)
		}
		return err
	})
	return kinds
}

// doc is the ERP's document of the confirmation, to be changed.
func (c *compared) doc() *message.DocumentRead {
	for i := range c.erp.documents {
		if c.erp.documents[i].Number == c.confirmed.Receipt.Document {
			return &c.erp.documents[i]
		}
	}
	c.t.Fatal("the confirmation has no document")
	return nil
}

// read is what the ERP says of the order, to be changed.
func (c *compared) read() *message.OrderRead {
	for i := range c.erp.orders {
		if c.erp.orders[i].Number == c.order.ERPNumber {
			return &c.erp.orders[i]
		}
	}
	c.t.Fatal("the ERP does not have the order")
	return nil
}

// TestAnotherQuantityIsRepairedByAReversalAndANewReport, once, whoever approves it, and never beside anything of the lane that is on its way.
func TestAnotherQuantityIsRepairedByAReversalAndANewReport(t *testing.T) {
	c := startCompared(t)
	if found := c.differences(); len(found.Differences) != 0 {
		t.Fatalf("before anything was booked otherwise: %+v", found.Differences)
	}
	c.doc().Yield = "0.5"
	if found := c.differences(); len(found.Differences) != 1 || found.Differences[0].applied() || !strings.Contains(found.Differences[0].Repair, "the order is technically-completed and takes none") {
		t.Errorf("of an order that is technically completed it finds %+v", found.Differences)
	}
	c.opens()
	less := c.says.Yield.Sub(decimal.MustParse("1")).String()
	c.doc().Yield, c.read().Yield = less, less
	found := c.differences()
	var wrong, yield difference
	for _, d := range found.Differences {
		switch d.What {
		case "other quantity":
			wrong = d
		case "yield":
			yield = d
		default:
			t.Errorf("it has found %+v besides", d)
		}
	}
	if wrong.Confirmation != c.says.ID || wrong.Message != c.confirmed.ID || wrong.Document != c.confirmed.Receipt.Document || !strings.Contains(wrong.Repair, "--apply") {
		t.Errorf("the document differs as %+v, want one of message %s that is reported anew", wrong, c.confirmed.ID)
	}
	if yield.applied() || !strings.Contains(yield.Cause, "documents of the order differ") {
		t.Errorf("the order differs as %+v, want one that its document explains", yield)
	}

	if _, err := c.apply(found, 2); problem.KindOf(err) != problem.Precondition || len(c.owed()) != 0 {
		t.Errorf("another number than is repaired: %v, %v owed", err, c.owed())
	}
	var b job.Job
	c.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		b, err = c.jobs.Plan(ctx, tx, job.Request{Choice: outbox.Choice{IDs: []string{c.confirmed.ID}}}, "anna")
		return err
	})
	if _, err := c.apply(found, 1); problem.KindOf(err) != problem.Precondition || !strings.Contains(err.Error(), b.ID) || len(c.owed()) != 0 {
		t.Errorf("with a job about to replay it: %v, %v owed", err, c.owed())
	}
	c.tx(func(ctx context.Context, tx *store.Tx) error { _, err := c.jobs.Cancel(ctx, tx, b.ID); return err })
	c.tx(func(ctx context.Context, tx *store.Tx) error {
		_, err := c.out.Replay(ctx, tx, "erp", c.order.ID, outbox.Range{From: c.confirmed.Number, To: c.confirmed.Number}, "look")
		return err
	})
	if _, err := c.apply(found, 1); problem.KindOf(err) != problem.Precondition || len(c.owed()) != 1 {
		t.Errorf("with its message owed again: %v, %v owed", err, c.owed())
	}
	if again := c.differences(); len(again.Differences) == 0 || again.Differences[len(again.Differences)-1].What != "yield" || !strings.Contains(again.Differences[len(again.Differences)-1].Repair, "No message is made beside it") {
		t.Errorf("with its message owed again it finds %+v", again.Differences)
	}
	c.tx(func(ctx context.Context, tx *store.Tx) error {
		return c.out.Discard(ctx, tx, c.confirmed.ID, "test")
	})

	out, err := c.apply(found, 1)
	if err != nil || !strings.Contains(out, "its reversal and its new report are owed") {
		t.Fatalf("it says %q, %v", out, err)
	}
	want := []string{mes.ConfirmationReversedKind, mes.OperationConfirmedKind}
	if got := c.owed(); !slices.Equal(got, want) {
		t.Errorf("owed are %v, want %v", got, want)
	}
	if _, err := c.apply(found, 1); problem.KindOf(err) != problem.Conflict || len(c.owed()) != 2 {
		t.Errorf("approved once more: %v, %v owed", err, c.owed())
	}
}

// opens has the order take reports again.
func (c *compared) opens() {
	c.t.Helper()
	c.tx(func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE plant_orders SET status = 'completed', body = CAST(replace(CAST(body AS TEXT), '"technically-completed"', '"completed"') AS BLOB) WHERE id = ?`, c.order.ID)
		return err
	})
	c.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		c.order, err = c.plant.Order(ctx, tx, c.order.ID)
		return err
	})
	if c.order.Status != mes.Completed {
		c.t.Fatalf("the order is %s", c.order.Status)
	}
}

// TestEachDifferenceSaysWhatRepairsIt, or why nothing of the plant's does.
func TestEachDifferenceSaysWhatRepairsIt(t *testing.T) {
	c := startCompared(t)
	whole := *c.erp
	tests := []struct {
		name    string
		spoil   func()
		what    string
		says    string // the repair
		applied bool
	}{
		{"a document was cancelled by hand", func() { c.doc().Reversed = true }, "reversed", "no message of ours takes a reversal back", false},
		{"a document that nobody reported", func() {
			c.erp.documents = append(c.erp.documents, message.DocumentRead{Number: "77/1", Kind: "confirmation", Order: c.order.ERPNumber, Yield: "3", Unit: c.order.Unit, Posted: "2026-03-29"})
		}, "unknown document", "have it cancelled in the ERP", false},
		{"what the ERP books by itself is none of the plant's", func() {
			c.erp.documents = append(c.erp.documents, message.DocumentRead{Number: "78/1", Kind: "material document", Order: c.order.ERPNumber, Items: []message.ItemRead{{Movement: "999", Material: "X", Quantity: "1", Unit: "PC"}}})
		}, "", "", false},
		{"an order that the plant does not have", func() {
			c.erp.inWork = []message.OrderRead{{Number: c.order.ERPNumber}, {Number: "9999", Quantity: "5", Unit: "PC", Material: "BIKE"}}
		}, "order unknown", "--apply has what the ERP has to say read again", true},
		{"an order that the ERP does not have", func() { c.erp.orders = nil }, "order missing", "", false},
		{"the order's yield without its documents", func() { c.read().Yield = "0.5" }, "yield", "no message of the plant's repairs it", false},
		{"a changed order", func() { c.read().Quantity = "123456" }, "quantity", "quarantine list", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c.t = t
			*c.erp = bookkeeping{orders: append([]message.OrderRead(nil), whole.orders...), documents: append([]message.DocumentRead(nil), whole.documents...)}
			tt.spoil()
			found := c.differences()
			if tt.what == "" {
				if len(found.Differences) != 0 {
					t.Errorf("it finds %+v, want nothing", found.Differences)
				}
				return
			}
			if len(found.Differences) == 0 {
				t.Fatal("it finds nothing")
			}
			for _, d := range found.Differences {
				if d.What != tt.what || !strings.Contains(d.Repair, tt.says) || d.Repair == "" || d.Cause == "" || d.applied() != tt.applied {
					t.Errorf("it finds %+v, want %s with the repair %q, applied %t", d, tt.what, tt.says, tt.applied)
				}
			}
		})
	}
}
