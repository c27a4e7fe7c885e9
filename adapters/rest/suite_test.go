package rest

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock"

	"holdfast/internal/message"
)

// patient is a configuration whose time limits are no matter of a test that does not set one.
func patient(url, spec string) Config {
	return Config{BaseURL: url, Spec: spec, Timeout: time.Minute, ConnectTimeout: time.Minute}
}

// suited is one for a test of the suite.
func suited(t *testing.T, c Config) Config {
	t.Helper()
	if adaptertest.Hangs(t) {
		c.Timeout = time.Second
	}
	return c
}

// plainERP is the configuration for openapi/erp.yaml.
func plainERP(url string) Config {
	c := patient(url, Builtin)
	c.Envelope = Envelope{MessageID: "messageId", Digest: "digest", Lane: "lane", LaneNumber: "laneNumber"}
	c.Default = Operation{
		Receipt: "/number",
		Ask: &Ask{
			Operation: "findDocument", Param: "messageId", Items: "/items", Match: "/messageId", Number: "/number", Kind: "/type",
		},
	}
	return c
}

// open opens a link. Where the test does not say how long "not found" is not believed, it is shorter than a plant may set it.
func open(t *testing.T, c Config) *Link {
	t.Helper()
	l, err := Open(c, noSecret, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if c.AskAfter == 0 {
		l.cfg.AskAfter = 5 * time.Millisecond
	}
	t.Cleanup(l.Close)
	return l
}

func noSecret(_ context.Context, ref string) (string, error) {
	return "", fmt.Errorf("no secret %s", ref)
}

func TestSuiteOnThePlainERP(t *testing.T) {
	adaptertest.Suite(t, func(t *testing.T) adaptertest.Subject {
		m, address := erpmock.Start(t, nil, erpmock.Config{})
		if err := m.Seed("productionOrder", map[string]any{"number": "000001000001", "status": "released"}); err != nil {
			t.Fatal(err)
		}
		return adaptertest.Subject{
			Adapter: open(t, suited(t, plainERP(address))), ERP: mockERP{m, address},
			Delivery: func(id string) message.Delivery { return confirmation(t, id) },
		}
	})
}

// confirmation is a delivery that openapi/erp.yaml takes.
func confirmation(t *testing.T, id string) message.Delivery {
	t.Helper()
	m := message.Message{
		ID: id, Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Unix(0, 0).UTC(),
		Body: []byte(`{}`), Place: message.Place{Link: "erp", Lane: "o1", Epoch: 1, Number: 1, Role: message.Event},
	}
	return adaptertest.Delivery(t, m, message.Document{
		Mapping: "test", Target: "createConfirmation",
		Body: []byte(`{"order":"000001000001","operation":"0010","yield":"12.500","unit":"PCE","postingDate":"2026-11-24"}`),
	})
}

// mockERP is erpmock in the words of the suite.
type mockERP struct {
	m       *erpmock.Mock
	address string
}

var inMock = map[adaptertest.Fault]erpmock.Fault{
	adaptertest.Refuse:         {Kind: erpmock.Status, Status: 422},
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

func (e mockERP) Meet(t *testing.T, f adaptertest.Fault) {
	t.Helper()
	switch f {
	case adaptertest.None:
		e.m.Up()
		if err := e.m.SetFaults(); err != nil {
			t.Fatal(err)
		}
		e.wait(t, true)
		return
	case adaptertest.Down:
		e.m.Down(0)
		e.wait(t, false)
		return
	}
	fault, ok := inMock[f]
	if !ok {
		t.Fatalf("the mock cannot do %q", f)
	}
	fault.Method, fault.Count = "POST", 1
	if err := e.m.SetFaults(fault); err != nil {
		t.Fatal(err)
	}
}

// wait until the mock listens, or does not.
func (e mockERP) wait(t *testing.T, up bool) {
	t.Helper()
	u, _ := url.Parse(e.address)
	for end := time.Now().Add(2 * time.Minute); time.Now().Before(end); {
		c, err := net.Dial("tcp", u.Host)
		if err == nil {
			_ = c.Close()
		}
		if (err == nil) == up {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("the mock did not come to be up: %t", up)
}

func (e mockERP) Attempts(id string) int {
	n := 0
	for _, entry := range e.m.Journal() {
		if entry.MessageID == id && entry.Method == "POST" {
			n++
		}
	}
	return n
}

func (e mockERP) Documents(id string) []string {
	var out []string
	for _, f := range e.m.Effects() {
		if f.MessageID == id {
			out = append(out, f.Number)
		}
	}
	return out
}

func TestEnvelopeAndTraceArrive(t *testing.T) {
	m, address := erpmock.Start(t, nil, erpmock.Config{})
	if err := m.Seed("productionOrder", map[string]any{"number": "000001000001", "status": "released"}); err != nil {
		t.Fatal(err)
	}
	d := confirmation(t, "m1")
	out := open(t, plainERP(address)).Deliver(t.Context(), []message.Delivery{d})[0]
	if out.Verdict != message.Delivered || out.Receipt.Status != 201 {
		t.Fatalf("got %v", out)
	}
	i := slices.IndexFunc(m.Journal(), func(e erpmock.Entry) bool { return e.MessageID == "m1" })
	got := m.Journal()[i]
	if got.Digest != d.Event.Message().Digest() || got.Lane != "o1" || got.LaneNumber != 1 || got.Key != "m1" {
		t.Errorf("the ERP got %+v", got)
	}
	if !strings.HasSuffix(got.Body, string(d.Doc.Body[1:])) {
		t.Errorf("the mapped document was changed on its way: %s", got.Body)
	}
}
