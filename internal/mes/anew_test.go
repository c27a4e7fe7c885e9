package mes_test

import (
	"context"
	"testing"

	"holdfast/internal/mes"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// anew does ReportAnew, and leaves its second result out.
func (p *plant) anew(ctx context.Context, tx *store.Tx, a mes.Anew) (mes.Confirmation, error) {
	_, again, err := p.ReportAnew(ctx, tx, a)
	return again, err
}

// TestAConfirmationIsReportedAnewOnce: the order stays as it is, also where a receipt builds on the confirmation, and both messages are owed one
// behind the other; whoever asks again makes no second.
func TestAConfirmationIsReportedAnewOnce(t *testing.T) {
	each(t, func(p *plant) {
		o := p.started()
		must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0010", Yield: d("6")})
		c := must(p, p.Confirm, mes.NewConfirmation{Order: o.ID, Operation: "0020", Yield: d("4"), Personnel: "4711", Text: "late shift"})
		must(p, p.ReceiveGoods, mes.NewMovement{Order: o.ID, Items: []mes.NewItem{{Batch: p.lot(o).Number, Quantity: d("4")}}})
		before := p.order(o.ID)

		_, err := do(p, p.anew, mes.Anew{Of: c.ID})
		refused(p.t, err, problem.Invalid, "/reason is missing")
		again := must(p, p.anew, mes.Anew{Of: c.ID, Reason: "the ERP has 3", By: "anna"})
		want := c
		want.ID, want.PostedAt, want.PostingDate, want.RecordedAt = p.AnewID(c.ID), again.PostedAt, again.PostingDate, again.RecordedAt
		equal(p.t, "what is said again", again, want)
		m := p.out.last()
		if m.Creates != "confirmation/"+again.ID {
			p.t.Errorf("the new report creates %q", m.Creates)
		}
		equal(p.t, "its message", body[mes.OperationConfirmed](p.t, m).Confirmation, again)
		kinds := p.out.kinds(o.ID)
		equal(p.t, "what is owed last", kinds[len(kinds)-2:], []string{mes.ConfirmationReversedKind, mes.OperationConfirmedKind})
		equal(p.t, "the order", p.order(o.ID), before)

		_, err = do(p, p.anew, mes.Anew{Of: c.ID, Reason: "the ERP has 3", By: "berta"})
		refused(p.t, err, problem.Conflict, "it was reversed before")
		equal(p.t, "what is owed after the second", p.out.kinds(o.ID), kinds)
		must(p, p.anew, mes.Anew{Of: again.ID, Reason: "once more"})
		must(p, p.CompleteOrder, mes.OrderAct{Order: o.ID, Reason: "done"})
		_, err = do(p, p.anew, mes.Anew{Of: p.AnewID(again.ID), Reason: "too late"})
		refused(p.t, err, problem.Conflict, "")
	})
}
