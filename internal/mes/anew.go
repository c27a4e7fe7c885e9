package mes

import (
	"context"

	"holdfast/internal/store"
)

// Anew asks to report a confirmation once more that the ERP has booked otherwise than the plant has said.
type Anew struct {
	Of     string // ID of the confirmation
	Reason string // required
	By     string
}

// ReportAnew takes a confirmation back and says the same again under another ID, both or neither, and owes confirmation.reversed and behind it
// operation.confirmed: the ERP cancels what it has booked and books what the plant has made. Nothing changes in the plant, so that what builds on
// the confirmation need not be taken back. It is done once, whoever asks and however often: the second time it is a Conflict, since the
// confirmation is reversed. Who calls it has to see, in the same transaction, that nothing else of the lane is on its way.
func (p *Plant) ReportAnew(ctx context.Context, tx *store.Tx, a Anew) (back, again Confirmation, err error) {
	what := "report confirmation " + a.Of + " anew"
	r := Reversal{ID: p.derive("anew", "reversal", a.Of), Of: a.Of, Reason: a.Reason, By: a.By}
	if err := r.check(what); err != nil {
		return back, again, err
	}
	done, o, err := lockReversible(ctx, tx, r, what, p.Confirmation)
	if err != nil {
		return back, again, err
	}
	if err := o.takes(what); err != nil {
		return back, again, err
	}
	now := p.now(tx)
	back, again = done.reversal(r, now, p.day(now), now), done
	again.ID, again.PostedAt, again.PostingDate, again.RecordedAt = p.AnewID(done.ID), now, p.day(now), now
	if err := reverseConfirmation(ctx, tx, done, back); err != nil {
		return back, again, err
	}
	if err := insertConfirmation(ctx, tx, again); err != nil {
		return back, again, err
	}
	if err := p.owe(ctx, tx, back.ID, ConfirmationReversedKind, o.ID, "", OperationConfirmed{Place: p.place(), Order: o.ref(), Confirmation: back}); err != nil {
		return back, again, err
	}
	return back, again, p.owe(ctx, tx, again.ID, OperationConfirmedKind, o.ID, "confirmation/"+again.ID,
		OperationConfirmed{Place: p.place(), Order: o.ref(), Confirmation: again})
}

// AnewID is the ID under which ReportAnew says a confirmation again.
func (p *Plant) AnewID(of string) string { return p.derive("anew", "report", of) }
