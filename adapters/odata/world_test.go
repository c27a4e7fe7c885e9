package odata

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/internal/message"
)

// dialect is one form in which the same service is served and called.
type dialect struct {
	name, file, set, root string
	batch                 int
	format                string
}

const conf = "API_PROD_ORDER_CONFIRMATION_2_SRV"

// dialects are those that every test of behaviour is run in.
func dialects() []dialect {
	v2, v4 := "/sap/opu/odata/sap/"+conf, "/sap/opu/odata4/confirmation/0001"
	return []dialect{
		{"V2", "confirmation-v2.xml", "ProdnOrdConf2", v2, 1, ""},
		{"V4", "confirmation-v4.xml", "Confirmation", v4, 1, ""},
		{"V2 in batches", "confirmation-v2.xml", "ProdnOrdConf2", v2, 50, ""},
		{"V4 in batches", "confirmation-v4.xml", "Confirmation", v4, 50, Multipart},
		{"V4 in JSON batches", "confirmation-v4.xml", "Confirmation", v4, 50, JSON},
	}
}

func (d dialect) metadata(t testing.TB) []byte {
	t.Helper()
	text, err := os.ReadFile("testdata/" + d.file)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A call may take long where it must succeed, and must not where the far side hangs.
const (
	patient   = time.Minute
	impatient = 500 * time.Millisecond
)

// config is one in which nothing is waited for that need not be.
func (d dialect) config(url string) Config {
	return Config{
		BaseURL: url, Client: "100", Services: map[string]Service{"conf": {Path: d.root}}, Batch: d.batch, BatchFormat: d.format,
		Timeout: patient, LockWait: time.Millisecond,
		Writes: map[string]Write{"conf/" + d.set: {ID: "ExternalSystemConfirmation", Kind: "confirmation"}},
	}
}

// world is a service and a link to it.
type world struct {
	dialect
	mock   *edmx.Mock
	server *edmx.Server
	link   *Link
}

func (d dialect) start(t testing.TB, cfg edmx.Config, change ...func(*Config)) *world {
	t.Helper()
	cfg.Root, cfg.IDFields = d.root, []string{"ExternalSystemConfirmation"}
	m, s := edmx.Start(t, d.metadata(t), cfg)
	c := d.config(s.URL)
	for _, f := range change {
		f(&c)
	}
	return &world{d, m, s, open(t, c)}
}

// open opens a link. Where the test does not say how long "not found" is not believed, it is shorter than a plant may set it.
func open(t testing.TB, c Config) *Link {
	t.Helper()
	l, err := Open(c, secret, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if c.AskAfter == 0 {
		l.cfg.AskAfter = 5 * time.Millisecond
	}
	t.Cleanup(l.Close)
	return l
}

func secret(_ context.Context, ref string) (string, error) {
	if ref == "env:PASSWORD" {
		return "s3cret", nil
	}
	return "", fmt.Errorf("no secret %s", ref)
}

func (w *world) delivery(t *testing.T, id string) message.Delivery {
	t.Helper()
	return w.of(t, id, w.set, `{"OrderID":"000001000001","OrderOperation":"0010","ConfirmationYieldQuantity":"12.500","ConfirmationUnit":"PC","PostingDate":"2026-11-24"}`)
}

// of is a delivery of a document to a target of the service.
func (w *world) of(t *testing.T, id, target, doc string) message.Delivery {
	t.Helper()
	m := message.Message{
		ID: id, Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Unix(0, 0).UTC(),
		Body: []byte(`{}`), Place: message.Place{Link: "erp", Lane: id, Epoch: 1, Number: 1, Role: message.Event},
	}
	return adaptertest.Delivery(t, m, message.Document{Mapping: "test", Target: "conf/" + target, Body: []byte(doc)})
}

// Meet, Attempts and Documents are the mock in the words of the suite.
func (w *world) Meet(t *testing.T, f adaptertest.Fault) {
	t.Helper()
	switch f {
	case adaptertest.None:
		w.waitAtMost(t, patient)
		if err := w.server.Up(); err != nil {
			t.Fatal(err)
		}
		w.mock.SetFaults()
		return
	case adaptertest.Down:
		if err := w.server.Down(); err != nil {
			t.Fatal(err)
		}
		return
	}
	fault, ok := inMock[f]
	if !ok {
		t.Fatalf("the mock cannot do %q", f)
	}
	if fault.Kind == erpmock.Hang {
		w.waitAtMost(t, impatient)
	}
	fault.Method, fault.Count = "POST", 1
	w.mock.SetFaults(fault)
}

// waitAtMost changes how long a call may take, between two calls.
func (w *world) waitAtMost(t *testing.T, d time.Duration) {
	t.Helper()
	c := w.link.cfg
	if c.Timeout == d {
		return
	}
	c.Timeout = d
	client, err := newClient(c)
	if err != nil {
		t.Fatal(err)
	}
	if d == impatient { // the $metadata and a token are there before, so that the time is the write's alone
		if _, err := w.link.services["conf"].Model(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := w.link.services["conf"].token(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
	}
	w.link.http.Close()
	w.link.http, w.link.cfg.Timeout = client, d
}

var inMock = map[adaptertest.Fault]erpmock.Fault{
	adaptertest.Refuse:         {Kind: erpmock.Status, Status: 400, Body: `{"error":{"code":"RU/505","message":{"lang":"en","value":"no"}}}`},
	adaptertest.Throttle:       {Kind: erpmock.Status, Status: 429, RetryAfter: erpmock.Duration(adaptertest.RetryAfter)},
	adaptertest.Unavailable:    {Kind: erpmock.Status, Status: 503, RetryAfter: erpmock.Duration(adaptertest.RetryAfter)},
	adaptertest.SignIn:         {Kind: erpmock.Status, Status: 401},
	adaptertest.Redirect:       {Kind: erpmock.Status, Status: 307},
	adaptertest.ResetBefore:    {Kind: erpmock.Reset, Phase: erpmock.Before},
	adaptertest.ResetAfter:     {Kind: erpmock.Reset, Phase: erpmock.After},
	adaptertest.CloseBefore:    {Kind: erpmock.Lost, Phase: erpmock.Before},
	adaptertest.CloseAfter:     {Kind: erpmock.Lost, Phase: erpmock.After},
	adaptertest.HangBefore:     {Kind: erpmock.Hang, Phase: erpmock.Before},
	adaptertest.HangAfter:      {Kind: erpmock.Hang, Phase: erpmock.After},
	adaptertest.HalfAfter:      {Kind: erpmock.Half, Phase: erpmock.After},
	adaptertest.GarbageBefore:  {Kind: erpmock.Status, Status: 201, Body: "<html>welcome</html>"},
	adaptertest.GarbageAfter:   {Kind: erpmock.Garbage, Phase: erpmock.After},
	adaptertest.ErrorBefore:    {Kind: erpmock.Status, Status: 500, Phase: erpmock.Before},
	adaptertest.ErrorAfter:     {Kind: erpmock.Status, Status: 500, Phase: erpmock.After},
	adaptertest.GatewayBefore:  {Kind: erpmock.Status, Status: 504, Phase: erpmock.Before},
	adaptertest.GatewayAfter:   {Kind: erpmock.Status, Status: 504, Phase: erpmock.After},
	adaptertest.MaintainBefore: {Kind: erpmock.Status, Status: 503, Phase: erpmock.Before},
	adaptertest.MaintainAfter:  {Kind: erpmock.Status, Status: 503, Phase: erpmock.After},
}

func (w *world) Attempts(id string) int {
	n := 0
	for _, e := range w.mock.Journal() {
		if e.MessageID == guid(id).String() && e.Method == "POST" {
			n++
		}
	}
	return n
}

func (w *world) Documents(id string) []string {
	var out []string
	for _, f := range w.mock.Effects() {
		if f.MessageID == guid(id).String() {
			out = append(out, f.Number)
		}
	}
	return out
}

func TestSuite(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			adaptertest.Suite(t, func(t *testing.T) adaptertest.Subject {
				w := d.start(t, edmx.Config{})
				return adaptertest.Subject{Adapter: w.link, ERP: w, Delivery: func(id string) message.Delivery { return w.delivery(t, id) }}
			})
		})
	}
}
