package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

func linkShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show LINK", Short: "Show where one link stands, and which of its lanes wait for a person", Args: cobra.ExactArgs(1), Example: "  holdfast link show erp",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				s, err := r.status(ctx)
				if err != nil {
					return err
				}
				var one []linkStatus
				for _, l := range s.Links {
					if l.Name == args[0] {
						one = append(one, l)
					}
				}
				if len(one) == 0 {
					return r.knowsLink(args[0])
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), one[0])
				}
				s.Links = one
				w := cmd.OutOrStdout()
				if err := errors.Join(s.printLinks(w), s.sayServed(w)); err != nil || one[0].Parked == 0 {
					return err
				}
				return r.listLanes(ctx, w, outbox.LaneFilter{Link: args[0], Stuck: true, Limit: 50}, false)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// laneShown is a lane as lane show prints it in JSON.
type laneShown struct {
	laneView
	Messages []messageView `json:"messages"`
	Notes    []noteView    `json:"notes,omitempty"` // to the reason for which it stands still
}

// noteView is a note to a group as --json prints it.
type noteView struct {
	At   time.Time `json:"at"`
	By   string    `json:"by"`
	Text string    `json:"text"`
}

func laneShow() *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use: "show LINK LANE", Short: "Show one lane: where it stands, what it waits for, and what waits behind it", Args: cobra.ExactArgs(2), Example: "  holdfast lane show erp 0198c2",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if err := r.knowsLinkOf(ctx, args[0], args[1]); err != nil {
					return err
				}
				return r.showLane(ctx, cmd, args[0], args[1], limit, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVar(&limit, "limit", 20, "the most messages to list, from the first that is owed on")
	return cmd
}

// ofOrder names an order, where there is one.
func ofOrder(number string) string {
	if number == "" {
		return ""
	}
	return ", order " + number
}

func (r *records) showLane(ctx context.Context, cmd *cobra.Command, link, name string, limit int, asJSON bool) error {
	var l outbox.Lane
	var list []outbox.Detail
	var notes []outbox.GroupNote
	var more string
	var now time.Time
	var orders map[string]string
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now
		if l, err = r.out.Lane(ctx, tx, link, name); err != nil {
			return err
		}
		if notes, err = r.out.GroupNotes(ctx, tx, link, l.Reason); err != nil {
			return err
		}
		if orders, err = r.orders(ctx, tx, []string{name}); err != nil {
			return err
		}
		list, more, err = r.out.Messages(ctx, tx, outbox.Filter{Link: link, Lane: name, Owed: true, OldestFirst: true, Limit: limit}, "")
		return err
	})
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	if asJSON {
		shown := laneShown{laneView: laneViewOf(l), Messages: messageViews(list, orders)}
		for _, n := range notes {
			shown.Notes = append(shown.Notes, noteView{n.At, n.Author, n.Text})
		}
		return printJSON(w, shown)
	}
	fmt.Fprintf(w, "lane %s of link %s%s\n", name, link, ofOrder(orders[name]))
	for _, n := range notes {
		fmt.Fprintf(w, "  note of %s, %s ago: %s\n", n.Author, ago(now, n.At), n.Text)
	}
	if err := sentence(w, "%s", laneWords(outbox.Detail{LaneState: l})); err != nil || len(list) == 0 {
		return err
	}
	if d := list[0]; l.State != outbox.Open {
		if err := sentence(w, "message %d holds up %s behind it; see what to do: holdfast msg show %s", d.Number, count(l.Owed-1, "message", "messages"), d.ID); err != nil {
			return err
		}
	}
	return printMessages(w, list, orders, now, more != "")
}
