// Package tally holds what a plant has told its ERP against what the ERP's own journal says of it.
//
// # Guarantees
//
//   - The journal is believed, never the plant: a message counts as delivered only if its effect is in the journal.
//   - Every message of the plant's database and every effect of the journal is accounted for.
package tally

import (
	"cmp"
	"fmt"
	"slices"

	"holdfast/adapters/erpmock"
)

// Message is a row of the plant's outbox.
type Message struct {
	ID, Kind, Lane string
	Number         int64 // in its lane, from 1
	Settled        bool  // the plant thinks that it needs nothing more
	Void           bool  // given up by a person or its expiry: it must have no effect
}

// Result is what the comparison found.
type Result struct {
	Messages   int      `json:"messages"`     // in the plant's database
	Delivered  int      `json:"delivered"`    // of these, settled and with exactly one effect
	Pending    int      `json:"pending"`      // not yet delivered, and the plant knows it
	Lost       int      `json:"lost"`         // promised, settled or counted, and without effect
	Duplicated int      `json:"duplicated"`   // effects beyond the first of a message
	OutOfOrder int      `json:"out_of_order"` // effects after one with a higher number in their lane
	Unknown    int      `json:"unknown"`      // effects that belong to no message of the plant, or to another place than it has
	Examples   []string `json:"examples,omitempty"`
}

// OK tells whether everything was delivered once and in order.
func (r Result) OK() bool {
	return r.Pending+r.Lost+r.Duplicated+r.OutOfOrder+r.Unknown == 0 && r.Delivered == r.Messages
}

const mostExamples = 20

func (r *Result) example(format string, args ...any) {
	if len(r.Examples) < mostExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

// Compare holds the plant's messages, and the IDs that its API has promised to callers, against the ERP's effects. Effects without
// a lane are the ERP's own.
func Compare(messages []Message, promised []string, effects []erpmock.Effect) Result {
	r := Result{Messages: len(messages)}
	byID := map[string]Message{}
	for _, m := range messages {
		byID[m.ID] = m
	}
	documents := r.documents(byID, effects)
	for _, m := range messages {
		r.count(m, len(documents[m.ID]))
	}
	for _, id := range promised {
		if _, ok := byID[id]; !ok {
			r.Lost++
			r.example("message %s was promised by the API and is not in the plant's database", id)
		}
	}
	r.gaps(messages)
	r.order(documents)
	return r
}

// documents finds what each message has created in the ERP. What an act changes in another document is part of its own effect.
func (r *Result) documents(byID map[string]Message, effects []erpmock.Effect) map[string][]erpmock.Effect {
	out := map[string][]erpmock.Effect{}
	for _, e := range effects {
		if e.Lane == "" || e.Act != "created" {
			continue
		}
		m, ok := byID[e.MessageID]
		switch {
		case !ok:
			r.Unknown++
			r.example("%s %s belongs to message %s, which the plant does not have", e.Type, e.Number, e.MessageID)
		case m.Lane != e.Lane || m.Number != e.LaneNumber:
			r.Unknown++
			r.example("%s %s says number %d of lane %s, the plant says %d of %s", e.Type, e.Number, e.LaneNumber, e.Lane, m.Number, m.Lane)
		}
		out[e.MessageID] = append(out[e.MessageID], e)
	}
	return out
}

func (r *Result) count(m Message, effects int) {
	want := 1
	if m.Void {
		want = 0
	}
	switch {
	case effects > want:
		r.Duplicated += effects - want
		r.example("%s %s, number %d of lane %s, has %d effects", m.Kind, m.ID, m.Number, m.Lane, effects)
	case effects < want && m.Settled:
		r.Lost++
		r.example("%s %s, number %d of lane %s, is settled and has no effect", m.Kind, m.ID, m.Number, m.Lane)
	}
	switch {
	case !m.Settled:
		r.Pending++
	case effects == want:
		r.Delivered++
	}
}

// gaps finds numbers that a lane has counted and the database has no message for.
func (r *Result) gaps(messages []Message) {
	highest, have := map[string]int64{}, map[string]int64{}
	for _, m := range messages {
		highest[m.Lane] = max(highest[m.Lane], m.Number)
		have[m.Lane]++
	}
	for lane, n := range highest {
		if missing := n - have[lane]; missing > 0 {
			r.Lost += int(missing)
			r.example("lane %s has counted to %d and has %d messages", lane, n, have[lane])
		}
	}
}

// order counts what Disordered finds.
func (r *Result) order(documents map[string][]erpmock.Effect) {
	for _, late := range Disordered(documents) {
		r.OutOfOrder++
		r.example("%s", late)
	}
}

// Late is an effect that came after one of a message which stands behind its own in their lane, or at the same place.
type Late struct {
	erpmock.Effect
	After int64 // highest number of the lane until then
}

// String says it for a person.
func (l Late) String() string {
	return fmt.Sprintf("number %d of lane %s took effect after number %d", l.LaneNumber, l.Lane, l.After)
}

// Disordered looks at the first effect of each message: in a lane they must come by number.
func Disordered(effects map[string][]erpmock.Effect) []Late {
	first := make([]erpmock.Effect, 0, len(effects))
	for _, es := range effects {
		first = append(first, slices.MinFunc(es, bySeq))
	}
	slices.SortFunc(first, bySeq)
	var late []Late
	highest := map[string]int64{}
	for _, e := range first {
		if e.LaneNumber <= highest[e.Lane] {
			late = append(late, Late{e, highest[e.Lane]})
		}
		highest[e.Lane] = max(highest[e.Lane], e.LaneNumber)
	}
	return late
}

func bySeq(a, b erpmock.Effect) int { return cmp.Compare(a.Seq, b.Seq) }
