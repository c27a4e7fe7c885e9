package idoc

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/problem"
)

// What follows is the far side of a link: a mock of SAP, and tests, answer IDocs with it.

// Answer is SAP's confirmation (ALEAUD01) of IDocs that it got, addressed to their sender. of is the control record of one of them.
func Answer(of Control, number string, at time.Time, said ...Status) (Document, error) {
	states := make([]map[string]any, 0, len(said))
	for _, s := range said {
		one := map[string]any{"DOCNUM": s.Number, "STATUS": s.Code, "STATXT": s.Text, "STATYP": "S"}
		if s.State == Refused {
			one["STATYP"] = "E"
		}
		if s.Document != "" {
			one["E1PRTOB"] = map[string]any{"OBJTYPE": s.Kind, "OBJKEY": s.Document}
		}
		states = append(states, one)
	}
	body, err := json.Marshal(map[string]any{"E1ADHDR": []any{map[string]any{"MESTYP_LNG": of["MESTYP"], "E1STATE": states}}})
	if err != nil {
		return Document{}, fmt.Errorf("write a confirmation: %w", err)
	}
	return FromSAP(of, "ALEAUD01", number, at, body)
}

// FromSAP is an IDoc of a shipped type that goes from SAP to the sender of another one.
func FromSAP(of Control, basic, number string, at time.Time, body []byte) (Document, error) {
	t := Shipped()[basic]
	if t == nil {
		return Document{}, &problem.Error{Kind: problem.Invalid, What: "make an IDoc", Why: "type " + basic + " has no description", Hint: "the types are " + Shipped().Known()}
	}
	segments, bad := t.compose(body)
	if len(bad) > 0 {
		return Document{}, &problem.Error{Kind: problem.Invalid, What: "make an IDoc of type " + basic, Why: strings.TrimSpace(bad[0].Pointer + ": " + bad[0].Why), Fields: bad}
	}
	h := head{
		client: of["MANDT"], from: Partner{of["RCVPOR"], of["RCVPRN"]}, to: Partner{of["SNDPOR"], of["SNDPRN"]}, number: number, basic: basic, messaging: t.Message, at: at,
	}
	return Document{Control: h.control(), Segments: segments}, nil
}
