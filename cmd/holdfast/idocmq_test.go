package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/amqp"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/idocport"
	"holdfast/adapters/sap/idoc"
	"holdfast/cmd/holdfast/internal/rabbit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// movedMapping makes a goods movement of an event that says nothing else.
const movedMapping = `from: {kind: goods.issued, version: 1}
to: {idoc: MBGMCR03}
fields:
  E1MBGMCR:
    fields:
      E1BP2017_GM_HEAD_01: {fields: {PSTNG_DATE: '"2026-11-24"', DOC_DATE: '"2026-11-24"'}}
      E1BP2017_GM_CODE: {fields: {GM_CODE: '"03"'}}
      E1BP2017_GM_ITEM_CREATE:
        each: '["261"]'
        item: o
        fields: {MATERIAL: '"RM-100"', PLANT: '"1000"', MOVE_TYPE: o, ENTRY_QNT: '"1.000"', ENTRY_UOM: '"PC"'}
`

// TestIDocsOverABrokerOfTheirOwn: IDocs come and go through a RabbitMQ that is restarted in the middle.
func TestIDocsOverABrokerOfTheirOwn(t *testing.T) {
	p := startIDocPlant(t, "drops_known: true")
	t.Run("a packet", p.packetIsTakenWhole)
	t.Run("a restart", p.restartDoublesNothing)
}

// restartDoublesNothing: each IDoc is booked once, in its lane's order, and SAP's confirmation of each comes back and gives it its number.
func (p *idocPlant) restartDoublesNothing(t *testing.T) {
	const lanes, each = 4, 25
	for n := range each {
		if n == each/2 {
			p.until("some are booked", func() bool { return len(p.effects()) > lanes })
			if err := p.node.Restart(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		for lane := range lanes {
			p.owe(fmt.Sprintf("o%d", lane), n)
		}
	}
	p.until("all have their numbers", func() bool { return p.numbered() == lanes*each })
	booked := p.effects()
	if len(booked) != lanes*each {
		t.Errorf("%d IDocs are booked, want each of %d once", len(booked), lanes*each)
	}
	for lane := range lanes {
		var got, want []string
		for n := range each {
			want = append(want, outbox.MessageID("sap", fmt.Sprintf("o%d-%03d", lane, n)))
		}
		for _, id := range booked {
			if slices.Contains(want, id) {
				got = append(got, id)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("lane o%d is booked in the order %v, want %v", lane, got, want)
		}
	}
}

// packetIsTakenWhole: an order and the one after it come in one message and both get in; what is no IDoc, or from somebody else,
// goes to quarantine as it is, and holds up nothing behind it.
func (p *idocPlant) packetIsTakenWhole(t *testing.T) {
	of := idoc.Control{"MANDT": "100", "SNDPOR": "HOLDFAST", "SNDPRN": "HFPLANT1", "RCVPOR": "SAPS4H", "RCVPRN": "S4HCLNT100"}
	stranger := idoc.Control{"MANDT": "100", "SNDPOR": "HOLDFAST", "SNDPRN": "HFPLANT1", "RCVPOR": "SAPS4H", "RCVPRN": "NOBODY"}
	order := func(of idoc.Control, number, aufnr string) idoc.Document {
		d, err := idoc.FromSAP(of, "LOIPRO02", number, time.Now(), fmt.Appendf(nil, `{"E1AFKOL":{"AUFNR":%q,"AUART":"PP01","MATNR":"FG-100","WERKS":"1000","GAMNG":"100",`+
			`"GMEIN":"PC","GSTRS":"2026-11-24","GSUZS":"06:00:00","GLTRS":"2026-11-25","E1JSTKL":[{"STAT":"I0002"}]}}`, aufnr))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	packet := func(ds ...idoc.Document) amqp091.Publishing {
		text, err := idoc.WriteXML(ds)
		if err != nil {
			t.Fatal(err)
		}
		return amqp091.Publishing{ContentType: "application/xml", Body: text}
	}
	p.put(
		packet(order(of, "0000000000000901", "1000042"), order(of, "0000000000000902", "1000043")),
		amqp091.Publishing{MessageId: "poison", Body: []byte("<LOIPRO02><IDOC>")},
		packet(order(of, "0000000000000903", "1000044"), order(stranger, "0000000000000904", "1000045")),
		packet(order(of, "0000000000000905", "1000046")),
	)
	p.until("the last order is there", func() bool { return strings.Contains(p.orders(), "1000046") })
	if got := p.orders(); got != "1000042 1000043 1000046" {
		t.Errorf("the orders are %s: of a packet all or none", got)
	}
	rejected := p.rejected()
	if len(rejected) != 2 || !strings.Contains(rejected[0], "line 1") || !strings.Contains(rejected[1], `it is from "NOBODY"`) {
		t.Errorf("aside are %q, want both that cannot be taken, with the reason", rejected)
	}
}

// idocPlant is a plant whose SAP is behind a broker of the test's own.
type idocPlant struct {
	*floors
	t    *testing.T
	node *rabbit.Node
	port *idocport.Port
}

func startIDocPlant(t *testing.T, send string) *idocPlant {
	t.Helper()
	if _, err := exec.LookPath("rabbitmq-server"); err != nil && os.Getenv("CI") == "" {
		t.Skip("skipped for want of rabbitmq-server")
	}
	p := &idocPlant{t: t}
	var err error
	if p.node, err = rabbit.Open(filepath.Join(t.TempDir(), "rabbitmq")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.node.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := p.node.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.start(send)
	return p
}

// start opens the plant and its SAP.
func (p *idocPlant) start(send string) {
	p.t.Helper()
	dir := p.t.TempDir()
	p.t.Setenv("HOLDFAST_TEST_MQ_PASSWORD", p.node.Password)
	files := map[string]string{
		"mappings/moved/goods.issued.yaml": movedMapping,
		"holdfast.yaml": fmt.Sprintf(`plant: {number: "1000"}
api: {listen: "127.0.0.1:0"}
ops: {listen: "127.0.0.1:0"}
outbox: {ask_after: 100ms}
relay: {probe: 100ms, backoff: 100ms}
links:
  sap:
    kind: sap-idoc
    client: "100"
    plant: {port: HOLDFAST, system: HFPLANT1}
    sap: {port: SAPS4H, system: S4HCLNT100}
    send: {%s}
    amqp:
      addresses: [%q]
      user: %s
      password: env:HOLDFAST_TEST_MQ_PASSWORD
      queues: [{name: to-sap}, {name: from-sap}]
      publish: {key: to-sap}
      receive: {queue: from-sap}
routes:
  - {kinds: [goods.issued], link: sap, mapping: moved}
`, send, p.node.Address, p.node.User),
	}
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			p.t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			p.t.Fatal(err)
		}
	}
	p.floors = servePlant(p.t, filepath.Join(dir, "holdfast.yaml"))
	sap := p.sap()
	ctx, cancel := context.WithCancel(context.WithoutCancel(p.t.Context()))
	ended := make(chan error, 1)
	go func() { ended <- sap.Run(ctx) }()
	p.t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, sap.Close()); err != nil {
			p.t.Error(err)
		}
	})
}

// sap is one that drops an IDoc that it knows.
func (p *idocPlant) sap() brokerPort {
	p.t.Helper()
	mq, err := amqp.Open(amqp.Config{
		Addresses: []string{p.node.Address}, User: p.node.User, Password: "env:P", Declare: new(bool), Publish: &amqp.Publish{Key: "from-sap"},
		Receive: &amqp.Receive{Queue: "to-sap"},
	}, func(context.Context, string) (string, error) { return p.node.Password, nil }, slog.New(slog.DiscardHandler))
	if err != nil {
		p.t.Fatal(err)
	}
	if p.port, err = idocport.New(idocport.Config{DropsKnown: true, Pay: payOver(mq)}); err != nil {
		p.t.Fatal(err)
	}
	return brokerPort{p.port, mq}
}

// owe has the plant owe an event of a lane.
func (p *idocPlant) owe(lane string, n int) {
	p.t.Helper()
	err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
		m, err := message.New(fmt.Sprintf("%s-%03d", lane, n), "goods.issued", lane, tx.Now, map[string]string{"n": fmt.Sprint(n + 1)})
		if err != nil {
			return err
		}
		return p.outbox.Append(p.t.Context(), tx, m)
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// effects are the messages that SAP has booked, in its order.
func (p *idocPlant) effects() []string {
	var out []string
	for _, e := range erpmock.EffectsOf(p.port.Log().Entries) {
		out = append(out, e.MessageID)
	}
	return out
}

// numbered is how many messages have a document.
func (p *idocPlant) numbered() (n int) {
	p.view(func(ctx context.Context, tx *store.Tx) error {
		return tx.Get(ctx, &n, `SELECT COUNT(*) FROM outbox_delivered WHERE document LIKE '49%'`)
	})
	return n
}

// orders are the numbers of the plant's orders.
func (p *idocPlant) orders() string {
	var out []string
	p.view(func(ctx context.Context, tx *store.Tx) error {
		return tx.Select(ctx, &out, `SELECT erp_number FROM plant_orders ORDER BY erp_number`)
	})
	for i := range out {
		out[i] = strings.TrimLeft(out[i], "0")
	}
	return strings.Join(out, " ")
}

// rejected are the reasons of what is in quarantine.
func (p *idocPlant) rejected() (out []string) {
	p.view(func(ctx context.Context, tx *store.Tx) error {
		return tx.Select(ctx, &out, `SELECT reason FROM inbox_rejected ORDER BY seq`)
	})
	return out
}

func (p *idocPlant) view(fn func(ctx context.Context, tx *store.Tx) error) {
	p.t.Helper()
	if err := p.db.View(p.t.Context(), func(tx *store.Tx) error { return fn(p.t.Context(), tx) }); err != nil {
		p.t.Fatal(err)
	}
}

// put has SAP's side put messages into the plant's queue.
func (p *idocPlant) put(messages ...amqp091.Publishing) {
	p.t.Helper()
	conn, err := amqp091.DialConfig(p.node.Address, amqp091.Config{SASL: []amqp091.Authentication{&amqp091.PlainAuth{Username: p.node.User, Password: p.node.Password}}})
	if err != nil {
		p.t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err == nil {
		err = ch.Confirm(false)
	}
	for _, m := range messages {
		if err != nil {
			break
		}
		var d *amqp091.DeferredConfirmation
		if d, err = ch.PublishWithDeferredConfirm("", "from-sap", true, false, m); err == nil {
			_, err = d.WaitContext(p.t.Context())
		}
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p *idocPlant) until(what string, so func() bool) {
	p.t.Helper()
	if err := until(p.t.Context(), patience, what, func() (bool, error) { return so(), nil }); err != nil {
		p.t.Fatal(err)
	}
}
