package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// msgAct is a command that changes one message.
func msgAct(use, summary, example, action string, done string, do func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) error) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: summary, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				err := r.act(ctx, action, "message/"+args[0], reason, func(ctx context.Context, tx *store.Tx) error {
					d, err := r.out.Message(ctx, tx, args[0])
					if err != nil {
						return err
					}
					return do(ctx, r, tx, d, reason)
				})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "message %s %s\n", args[0], done)
				return err
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

func msgRetry() *cobra.Command {
	return msgAct("retry ID", "Have the first message of its lane sent now", "  holdfast msg retry 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --reason 'material exists now'",
		access.MsgRetry, "is sent next",
		func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) error {
			return r.out.Retry(ctx, tx, d.ID, reason)
		})
}

func msgDiscard() *cobra.Command {
	return msgAct("discard ID", "Give a message up; its number is kept as a void", "  holdfast msg discard 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --reason 'posted by hand as 4900000123'",
		access.MsgDiscard, "is voided; its lane goes on",
		func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) error {
			return r.out.Discard(ctx, tx, d.Link, d.Lane, d.Number, reason)
		})
}

func msgAmend() *cobra.Command {
	var bodyFile string
	cmd := msgAct("amend ID", "Correct the body of a message that is still owed", "  holdfast msg amend 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --body corrected.json --reason 'wrong unit'",
		access.MsgAmend, "is amended; its lane goes on",
		func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) error {
			body, err := os.ReadFile(bodyFile)
			if err != nil {
				return &problem.Error{Kind: problem.NotFound, What: "read the body " + bodyFile, Why: why(err), Hint: "write the whole corrected event into it; begin with: holdfast msg show --json"}
			}
			return r.out.Amend(ctx, tx, d.ID, body, reason)
		})
	cmd.Flags().StringVar(&bodyFile, "body", "", "file with the whole corrected event as JSON (required)")
	if err := cmd.MarkFlagRequired("body"); err != nil {
		panic(err)
	}
	return cmd
}

func msgMarkDelivered() *cobra.Command {
	var document string
	cmd := msgAct("mark-delivered ID", "Say that the ERP has a message of which nobody knew", "  holdfast msg mark-delivered 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --document 4900000123 --reason 'found in the ERP'",
		access.MsgMarkDelivered, "counts as delivered; its lane goes on",
		func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) error {
			return r.out.MarkDelivered(ctx, tx, d.Link, d.Lane, d.Number, document, reason)
		})
	cmd.Flags().StringVar(&document, "document", "", "the ERP's number of it, if it has one")
	return cmd
}

func msgSendAgain() *cobra.Command {
	return msgAct("send-again ID", "Say that the ERP does not have a message of which nobody knew, and send it", "  holdfast msg send-again 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --reason 'not in the ERP'",
		access.MsgSendAgain, "is sent again",
		func(ctx context.Context, r *records, tx *store.Tx, d outbox.Detail, reason string) error {
			return r.out.SendAgain(ctx, tx, d.Link, d.Lane, d.Number, reason)
		})
}

func msgReplay() *cobra.Command {
	var reason string
	var from, to int64
	cmd := &cobra.Command{
		Use:   "replay LINK LANE",
		Short: "Have delivered messages of a lane delivered again, under the same IDs and numbers",
		Long: "Replay is for an ERP that has lost what it had taken. An ERP that still has the messages gets them twice, unless it knows them\n" +
			"by their IDs.",
		Example: "  holdfast msg replay erp 0198c2 --from 3 --to 7 --reason 'ERP was restored from last night'",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var n int64
				err := r.act(ctx, access.MsgReplay, "lane/"+args[0]+"/"+args[1], reason, func(ctx context.Context, tx *store.Tx) (err error) {
					n, err = r.out.Replay(ctx, tx, args[0], args[1], outbox.Range{From: from, To: to}, reason)
					return err
				})
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d messages of lane %s are delivered again\n", n, args[1])
				return err
			})
		},
	}
	reasonFlag(cmd, &reason)
	cmd.Flags().Int64Var(&from, "from", 1, "number of the first message")
	cmd.Flags().Int64Var(&to, "to", 0, "number of the last message; 0 means the lane's last")
	return cmd
}
