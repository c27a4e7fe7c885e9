package odata

import (
	"testing"
	"time"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/erpmock/edmx"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
)

// TestTheSignatureOfTheEventGoesWithEachWrite: each part of a batch has headers of its own.
func TestTheSignatureOfTheEventGoesWithEachWrite(t *testing.T) {
	for _, d := range dialects() {
		t.Run(d.name, func(t *testing.T) {
			w := d.start(t, edmx.Config{})
			unsigned := w.delivery(t, "m1")
			event := unsigned.Event.Message()
			event.Origin = &message.Signature{Key: "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", At: time.UnixMicro(1_800_000_000_000_001).UTC()}
			signed := adaptertest.Delivery(t, event, unsigned.Doc)
			for _, tt := range []struct {
				d    message.Delivery
				want string
			}{{unsigned, ""}, {signed, event.Statement(event.Digest())}} {
				c, rest, err := w.link.split(tt.d.Doc.Target)
				if err != nil {
					t.Fatal(err)
				}
				write, out := c.prepare(t.Context(), rest, tt.d)
				if write == nil {
					t.Fatalf("got %v", out)
				}
				if got := write.req.header.Get(wire.Statement); got != tt.want {
					t.Errorf("got %q, want %q", got, tt.want)
				}
			}
		})
	}
}
