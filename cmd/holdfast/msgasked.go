package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// waits tells whether policy has an act wait for a second person.
func (r *records) waits(action string) bool {
	return r.out.Config().FourEyes && slices.Contains([]string{access.MsgAmend, access.MsgDiscard, access.MsgUndiscard, access.MsgMarkDelivered}, action)
}

// ask keeps what the person at this machine wants done to a message, for somebody else to approve.
func (r *records) ask(ctx context.Context, tx *store.Tx, w outbox.Wish, check func(context.Context, *store.Tx, outbox.Detail) error) (string, error) {
	w.By = r.me()
	w, err := r.out.Ask(ctx, tx, w, check)
	return "stays as it is until somebody else than " + w.By + " has approved it: holdfast msg approve " + w.ID + " --reason …", err
}

// requested is what the audit record keeps of a request: its ID joins it to what becomes of it.
func (r *records) requested(ctx context.Context, tx *store.Tx, id string) (access.Result, error) {
	w, err := r.out.WishOf(ctx, tx, id)
	if err != nil || w == nil {
		return access.Result{}, err
	}
	return recorded(*w)
}

// wishView is what somebody wants done to a message, as --json prints it.
type wishView struct {
	ID      string          `json:"request"`
	Message string          `json:"message"`
	Act     string          `json:"act"`
	Body    json.RawMessage `json:"body_wanted,omitempty"`
	InDoubt bool            `json:"force,omitempty"`
	By      string          `json:"by"`
	Reason  string          `json:"reason"`
	At      time.Time       `json:"at"`

	Document string `json:"document,omitempty"`
}

func msgAsked() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "asked", Short: "List the acts on messages that wait for somebody's approval", Example: "  holdfast msg asked -o json", Args: cobra.NoArgs,
		Long: "List the corrections, discards, undone discards and marks as delivered that wait for somebody's approval (policy.four_eyes). -o json has\n" +
			"the whole body that a correction would give a message; holdfast msg show has the one that it has.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				list, err := r.wishes(ctx)
				if err != nil {
					return err
				}
				return printWishes(cmd.OutOrStdout(), list, r.db.Now(), asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// wishes are what waits, with the bodies.
func (r *records) wishes(ctx context.Context) (list []outbox.Wish, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) error {
		all, err := r.out.Wishes(ctx, tx)
		if err != nil {
			return err
		}
		for _, w := range all {
			whole, err := r.out.WishOf(ctx, tx, w.Message)
			if err != nil {
				return err
			}
			list = append(list, *whole)
		}
		return nil
	})
	return list, err
}

func printWishes(w io.Writer, list []outbox.Wish, now time.Time, asJSON bool) error {
	views, rows := make([]wishView, 0, len(list)), make([]string, 0, len(list))
	for _, l := range list {
		views = append(views, wishView{l.ID, l.Message, l.Act, l.Body, l.InDoubt, l.By, l.Reason, l.At, l.Document})
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", l.ID, l.Act, l.Message, ago(now, l.At), l.By, orDash(l.Reason)))
	}
	switch {
	case asJSON:
		return printJSON(w, views)
	case len(list) == 0:
		return sentence(w, "nothing waits for approval")
	default:
		return table(w, "REQUEST\tACT\tMESSAGE\tAGE\tBY\tREASON", rows)
	}
}

// recorded is a request as the audit record keeps it.
func recorded(w outbox.Wish) (access.Result, error) {
	says := map[string]string{"request": w.ID, "act": w.Act, "asked_by": w.By, "asked_for": w.Reason}
	if w.Document != "" {
		says["document"] = w.Document
	}
	after, err := json.Marshal(says)
	return access.Result{Object: access.MessageObject(w.Message), After: after}, err
}

// msgDecide is a command that decides about a request.
func msgDecide(use, summary, example, action string, do func(ctx context.Context, r *records, tx *store.Tx, id, reason string) (outbox.Wish, string, error)) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: summary, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var says string
				act := access.Act{Action: action, Actor: r.cfg.localActor(), Object: "request/" + args[0], Reason: reason}
				_, err := r.do(ctx, act, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
					w, done, err := do(ctx, r, tx, args[0], reason)
					says = done
					if err != nil {
						return access.Result{}, err
					}
					return recorded(w)
				})
				if err != nil {
					return err
				}
				return outcome(cmd, args[0], nil, "%s", says)
			})
		},
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	return cmd
}

func msgApprove() *cobra.Command {
	return msgDecide("approve REQUEST", "Approve what somebody else has asked to be done to a message",
		"  holdfast msg approve 5f0c1e7a93b24d6c8a1f0e2b4c6d8e9f --reason 'looked at the delivery note'", access.MsgApprove,
		func(ctx context.Context, r *records, tx *store.Tx, id, reason string) (outbox.Wish, string, error) {
			check, done, err := r.sendable(ctx)
			if err != nil {
				return outbox.Wish{}, "", err
			}
			defer done()
			w, err := r.out.Approve(ctx, tx, id, r.me(), reason, check.Check)
			if err != nil {
				return w, "", err
			}
			d, err := r.out.Message(ctx, tx, w.Message)
			if err != nil {
				return w, "", err
			}
			lane, err := r.goesOn(ctx, tx, d.Link, d.Lane)
			if w.Act == outbox.ToUndiscard {
				return w, "what message " + d.ID + " says is owed again as " + w.By + " has asked, see holdfast msg show " + d.ID + "; " + lane, err
			}
			return w, "message " + d.ID + " is " + stateOf(d) + " as " + w.By + " has asked; " + lane, err
		})
}

func msgRefuse() *cobra.Command {
	return msgDecide("refuse REQUEST", "Refuse what was asked to be done to a message, or take your own request back",
		"  holdfast msg refuse 5f0c1e7a93b24d6c8a1f0e2b4c6d8e9f --reason 'the quantity was right'", access.MsgRefuse,
		func(ctx context.Context, r *records, tx *store.Tx, id, reason string) (outbox.Wish, string, error) {
			w, err := r.out.Refuse(ctx, tx, id, r.me(), reason)
			return w, "message " + w.Message + " stays as it is", err
		})
}
