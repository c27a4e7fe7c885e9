package rest

import (
	"context"
	"slices"
	"testing"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
)

// notingSigner notes which headers a request is to cover, and signs nothing.
type notingSigner chan []string

// SignHop implements wire.Signer.
func (n notingSigner) SignHop(_ context.Context, h *message.Hop) error {
	n <- h.Covers
	return nil
}

// TestWhatTheContractHasInHeadersIsSigned: the proof covers the parameters of an operation that stand in headers, whatever their names, and
// one that no proof can cover is not sent.
func TestWhatTheContractHasInHeadersIsSigned(t *testing.T) {
	e := newOldERP(t)
	e.Meet(t, adaptertest.None)
	l := open(t, oldConfig(t, "http://"+e.address))
	signed := make(notingSigner, 1)
	l.ProveBy(wire.Proofs{Sign: signed})
	if out := l.Deliver(t.Context(), []message.Delivery{posting(t, "m1")})[0]; out.Verdict != message.Delivered {
		t.Fatalf("got %v", out)
	}
	if got, want := <-signed, []string{"Idempotency-Key", "X-Client"}; !slices.Equal(got, want) {
		t.Errorf("it covers %q, want %q", got, want)
	}
	if out := l.Deliver(t.Context(), []message.Delivery{posting(t, "m2-ä")})[0]; out.Verdict != message.Refused || e.Attempts("m2-ä") != 0 {
		t.Errorf("got %v, want it to be refused and not sent", out)
	}
}
