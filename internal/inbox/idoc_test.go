package inbox_test

import (
	"log/slog"
	"testing"
	"time"

	"holdfast/adapters/sap/idoc"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
)

// TestALaterIDocOfAnOrderIsAppliedInTheHourThatIsThereTwice: at 02:55 SAP sends an order, and ten minutes later, at 02:05, what has changed in it. The
// same file once more changes nothing, and what was made before and comes last is passed over.
func TestALaterIDocOfAnOrderIsAppliedInTheHourThatIsThereTwice(t *testing.T) {
	sap := idoc.Config{
		Client: "100", Plant: idoc.Partner{Port: "HOLDFAST", System: "HFPLANT1"}, SAP: idoc.Partner{Port: "SAPS4H", System: "S4HCLNT100"}, Zone: "Europe/Berlin",
		Receive: &idoc.Receive{Folder: t.TempDir(), Mappings: map[string]string{"LOIPRO": "upper"}},
	}
	link, err := idoc.Open(sap, nil, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer link.Close()
	berlin, err := time.LoadLocation(sap.Zone)
	if err != nil {
		t.Fatal(err)
	}
	order := func(number string, at time.Time, quantity string) message.Incoming {
		t.Helper()
		from := idoc.Control{"MANDT": "100", "SNDPOR": "HOLDFAST", "SNDPRN": "HFPLANT1", "RCVPOR": "SAPS4H", "RCVPRN": "S4HCLNT100"}
		doc, err := idoc.FromSAP(from, "LOIPRO02", number, at.In(berlin), []byte(`{"E1AFKOL":{"AUFNR":"000001000042","WERKS":"1000","GAMNG":"`+quantity+`"}}`))
		if err != nil {
			t.Fatal(err)
		}
		text, err := idoc.WriteXML([]idoc.Document{doc})
		if err != nil {
			t.Fatal(err)
		}
		in, err := link.Incoming(text)
		if err != nil || len(in) != 1 {
			t.Fatal(len(in), err)
		}
		return in[0]
	}
	first := time.Date(2026, 10, 25, 0, 55, 0, 0, time.UTC)
	before := order("0000000000000999", first.Add(-5*time.Minute), "9")
	one, two := order("0000000000001000", first, "5"), order("0000000000001001", first.Add(10*time.Minute), "7")
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		for _, in := range []message.Incoming{one, two, two, before} {
			w.receive(in)
			w.drain()
		}
		w.wantStates(map[string]inbox.State{one.ID: inbox.Done, two.ID: inbox.Done, before.ID: inbox.Superseded})
	})
}
