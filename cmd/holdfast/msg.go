package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/console"
	"holdfast/internal/edition"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func newMsg() *cobra.Command {
	cmd := &cobra.Command{
		Use: "msg", Short: "See the messages to the ERPs, and repair them",
		Long: "A message is what the plant owes one link: queued, delivered (with the ERP's document number) or voided. Its number in its lane\n" +
			"is never used again and never left out.",
	}
	cmd.AddCommand(msgList(), msgShow(), msgRetry(), msgDiscard(), msgUndiscard(), msgAmend(), msgAsked(), msgApprove(), msgRefuse(), msgMarkDelivered(), msgSendAgain(), msgPostpone(), msgReplay(), msgNote(), msgExport(), checksLanes(msgProve()))
	return cmd
}

func msgList() *cobra.Command {
	var f outbox.Filter
	var asJSON bool
	var address string
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List messages, the newest first",
		Long:    "List messages, the newest first. With --url they are those that a list of the console shows at this address, all pages of it, in its order.",
		Example: "  holdfast msg list --owed --kind order.created\n  holdfast msg list --url 'http://127.0.0.1:8420/console/messages?state=all&q=BIKE+NOT+PL1000-000007' -o csv",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var list []outbox.Detail
				var more string
				if address != "" {
					list, err := r.listed(ctx, address)
					if err != nil {
						return err
					}
					return r.printMessages(ctx, cmd.OutOrStdout(), list, false, asJSON)
				}
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					list, more, err = r.out.Messages(ctx, tx, f, "")
					return err
				})
				if err == nil && len(list) == 0 && f.Link != "" {
					err = r.knowsLink(f.Link)
				}
				if err != nil {
					return err
				}
				return r.printMessages(ctx, cmd.OutOrStdout(), list, more != "", asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&f.Link, "link", "", "only messages to this link")
	cmd.Flags().StringVar(&f.Lane, "lane", "", "only messages of this lane")
	cmd.Flags().StringVar(&f.Kind, "kind", "", "only messages of this kind, such as operation.confirmed")
	cmd.Flags().BoolVar(&f.Owed, "owed", false, "only messages that are still owed")
	cmd.Flags().BoolVar(&f.Settled, "settled", false, "only messages that need nothing more")
	cmd.Flags().BoolVar(&f.Refused, "refused", false, "only messages that the ERP refused after they were delivered")
	cmd.Flags().BoolVar(&f.OldestFirst, "oldest-first", false, "the oldest first")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "the most messages to list")
	cmd.Flags().StringVar(&address, "url", "", "the address of a list of the console; no other choice then counts")
	return cmd
}

// listed are the messages that the console shows at an address.
func (r *records) listed(ctx context.Context, address string) (list []outbox.Detail, err error) {
	cfg := console.Config{Plant: r.cfg.Plant.Number, Zone: r.cfg.zone()}
	for name := range r.cfg.Links {
		cfg.Links = append(cfg.Links, console.Link{Name: name})
	}
	pages := console.New(console.Parts{DB: r.db, Plant: r.plant, Outbox: r.out}, cfg, slog.New(slog.DiscardHandler))
	err = pages.Listed(ctx, address, func(id string) error {
		d, err := r.message(ctx, id)
		list = append(list, d)
		return err
	})
	return list, err
}

// printMessages prints a list of messages with the orders that they are about.
func (r *records) printMessages(ctx context.Context, w io.Writer, list []outbox.Detail, more, asJSON bool) error {
	keys := make([]string, len(list))
	for i, d := range list {
		keys[i] = d.Key
	}
	var orders map[string]string
	err := r.db.View(ctx, func(tx *store.Tx) (err error) { orders, err = r.orders(ctx, tx, keys); return err })
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(w, messageViews(list, orders))
	}
	return printMessages(w, list, orders, r.db.Now(), more)
}

func messageViews(list []outbox.Detail, orders map[string]string) []messageView {
	views := make([]messageView, 0, len(list))
	for _, d := range list {
		v := messageViewOf(d, false)
		v.Order = orders[d.Key]
		views = append(views, v)
	}
	return views
}

func printMessages(w io.Writer, list []outbox.Detail, orders map[string]string, now time.Time, more bool) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no such messages")
		return err
	}
	rows := make([]string, 0, len(list))
	for _, d := range list {
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s",
			d.Kind, orDash(orders[d.Key]), stateCell(d)+putOff(d, now), ago(now, d.CreatedAt), orDash(d.Receipt.Document), d.Number, d.Link, d.ID, d.Lane))
	}
	if err := table(w, "KIND\tORDER\tSTATE\tAGE\tDOCUMENT\tNUMBER\tLINK\tID\tLANE", rows); err != nil || !more {
		return err
	}
	return andMore(w, len(list))
}

// putOff is, of a message that is owed, the time before which it is not sent.
func putOff(d outbox.Detail, now time.Time) string {
	if d.Settled || !d.NotBefore.After(now) {
		return ""
	}
	return ", " + notBefore(d.NotBefore)
}

// notBefore says until when what is put off is not sent; of what is held, who decides.
func notBefore(at time.Time) string {
	if outbox.Held(at) {
		return "held: it is doubtful, see holdfast anomaly list"
	}
	return "not before " + at.Format(time.RFC3339)
}

// andMore says that a list was cut off.
func andMore(w io.Writer, listed int) error {
	return sentence(w, "… and more: list them with --limit %d", 10*listed)
}

func msgShow() *cobra.Command {
	var asJSON bool
	var file string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one message with its body, its history and the ERP's answer",
		Long: "Show one message with its body, its history and the ERP's answer. Of a body over 256 KiB (outbox.inline) it shows the size and the\n" +
			"SHA-256; --body writes it to a file, byte for byte.",
		Example: "  holdfast msg show 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a\n  holdfast msg show 0198c2f4-7d7f-5c3a-9a59-0f1e2d3c4b5a --body series.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				d, err := r.message(ctx, args[0])
				if err != nil {
					return err
				}
				if file != "" {
					if d.Altered() {
						return &problem.Error{Kind: problem.Integrity, What: "write the body of " + d.ID, Why: "it is not what the plant has committed", Hint: outbox.AlteredDo}
					}
					return saveBody(ctx, d.Message, file)
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), messageViewOf(d, true))
				}
				return printMessage(cmd.OutOrStdout(), d, r.db.Now())
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&file, "body", "", "write the body to this new file, and print nothing")
	fileFlag(cmd, "body", isWritten)
	return cmd
}

// saveBody writes a body to a file, a little at a time. It replaces none that is there, and leaves none that is not whole.
func saveBody(ctx context.Context, m message.Message, file string) error {
	from, err := m.Open(ctx)
	if err != nil {
		return fmt.Errorf("read the body of %s: %w", m.ID, err)
	}
	defer from.Close()
	f, err := makeFile(ctx, file)
	if err != nil {
		return err
	}
	if _, err = io.Copy(f.to, from); err != nil {
		err = fmt.Errorf("write the body of %s: %w", m.ID, err)
	}
	return f.end(err)
}

func (r *records) message(ctx context.Context, id string) (d outbox.Detail, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) (err error) {
		d, err = r.out.Message(ctx, tx, id)
		return err
	})
	return d, err
}

func printMessage(w io.Writer, d outbox.Detail, now time.Time) error {
	fmt.Fprintf(w, "%s %s\n", d.Kind, d.ID)
	fact := func(name, format string, args ...any) {
		const indent = 12
		fmt.Fprintf(w, "  %-9s %s\n", name, wrap(fmt.Sprintf(format, args...), terminal(w)-indent, indent))
	}
	fact("state", "%s", explained(d, now))
	if do := toDo(d, now); do != "" {
		fact("do", "%s", do)
	}
	if fact("sent", "%s", sent(d)); !d.Settled && d.Attempts > 0 {
		fact("attempts", "%s against it since a person last acted", count(d.Attempts, "counts", "count"))
	}
	fact("place", "number %d of lane %s on link %s", d.Number, d.Lane, d.Link)
	fact("made", "%s, %s ago, event %s", d.CreatedAt.Format(time.RFC3339), ago(now, d.CreatedAt), d.Event)
	if !d.NotBefore.IsZero() {
		verb, rest, _ := strings.Cut(notBefore(d.NotBefore), " ")
		fact(strings.TrimSuffix(verb, ":"), "%s", rest)
	}
	if !d.ExpiresAt.IsZero() {
		fact("expires", "%s, unless it was sent before", d.ExpiresAt.Format(time.RFC3339))
	}
	if d.Settled {
		fact("settled", "%s, %s ago", d.SettledAt.Format(time.RFC3339), ago(now, d.SettledAt))
	} else {
		fact("lane", "%s", laneWords(d))
	}
	fact("mapping", "%s", mappingOf(d))
	fact("digest", "%s", d.Digest)
	for _, h := range d.History {
		fmt.Fprintf(w, "  %s\n", wrap(fmt.Sprintf("%s  %s: %s", h.At.Format(time.RFC3339), h.What, orDash(h.Detail)), terminal(w)-len(gap), len(gap)))
	}
	return printBodies(w, d)
}

// mappingOf is the mapping that made the document of a message; of one at which its lane stands still, with the edition by which it was tried.
func mappingOf(d outbox.Detail) string {
	if by := d.TriedBy(); by != "" {
		return fmt.Sprintf("%s, of edition %s, by which it is %s", d.Mapping, edition.Short(by), d.LaneState.State)
	}
	return orDash(cmp.Or(d.SentWith, d.Mapping))
}

// explained is the state of a message in a sentence.
func explained(d outbox.Detail, now time.Time) string {
	document := d.Receipt.Document
	if d.Receipt.Kind != "" {
		document = strings.TrimSpace(d.Receipt.Kind + " " + document)
	}
	l := d.LaneState
	switch state := stateOf(d); {
	case had(d):
		return "delivered; the ERP has it already as " + cmp.Or(document, "a document without a number") + ", so the replay sent nothing"
	case state == "refused":
		return "refused by the ERP, after it was delivered: " + orDash(d.Refused)
	case state == "delivered" && d.Redelivery > 0:
		return "delivered again as " + cmp.Or(document, "a document without a number")
	case state == "delivered":
		return "delivered as " + cmp.Or(document, "a document without a number")
	case inDoubt(d):
		return "voided, though it may have been sent before: the ERP may have it; its number is kept"
	case state == "voided" && d.Settled:
		return "voided: its number is kept, and nothing is sent under it"
	case state == "voided":
		return "voided; its turn in the lane will come"
	case d.Unanswered(now) != "" && l.Reason != "":
		return "IN DOUBT: " + d.Unanswered(now) + ". What was met last: " + orDash(l.Reason)
	case d.Unanswered(now) != "":
		return "IN DOUBT: " + d.Unanswered(now)
	case isHead(d) && l.Reason != "":
		return stateCell(d) + ": " + orDash(l.Reason)
	case !isHead(d) && l.State != outbox.Open:
		return fmt.Sprintf("%s%s behind message %d, at which its lane is %s", state, again(d), l.Head, l.State)
	case !isHead(d):
		return fmt.Sprintf("%s%s behind message %d", state, again(d), l.Head)
	default:
		return state + again(d)
	}
}

// toDo is what a person can do about a message of which nobody knows whether the ERP has it.
func toDo(d outbox.Detail, now time.Time) string {
	switch {
	case d.Unanswered(now) == "":
		return ""
	case d.LaneState.State == outbox.Unknown:
		return fmt.Sprintf("look for it in the ERP. If it is there: holdfast msg mark-delivered %s --document NUMBER --reason TEXT. If it is not: holdfast msg send-again %s --reason TEXT", d.ID, d.ID)
	case d.LaneState.Paused:
		return fmt.Sprintf("resume the lane when you want it settled: holdfast lane resume %s %s --reason TEXT", d.Link, d.Lane)
	default:
		return fmt.Sprintf("nothing, it settles by itself. To have the ERP asked now: holdfast msg retry %s --reason TEXT", d.ID)
	}
}

// again says of a message that is owed how it came to be owed once more.
func again(d outbox.Detail) string {
	switch {
	case d.Redelivery == 0:
		return ""
	case d.Replay == outbox.Forced:
		return " again, to be sent without asking the ERP"
	default:
		return " again, if the ERP does not have it any more"
	}
}

// inDoubt tells whether a message was given up that the ERP may have.
func inDoubt(d outbox.Detail) bool {
	return slices.ContainsFunc(d.History, func(h outbox.Happened) bool { return h.What == outbox.VoidedInDoubt })
}

// sent is how often a message was sent.
func sent(d outbox.Detail) string {
	switch {
	case isHead(d) && d.LaneState.InHand != "" && d.MaySent():
		return "it is in hand now, and may have been sent"
	case d.Sends == 0 && (d.MaySent() || inDoubt(d)):
		return "it may have been: nothing is known of an answer"
	case d.Sends > 0 && d.Redelivery == 0 && d.MaySent():
		return times(d.Sends) + ", and the ERP may have it"
	case d.Sends > 0:
		return times(d.Sends)
	case d.Settled:
		return "never, as far as is known"
	default:
		return "not yet, as far as is known"
	}
}

func times(n int) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// laneWords is where the lane of a message stands, in a sentence.
func laneWords(d outbox.Detail) string {
	l := d.LaneState
	words := string(l.State)
	if l.Paused {
		words += ", and paused by a person"
	}
	if l.Owed == 0 {
		return words + "; it owes nothing"
	}
	words += fmt.Sprintf("; it owes %s, from number %d on", count(l.Owed, "message", "messages"), l.Head)
	if l.Reason != "" && !isHead(d) {
		words += ": " + orDash(l.Reason)
	}
	return words
}

// printBodies prints what the message says, and what it said before a person changed it.
func printBodies(w io.Writer, d outbox.Detail) error {
	title := map[message.Role]string{message.Amendment: "body, as amended", message.Void: "body of the void"}[d.Role]
	if d.Altered() {
		fmt.Fprintf(w, "  %s\n", wrap("ALARM: it is not what the plant has committed. What to do: "+outbox.AlteredDo, terminal(w)-len(gap), len(gap)))
	}
	if len(d.Body) == 0 && d.Large == nil {
		fmt.Fprintf(w, "  %s\n  it cannot be shown\n", cmp.Or(title, "body"))
	} else if err := printBody(w, cmp.Or(title, "body"), message.Shown(d.Body, d.Large)); err != nil {
		return fmt.Errorf("print the body of %s: %w", d.ID, err)
	}
	for _, h := range d.History {
		text := message.Shown(h.Body, h.Large)
		if len(text) == 0 {
			continue
		}
		title := "body before it was " + h.What
		if h.What == outbox.Asked {
			title = "body that was asked for"
		}
		if err := printBody(w, title+" at "+h.At.Format(time.RFC3339), text); err != nil {
			return fmt.Errorf("print what %s was: %w", d.ID, err)
		}
	}
	return nil
}

func printBody(w io.Writer, title string, body []byte) error {
	var b bytes.Buffer
	if err := json.Indent(&b, body, "  ", "  "); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "  %s\n  %s\n", title, b.String())
	return err
}
