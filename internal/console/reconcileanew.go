package console

import (
	"context"

	"holdfast/internal/job"
	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Anew is a confirmation that an ERP has booked otherwise than the plant has reported it, as a comparison has found it.
type Anew struct {
	Link         string
	Message      string // that reported it
	Confirmation string // the plant's ID of it
	Document     string // the ERP's number of what it has booked
}

// Report takes the confirmation back and reports it anew, and names both messages. It refuses, and owes nothing, where the message was replayed or
// changed since, or a job is about to replay it, where anything else of its lane is on its way or in doubt (Precondition), and where somebody
// has taken the confirmation back before (Conflict): of two who approve one repair, on one node or two, one makes it.
func (a Anew) Report(ctx context.Context, tx *store.Tx, plant *mes.Plant, out *outbox.Outbox, jobs *job.Jobs, reason, by string) (events []string, err error) {
	back, again, err := plant.ReportAnew(ctx, tx, mes.Anew{Of: a.Confirmation, Reason: reason, By: by})
	if err != nil {
		return nil, err
	}
	d, err := out.Message(ctx, tx, a.Message)
	if err != nil {
		return nil, err
	}
	if err := out.OwesOnly(ctx, tx, a.Link, d.Lane, 2); err != nil {
		return nil, err
	}
	stale := &problem.Error{
		Kind: problem.Precondition, What: "report confirmation " + a.Confirmation + " anew", Why: "its message is not any more what was compared",
		Hint: "compare again: holdfast reconcile --link " + a.Link,
	}
	if d, err = out.Message(ctx, tx, a.Message); err != nil { // now that nobody else changes its lane
		return nil, err
	}
	if !d.Settled || d.Link != a.Link || d.Event != a.Confirmation || d.Receipt.Document != a.Document {
		return nil, stale
	}
	waits, err := jobs.Awaits(ctx, tx, d.ID)
	if err != nil {
		return nil, err
	}
	if waits != "" {
		stale.Why, stale.Hint = "job "+waits+" is about to send its message again", "cancel that first: holdfast job cancel "+waits+" --reason …"
		return nil, stale
	}
	return []string{back.ID, again.ID}, nil
}
