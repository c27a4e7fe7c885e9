package odata

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"holdfast/adapters/adaptertest"
	"holdfast/internal/message"
)

// capServer is SAP's CAP server with adapters/adaptertest/cap, at HOLDFAST_TEST_CAP; for instance http://127.0.0.1:4104.
type capServer struct {
	url  string
	own  string // what stands in sap-client, of this run alone
	v4   bool
	link *Link
}

func capServers(t *testing.T, change ...func(*Config)) []*capServer {
	t.Helper()
	address := os.Getenv("HOLDFAST_TEST_CAP")
	if address == "" {
		t.Skip("no CAP server: set HOLDFAST_TEST_CAP (docs/odata.md)")
	}
	var out []*capServer
	for _, v4 := range []bool{false, true} {
		s := &capServer{url: address, v4: v4, own: "116-" + uuid.NewString()}
		path := "/sap/opu/odata/sap/API_PROD_ORDER_CONFIRMATION_2_SRV"
		if v4 {
			path = "/odata/v4/confirmation"
		}
		c := Config{
			BaseURL: address, Client: s.own, Services: map[string]Service{"conf": {Path: path, IEEE754: v4}}, Timeout: patient,
			Writes: map[string]Write{"conf/ProdnOrdConf2": {ID: "ExternalSystemConfirmation"}},
		}
		for _, f := range change {
			f(&c)
		}
		l, err := Open(c, secret, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		l.cfg.AskAfter = 300 * time.Millisecond
		t.Cleanup(l.Close)
		s.link = l
		out = append(out, s)
	}
	return out
}

func (s *capServer) name() string {
	if s.v4 {
		return "V4"
	}
	return "V2"
}

func (s *capServer) client(t *testing.T) *Client {
	t.Helper()
	c, err := s.link.Service("conf")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *capServer) control(t *testing.T, what string) {
	t.Helper()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, s.url+"/control?client="+s.own+"&"+what, nil)
	req.Close = true // on a connection of its own: one that was kept may be closed by the server just now
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}

func capDelivery(t *testing.T, id, order, more string) message.Delivery {
	t.Helper()
	m := message.Message{
		ID: id, Source: "urn:plant:1000", Kind: "operation.confirmed", Version: 1, Key: "o1", Time: time.Unix(0, 0).UTC(),
		Body: []byte(`{}`), Place: message.Place{Link: "erp", Lane: id, Epoch: 1, Number: 1, Role: message.Event},
	}
	return adaptertest.Delivery(t, m, message.Document{Mapping: "test", Target: "conf/ProdnOrdConf2", Body: []byte(`{"OrderID":"` + order + `"` + more + `}`)})
}

// find reads the confirmations that carry a message's ID.
func (s *capServer) find(t *testing.T, id string) []Entity {
	t.Helper()
	var out []Entity
	_, err := s.client(t).All(t.Context(), Query{Set: "ProdnOrdConf2", Where: Equal("ExternalSystemConfirmation", guid(id).String()), Expand: []string{"to_ProdnOrdConfMatlDocItm"}},
		func(e Entity) error { out = append(out, e); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSuiteOnCAP: confirmations on SAP's own server, in both versions, those that are handed over together in one $batch.
func TestSuiteOnCAP(t *testing.T) {
	for client, path := range map[string]string{"112": "/sap/opu/odata/sap/" + conf, "114": "/odata/v4/confirmation"} {
		t.Run(path, func(t *testing.T) {
			adaptertest.Suite(t, func(t *testing.T) adaptertest.Subject {
				v4 := strings.Contains(path, "v4")
				w := adaptertest.OpenCAP(t, client, path)
				s := &capServer{v4: v4, link: open(t, Config{
					BaseURL: w.URL, Client: w.Client, Services: map[string]Service{"conf": {Path: path, IEEE754: v4}}, Timeout: patient, Batch: 20,
					Writes: map[string]Write{"conf/ProdnOrdConf2": {ID: "ExternalSystemConfirmation"}},
				})}
				w.Find = func(t *testing.T, id string) (out []string) {
					for _, e := range s.find(t, id) {
						out = append(out, str(e.Values["ConfirmationGroup"])+"/"+str(e.Values["ConfirmationCount"]))
					}
					return out
				}
				return adaptertest.Subject{Adapter: s.link, ERP: w, Unknown: adaptertest.CAPUnknown(!v4), Delivery: func(id string) message.Delivery {
					d := capDelivery(t, w.Message(id), "000001000001", `,"ConfirmationYieldQuantity":"1.000"`)
					d.Quiet = true // it is asked only when nothing is under way
					return d
				}}
			})
		})
	}
}

func TestCAPKeepsEveryValueAsItWasSent(t *testing.T) {
	for _, s := range capServers(t) {
		t.Run(s.name(), func(t *testing.T) {
			id := uuid.NewString()
			out := s.link.Deliver(t.Context(), []message.Delivery{capDelivery(t, id, "a'%/ ?#&+", `,"ConfirmationYieldQuantity":"9999999999.999",
				"PostingDate":"2026-03-29","ConfirmedExecutionStartTime":"01:30:00",
				"EnteredAt":"2026-03-29T01:30:00.123Z","IsFinalConfirmation":true,"WorkMinutes":-7,"Counted":"9007199254740991","ConfirmationText":"Grüße 'ä' ☃",
				"to_ProdnOrdConfMatlDocItm":[{"Material":"M1","QuantityInEntryUnit":"1.500"},{"Material":"M2","QuantityInEntryUnit":"0.001"}]`)})[0]
			if out.Verdict != message.Delivered || !strings.HasSuffix(out.Receipt.Document, "/00000001") {
				t.Fatalf("got %v", out)
			}
			found := s.find(t, id)
			if len(found) != 1 {
				t.Fatalf("found %d", len(found))
			}
			e := found[0]
			for name, want := range map[string]any{
				"OrderID": "a'%/ ?#&+", "ConfirmationYieldQuantity": "9999999999.999", "ConfirmedExecutionStartTime": "01:30:00",
				"IsFinalConfirmation": true, "Counted": "9007199254740991", "ConfirmationText": "Grüße 'ä' ☃",
			} {
				if e.Values[name] != want {
					t.Errorf("%s came back as %v, want %v", name, e.Values[name], want)
				}
			}
			for name, want := range map[string]string{"PostingDate": "2026-03-29", "EnteredAt": "2026-03-29T01:30:00.123"} {
				if got := str(e.Values[name]); !strings.HasPrefix(got, want) {
					t.Errorf("%s came back as %s, want %s", name, got, want)
				}
			}
			if items, _ := e.Values["to_ProdnOrdConfMatlDocItm"].([]Entity); len(items) != 2 || items[1].Values["QuantityInEntryUnit"] != "0.001" {
				t.Errorf("items %v", e.Values["to_ProdnOrdConfMatlDocItm"])
			}
		})
	}
}

func TestCAPBooksALostAnswerOnce(t *testing.T) {
	for _, format := range []string{"", Multipart, JSON} {
		for _, s := range capServers(t, func(c *Config) { c.Batch, c.BatchFormat = 20, format }) {
			t.Run(s.name()+format, func(t *testing.T) {
				ds := make([]message.Delivery, 30)
				for i := range ds {
					order := "000001000001"
					if i == 11 {
						order = "000001000020"
					}
					ds[i] = capDelivery(t, uuid.NewString(), order, `,"ConfirmationYieldQuantity":"1.000"`)
				}
				if out := s.link.Deliver(t.Context(), []message.Delivery{capDelivery(t, uuid.NewString(), "1", "")})[0]; out.Verdict != message.Delivered {
					t.Fatalf("the first: %v", out)
				}
				s.control(t, "drop-after=2")
				out := s.link.Deliver(t.Context(), ds)
				s.control(t, "drop-after=0&expire")
				unsure := 0
				for i := range out {
					id := ds[i].Event.Message().ID
					if out[i].Verdict == message.Unsure {
						unsure++
						out[i] = s.settle(t, ds[i])
					}
					n := len(s.find(t, id))
					if i == 11 && (out[i].Verdict != message.Refused || n != 0) || i != 11 && (out[i].Verdict != message.Delivered || n != 1) {
						t.Errorf("message %d: %v, the ERP has %d", i, out[i], n)
					}
				}
				if unsure == 0 {
					t.Error("no answer was lost")
				}
			})
		}
	}
}

// TestCAPBooksOnceWhateverItsGatewayRemembers: an answer that is lost before the effect and one that is lost after it leave one confirmation
// each, where SAP's gateway knows a repeated request and where it does not. Where it does, the very same request has no second effect.
func TestCAPBooksOnceWhateverItsGatewayRemembers(t *testing.T) {
	for _, replay := range []string{"off", "on"} {
		for _, lost := range []string{"before", "after"} {
			for _, s := range capServers(t) {
				t.Run(s.name()+", replay "+replay+", lost "+lost, func(t *testing.T) {
					d := capDelivery(t, uuid.NewString(), "000001000001", `,"ConfirmationYieldQuantity":"1.000"`)
					s.control(t, "replay="+replay+"&fault=close&phase="+lost)
					if out := s.link.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Unsure {
						t.Fatalf("the answer was not lost: %v", out)
					}
					booked := s.settle(t, d)
					if n := len(s.find(t, d.Event.Message().ID)); booked.Verdict != message.Delivered || n != 1 {
						t.Errorf("%v, the ERP has %d", booked, n)
					}
					if replay == "off" {
						return
					}
					again := s.link.Deliver(t.Context(), []message.Delivery{d})[0]
					if n := len(s.find(t, d.Event.Message().ID)); again.Receipt.Document != booked.Receipt.Document || n != 1 {
						t.Errorf("the same request again: %v %q after %q, the ERP has %d", again, again.Receipt.Document, booked.Receipt.Document, n)
					}
				})
			}
		}
	}
}

// settle asks, and sends again what the ERP does not have.
func (s *capServer) settle(t *testing.T, d message.Delivery) message.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for {
		out, err := s.link.Ask(ctx, d)
		if err == nil && out.Verdict == message.Again {
			return s.link.Deliver(ctx, []message.Delivery{d})[0]
		}
		if err == nil {
			return out
		}
		select {
		case <-ctx.Done():
			t.Fatalf("not settled: %v", err)
		case <-time.After(max(out.After, time.Millisecond)):
		}
	}
}

func TestCAPPagesAndErrorsAndChanges(t *testing.T) {
	for _, s := range capServers(t, func(c *Config) { c.Batch, c.Writes["conf/Orders"] = 20, Write{Idempotent: true} }) {
		t.Run(s.name(), func(t *testing.T) {
			refused := s.link.Deliver(t.Context(), []message.Delivery{capDelivery(t, uuid.NewString(), "000001000020", ""), capDelivery(t, uuid.NewString(), "000001000021", "")})
			if refused[0].Verdict != message.Refused || !strings.Contains(refused[0].Err.Error(), "Posting period 011 is not open (RU/505)") {
				t.Errorf("posting period: %v", refused[0])
			}
			if refused[1].Verdict != message.Again || refused[1].LinkDown {
				t.Errorf("lock: %v", refused[1])
			}
			prefix := fmt.Sprintf("%s%08d", s.name(), time.Now().UnixMilli()%100_000_000)[:8]
			for i := range 60 {
				d := capDelivery(t, uuid.NewString(), "", "")
				d.Doc.Target = "conf/Orders"
				d.Doc.Body = []byte(fmt.Sprintf(`{"ManufacturingOrder":"%s%04d","Material":"M1","LastChangeDateTime":"20261124060000"}`, prefix, i))
				if out := s.link.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Delivered {
					t.Fatalf("order %d: %v", i, out)
				}
			}
			n := 0
			q := Query{Set: "Orders", Where: StartsWith("ManufacturingOrder", prefix), OrderBy: []Order{{Field: "ManufacturingOrder"}}}
			if _, err := s.client(t).All(t.Context(), q, func(Entity) error { n++; return nil }); err != nil || n != 60 {
				t.Errorf("read %d of 60, %v", n, err)
			}
			by := map[int]int{}
			each := Query{Set: "Orders", Where: Equal("ManufacturingOrder", prefix+"0007")}
			if err := s.client(t).Together(t.Context(), []Query{q, each}, func(n int, _ Entity) error { by[n]++; return nil }); err != nil || by[0] != 60 || by[1] != 1 {
				t.Errorf("in one batch: read %v, %v", by, err)
			}
			change := capDelivery(t, uuid.NewString(), "", "")
			change.Doc.Target, change.Doc.Body, change.Doc.Params = "conf/Orders/change", []byte(`{"Material":"M2"}`), map[string]string{"ManufacturingOrder": prefix + "0007"}
			if out := s.link.Deliver(t.Context(), []message.Delivery{change})[0]; out.Verdict != message.Delivered {
				t.Errorf("change: %v", out)
			}
			e, err := s.client(t).Get(t.Context(), "Orders", map[string]any{"ManufacturingOrder": prefix + "0007"})
			if err != nil || e.Values["Material"] != "M2" || e.ETag == "" {
				t.Errorf("changed to %v, ETag %s, %v", e.Values, e.ETag, err)
			}
		})
	}
}
