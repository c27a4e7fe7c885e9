package erpbroker_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	amqp091 "github.com/rabbitmq/amqp091-go"
	"golang.org/x/sync/errgroup"

	"holdfast/adapters/amqp"
	"holdfast/adapters/amqp/amqptest"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/rest"
	"holdfast/cmd/holdfast/internal/erpbroker"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/openapi"
)

// world is a mock ERP behind a real broker.
type world struct {
	t       *testing.T
	broker  *amqptest.Broker
	mock    *erpmock.Mock
	events  string // queue of what the plant owes
	answers string // queue of what the ERP says
	erp     *erpbroker.ERP
	run     *errgroup.Group
	stop    context.CancelFunc
	dir     string
	api     string
}

func open(t *testing.T, faults ...erpmock.Fault) *world {
	t.Helper()
	w := &world{t: t, broker: amqptest.Shared(t), dir: t.TempDir()}
	w.events, w.answers = w.broker.Queue(t, amqp091.Table{"x-queue-type": "quorum", "x-single-active-consumer": true}), w.broker.Name(t)
	var err error
	if w.mock, err = erpmock.New(openapi.ERP(), erpmock.Config{Name: "erp.yaml", Faults: faults}); err != nil {
		t.Fatal(err)
	}
	if err := w.mock.Seed("material", map[string]any{"number": "FG-100", "description": "Frame", "baseUnit": "PCE", "batchManaged": true}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w.api = "http://" + l.Addr().String()
	g, ctx := errgroup.WithContext(context.WithoutCancel(t.Context()))
	ctx, cancel := context.WithCancel(ctx)
	g.Go(func() error { return erpmock.Serve(ctx, l, w.mock) })
	t.Cleanup(func() {
		cancel()
		if err := g.Wait(); err != nil {
			t.Error(err)
		}
		_ = w.mock.Close() // it has no ledger
	})
	w.start(nil)
	t.Cleanup(w.end)
	return w
}

// start opens the ERP's side.
func (w *world) start(last map[string]int64) {
	w.t.Helper()
	log := slog.New(slog.DiscardHandler)
	api, err := rest.Open(rest.Config{
		BaseURL: w.api, Spec: rest.Builtin, Timeout: time.Second, AskAfter: time.Second,
		Envelope: rest.Envelope{MessageID: "messageId", Digest: "digest", Lane: "lane", LaneNumber: "laneNumber"},
		Default: rest.Operation{Receipt: "/number", Ask: &rest.Ask{
			Operation: "findDocument", Param: "messageId", Items: "/items", Match: "/messageId", Number: "/number", Kind: "/type",
		}},
		Polls: []rest.PollConfig{{
			Name: "materials", Operation: "listMaterials", Mapping: "erp-in/material", Kind: "erp.material", Source: "urn:erp", Every: 50 * time.Millisecond,
			Key: "/number", Version: "/version", Time: "/changedAt", Items: "/items", Since: "changedAfter", Token: "/changeToken", Page: "cursor", NextPage: "/nextCursor",
		}},
	}, nil, log)
	if err != nil {
		w.t.Fatal(err)
	}
	broker, err := amqp.Open(amqp.Config{
		Addresses: []string{w.broker.Address}, User: w.broker.User, Password: "env:NOTHING", Exchanges: []amqp.Exchange{{Name: w.answers}},
		Queues:  []amqp.Queue{{Name: w.answers, Bindings: []amqp.Binding{{Exchange: w.answers, Key: "#"}}}},
		Publish: &amqp.Publish{Exchange: w.answers}, Receive: &amqp.Receive{Queue: w.events},
	}, func(context.Context, string) (string, error) { return w.broker.Password, nil }, log)
	if err != nil {
		w.t.Fatal(err)
	}
	rules, err := mapping.Load(mapping.Library())
	if err != nil {
		w.t.Fatal(err)
	}
	w.erp, err = erpbroker.Open(broker, api, rules, erpbroker.Config{
		Mapping: "erp-out", Source: "urn:erp", Numbers: filepath.Join(w.dir, "numbers"), Last: last,
	}, log)
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(w.t.Context()))
	var g *errgroup.Group
	g, ctx = errgroup.WithContext(ctx)
	g.Go(func() error { return w.erp.Run(ctx) })
	w.run, w.stop = g, func() { cancel(); _ = g.Wait(); broker.Close(); api.Close() }
}

// end stops the ERP's side, as a restart does.
func (w *world) end() {
	w.stop()
	if err := w.run.Wait(); err != nil {
		w.t.Error(err)
	}
	if err := w.erp.Close(); err != nil {
		w.t.Error(err)
	}
}

// event is one of the plant's, in the structured mode of CloudEvents.
type event map[string]any

// lot is the news of a lot that the plant made.
func lot(lane string, number int64, id, material string) event {
	return event{
		"specversion": "1.0", "id": "m-" + id, "source": "urn:plant", "type": "lot.created", "subject": lane, "time": "2026-11-24T23:30:01Z",
		"dataversion": "1", "lane": lane, "laneepoch": "1", "lanenumber": fmt.Sprint(number), "role": "event", "creates": "lot/" + id,
		"data": map[string]any{"plant": "1000", "zone": "UTC", "lot": map[string]any{"id": id, "number": "L-" + id, "material": material, "status": "unrestricted"}},
	}
}

// issue is a movement of a lot that the plant made.
func issue(lane string, number int64, id, of string) event {
	e := lot(lane, number, id, "")
	e["type"], e["creates"] = "goods.issued", "movement/"+id
	e["data"] = map[string]any{"plant": "1000", "zone": "UTC", "movement": map[string]any{
		"id": id, "type": "261", "postedAt": "2026-11-24T23:30:00Z", "postingDate": "2026-11-24", "recordedAt": "2026-11-24T23:30:01Z",
		"items": []any{map[string]any{"item": "0001", "material": "FG-100", "quantity": "1", "unit": "PCE", "batch": "L-" + of, "lot": of}},
	}}
	return e
}

// tell puts events into the queue of the ERP.
func (w *world) tell(events ...event) {
	w.t.Helper()
	for _, e := range events {
		text, err := json.Marshal(e)
		if err != nil {
			w.t.Fatal(err)
		}
		w.broker.Put(w.t, w.events, amqp091.Publishing{ContentType: "application/cloudevents+json", MessageId: fmt.Sprint(e["id"]), Body: text})
	}
}

// said is an answer of the ERP.
type said struct{ Kind, Message, Document, Code, Text string }

// hear waits for n answers of the ERP to the plant's events.
func (w *world) hear(n int) []said {
	w.t.Helper()
	var all []said
	for _, in := range w.listen(n, func(kind string) bool { return kind == outbox.ReceiptKind || kind == outbox.RefusalKind }) {
		s := said{Kind: in.Type}
		if err := json.Unmarshal(in.Body, &s); err != nil {
			w.t.Fatal(err)
		}
		s.Kind = in.Type
		all = append(all, s)
	}
	return all
}

func (w *world) listen(n int, wanted func(kind string) bool) []amqp091.Delivery {
	w.t.Helper()
	var all []amqp091.Delivery
	err := w.broker.Do(func(ch *amqp091.Channel) error {
		for until := time.Now().Add(2 * time.Minute); len(all) < n && time.Now().Before(until); {
			d, ok, err := ch.Get(w.answers, true)
			if err != nil {
				return err
			}
			if ok && wanted(d.Type) {
				all = append(all, d)
			}
			if !ok {
				time.Sleep(20 * time.Millisecond) // a queue cannot be waited for by Get
			}
		}
		return nil
	})
	if err != nil || len(all) < n {
		w.t.Fatalf("the ERP said %d things of %d: %v", len(all), n, err)
	}
	return all
}

// effects are the messages that the ERP has made a document of, in order.
func (w *world) effects() (ids []string) {
	for _, e := range w.mock.Effects() {
		if e.Act == "created" && e.MessageID != "" {
			ids = append(ids, e.MessageID)
		}
	}
	return ids
}

func (w *world) want(ids ...string) {
	w.t.Helper()
	if got := w.effects(); !slices.Equal(got, ids) {
		w.t.Errorf("the ERP has made documents of %q, want %q", got, ids)
	}
}

// TestALaneKeepsItsOrder although an event comes early, and one twice; a void counts and has no effect.
func TestALaneKeepsItsOrder(t *testing.T) {
	w := open(t)
	void := lot("o1", 2, "void", "FG-100")
	void["role"] = string(message.Void)
	w.tell(lot("o1", 3, "c", "FG-100"), void, lot("o1", 1, "a", "FG-100"), lot("o1", 3, "c", "FG-100"), lot("o1", 4, "d", "FG-100"))
	got := w.hear(4)
	w.want("m-a", "m-c", "m-d")
	if got[1] != got[2] || got[0].Kind != outbox.ReceiptKind || got[0].Document == "" || got[0].Message != "m-a" {
		t.Errorf("the ERP said %+v", got)
	}
}

// TestALostAnswerIsAskedFor: what took effect and was not answered has one effect, and its receipt.
func TestALostAnswerIsAskedFor(t *testing.T) {
	w := open(t, erpmock.Fault{Kind: erpmock.Lost, Operation: "createBatch", Count: 1},
		erpmock.Fault{Kind: erpmock.Status, Operation: "createBatch", Status: 502, Phase: erpmock.After, Skip: 1, Count: 1})
	w.tell(lot("o1", 1, "a", "FG-100"), lot("o1", 2, "b", "FG-100"))
	w.hear(2)
	w.want("m-a", "m-b")
}

// TestAnEventWaitsForANumber that a later event brings, and holds up its own lane only. The number outlives the process.
func TestAnEventWaitsForANumber(t *testing.T) {
	w := open(t)
	w.tell(issue("o1", 1, "i", "l"), lot("o1", 2, "z", "FG-100"), lot("o2", 1, "x", "FG-100"), lot("o3", 1, "l", "FG-100"))
	w.hear(4)
	ids := w.effects()
	if at := slices.Index(ids, "m-i"); at < slices.Index(ids, "m-l") || at > slices.Index(ids, "m-z") || len(ids) != 4 {
		t.Errorf("the ERP has made documents of %q", ids)
	}
	w.end()
	w.start(map[string]int64{"o1": 2, "o2": 1, "o3": 1})
	w.tell(issue("o1", 3, "j", "l"), lot("o1", 2, "z", "FG-100"))
	w.hear(2)
	w.want(append(ids, "m-j")...)
}

// TestTheERPRefuses what it cannot take, in its own words, and what is no event; the lane goes on.
func TestTheERPRefuses(t *testing.T) {
	w := open(t)
	altered := lot("o1", 2, "b", "FG-100")
	altered["digest"] = "not it"
	w.tell(lot("o1", 1, "a", "NO-SUCH"), altered, lot("o1", 3, "c", "FG-100"))
	got := w.hear(3)
	w.want("m-c")
	if got[0].Kind != outbox.RefusalKind || got[0].Message != "m-a" || got[0].Text == "" || got[1].Code != "integrity" || got[2].Document == "" {
		t.Errorf("the ERP said %+v", got)
	}
}

// TestChangesAreTold with the version of their object, each state once.
func TestChangesAreTold(t *testing.T) {
	w := open(t)
	isMaterial := func(kind string) bool { return kind == "erp.material" }
	first := w.listen(1, isMaterial)[0]
	if err := w.mock.Seed("material", map[string]any{"number": "RM-200", "description": "Steel", "baseUnit": "KGM"}); err != nil {
		t.Fatal(err)
	}
	second := w.listen(1, isMaterial)[0]
	if first.Headers["cloudEvents_objectversion"] == nil || first.Headers["cloudEvents_subject"] != "FG-100" || second.Headers["cloudEvents_subject"] != "RM-200" {
		t.Errorf("the ERP said %v, then %v", first.Headers, second.Headers)
	}
}
