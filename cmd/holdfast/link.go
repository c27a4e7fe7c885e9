package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func newLink() *cobra.Command {
	cmd := &cobra.Command{Use: "link", Short: "See the links to the ERPs, pause one, let it go on"}
	cmd.AddCommand(linkList(), linkPause(), linkResume())
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
		access.LinkPause, "is paused", (*outbox.Outbox).PauseLink)
}

func linkResume() *cobra.Command {
	return linkAct("resume LINK", "Let a paused link go on", "  holdfast link resume erp --reason 'release is done'",
		access.LinkResume, "goes on", (*outbox.Outbox).ResumeLink)
}

type linkOperation func(o *outbox.Outbox, ctx context.Context, tx *store.Tx, link, reason string) error

func linkAct(use, summary, example, action, done string, do linkOperation) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: use, Short: summary, Example: example, Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if err := r.knowsLink(args[0]); err != nil {
					return err
				}
				var now outbox.Link
				err := r.act(ctx, action, "link/"+args[0], reason, func(ctx context.Context, tx *store.Tx) (err error) {
					if err = do(r.out, ctx, tx, args[0], reason); err == nil {
						now, err = r.link(ctx, tx, args[0])
					}
					return err
				})
				if err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "link %s %s; %s%s", args[0], done, count(now.Owed, "message is owed", "messages are owed"), heldBack(now))
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
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

// heldBack says which lanes of a link stand still for reasons of their own, whatever the link does.
func heldBack(l outbox.Link) string {
	says := ""
	if l.Parked > 0 {
		says += ", " + count(l.Parked, "lane waits for a person", "lanes wait for a person")
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
	return &problem.Error{
		Kind: problem.NotFound, What: "link " + name, Why: r.cfg.file + " has no such link", Hint: "see holdfast link list",
	}
}
