package edition

import (
	"context"
	"encoding/json"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// The actions of the audit record that four eyes rest on.
const (
	actPropose = "mapping.propose"
	actApprove = "mapping.approve"
)

// Approved is nil where, by the audit record, somebody who is certainly not the one that proposed it has approved an edition. What the tables of this
// package say of that, whoever can write the database can write too; of the record they cannot, where entries have MACs. The error is of kind Integrity
// where the two differ, Denied where nobody has approved it, and Unavailable where the key is not at hand by which the record is read.
func (s Step) Approved(ctx context.Context, tx *store.Tx) error {
	approvals, err := acts(ctx, tx, actApprove, s.Edition, func(e editions) string { return e.Used })
	if err != nil {
		return err
	}
	for _, a := range approvals {
		author, err := proposer(ctx, tx, s.Edition, a.Seq)
		if err != nil {
			return err
		}
		if audit.TwoPersons(author, a.Actor) {
			return nil
		}
	}
	what := "use edition " + Short(s.Edition) + " of the mappings"
	if audit.TwoPersons(s.Approver, s.Author) {
		return &problem.Error{
			Kind: problem.Integrity, What: what, Why: "it is said to be approved by " + s.Approver + ", and the audit record has no such act",
			Hint: "find out who has changed the database: holdfast audit verify; then publish what is to be used, and have somebody else approve it",
		}
	}
	return &problem.Error{
		Kind: problem.Denied, What: what, Why: "mappings_policy asks for four eyes, and nobody who is certainly not " + s.Author + " has looked at it",
		Hint: "publish it again under this policy: holdfast mapping publish " + Short(s.Edition) + " --reason …, and have somebody else approve it",
	}
}

// editions is what an entry of the audit record says of which ones count then.
type editions struct {
	Used     string `json:"used"`
	Proposed string `json:"proposed"`
}

// acts are the entries by which an edition came to its place, the earliest first, as far as the plant has written them.
func acts(ctx context.Context, tx *store.Tx, action, edition string, place func(editions) string) (of []audit.Entry, err error) {
	all, err := audit.Genuine(ctx, tx, action, "mapping/"+Short(edition))
	if err != nil {
		return nil, err
	}
	for _, e := range all {
		var after editions
		if json.Unmarshal(e.After, &after) == nil && place(after) == edition {
			of = append(of, e)
		}
	}
	return of, nil
}

// proposer is who has proposed an edition last before an entry of the audit record, or at all where before is 0; "" if nobody has.
func proposer(ctx context.Context, tx *store.Tx, edition string, before int64) (who string, err error) {
	proposals, err := acts(ctx, tx, actPropose, edition, func(e editions) string { return e.Proposed })
	for _, p := range proposals {
		if before == 0 || p.Seq < before {
			who = p.Actor
		}
	}
	return who, err
}
