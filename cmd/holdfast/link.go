package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast/cmd/holdfast/internal/strict"
	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func newLink() *cobra.Command {
	cmd := &cobra.Command{Use: "link", Short: "See the links to the ERPs, pause one, let it go on"}
	cmd.AddCommand(linkList(), linkShow(), linkPause(), linkResume(), linkRate())
	return cmd
}

func linkList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the links with what they owe",
		Example: "  holdfast link list",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				s, err := r.status(ctx)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), s.Links)
				}
				return errors.Join(s.printLinks(cmd.OutOrStdout()), s.sayServed(cmd.OutOrStdout()))
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

func linkPause() *cobra.Command {
	return linkAct("pause LINK", "Stop sending over a link; the plant goes on, and messages wait", "  holdfast link pause erp --reason 'ERP release tonight'",
		access.LinkPause, func(ctx context.Context, tx *store.Tx, o *outbox.Outbox, l outbox.Link, reason string) (string, error) {
			if l.Paused {
				return "is paused already: " + orDash(l.Reason), nil
			}
			return "is paused", o.PauseLink(ctx, tx, l.Name, reason)
		})
}

func linkResume() *cobra.Command {
	return linkAct("resume LINK", "Let a paused link go on", "  holdfast link resume erp --reason 'release is done'",
		access.LinkResume, resumeLink)
}

// resumeLink leaves in force that the ERP has asked not to be called (Retry-After): a person who knows better asks the ERP's people,
// and it is over within an hour.
func resumeLink(ctx context.Context, tx *store.Tx, o *outbox.Outbox, l outbox.Link, reason string) (string, error) {
	done := "was not paused, and goes on as before"
	if l.Paused {
		done = "goes on"
		if err := o.ResumeLink(ctx, tx, l.Name, reason); err != nil {
			return "", err
		}
	}
	held, err := o.Held(ctx, tx, l.Name)
	if held > 0 {
		done += " when the pause ends that the ERP itself has asked for, in " + short(held.Round(time.Second))
	}
	return done, err
}

func linkRate() *cobra.Command {
	var rate int
	cmd := linkAct("rate LINK", "Change how many requests a second go over a link, on every node", "  holdfast link rate erp --rate 5 --reason 'the ERP closes its month'",
		access.LinkRate, func(ctx context.Context, tx *store.Tx, o *outbox.Outbox, l outbox.Link, _ string) (string, error) {
			done := fmt.Sprintf("sends at most %s a second", count(rate, "request", "requests"))
			if rate == 0 {
				done = "sends as fast as the configuration says"
			}
			return done, o.RateLink(ctx, tx, l.Name, rate)
		})
	cmd.Flags().IntVar(&rate, "rate", 0, "requests a second of each node at most; 0 for what the configuration says (required)")
	if err := cmd.MarkFlagRequired("rate"); err != nil {
		panic(err) // the flag is defined one line above
	}
	return cmd
}

// linkOperation acts on a link and says what became of it.
type linkOperation func(ctx context.Context, tx *store.Tx, o *outbox.Outbox, l outbox.Link, reason string) (string, error)

func linkAct(use, summary, example, action string, do linkOperation) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: summary, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if err := r.knowsLink(args[0]); err != nil {
					return err
				}
				var now outbox.Link
				var done string
				err := r.act(ctx, action, "link/"+args[0], reason, func(ctx context.Context, tx *store.Tx) (err error) {
					if now, err = r.link(ctx, tx, args[0]); err != nil {
						return err
					}
					if done, err = do(ctx, tx, r.out, now, reason); err == nil {
						now, err = r.link(ctx, tx, args[0])
					}
					return err
				})
				if err != nil {
					return err
				}
				as, err := r.shownLink(ctx, cmd, args[0])
				if err != nil {
					return err
				}
				return outcome(cmd, args[0], as, "link %s %s; %s%s", args[0], done, count(now.Owed, "message is owed", "messages are owed"), heldBack(now))
			})
		},
	}
	reasonFlag(cmd, &reason)
	actFlag(cmd)
	return cmd
}

// shownLink is a link as link list has it, where a command prints JSON; nil otherwise.
func (r *records) shownLink(ctx context.Context, cmd *cobra.Command, name string) (any, error) {
	if !wantsJSON(cmd) {
		return nil, nil
	}
	s, err := r.status(ctx)
	if err != nil {
		return nil, err
	}
	for _, l := range s.Links {
		if l.Name == name {
			return l, nil
		}
	}
	return nil, nil
}

// link is where one link stands.
func (r *records) link(ctx context.Context, tx *store.Tx, name string) (outbox.Link, error) {
	links, err := r.out.Links(ctx, tx)
	for _, l := range links {
		if l.Name == name {
			return l, err
		}
	}
	return outbox.Link{Name: name}, err
}

// alteredWhy is why lanes are parked with the alert message.altered.
const alteredWhy = "somebody has altered the database behind Holdfast"

// heldBack says which lanes of a link stand still for reasons of their own, whatever the link does.
func heldBack(l outbox.Link) string {
	says := ""
	if l.Parked > 0 {
		says += ", " + count(l.Parked, "lane waits for a person", "lanes wait for a person")
	}
	if l.Altered > 0 {
		says += fmt.Sprintf(" (%d because %s)", l.Altered, alteredWhy)
	}
	if l.Held > 0 {
		says += ", " + count(l.Held, "lane is paused", "lanes are paused")
	}
	return says
}

// knowsLink refuses a name that the configuration does not have.
func (r *records) knowsLink(name string) error {
	if _, ok := r.cfg.Links[name]; ok {
		return nil
	}
	hint := "see holdfast link list"
	if near := strict.Nearest(name, slices.Collect(maps.Keys(r.cfg.Links))); near != "" {
		hint = "did you mean " + near + "? " + hint
	}
	return &problem.Error{Kind: problem.NotFound, What: "link " + name, Why: r.cfg.file + " has no such link", Hint: hint}
}
