package main

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// completeNames has each command below cmd complete the links, lanes, jobs and messages that the plant has, wherever its usage names one.
func completeNames(cmd *cobra.Command) {
	for _, c := range cmd.Commands() {
		completeNames(c)
	}
	for flag, what := range map[string]string{"link": "LINK", "lane": "LANE"} {
		if cmd.Flags().Lookup(flag) != nil {
			_ = cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, begun string) ([]string, cobra.ShellCompDirective) {
				if serverOf(cmd) != "" {
					return namesThere(cmd, "--"+flag, begun)
				}
				return names(cmd, what, nil, begun)
			}) // the flag is there
		}
	}
	words := strings.Fields(cmd.Use)
	if cmd.ValidArgsFunction != nil || len(words) < 2 {
		return
	}
	cmd.ValidArgsFunction = func(cmd *cobra.Command, args []string, begun string) ([]string, cobra.ShellCompDirective) {
		if len(args)+1 >= len(words) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		if serverOf(cmd) != "" {
			return namesThere(cmd, append(args, begun)...)
		}
		return names(cmd, words[len(args)+1], args, begun)
	}
}

// mostOffered bounds what a shell is offered.
const mostOffered = 200

// names are those of a sort that begin as the word does which a person has begun. Whatever goes wrong, a shell is only offered nothing.
func names(cmd *cobra.Command, what string, args []string, begun string) ([]string, cobra.ShellCompDirective) {
	var all []string
	err := with(cmd, func(ctx context.Context, r *records) (err error) {
		all, err = r.names(ctx, what, args)
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return slices.DeleteFunc(all, func(s string) bool { return !strings.HasPrefix(s, begun) }), cobra.ShellCompDirectiveNoFileComp
}

// names are the links, the lanes that owe something, the jobs or the messages that are owed; of LANE, those of the link before it.
func (r *records) names(ctx context.Context, what string, args []string) (all []string, err error) {
	if what == "LINK" {
		return slices.Sorted(maps.Keys(r.cfg.Links)), nil
	}
	if p, err := r.cfg.policy(); err != nil || p != nil && !p.May(r.actor().Rights, access.MsgRead, "") {
		return nil, err
	}
	err = r.db.View(ctx, func(tx *store.Tx) error {
		switch what {
		case "LANE":
			f := outbox.LaneFilter{Limit: mostOffered}
			if len(args) > 0 {
				f.Link = args[len(args)-1]
			}
			lanes, _, err := r.out.Lanes(ctx, tx, f, "")
			for _, l := range lanes {
				all = append(all, l.Name)
			}
			return err
		case "JOB":
			jobs, err := r.jobs.List(ctx, tx, mostOffered)
			for _, b := range jobs {
				all = append(all, b.ID)
			}
			return err
		case "ID":
			list, _, err := r.out.Messages(ctx, tx, outbox.Filter{Owed: true, OldestFirst: true, Limit: mostOffered}, "")
			for _, d := range list {
				all = append(all, d.ID)
			}
			return err
		default:
			return nil
		}
	})
	return all, err
}
