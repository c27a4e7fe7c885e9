package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/odata"
	"holdfast/adapters/sap"
	"holdfast/cmd/holdfast/dataset"
	"holdfast/internal/decimal"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
)

// sapSide is the SAP system of the demo: a mock of S/4HANA's services that is ended for the outage, and begins anew from its ledger.
type sapSide struct {
	planner
	cfg      edmx.Config
	services []edmx.Source
	now      atomic.Pointer[edmx.System]
	down     atomic.Bool
	qm       sync.Mutex // held while QM makes a lot, and while the system ends
	restarts int
	orders   int
	begun    time.Time  // of the system that runs
	past     sapTrouble // of those before it
}

// sapTrouble is how often the system did what the link has to live with.
type sapTrouble struct {
	ERPRestarts int `json:"erp_restarts,omitempty"`
	LostAnswers int `json:"erp_lost_answers,omitempty"`   // after the effect
	Locks       int `json:"erp_locks,omitempty"`          // of an object that somebody works on
	Sessions    int `json:"erp_sessions_ended,omitempty"` // each told by a refused CSRF token
}

// trouble counts, since the demo began.
func (b *sapSide) trouble() sapTrouble {
	t := b.past
	t.ERPRestarts = b.restarts
	for _, e := range b.now.Load().Journal() {
		switch {
		case e.At.Before(b.begun): // of a run before on the same ledger
		case e.Fault == erpmock.Lost && len(e.Effects) > 0:
			t.LostAnswers++
		case e.Refusal == sapLock:
			t.Locks++
		case e.Status == http.StatusForbidden && e.Fault == "":
			t.Sessions++
		}
	}
	return t
}

// sapLock is the code of a lock in the demo.
const sapLock = "CO/469"

// openSAP makes the system with its master data. Its ledger lets a later demo on the same folder go on where this one ended.
func (s *stage) openSAP(ctx context.Context, ledger string) (err error) {
	b := &sapSide{planner: s.plan, cfg: edmx.Config{
		Seed: int64(s.flags.seed), Ledger: ledger, Faults: sapMischief(), SessionWrites: 25, //nolint:gosec // any bits will do
		Origin: s.sapOrigin,
	}}
	if b.services, err = sapServices(); err == nil {
		err = b.begin()
	}
	if errors.Is(err, erpmock.ErrLedgerTaken) {
		return &problem.Error{
			Kind: problem.Conflict, What: "demo on " + s.flags.data, Why: "another demo runs on this folder",
			Hint: "end that one first, or choose another folder with --data",
		}
	}
	if err != nil {
		return fmt.Errorf("open the SAP system of the demo: %w", err)
	}
	s.sap = b
	if !b.now.Load().Restored() {
		if err := b.seedMaster(); err != nil {
			return fmt.Errorf("fill the SAP system of the demo: %w", err)
		}
	}
	s.erp, err = s.listen(ctx, "127.0.0.1:8422")
	return err
}

// sapServices are those that a link of kind sap calls, where it calls them.
func sapServices() ([]edmx.Source, error) {
	known, err := sap.Config{}.Complete()
	if err != nil {
		return nil, err
	}
	var out []edmx.Source
	for _, name := range slices.Sorted(maps.Keys(known.Services)) {
		text, err := fs.ReadFile(sap.Metadata(), name+".xml")
		if err != nil {
			return nil, err
		}
		out = append(out, edmx.Source{Metadata: text, Root: known.Services[name].Path})
	}
	return out, nil
}

// sapMischief is what goes wrong besides the outage: answers that are lost after the work was done, gateways that time out, a busy system.
func sapMischief() []erpmock.Fault {
	return []erpmock.Fault{
		{Kind: erpmock.Lost, Method: http.MethodPost, Skip: 8, Count: 3}, // so that some are, in the shortest run
		{Kind: erpmock.Lost, Method: http.MethodPost, Probability: 0.05},
		{Kind: erpmock.Status, Method: http.MethodPost, Status: http.StatusGatewayTimeout, Phase: erpmock.After, Probability: 0.01},
		{Kind: erpmock.Status, Method: http.MethodPost, Status: http.StatusServiceUnavailable, RetryAfter: erpmock.Duration(time.Second), Skip: 40, Count: 1},
	}
}

// begin starts the system, from its ledger if there is one. Somebody works in it: orders are locked now and then.
func (b *sapSide) begin() error {
	sys, err := edmx.NewSystem(b.cfg, b.services...)
	if err != nil {
		return err
	}
	for _, set := range []string{"ProdnOrdConf2", "A_MaterialDocumentHeader", "TechlyCmpltOrder"} {
		for _, m := range sys.Services() {
			if m.Model().Sets[set] != nil || m.Model().Operations[set] != nil {
				const by = "The object is already being processed by MILLER"
				m.SetRules(edmx.Rule{Code: sapLock, Text: by, Count: 1}, edmx.Rule{Code: sapLock, Text: by, Probability: 0.04})
			}
		}
	}
	b.begun = time.Now()
	b.now.Store(sys)
	return nil
}

// Handler serves whichever system runs.
func (b *sapSide) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := b.quality(r); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		b.now.Load().Handler().ServeHTTP(w, r)
	})
}

// IsDown tells whether it is unreachable.
func (b *sapSide) IsDown() bool { return b.down.Load() || b.now.Load().IsDown() }

// cut ends the system. What it had promised is on the disk; what it was just doing is lost with its answer.
func (b *sapSide) cut() error {
	b.down.Store(true)
	b.qm.Lock()
	defer b.qm.Unlock()
	b.past = b.trouble()
	return b.now.Load().Close()
}

// mend starts it again: all sessions have ended.
func (b *sapSide) mend() error {
	if err := b.begin(); err != nil {
		return err
	}
	b.restarts++
	b.down.Store(false)
	return nil
}

// serve has the system answer at a listener until ctx ends.
func (b *sapSide) serve(ctx context.Context, l net.Listener) error { return erpmock.Serve(ctx, l, b) }

// close ends it.
func (b *sapSide) close() error { return b.now.Load().Close() }

// effects are those of the system's journal in the words of the comparison. SAP knows a message by its RequestID and no lanes, so that lane
// and number are the plant's; the order of the effects is SAP's. A change that has the same result twice has one effect.
func (b *sapSide) effects(list []outbox.Detail) []erpmock.Effect {
	known, changed := map[string]outbox.Detail{}, map[string]bool{}
	for _, d := range list {
		known[odata.RequestID(d.ID)] = d
	}
	var out []erpmock.Effect
	for _, e := range b.now.Load().Effects() {
		if e.MessageID == "" || e.Act == "changed" && changed[e.MessageID] {
			continue
		}
		changed[e.MessageID] = e.Act == "changed"
		e.Act, e.Lane = "created", "of no message"
		if d, ok := known[e.MessageID]; ok {
			e.MessageID, e.Lane, e.LaneNumber = d.ID, d.Lane, d.Number
		}
		out = append(out, e)
	}
	return out
}

// sapCodes are SAP's own codes for units and types of the data set.
func sapCodes(code string) string {
	codes := map[string]string{
		"PCE": "PC", "KGM": "KG", "GRM": "G", "LTR": "L", "MLT": "ML", "HLT": "HL", "BX": "CAR", "CT": "CAR", "PF": "PAL",
		"finished": "FERT", "semifinished": "HALB", "raw": "ROH", "packaging": "VERP", "operating": "HIBE",
		"confirm": "PP01", "milestone": "PP03", "none": "PP04",
	}
	if own, ok := codes[code]; ok {
		return own
	}
	return code
}

// fixed writes a quantity with so many places.
func fixed(q decimal.Decimal, scale int32) (string, error) {
	d, err := q.Round(scale, decimal.HalfUp)
	if err != nil {
		return "", err
	}
	if d, err = d.Rescale(scale); err != nil {
		return "", err
	}
	return d.String(), nil
}

// seedMaster gives the system the master data.
func (b *sapSide) seedMaster() error {
	sys := b.now.Load()
	for i, m := range b.set.Materials {
		docs, err := b.masterOf(i+1, m)
		if err != nil {
			return fmt.Errorf("material %s: %w", m.Number, err)
		}
		for _, d := range docs {
			if err := sys.Seed(d.set, d.doc); err != nil {
				return err
			}
		}
	}
	for _, w := range b.set.WorkCentres {
		// The internal ID is the name: SAP's routings have nothing else, and the shipped mapping has no table for this system.
		err := sys.Seed("A_WorkCenters", document{
			"WorkCenterInternalID": w.Number, "WorkCenterTypeCode": "A", "WorkCenter": w.Number, "WorkCenterDesc": w.Description, "Plant": b.set.Plant.Number,
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// seed is one document for a set.
type seed struct {
	set string
	doc document
}

// masterOf is what SAP has of one material: the product, and its bill of material and routing where there are any.
func (b *sapSide) masterOf(n int, m dataset.Material) ([]seed, error) {
	weight, err := fixed(m.NetWeight, 3)
	if err != nil {
		return nil, err
	}
	units, err := alternatives(m)
	if err != nil {
		return nil, err
	}
	out := []seed{{"A_Product", document{
		"Product": m.Number, "ProductType": sapCodes(m.Type), "BaseUnit": sapCodes(m.BaseUnit), "NetWeight": weight, "WeightUnit": sapCodes(m.WeightUnit),
		"IsBatchManagementRequired": m.BatchManaged, "TotalShelfLife": fmt.Sprint(m.ShelfLifeDays), "to_ProductUnitsOfMeasure": units,
		"to_Description": []any{document{"Language": "EN", "ProductDescription": clipped(m.Description, 40)}},
	}}}
	if len(m.BOM.Items) > 0 {
		items, err := b.bomItems(m)
		if err != nil {
			return nil, err
		}
		base, err := fixed(m.BOM.Base, 3)
		if err != nil {
			return nil, err
		}
		out = append(out, seed{"MaterialBOM", document{
			"BillOfMaterial": fmt.Sprintf("%08d", n), "BillOfMaterialCategory": "M", "BillOfMaterialVariant": "01", "BillOfMaterialVersion": "",
			"EngineeringChangeDocument": "", "Material": m.Number, "Plant": b.set.Plant.Number, "BOMHeaderQuantityInBaseUnit": base,
			"BOMHeaderBaseUnit": sapCodes(m.BaseUnit), "to_BillOfMaterialItem": items,
		}})
	}
	if len(m.Routing) > 0 {
		ops, err := b.routingOperations(m)
		if err != nil {
			return nil, err
		}
		out = append(out, seed{"ProductionRoutingHeader", document{
			"ProductionRoutingGroup": fmt.Sprintf("5%07d", n), "ProductionRouting": "1", "ProductionRoutingInternalVers": "00000001", "Plant": b.set.Plant.Number,
			"to_MatlAssgmt": []any{document{"ProductionRoutingMatlAssgmt": "0000001", "ProductionRtgMatlAssgmtIntVers": "00000001", "Product": m.Number, "Plant": b.set.Plant.Number}},
			"to_Sequence":   []any{document{"ProductionRoutingSequence": "0", "to_Operation": ops}},
		}})
	}
	return out, nil
}

// alternatives are the units that convert into a material's base unit.
func alternatives(m dataset.Material) (units []any, err error) {
	for _, u := range m.Units {
		num, den, err := whole(u)
		if err != nil {
			return nil, err
		}
		units = append(units, document{"AlternativeUnit": sapCodes(u.Code), "QuantityNumerator": num, "QuantityDenominator": den})
	}
	return units, nil
}

// whole are numerator and denominator of a unit without places, as SAP has them.
func whole(u dataset.Unit) (numerator, denominator string, err error) {
	ten, factor := decimal.FromInt(10), decimal.FromInt(1)
	for scale := range int32(decimal.MaxDigits) {
		_, err1 := u.Numerator.Rescale(scale)
		_, err2 := u.Denominator.Rescale(scale)
		if err1 == nil && err2 == nil {
			break
		}
		if factor, err = factor.Mul(ten); err != nil {
			return "", "", err
		}
	}
	texts := make([]string, 0, 2)
	for _, q := range []decimal.Decimal{u.Numerator, u.Denominator} {
		if q, err = q.Mul(factor); err == nil {
			q, err = q.Rescale(0)
		}
		if err != nil {
			return "", "", err
		}
		texts = append(texts, q.String())
	}
	return texts[0], texts[1], nil
}

func clipped(s string, most int) string {
	r := []rune(s)
	return string(r[:min(len(r), most)])
}

func (b *sapSide) bomItems(m dataset.Material) ([]any, error) {
	var out []any
	for i, it := range m.BOM.Items {
		q, err := fixed(it.Quantity, 3)
		if err != nil {
			return nil, err
		}
		scrap, err := fixed(it.ScrapPercent, 2)
		if err != nil {
			return nil, err
		}
		c := b.set.Material(it.Component)
		out = append(out, document{
			"BillOfMaterialItemNodeNumber": fmt.Sprintf("%08d", i+1), "HeaderChangeDocument": "", "BillOfMaterialItemNumber": it.Item,
			"BillOfMaterialComponent": it.Component, "BillOfMaterialItemQuantity": q, "BillOfMaterialItemUnit": sapCodes(it.Unit),
			"ProdOrderIssueLocation": it.Location, "ComponentScrapInPercent": scrap, "IsBatchRelevant": c != nil && c.BatchManaged,
		})
	}
	return out, nil
}

func (b *sapSide) routingOperations(m dataset.Material) ([]any, error) {
	var out []any
	for i, op := range m.Routing {
		d := document{
			"ProductionRoutingOpIntID": fmt.Sprintf("%08d", i+1), "ProductionRoutingOpIntVersion": "00000001", "Operation": op.Number,
			"OperationText": clipped(op.Description, 40), "Plant": b.set.Plant.Number, "WorkCenterInternalID": op.WorkCentre,
			"OperationControlProfile": sapCodes(op.Control),
		}
		for name, q := range map[string]decimal.Decimal{
			"OperationReferenceQuantity": op.Base, "StandardWorkQuantity1": op.Setup, "StandardWorkQuantity2": op.Machine, "StandardWorkQuantity3": op.Labour,
		} {
			text, err := fixed(q, 3)
			if err != nil {
				return nil, err
			}
			d[name] = text
		}
		for _, name := range []string{"StandardWorkQuantityUnit1", "StandardWorkQuantityUnit2", "StandardWorkQuantityUnit3"} {
			d[name] = sapCodes(op.TimeUnit)
		}
		out = append(out, d)
	}
	return out, nil
}

// release has SAP's planner release one order, as people there do: not through a service.
func (b *sapSide) release(o dataset.Order, start time.Time) error {
	b.orders++
	n := b.orders + int(b.now.Load().Now().Unix()%1_000_000)*100 // unlike those of earlier runs
	m := b.set.Material(o.Material)
	base, _ := m.ToBase(o.Quantity, o.Unit) // the set was checked when it was read
	quantity, err := fixed(o.Quantity, 3)
	if err != nil {
		return err
	}
	var ops, components []any
	for i, op := range m.Routing {
		ops = append(ops, document{
			"OrderInternalBillOfOperations": fmt.Sprintf("%010d", n), "OrderIntBillOfOperationsItem": fmt.Sprintf("%08d", i+1),
			"ManufacturingOrderOperation": op.Number, "MfgOrderOperationText": clipped(op.Description, 40), "WorkCenter": op.WorkCentre,
			"OperationControlProfile": sapCodes(op.Control),
		})
	}
	for i, it := range m.BOM.Items {
		need, err := m.BOM.Requirement(it, base)
		if err != nil {
			return err
		}
		q, err := fixed(need, 3)
		if err != nil {
			return err
		}
		components = append(components, document{
			"Reservation": fmt.Sprintf("%010d", n), "ReservationItem": fmt.Sprintf("%04d", i+1), "ReservationRecordType": "", "Material": it.Component,
			"RequiredQuantity": q, "BaseUnit": sapCodes(it.Unit), "ManufacturingOrderOperation": it.Operation, "StorageLocation": it.Location,
			"Plant": b.set.Plant.Number, "MatlCompIsMarkedForBackflush": false,
		})
	}
	start = start.In(b.zone).Truncate(time.Minute)
	end := start.Add(8 * time.Hour)
	return b.now.Load().Seed("A_ProductionOrder_2", document{
		"ManufacturingOrder": fmt.Sprintf("%012d", n), "ManufacturingOrderType": "PP01", "Material": m.Number, "ProductionPlant": b.set.Plant.Number,
		"TotalQuantity": quantity, "ProductionUnit": sapCodes(o.Unit), "OrderIsReleased": "X", "StorageLocation": o.Location,
		"MfgOrderScheduledStartDate": start.Format(time.DateOnly), "MfgOrderScheduledStartTime": start.Format(time.TimeOnly),
		"MfgOrderScheduledEndDate": end.Format(time.DateOnly), "MfgOrderScheduledEndTime": end.Format(time.TimeOnly),
		"to_ProductionOrderOperation": ops, "to_ProductionOrderComponent": components,
	})
}
