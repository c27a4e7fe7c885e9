package mapping

import (
	"testing"
	"testing/fstest"

	"holdfast/internal/message"
)

// TestAPanicOfATrialHarmsNothing has the tried set panic: the message is mapped all the same, and the trial is told to have failed.
func TestAPanicOfATrialHarmsNothing(t *testing.T) {
	rules := "from: {kind: order.started, version: 1}\nto: {operation: start}\nfields: {id: event.id}\n"
	used, err := Load(fstest.MapFS{"m.yaml": {Data: []byte(rules)}})
	if err != nil {
		t.Fatal(err)
	}
	live := NewLive(used)
	var told []Trial
	live.trial.Store(&trial{nil, func(one Trial) { told = append(told, one) }}) // a set that is none panics
	v, err := message.Verify(t.Context(), trusted{}, Example{Kind: "order.started", Body: "{}"}.Message())
	if err != nil {
		t.Fatal(err)
	}
	doc, err := live.Apply(t.Context(), "m", v, nil)
	if err != nil || string(doc.Body) != `{"id":"m-1"}` {
		t.Errorf("got %s, %v", doc.Body, err)
	}
	if len(told) != 1 || len(told[0].Differences) != 1 || told[0].Differences[0].At != "error" {
		t.Errorf("told %+v, want one error", told)
	}
}
