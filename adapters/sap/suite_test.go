package sap

import (
	"net"
	"strings"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/odata"
	"holdfast/internal/message"
)

// faults are those of the suite in the words of the mock. Hangs are odata's alone: they need a link that does not wait.
func faults() map[adaptertest.Fault]erpmock.Fault {
	status := func(s int, phase erpmock.Phase) erpmock.Fault {
		return erpmock.Fault{Kind: erpmock.Status, Status: s, Phase: phase}
	}
	later := func(s int) erpmock.Fault {
		return erpmock.Fault{Kind: erpmock.Status, Status: s, RetryAfter: erpmock.Duration(adaptertest.RetryAfter)}
	}
	return map[adaptertest.Fault]erpmock.Fault{
		adaptertest.Refuse:      {Kind: erpmock.Status, Status: 400, Body: `{"error":{"code":"M7/053","message":{"lang":"en","value":"Posting only possible in periods 2026/11"}}}`},
		adaptertest.Throttle:    later(429),
		adaptertest.Unavailable: later(503),
		adaptertest.SignIn:      status(401, erpmock.Before), adaptertest.Redirect: status(307, erpmock.Before),
		adaptertest.ResetBefore: {Kind: erpmock.Reset, Phase: erpmock.Before}, adaptertest.ResetAfter: {Kind: erpmock.Reset, Phase: erpmock.After},
		adaptertest.CloseBefore: {Kind: erpmock.Lost, Phase: erpmock.Before}, adaptertest.CloseAfter: {Kind: erpmock.Lost, Phase: erpmock.After},
		adaptertest.HangBefore: {Kind: erpmock.Hang, Phase: erpmock.Before}, adaptertest.HangAfter: {Kind: erpmock.Hang, Phase: erpmock.After},
		adaptertest.HalfAfter:     {Kind: erpmock.Half, Phase: erpmock.After},
		adaptertest.GarbageBefore: {Kind: erpmock.Status, Status: 201, Body: "<html>welcome</html>"}, adaptertest.GarbageAfter: {Kind: erpmock.Garbage, Phase: erpmock.After},
		adaptertest.ErrorBefore: status(500, erpmock.Before), adaptertest.ErrorAfter: status(500, erpmock.After),
		adaptertest.GatewayBefore: status(504, erpmock.Before), adaptertest.GatewayAfter: status(504, erpmock.After),
		adaptertest.MaintainBefore: status(503, erpmock.Before), adaptertest.MaintainAfter: status(503, erpmock.After),
	}
}

// Meet, Attempts and Documents are the system in the words of the suite.
func (w *world) Meet(t *testing.T, f adaptertest.Fault) {
	t.Helper()
	w.system.Up()
	w.reached(t, true)
	for _, one := range w.system.Services() {
		one.SetFaults()
	}
	switch fault, known := faults()[f]; {
	case f == adaptertest.Down:
		w.system.Down(0)
		w.reached(t, false)
	case known:
		fault.Method, fault.Count = "POST", 1
		if _, err := w.system.AddFault(fault); err != nil {
			t.Fatal(err)
		}
	case f != adaptertest.None:
		t.Fatalf("the mock cannot do %q", f)
	}
}

// reached waits until somebody listens, or nobody does.
func (w *world) reached(t *testing.T, want bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		c, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
		if err == nil {
			err = c.Close()
		}
		if (err == nil) == want {
			return
		}
	}
	t.Fatalf("the system cannot be reached: %t, want %t", !want, want)
}

func (w *world) Attempts(id string) int {
	n := 0
	for _, e := range w.system.Journal() {
		if e.MessageID == odata.RequestID(id) && e.Method == "POST" {
			n++
		}
	}
	return n
}

func (w *world) Documents(id string) []string {
	var out []string
	for _, f := range w.system.Effects() {
		if f.MessageID == odata.RequestID(id) {
			year, number, _ := strings.Cut(f.Number, "/") // the mock's order is that of the key
			out = append(out, number+"/"+year)
		}
	}
	return out
}

// TestSuite: material documents carry the message's ID in a text of 16 or 25 characters, alone and in batches.
func TestSuite(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"alone":                      func(*Config) {},
		"in batches, by header text": func(c *Config) { c.Batch, c.MovementID = 50, "MaterialDocumentHeaderText" },
	} {
		t.Run(name, func(t *testing.T) {
			adaptertest.Suite(t, func(t *testing.T) adaptertest.Subject {
				w := start(t, change, func(c *Config) {
					if adaptertest.Hangs(t) {
						c.Timeout = time.Second
					}
				})
				return adaptertest.Subject{
					Adapter: w.link, ERP: w,
					Delivery: func(id string) message.Delivery {
						return delivery(t, id, movement, `{"GoodsMovementCode":"03","to_MaterialDocumentItem":[{"Material":"RM-1","Plant":"1000","GoodsMovementType":"551","QuantityInEntryUnit":"1.000"}]}`, nil)
					},
				}
			})
		})
	}
}
