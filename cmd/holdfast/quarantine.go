package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func newQuarantine() *cobra.Command {
	cmd := &cobra.Command{
		Use: "quarantine", Short: "See what the ERP sent and the plant could not take, try it again or put it aside",
	}
	cmd.AddCommand(quarantineList(), quarantineShow(), quarantineReplay(), quarantineDiscard(), quarantineLanes(), quarantineSkip())
	return cmd
}

func quarantineList() *cobra.Command {
	var limit int
	var rejected, asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the messages in quarantine, the newest first",
		Long: "A message in quarantine could be believed, but the plant could not take it. One that is not even believed - its digest is wrong, or it\n" +
			"has no ID - takes no effect and cannot be replayed: its sender must send it again, and right. --rejected shows these.",
		Example: "  holdfast quarantine list\n  holdfast quarantine list --rejected",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if rejected {
					return listRejected(ctx, cmd, r, limit, asJSON)
				}
				var list []inbox.Message
				var now time.Time
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					now = tx.Now
					list, err = r.in.Messages(ctx, tx, inbox.Filter{State: inbox.Quarantined, Limit: limit})
					return err
				})
				if err != nil {
					return err
				}
				return printQuarantine(cmd, list, now, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVar(&limit, "limit", 50, "the most messages to list")
	cmd.Flags().BoolVar(&rejected, "rejected", false, "the messages that were not believed instead, with what they said of themselves")
	return cmd
}

// rejectedView is a message that was not believed as --json prints it. Nothing that it says of itself needs to be true.
type rejectedView struct {
	Number     int64     `json:"number"`
	Link       string    `json:"link"`
	Source     string    `json:"source"`
	ID         string    `json:"id"`
	Kind       string    `json:"kind"`
	Why        string    `json:"why"`
	ReceivedAt time.Time `json:"received_at"`
	Body       []byte    `json:"body"` // in base64: it may be anything
}

func listRejected(ctx context.Context, cmd *cobra.Command, r *records, limit int, asJSON bool) error {
	var list []inbox.Rejected
	var now time.Time
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		now = tx.Now
		list, err = r.in.RejectedMessages(ctx, tx, 0, limit)
		return err
	})
	if err != nil {
		return err
	}
	views, rows := make([]rejectedView, 0, len(list)), make([]string, 0, len(list))
	for _, m := range list {
		views = append(views, rejectedView{m.Seq, m.Link, m.Source, m.ID, m.Kind, m.Reason, m.ReceivedAt, m.Body})
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s", m.Seq, orDash(m.Link), orDash(plainText(m.Source)), orDash(plainText(m.Kind)),
			ago(now, m.ReceivedAt), orDash(plainText(m.Reason))))
	}
	switch {
	case asJSON:
		return printJSON(cmd.OutOrStdout(), views)
	case len(list) == 0:
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "every message that came was believed")
		return err
	default:
		return table(cmd.OutOrStdout(), "NUMBER\tLINK\tSOURCE\tKIND\tAGE\tWHY", rows)
	}
}

// plainText keeps what a stranger wrote from moving the cursor or colouring a person's terminal.
func plainText(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '\uFFFD'
	}, s)
}

func printQuarantine(cmd *cobra.Command, list []inbox.Message, now time.Time, asJSON bool) error {
	views, rows := make([]inboundView, 0, len(list)), make([]string, 0, len(list))
	for _, m := range list {
		views = append(views, inboundViewOf(m, false))
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s\t%s", m.Seq, m.Kind, m.Key, ago(now, m.ReceivedAt), orDash(m.Reason)))
	}
	switch {
	case asJSON:
		return printJSON(cmd.OutOrStdout(), views)
	case len(list) == 0:
		_, err := fmt.Fprintln(cmd.OutOrStdout(), "nothing is in quarantine")
		return err
	default:
		return table(cmd.OutOrStdout(), "NUMBER\tKIND\tKEY\tAGE\tWHY", rows)
	}
}

func quarantineShow() *cobra.Command {
	var asJSON bool
	var file string
	cmd := &cobra.Command{
		Use:   "show NUMBER",
		Short: "Show one inbound message with its document",
		Long: "Show one inbound message with its document. Of one over 256 KiB (inbox.inline) it shows the size and the SHA-256; --body writes it to a\n" +
			"file, byte for byte.",
		Example: "  holdfast quarantine show 17\n  holdfast quarantine show 17 --body series.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := rowNumber(args[0])
			if err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				var m inbox.Message
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					m, err = r.in.Message(ctx, tx, seq)
					return err
				})
				if err != nil {
					return err
				}
				if file != "" {
					return saveBody(ctx, m.Message, file)
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), inboundViewOf(m, true))
				}
				return printInbound(cmd, m)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&file, "body", "", "write the document to this new file, and print nothing")
	fileFlag(cmd, "body", isWritten)
	return cmd
}

func printInbound(cmd *cobra.Command, m inbox.Message) error {
	w := cmd.OutOrStdout()
	fmt.Fprintf(w, "%s %d of %s about %s\n", m.Kind, m.Seq, m.Source, m.Key)
	fmt.Fprintf(w, "  state     %s, %d attempts\n", m.State, m.Attempts)
	fmt.Fprintf(w, "  received  %s by %s, mapping %s\n", m.ReceivedAt.Format(time.RFC3339), orDash(m.Link), orDash(m.Mapping))
	fmt.Fprintf(w, "  why       %s\n  do        %s\n", orDash(m.Reason), orDash(m.Hint))
	var body bytes.Buffer
	if err := json.Indent(&body, message.Shown(m.Body, m.Large), "  ", "  "); err != nil {
		body.Reset()
		fmt.Fprintf(&body, "%q", m.Body)
	}
	_, err := fmt.Fprintf(w, "  %s\n", body.String())
	return err
}

func quarantineDiscard() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "discard NUMBER", Short: "Put a message aside for good; its lane goes on", Args: cobra.ExactArgs(1),
		Example: "  holdfast quarantine discard 17 --reason 'order was cancelled by phone'",
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := rowNumber(args[0])
			if err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				err := r.act(ctx, access.QuarantineDiscard, access.InboundObject(seq), reason,
					func(ctx context.Context, tx *store.Tx) error { return r.in.Discard(ctx, tx, seq, reason) })
				if err != nil {
					return err
				}
				return r.outcomeOf(ctx, cmd, seq, "message %d is put aside", seq)
			})
		},
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	return cmd
}

// outcomeOf is outcome, of an inbound message.
func (r *records) outcomeOf(ctx context.Context, cmd *cobra.Command, seq int64, format string, args ...any) error {
	var m inbox.Message
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		m, err = r.in.Message(ctx, tx, seq)
		return err
	})
	if err != nil {
		return err
	}
	return outcome(cmd, strconv.FormatInt(seq, 10), inboundViewOf(m, false), format, args...)
}

func rowNumber(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 || strconv.FormatInt(n, 10) != s { // one name for one message: acts are compared by it
		return 0, &problem.Error{Kind: problem.Invalid, What: "inbound message " + s, Why: "it is no row number", Hint: "see the first column of: holdfast quarantine list"}
	}
	return n, nil
}
