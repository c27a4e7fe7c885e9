package rest

import (
	"context"
	"errors"
	"testing"

	"holdfast/adapters/erpmock"
	"holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// judgeOf says the same of every receipt.
type judgeOf struct{ err error }

// VerifyReceipt implements message.ReceiptVerifier.
func (j *judgeOf) VerifyReceipt(context.Context, string, message.Receipted) error { return j.err }

// TestAReceiptThatCannotBeJudgedYetIsAskedForAgain has the keys of the ERP's receipts away: no person is needed, and as soon as they are
// there the message is delivered. A receipt that is wrong needs one.
func TestAReceiptThatCannotBeJudgedYetIsAskedForAgain(t *testing.T) {
	m, address := erpmock.Start(t, nil, erpmock.Config{})
	if err := m.Seed("productionOrder", map[string]any{"number": "000001000001", "status": "released"}); err != nil {
		t.Fatal(err)
	}
	away := &problem.Error{Kind: problem.Unavailable, What: "find the keys", Why: "they are away", Hint: "wait"}
	judge := &judgeOf{err: away}
	l := open(t, plainERP(address))
	l.ProveBy(wire.Proofs{Receipts: judge})
	d := confirmation(t, "m1")
	if out := l.Deliver(t.Context(), []message.Delivery{d})[0]; out.Verdict != message.Unsure || !out.LinkDown || !errors.Is(out.Err, away) {
		t.Errorf("delivered: %s, link down %t, want it unsure for the sake of the link", out, out.LinkDown)
	}
	if out, err := l.Ask(t.Context(), d); out.Verdict != message.Unsure || !out.LinkDown || problem.KindOf(err) != problem.Unavailable {
		t.Errorf("asked: %s, link down %t, %v, want it to be asked again", out, out.LinkDown, err)
	}
	judge.err = &problem.Error{Kind: problem.Denied, What: "find the keys", Why: "it is a stranger's", Hint: "look"}
	if out, err := l.Ask(t.Context(), d); out.Verdict != message.Unsure || out.LinkDown || err != nil || problem.KindOf(out.Err) != problem.Integrity {
		t.Errorf("asked for a stranger's receipt: %s, link down %t, %v, want a person to look", out, out.LinkDown, err)
	}
	judge.err = nil
	if out, err := l.Ask(t.Context(), d); out.Verdict != message.Delivered || err != nil {
		t.Errorf("asked when the keys are there: %s, %v", out, err)
	}
}
