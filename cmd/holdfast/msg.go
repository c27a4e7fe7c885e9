package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

func newMsg() *cobra.Command {
	cmd := &cobra.Command{
		Use: "msg", Short: "See the messages to the ERPs, and repair them",
		Long: "A message is what the plant owes one link: queued, delivered (with the ERP's document number) or voided. Its number in its lane\n" +
			"is never used again and never left out.",
	}
	cmd.AddCommand(msgList(), msgShow(), msgRetry(), msgDiscard(), msgAmend(), msgMarkDelivered(), msgSendAgain(), msgPostpone(), msgReplay())
	return cmd
}

func msgList() *cobra.Command {
	var f outbox.Filter
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List messages, the newest first",
		Example: "  holdfast msg list --owed --kind order.created",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var list []outbox.Detail
				var now time.Time
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					now = tx.Now
					list, _, err = r.out.Messages(ctx, tx, f, "")
					return err
				})
				if err != nil {
					return err
				}
				return printMessages(cmd, list, now, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&f.Link, "link", "", "only messages to this link")
	cmd.Flags().StringVar(&f.Lane, "lane", "", "only messages of this lane")
	cmd.Flags().StringVar(&f.Kind, "kind", "", "only messages of this kind, such as operation.confirmed")
	cmd.Flags().BoolVar(&f.Owed, "owed", false, "only messages that are still owed")
	cmd.Flags().BoolVar(&f.Settled, "settled", false, "only messages that need nothing more")
	cmd.Flags().BoolVar(&f.OldestFirst, "oldest-first", false, "the oldest first")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "the most messages to list")
	return cmd
}

func printMessages(cmd *cobra.Command, list []outbox.Detail, now time.Time, asJSON bool) error {
	if asJSON {
		views := make([]messageView, 0, len(list))
		for _, d := range list {
			views = append(views, messageViewOf(d, false))
		}
		return printJSON(cmd.OutOrStdout(), views)
	}
	if len(list) == 0 {
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "no such messages")
		return err
	}
	rows := make([]string, 0, len(list))
	for _, d := range list {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s", d.ID, d.Kind, d.Link, d.Lane, d.Number, stateOf(d), ago(now, d.CreatedAt), orDash(d.Receipt.Document)))
	}
	return table(cmd.OutOrStdout(), "ID\tKIND\tLINK\tLANE\tNUMBER\tSTATE\tAGE\tDOCUMENT", rows)
}

func msgShow() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "show ID",
		Short:   "Show one message with its body, its history and the ERP's answer",
		Example: "  holdfast msg show 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				d, err := r.message(ctx, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), messageViewOf(d, true))
				}
				return printMessage(cmd.OutOrStdout(), d)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func (r *records) message(ctx context.Context, id string) (d outbox.Detail, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) (err error) {
		d, err = r.out.Message(ctx, tx, id)
		return err
	})
	return d, err
}

func printMessage(w io.Writer, d outbox.Detail) error {
	fmt.Fprintf(w, "%s %s\n", d.Kind, d.ID)
	fmt.Fprintf(w, "  state     %s, %d attempts\n", stateOf(d), d.Attempts)
	fmt.Fprintf(w, "  place     number %d of lane %s on link %s\n", d.Number, d.Lane, d.Link)
	fmt.Fprintf(w, "  made      %s, event %s\n", d.CreatedAt.Format(time.RFC3339), d.Event)
	if d.Settled {
		fmt.Fprintf(w, "  settled   %s, the ERP's document %s %s\n", d.SettledAt.Format(time.RFC3339), d.Receipt.Kind, orDash(d.Receipt.Document))
	} else {
		fmt.Fprintf(w, "  lane      %s, next is %d: %s\n", d.LaneState.State, d.LaneState.Head, orDash(d.LaneState.Reason))
	}
	fmt.Fprintf(w, "  mapping   %s\n", orDash(d.SentWith))
	fmt.Fprintf(w, "  digest    %s\n", d.Digest)
	for _, h := range d.History {
		fmt.Fprintf(w, "  %s  %s: %s\n", h.At.Format(time.RFC3339), h.What, orDash(h.Detail))
	}
	var body bytes.Buffer
	if err := json.Indent(&body, d.Body, "  ", "  "); err != nil {
		return fmt.Errorf("print the body of %s: %w", d.ID, err)
	}
	_, err := fmt.Fprintf(w, "  %s\n", body.String())
	return err
}
