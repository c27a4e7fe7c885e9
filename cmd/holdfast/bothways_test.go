package main

import (
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// bothWays is a plant that polls the orders of a SAP, and takes its IDocs and its webhook.
type bothWays struct {
	t      *testing.T
	f      *floors
	system *edmx.System
	in     string // the folder that IDocs come to

	midnight time.Time     // at which the day begins, by SAP's clock
	back     time.Duration // by which that clock has gone back since

	mu  sync.Mutex
	now time.Time // of SAP's clock
	n   int       // IDocs and calls so far
}

// on has the day begin at midnight of another one.
func (b *bothWays) on(year int, month time.Month, day int) {
	b.midnight = time.Date(year, month, day, 0, 0, 0, 0, b.midnight.Location())
}

func openBothWays(t *testing.T, database string) *bothWays {
	t.Helper()
	t.Setenv("HOLDFAST_TEST_DB", database)
	services, err := sapServices()
	if err != nil {
		t.Fatal(err)
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	b := &bothWays{t: t, in: filepath.Join(t.TempDir(), "in"), now: time.Date(2026, 11, 24, 6, 0, 0, 0, berlin)}
	b.midnight = b.now.Add(-6 * time.Hour)
	now := func() time.Time { b.mu.Lock(); defer b.mu.Unlock(); return b.now }
	if b.system, err = edmx.NewSystem(edmx.Config{Now: now, Zone: berlin, Coarse: true}, services...); err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(b.system.Handler())
	t.Cleanup(srv.Close)
	if err := os.Mkdir(b.in, 0o700); err != nil {
		t.Fatal(err)
	}
	b.f = servePlant(t, written(t, filepath.Join(t.TempDir(), "holdfast.yaml"), fmt.Sprintf(`plant: {number: "1000", zone: Europe/Berlin}
database: {url: "env:HOLDFAST_TEST_DB"}
api: {listen: "127.0.0.1:0"}
ops: {listen: "127.0.0.1:0"}
links:
  erp: {kind: sap, base_url: %q, every: 20ms}
  idocs:
    kind: sap-idoc
    client: "100"
    plant: {port: HOLDFAST, system: HFPLANT1}
    sap: {port: SAPS4H, system: S4HCLNT100}
    receive: {folder: %q, every: 20ms}
`, srv.URL, b.in)))
	return b
}

// at sets SAP's clock to a time of the day.
func (b *bothWays) at(clock string) {
	b.t.Helper()
	at, err := time.Parse(time.TimeOnly, clock)
	if err != nil {
		b.t.Fatal(err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.midnight.Add(time.Duration(at.Hour())*time.Hour + time.Duration(at.Minute())*time.Minute + time.Duration(at.Second())*time.Second + b.back)
	if got := b.now.Format(time.TimeOnly); got != clock {
		b.t.Fatalf("SAP's clock shows %s, not %s", got, clock)
	}
}

// polled has SAP make or change an order, which the plant polls.
func (b *bothWays) polled(clock, number, quantity string) {
	b.t.Helper()
	b.at(clock)
	for _, m := range b.system.Services() {
		if m.Model().Sets["A_ProductionOrder_2"] != nil && m.Change("A_ProductionOrder_2", "ManufacturingOrder", number, map[string]any{"TotalQuantity": quantity}) > 0 {
			return
		}
	}
	if err := b.system.Seed("A_ProductionOrder_2", map[string]any{
		"ManufacturingOrder": number, "Material": "FG-100", "ProductionPlant": "1000", "TotalQuantity": quantity, "ProductionUnit": "PC", "OrderIsReleased": "X",
		"MfgOrderScheduledStartDate": "2026-11-24T00:00:00", "MfgOrderScheduledEndDate": "2026-11-25T00:00:00", "to_ProductionOrderOperation": []any{map[string]any{
			"OrderInternalBillOfOperations": number, "OrderIntBillOfOperationsItem": "1", "ManufacturingOrder": number, "ManufacturingOrderOperation": "0010", "WorkCenter": "MILL-01", "OperationControlProfile": "PP01",
		}},
	}); err != nil {
		b.t.Fatal(err)
	}
}

// carried has an IDoc come that SAP made at a time, whenever it comes, and waits until the plant has acted on it.
func (b *bothWays) carried(made, number, quantity string) {
	b.t.Helper()
	b.n++
	text := fmt.Sprintf(`<LOIPRO02><IDOC BEGIN="1"><EDI_DC40 SEGMENT="1"><TABNAM>EDI_DC40</TABNAM><MANDT>100</MANDT><DOCNUM>%016d</DOCNUM><DIRECT>1</DIRECT><IDOCTYP>LOIPRO02</IDOCTYP><MESTYP>LOIPRO</MESTYP>
<SNDPOR>SAPS4H</SNDPOR><SNDPRT>LS</SNDPRT><SNDPRN>S4HCLNT100</SNDPRN><RCVPRN>HFPLANT1</RCVPRN><CREDAT>%s</CREDAT><CRETIM>%s</CRETIM></EDI_DC40>
<E1AFKOL SEGMENT="1"><AUFNR>%s</AUFNR><MATNR>FG-100</MATNR><WERKS>1000</WERKS><GAMNG>%s</GAMNG><GMEIN>PC</GMEIN><GSTRS>20261124</GSTRS><GLTRS>20261125</GLTRS><E1JSTKL SEGMENT="1"><STAT>I0002</STAT></E1JSTKL>
<E1AFFLL SEGMENT="1"><FLGAT>0</FLGAT><E1AFVOL SEGMENT="1"><VORNR>0010</VORNR><ARBPL>MILL-01</ARBPL><STEUS>PP01</STEUS></E1AFVOL></E1AFFLL></E1AFKOL></IDOC></LOIPRO02>`,
		b.n, b.midnight.Format("20060102"), strings.ReplaceAll(made, ":", ""), number, quantity)
	for range 2 { // SAP repeats what it has lost the answer to
		file := filepath.Join(b.in, fmt.Sprintf("%d.tmp", b.n))
		written(b.t, file, text)
		if err := os.Rename(file, strings.TrimSuffix(file, "tmp")+"xml"); err != nil {
			b.t.Fatal(err)
		}
		b.settled("an IDoc is settled", func() int {
			return b.count(`SELECT COUNT(*) FROM inbox_messages WHERE source LIKE 'urn:sap:idoc:%' AND state <> 'ready'`)
		}, b.n)
	}
}

// pushed has a webhook bring an order with the change time that SAP gave it.
func (b *bothWays) pushed(changed, number, quantity string) {
	b.t.Helper()
	in := message.Incoming{Message: message.Message{
		ID: number + "@" + changed, Source: "urn:webhook", Kind: mes.OrderReleasedKind, Version: 1, Key: "order/" + number, Time: b.now, Place: message.Place{Role: message.Event},
		Body: fmt.Appendf(nil, `{"erpNumber":%q,"erpVersion":"20261124%s","plant":"1000","material":"FG-100","quantity":%q,"unit":"PCE","start":"2026-11-24T00:00:00+01:00","end":"2026-11-25T00:00:00+01:00","operations":[{"number":"0010","workCentre":"MILL-01","controlKey":"confirm"}]}`, number, strings.ReplaceAll(changed, ":", ""), quantity),
	}}
	for range 2 {
		if all, err := b.f.inbox.ReceiveAll(b.t.Context(), []message.Incoming{in}, "erp"); err != nil || all[0].Err != nil {
			b.t.Fatal(all, err)
		}
	}
	b.settled("the webhook's are settled", func() int { return b.count(`SELECT COUNT(*) FROM inbox_messages WHERE state = 'ready'`) }, 0)
}

func (b *bothWays) count(query string) (n int) {
	b.t.Helper()
	if err := b.f.db.View(b.t.Context(), func(tx *store.Tx) error { return tx.Get(b.t.Context(), &n, query) }); err != nil {
		b.t.Fatal(err)
	}
	return n
}

func (b *bothWays) settled(what string, count func() int, want int) {
	b.t.Helper()
	if err := until(b.t.Context(), patience, what, func() (bool, error) { return count() == want, nil }); err != nil {
		b.t.Fatal(err)
	}
}

// has waits until an order has a quantity.
func (b *bothWays) has(number, quantity string) (o mes.Order) {
	b.t.Helper()
	err := until(b.t.Context(), 20*time.Second, "order "+number+" has "+quantity, func() (bool, error) {
		err := b.f.db.View(b.t.Context(), func(tx *store.Tx) (err error) {
			o, err = b.f.plant.OrderByNumber(b.t.Context(), tx, number)
			return err
		})
		if problem.KindOf(err) == problem.NotFound {
			return false, nil
		}
		return strings.TrimSuffix(o.Quantity.String(), ".000") == strings.TrimSuffix(quantity, ".000"), err
	})
	if err != nil {
		var why []string
		_ = b.f.db.View(b.t.Context(), func(tx *store.Tx) error { // for the message below
			return tx.Select(b.t.Context(), &why, `SELECT state || ' ' || id || ': ' || problem || ' ' || reason FROM inbox_messages`)
		})
		b.t.Fatalf("%v: it has %s; the inbox has %q", err, o.Quantity, why)
	}
	return o
}

// stays has the plant poll a few times more, after which an order still is as it was.
func (b *bothWays) stays(was mes.Order) {
	b.t.Helper()
	begin := b.count(`SELECT MAX(polled_at) FROM inbox_cursors`)
	b.settled("it is polled again", func() int { return min(1, b.count(`SELECT MAX(polled_at) FROM inbox_cursors`)-begin-200_000) }, 1)
	if now := b.has(was.Number, was.Quantity.String()); now.Version != was.Version {
		b.t.Errorf("order %s was changed from version %d to %d by what it had already", was.Number, was.Version, now.Version)
	}
}

// TestAnOrderThatComesByPollAndByPushIsOneOrder: the same production order is polled (OData), sent (IDoc), and pushed (a webhook). Each state has its effect
// once, the newer wins whichever way it comes, and the older is passed over; though IDocs write order numbers with zeros and services without.
func TestAnOrderThatComesByPollAndByPushIsOneOrder(t *testing.T) {
	for name, url := range map[string]func(t *testing.T) string{
		"sqlite":   func(t *testing.T) string { return "sqlite:" + filepath.Join(t.TempDir(), "plant.db") },
		"postgres": func(t *testing.T) string { return storetest.PostgresURL(t) },
	} {
		t.Run(name, func(t *testing.T) {
			b := openBothWays(t, url(t))
			b.polled("06:00:00", "1000042", "100")
			b.has("1000042", "100")
			b.carried("06:05:00", "000001000042", "120.000")
			o := b.has("1000042", "120")
			b.carried("05:50:00", "000001000042", "90.000") // it waited somewhere
			b.pushed("06:04:00", "1000042", "95")
			b.stays(o)
			b.polled("06:10:00", "1000042", "130")
			o = b.has("1000042", "130")
			b.carried("06:08:00", "000001000042", "125.000")
			b.stays(o)
			b.pushed("06:12:00", "1000042", "140")
			o = b.has("1000042", "140")
			b.carried("06:11:00", "000001000042", "135.000")
			b.stays(o)

			b.carried("06:20:00", "000001000043", "7.000") // this one is sent first
			b.has("000001000043", "7")
			b.polled("06:19:59", "1000043", "7")
			b.polled("06:21:00", "1000043", "8")
			b.has("000001000043", "8")
			if n := b.count(`SELECT COUNT(*) FROM plant_orders`); n != 2 {
				t.Errorf("the plant has %d orders, want 2", n)
			}
			if n := b.count(`SELECT COUNT(*) FROM inbox_messages WHERE state IN ('ready', 'quarantined')`) + b.count(`SELECT COUNT(*) FROM inbox_rejected`); n != 0 {
				t.Errorf("%d messages had no effect", n)
			}
		})
	}
}

// TestAnOrderThatComesByPollAndByPushInAutumnsHourIsOneOrder: from 03:00 SAP's clock goes back to 02:00, and neither the change time of the services nor
// the time of an IDoc says which of the two hours it is of. The order has SAP's last state in the end, whichever way that comes first, and none before it
// comes back.
func TestAnOrderThatComesByPollAndByPushInAutumnsHourIsOneOrder(t *testing.T) {
	b := openBothWays(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	b.on(2026, time.October, 25)
	b.polled("02:40:00", "1000042", "100")
	b.has("1000042", "100")
	b.carried("02:50:00", "000001000042", "105.000")
	b.polled("02:50:00", "1000042", "105")
	b.has("1000042", "105")

	b.back = time.Hour
	b.polled("02:05:00", "1000042", "110")
	o := b.has("1000042", "110")
	b.carried("02:45:00", "000001000042", "102.000") // of the first hour
	b.stays(o)
	b.carried("02:05:00", "000001000042", "110.000")
	b.stays(o)
	b.carried("02:10:00", "000001000042", "120.000") // before it is polled
	b.polled("02:10:00", "1000042", "120")
	b.has("1000042", "120")
	b.carried("02:20:00", "000001000043", "7.000") // an order that is sent first
	b.has("000001000043", "7")
	b.polled("02:20:00", "1000043", "7")
	b.polled("02:21:00", "1000043", "8")
	o = b.has("000001000043", "8")
	b.carried("02:20:30", "000001000043", "9.000")
	b.stays(o)
	b.carried("03:00:01", "000001000042", "130.000")
	o = b.has("1000042", "130")
	b.polled("03:00:01", "1000042", "130")
	b.stays(o)
	if n := b.count(`SELECT COUNT(*) FROM plant_orders`); n != 2 {
		t.Errorf("the plant has %d orders, want 2", n)
	}
	if n := b.count(`SELECT COUNT(*) FROM inbox_messages WHERE state IN ('ready', 'quarantined')`) + b.count(`SELECT COUNT(*) FROM inbox_rejected`); n != 0 {
		t.Errorf("%d messages had no effect", n)
	}
}
