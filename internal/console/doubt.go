package console

import (
	"context"
	"errors"

	"holdfast/internal/access"
	"holdfast/internal/anomaly"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// doubtView is what is doubtful about a message.
type doubtView struct {
	anomaly.Finding
	Waits bool // for a person
}

// doubtOf is what is doubtful about what a message reports; nil if nothing is, or nothing is judged.
func (c *Console) doubtOf(ctx context.Context, tx *store.Tx, d outbox.Detail) (*doubtView, error) {
	if c.Doubts == nil {
		return nil, nil //nolint:nilnil // nothing doubtful is no error
	}
	f, err := c.Doubts.Finding(ctx, tx, d.Event)
	if problem.KindOf(err) == problem.NotFound {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, err
	}
	return &doubtView{f, !d.Settled && outbox.Held(d.NotBefore)}, nil
}

// doubtsOf says of each message of a list what is doubtful about it.
func (c *Console) doubtsOf(ctx context.Context, tx *store.Tx, rows []messageRow) error {
	for i := range rows {
		rows[i].State, rows[i].Tone = "held", "critical"
		if c.Doubts == nil {
			continue // judged by an earlier configuration: the page of the message says what its lane knows
		}
		f, err := c.Doubts.Finding(ctx, tx, rows[i].Event)
		if err != nil && problem.KindOf(err) != problem.NotFound {
			return err
		}
		if err == nil {
			rows[i].Why = f.Verdict.Words()
		}
	}
	return nil
}

// acceptDoubtful says that what a message reports is right. It lets the event go at every link, and so needs the right on each.
func (c *Console) acceptDoubtful(ctx context.Context, tx *store.Tx, d outbox.Detail, by access.Actor, reason string) error {
	if c.Doubts == nil {
		return &problem.Error{
			Kind: problem.Conflict, What: "accept message " + d.ID, Why: "the configuration has no anomaly, so that nothing is learned", Hint: "send it without that: Send now",
		}
	}
	all, err := c.Outbox.Of(ctx, tx, d.Event)
	for _, m := range all {
		err = errors.Join(err, c.Doer.Permit(by, access.AnomalyAccept, m.Link))
	}
	if err != nil {
		return err
	}
	_, err = c.Accept(ctx, tx, d.Event, by.Name, reason)
	return err
}
