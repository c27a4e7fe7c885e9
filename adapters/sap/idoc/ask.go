package idoc

import (
	"context"
	"fmt"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Ask settles what became of a delivery whose outcome is unknown.
//
// It says Delivered once SAP has said anything of the IDoc, or where its file was handed over. Of a replay that was never sent, what SAP says of
// the earlier IDoc counts, and a person decides where SAP has refused that. It says Again where the file was not, or
// where SAP drops a number that it knows. Else nobody can be asked: SAP tells by itself, and until Send.AnswerWithin has passed that is
// waited for, with an error. After that it says Unsure, and a person decides. That nothing is found in SAP would prove nothing: an IDoc
// that SAP has received may be booked days later.
func (l *Link) Ask(ctx context.Context, d message.Delivery) (message.Outcome, error) {
	id := d.Event.Message().ID
	doc, err := l.document(d, "")
	if err != nil {
		return message.Outcome{Verdict: message.Unsure, Err: err}, nil
	}
	number, key, err := l.number(ctx, d, "")
	if err != nil {
		return message.Outcome{Verdict: message.Unsure}, err
	}
	doc.Control["DOCNUM"] = number
	heard, err := l.numbers.Heard(ctx, number)
	if err != nil {
		return message.Outcome{Verdict: message.Unsure}, fmt.Errorf("find what SAP said of message %s: %w", id, err)
	}
	if heard == Refused && d.Redelivery > 0 && !strings.HasSuffix(key, replayed("", d.Redelivery)) {
		return message.Outcome{Verdict: message.Unsure, Err: &problem.Error{
			Kind: problem.Conflict, What: "replay of message " + id, Why: "SAP has refused its IDoc " + number + ", and has not booked it since",
			Hint: "repair the IDoc in SAP (WE02, BD87) and discard the replay; or close it there, discard the replay, and have the message sent as another IDoc: holdfast msg replay --force",
		}}, nil
	}
	if heard == "" && l.out != nil {
		out, err := l.settleFile(doc)
		if err == nil && out.Verdict != message.Unsure {
			l.attempts.Drop(id)
		}
		return out, err
	}
	switch wait := l.attempts.Since(id, l.now()).Add(l.cfg.Send.AnswerWithin).Sub(l.now()); {
	case heard != "":
		l.attempts.Drop(id)
		r := received(doc, nil, 0)
		r.Asked, r.At = true, l.now()
		return message.Outcome{Verdict: message.Delivered, Receipt: r}, nil
	case l.cfg.Send.DropsKnown:
		return message.Outcome{Verdict: message.Again}, nil
	case wait > 0:
		return message.Outcome{Verdict: message.Unsure}, &problem.Error{
			Kind: problem.Unavailable, What: "IDoc " + number + " for message " + id, Why: "its answer was lost, and SAP has not said yet that it has it; it is waited for another " + wait.Round(time.Second).String(),
			Hint: "have SAP send its confirmations (RBDSTATE, ALEAUD01), or look in WE02 for the IDoc whose ARCKEY is the message's ID",
		}
	}
	return message.Outcome{Verdict: message.Unsure, Err: &problem.Error{
		Kind: problem.Conflict, What: "IDoc " + number + " for message " + id, Why: "its answer was lost, and SAP has not said within " + l.cfg.Send.AnswerWithin.String() + " that it has it",
		Hint: "look in SAP (WE02) for the IDoc whose ARCKEY is the message's ID, then mark the message delivered or send it again",
	}}, nil
}
