package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

func newLane() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lane", Short: "See the lanes that owe something, pause one, let it go on",
		Long: "A lane is a sequence of messages whose order counts, usually those of one production order. When the ERP refuses one of\n" +
			"them, its lane is parked and no other.",
	}
	cmd.AddCommand(laneList(), lanePause(), laneResume())
	return cmd
}

func laneList() *cobra.Command {
	var state string
	var f outbox.LaneFilter
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List lanes that owe something, the one that owes longest first",
		Example: "  holdfast lane list --state parked",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.State = outbox.State(state)
			return with(cmd, func(ctx context.Context, r *records) error {
				var lanes []outbox.Lane
				var now time.Time
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					now = tx.Now
					lanes, _, err = r.out.Lanes(ctx, tx, f, "")
					return err
				})
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), laneViews(lanes))
				}
				return printLanes(cmd, lanes, now)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&f.Link, "link", "", "only lanes of this link")
	cmd.Flags().StringVar(&state, "state", "", "only lanes that are open, parked, unknown or waiting")
	cmd.Flags().BoolVar(&f.Paused, "paused", false, "only lanes that a person has paused")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "the most lanes to list")
	return cmd
}

func printLanes(cmd *cobra.Command, lanes []outbox.Lane, now time.Time) error {
	if len(lanes) == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "no such lane owes anything")
		return err
	}
	rows := make([]string, 0, len(lanes))
	for _, l := range lanes {
		state := string(l.State)
		if l.Paused {
			state = "paused"
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%s\t%s", l.Link, l.Name, state, l.Owed, l.Head, ago(now, l.OldestAt), orDash(l.Reason)))
	}
	return table(cmd.OutOrStdout(), "LINK\tLANE\tSTATE\tOWED\tNEXT\tOLDEST\tWHY", rows)
}

func lanePause() *cobra.Command {
	return laneAct("pause LINK LANE", "Stop one lane; its messages wait", "  holdfast lane pause erp 0198c2 --reason 'quantity is being checked'",
		access.LanePause, (*outbox.Outbox).PauseLane)
}

func laneResume() *cobra.Command {
	return laneAct("resume LINK LANE", "Let a parked or paused lane go on from its first message", "  holdfast lane resume erp 0198c2 --reason 'period opened'",
		access.LaneResume, (*outbox.Outbox).Resume)
}

type laneOperation func(o *outbox.Outbox, ctx context.Context, tx *store.Tx, link, lane, reason string) error

func laneAct(use, summary, example, action string, do laneOperation) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: summary, Example: example, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			link, lane := args[0], args[1]
			return with(cmd, func(ctx context.Context, r *records) error {
				var after outbox.Lane
				err := r.act(ctx, action, "lane/"+link+"/"+lane, reason, func(ctx context.Context, tx *store.Tx) (err error) {
					if err = do(r.out, ctx, tx, link, lane, reason); err == nil {
						after, err = r.out.Lane(ctx, tx, link, lane)
					}
					return err
				})
				if err != nil {
					return err
				}
				state := "goes on from"
				if after.Paused {
					state = "is paused before"
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "lane %s %s message %d, %d waiting\n", lane, state, after.Head, after.Owed)
				return err
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}
