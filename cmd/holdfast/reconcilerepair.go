package main

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/job"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// applyComparison makes the messages that repair what a comparison has found: first those that stand alone, then the job that sends again what is lost.
func (r *records) applyComparison(ctx context.Context, cmd *cobra.Command, p *reconciling, c comparison) error {
	var again []string
	var anew []difference
	missing := 0
	for _, d := range c.Differences {
		switch {
		case d.What == lost:
			again = append(again, d.Message)
		case d.Confirmation != "":
			anew = append(anew, d)
		case d.ReadAgain:
			missing++
		}
	}
	total := len(again) + len(anew) + missing
	if total == 0 {
		if err := c.print(cmd.OutOrStdout(), p.asJSON); err != nil {
			return err
		}
		return &problem.Error{Kind: problem.Precondition, What: "repair what differs", Why: "the ERP has lost nothing, and no message repairs anything else: nothing is sent", Hint: "see what differs without --apply, and what a person does about each"}
	}
	if err := job.Expected(total, p.expect); err != nil {
		return err
	}
	var failed error
	for _, d := range anew {
		failed = errors.Join(failed, r.reportAnew(ctx, cmd, c.Link, d, p.reason))
	}
	if missing > 0 {
		failed = errors.Join(failed, r.readAgain(ctx, cmd, c.Link, p.reason))
	}
	if len(again) == 0 {
		return failed
	}
	p.request.Choice.IDs, p.expect = again, len(again)
	p.request.Some = true // one that somebody has replayed meanwhile keeps none of the others back
	return errors.Join(failed, r.replayMany(ctx, cmd, &p.replaying))
}

// reportAnew takes one confirmation back and reports it anew.
func (r *records) reportAnew(ctx context.Context, cmd *cobra.Command, link string, d difference, reason string) error {
	var made []string
	a := console.Anew{Link: link, Message: d.Message, Confirmation: d.Confirmation, Document: d.Document}
	act := access.Act{Action: access.ConfirmationReverse, Actor: r.actor(), Object: access.ConfirmationObject(d.Confirmation), Link: link, Reason: reason}
	_, err := r.do(ctx, act, func(ctx context.Context, tx *store.Tx) (_ access.Result, err error) {
		if made, err = a.Report(ctx, tx, r.plant, r.out, r.jobs, reason, r.me()); err != nil {
			return access.Result{}, err
		}
		after, err := json.Marshal(map[string]any{"message": d.Message, "document": d.Document, "reported_anew": made})
		return access.Result{Events: made, After: after}, err
	})
	if err != nil {
		return err
	}
	return sentence(cmd.OutOrStdout(), "%s: its reversal and its new report are owed, in this order: %s, %s", d.Object, made[0], made[1])
}

// readAgain has what an ERP has to say read again.
func (r *records) readAgain(ctx context.Context, cmd *cobra.Command, link, reason string) error {
	var feeds []string
	act := access.Act{Action: access.InboundReadAgain, Actor: r.actor(), Object: "link/" + link, Link: link, Reason: reason}
	_, err := r.do(ctx, act, func(ctx context.Context, tx *store.Tx) (_ access.Result, err error) {
		if feeds, err = r.in.ReadAgain(ctx, tx, link); err != nil {
			return access.Result{}, err
		}
		after, err := json.Marshal(map[string]any{"feeds": feeds})
		return access.Result{After: after}, err
	})
	if err != nil {
		return err
	}
	return sentence(cmd.OutOrStdout(), "%s of link %s read again from the beginning: %s; what the plant has already has no effect again",
		count(len(feeds), "feed is", "feeds are"), link, strings.Join(feeds, ", "))
}
