package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func msgNote() *cobra.Command {
	return &cobra.Command{
		Use: "note ID TEXT", Short: "Write a note to a message, for whoever looks next; it stays whatever becomes of the message", Args: cobra.ExactArgs(2),
		Example: "  holdfast msg note 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a 'the ERP team looks at it, ticket 4711'",
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.TrimSpace(args[1])
			if n := len([]rune(text)); n < access.LeastReason || n > access.MostReason {
				return &problem.Error{
					Kind: problem.Invalid, What: "note to message " + args[0], Why: fmt.Sprintf("it needs %d to %d characters", access.LeastReason, access.MostReason),
					Hint: "say what the next shift should know",
				}
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				err := r.act(ctx, access.MsgNote, "message/"+args[0], text, func(ctx context.Context, tx *store.Tx) error {
					return r.out.Note(ctx, tx, args[0], text)
				})
				if err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "message %s has a note; it is in its history: holdfast msg show %s", args[0], args[0])
			})
		},
	}
}

func msgExport() *cobra.Command {
	var f outbox.Filter
	cmd := &cobra.Command{
		Use: "export", Short: "Print messages whole, with body and receipt, one JSON object a line, the oldest first", Args: cobra.NoArgs,
		Example: "  holdfast msg export --link erp --owed > owed.ndjson",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.OldestFirst, f.Limit = true, 500
			return with(cmd, func(ctx context.Context, r *records) error {
				if f.Link != "" {
					if err := r.knowsLink(f.Link); err != nil {
						return err
					}
				}
				out := json.NewEncoder(cmd.OutOrStdout())
				out.SetEscapeHTML(false)
				for cursor := ""; ; {
					var list []outbox.Detail
					err := r.db.View(ctx, func(tx *store.Tx) (err error) {
						list, cursor, err = r.out.Messages(ctx, tx, f, cursor)
						return err
					})
					if err != nil {
						return err
					}
					for _, d := range list {
						if err := out.Encode(messageViewOf(d, true)); err != nil {
							return err
						}
					}
					if cursor == "" {
						return nil
					}
				}
			})
		},
	}
	cmd.Flags().StringVar(&f.Link, "link", "", "only messages to this link")
	cmd.Flags().StringVar(&f.Lane, "lane", "", "only messages of this lane")
	cmd.Flags().StringVar(&f.Kind, "kind", "", "only messages of this kind, such as operation.confirmed")
	cmd.Flags().BoolVar(&f.Owed, "owed", false, "only messages that are still owed")
	cmd.Flags().BoolVar(&f.Settled, "settled", false, "only messages that need nothing more")
	return cmd
}
