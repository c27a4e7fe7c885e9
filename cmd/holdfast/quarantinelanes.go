package main

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/inbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// inboundLaneView is an inbound lane as --json prints it.
type inboundLaneView struct {
	Source   string     `json:"source"`
	Lane     string     `json:"lane"`
	Next     int64      `json:"next,omitempty"`
	Waiting  int64      `json:"waiting"`
	Held     int64      `json:"held_by,omitempty"` // row number of the message in quarantine
	GapSince *time.Time `json:"missing_since,omitempty"`
	Why      string     `json:"why"`
}

func quarantineLanes() *cobra.Command {
	var source string
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "lanes",
		Short:   "List the inbound lanes that wait, and what each waits for",
		Example: "  holdfast quarantine lanes",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var list []inbox.Lane
				var now time.Time
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					now = tx.Now
					list, err = r.in.Lanes(ctx, tx, source, "", limit)
					return err
				})
				if err != nil {
					return err
				}
				return printInboundLanes(cmd, list, now, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&source, "source", "", "only lanes of this source")
	cmd.Flags().IntVar(&limit, "limit", 50, "the most lanes to list")
	return cmd
}

func printInboundLanes(cmd *cobra.Command, list []inbox.Lane, now time.Time, asJSON bool) error {
	views, rows := make([]inboundLaneView, 0, len(list)), make([]string, 0, len(list))
	for _, l := range list {
		v := inboundLaneView{Source: l.Source, Lane: l.Name, Next: l.Next, Waiting: l.Waiting, Held: l.Held, Why: whyWaits(l, now)}
		if !l.GapSince.IsZero() {
			v.GapSince = &l.GapSince
		}
		views = append(views, v)
		rows = append(rows, fmt.Sprintf("%s\t%s\t%d\t%s", orDash(plainText(l.Source)), orDash(plainText(l.Name)), l.Waiting, v.Why))
	}
	switch {
	case asJSON:
		return printJSON(cmd.OutOrStdout(), views)
	case len(list) == 0:
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "no inbound lane waits")
		return err
	default:
		return table(cmd.OutOrStdout(), "SOURCE\tLANE\tWAITING\tFOR", rows)
	}
}

// whyWaits says what a lane waits for, in words.
func whyWaits(l inbox.Lane, now time.Time) string {
	switch {
	case l.Held > 0:
		return fmt.Sprintf("message %d in quarantine", l.Held)
	case !l.GapSince.IsZero() && l.Epoch > 1:
		return fmt.Sprintf("number %d of epoch %d, missing for %s", l.Next, l.Epoch, ago(now, l.GapSince))
	case !l.GapSince.IsZero():
		return fmt.Sprintf("number %d, missing for %s", l.Next, ago(now, l.GapSince))
	case l.Trouble != "":
		return "another try: " + orDash(plainText(l.Trouble))
	default:
		return "its turn"
	}
}

func quarantineSkip() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "skip SOURCE LANE NUMBER",
		Short: "Let an inbound lane go on without a message that will never come",
		Long: "Only the number that the lane waits for can be skipped. Should its message come after all, it goes to quarantine and holds nothing:\n" +
			"replay it there, or discard it.",
		Example: "  holdfast quarantine skip urn:erp 4711 7 --reason 'the ERP has lost it; its stock was corrected by hand'",
		Args:    cobra.ExactArgs(3),
		RunE: func(cmd *cobra.Command, args []string) error {
			number, err := strconv.ParseInt(args[2], 10, 64)
			if err != nil || number < 1 {
				return &problem.Error{Kind: problem.Invalid, What: "skip number " + args[2], Why: "it is no number of a lane", Hint: "see: holdfast quarantine lanes"}
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				err := r.act(ctx, access.InboxSkip, "inbound-lane/"+args[0]+"/"+args[1], reason, func(ctx context.Context, tx *store.Tx) error {
					return r.in.Skip(ctx, tx, args[0], args[1], number)
				})
				if err != nil {
					return err
				}
				return outcome(cmd, args[0]+" "+args[1], nil, "lane %s goes on without number %d", args[1], number)
			})
		},
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	return cmd
}
