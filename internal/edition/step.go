package edition

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// What can be done with an edition.
const (
	FromFolder = "folder"   // a node took its own folder
	Published  = "publish"  // used by every node
	Proposed   = "propose"  // waits for a second person
	Approved   = "approve"  // used, now that a second person has looked
	RolledBack = "rollback" // used again
	Tried      = "try"      // maps too, and has nothing sent
	TrialEnded = "end"
)

// Step is one thing that was done.
type Step struct {
	Seq      int64     `json:"seq"`
	Step     string    `json:"step"`
	Edition  string    `json:"edition"`
	Previous string    `json:"previous,omitempty"`
	Author   string    `json:"author"`
	Approver string    `json:"approver,omitempty"`
	Actor    string    `json:"actor"`
	Reason   string    `json:"reason,omitempty"`
	At       time.Time `json:"at"`
}

// State is what counts now. A Step without an edition is none.
type State struct {
	Revision int64 `json:"revision"`
	Used     Step  `json:"used"`
	Tried    Step  `json:"tried"`
	Proposed Step  `json:"proposed"`
}

// About is the edition that differs from an earlier state.
func (s State) About(before State) string {
	for _, pair := range [][2]Step{{s.Used, before.Used}, {s.Proposed, before.Proposed}, {s.Tried, before.Tried}} {
		if pair[0].Seq != pair[1].Seq {
			return cmp.Or(pair[0].Edition, pair[1].Edition)
		}
	}
	return s.Used.Edition
}

// By says who does something, and why.
type By struct {
	Actor, Reason string
	Base          *string // the edition that what is published was made from; "": its author's own; nil: whoever publishes has looked
}

// Current reads what counts now.
func Current(ctx context.Context, tx *store.Tx) (State, error) {
	var row stateRow
	if err := tx.Get(ctx, &row, selectState); err != nil {
		return State{}, fmt.Errorf("read which mappings are used: %w", err)
	}
	s := State{Revision: row.Revision}
	for seq, to := range map[int64]*Step{row.Used: &s.Used, row.Tried: &s.Tried, row.Proposed: &s.Proposed} {
		if seq == 0 {
			continue
		}
		var err error
		if *to, err = stepAt(ctx, tx, selectStep, seq); err != nil {
			return State{}, err
		}
	}
	return s, nil
}

// stepAt is the step that a query finds; one without an edition if there is none.
func stepAt(ctx context.Context, tx *store.Tx, query string, args ...any) (Step, error) {
	var row stepRow
	err := tx.Get(ctx, &row, query, args...)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Step{}, fmt.Errorf("read what was done with mappings: %w", err)
	}
	return row.step(), nil
}

func (r stepRow) step() Step {
	s := Step{r.Seq, r.Step, r.Edition, r.Previous, r.Author, r.Approver, r.Actor, r.Reason, time.Time{}}
	if r.At != 0 {
		s.At = store.FromMicros(r.At)
	}
	return s
}

// Steps are the last ones, the latest first.
func Steps(ctx context.Context, tx *store.Tx, most int) ([]Step, error) {
	var rows []stepRow
	if err := tx.Select(ctx, &rows, selectSteps, most); err != nil {
		return nil, fmt.Errorf("read what was done with mappings: %w", err)
	}
	out := make([]Step, 0, len(rows))
	for _, r := range rows {
		out = append(out, r.step())
	}
	return out, nil
}

// begin takes the state for this transaction.
func begin(ctx context.Context, tx *store.Tx) (State, error) {
	if _, err := tx.Exec(ctx, nextRevision); err != nil {
		return State{}, fmt.Errorf("change which mappings are used: %w", err)
	}
	return Current(ctx, tx)
}

// keep writes a step and the state after it, and wakes the nodes.
func (s State) keep(ctx context.Context, tx *store.Tx, step Step) error {
	if _, err := tx.Exec(ctx, insertStep, s.Revision, step.Step, step.Edition, step.Previous, step.Author, step.Approver, step.Actor, step.Reason,
		store.Micros(tx.Now)); err != nil {
		return fmt.Errorf("keep what was done with mappings: %w", err)
	}
	if _, err := tx.Exec(ctx, updateState, s.Used.Seq, s.Tried.Seq, s.Proposed.Seq); err != nil {
		return fmt.Errorf("change which mappings are used: %w", err)
	}
	tx.Wake(Topic)
	return nil
}

// step begins one of this state.
func (s State) step(what, edition, before string, by By) Step {
	return Step{Seq: s.Revision, Step: what, Edition: edition, Previous: before, Author: by.Actor, Actor: by.Actor, Reason: by.Reason}
}

// Folder notes that a node maps by its own folder, for whoever goes back to it later.
func Folder(ctx context.Context, tx *store.Tx, e Edition, before string, by By) error {
	if err := Keep(ctx, tx, e); err != nil {
		return err
	}
	s, err := begin(ctx, tx)
	if err != nil {
		return err
	}
	return s.keep(ctx, tx, s.step(FromFolder, e.Hash, before, by))
}

// Publish has every node use an edition that is kept. With fourEyes it waits for somebody else's approval, in the place of what waited before.
func Publish(ctx context.Context, tx *store.Tx, hash string, fourEyes bool, by By) (State, error) {
	s, err := begin(ctx, tx)
	if err != nil {
		return s, err
	}
	before, err := s.inUse(ctx, tx)
	if err != nil {
		return s, err
	}
	if err := s.seen(hash, by); err != nil {
		return s, err
	}
	again := s.Used.Edition == hash
	if again && fourEyes { // what nobody has approved is published once more, for somebody to do so
		err := s.Used.Approved(ctx, tx)
		if k := problem.KindOf(err); err != nil && k != problem.Denied && k != problem.Integrity {
			return s, err
		}
		again = err == nil
	}
	if again {
		return s, &problem.Error{
			Kind: problem.Conflict, What: "publish edition " + Short(hash), Why: "it is the one that is used", Hint: "change the files in the folder of mappings first",
		}
	}
	if fourEyes {
		s.Proposed = s.step(Proposed, hash, before, by)
		return s, s.keep(ctx, tx, s.Proposed)
	}
	s.take(s.step(Published, hash, before, by))
	return s, s.keep(ctx, tx, s.Used)
}

// take has an edition used. What was tried or proposed of it is so no longer.
func (s *State) take(step Step) {
	s.Used = step
	for _, other := range []*Step{&s.Tried, &s.Proposed} {
		if other.Edition == step.Edition {
			*other = Step{}
		}
	}
}

// inUse is the edition that is used, published or not.
func (s State) inUse(ctx context.Context, tx *store.Tx) (string, error) {
	if s.Used.Edition != "" {
		return s.Used.Edition, nil
	}
	return InUse(ctx, tx)
}

// InUse is the edition that came into use last, published or a node's folder; "" if none ever did.
func InUse(ctx context.Context, tx *store.Tx) (string, error) {
	last, err := stepAt(ctx, tx, selectInUse)
	return last.Edition, err
}

// Approve has every node use the edition that waits. Its author cannot approve it, and nobody once another edition is used than it was proposed over.
func Approve(ctx context.Context, tx *store.Tx, hash string, by By) (State, error) {
	s, err := begin(ctx, tx)
	if err != nil {
		return s, err
	}
	what := "approve edition " + Short(hash)
	author, err := proposer(ctx, tx, hash)
	if err != nil {
		return s, err
	}
	switch p := s.Proposed; {
	case p.Edition == "":
		return s, &problem.Error{Kind: problem.Conflict, What: what, Why: "none waits for approval", Hint: "see holdfast mapping history"}
	case p.Edition != hash:
		return s, &problem.Error{Kind: problem.Conflict, What: what, Why: "it is edition " + Short(p.Edition) + " that waits for approval", Hint: "look at that one: holdfast mapping diff used proposed"}
	case author == "":
		return s, &problem.Error{
			Kind: problem.Integrity, What: what, Why: "it waits for approval, and the audit record has no act that proposed it",
			Hint: "find out who has changed the database: holdfast audit verify; then propose it anew: holdfast mapping publish",
		}
	case !audit.TwoPersons(author, by.Actor):
		return s, &problem.Error{
			Kind: problem.Denied, What: what, Why: author + " has proposed it, and " + by.Actor + " may be the same person: two people must have looked at it",
			Hint: "have somebody else approve it; access.people says whose account of the machine is whose",
		}
	}
	before, err := s.inUse(ctx, tx)
	if err != nil {
		return s, err
	}
	if s.Used.Edition != "" && s.Proposed.Previous != before { // what has been undone since would come back with it
		return s, &problem.Error{
			Kind: problem.Conflict, What: what, Why: "it was proposed over edition " + Short(s.Proposed.Previous) + ", and another is used by now", Hint: "propose it anew, over what is used",
		}
	}
	if before == hash { // what was used before policy asked for this
		before = s.Used.Previous
	}
	step := s.step(Approved, hash, before, by)
	step.Author, step.Approver = author, by.Actor
	s.take(step)
	return s, s.keep(ctx, tx, step)
}

// lastOf is where an edition stands last, -1 if nowhere.
func lastOf(all []string, edition string) int {
	for i, e := range slices.Backward(all) {
		if e == edition {
			return i
		}
	}
	return -1
}

// trail is the editions that were used one after the other, up to the one in use; those that somebody went back from are left out.
func trail(ctx context.Context, tx *store.Tx) (all []string, err error) {
	var rows []stepRow
	if err := tx.Select(ctx, &rows, selectUsed); err != nil {
		return nil, fmt.Errorf("read what was done with mappings: %w", err)
	}
	published := false
	for _, r := range rows {
		if r.Step == FromFolder && published {
			continue // of a node that did not know yet
		}
		published = r.Step != FromFolder
		if at := lastOf(all, r.Edition); at >= 0 && (r.Step == RolledBack || at == len(all)-1) {
			all = all[:at]
		}
		all = append(all, r.Edition)
	}
	return all, nil
}

// seen refuses to put an edition in the place of one that somebody else has brought and that it was not made from: theirs would be undone unseen.
func (s State) seen(hash string, by By) error {
	used := s.Used
	if by.Base == nil || used.Edition == "" || used.Edition == hash || used.Edition == *by.Base {
		return nil
	}
	if own := used.Actor == by.Actor || used.Author == by.Actor && used.Step != RolledBack; own && *by.Base == "" {
		return nil
	}
	return &problem.Error{
		Kind: problem.Conflict, What: "publish edition " + Short(hash), Why: "it would undo what is used by now: " + used.told(),
		Hint: fmt.Sprintf("see what that changed: holdfast mapping diff %s used; take over what you need, then publish with --base %s", cmp.Or(Short(used.Previous), "-"), Short(used.Edition)),
	}
}

// told says who has brought an edition, and when.
func (s Step) told() string {
	return fmt.Sprintf("edition %s, by %s at %s (%s)", Short(s.Edition), s.Actor, s.At.UTC().Format(time.RFC3339), s.Step)
}

// RollBack has every node use the edition again that was used before the one that is used now; called again, the one before that, until
// the first. An edition of that is another than the one used now is refused; "" is whichever it is. With fourEyes it goes back only to one that was approved then.
func RollBack(ctx context.Context, tx *store.Tx, of string, fourEyes bool, by By) (State, error) {
	s, err := begin(ctx, tx)
	if err != nil {
		return s, err
	}
	if of != "" && s.Used.Edition != "" && s.Used.Edition != of {
		return s, &problem.Error{
			Kind: problem.Conflict, What: "go back from edition " + Short(of), Why: "it is not used any more: " + s.Used.told(),
			Hint: "nothing was changed; if that one is to go too, look first: holdfast mapping history",
		}
	}
	used, err := trail(ctx, tx)
	if err != nil {
		return s, err
	}
	if len(used) < 2 {
		return s, &problem.Error{
			Kind: problem.Conflict, What: "go back to earlier mappings", Why: "no others were used before", Hint: "mend the files in the folder of mappings, and publish them",
		}
	}
	now, before := used[len(used)-1], used[len(used)-2]
	was, err := stepAt(ctx, tx, selectTaken, before)
	if err != nil {
		return s, err
	}
	step := s.step(RolledBack, before, now, by)
	step.Author, step.Approver = was.Author, was.Approver
	if fourEyes {
		if err := step.Approved(ctx, tx); err != nil {
			return s, err
		}
	}
	s.take(step)
	return s, s.keep(ctx, tx, step)
}

// Back is the edition that RollBack would have used; "" where there is none to go back to, of which RollBack says more.
func Back(ctx context.Context, tx *store.Tx) (hash string, err error) {
	used, err := trail(ctx, tx)
	if err != nil || len(used) < 2 {
		return "", err
	}
	return used[len(used)-2], nil
}

// Try has every node map by this edition too. Nothing of what it makes is sent.
func Try(ctx context.Context, tx *store.Tx, hash string, by By) (State, error) {
	s, err := begin(ctx, tx)
	if err != nil {
		return s, err
	}
	before, err := s.inUse(ctx, tx)
	if err != nil {
		return s, err
	}
	if before == hash {
		return s, &problem.Error{Kind: problem.Conflict, What: "try edition " + Short(hash), Why: "it is the one that is used", Hint: "change the files in the folder of mappings first"}
	}
	s.Tried = s.step(Tried, hash, s.Tried.Edition, by)
	return s, s.keep(ctx, tx, s.Tried)
}

// EndTrial ends what Try began.
func EndTrial(ctx context.Context, tx *store.Tx, by By) (State, error) {
	s, err := begin(ctx, tx)
	if err != nil {
		return s, err
	}
	was := s.Tried.Edition
	if was == "" {
		return s, &problem.Error{Kind: problem.Conflict, What: "end the trial", Why: "no mappings are tried", Hint: "begin with holdfast mapping publish --canary"}
	}
	s.Tried = Step{}
	return s, s.keep(ctx, tx, s.step(TrialEnded, was, was, by))
}
