package torture

import (
	"testing"

	"holdfast/adapters/erpmock"
)

// entry is one answered attempt with one effect.
func entry(seq int64, id, lane string, number int64, attempt int) erpmock.Entry {
	return erpmock.Entry{
		Seq: seq, MessageID: id, Lane: lane, LaneNumber: number, Attempt: attempt, Status: 201, Delivered: erpmock.DeliveredFull,
		Effects: []erpmock.Effect{{
			Seq: seq, Type: "confirmation", Number: id + string(rune('0'+attempt)), Act: "created", MessageID: id, Lane: lane, LaneNumber: number,
		}},
	}
}

// act is one answered attempt of an act upon another document.
func act(seq int64, id, lane string, number int64, attempt int) erpmock.Entry {
	e := entry(seq, id, lane, number, attempt)
	e.Effects[0].Type, e.Effects[0].Target = "batchChange", "42"
	return e
}

func TestTheOracleSeesWhatItIsThereFor(t *testing.T) {
	promises := []promise{{ID: "a", Lane: "o", Number: 1}, {ID: "b", Lane: "o", Number: 2}}
	a, b := entry(1, "a", "o", 1, 1), entry(2, "b", "o", 2, 1)
	early := entry(1, "b", "o", 2, 1)
	late := entry(2, "a", "o", 1, 1)
	asked := b
	asked.Attempt, asked.Effects = 2, nil
	tests := []struct {
		name    string
		journal []erpmock.Entry
		want    Verdict
	}{
		{"all is well", []erpmock.Entry{a, b}, Verdict{Effects: 2, Attempts: 2}},
		{"one is lost", []erpmock.Entry{a}, Verdict{Effects: 1, Lost: 1, Attempts: 1}},
		{"one is doubled", []erpmock.Entry{a, b, entry(3, "b", "o", 2, 2)}, Verdict{Effects: 3, Doubled: 1, Attempts: 3, Repeats: 1}},
		{"an act is doubled", []erpmock.Entry{a, act(2, "b", "o", 2, 1), act(3, "b", "o", 2, 2)}, Verdict{Effects: 3, Doubled: 1, Attempts: 3, Repeats: 1}},
		{"two are out of order", []erpmock.Entry{early, late}, Verdict{Effects: 2, Disordered: 1, Attempts: 2}},
		{"one was never asked for", []erpmock.Entry{a, b, entry(3, "c", "p", 1, 1)}, Verdict{Effects: 3, Unpromised: 1, Attempts: 3}},
		{"one is repeated without a reason", []erpmock.Entry{a, b, asked}, Verdict{Effects: 2, Attempts: 3, Repeats: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := judge(promises, tt.journal, nil, 8, 0)
			tt.want.Promised = 2
			got.Examples = nil
			if g, w := got.OK(), tt.name == "all is well"; g != w {
				t.Errorf("OK = %t, want %t", g, w)
			}
			if g, w := numbers(got), numbers(tt.want); g != w {
				t.Errorf("got %v, want %v", g, w)
			}
		})
	}
	if got := judge(promises, []erpmock.Entry{a, b, asked}, nil, 1, 1); !got.OK() {
		t.Errorf("one repeat after one kill: %+v, want it within the bound", got)
	}
	if got := judge(promises, []erpmock.Entry{a, act(2, "b", "o", 2, 1)}, nil, 1, 0); !got.OK() {
		t.Errorf("an act upon another document: %+v, want one effect", got)
	}
	silent := []promise{{ID: "s", Kind: "order.started", Lane: "o", Number: 3}}
	if got := judge(silent, nil, []string{"order.started"}, 1, 0); !got.OK() {
		t.Errorf("a kind without a document: %+v, want nothing lost", got)
	}
}

func numbers(v Verdict) [8]int {
	return [8]int{v.Promised, v.Effects, v.Lost, v.Doubled, v.Disordered, v.Unpromised, v.Attempts, v.Repeats}
}

// TestTheOracleWantsTheSignatureOfTheCommit with each effect.
func TestTheOracleWantsTheSignatureOfTheCommit(t *testing.T) {
	journal := []erpmock.Entry{entry(1, "a", "o", 1, 1), entry(2, "b", "o", 2, 1)}
	both := map[string]bool{"a": true, "b": true}
	for name, tt := range map[string]struct {
		says     Signatures
		verified int
		bad      int
	}{
		"all is well":               {Signatures{Verified: both}, 2, 0},
		"one has none":              {Signatures{Verified: map[string]bool{"a": true}}, 1, 1},
		"one came with another too": {Signatures{Verified: both, Bad: []string{"message b: it came with another signature before"}}, 2, 1},
	} {
		v := judge([]promise{{ID: "a", Lane: "o", Number: 1}, {ID: "b", Lane: "o", Number: 2}}, journal, nil, 8, 0)
		v.signed(journal, tt.says)
		if v.Verified != tt.verified || v.BadSigned != tt.bad || v.OK() != (tt.bad == 0) || len(v.Examples) != tt.bad {
			t.Errorf("%s: got %+v", name, v)
		}
	}
}
