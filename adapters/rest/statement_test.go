package rest

import (
	"errors"
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock"
	"holdfast/internal/message"
)

// TestTheSignatureOfTheEventGoesWithTheDocument: the ERP gets a mapped document, and what was signed of the event behind it. The mock notes
// what its checker makes of that.
func TestTheSignatureOfTheEventGoesWithTheDocument(t *testing.T) {
	stranger := errors.New("a stranger's")
	got := make(chan string, 3)
	m, address := erpmock.Start(t, nil, erpmock.Config{Origin: func(statement string, e erpmock.Entry) error {
		got <- e.MessageID + " " + statement
		if e.MessageID == "m2" {
			return stranger
		}
		return nil
	}})
	if err := m.Seed("productionOrder", map[string]any{"number": "000001000001", "status": "released"}); err != nil {
		t.Fatal(err)
	}
	signed, other, unsigned := confirmation(t, "m1"), confirmation(t, "m2"), confirmation(t, "m3")
	event := signed.Event.Message()
	event.Origin = &message.Signature{Key: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", At: time.UnixMicro(1_800_000_000_000_001).UTC()}
	signed = adaptertest.Delivery(t, event, signed.Doc)
	link := open(t, plainERP(address))
	for _, d := range []message.Delivery{signed, other, unsigned} {
		if out := link.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Delivered {
			t.Fatalf("got %v", out)
		}
	}
	for _, want := range []string{"m1 " + event.Statement(event.Digest()), "m2 ", "m3 "} {
		if got := <-got; got != want {
			t.Errorf("the ERP was told %q, want %q", got, want)
		}
	}
	noted := map[string]string{}
	for _, e := range m.Journal() {
		if e.MessageID != "" {
			noted[e.MessageID] = e.Origin
		}
	}
	if noted["m1"] != erpmock.Verified || noted["m2"] != stranger.Error() || noted["m3"] != erpmock.Verified {
		t.Errorf("the journal says %q", noted)
	}
}
