package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/edition"
	"holdfast/internal/inbox"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func mappingCanary() *cobra.Command {
	cmd := &cobra.Command{
		Use: "canary", Short: "See what mappings that are tried would change, and end the trial",
		Long: "A trial begins with holdfast mapping publish --canary. Each message is then mapped by the tried edition too; nothing of that is sent.",
	}
	cmd.AddCommand(canaryShow(), canaryStop())
	return cmd
}

// canary is what came of a trial.
type canary struct {
	Edition string           `json:"edition"`
	Beside  string           `json:"beside"` // the edition in use; empty while each node takes its folder
	Tallies []edition.Tally  `json:"tallies"`
	Differ  []edition.Trial  `json:"differ"`
	Effects []mapping.Effect `json:"effects"` // of the latest that differ and are recorded, as both editions map them now
}

func canaryShow() *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Show how many live messages the tried mappings would have mapped differently, and where",
		Long: "Show tells for each mapping how often it has mapped a live message, and how often to another document. The latest messages that differ\n" +
			"are mapped once more by both editions, to show what each document has. Each node adds its results within seconds, or when the database is\n" +
			"back; those of a node that was killed before are missing. Beyond a thousand messages that differ, only their number is kept.",
		Example: "  holdfast mapping canary show",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				c, err := r.canary(ctx, limit)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), c)
				}
				return c.print(cmd.OutOrStdout())
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVar(&limit, "limit", 20, "the most messages to show that differ, the latest first")
	return cmd
}

func (r *records) canary(ctx context.Context, limit int) (c canary, err error) {
	s, err := currentEdition(ctx, r.db)
	if err != nil {
		return c, err
	}
	if s.Tried.Edition == "" {
		return c, &problem.Error{Kind: problem.NotFound, What: "show the trial", Why: "no mappings are tried", Hint: "begin with holdfast mapping publish --canary"}
	}
	c.Edition, c.Beside = s.Tried.Edition, s.Used.Edition
	before, err := usedMappings(ctx, r.cfg, r.db)
	if err != nil {
		return c, err
	}
	after, err := loadEdition(ctx, r.db, c.Edition)
	if err != nil {
		return c, err
	}
	ctx, done, err := r.reading(ctx)
	if err != nil {
		return c, err
	}
	defer done()
	err = r.db.View(ctx, func(tx *store.Tx) error {
		if c.Tallies, c.Differ, err = edition.Trials(ctx, tx, c.Edition, limit, anyLink); err != nil {
			return err
		}
		for _, d := range c.Differ {
			m, refs, err := r.recorded(ctx, tx, d.Message)
			if problem.KindOf(err) == problem.NotFound {
				continue // it is not kept any more
			}
			if err != nil {
				return err
			}
			c.Effects = append(c.Effects, mapping.Compare(ctx, before, after, d.Mapping, m, refs))
		}
		return nil
	})
	return c, err
}

// anyLink is the choice of somebody who may see the messages of every link.
func anyLink(string) bool { return true }

// recorded is a message that went out or came in, with what it names.
func (r *records) recorded(ctx context.Context, tx *store.Tx, id string) (message.Message, mapping.Resolver, error) {
	d, err := r.out.Message(ctx, tx, id)
	if problem.KindOf(err) != problem.NotFound {
		return d.Message, r.references(tx, d.Message), err
	}
	list, errList := r.in.Messages(ctx, tx, inbox.Filter{ID: id, Limit: 1})
	if errList != nil || len(list) == 0 {
		return message.Message{}, nil, errors.Join(errList, err)
	}
	m, err := r.in.Message(ctx, tx, list[0].Seq)
	return m.Message, r.in.References(tx, m.Link), err
}

func (c canary) print(w io.Writer) error {
	fmt.Fprintf(w, "edition %s is tried beside %s\n", edition.Short(c.Edition), cmp.Or(edition.Short(c.Beside), "the folder of mappings"))
	rows := make([]string, 0, len(c.Tallies))
	for _, t := range c.Tallies {
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d", t.Mapping, t.Mapped, t.Differed))
	}
	if len(rows) == 0 {
		return sentence(w, "no message has been counted yet: nodes begin within some two seconds, and count what they have mapped every two")
	}
	if err := table(w, "MAPPING\tMAPPED\tDIFFERED", rows); err != nil {
		return err
	}
	if len(c.Differ) == 0 {
		return sentence(w, "every document is the same")
	}
	fmt.Fprintln(w)
	places := map[string]int{}
	for _, d := range c.Differ {
		for _, p := range d.Places {
			places[d.Kind+"\t"+p]++
		}
	}
	rows = rows[:0]
	for _, p := range slices.Sorted(maps.Keys(places)) {
		rows = append(rows, fmt.Sprintf("%s\t%d", p, places[p]))
	}
	if err := table(w, "KIND\tPLACE\tMESSAGES", rows); err != nil {
		return err
	}
	printDifferences(w, c.Effects)
	return nil
}

func canaryStop() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "stop",
		Short:   "End the trial; the mappings in use stay",
		Example: "  holdfast mapping canary stop --reason 'seen enough'",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if _, err := r.step(ctx, access.MappingEndTrial, "", reason, edition.EndTrial); err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "the trial has ended")
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}
