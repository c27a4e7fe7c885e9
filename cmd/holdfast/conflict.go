package main

import (
	"context"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/mes"
	"holdfast/internal/store"
)

func newConflict() *cobra.Command {
	cmd := &cobra.Command{
		Use: "conflict", Short: "Settle numbers of the ERP that did not fit",
		Long: "The ERP has sent a number for an order or lot that does not fit. Status lists these, and the notes of each say why. Once a person\n" +
			"has seen to it, it is dismissed, and is listed no more until another number does not fit.",
	}
	cmd.AddCommand(conflictDismiss())
	return cmd
}

func conflictDismiss() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "dismiss SORT ID", Short: "Say that a number which did not fit needs nobody any more",
		Long:    "SORT is order or lot. The notes stay, and the next number that does not fit lists it again.",
		Example: "  holdfast conflict dismiss lot 0198c2 --reason 'the second batch is cancelled in the ERP'",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			sort, id := args[0], args[1]
			return with(cmd, func(ctx context.Context, r *records) error {
				var was mes.Conflicted
				err := r.act(ctx, access.ConflictDismiss, sort+"/"+id, reason, func(ctx context.Context, tx *store.Tx) (err error) {
					was, err = mes.New(nil, mes.Config{}).DismissConflict(ctx, tx, sort, id)
					return err
				})
				if err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "%s %s is listed no more; its notes stay", was.Sort, was.Number)
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}
