package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/console"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func newLane() *cobra.Command {
	cmd := &cobra.Command{
		Use: "lane", Short: "See the lanes that owe something, pause one, let it go on",
		Long: "A lane is a sequence of messages whose order counts, usually those of one production order. When the ERP refuses one of\n" +
			"them, its lane is parked and no other.",
	}
	cmd.AddCommand(laneList(), laneShow(), lanePause(), laneResume())
	return cmd
}

func laneList() *cobra.Command {
	var state string
	var f outbox.LaneFilter
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List lanes that owe something or are paused, the one that owes longest first",
		Example: "  holdfast lane list --stuck",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.State = outbox.State(state); state != "" && !slices.Contains(laneStates, f.State) {
				return &problem.Error{
					Kind: problem.Invalid, What: "list the lanes in state " + state, Why: "a lane has no such state",
					Hint: "the states are open, parked, unknown and waiting; lanes that a person has stopped are listed by --paused",
				}
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				if f.Link != "" {
					if err := r.knowsLink(f.Link); err != nil {
						return err
					}
				}
				return r.listLanes(ctx, cmd.OutOrStdout(), f, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&f.Link, "link", "", "only lanes of this link")
	cmd.Flags().StringVar(&state, "state", "", "only lanes that are open, parked, unknown or waiting")
	cmd.Flags().BoolVar(&f.Stuck, "stuck", false, "only lanes that wait for a person: parked or unknown")
	cmd.Flags().BoolVar(&f.Paused, "paused", false, "only lanes that a person has paused")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "the most lanes to list")
	return cmd
}

var laneStates = []outbox.State{outbox.Open, outbox.Parked, outbox.Unknown, outbox.Waiting}

func (r *records) listLanes(ctx context.Context, w io.Writer, f outbox.LaneFilter, asJSON bool) error {
	var lanes []outbox.Lane
	var links []outbox.Link
	var now time.Time
	var more string
	var orders map[string]string
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now
		if lanes, more, err = r.out.Lanes(ctx, tx, f, ""); err != nil {
			return err
		}
		names := make([]string, len(lanes))
		for i, l := range lanes {
			names[i] = l.Name
		}
		if orders, err = r.orders(ctx, tx, names); err != nil {
			return err
		}
		links, err = r.out.Links(ctx, tx)
		return err
	})
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, laneViews(lanes, orders))
	}
	if err := printLanes(w, lanes, orders, now); err != nil {
		return err
	}
	if more != "" {
		if err := andMore(w, len(lanes)); err != nil {
			return err
		}
	}
	return sayHeld(w, lanes, links)
}

func printLanes(w io.Writer, lanes []outbox.Lane, orders map[string]string, now time.Time) error {
	if len(lanes) == 0 {
		_, err := fmt.Fprintln(w, "no such lane owes anything or is paused")
		return err
	}
	rows := make([]string, 0, len(lanes))
	for _, l := range lanes {
		state := string(l.State)
		switch {
		case l.Paused && l.State == outbox.Open:
			state = "paused"
		case l.Paused:
			state += ", paused"
		}
		why := l.Reason
		if l.NotBefore.After(now) {
			why = strings.TrimSuffix(notBefore(l.NotBefore)+"; "+why, "; ")
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s", l.Link, orDash(orders[l.Name]), l.Name, state, l.Owed, l.Head, ago(now, l.OldestAt), orDash(why)))
	}
	return table(w, "LINK\tORDER\tLANE\tSTATE\tOWED\tNEXT\tOLDEST\tWHY", rows)
}

// sayHeld says why lanes do not go on that look as if they did: their link is paused or down.
func sayHeld(w io.Writer, lanes []outbox.Lane, links []outbox.Link) error {
	for _, k := range links {
		if !slices.ContainsFunc(lanes, func(l outbox.Lane) bool { return l.Link == k.Name }) {
			continue
		}
		var err error
		switch state, why, _ := console.Stand(k, nil); state {
		case "paused":
			err = sentence(w, "link %s is paused, so none of its lanes goes on: %s", k.Name, orDash(why))
		case "down":
			err = sentence(w, "link %s is down, so none of its lanes goes on: %s", k.Name, orDash(why))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func lanePause() *cobra.Command {
	return laneAct("pause LINK LANE", "Stop one lane; its messages wait", "  holdfast lane pause erp 0198c2 --reason 'quantity is being checked'",
		access.LanePause, (*outbox.Outbox).PauseLane)
}

func laneResume() *cobra.Command {
	return laneAct("resume LINK LANE", "Let a parked or paused lane go on from its first message", "  holdfast lane resume erp 0198c2 --reason 'period opened'",
		access.LaneResume, (*outbox.Outbox).Resume)
}

// laneNow says where a lane stands after an act, and whether it stood there before.
func laneNow(before, after outbox.Lane) string {
	switch {
	case before.Paused && after.Paused:
		return "is paused already, before"
	case after.Paused:
		return "is paused before"
	case !before.Paused && before.State == outbox.Open:
		return "stood open already, at"
	default:
		return "goes on from"
	}
}

// knowsLinkOf refuses a lane of a link that neither the configuration nor the database has: a link that was removed may owe messages.
func (r *records) knowsLinkOf(ctx context.Context, link, lane string) error {
	err := r.db.View(ctx, func(tx *store.Tx) error {
		_, err := r.out.Lane(ctx, tx, link, lane)
		return err
	})
	if problem.KindOf(err) != problem.NotFound {
		return err
	}
	return errors.Join(r.knowsLink(link), err)
}

type laneOperation func(o *outbox.Outbox, ctx context.Context, tx *store.Tx, link, lane, reason string) error

func laneAct(use, summary, example, action string, do laneOperation) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: summary, Example: example, Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			link, lane := args[0], args[1]
			return with(cmd, func(ctx context.Context, r *records) error {
				if err := r.knowsLinkOf(ctx, link, lane); err != nil {
					return err
				}
				var goes string
				var before, after outbox.Lane
				err := r.act(ctx, action, "lane/"+link+"/"+lane, reason, func(ctx context.Context, tx *store.Tx) (err error) {
					if before, err = r.out.Lane(ctx, tx, link, lane); err != nil {
						return err
					}
					if err = do(r.out, ctx, tx, link, lane, reason); err == nil {
						after, err = r.out.Lane(ctx, tx, link, lane)
					}
					if err == nil && !after.Paused {
						goes, err = r.goesOn(ctx, tx, link, lane)
					}
					return err
				})
				if err != nil {
					return err
				}
				state := laneNow(before, after)
				if goes != "" && goes != "its lane goes on" {
					goes = "; " + goes
				} else {
					goes = ""
				}
				return outcome(cmd, link+" "+lane, laneViewOf(after), "lane %s %s message %d; %s owed%s", lane, state, after.Head, count(after.Owed, "message is", "messages are"), goes)
			})
		},
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	return cmd
}
