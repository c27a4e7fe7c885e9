package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// proving is what msg prove is told of lanes that it checks itself.
type proving struct {
	all        bool
	from, to   string
	export     string
	asJSON     bool
	link, lane string
}

// checksLanes has msg prove check lanes by itself, beside printing what others check.
func checksLanes(cmd *cobra.Command) *cobra.Command {
	var p proving
	printed := cmd.RunE
	cmd.Short = "Check that lanes are whole, or print what was signed for those who check it themselves"
	cmd.Long = "It checks every message that is kept of the lanes: its digest, its signature and its receipt, that\n" +
		"no number is missing and each follows the one before it, and that the lane ends where it says. It says whole or broken of each, and ends\n" +
		"with status 1 if one is broken. --export writes the statements of what it checked to a file besides.\n\n" +
		"Without --all, -o, --from, --to and --export it prints the statements, and its verdict on standard error. " + cmd.Long
	cmd.Example = "  holdfast msg prove --all\n  holdfast msg prove --link erp --lane o1 -o json --export o1.proof\n" + cmd.Example
	cmd.Flags().BoolVar(&p.all, "all", false, "check every lane of every link")
	cmd.Flags().StringVar(&p.from, "from", "", "check lanes with a message made at this time or later, with its zone")
	cmd.Flags().StringVar(&p.to, "to", "", "check lanes with a message made before this time, with its zone")
	cmd.Flags().StringVar(&p.export, "export", "", "write the statements of the lanes to this new file, for holdfast verify")
	fileFlag(cmd, "export", isWritten)
	jsonFlag(cmd, &p.asJSON)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		f := cmd.Flags()
		p.link, p.lane = f.Lookup("link").Value.String(), f.Lookup("lane").Value.String()
		verdict := cmd.OutOrStdout()
		if !p.all && !p.asJSON && p.from == "" && p.to == "" && p.export == "" {
			if err := printed(cmd, args); err != nil {
				return err
			}
			verdict = cmd.ErrOrStderr() // beside the statements, which may go to a file
		}
		if p.all && p.link+p.lane != "" {
			return misuse(cmd, "--all", "it is every lane, and not those of a link", "")
		}
		return with(cmd, func(ctx context.Context, r *records) error {
			if p.link != "" {
				if err := r.knowsWhat(ctx, p.link, p.lane); err != nil {
					return err
				}
			}
			return r.checkLanes(ctx, cmd, p, verdict)
		})
	}
	return cmd
}

// knowsWhat refuses a lane, or a link without one, that is not there. A link that has left the configuration is there while it has lanes.
func (r *records) knowsWhat(ctx context.Context, link, lane string) error {
	if lane != "" {
		return r.knowsLinkOf(ctx, link, lane)
	}
	unknown := r.knowsLink(link)
	if unknown == nil {
		return nil
	}
	return r.db.View(ctx, func(tx *store.Tx) error {
		ends, err := r.out.Ends(ctx, tx, link, "")
		if err != nil || len(ends) > 0 {
			return err
		}
		return unknown
	})
}

// checkLanes checks lanes and says of each whether it is whole.
func (r *records) checkLanes(ctx context.Context, cmd *cobra.Command, p proving, verdict io.Writer) error {
	from, err := instant("from", p.from)
	if err != nil {
		return err
	}
	to, err := instant("to", p.to)
	if err != nil {
		return err
	}
	by, err := r.checks(ctx)
	if err != nil {
		return err
	}
	chains, err := r.chains(ctx, cmd.ErrOrStderr(), by, p, window{from, to})
	if err != nil {
		return err
	}
	if p.export != "" {
		if err := r.exportProof(ctx, p.export, chains); err != nil {
			return err
		}
	}
	return printChains(verdict, chains, p.asJSON)
}

// window is a time; its zero fields are no bound.
type window struct{ from, to time.Time }

func (r *records) chains(ctx context.Context, progress io.Writer, by prove.Checks, p proving, w window) ([]prove.Chain, error) {
	var ends []outbox.End
	lost := map[[2]string][]prove.Defect{} // by link and lane
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		if by.Since, by.MACs, err = audit.ReceiptsSince(ctx, tx); err != nil {
			return err
		}
		if ends, err = r.out.Ends(ctx, tx, p.link, p.lane); err != nil {
			return err
		}
		all, err := prove.Held(ctx, tx, r.out, p.link, p.lane)
		for _, l := range all {
			lane := [2]string{l.Link, l.Lane}
			lost[lane] = append(lost[lane], l.Defect)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	by.Vouch = &prove.Voucher{}
	bar := newProgress(progress, len(ends), "lanes")
	chains := []prove.Chain{}
	for _, e := range ends {
		err := r.db.View(ctx, func(tx *store.Tx) error { // each lane in one picture, and none of them holds up the plant
			now, err := r.out.Ends(ctx, tx, e.Link, e.Lane)
			if err != nil || len(now) == 0 {
				return err
			}
			c, err := prove.Check(ctx, tx, r.out, now[0], by)
			lane := [2]string{e.Link, e.Lane}
			c.Add(lost[lane]...)
			delete(lost, lane)
			if err == nil && (c.State == prove.Broken || c.MadeWithin(w.from, w.to)) {
				chains = append(chains, c)
			}
			return err
		})
		if err = errors.Join(err, bar.Add(1)); err != nil {
			return nil, err
		}
	}
	if err := r.addUnvouched(ctx, by.Vouch, chains); err != nil {
		return nil, err
	}
	return append(chains, goneLanes(lost)...), bar.Finish()
}

// addUnvouched says of lanes for which of their messages nothing vouches, although their keys count no more.
func (r *records) addUnvouched(ctx context.Context, by *prove.Voucher, chains []prove.Chain) error {
	return r.db.View(ctx, func(tx *store.Tx) error {
		all, err := by.Unvouched(ctx, tx)
		for n := range chains {
			chains[n].AddUnvouched(all[[2]string{chains[n].Link, chains[n].Lane}])
		}
		return err
	})
}

// goneLanes are lanes of which nothing is there and the audit record holds something.
func goneLanes(lost map[[2]string][]prove.Defect) (chains []prove.Chain) {
	lanes := slices.SortedFunc(maps.Keys(lost), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) })
	for _, lane := range lanes {
		c := prove.Chain{Link: lane[0], Lane: lane[1]}
		c.Add(lost[lane]...)
		chains = append(chains, c)
	}
	return chains
}

// checks is what this plant checks its messages by: its own keyring, and the keys of the links' ERPs where they sign receipts.
func (r *records) checks(ctx context.Context) (prove.Checks, error) {
	b, _, err := r.bundle(ctx)
	if err != nil {
		return prove.Checks{}, err
	}
	trust := b.Trust()
	return prove.Checks{Origin: originBy(trust), Ended: endedBy(trust, r.db.Now()), Receipt: r.cfg.receiptBy(r.db.Now), Shredded: prove.Shreddings}, nil
}

func printChains(w io.Writer, chains []prove.Chain, asJSON bool) error {
	broken := 0
	rows := make([]string, 0, len(chains))
	for _, c := range chains {
		if c.State == prove.Broken {
			broken++
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d", c.State, c.Link, c.Lane, c.Epoch, c.First, c.Last, c.Signed, c.Vouched))
	}
	switch {
	case asJSON:
		if err := printJSON(w, chains); err != nil {
			return err
		}
	case len(chains) == 0:
		return sentence(w, "there is no such lane")
	default:
		if err := table(w, "STATE\tLINK\tLANE\tEPOCH\tFIRST\tLAST\tSIGNED\tRECEIPTS SIGNED", rows); err != nil {
			return err
		}
		if old := unauthenticated(chains); old > 0 {
			err := sentence(w, "what is kept of %s is from before receipts had MACs: only the ERP's own signature and holdfast reconcile tell whether it is true", count(old, "delivery", "deliveries"))
			if err != nil {
				return err
			}
		}
	}
	return sayBroken(chains, broken)
}

// unauthenticated is of how many deliveries what is kept has no MAC.
func unauthenticated(chains []prove.Chain) (n int) {
	for _, c := range chains {
		n += c.NoMAC
	}
	return n
}

// sayBroken names, of each lane that is not whole, the numbers at which it is not.
func sayBroken(chains []prove.Chain, broken int) error {
	if broken == 0 {
		return nil
	}
	var all []error
	for _, c := range chains {
		for _, d := range c.Wrong {
			all = append(all, &problem.Error{
				Kind: problem.Integrity, What: fmt.Sprintf("lane %s of link %s, number %d", c.Lane, c.Link, d.Number), Why: d.What,
			})
		}
	}
	hint := "somebody has changed the database behind Holdfast, or a disk has: compare with a backup and with holdfast audit verify"
	if unvouchedOnly(chains) {
		hint = "what was signed shortly before a key was revoked cannot be told from what a thief has signed with it: compare with the ERP, holdfast reconcile"
	}
	all = append(all, &problem.Error{
		Kind: problem.Integrity, What: "prove " + count(len(chains), "lane", "lanes"), Why: count(broken, "is not whole", "are not whole"),
		Hint: hint,
	})
	return errors.Join(all...)
}

// unvouchedOnly tells that nothing else is the matter with lanes.
func unvouchedOnly(chains []prove.Chain) bool {
	return !slices.ContainsFunc(chains, func(c prove.Chain) bool { return len(c.Wrong) != c.Unvouched })
}

// exportProof writes what was signed of lanes to a file that is not there yet.
func (r *records) exportProof(ctx context.Context, file string, chains []prove.Chain) error {
	f, err := makeFile(ctx, file)
	if err != nil {
		return err
	}
	for _, c := range chains {
		if err = r.prove(ctx, f.to, outbox.Filter{Link: c.Link, Lane: c.Lane, OldestFirst: true, Limit: 1000}); err != nil {
			break
		}
	}
	return f.end(err)
}

// originBy checks the signatures of messages by keys, also by those that have ended since: endedBy tells of these.
func originBy(trust *seal.Trust) func(m message.Message) error {
	return func(m message.Message) error {
		_, err := trust.Genuine(m)
		return err
	}
}

// endedBy tells of messages whose keys count no more at now, as holdfast verify has it, and until when they did.
func endedBy(trust *seal.Trust, now time.Time) func(m message.Message) (until time.Time, is bool) {
	return func(m message.Message) (until time.Time, is bool) {
		w, err := trust.Genuine(m)
		return w.Until, err == nil && w.Late(now)
	}
}

// receiptBy checks the receipts that the ERPs of the links have signed.
func (c Config) receiptBy(now func() time.Time) func(ctx context.Context, link, signed string, of message.Receipted) error {
	guard, _ := c.newGuard(now, slog.New(slog.DiscardHandler))
	return func(ctx context.Context, link, signed string, of message.Receipted) error {
		v := guard.Receipts(link)
		if v == nil {
			return &problem.Error{Kind: problem.Denied, What: "check a receipt of link " + link, Why: "the configuration names no keys that it could be checked by", Hint: "write links." + link + ".verify"}
		}
		return v.VerifyReceipt(ctx, signed, of)
	}
}
