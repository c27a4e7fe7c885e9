package mes_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/decimal"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// recorder keeps the messages of transactions that were committed.
type recorder struct {
	mu   sync.Mutex
	sent []message.Message
	err  error
}

func (r *recorder) Append(_ context.Context, tx *store.Tx, m message.Message) error {
	if r.err != nil {
		return r.err
	}
	tx.AfterCommit(func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.sent = append(r.sent, m)
	})
	return nil
}

// kinds are the kinds of the messages with that key, in order.
func (r *recorder) kinds(key string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, m := range r.sent {
		if m.Key == key {
			out = append(out, m.Kind)
		}
	}
	return out
}

func (r *recorder) last() message.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.sent[len(r.sent)-1]
}

// references keeps what the ERP calls the plant's orders.
type references map[string]string

func (r references) SetReference(_ context.Context, tx *store.Tx, link, object, number string) error {
	tx.AfterCommit(func() { r[link+" "+object] = number })
	return nil
}

// plant is a plant over a real database.
type plant struct {
	*mes.Plant
	t    *testing.T
	db   *store.DB
	out  *recorder
	refs references
	n    *int // orders that the ERP has sent
}

// in is the same plant for a part of the test.
func (p *plant) in(t *testing.T) *plant {
	q := *p
	q.t = t
	return &q
}

// berlin is the plant's zone, without a database of zones.
var berlin = time.FixedZone("Europe/Berlin", 3600)

// now is the time of every transaction.
var now = time.Date(2026, 11, 24, 23, 30, 0, 123456789, time.UTC)

// each runs test on both databases, with master data in place.
func each(t *testing.T, test func(p *plant)) {
	storetest.Each(t, func(t *testing.T, db *store.DB) { test(open(t, db)) }, storetest.WithClock(func() time.Time { return now }))
}

func open(t *testing.T, db *store.DB) *plant {
	t.Helper()
	p := &plant{t: t, db: db, out: &recorder{}, refs: references{}, n: new(int)}
	p.Plant = mes.New(p.out, mes.Config{Zone: berlin, OverIssue: d("10"), References: p.refs})
	p.apply(mes.MaterialChangedKind, mes.Material{
		Number: "PUMP", Description: "Pump", Type: "finished", BaseUnit: "PCE", BatchManaged: true, ShelfLifeDays: 365,
		Units: []mes.UnitRatio{{Unit: "BOX", Numerator: d("12"), Denominator: d("1")}, {Unit: "KGM", Numerator: d("2"), Denominator: d("5")}},
	})
	p.apply(mes.MaterialChangedKind, mes.Material{Number: "CAST", Description: "Casting", BaseUnit: "PCE", BatchManaged: true})
	p.apply(mes.MaterialChangedKind, mes.Material{Number: "BOLT", Description: "Bolt M8", BaseUnit: "PCE"})
	p.apply(mes.MaterialChangedKind, mes.Material{Number: "OIL", Description: "Oil", BaseUnit: "LTR", Units: []mes.UnitRatio{
		{Unit: "KGM", Numerator: d("5"), Denominator: d("4")},
	}})
	p.apply(mes.MaterialChangedKind, mes.Material{Number: "MOTOR", Description: "Motor", BaseUnit: "PCE", Serialised: true})
	p.apply(mes.MaterialChangedKind, mes.Material{Number: "CHIPS", Description: "Swarf", BaseUnit: "KGM"})
	p.apply(mes.WorkCentreChangedKind, mes.WorkCentre{Number: "MILL", Description: "Mill", CapacityHoursPerDay: d("16")})
	p.apply(mes.BOMChangedKind, mes.BOM{Number: "B1", Material: "PUMP", BaseQuantity: d("3"), Unit: "PCE", Items: []mes.BOMItem{
		{Item: "0020", Material: "BOLT", Quantity: d("24"), Unit: "PCE", Operation: "0020", ScrapPercent: d("5")},
		{Item: "0010", Material: "CAST", Quantity: d("3"), Unit: "PCE", Operation: "0010"},
		{Item: "0030", Material: "OIL", Quantity: d("1"), Unit: "LTR", Operation: "0020"},
	}})
	p.apply(mes.RoutingChangedKind, mes.Routing{Number: "R1", Material: "PUMP", Operations: []mes.PlannedOperation{
		{Number: "0010", Description: "Mill", WorkCentre: "MILL", SetupTime: d("15"), MachineTime: d("4.25"), BaseQuantity: d("1"), TimeUnit: "MIN"},
		{Number: "0020", Description: "Assemble", WorkCentre: "LINE", LabourTime: d("9"), BaseQuantity: d("1"), TimeUnit: "MIN"},
	}})
	return p
}

func d(s string) decimal.Decimal { return decimal.MustParse(s) }

func ptr[T any](v T) *T { return &v }

// do runs one operation in a transaction of its own.
func do[C, R any](p *plant, op func(context.Context, *store.Tx, C) (R, error), c C) (R, error) {
	var out R
	err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
		var err error
		out, err = op(p.t.Context(), tx, c)
		return err
	})
	return out, err
}

// must runs one operation that is expected to be accepted.
func must[C, R any](p *plant, op func(context.Context, *store.Tx, C) (R, error), c C) R {
	p.t.Helper()
	out, err := do(p, op, c)
	if err != nil {
		p.t.Fatalf("refused: %v", err)
	}
	return out
}

// see reads something.
func see[R any](p *plant, read func(ctx context.Context, tx *store.Tx) (R, error)) R {
	p.t.Helper()
	var out R
	err := p.db.View(p.t.Context(), func(tx *store.Tx) error {
		var err error
		out, err = read(p.t.Context(), tx)
		return err
	})
	if err != nil {
		p.t.Fatalf("read: %v", err)
	}
	return out
}

func (p *plant) order(id string) mes.Order {
	p.t.Helper()
	return see(p, func(ctx context.Context, tx *store.Tx) (mes.Order, error) { return p.Order(ctx, tx, id) })
}

// told is the ERP's word, as the inbox hands it over.
func (p *plant) told(kind, key string, body any) error {
	p.t.Helper()
	m, err := message.New("in", kind, key, now, body)
	if err != nil {
		p.t.Fatal(err)
	}
	m.Link = "erp"
	return p.db.InTx(p.t.Context(), func(tx *store.Tx) error { return p.Apply(p.t.Context(), tx, m) })
}

func (p *plant) apply(kind string, body any) {
	p.t.Helper()
	if err := p.told(kind, "", body); err != nil {
		p.t.Fatalf("%s refused: %v", kind, err)
	}
}

// erpOrder is an order of 10 pumps as the ERP sends it, under a number of its own.
func (p *plant) erpOrder() mes.ERPOrder {
	*p.n++
	return mes.ERPOrder{
		ERPNumber: fmt.Sprintf("%012d", 1000000+*p.n), ERPVersion: "1", Type: "PP01", Material: "PUMP", Plant: "1000", StorageLocation: "FG01",
		Quantity: ptr(d("10")), Unit: "PCE", OverDelivery: ptr(d("10")), Priority: ptr(5),
		Start: time.Date(2026, 11, 24, 6, 0, 0, 0, berlin), End: time.Date(2026, 11, 24, 14, 0, 0, 0, berlin),
		Operations: []mes.PlannedOperation{
			{Number: "0010", WorkCentre: "MILL", MachineTime: d("4.25"), TimeUnit: "MIN"},
			{Number: "0020", WorkCentre: "LINE", TimeUnit: "MIN"},
		},
		Components: []mes.PlannedComponent{
			{Item: "0010", Material: "CAST", Quantity: d("10"), Unit: "PCE", Operation: "0010", StorageLocation: "RM01", BatchManaged: true},
			{Item: "0020", Material: "BOLT", Quantity: d("80"), Unit: "PCE", Operation: "0020"},
			{Item: "0030", Material: "OIL", Quantity: d("4"), Unit: "LTR", Operation: "0020"},
			{Item: "0040", Material: "MOTOR", Quantity: d("10"), Unit: "PCE", Operation: "0020"},
			{Item: "0050", Material: "GLUE", Quantity: d("1"), Unit: "KGM", Operation: "0020", Backflush: true},
		},
	}
}

// release has the ERP release an order.
func (p *plant) release() mes.Order {
	p.t.Helper()
	e := p.erpOrder()
	p.apply(mes.OrderReleasedKind, e)
	return see(p, func(ctx context.Context, tx *store.Tx) (mes.Order, error) {
		return p.OrderByNumber(ctx, tx, e.ERPNumber)
	})
}

// started is a released order in work.
func (p *plant) started() mes.Order {
	p.t.Helper()
	return must(p, p.StartOrder, mes.OrderAct{Order: p.release().ID})
}

// made is an order in work with 6 pieces confirmed in its first operation and 4 in its last.
func (p *plant) made() mes.Order {
	p.t.Helper()
	o := p.started()
	must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("6")})
	must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0020", Yield: d("4")})
	return p.order(o.ID)
}

// lot is a lot of finished goods of the order.
func (p *plant) lot(o mes.Order) mes.Lot {
	p.t.Helper()
	return must(p, p.CreateLot, mes.NewLot{Order: o.ID})
}

// id is a UUID that tells which it is.
func id(n int) string { return fmt.Sprintf("00000000-0000-7000-8000-%012d", n) }

// refused checks that err is of that kind and says why; that it also says what and what to do, and names fields that it knows.
// An empty kind means that nothing is refused.
func refused(t *testing.T, err error, kind problem.Kind, why string) {
	t.Helper()
	if got := problem.KindOf(err); got != kind {
		t.Fatalf("got %q (%v), want %q", got, err, kind)
	}
	if kind == "" {
		return
	}
	e, ok := errors.AsType[*problem.Error](err)
	if !ok {
		t.Fatalf("got %T, want a *problem.Error", err)
	}
	if !strings.Contains(e.Why, why) || e.What == "" || e.Hint == "" {
		t.Errorf("got what %q, why %q, hint %q; want all, and why with %q", e.What, e.Why, e.Hint, why)
	}
	for _, f := range e.Fields {
		if f.Pointer == "" || f.Why == "" {
			t.Errorf("field %+v says too little", f)
		}
	}
}

func body[T any](t *testing.T, m message.Message) T {
	t.Helper()
	var out T
	if err := json.Unmarshal(m.Body, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s differs (-want +got):\n%s", what, diff)
	}
}

func TestWhatCannotBeOwedDoesNotHappen(t *testing.T) {
	each(t, func(p *plant) {
		o := p.release()
		p.out.err = &problem.Error{Kind: problem.Full, What: "append", Why: "the disk is full"}
		_, err := do(p, p.StartOrder, mes.OrderAct{Order: o.ID})
		if got := problem.KindOf(err); got != problem.Full {
			p.t.Errorf("got %q (%v), want %q", got, err, problem.Full)
		}
		if got := p.order(o.ID).Status; got != mes.Released {
			p.t.Errorf("got an order that is %s, want it released as before", got)
		}
	})
}

func TestTheSameIDTakesEffectOnce(t *testing.T) {
	each(t, func(p *plant) {
		o := p.release()
		start := mes.OrderAct{ID: id(1), Order: o.ID}
		must(p, p.StartOrder, start)
		must(p, p.StartOrder, start)
		confirm := mes.NewConfirmation{ID: id(2), Order: o.ID, Operation: "0010", Yield: d("4")}
		equal(p.t, "the second confirmation", must(p, p.Confirm, confirm), must(p, p.Confirm, confirm))
		must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0020", Yield: d("4"), Final: true})
		issue := mes.NewMovement{ID: id(3), Order: o.ID, Items: []mes.NewItem{{Material: "BOLT", Quantity: d("8")}}}
		equal(p.t, "the second issue", must(p, p.IssueGoods, issue), must(p, p.IssueGoods, issue))
		lot := mes.NewLot{ID: id(4), Order: o.ID}
		equal(p.t, "the second lot", must(p, p.CreateLot, lot), must(p, p.CreateLot, lot))
		inspect := mes.NewInspection{ID: id(5), Lot: id(4), Characteristic: "Leak", Code: "OK", Valuation: mes.Accepted}
		equal(p.t, "the second inspection", must(p, p.RecordInspection, inspect), must(p, p.RecordInspection, inspect))
		unissue := mes.Reversal{ID: id(6), Of: id(3), Reason: "wrong box"}
		equal(p.t, "the second reversal of the issue", must(p, p.ReverseMovement, unissue), must(p, p.ReverseMovement, unissue))
		create := mes.NewOrder{ID: id(7), Material: "PUMP", Quantity: d("3")}
		equal(p.t, "the second creation", must(p, p.CreateOrder, create), must(p, p.CreateOrder, create))
		complete := mes.OrderAct{ID: id(8), Order: id(7)}
		must(p, p.CompleteOrder, complete)
		must(p, p.CompleteOrder, complete)

		want := []string{
			mes.OrderStartedKind, mes.OperationConfirmedKind, mes.OperationConfirmedKind, mes.GoodsIssuedKind, mes.LotCreatedKind,
			mes.InspectionRecordedKind, mes.GoodsReversedKind,
		}
		equal(p.t, "what is owed of the ERP's order", p.out.kinds(o.ID), want)
		equal(p.t, "what is owed of the plant's order", p.out.kinds(id(7)), []string{mes.OrderCreatedKind, mes.OrderCompletedKind})

		other := confirm
		other.Yield = d("1")
		_, err := do(p, p.Confirm, other)
		refused(p.t, err, problem.Duplicate, "used before")
		_, err = do(p, p.IssueGoods, mes.NewMovement{ID: id(2), Order: o.ID, Items: issue.Items})
		refused(p.t, err, problem.Duplicate, "used before")
		_, err = do(p, p.CompleteOrder, start)
		refused(p.t, err, problem.Duplicate, "used before")
		_, err = do(p, p.Confirm, mes.NewConfirmation{ID: "7", Order: o.ID, Operation: "0010", Yield: d("1")})
		refused(p.t, err, problem.Invalid, "/id")
	})
}

func TestMessagesHaveTheKeyOfTheirLane(t *testing.T) {
	each(t, func(p *plant) {
		o := p.made()
		lot := p.lot(o)
		must(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Batch: lot.Number, Quantity: d("4")}}})
		free := must(p, p.CreateLot, mes.NewLot{Material: "CAST", Number: "C-1"})
		must(p, p.RecordInspection, mes.NewInspection{Lot: free.ID, Characteristic: "Hardness", Value: ptr(d("180")), Lower: ptr(d("170"))})
		must(p, p.ScrapGoods, mes.NewMovement{Reason: "rust", Items: []mes.NewItem{{Material: "BOLT", Quantity: d("3")}}})

		equal(p.t, "the order's lane", p.out.kinds(o.ID), []string{
			mes.OrderStartedKind, mes.OperationConfirmedKind, mes.OperationConfirmedKind, mes.LotCreatedKind, mes.GoodsReceivedKind,
		})
		equal(p.t, "the lot's lane", p.out.kinds(free.ID), []string{mes.LotCreatedKind, mes.InspectionRecordedKind})
		equal(p.t, "the material's lane", p.out.kinds("material/BOLT"), []string{mes.GoodsScrappedKind})
		for _, m := range p.out.sent {
			creates := map[string]string{
				mes.LotCreatedKind: "lot/" + m.ID, mes.OperationConfirmedKind: "confirmation/" + m.ID, mes.GoodsReceivedKind: "movement/" + m.ID,
				mes.GoodsScrappedKind: "movement/" + m.ID,
			}
			if m.Creates != creates[m.Kind] {
				p.t.Errorf("%s creates %q, want %q", m.Kind, m.Creates, creates[m.Kind])
			}
		}
	})
}

func TestTimesThatLieAheadAreRefused(t *testing.T) {
	each(t, func(p *plant) {
		o := p.made()
		ahead := now.Add(6 * time.Minute)
		item := []mes.NewItem{{Material: "BOLT", Quantity: d("1")}}
		attempts := map[string]func() error{
			"start":    func() error { _, err := do(p, p.StartOrder, mes.OrderAct{Order: o.ID, At: ahead}); return err },
			"complete": func() error { _, err := do(p, p.CompleteOrder, mes.OrderAct{Order: o.ID, At: ahead}); return err },
			"issue": func() error {
				_, err := do(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: item, PostedAt: ahead})
				return err
			},
			"lot": func() error { _, err := do(p, p.CreateLot, mes.NewLot{Order: o.ID, ManufacturedAt: ahead}); return err },
			"inspect": func() error {
				_, err := do(p, p.RecordInspection, mes.NewInspection{Order: o.ID, Characteristic: "L", Code: "OK", Valuation: mes.Accepted, At: ahead})
				return err
			},
			"reverse": func() error {
				_, err := do(p, p.ReverseConfirmation, mes.Reversal{Of: o.ID, Reason: "x", PostedAt: ahead})
				return err
			},
			"reverse a movement": func() error {
				_, err := do(p, p.ReverseMovement, mes.Reversal{Of: o.ID, Reason: "x", PostedAt: ahead})
				return err
			},
		}
		for name, attempt := range attempts {
			err := attempt()
			if problem.KindOf(err) != problem.Invalid || !strings.Contains(err.Error(), "lies in the future") {
				p.t.Errorf("%s: got %v, want a refusal that says the time lies in the future", name, err)
			}
		}
		within := mes.NewMovement{Order: o.ID, Items: item, PostedAt: now.Add(4 * time.Minute)}
		if got, want := must(p, p.IssueGoods, within).PostingDate, "2026-11-25"; got != want {
			p.t.Errorf("got posting date %s, want %s: the day in the plant's zone", got, want)
		}
	})
}

func TestAnActOnAnotherVersionIsRefused(t *testing.T) {
	each(t, func(p *plant) {
		o := p.made()
		item := []mes.NewItem{{Material: "BOLT", Quantity: d("1")}}
		m := must(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: item, IfVersion: o.Version})
		attempts := map[string]func() error{
			"complete": func() error {
				_, err := do(p, p.CompleteOrder, mes.OrderAct{Order: o.ID, IfVersion: o.Version})
				return err
			},
			"change": func() error {
				_, err := do(p, p.ChangeOrder, mes.OrderChange{Order: o.ID, IfVersion: o.Version})
				return err
			},
			"confirm": func() error {
				_, err := do(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("1"), IfVersion: o.Version})
				return err
			},
			"issue": func() error {
				_, err := do(p, p.IssueGoods, mes.NewMovement{Order: o.ID, Items: item, IfVersion: o.Version})
				return err
			},
			"reverse": func() error {
				_, err := do(p, p.ReverseMovement, mes.Reversal{Of: m.ID, Reason: "x", IfVersion: o.Version})
				return err
			},
		}
		for name, attempt := range attempts {
			if err := attempt(); problem.KindOf(err) != problem.Precondition {
				p.t.Errorf("%s: got %v, want %q", name, err, problem.Precondition)
			}
		}
	})
}

// TestTwoAtOnceDoNotConfirmTheSamePieces has many confirm at the same moment what is only there once.
func TestTwoAtOnceDoNotConfirmTheSamePieces(t *testing.T) {
	each(t, func(p *plant) {
		o := p.started()
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				_, errs[i] = do(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("4")})
			})
		}
		wg.Wait()
		accepted := len(slices.DeleteFunc(errs, func(err error) bool { return err != nil }))
		if got := p.order(o.ID).Operations[0].Yield; accepted != 2 || !got.Equal(d("8")) {
			p.t.Errorf("got %d accepted and a yield of %s, want 2 and 8", accepted, got)
		}
	})
}

func TestMasterDataThatIsMissingIsNamed(t *testing.T) {
	each(t, func(p *plant) {
		_, err := do(p, p.CreateOrder, mes.NewOrder{Material: "NONE", Quantity: d("1")})
		refused(p.t, err, problem.NotFound, "no copy")
		_, err = do(p, p.CreateOrder, mes.NewOrder{Material: "BOLT", Quantity: d("1")})
		refused(p.t, err, problem.NotFound, "no copy")
		p.apply(mes.RoutingChangedKind, mes.Routing{Material: "BOLT", Operations: []mes.PlannedOperation{{Number: "0010", WorkCentre: "MILL"}}})
		_, err = do(p, p.CreateOrder, mes.NewOrder{Material: "BOLT", Quantity: d("1")})
		refused(p.t, err, problem.NotFound, "no copy")
	})
}
