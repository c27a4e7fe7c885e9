package torture

import (
	"fmt"
	"slices"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/internal/tally"
)

// Verdict is what the oracle found: the ERP's own journal held against what the plant's API had promised. The plant's database
// has no say in it.
type Verdict struct {
	Promised   int      `json:"promised"`     // messages that the API answered for
	Effects    int      `json:"effects"`      // what the ERP did for them
	Lost       int      `json:"lost"`         // promised and without effect
	Doubled    int      `json:"duplicated"`   // more than one effect
	Disordered int      `json:"out_of_order"` // effects before one with a smaller number in their lane
	Unpromised int      `json:"unpromised"`   // effects that no act has asked for
	Attempts   int      `json:"attempts"`     // requests with a message's ID
	Repeats    int      `json:"repeats"`      // attempts beyond the first of their message
	Bound      int      `json:"repeat_bound"` // the most repeats that the faults explain
	Verified   int      `json:"verified"`     // messages with an effect and the signature that they were committed with, if the plant signs
	BadSigned  int      `json:"bad_signatures"`
	Examples   []string `json:"examples,omitempty"`
}

// Signatures is what a receiver says of the signatures with which messages came.
type Signatures struct {
	Verified map[string]bool // by ID: each time it came with the signature that it was committed with, by a key of the plant, and fits its lane
	Bad      []string        // what is wrong with others
}

// OK tells whether nothing was lost, doubled, disordered, made up or signed by somebody else, and no more was repeated than the faults explain.
func (v Verdict) OK() bool {
	return v.Lost+v.Doubled+v.Disordered+v.Unpromised+v.BadSigned == 0 && v.Repeats <= v.Bound
}

// maxExamples bounds what is told of one run.
const maxExamples = 20

func (v *Verdict) example(format string, args ...any) {
	if len(v.Examples) < maxExamples {
		v.Examples = append(v.Examples, fmt.Sprintf(format, args...))
	}
}

// judge holds the journal against the promises. silent are the kinds for which the ERP's contract has no document. inHand is how
// many messages a node can have under way at one time, and ends how often a node was ended or cut off from ERP or database: each of
// those may repeat what that node had in hand, once, since whoever takes a lane over asks first, and what it asks for is no attempt.
// Each fault of the ERP may repeat the one message that met it. So the bound grows with the nodes only where a strike meets several.
func judge(promises []promise, journal []erpmock.Entry, silent []string, inHand, ends int) Verdict {
	v := Verdict{Promised: len(promises)}
	want := map[string]promise{}
	for _, p := range promises {
		want[p.ID] = p
	}
	effects := map[string][]erpmock.Effect{}
	for _, e := range erpmock.EffectsOf(journal) {
		if e.MessageID == "" || e.Lane == "" {
			continue // the ERP's own planner
		}
		v.Effects++
		effects[e.MessageID] = append(effects[e.MessageID], e)
		if _, ok := want[e.MessageID]; !ok {
			v.Unpromised++
			v.example("effect %d (%s %s) belongs to message %s, which no act was promised", e.Seq, e.Type, e.Number, e.MessageID)
		}
	}
	for _, p := range promises {
		v.count(p, effects[p.ID], slices.Contains(silent, p.Kind))
	}
	for _, late := range tally.Disordered(effects) {
		v.Disordered++
		v.example("%s", late)
	}
	v.repeats(journal, inHand, ends)
	return v
}

// signed adds what the signatures say. What has an effect and no signature counts as one that is bad.
func (v *Verdict) signed(journal []erpmock.Entry, s Signatures) {
	v.BadSigned = len(s.Bad)
	for _, bad := range s.Bad {
		v.example("%s", bad)
	}
	seen := map[string]bool{}
	for _, e := range erpmock.EffectsOf(journal) {
		if e.MessageID == "" || e.Lane == "" || seen[e.MessageID] {
			continue
		}
		seen[e.MessageID] = true
		if s.Verified[e.MessageID] {
			v.Verified++
		} else {
			v.BadSigned++
			v.example("%s %s belongs to message %s, of which no signature counts", e.Type, e.Number, e.MessageID)
		}
	}
}

func (v *Verdict) count(p promise, effects []erpmock.Effect, silent bool) {
	documents := map[string]bool{}
	for _, e := range effects {
		if e.Act == "created" { // an act has a document too; what it changes in another one is part of the same effect
			documents[e.Type+" "+e.Number] = true
		}
	}
	switch n := len(documents); {
	case n == 0 && !silent:
		v.Lost++
		v.example("%s %s, number %d of lane %s, never reached the ERP", p.Kind, p.ID, p.Number, p.Lane)
	case n > 1:
		v.Doubled++
		v.example("%s %s, number %d of lane %s, took effect %d times", p.Kind, p.ID, p.Number, p.Lane, n)
	}
}

func (v *Verdict) repeats(journal []erpmock.Entry, inHand, ends int) {
	struck := 0
	for _, e := range journal {
		if e.MessageID == "" || e.Lane == "" {
			continue
		}
		v.Attempts++
		if e.Attempt > 1 {
			v.Repeats++
		}
		if e.Fault != "" || e.Status >= 500 || e.Status == 429 || e.Delivered != erpmock.DeliveredFull {
			struck++
		}
	}
	v.Bound = struck + inHand*ends
}
