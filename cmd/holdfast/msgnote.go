package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func msgNote() *cobra.Command {
	var link, group string
	cmd := &cobra.Command{
		Use: "note [ID] TEXT", Short: "Write a note to a message or a group, for whoever looks next; it stays whatever becomes of them", Args: cobra.RangeArgs(1, 2),
		Long: "Write a note to a message, or with --link and --group to all lanes that stand still for one reason: holdfast lane show shows it at each of\n" +
			"them, and at those that come to stand still for it later.",
		Example: "  holdfast msg note 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a 'the ERP team looks at it, ticket 4711'\n" +
			"  holdfast msg note --link erp --group 'the ERP refused it (M7 021): no material 4711' 'ticket 4711'",
		RunE: func(cmd *cobra.Command, args []string) error {
			text := strings.TrimSpace(args[len(args)-1])
			if (group == "") != (len(args) == 2) || (group == "") != (link == "") {
				return misuse(cmd, "", "a note is to one message, or to one group", "give the ID of a message, or --link and --group with the reason.")
			}
			if n := len([]rune(text)); n < access.LeastReason || n > access.MostReason {
				return &problem.Error{
					Kind: problem.Invalid, What: "write the note " + text, Why: fmt.Sprintf("it needs %d to %d characters", access.LeastReason, access.MostReason),
					Hint: "say what the next shift should know",
				}
			}
			if group == "" {
				return with(cmd, func(ctx context.Context, r *records) error { return r.note(ctx, cmd, args[0], text) })
			}
			return with(cmd, func(ctx context.Context, r *records) error { return r.noteGroup(ctx, cmd, link, group, text) })
		},
	}
	cmd.Flags().StringVar(&link, "link", "", "with --group: the link of the lanes")
	actFlag(cmd)
	cmd.Flags().StringVar(&group, "group", "", "the reason for which lanes stand still, as lane list --stuck has it")
	return cmd
}

func (r *records) note(ctx context.Context, cmd *cobra.Command, id, text string) error {
	err := r.act(ctx, access.MsgNote, access.MessageObject(id), text, func(ctx context.Context, tx *store.Tx) error { return r.out.Note(ctx, tx, id, text) })
	if err != nil {
		return err
	}
	return r.outcomeOfMessage(ctx, cmd, id, "message %s has a note; it is in its history: holdfast msg show %s", id, id)
}

func (r *records) noteGroup(ctx context.Context, cmd *cobra.Command, link, reason, text string) error {
	if err := r.knowsLink(link); err != nil {
		return err
	}
	err := r.act(ctx, access.MsgNote, "link/"+link, text, func(ctx context.Context, tx *store.Tx) error {
		return r.out.NoteGroup(ctx, tx, link, reason, r.me(), text)
	})
	if err != nil {
		return err
	}
	return outcome(cmd, "link "+link, nil, "the lanes of link %s that stand still for this reason have a note: %s", link, outbox.Alike(reason))
}

func msgExport() *cobra.Command {
	var f outbox.Filter
	cmd := &cobra.Command{
		Use: "export", Short: "Print messages whole, with body and receipt, one JSON object a line, the oldest first", Args: cobra.NoArgs,
		Long:    "Print messages whole. Who takes how many out, and chosen how, is kept in the audit record.",
		Example: "  holdfast msg export --link erp --owed > owed.ndjson",
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.OldestFirst, f.Limit = true, 500
			return with(cmd, func(ctx context.Context, r *records) error {
				if f.Link != "" {
					if err := r.knowsLink(f.Link); err != nil {
						return err
					}
				}
				var n int64
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					n, err = r.out.Count(ctx, tx, f)
					return err
				})
				if err != nil {
					return err
				}
				if err := r.taken(ctx, cmd.ErrOrStderr(), access.MsgExport, "messages", "messages", n, cmd.Flags()); err != nil {
					return err
				}
				return r.exportMessages(ctx, cmd.OutOrStdout(), f)
			})
		},
	}
	cmd.Flags().StringVar(&f.Link, "link", "", "only messages to this link")
	cmd.Flags().StringVar(&f.Lane, "lane", "", "only messages of this lane")
	cmd.Flags().StringVar(&f.Kind, "kind", "", "only messages of this kind, such as operation.confirmed")
	cmd.Flags().BoolVar(&f.Owed, "owed", false, "only messages that are still owed")
	cmd.Flags().BoolVar(&f.Settled, "settled", false, "only messages that need nothing more")
	filters(cmd.Flags(), "link", "lane", "kind", "owed", "settled")
	return cmd
}

// exportMessages prints all pages of a list.
func (r *records) exportMessages(ctx context.Context, w io.Writer, f outbox.Filter) error {
	out := json.NewEncoder(w)
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
}
