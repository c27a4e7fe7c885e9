package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func msgPostpone() *cobra.Command {
	var until, reason string
	cmd := &cobra.Command{
		Use:   "postpone ID",
		Short: "Have a message, and all that follow it in its lane, sent later",
		Long: "Order in a lane is absolute: while a message waits for its time, so does every message behind it. Other lanes go on. A time that is\n" +
			"past ends a postponement.",
		Example: "  holdfast msg postpone 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --until 2026-12-01T06:00:00+01:00 --reason 'period opens on Tuesday'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			at, err := time.Parse(time.RFC3339, until)
			if err != nil {
				return &problem.Error{
					Kind: problem.Invalid, What: "postpone until " + until, Why: "it is no time with its zone (RFC 3339)", Hint: "for example 2026-12-01T06:00:00+01:00",
				}
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				return r.postpone(ctx, cmd, args[0], at, reason)
			})
		},
	}
	cmd.Flags().StringVar(&until, "until", "", "the earliest time to send it, with its zone, such as 2026-12-01T06:00:00+01:00 (required)")
	if err := cmd.MarkFlagRequired("until"); err != nil {
		panic(err)
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	return cmd
}

// postpone puts a message off, and says so; of a time that is past, and of a lane that stands still whatever its time, it says that.
func (r *records) postpone(ctx context.Context, cmd *cobra.Command, id string, at time.Time, reason string) error {
	var done string
	act := access.Act{Action: access.MsgPostpone, Actor: r.cfg.localActor(), Object: access.MessageObject(id), Reason: reason}
	_, err := r.do(ctx, act, func(ctx context.Context, tx *store.Tx) (res access.Result, err error) {
		d, err := r.out.Message(ctx, tx, id)
		if err != nil {
			return res, err
		}
		if res.About, err = r.out.LetGo(ctx, tx, d); err != nil {
			return res, err
		}
		held, err := r.out.Postpone(ctx, tx, id, at, reason)
		if err != nil {
			return res, err
		}
		done = fmt.Sprintf("is not sent before %s; it holds its lane: %s behind it too", at.Format(time.RFC3339), count(held-1, "message waits", "messages wait"))
		if !at.After(tx.Now) {
			done = "is not put off: " + at.Format(time.RFC3339) + " is past"
		}
		d, err = r.out.Message(ctx, tx, id)
		if err != nil || at.After(tx.Now) && d.LaneState.State == outbox.Open && !d.LaneState.Paused {
			return res, err
		}
		lane, err := r.goesOn(ctx, tx, d.Link, d.Lane)
		done += "; " + lane
		return res, err
	})
	if err != nil {
		return err
	}
	return r.outcomeOfMessage(ctx, cmd, id, "message %s %s", id, done)
}
