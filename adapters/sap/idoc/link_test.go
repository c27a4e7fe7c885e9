package idoc_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/idocport"
	"holdfast/adapters/sap/idoc"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// numbers are those of one link, in memory.
type numbers struct {
	mu    sync.Mutex
	by    map[string]string
	heard map[string]idoc.State
	at    map[string]int64 // the second of what is sent
	last  map[string]int64 // by lane
}

func newNumbers() *numbers {
	return &numbers{by: map[string]string{}, heard: map[string]idoc.State{}, at: map[string]int64{}, last: map[string]int64{}}
}

func (n *numbers) Number(_ context.Context, _ string, keys []string, _ string) (number, key string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, key = range keys {
		if n.by[key] != "" {
			return n.by[key], key, nil
		}
	}
	n.by[key] = fmt.Sprintf("%016d", len(n.by)+1)
	return n.by[key], key, nil
}

func (n *numbers) Second(_ context.Context, lane, key string, wanted int64) (int64, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.at[key] == 0 {
		n.last[lane] = max(wanted, n.last[lane]+1)
		n.at[key] = n.last[lane]
	}
	return n.at[key], nil
}

func (n *numbers) Heard(_ context.Context, number string) (idoc.State, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.heard[number], nil
}

func config() idoc.Config {
	return idoc.Config{Client: "100", Plant: idoc.Partner{Port: "HOLDFAST", System: "HFPLANT1"}, SAP: idoc.Partner{Port: "SAPS4H", System: "S4HCLNT100"}, Zone: "Europe/Berlin"}
}

func open(t *testing.T, cfg idoc.Config) (*idoc.Link, *numbers) {
	t.Helper()
	l, err := idoc.Open(cfg, func(context.Context, string) (string, error) { return "secret", nil }, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	n := newNumbers()
	l.Remember(n)
	return l, n
}

const ticket = `{"E1BP_PP_TIMETICKET":[{"ORDERID":"1000042","OPERATION":"0010","YIELD":"12.5","CONF_QUAN_UNIT":"PC","POSTG_DATE":"2026-11-24"}]}`

func delivery(t *testing.T, id, target, body string) message.Delivery {
	t.Helper()
	m, err := message.New(id, "operation.confirmed", "o-1", time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC), map[string]string{"id": id})
	if err != nil {
		t.Fatal(err)
	}
	return adaptertest.Delivery(t, m, message.Document{Mapping: "m", Target: target, Body: []byte(body)})
}

// world is a mock of SAP's port with a server that can go away.
type world struct {
	port *idocport.Port
	srv  *http.Server
	addr string
	done chan error
}

func newWorld(t *testing.T, cfg idocport.Config) *world {
	t.Helper()
	p, err := idocport.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &world{port: p, addr: ln.Addr().String()}
	w.listen(ln)
	t.Cleanup(func() {
		if err := errors.Join(w.port.Close(), w.close()); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) listen(ln net.Listener) {
	w.srv, w.done = &http.Server{Handler: w.port.Handler(), ReadHeaderTimeout: time.Minute}, make(chan error, 1)
	go func(s *http.Server) { w.done <- s.Serve(ln) }(w.srv)
}

func (w *world) close() error {
	if w.srv == nil {
		return nil
	}
	err := w.srv.Close()
	if ended := <-w.done; !errors.Is(ended, http.ErrServerClosed) {
		err = errors.Join(err, ended)
	}
	w.srv = nil
	return err
}

func faults() map[adaptertest.Fault]erpmock.Fault {
	status := func(s int, phase erpmock.Phase) erpmock.Fault {
		return erpmock.Fault{Kind: erpmock.Status, Status: s, Phase: phase}
	}
	later := func(s int) erpmock.Fault {
		return erpmock.Fault{Kind: erpmock.Status, Status: s, Phase: erpmock.Before, RetryAfter: erpmock.Duration(adaptertest.RetryAfter)}
	}
	return map[adaptertest.Fault]erpmock.Fault{
		adaptertest.Refuse: status(400, erpmock.Before), adaptertest.Throttle: later(429), adaptertest.Unavailable: later(503), adaptertest.SignIn: status(407, erpmock.Before), adaptertest.Redirect: status(307, erpmock.Before),
		adaptertest.ResetBefore: {Kind: erpmock.Reset, Phase: erpmock.Before}, adaptertest.ResetAfter: {Kind: erpmock.Reset, Phase: erpmock.After},
		adaptertest.CloseBefore: {Kind: erpmock.Lost, Phase: erpmock.Before}, adaptertest.CloseAfter: {Kind: erpmock.Lost, Phase: erpmock.After},
		adaptertest.HangBefore: {Kind: erpmock.Hang, Phase: erpmock.Before}, adaptertest.HangAfter: {Kind: erpmock.Hang, Phase: erpmock.After},
		adaptertest.HalfAfter:     {Kind: erpmock.Half, Phase: erpmock.After},
		adaptertest.GarbageBefore: {Kind: erpmock.Status, Status: 200, Phase: erpmock.Before, Body: "<html>welcome</html>"}, adaptertest.GarbageAfter: {Kind: erpmock.Garbage, Phase: erpmock.After},
		adaptertest.ErrorBefore: status(500, erpmock.Before), adaptertest.ErrorAfter: status(500, erpmock.After),
		adaptertest.GatewayBefore: status(504, erpmock.Before), adaptertest.GatewayAfter: status(504, erpmock.After),
		adaptertest.MaintainBefore: status(503, erpmock.Before), adaptertest.MaintainAfter: status(503, erpmock.After),
	}
}

// Meet, Attempts and Documents are SAP in the words of the suite.
func (w *world) Meet(t *testing.T, f adaptertest.Fault) {
	t.Helper()
	if w.srv == nil {
		ln, err := net.Listen("tcp", w.addr)
		if err != nil {
			t.Fatal(err)
		}
		w.listen(ln)
	}
	w.port.SetFaults()
	fault, known := faults()[f]
	switch {
	case f == adaptertest.Down:
		if err := w.close(); err != nil {
			t.Fatal(err)
		}
	case known:
		fault.Method, fault.Count = "POST", 1
		w.port.SetFaults(fault)
	case f != adaptertest.None:
		t.Fatalf("the mock cannot do %q", f)
	}
}

// keyOf is how a message's ID stands in ARCKEY, which has 70 characters.
func keyOf(id string) string {
	if len(id) <= 70 {
		return id
	}
	return fmt.Sprintf("%x", sha256.Sum256([]byte(id)))
}

func (w *world) Attempts(id string) int {
	n := 0
	for _, e := range w.port.Log().Entries {
		if e.MessageID == keyOf(id) {
			n++
		}
	}
	return n
}

// Documents have no number for the link: SAP tells it later.
func (w *world) Documents(id string) []string {
	var out []string
	for _, f := range erpmock.EffectsOf(w.port.Log().Entries) {
		if f.MessageID == keyOf(id) {
			out = append(out, "")
		}
	}
	return out
}

// TestSuite: SAP drops a number that it knows, as a customer's check does. Then nobody need be asked.
func TestSuite(t *testing.T) {
	adaptertest.Suite(t, func(t *testing.T) adaptertest.Subject {
		w := newWorld(t, idocport.Config{DropsKnown: true, Silent: true})
		cfg := config()
		cfg.Send = &idoc.Send{URL: "http://" + w.addr + idocport.Path, User: "MES", Secret: "env:X", DropsKnown: true, Timeout: 2 * time.Minute}
		if adaptertest.Hangs(t) {
			cfg.Send.Timeout = time.Second
		}
		l, _ := open(t, cfg)
		return adaptertest.Subject{
			Adapter: l, ERP: w, Blind: true,
			Delivery: func(id string) message.Delivery { return delivery(t, id, "PPCC2PRETTICKET01", ticket) },
		}
	})
}

func TestAnIDocIsComplete(t *testing.T) {
	dir := t.TempDir()
	cfg := config()
	cfg.Send = &idoc.Send{Folder: dir}
	l, _ := open(t, cfg)
	if out := l.Deliver(t.Context(), []message.Delivery{delivery(t, "0f2d3c52-7d0e-5b3a-9d4e-2f6a1c9b7e10", "PPCC2PRETTICKET01", ticket)}); out[0].Verdict != message.Delivered || out[0].Receipt.Document != "" {
		t.Fatalf("got %v with %+v, want it delivered without a document", out[0], out[0].Receipt)
	}
	text, err := os.ReadFile(filepath.Join(dir, "PPCC2PRETTICKET01_0000000000000001.xml"))
	if err != nil {
		t.Fatal(err)
	}
	ds, err := idoc.ReadXML(text, idoc.Shipped(), idoc.Usual())
	if err != nil || len(ds) != 1 {
		t.Fatal(len(ds), err)
	}
	for field, want := range map[string]string{
		"TABNAM": "EDI_DC40", "MANDT": "100", "DOCNUM": "0000000000000001", "DIRECT": "2", "IDOCTYP": "PPCC2PRETTICKET01", "MESTYP": "PPCC2PRETTICKET", "SNDPOR": "HOLDFAST", "SNDPRT": "LS",
		"SNDPRN": "HFPLANT1", "RCVPOR": "SAPS4H", "RCVPRT": "LS", "RCVPRN": "S4HCLNT100", "CREDAT": "20261124", "CRETIM": "073000", "ARCKEY": "0f2d3c52-7d0e-5b3a-9d4e-2f6a1c9b7e10",
	} {
		if got := ds[0].Control[field]; got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
	for field, want := range map[string]string{"ORDERID": "000001000042", "YIELD": "12.500", "POSTG_DATE": "20261124", "EX_IDENT": "0F2D3C527D0E5B3A9D4E2F6A1C9B7E10"} {
		if got := ds[0].Segments[0].Get(field); got != want {
			t.Errorf("%s is %q, want %q", field, got, want)
		}
	}
}

func TestWhatDoesNotFitIsRefusedWithItsPlace(t *testing.T) {
	cfg := config()
	cfg.Send = &idoc.Send{Folder: t.TempDir()}
	l, _ := open(t, cfg)
	tests := []struct{ name, target, body, want string }{
		{"a field that is not there", "PPCC2PRETTICKET01", `{"E1BP_PP_TIMETICKET":[{"ORDERID":"1","YIELDD":"1"}]}`, "/E1BP_PP_TIMETICKET/0/YIELDD"},
		{"a number that is too exact", "PPCC2PRETTICKET01", `{"E1BP_PP_TIMETICKET":[{"YIELD":"1.0001"}]}`, "/E1BP_PP_TIMETICKET/0/YIELD"},
		{"a segment that is missing", "MBGMCR03", `{"E1MBGMCR":{"E1BP2017_GM_HEAD_01":{"PSTNG_DATE":"2026-11-24"}}}`, "/E1MBGMCR/E1BP2017_GM_CODE"},
		{"another ID than the message's", "MBGMCR03", `{"E1MBGMCR":{"E1BP2017_GM_HEAD_01":{"REF_DOC_NO":"mine"},"E1BP2017_GM_CODE":{"GM_CODE":"03"},"E1BP2017_GM_ITEM_CREATE":[{"PLANT":"1000"}]}}`, "REF_DOC_NO"},
		{"no object", "MBGMCR03", `[]`, "no JSON object"},
		{"a type without a description", "ORDERS05", `{}`, "no description"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			out := l.Deliver(t.Context(), []message.Delivery{delivery(t, "m1", tt.target, tt.body)})[0]
			if out.Verdict != message.Refused || !strings.Contains(out.Err.Error(), tt.want) {
				t.Errorf("got %v, want it refused for %q", out, tt.want)
			}
		})
	}
}

// TestARightThatIsMissingStopsTheLink: no storm of IDocs until somebody gives the right.
func TestARightThatIsMissingStopsTheLink(t *testing.T) {
	sap := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(http.StatusForbidden) }))
	defer sap.Close()
	cfg := config()
	cfg.Send = &idoc.Send{URL: sap.URL}
	l, _ := open(t, cfg)
	told := 0
	l.WhenDenied(func(error) { told++ })
	out := l.Deliver(t.Context(), []message.Delivery{delivery(t, "m1", "PPCC2PRETTICKET01", `{"E1BP_PP_TIMETICKET":[{"ORDERID":"1"}]}`)})[0]
	if out.Verdict != message.Again || !out.LinkDown || out.After != time.Minute || problem.KindOf(out.Err) != problem.Denied || told != 1 {
		t.Errorf("got %v after %s (link down %t), told %d times", out, out.After, out.LinkDown, told)
	}
}

// TestAPageToSignInStopsTheLink: what stands before SAP answers each IDoc alike, with a page or with where one is. Whether SAP has got one is not known.
func TestAPageToSignInStopsTheLink(t *testing.T) {
	var status atomic.Int32
	sap := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Location", "https://login.example/saml?SAMLRequest=secret")
		rw.WriteHeader(int(status.Load()))
		_, _ = rw.Write([]byte("<!DOCTYPE html><html><body onload=\"document.forms[0].submit()\"><FORM action=\"https://login.example/saml\" method=\"post\"></FORM></body></html>")) // the client has left if it fails
	}))
	defer sap.Close()
	cfg := config()
	cfg.Send = &idoc.Send{URL: sap.URL}
	l, _ := open(t, cfg)
	told := 0
	l.WhenDenied(func(error) { told++ })
	for _, s := range []int32{200, 200, 302, 303, 302} {
		status.Store(s)
		out := l.Deliver(t.Context(), []message.Delivery{delivery(t, "m1", "PPCC2PRETTICKET01", `{"E1BP_PP_TIMETICKET":[{"ORDERID":"1"}]}`)})[0]
		if out.Verdict != message.Unsure || !out.LinkDown || out.After != time.Minute || problem.KindOf(out.Err) != problem.Denied {
			t.Errorf("got %v after %s (link down %t)", out, out.After, out.LinkDown)
		}
	}
	if told != 1 {
		t.Errorf("told %d times", told)
	}
}

// TestALostAnswerWaitsForSAP: what may have arrived is not sent again. SAP's confirmation settles it, or a person.
func TestALostAnswerWaitsForSAP(t *testing.T) {
	w := newWorld(t, idocport.Config{Silent: true})
	cfg := config()
	cfg.Send = &idoc.Send{URL: "http://" + w.addr + idocport.Path, AnswerWithin: time.Hour}
	l, n := open(t, cfg)
	d := delivery(t, "m1", "PPCC2PRETTICKET01", ticket)
	w.Meet(t, adaptertest.ResetAfter)
	if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Unsure {
		t.Fatalf("got %v, want it unknown", out)
	}
	if out, err := l.Ask(t.Context(), d); err == nil || out.Verdict != message.Unsure || out.LinkDown {
		t.Fatalf("before SAP has spoken: got %v, %v, want an error and no fault of the link", out, err)
	}
	n.heard["0000000000000001"] = idoc.Received
	if out, err := l.Ask(t.Context(), d); err != nil || out.Verdict != message.Delivered || !out.Receipt.Asked || out.Receipt.Document != "" {
		t.Errorf("after it: got %v, %v, want it delivered", out, err)
	}
	if got := w.Attempts("m1"); got != 1 {
		t.Errorf("sent %d times, want once", got)
	}
	cfg.Send.AnswerWithin = time.Nanosecond
	l, _ = open(t, cfg)
	l.Deliver(t.Context(), []message.Delivery{delivery(t, "m2", "PPCC2PRETTICKET01", ticket)})
	if out, err := l.Ask(t.Context(), delivery(t, "m3", "PPCC2PRETTICKET01", ticket)); err != nil {
		out, err = l.Ask(t.Context(), delivery(t, "m3", "PPCC2PRETTICKET01", ticket)) // the first question began the time
		if err != nil || out.Verdict != message.Unsure {
			t.Errorf("got %v, %v, want a person asked", out, err)
		}
	} else if out.Verdict != message.Unsure {
		t.Errorf("got %v, want a person asked", out)
	}
}

// TestAFileIsHandedOverOnce goes through every point at which a crash can strike.
func TestAFileIsHandedOverOnce(t *testing.T) {
	const file, own, text = "PPCC2PRETTICKET01_0000000000000001.xml", ".holdfast", "<x/>"
	mark, ready := filepath.Join(own, "0000000000000001.sent"), filepath.Join(own, "0000000000000001.ready")
	tests := []struct {
		name  string
		files map[string]string
		want  message.Verdict
		there bool
	}{
		{"nothing was done", nil, message.Again, false},
		{"the file was being written", map[string]string{ready + ".tmp": "<"}, message.Again, false},
		{"the file was ready", map[string]string{ready: text}, message.Again, false},
		{"the mark was being made", map[string]string{ready: text, mark + ".tmp": ""}, message.Again, false},
		{"the mark was made", map[string]string{ready: text, mark: file}, message.Delivered, true},
		{"it was handed over", map[string]string{file: text, mark: file}, message.Delivered, true},
		{"it was handed over, and SAP has taken it away", map[string]string{mark: file}, message.Delivered, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.Mkdir(filepath.Join(dir, own), 0o700); err != nil {
				t.Fatal(err)
			}
			for name, text := range tt.files {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			cfg := config()
			cfg.Send = &idoc.Send{Folder: dir}
			l, _ := open(t, cfg)
			d := delivery(t, "m1", "PPCC2PRETTICKET01", ticket)
			out, err := l.Ask(t.Context(), d)
			if err != nil || out.Verdict != tt.want {
				t.Fatalf("got %v, %v, want %s", out, err, tt.want)
			}
			if _, err := os.Stat(filepath.Join(dir, file)); (err == nil) != tt.there {
				t.Errorf("the file is there: %t, want %t", err == nil, tt.there)
			}
			if out.Verdict == message.Again {
				out = l.Deliver(t.Context(), []message.Delivery{d})[0]
				if again, err := l.Ask(t.Context(), d); out.Verdict != message.Delivered || err != nil || again.Verdict != message.Delivered {
					t.Errorf("delivered: %v, then asked: %v, %v", out, again, err)
				}
			}
		})
	}
}

// orderOf is a production order from SAP, with a number.
func orderOf(t *testing.T, number string, orders ...string) []byte {
	t.Helper()
	return orderMade(t, number, time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC), orders...)
}

// orderMade is orderOf, made at a time.
func orderMade(t *testing.T, number string, at time.Time, orders ...string) []byte {
	t.Helper()
	of := idoc.Control{"MANDT": "100", "SNDPOR": "HOLDFAST", "SNDPRN": "HFPLANT1", "RCVPOR": "SAPS4H", "RCVPRN": "S4HCLNT100"}
	var out idoc.Document
	for _, o := range orders {
		d, err := idoc.FromSAP(of, "LOIPRO02", number, at, []byte(`{"E1AFKOL":{"AUFNR":"`+o+`","WERKS":"1000","GAMNG":"5","E1AFFLL":[{"FLGAT":"0","E1AFVOL":[{"VORNR":"0010"}]}]}}`))
		if err != nil {
			t.Fatal(err)
		}
		out.Control, out.Segments = d.Control, append(out.Segments, d.Segments...)
	}
	text, err := idoc.WriteXML([]idoc.Document{out})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEachObjectOfAnIDocIsAMessage(t *testing.T) {
	cfg := config()
	cfg.Receive = &idoc.Receive{Folder: t.TempDir(), Mappings: map[string]string{"LOIPRO02": "mine/order"}}
	l, _ := open(t, cfg)
	got, err := l.Incoming(orderOf(t, "0000000000004711", "000001000042", "000001000043"))
	if err != nil || len(got) != 2 {
		t.Fatal(len(got), err)
	}
	for i, want := range []string{"000001000042", "000001000043"} {
		m := got[i]
		if m.ID != fmt.Sprintf("0000000000004711/%d", i+1) || m.Source != "urn:sap:idoc:100:S4HCLNT100" || m.Kind != "sap.idoc.loipro" || m.Key != "loipro/"+want || m.Mapping != "mine/order" || m.ObjectVersion == "" || m.Undated {
			t.Errorf("got %+v", m)
		}
		if !strings.Contains(string(m.Body), want) {
			t.Errorf("%s is not in %s", want, m.Body)
		}
	}
	if one, err := l.Incoming(orderOf(t, "0000000000004712", "000001000042")); err != nil || len(one) != 1 || one[0].ID != "0000000000004712" {
		t.Errorf("got %+v, %v", one, err)
	}
	cfg.SAP.System, cfg.Receive.Mappings = "OTHER", nil
	l, _ = open(t, cfg)
	if _, err := l.Incoming(orderOf(t, "0000000000004711", "1")); problem.KindOf(err) != problem.Denied {
		t.Errorf("from another system: got %v, want it denied", err)
	}
}

func TestSAPSaysWhatBecameOfAnIDoc(t *testing.T) {
	cfg := config()
	cfg.Receive = &idoc.Receive{Folder: t.TempDir()}
	l, _ := open(t, cfg)
	of := idoc.Control{"MANDT": "100", "MESTYP": "MBGMCR", "SNDPOR": "HOLDFAST", "SNDPRN": "HFPLANT1", "RCVPOR": "SAPS4H", "RCVPRN": "S4HCLNT100"}
	d, err := idoc.Answer(of, "0000000000000900", time.Now(), idoc.Status{Number: "0000000000000001", Code: "41", Document: "49000000122026", Kind: "BUS2017"},
		idoc.Status{Number: "0000000000000002", Code: "51", State: idoc.Refused, Text: "Posting period is not open"}, idoc.Status{Number: "0000000000000003", Code: "39"}, idoc.Status{Number: "0000000000000004", Code: "53"})
	if err != nil {
		t.Fatal(err)
	}
	text, err := idoc.WriteXML([]idoc.Document{d})
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Incoming(text)
	if err != nil || len(got) != 4 {
		t.Fatal(len(got), err)
	}
	of["MESTYP"] = "PPCC2PRETTICKET" // SAP stores a time ticket first, and posts it later
	stored, err := idoc.Answer(of, "0000000000000901", time.Now(), idoc.Status{Number: "0000000000000005", Code: "41"})
	if err != nil {
		t.Fatal(err)
	}
	if text, err = idoc.WriteXML([]idoc.Document{stored}); err != nil {
		t.Fatal(err)
	}
	more, err := l.Incoming(text)
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, more...)
	want := []idoc.Status{
		{Number: "0000000000000001", State: idoc.Booked, Code: "41", Document: "4900000012/2026", Kind: "BUS2017"},
		{Number: "0000000000000002", State: idoc.Refused, Code: "51", Text: "Posting period is not open"},
		{Number: "0000000000000003", State: idoc.Received, Code: "39"},
		{Number: "0000000000000004", State: idoc.Received, Code: "53"},
		{Number: "0000000000000005", State: idoc.Received, Code: "41"},
	}
	for i, m := range got {
		var s idoc.Status
		if err := json.Unmarshal(m.Body, &s); err != nil {
			t.Fatal(err)
		}
		if s.At = (time.Time{}); s != want[i] || m.Kind != idoc.StatusKind || m.Key != idoc.KeyOfStatus(s.Number) || m.Mapping != "" {
			t.Errorf("got %+v of %+v, want %+v", s, m.Key, want[i])
		}
	}
}

// taken is an inbox that remembers.
type taken struct {
	mu   sync.Mutex
	ids  []string
	fail error
}

func (k *taken) accept(_ context.Context, batch []message.Incoming) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.fail != nil {
		return k.fail
	}
	for _, m := range batch {
		k.ids = append(k.ids, m.ID)
	}
	return nil
}

func (k *taken) all() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return slices.Clone(k.ids)
}

func TestSAPIsAnsweredOnceTheInboxHasIt(t *testing.T) {
	cfg := config()
	cfg.Receive = &idoc.Receive{Listen: "127.0.0.1:0", User: "SAP", Secret: "env:X", MaxBytes: 1 << 16}
	l, _ := open(t, cfg)
	in := &taken{}
	srv := httptest.NewServer(l.Handler(in.accept))
	defer srv.Close()
	call := func(method, user, password string, body []byte) int {
		req, err := http.NewRequestWithContext(t.Context(), method, srv.URL+"/idoc", strings.NewReader(string(body)))
		if err != nil {
			t.Fatal(err)
		}
		req.SetBasicAuth(user, password)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := resp.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode
	}
	good := orderOf(t, "0000000000000007", "000001000042")
	tests := []struct {
		name, method, user, password string
		body                         []byte
		fail                         error
		want                         int
	}{
		{"nobody that is known", "POST", "SAP", "guess", good, nil, 401},
		{"another user", "POST", "X", "secret", good, nil, 401},
		{"a look", "GET", "SAP", "secret", nil, nil, 405},
		{"no IDoc", "POST", "SAP", "secret", []byte("<x/>"), nil, 400},
		{"more than is allowed", "POST", "SAP", "secret", []byte("<x>" + strings.Repeat(" ", 1<<17)), nil, 400},
		{"a store that is away", "POST", "SAP", "secret", good, &problem.Error{Kind: problem.Unavailable}, 503},
		{"a number that was used for something else", "POST", "SAP", "secret", good, &problem.Error{Kind: problem.Duplicate}, 409},
		{"an order", "POST", "SAP", "secret", good, nil, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			in.fail = tt.fail
			if got := call(tt.method, tt.user, tt.password, tt.body); got != tt.want {
				t.Errorf("status %d, want %d", got, tt.want)
			}
		})
	}
	if got := in.all(); !slices.Equal(got, []string{"0000000000000007"}) {
		t.Errorf("the inbox has %q", got)
	}
}

func TestFilesAreTakenOnceTheInboxHasThem(t *testing.T) {
	dir := t.TempDir()
	cfg := config()
	cfg.Receive = &idoc.Receive{Folder: dir, Every: time.Millisecond, Settle: 10 * time.Millisecond}
	l, _ := open(t, cfg)
	in := &taken{fail: &problem.Error{Kind: problem.Unavailable}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx, in.accept) }()
	put := func(name string, text []byte) {
		t.Helper()
		half := filepath.Join(dir, ".half")
		if err := errors.Join(os.WriteFile(half, text, 0o600), os.Rename(half, filepath.Join(dir, name))); err != nil {
			t.Fatal(err)
		}
	}
	put("1.xml", orderOf(t, "0000000000000001", "000001000042"))
	put(".hidden.xml", []byte("<x/>"))
	put("half.tmp", []byte("<x"))
	until(t, "the file is where it was while the inbox takes nothing", func() bool {
		_, err := os.Stat(filepath.Join(dir, "1.xml"))
		return err == nil
	})
	in.mu.Lock()
	in.fail = nil
	in.mu.Unlock()
	put("2.xml", []byte("<no idoc/>"))
	put("3.xml", orderOf(t, "0000000000000003", "000001000043"))
	for _, name := range []string{"done/1.xml", "bad/2.xml", "bad/2.xml.why", "done/3.xml"} {
		until(t, name, func() bool {
			_, err := os.Stat(filepath.Join(dir, name))
			return err == nil
		})
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	got := in.all()
	slices.Sort(got)
	if got = slices.Compact(got); !slices.Equal(got, []string{"0000000000000001", "0000000000000003"}) {
		t.Errorf("the inbox has %q", got)
	}
	for _, name := range []string{".hidden.xml", "half.tmp"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("%s was touched: %v", name, err)
		}
	}
}

func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within two minutes: %s", what)
		}
	}
}

func TestMistakesOfAConfiguration(t *testing.T) {
	tests := []struct {
		name string
		edit func(*idoc.Config)
		want string
	}{
		{"no client", func(c *idoc.Config) { c.Client = "1" }, "client"},
		{"no port", func(c *idoc.Config) { c.SAP.Port = "" }, "sap.port"},
		{"a name that is too long", func(c *idoc.Config) { c.Plant.System = "ABCDEFGHIJK" }, "plant.system"},
		{"neither way", func(c *idoc.Config) { c.Send = nil }, "send"},
		{"both ways to send", func(c *idoc.Config) { c.Send.URL = "https://s4" }, "send"},
		{"flat files by positions that nobody vouches for", func(c *idoc.Config) { c.Send.Format = "flat" }, "descriptions"},
		{"passwords in the clear", func(c *idoc.Config) { c.Send.Folder, c.Send.URL = "", "http://s4.example/sap/bc/idoc_xml" }, "send.url"},
		{"passwords in the clear to a name that begins as this machine's addresses do", func(c *idoc.Config) {
			c.Send.Folder, c.Send.URL = "", "http://127.s4.example/sap/bc/idoc_xml"
		}, "send.url"},
		{"flat by HTTP", func(c *idoc.Config) {
			c.Send.Folder, c.Send.URL, c.Send.Format = "", "https://s4.example/x", "flat"
		}, "send.format"},
		{"a listener for everybody", func(c *idoc.Config) { c.Receive = &idoc.Receive{Listen: "127.0.0.1:1"} }, "receive.password"},
		{"a listener without TLS", func(c *idoc.Config) { c.Receive = &idoc.Receive{Listen: "0.0.0.0:1", User: "u", Secret: "env:X"} }, "receive.listen"},
		{"a listener without TLS on such a name", func(c *idoc.Config) {
			c.Receive = &idoc.Receive{Listen: "127.s4.example:1", User: "u", Secret: "env:X"}
		}, "receive.listen"},
		{"a listener on all addresses without TLS", func(c *idoc.Config) { c.Receive = &idoc.Receive{Listen: ":1", User: "u", Secret: "env:X"} }, "receive.listen"},
		{"one folder both ways", func(c *idoc.Config) { c.Receive = &idoc.Receive{Folder: c.Send.Folder} }, "receive.folder"},
		{"a code page that is none", func(c *idoc.Config) { c.Send.CodePage = "klingon" }, "send.code_page"},
		{"a folder of descriptions that is not there", func(c *idoc.Config) { c.Descriptions = "/nowhere" }, "descriptions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config()
			cfg.Send = &idoc.Send{Folder: t.TempDir()}
			tt.edit(&cfg)
			_, err := idoc.Open(cfg, nil, slog.New(slog.DiscardHandler))
			p, ok := errors.AsType[*problem.Error](err)
			if !ok || len(p.Fields) != 1 || p.Fields[0].Pointer != tt.want {
				t.Errorf("got %v, want a mistake at %s", err, tt.want)
			}
		})
	}
}
