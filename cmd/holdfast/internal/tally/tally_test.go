package tally_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/internal/tally"
)

// plant has two lanes: a with three messages, b with one.
func plant() []tally.Message {
	return []tally.Message{
		{ID: "a1", Kind: "order.created", Lane: "a", Number: 1, Settled: true},
		{ID: "a2", Kind: "operation.confirmed", Lane: "a", Number: 2, Settled: true},
		{ID: "a3", Kind: "goods.received", Lane: "a", Number: 3, Settled: true},
		{ID: "b1", Kind: "order.created", Lane: "b", Number: 1, Settled: true},
	}
}

func effect(seq int64, message, lane string, number int64) erpmock.Effect {
	return erpmock.Effect{Seq: seq, Type: "confirmation", Number: message, Act: "created", MessageID: message, Lane: lane, LaneNumber: number}
}

// journal is what an ERP has that got everything once and in order.
func journal() []erpmock.Effect {
	return []erpmock.Effect{
		{Seq: 1, Type: "productionOrder", Number: "planner's", Act: "created", MessageID: "p1"},
		effect(2, "a1", "a", 1), effect(3, "b1", "b", 1), effect(4, "a2", "a", 2),
		{Seq: 5, Type: "productionOrder", Number: "1", Act: "changed", MessageID: "a2", Lane: "a", LaneNumber: 2},
		effect(6, "a3", "a", 3),
	}
}

func TestCompareSeesEachThingThatGoesWrong(t *testing.T) {
	tests := []struct {
		name     string
		messages func([]tally.Message) []tally.Message
		promised []string
		effects  func([]erpmock.Effect) []erpmock.Effect
		want     tally.Result // Examples are not compared
	}{
		{name: "all is well", promised: []string{"a1", "b1"}, want: tally.Result{Messages: 4, Delivered: 4}},
		{
			name: "an effect is missing", want: tally.Result{Messages: 4, Delivered: 3, Lost: 1},
			effects: func(es []erpmock.Effect) []erpmock.Effect { return slices.Delete(es, 2, 3) },
		},
		{
			name: "an effect is there twice", want: tally.Result{Messages: 4, Delivered: 3, Duplicated: 1},
			effects: func(es []erpmock.Effect) []erpmock.Effect { return append(es, effect(7, "b1", "b", 1)) },
		},
		{
			name: "two effects have changed places", want: tally.Result{Messages: 4, Delivered: 4, OutOfOrder: 1},
			effects: func(es []erpmock.Effect) []erpmock.Effect { es[3].Seq, es[5].Seq = 6, 4; return es },
		},
		{
			name: "the journal is handed over in another order", want: tally.Result{Messages: 4, Delivered: 4},
			effects: func(es []erpmock.Effect) []erpmock.Effect { slices.Reverse(es); return es },
		},
		{
			name: "a message is not delivered yet", want: tally.Result{Messages: 4, Delivered: 3, Pending: 1},
			messages: func(ms []tally.Message) []tally.Message { ms[3].Settled = false; return ms },
			effects:  func(es []erpmock.Effect) []erpmock.Effect { return slices.Delete(es, 2, 3) },
		},
		{
			name: "a promise is in no database", promised: []string{"a1", "c1"}, want: tally.Result{Messages: 4, Delivered: 4, Lost: 1},
		},
		{
			name: "a row has left the database", want: tally.Result{Messages: 3, Delivered: 3, Lost: 1, Unknown: 1},
			messages: func(ms []tally.Message) []tally.Message { return slices.Delete(ms, 1, 2) },
		},
		{
			name: "an effect claims another place", want: tally.Result{Messages: 4, Delivered: 4, Unknown: 1, OutOfOrder: 1},
			effects: func(es []erpmock.Effect) []erpmock.Effect { es[3].LaneNumber = 3; return es },
		},
		{
			name: "a void has no effect", want: tally.Result{Messages: 4, Delivered: 4},
			messages: func(ms []tally.Message) []tally.Message { ms[3].Void = true; return ms },
			effects:  func(es []erpmock.Effect) []erpmock.Effect { return slices.Delete(es, 2, 3) },
		},
		{
			name: "a void took effect all the same", want: tally.Result{Messages: 4, Delivered: 3, Duplicated: 1},
			messages: func(ms []tally.Message) []tally.Message { ms[3].Void = true; return ms },
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			messages, effects := plant(), journal()
			if tt.messages != nil {
				messages = tt.messages(messages)
			}
			if tt.effects != nil {
				effects = tt.effects(effects)
			}
			got := tally.Compare(messages, tt.promised, effects)
			wrong := got.Lost+got.Duplicated+got.OutOfOrder+got.Unknown > 0
			if wrong != (len(got.Examples) > 0) {
				t.Errorf("examples %q do not fit %+v", got.Examples, got)
			}
			if got.OK() != (!wrong && got.Pending == 0) {
				t.Errorf("OK is %t for %+v", got.OK(), got)
			}
			got.Examples = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
