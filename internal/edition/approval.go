package edition

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"slices"

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
// where the two differ, and Denied where nobody has approved it. It is Unavailable where an entry that may be the approval, or another proposal before it, cannot
// be judged: with seal.ErrRefused in it no waiting helps.
func (s Step) Approved(ctx context.Context, tx *store.Tx) error {
	approvals, open, err := acts(ctx, tx, actApprove, s.Edition, func(e editions) string { return e.Used })
	if err != nil {
		return err
	}
	why := open.Why
	for _, a := range approvals {
		authors, unsure, err := proposers(ctx, tx, s.Edition, a.Seq)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(authors, func(author string) bool { return !audit.TwoPersons(author, a.Actor) }) {
			return nil
		}
		why = cmp.Or(why, unsure)
	}
	if why != nil {
		return fmt.Errorf("look who has approved edition %s of the mappings: %w", Short(s.Edition), why)
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

// acts are the entries by which an edition came to its place, the earliest first, as far as the plant has written them; open are those of which
// that is not known.
func acts(ctx context.Context, tx *store.Tx, action, edition string, place func(editions) string) (of []audit.Entry, open audit.Open, err error) {
	all, unsure, err := audit.Judged(ctx, tx, action, "mapping/"+Short(edition))
	if err != nil {
		return nil, open, err
	}
	is := func(e audit.Entry) bool {
		var after editions
		return json.Unmarshal(e.After, &after) == nil && place(after) == edition
	}
	for _, e := range all {
		if is(e) {
			of = append(of, e)
		}
	}
	for _, e := range unsure.Entries {
		if is(e) {
			open.Entries, open.Why = append(open.Entries, e), unsure.Why
		}
	}
	return of, open, nil
}

// proposer is who has proposed an edition last; "" if nobody has. It is Unavailable while an entry cannot be judged that may be the last.
func proposer(ctx context.Context, tx *store.Tx, edition string) (string, error) {
	all, unsure, err := proposers(ctx, tx, edition, math.MaxInt64)
	if err == nil && len(all) > 1 {
		err = unsure
	}
	return all[0], err
}

// proposers are who may have proposed an edition last before an entry of the audit record: the one of whom the plant says so, "" if nobody, and those of
// later proposals that cannot be judged, for the reason in unsure.
func proposers(ctx context.Context, tx *store.Tx, edition string, before int64) (who []string, unsure, err error) {
	proposals, open, err := acts(ctx, tx, actPropose, edition, func(e editions) string { return e.Proposed })
	who = []string{""}
	last := int64(0)
	for _, p := range proposals {
		if p.Seq < before {
			who[0], last = p.Actor, p.Seq
		}
	}
	for _, p := range open.Entries {
		if p.Seq > last && p.Seq < before {
			who, unsure = append(who, p.Actor), open.Why
		}
	}
	return who, unsure, err
}
