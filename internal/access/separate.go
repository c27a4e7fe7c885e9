package access

import (
	"context"
	"fmt"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// NotPermitted is the refusal of an action (kind denied). It says what is missing, so that somebody can give it.
func NotPermitted(by Actor, action, link string) error {
	what := action
	if link != "" {
		what += " on link " + link
	}
	a, _ := Lookup(action)
	return &problem.Error{
		Kind: problem.Denied, What: what, Why: fmt.Sprintf("%s has no permission for it", by.Name),
		Hint: fmt.Sprintf("it needs %s; holdfast access roles shows which role has it", a.Permission),
	}
}

// separate refuses an act on what the same actor was the last to edit. The record of acts decides, in the transaction of the act: so it
// holds on every node, and for each way in.
func (p *Policy) separate(ctx context.Context, tx *store.Tx, act Act) error {
	if p == nil || act.Object == "" {
		return nil
	}
	for _, a := range p.apart {
		if a.Approve != act.Action {
			continue
		}
		last, err := lastDone(ctx, tx, a.Edit, act.Object)
		if err != nil {
			return err
		}
		if last != "" && !a.two(last, act.Actor.Name) {
			return &problem.Error{
				Kind: problem.Denied, What: act.Action + " " + act.Object, Why: a.why(),
				Hint: "have somebody else look at it and release it; access.people says whose account of the machine is whose",
			}
		}
	}
	return nil
}

// two tells whether who has done the one may do the other. What a machine has reported, which is nobody's judgement, anybody else may release; what one
// has corrected a person corrects again before another releases it.
func (a Apart) two(last, by string) bool {
	if a.reports() && !audit.OfPeople(last) {
		return last != by
	}
	return audit.TwoPersons(last, by)
}

// why is what somebody is told who has done the one.
func (a Apart) why() string {
	if a.reports() {
		return "whoever has reported it does not release it"
	}
	return "whoever was the last to correct it does not release it"
}

func (a Apart) reports() bool {
	did, _ := Lookup(a.Edit)
	return did.Permission == Report
}

// separateFound is separate once the act was done and before it is committed: of what it found out to be about, such as the message of a request or every
// message of an event, and once more of what it names. By now it holds what an edit must have had, which may have been committed while it waited for that.
func (p *Policy) separateFound(ctx context.Context, tx *store.Tx, act Act, res Result) error {
	for _, object := range append([]string{act.Object, res.Object}, res.About...) {
		act.Object = object
		if err := p.separate(ctx, tx, act); err != nil {
			return err
		}
	}
	return nil
}

// lastDone is who did an action to an object last, "" if nobody did.
func lastDone(ctx context.Context, tx *store.Tx, action, object string) (string, error) {
	page, err := audit.List(ctx, tx, audit.Filter{Action: action, Object: object, Outcome: audit.Done, Limit: 1})
	if err != nil || len(page) == 0 {
		return "", err
	}
	return page[0].Actor, nil
}
