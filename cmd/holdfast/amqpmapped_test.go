package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// eventMapping makes another event of a confirmation, under a routing key of its own.
const eventMapping = `from: {kind: order.completed, version: 1}
to: {event: plant.done}
fields:
  order: src.order.number
  made: {value: decimal(src.yield) + decimal(src.rework), scale: 3, round: never, as: string}
  by: {when: has(src.by), value: src.by}
`

const eventExample = `- name: all that was made
  kind: order.completed
  body: |
    {"plant":"1000","zone":"Europe/Berlin","order":{"id":"o-1","number":"1000001","material":"FG-100","unit":"PCE"},
     "completedAt":"2026-11-24T10:00:00Z","yield":"9.5","scrap":"0","rework":"0.25","received":"9.5","by":"anna"}
  want:
    target: plant.done
    body: |
      {"order":"1000001","made":"9.750","by":"anna"}
`

// TestAMappedEventGoesOutUnderItsKey: a mapping to an event is loaded, checked, tested and applied, and its document is published under the key that it
// names, as data of the event's own envelope.
func TestAMappedEventGoesOutUnderItsKey(t *testing.T) {
	p := startBrokerPlant(t, func(text string) string {
		mappings := t.TempDir()
		for name, text := range map[string]string{"done/order.completed.yaml": eventMapping, "done/order.completed.example.yaml": eventExample} {
			file := filepath.Join(mappings, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			written(t, file, text)
		}
		return "mappings: " + mappings + "\n" + strings.Replace(text, `{kinds: ["order.*"], link: erp}`, `{kinds: [order.completed], link: erp, mapping: done}`, 1)
	})
	p.command("mapping", "check")
	if out := p.command("mapping", "test", "done/order.completed", "--fuzz", "20"); !strings.Contains(out, "20 made-up messages of done/order.completed: ") {
		t.Errorf("mapping test says %s", out)
	}
	p.owes("done", "order.completed", `{"plant":"1000","zone":"Europe/Berlin","order":{"id":"o-1","number":"1000001","material":"FG-100","unit":"PCE"},"completedAt":"2026-11-24T10:00:00Z","yield":"9.5","scrap":"0","rework":"0.25","received":"9.5"}`)
	var key string
	var got map[string]any
	p.until("the ERP has the document", func() bool {
		for _, d := range p.broker.Drain(t, p.out) {
			key = d.RoutingKey
			if err := json.Unmarshal(d.Body, &got); err != nil {
				t.Fatal(err)
			}
		}
		return got != nil
	})
	data, _ := got["data"].(map[string]any)
	if key != "plant.done" || got["type"] != "order.completed" || len(data) != 2 || data["made"] != "9.750" || data["order"] != "1000001" {
		t.Errorf("under %q came %v", key, got)
	}
	if of, _ := got["documentof"].(string); !strings.HasPrefix(of, "done/order.completed@") {
		t.Errorf("documentof = %q", of)
	}
}

// owes has the plant owe its ERP an event of lane o1 with a body.
func (p *brokerPlant) owes(id, kind, body string) {
	p.t.Helper()
	err := p.db.InTx(p.t.Context(), func(tx *store.Tx) error {
		m, err := message.New(id, kind, "o1", tx.Now, json.RawMessage(body))
		if err != nil {
			return err
		}
		return p.outbox.Append(p.t.Context(), tx, m)
	})
	if err != nil {
		p.t.Fatal(err)
	}
}
