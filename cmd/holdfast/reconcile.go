package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast/adapters/rest"
	"holdfast/internal/access"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// reconciling is what reconcile is told.
type reconciling struct {
	replaying
	link  string
	apply bool
}

func newReconcile() *cobra.Command {
	var p reconciling
	cmd := &cobra.Command{
		Use:   "reconcile",
		Short: "Hold what the plant has reported against what the ERP has, and repair what differs",
		Long: "Reconcile asks the ERP for every message that was delivered over a link in a time: whether it still has it, and under which number. Where\n" +
			"the link can read orders back (kind sap, and rest with reads), their quantities, states and documents are held against the plant's too. Each difference is shown\n" +
			"with its likely cause and what repairs it. It changes nothing without --apply; then what the ERP has lost is sent again as a job\n" +
			"(holdfast job), which asks once more before it sends; a confirmation that the ERP has booked with another quantity is taken back and\n" +
			"reported anew, unless anything else of its lane is on its way; and where the plant lacks an order, what the ERP has to say is read again.\n" +
			"--expect is how many differences that repairs. All else is said to a person. What the plant does not know to have reported it does not\n" +
			"find, such as what it reported after the copy of which it was restored, unless the ERP's documents show it.",
		Example: "  holdfast reconcile --link erp\n  holdfast reconcile --link erp --from 2026-11-26T22:00:00+01:00 --apply --yes --expect 3 --reason 'ERP was restored'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if p.apply {
				if err := p.sure(cmd); err != nil {
					return err
				}
			}
			w := window{}
			if w.from, err = instant("from", p.from); err == nil {
				w.to, err = instant("to", p.to)
			}
			if err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error { return r.reconcile(ctx, cmd, &p, w) })
		},
	}
	p.flags(cmd)
	f := cmd.Flags()
	f.StringVar(&p.link, "link", "", "name of the link (required)")
	f.StringVar(&p.from, "from", "", "what was delivered since this time, with its zone; default: a day ago")
	f.StringVar(&p.to, "to", "", "what was delivered before this time, with its zone")
	f.BoolVar(&p.apply, "apply", false, "send again what the ERP has lost, report anew what it has booked otherwise, read again what the plant lacks; needs --yes, --expect and --reason")
	f.IntVar(&p.request.Rate, "rate", 50, "with --apply: messages a second")
	jsonFlag(cmd, &p.asJSON)
	if err := cmd.MarkFlagRequired("link"); err != nil {
		panic(err) // the flag is defined above
	}
	return cmd
}

// comparison is what a reconciliation has found.
type comparison struct {
	Link        string       `json:"link"`
	From        time.Time    `json:"from"`
	To          time.Time    `json:"to"`
	Messages    int          `json:"messages"` // delivered in that time
	Agree       int          `json:"agree"`
	Unasked     int          `json:"could_not_be_asked"`
	UnaskedWhy  string       `json:"could_not_be_asked_why,omitempty"`
	Orders      int          `json:"orders"`             // that were read back
	NotRead     string       `json:"not_read,omitempty"` // what the link reads none of, in words
	Differences []difference `json:"differences"`
	More        int          `json:"more_differences,omitempty"` // beyond mostDifferences

	reads []func(code string) []string // the plant's names of a unit of the ERP's, by each mapping of what comes from it
}

// mostDifferences is how many differences of one comparison are kept: with more, plant and ERP are not of one world, and a longer list tells nobody more.
const mostDifferences = 10_000

// add keeps a difference, or counts it.
func (c *comparison) add(d difference) {
	if len(c.Differences) >= mostDifferences {
		c.More++
		return
	}
	c.Differences = append(c.Differences, d)
}

// difference is one thing that plant and ERP do not agree upon.
type difference struct {
	What    string `json:"what"` // lost, other document, other quantity, reversed, unknown document, order missing, order unknown, quantity, state
	Object  string `json:"object"`
	Plant   string `json:"plant"`
	ERP     string `json:"erp"`
	Cause   string `json:"likely_cause"`
	Message string `json:"message,omitempty"` // that repairs it, or that it is about
	Repair  string `json:"repair,omitempty"`  // what --apply or a person does

	Confirmation string `json:"confirmation,omitempty"` // to be reported anew
	Document     string `json:"document,omitempty"`     // the ERP's number of what it has booked for Message
	ReadAgain    bool   `json:"read_again,omitempty"`   // what the ERP has to say is to be read again

	lane string // of Message
}

const lost = "lost"

// applied tells whether --apply repairs a difference.
func (d difference) applied() bool { return d.What == lost || d.Confirmation != "" || d.ReadAgain }

func (r *records) reconcile(ctx context.Context, cmd *cobra.Command, p *reconciling, w window) error {
	if err := r.knowsLink(p.link); err != nil {
		return err
	}
	check, done, err := r.sendable(ctx)
	if err != nil {
		return err
	}
	defer done()
	w.to, w.from = orTime(w.to, r.db.Now()), orTime(w.from, r.db.Now().Add(-24*time.Hour))
	c, err := r.compare(ctx, cmd.ErrOrStderr(), check, p.link, w)
	if err != nil {
		return err
	}
	if err := r.recordComparison(ctx, c); err != nil {
		return err
	}
	if p.apply {
		return r.applyComparison(ctx, cmd, p, c)
	}
	if err := c.print(cmd.OutOrStdout(), p.asJSON); err != nil || len(c.Differences) == 0 {
		return err
	}
	return exitError(problem.Conflict.ExitStatus())
}

// compare holds the messages of a link that were delivered in a time, and the plant's orders where the link can read them, against the ERP.
func (r *records) compare(ctx context.Context, progress io.Writer, check sendable, link string, w window) (comparison, error) {
	c := comparison{Link: link, From: w.from, To: w.to, Differences: []difference{}, reads: r.cfg.reads(link, check.units)}
	if err := r.compareMessages(ctx, progress, check, &c, w); err != nil {
		return c, err
	}
	reader, ok := readerOf(check.links[link])
	if !ok {
		c.NotRead = message.Reads{}.Missing()
		return c, nil
	}
	reads := reader.Reads()
	if c.NotRead = reads.Missing(); !reads.Orders {
		return c, nil
	}
	if err := r.compareOrders(ctx, reader, &c); err != nil {
		return c, err
	}
	if !reads.InWork {
		return c, nil
	}
	return c, r.unknownOrders(ctx, reader, &c)
}

// readerOf is what reads back over a link what its ERP has.
func readerOf(l link) (relay.Reader, bool) {
	if l, ok := l.(interface{ Reader() rest.Reader }); ok {
		return l.Reader(), true
	}
	reader, ok := l.(relay.Reader)
	return reader, ok
}

// reads are the plant's names of a unit of the ERP's behind a link, by each mapping of what comes over it.
func (c Config) reads(link string, u units) (all []func(code string) []string) {
	for _, name := range c.Links[link].inbound() {
		all = append(all, func(code string) []string { return u.PlantUnits(name, code) })
	}
	return all
}

func orTime(t, other time.Time) time.Time {
	if t.IsZero() {
		return other
	}
	return t
}

// recordComparison keeps in the audit record that somebody compared, and what came of it.
func (r *records) recordComparison(ctx context.Context, c comparison) error {
	after, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("write what was compared: %w", err)
	}
	_, err = r.doer.Do(ctx, access.Act{Action: access.ReconcileRun, Actor: r.actor(), Object: "link/" + c.Link},
		func(context.Context, *store.Tx) (access.Result, error) { return access.Result{After: after}, nil })
	return err
}

// atOnce is how many questions are under way at a time.
const atOnce = 4

// compareMessages asks the ERP for each message that was delivered in the time, some hundred in memory at once.
func (r *records) compareMessages(ctx context.Context, progress io.Writer, check sendable, c *comparison, w window) error {
	bar := newProgress(progress, 0, "messages")
	pace := newPace(r.cfg.Links[c.Link].Rate)
	defer pace.Stop()
	seen := 0
	err := r.eachDelivered(ctx, c.Link, w, func(list []outbox.Detail) error {
		if seen += len(list); seen > 0 {
			bar.ChangeMax(seen)
		}
		var mu sync.Mutex
		g, ctx := errgroup.WithContext(ctx)
		g.SetLimit(atOnce)
		for _, d := range list {
			if err := pace.wait(ctx); err != nil {
				break
			}
			g.Go(func() error {
				o, err := check.ask(ctx, r.db, d)
				mu.Lock()
				defer mu.Unlock()
				if problem.KindOf(err) == problem.Unavailable && o.LinkDown {
					return err
				}
				c.judge(d, o, err, func() string { return r.orderOf(ctx, d.Lane) })
				return bar.Add(1)
			})
		}
		return g.Wait()
	})
	if err := errors.Join(err, bar.Finish()); err != nil {
		return err
	}
	slices.SortFunc(c.Differences, func(a, b difference) int {
		return cmp.Or(cmp.Compare(a.What, b.What), cmp.Compare(a.Object, b.Object), cmp.Compare(a.Message, b.Message))
	})
	return nil
}

// pace keeps questions apart, so that a comparison asks no faster than the link may be used for what is reported.
type pace struct{ *time.Ticker }

// newPace is that of a rate, in questions a second; 0 is no limit.
func newPace(rate int) pace {
	return pace{time.NewTicker(max(time.Second/time.Duration(cmp.Or(rate, 10_000)), time.Microsecond))}
}

func (p pace) wait(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-p.C:
		return nil
	}
}

// eachDelivered hands over, page by page, every message of a link that was delivered in a time, its last delivery. The deliveries of one message
// stand beside each other in the list.
func (r *records) eachDelivered(ctx context.Context, link string, w window, fn func([]outbox.Detail) error) error {
	f := outbox.Filter{Link: link, Settled: true, OldestFirst: true, SettledFrom: w.from, SettledTo: w.to, Limit: 500}
	var held []outbox.Detail // the last of the page before: its next delivery may come first
	for cursor := ""; ; {
		var list []outbox.Detail
		err := r.db.View(ctx, func(tx *store.Tx) (err error) {
			list, cursor, err = r.out.Messages(ctx, tx, f, cursor)
			return err
		})
		if err != nil {
			return err
		}
		list = lastDeliveries(append(held, list...))
		if held = nil; cursor != "" && len(list) > 0 {
			list, held = list[:len(list)-1], slices.Clone(list[len(list)-1:])
		}
		if err := fn(slices.DeleteFunc(list, func(d outbox.Detail) bool { return !d.Settled || d.Role == message.Void })); err != nil {
			return err
		}
		if cursor == "" {
			return nil
		}
	}
}

// lastDeliveries leaves of each message the last one.
func lastDeliveries(list []outbox.Detail) (last []outbox.Detail) {
	for _, d := range list {
		if n := len(last); n > 0 && last[n-1].ID == d.ID {
			last[n-1] = d
			continue
		}
		last = append(last, d)
	}
	return last
}

// ask asks the ERP for a message that was delivered long ago.
func (c sendable) ask(ctx context.Context, db *store.DB, d outbox.Detail) (message.Outcome, error) {
	verified, err := message.Verify(ctx, seal.Chain(d.Digest), d.Message)
	if err != nil {
		return message.Outcome{}, err
	}
	q := message.Delivery{Event: verified, Digest: d.Digest, Quiet: true}
	if d.Mapping != "" {
		q.Doc, err = c.rules.Apply(ctx, d.Mapping, verified, func(ctx context.Context, object string) (number string, known bool, err error) {
			err = db.View(ctx, func(tx *store.Tx) (err error) {
				number, known, err = c.out.Reference(ctx, tx, d.Link, object)
				return err
			})
			return number, known, err
		})
	}
	if err != nil {
		return message.Outcome{}, err
	}
	return c.links[d.Link].Ask(ctx, q)
}

// orderOf names a lane as a person knows it: by the number of its order. What no order has is named as the lane it is.
func (r *records) orderOf(ctx context.Context, lane string) string {
	var o mes.Order
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		o, err = r.plant.Order(ctx, tx, lane)
		return err
	})
	if err != nil || o.Number == "" {
		return "lane " + lane
	}
	return "order " + o.Number
}

// judge says what an answer means; of names the lane, where something differs.
func (c *comparison) judge(d outbox.Detail, o message.Outcome, err error, of func() string) {
	c.Messages++
	plant := cmp.Or(d.Receipt.Document, "delivered, without a number")
	switch {
	case err == nil && o.Verdict == message.Delivered && (o.Receipt.Document == d.Receipt.Document || d.Receipt.Document == "" || o.Receipt.Document == ""):
		c.Agree++
	case err == nil && o.Verdict == message.Delivered:
		c.add(difference{
			What: "other document", Object: objectOf(d, of()), Plant: plant, ERP: o.Receipt.Document, Message: d.ID, lane: d.Lane,
			Cause:  "the ERP has booked it a second time, or under a new number after a restore",
			Repair: "none of ours is right while both stand: cancel the wrong one in the ERP; the plant goes on with " + plant,
		})
	case err == nil && o.Verdict == message.Again && o.Receipt.Status != 0:
		c.add(difference{
			What: lost, Object: objectOf(d, of()), Plant: plant, ERP: "does not have it", Message: d.ID, lane: d.Lane,
			Cause: "the ERP was restored from a copy that is older, or somebody has deleted it", Repair: "sent again by --apply",
		})
	default:
		c.Unasked++
		c.UnaskedWhy = cmp.Or(c.UnaskedWhy, whatWhy(err), whatWhy(o.Err), "its operation is idempotent, and the link names no way to ask")
	}
}

func objectOf(d outbox.Detail, of string) string {
	return fmt.Sprintf("%s, number %d of %s", d.Kind, d.Number, of)
}

// whatWhy is an error in one line for a person; "" for none.
func whatWhy(err error) string {
	if err == nil {
		return ""
	}
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Error()
	}
	return err.Error()
}

func (c comparison) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return printJSON(w, c)
	}
	rows := make([]string, 0, len(c.Differences))
	repaired := 0
	for _, d := range c.Differences {
		if d.applied() {
			repaired++
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%s\t%s", d.What, d.Object, d.Plant, d.ERP, orDash(d.Message), d.Cause+"; "+d.Repair))
	}
	if len(rows) > 0 {
		if err := table(w, "DIFFERS\tOBJECT\tPLANT\tERP\tMESSAGE\tLIKELY CAUSE, REPAIR", rows); err != nil {
			return err
		}
	}
	err := sentence(w, "of %s that were delivered over link %s from %s to %s, the ERP has %d under the documents that the plant knows; %d not",
		count(c.Messages, "message", "messages"), c.Link, c.From.Format(time.RFC3339), c.To.Format(time.RFC3339), c.Agree, c.Messages-c.Agree-c.Unasked)
	if err == nil && c.Unasked > 0 {
		err = sentence(w, "%s not be asked for: %s", count(c.Unasked, "message could", "messages could"), orDash(c.UnaskedWhy))
	}
	if err == nil && c.Orders > 0 {
		err = sentence(w, "%s were read back and held against the plant's", count(c.Orders, "order", "orders"))
	}
	if err == nil && c.NotRead != "" {
		err = sentence(w, "%s", c.NotRead)
	}
	if err == nil {
		err = sentence(w, "%s in all", count(len(c.Differences), "difference", "differences"))
	}
	if err == nil && repaired > 0 {
		err = sentence(w, "repair %s with: holdfast reconcile --link %s --from %s --apply --yes --expect %d --reason …",
			count(repaired, "difference", "differences"), c.Link, c.From.Format(time.RFC3339), repaired)
	}
	return err
}
