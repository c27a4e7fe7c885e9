package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// msgRepair changes one message within tx and says what became of it.
type msgRepair func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) (done string, err error)

// msgAct is a command that changes one message.
func msgAct(use, summary, example, action string, do msgRepair) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: summary, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error { return r.repair(ctx, cmd, action, args[0], reason, do) })
		},
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	return cmd
}

// repair does one act on a message, and prints what became of it and of its lane.
func (r *records) repair(ctx context.Context, cmd *cobra.Command, action, id, reason string, do msgRepair) error {
	var done, lane string
	act := access.Act{Action: action, Actor: r.cfg.localActor(), Object: access.MessageObject(id), Reason: reason}
	_, err := r.do(ctx, act, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
		d, err := r.out.Message(ctx, tx, id)
		if err != nil {
			return access.Result{}, err
		}
		about, err := r.out.LetGo(ctx, tx, d)
		if err != nil {
			return access.Result{}, err
		}
		if done, err = do(ctx, r, tx, d, reason); err != nil {
			return access.Result{}, err
		}
		if r.waits(action) {
			return r.requested(ctx, tx, id)
		}
		lane, err = r.goesOn(ctx, tx, d.Link, d.Lane)
		return access.Result{About: about}, err
	})
	if err != nil {
		return err
	}
	if r.waits(action) {
		return errors.Join(r.outcomeOfMessage(ctx, cmd, id, "message %s %s", id, done), approval)
	}
	return r.outcomeOfMessage(ctx, cmd, id, "message %s %s; %s", id, done, lane)
}

// outcomeOfMessage is outcome, of a message to an ERP.
func (r *records) outcomeOfMessage(ctx context.Context, cmd *cobra.Command, id, format string, args ...any) error {
	d, err := r.message(ctx, id)
	if err != nil {
		return err
	}
	return outcome(cmd, id, messageViewOf(d, false), format, args...)
}

// goesOn says whether a lane goes on now, and if not, what lets it.
func (r *records) goesOn(ctx context.Context, tx *store.Tx, link, name string) (string, error) {
	l, err := r.out.Lane(ctx, tx, link, name)
	if err != nil {
		return "", err
	}
	k, err := r.link(ctx, tx, link)
	if err != nil {
		return "", err
	}
	switch resume := "holdfast lane resume " + link + " " + name + " --reason …"; {
	case l.Paused:
		return "its lane is paused, let it go on with: " + resume, nil
	case l.State == outbox.Waiting:
		return "its lane goes on when the ERP's number of " + l.Awaits + " has come", nil
	case l.State != outbox.Open:
		return "its lane is " + string(l.State) + ", let it go on with: " + resume, nil
	case k.Paused:
		return "link " + link + " is paused, let it go on with: holdfast link resume " + link + " --reason …", nil
	case l.Owed == 0:
		return "its lane owes nothing more", nil
	case l.NotBefore.After(tx.Now):
		if outbox.Held(l.NotBefore) {
			return "its lane waits for a doubtful message: holdfast anomaly list", nil
		}
		return "its lane goes on not before " + l.NotBefore.Format(time.RFC3339), nil
	default:
		return r.asksFirst(ctx, tx, l)
	}
}

// asksFirst says whether an open lane goes on with a message that the ERP may have.
func (r *records) asksFirst(ctx context.Context, tx *store.Tx, l outbox.Lane) (string, error) {
	first, _, err := r.out.Messages(ctx, tx, outbox.Filter{Link: l.Link, Lane: l.Name, Owed: true, OldestFirst: true, Limit: 1}, "")
	if err != nil || len(first) == 0 || !first[0].MaySent() {
		return "its lane goes on", err
	}
	return "its lane goes on once the ERP, asked first, has said whether it has message " + strconv.FormatInt(l.Head, 10) +
		"; if it cannot be asked, the lane stands still until you say it: holdfast msg mark-delivered, or holdfast msg send-again", nil
}

func msgRetry() *cobra.Command {
	return msgAct("retry ID", "Have the first message of its lane sent now", "  holdfast msg retry 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --reason 'material exists now'",
		access.MsgRetry,
		func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) (string, error) {
			done := "is next to be sent"
			if d.NotBefore.After(tx.Now) {
				done += ", and no longer waits"
				if !outbox.Held(d.NotBefore) {
					done += " until " + d.NotBefore.Format(time.RFC3339)
				}
			}
			return done, r.out.Retry(ctx, tx, d.ID, reason)
		})
}

// mostLater is how many of the messages are named that follow one.
const mostLater = 10

// goOnWithout names the messages that are owed behind d in its lane and go on without it; "" if there are none.
func (r *records) goOnWithout(ctx context.Context, tx *store.Tx, d outbox.Detail) (string, error) {
	first, all, err := r.out.Followers(ctx, tx, d, mostLater)
	if err != nil || all == 0 || d.Redelivery > 0 {
		return "", err
	}
	names := make([]string, 0, len(first)+1)
	for _, f := range first {
		names = append(names, fmt.Sprintf("%d %s %s", f.Number, f.Kind, f.ID))
	}
	if more := all - int64(len(first)); more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	return count(all, "later message of its lane goes", "later messages of its lane go") + " on without it: " + strings.Join(names, ", "), nil
}

// planDiscard says what a discard would do, and does nothing.
func (r *records) planDiscard(ctx context.Context, w io.Writer, id string, force bool) error {
	return r.db.View(ctx, func(tx *store.Tx) error {
		d, err := r.out.Message(ctx, tx, id)
		if err != nil {
			return err
		}
		says, err := r.goOnWithout(ctx, tx, d)
		if err != nil {
			return err
		}
		what := fmt.Sprintf("message %s, %d %s of lane %s", id, d.Number, d.Kind, d.Lane)
		switch {
		case d.Settled || d.Role == message.Void:
			return sentence(w, "%s would stay as it is: it is %s", what, stateOf(d))
		case d.MaySent() && !force:
			return sentence(w, "%s would not be discarded without --force: the ERP may have it", what)
		case d.Redelivery > 0:
			return sentence(w, "%s would not be replayed; it stays delivered as it was", what)
		case says == "":
			says = "no later message of its lane waits"
		}
		return sentence(w, "%s would be voided: the ERP never learns of it; %s", what, says)
	})
}

func msgDiscard() *cobra.Command {
	var force, dryRun bool
	var cause, words string
	discard := func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) (string, error) {
		if r.waits(access.MsgDiscard) {
			return r.ask(ctx, tx, outbox.Wish{Message: d.ID, Act: outbox.ToDiscard, InDoubt: force, Reason: reason}, nil)
		}
		discard, done := r.out.Discard, "is voided"
		if d.Redelivery > 0 {
			done = "is not replayed; it stays delivered as it was"
		}
		if force && d.MaySent() {
			discard, done = r.out.DiscardInDoubt, done+"; the ERP may have it all the same"
		}
		says, err := r.goOnWithout(ctx, tx, d)
		if says != "" {
			done += "; " + says
		}
		return done, errors.Join(err, discard(ctx, tx, d.ID, outbox.Why(reason)))
	}
	cmd := &cobra.Command{
		Use: "discard ID", Short: "Give a message up; its number is kept as a void",
		Long: "Give a message up: the ERP never learns of it, and a signed void keeps its number. What is owed behind it in its lane goes on without it,\n" +
			"and is named; --dry-run names it before, and changes nothing.",
		Example: "  holdfast msg discard 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --dry-run\n" +
			"  holdfast msg discard 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --cause booked-by-hand --reason 'posted as 4900000123'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if dryRun {
					return r.planDiscard(ctx, cmd.OutOrStdout(), args[0], force)
				}
				why, err := outbox.Because(outbox.Cause(cause), words)
				if err != nil {
					return err
				}
				return r.repair(ctx, cmd, access.MsgDiscard, args[0], string(why), discard)
			})
		},
	}
	reasonFlag(cmd, &words)
	actFlag(cmd)
	causeFlag(cmd, &cause)
	cmd.Flags().BoolVar(&force, "force", false, "also if it may have been sent; you then answer for what the ERP has")
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what it would do, and what goes on without it, and change nothing: neither cause nor reason is needed")
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		for _, name := range []string{"cause", "reason"} {
			if dryRun {
				delete(cmd.Flags().Lookup(name).Annotations, cobra.BashCompOneRequiredFlag)
			}
		}
		return cobra.ExactArgs(1)(cmd, args)
	}
	return cmd
}

// causeFlag is the cause of a discard.
func causeFlag(cmd *cobra.Command, cause *string) {
	names, said := make([]string, 0, len(outbox.Causes())), make([]string, 0, len(outbox.Causes()))
	for _, c := range outbox.Causes() {
		names, said = append(names, string(c)), append(said, string(c)+"\t"+c.Says())
	}
	cmd.Flags().StringVar(cause, "cause", "", "what went wrong: "+strings.Join(names, ", ")+" (required)")
	if err := errors.Join(cmd.MarkFlagRequired("cause"), cmd.RegisterFlagCompletionFunc("cause", cobra.FixedCompletions(said, cobra.ShellCompDirectiveNoFileComp))); err != nil {
		panic(err)
	}
}

func msgUndiscard() *cobra.Command {
	return msgAct("undiscard ID", "Owe a message again that was discarded or has expired", "  holdfast msg undiscard 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --reason 'it was the other order'",
		access.MsgUndiscard,
		func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) (string, error) {
			if r.waits(access.MsgUndiscard) {
				return r.ask(ctx, tx, outbox.Wish{Message: d.ID, Act: outbox.ToUndiscard, Reason: reason}, nil)
			}
			id, err := r.out.Undiscard(ctx, tx, d.ID, reason)
			if id == d.ID {
				return "is owed again, under its own number", err
			}
			return "stays void, since its number is closed; what it said is owed again as message " + id, err
		})
}

func msgAmend() *cobra.Command {
	var reason, bodyFile, version string
	cmd := &cobra.Command{
		Use: "edit ID", Aliases: []string{"amend"}, Short: "Correct the body of a message that is still owed",
		Long: "The new body is held against what the message is about, the mapping and the ERP's contract first: another object's body, an unknown\n" +
			"member and what cannot be sent are refused here, and change nothing.\n\n" +
			"A message that was corrected before is corrected again only with --if and the digest that msg show has of what you started from, so that\n" +
			"nobody's correction is written over unseen: with another digest it changes nothing and ends with status 5.",
		Example: "  holdfast msg edit 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --body corrected.json --reason 'wrong unit'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := callersText(cmd.Context(), bodyFile)
			if err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				check, done, err := r.sendable(ctx)
				if err != nil {
					return err
				}
				defer done()
				return r.repair(ctx, cmd, access.MsgAmend, args[0], reason, amendment(body, version, check))
			})
		},
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	cmd.Flags().StringVar(&bodyFile, "body", "", "file with the whole corrected event as JSON (required)")
	fileFlag(cmd, "body", isRead)
	cmd.Flags().StringVar(&version, "if", "", "only if this is its digest still: what msg show says, or its first 8 characters and more")
	if err := cmd.MarkFlagRequired("body"); err != nil {
		panic(err)
	}
	return cmd
}

// amendment gives a message another body, if that can be sent.
func amendment(body []byte, version string, check sendable) msgRepair {
	return func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) (string, error) {
		if err := console.CheckJSON("amend message "+d.ID, body); err != nil {
			return "", err
		}
		if err := stillIs(d, version); err != nil {
			return "", err
		}
		if r.waits(access.MsgAmend) {
			return r.ask(ctx, tx, outbox.Wish{Message: d.ID, Act: outbox.ToAmend, Body: body, Reason: reason}, check.Check)
		}
		if err := r.out.Amend(ctx, tx, d.ID, body, reason); err != nil {
			return "", err
		}
		amended, err := r.out.Message(ctx, tx, d.ID)
		if err != nil {
			return "", err
		}
		return "is amended", check.Check(ctx, tx, amended)
	}
}

// stillIs refuses to correct another version of a message than the one that was looked at.
func stillIs(d outbox.Detail, version string) error {
	if version == "" && !d.Corrected() || len(version) >= 8 && strings.HasPrefix(d.Digest, version) {
		return nil
	}
	e := &problem.Error{Kind: problem.Precondition, What: "amend message " + d.ID, Why: "it is not what --if says: somebody else has changed it since"}
	if e.Hint = "look at what it says now: holdfast msg show " + d.ID + "; then correct that, with --if " + d.Digest; version == "" {
		e.Why = "it was corrected before, and nothing says that you have seen that"
	}
	return e
}

func msgMarkDelivered() *cobra.Command {
	var document string
	cmd := msgAct("mark-delivered ID", "Say that the ERP has a message at which its lane stands still", "  holdfast msg mark-delivered 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --document 4900000123 --reason 'found in the ERP'",
		access.MsgMarkDelivered,
		func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) (string, error) {
			if r.waits(access.MsgMarkDelivered) {
				return r.ask(ctx, tx, outbox.Wish{Message: d.ID, Act: outbox.ToMarkDelivered, Document: document, Reason: reason}, nil)
			}
			return "counts as delivered", r.out.MarkDelivered(ctx, tx, d.ID, document, reason)
		})
	cmd.Flags().StringVar(&document, "document", "", "the ERP's number of it; required where other messages need it")
	return cmd
}

func msgSendAgain() *cobra.Command {
	return msgAct("send-again ID", "Say that the ERP does not have a message at which its lane stands still, and send it", "  holdfast msg send-again 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --reason 'not in the ERP'",
		access.MsgSendAgain,
		func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) (string, error) {
			return "is sent again without asking the ERP", r.out.SendAgain(ctx, tx, d.ID, reason)
		})
}
