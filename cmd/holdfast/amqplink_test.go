package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// brokerPlant is a running plant whose ERP is behind the shared broker; the test plays the ERP.
type brokerPlant struct {
	*floors
	t      *testing.T
	broker *amqptest.Broker
	file   string
	out    string // queue of what the plant owes
	in     string // queue of what the ERP says
}

// startBrokerPlant starts one; edit may change its configuration.
func startBrokerPlant(t *testing.T, edit ...func(text string) string) *brokerPlant {
	t.Helper()
	b := amqptest.Shared(t)
	p := &brokerPlant{t: t, broker: b, file: filepath.Join(t.TempDir(), "holdfast.yaml"), out: b.Name(t), in: b.Name(t)}
	t.Setenv("HOLDFAST_TEST_MQ_PASSWORD", b.Password)
	text := fmt.Sprintf(`plant: {number: "1000"}
api: {listen: "127.0.0.1:0"}
ops: {listen: "127.0.0.1:0"}
links:
  erp:
    kind: amqp
    addresses: [%q]
    user: %s
    password: env:HOLDFAST_TEST_MQ_PASSWORD
    exchanges: [{name: %[3]s}]
    queues:
      - {name: %[3]s, bindings: [{exchange: %[3]s, key: "#"}]}
      - {name: %[4]s}
    publish: {exchange: %[3]s}
    receive: {queue: %[4]s, mappings: {erp.material: erp-in/material}}
routes:
  - {kinds: ["order.*"], link: erp}
`, b.Address, b.User, p.out, p.in)
	for _, e := range edit {
		text = e(text)
	}
	if err := os.WriteFile(p.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := loadConfig(p.file)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	run := &process{}
	if run.tel, err = openTelemetry(ctx, cfg.Telemetry); err != nil {
		t.Fatal(err)
	}
	if run.floors, err = openFloors(ctx, cfg, store.Config{}, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	if err := run.takeSeat(ctx); err != nil {
		t.Fatal(err)
	}
	if err := run.openKeys(ctx); err != nil {
		t.Fatal(err)
	}
	if err := run.listen(ctx); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- run.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		for _, err := range []error{<-ended, run.Close(), run.tel.Close(context.Background())} {
			if err != nil {
				t.Error(err)
			}
		}
	})
	p.floors = run.floors
	return p
}

// owe has the plant owe its ERP an event of lane o1, and gives the event's ID as the ERP gets it.
func (p *brokerPlant) owe(id, kind, creates string) string {
	p.t.Helper()
	err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
		m, err := message.New(id, kind, "o1", tx.Now, map[string]string{"id": id})
		if err != nil {
			return err
		}
		m.Creates = creates
		return p.outbox.Append(p.t.Context(), tx, m)
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return outbox.MessageID("erp", id)
}

// gets waits until the queue of the ERP has an event, and gives its attributes.
func (p *brokerPlant) gets() (event map[string]any) {
	p.t.Helper()
	p.until("the ERP has an event", func() bool {
		for _, d := range p.broker.Drain(p.t, p.out) {
			if err := json.Unmarshal(d.Body, &event); err != nil {
				p.t.Fatal(err)
			}
		}
		return event != nil
	})
	return event
}

// says has the ERP say something.
func (p *brokerPlant) says(kind string, body map[string]any) {
	p.t.Helper()
	text, err := json.Marshal(map[string]any{
		"specversion": "1.0", "id": fmt.Sprintf("%s/%v", kind, body["message"]), "source": "urn:erp", "type": kind, "subject": "o1",
		"time": time.Now().Format(time.RFC3339Nano), "data": body,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	p.broker.Put(p.t, p.in, amqp091.Publishing{ContentType: "application/cloudevents+json", Body: text})
}

func (p *brokerPlant) until(what string, so func() bool) {
	p.t.Helper()
	if err := until(p.t.Context(), patience, what, func() (bool, error) { return so(), nil }); err != nil {
		p.t.Fatal(err)
	}
}

// command runs a command on the configuration of the plant.
func (p *brokerPlant) command(args ...string) string {
	p.t.Helper()
	var out bytes.Buffer
	if got := run(p.t.Context(), append(args, "--config", p.file), &out, &out); got != 0 {
		p.t.Fatalf("%q ended with %d: %s", args, got, &out)
	}
	return out.String()
}

// TestTheERPAnswersOverRabbitMQ: the plant's event arrives signed and in its place; a receipt becomes that of the message; a refusal is
// shown in the ERP's words and parks the lane; an answer to nothing goes to quarantine.
func TestTheERPAnswersOverRabbitMQ(t *testing.T) {
	p := startBrokerPlant(t)
	created := p.owe("a", "order.created", "order/o1")
	if e := p.gets(); e["id"] != created || e["lane"] != "o1" || e["lanenumber"] != "1" || e["creates"] != "order/o1" || e["digest"] == nil {
		t.Errorf("the ERP got %v", e)
	}
	p.says(outbox.ReceiptKind, map[string]any{"message": created, "document": "4711", "kind": "productionOrder"})
	p.until("the receipt is shown", func() bool {
		return strings.Contains(p.command("msg", "show", created), "delivered as productionOrder 4711")
	})

	completed := p.owe("b", "order.completed", "")
	p.gets()
	p.says(outbox.RefusalKind, map[string]any{"message": completed, "code": "M7", "text": "the period is closed"})
	p.until("the lane is parked", func() bool { return strings.Contains(p.command("lane", "list", "--stuck"), "o1") })
	for _, args := range [][]string{{"msg", "show", completed}, {"msg", "list", "--refused", "--json"}} {
		if got := p.command(args...); !strings.Contains(got, "M7: the period is closed") {
			t.Errorf("%q says %s", args, got)
		}
	}
	if got := p.command("status"); !strings.Contains(got, "the ERP refused 1 message that link erp had delivered") {
		t.Errorf("status says %s", got)
	}
	waiting := p.owe("c", "order.completed", "")
	p.command("lane", "resume", "erp", "o1", "--reason", "the period is open")
	if e := p.gets(); e["id"] != waiting || e["lanenumber"] != "3" {
		t.Errorf("after the lane goes on the ERP got %v", e)
	}

	p.says(outbox.ReceiptKind, map[string]any{"message": "nobody's", "document": "1"})
	p.until("the answer to nothing is in quarantine", func() bool { return strings.Contains(p.command("quarantine", "list"), outbox.ReceiptKind) })
	if got := p.command("doctor"); !strings.Contains(got, "ok    link erp: "+p.broker.Address+" answers as it should") {
		t.Errorf("doctor says %s", got)
	}
}

// TestTheDemoOverRabbitMQ: the main job through a broker that is stopped in the middle of it, on both databases.
func TestTheDemoOverRabbitMQ(t *testing.T) {
	if _, err := exec.LookPath("rabbitmq-server"); err != nil && os.Getenv("CI") == "" {
		t.Skip("skipped for want of rabbitmq-server")
	}
	for _, database := range []string{"sqlite", "postgres"} {
		t.Run(database, func(t *testing.T) {
			dir := t.TempDir()
			args := []string{"demo", "--once", "--json", "--link", "amqp", "--orders", "6", "--outage", "1s", "--data", dir}
			if database == "postgres" {
				args = append(args, "--database", storetest.PostgresURL(t))
			}
			if got, want := playOverRabbitMQ(t, args...), 1; got != want {
				t.Errorf("the broker was restarted %d times, want %d", got, want)
			}
			checkNumbers(t, dir)
		})
	}
}

// playOverRabbitMQ runs a demo, which must show what it promises, and says how often the broker was restarted.
func playOverRabbitMQ(t *testing.T, args ...string) (restarts int) {
	t.Helper()
	var out, errs bytes.Buffer
	if got := run(t.Context(), args, &out, &errs); got != 0 {
		t.Fatalf("status %d: %s%s", got, out.String(), errs.String())
	}
	var r struct {
		Messages, Delivered, Lost, Duplicated int
		OutOfOrder                            int     `json:"out_of_order"`
		Restarts                              int     `json:"broker_restarts"`
		Share                                 float64 `json:"share_made_while_down"`
		Link                                  string
	}
	if err := json.Unmarshal(out.Bytes(), &r); err != nil {
		t.Fatalf("stdout is not one JSON object: %v\n%s", err, out.String())
	}
	if r.Messages == 0 || r.Delivered != r.Messages || r.Lost+r.Duplicated+r.OutOfOrder != 0 || r.Link != "amqp" || r.Share < 0.4 {
		t.Errorf("got %+v", r)
	}
	return r.Restarts
}

// TestTheDemoOnABrokerThatRuns is cut off from it for the outage, and leaves nothing on it.
func TestTheDemoOnABrokerThatRuns(t *testing.T) {
	b := amqptest.Shared(t)
	mark := filepath.Join(t.TempDir(), "restarted")
	args := []string{"demo", "--once", "--json", "--link", "amqp", "--orders", "6", "--outage", "1s", "--broker", b.URL}
	if got, want := playOverRabbitMQ(t, append(args, "--broker-restart", "touch "+mark)...), 1; got != want {
		t.Errorf("the broker was restarted %d times, want %d", got, want)
	}
	if _, err := os.Stat(mark); err != nil {
		t.Errorf("the command was not run: %v", err)
	}
	for _, wrong := range [][]string{
		{"demo", "--once", "--broker", b.URL},
		{"demo", "--once", "--link", "amqp", "--broker-restart", "true"},
		{"demo", "--once", "--link", "amqp", "--broker", "amqp://user:hunter2@mq.example:5672/"},
		{"demo", "--once", "--link", "amqp", "--broker", b.Address},
		{"demo", "--once", "--link", "mqtt"},
	} {
		var out bytes.Buffer
		if got, want := run(t.Context(), append(wrong, "--data", t.TempDir()), &out, &out), 2; got != want || strings.Contains(out.String(), "hunter2") {
			t.Errorf("%q ended with %d, want %d: %s", wrong, got, want, &out)
		}
	}
}
