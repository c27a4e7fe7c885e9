package seal_test

import (
	"errors"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
)

// TestAMessageWithoutANumberIsNamedByItsID: it has no place in a lane, and so none that could be told.
func TestAMessageWithoutANumberIsNamedByItsID(t *testing.T) {
	for want, place := range map[string]message.Place{
		"receipt of message 3 in lane o1": {Lane: "o1", Number: 3},
		"receipt of message m1":           {},
	} {
		m := message.Message{ID: "m1", Kind: "k", Time: time.Unix(0, 0).UTC(), Body: []byte(`{}`), Place: place}
		p, ok := errors.AsType[*problem.Error](seal.Inbound("not it").Verify(t.Context(), m))
		if !ok || p.What != want {
			t.Errorf("got %v, want %s", p, want)
		}
	}
}

func TestOnlyWhatWasCommittedPasses(t *testing.T) {
	m := message.Message{ID: "m1", Kind: "k", Time: time.Unix(0, 0).UTC(), Body: []byte(`{}`), Place: message.Place{Lane: "o1", Number: 3}}
	changed := m
	changed.Body = []byte(`{"a":1}`)
	tests := []struct {
		name     string
		verifier message.Verifier
		message  message.Message
		want     problem.Kind
	}{
		{"own message as committed", seal.Chain(m.Digest()), m, ""},
		{"own message altered", seal.Chain(m.Digest()), changed, problem.Integrity},
		{"own message without a digest", seal.Chain(""), m, problem.Integrity},
		{"received as claimed", seal.Inbound(m.Digest()), m, ""},
		{"received otherwise", seal.Inbound(m.Digest()), changed, problem.Integrity},
		{"received without a claim", seal.Inbound(""), changed, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := message.Verify(t.Context(), tt.verifier, tt.message)
			if got := problem.KindOf(err); got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}
