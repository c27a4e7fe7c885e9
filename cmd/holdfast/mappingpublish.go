package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/edition"
	"holdfast/internal/mapping"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func mappingPublish() *cobra.Command {
	var reason, from, base string
	var canary bool
	cmd := &cobra.Command{
		Use:   "publish [EDITION]",
		Short: "Have every node map by the folder of mappings as it is now, or by an edition that is kept",
		Long: "Publish checks and tests the mappings, keeps their files in the plant's database as one edition, named by its hash, and has every node\n" +
			"take it into use. From the first time on, changes in the folder count when they are published. Where mappings_policy is four_eyes, the\n" +
			"edition waits until somebody else has approved it. What somebody else published since is not undone: say --base once you have taken it over.\n" +
			"With --canary it maps each message too, and nothing that it makes is sent.",
		Example: "  holdfast mapping publish --reason 'scrap reasons of the new line'\n  holdfast mapping publish --from mappings.next --canary --reason 'look at it for a day'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				e, err := r.candidate(ctx, args)
				if from != "" {
					e, err = readFolder(from)
				}
				if err != nil {
					return err
				}
				if err := r.ready(ctx, cmd.OutOrStdout(), e); err != nil {
					return err
				}
				if canary {
					return r.tryEdition(ctx, cmd.OutOrStdout(), e, reason)
				}
				return r.publish(ctx, cmd.OutOrStdout(), e, base, reason)
			})
		},
	}
	reasonFlag(cmd, &reason)
	cmd.Flags().StringVar(&from, "from", "", "another folder of mappings than that of the configuration")
	cmd.Flags().StringVar(&base, "base", "", "the edition that the mappings were made from, in whose place they come; needed where somebody else brought the one in use")
	cmd.Flags().BoolVar(&canary, "canary", false, "map live messages by it too, and send nothing of what it makes")
	return cmd
}

// candidate is the edition that is named, or the folder of mappings.
func (r *records) candidate(ctx context.Context, args []string) (e edition.Edition, err error) {
	if len(args) == 0 {
		return readFolder(r.cfg.Mappings)
	}
	err = r.db.View(ctx, func(tx *store.Tx) error {
		hash, err := edition.Find(ctx, tx, args[0])
		if err == nil {
			e, err = edition.Load(ctx, tx, hash)
		}
		return err
	})
	return e, err
}

func readFolder(folder string) (edition.Edition, error) {
	if _, err := os.ReadDir(folder); err != nil {
		return edition.Edition{}, noFolder(folder, err)
	}
	return edition.Read(os.DirFS(folder))
}

// ready refuses an edition that has a mistake, does not fit the contracts of its links, or makes something else than its examples say.
func (r *records) ready(ctx context.Context, out io.Writer, e edition.Edition) error {
	set, err := compileEdition(e)
	if err != nil {
		return err
	}
	links, err := openLinks(r.cfg.onlyLooking(), slog.New(slog.DiscardHandler))
	defer (&workshop{r.cfg, set, links}).close()
	if err != nil {
		return err
	}
	report, err := r.cfg.readySet(ctx, set, links)
	if err != nil || report.OK() {
		return err
	}
	return errors.Join(report.WriteText(out), &problem.Error{
		Kind: problem.Conflict, What: "publish edition " + edition.Short(e.Hash), Why: "an example is mapped to something else than it expects",
		Hint: "mend the mapping, or have what it makes expected: holdfast mapping test --update",
	})
}

// readySet holds mappings against what they are for and, if they fit, tests them by their examples.
func (c Config) readySet(ctx context.Context, set *mapping.Set, links map[string]link) (mapping.Report, error) {
	if err := errors.Join(c.checkAgainst(set, links), c.refuseUnfit(set, links)); err != nil {
		return mapping.Report{}, err
	}
	w := &workshop{c, set, links}
	return set.Test(ctx, mapping.TestConfig{Check: w.fits, Document: w.document})
}

// step does what is done with an edition in the name of the person at this machine, with the editions before and after in the audit record.
func (r *records) step(ctx context.Context, action, hash, reason string, do func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error)) (edition.State, error) {
	var s edition.State
	act := access.Act{Action: action, Actor: r.cfg.localActor(), Object: "mapping/" + edition.Short(hash), Reason: reason}
	_, err := r.do(ctx, act, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
		before, err := edition.Current(ctx, tx)
		if err != nil {
			return access.Result{}, err
		}
		if s, err = do(ctx, tx, edition.By{Actor: act.Actor.Name, Reason: reason}); err != nil {
			return access.Result{}, err
		}
		return access.Result{Object: "mapping/" + edition.Short(s.About(before)), Before: stateJSON(before), After: stateJSON(s)}, nil
	})
	return s, err
}

// publish puts an edition in the place of base, the beginning of an edition's hash; "" if nobody has said what it was made from.
func (r *records) publish(ctx context.Context, out io.Writer, e edition.Edition, base, reason string) error {
	two := r.cfg.MappingsPolicy == fourEyes
	action := access.MappingPublish
	if two {
		action = access.MappingPropose
	}
	s, err := r.step(ctx, action, e.Hash, reason, func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error) {
		if err := edition.Keep(ctx, tx, e); err != nil {
			return edition.State{}, err
		}
		if base != "" {
			var err error
			if base, err = edition.Find(ctx, tx, base); err != nil {
				return edition.State{}, err
			}
		}
		by.Base = &base
		return edition.Publish(ctx, tx, e.Hash, two, by)
	})
	switch {
	case err != nil:
		return err
	case s.Used.Edition == e.Hash:
		return sentence(out, "edition %s is published: each node takes it within seconds, as holdfast mapping history tells", edition.Short(e.Hash))
	}
	return sentence(out, "edition %[1]s waits for somebody else, who says: holdfast mapping approve %[1]s --reason …", edition.Short(e.Hash))
}

func (r *records) tryEdition(ctx context.Context, out io.Writer, e edition.Edition, reason string) error {
	_, err := r.step(ctx, access.MappingTry, e.Hash, reason, func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error) {
		if err := edition.Keep(ctx, tx, e); err != nil {
			return edition.State{}, err
		}
		return edition.Try(ctx, tx, e.Hash, by)
	})
	if err != nil {
		return err
	}
	return sentence(out, "edition %s maps each message too, and nothing of it is sent; see holdfast mapping canary show", edition.Short(e.Hash))
}

func mappingApprove() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:     "approve EDITION",
		Short:   "Approve an edition that somebody else has proposed, and have every node map by it",
		Long:    "Approve is for plants whose mappings_policy is four_eyes. Look at what would change first: holdfast mapping diff used proposed",
		Example: "  holdfast mapping diff used proposed\n  holdfast mapping approve 4f9a1c2b7d3e --reason 'looked at with the ERP team'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				e, err := r.candidate(ctx, args)
				if err != nil {
					return err
				}
				if err := r.ready(ctx, cmd.OutOrStdout(), e); err != nil {
					return err
				}
				_, err = r.step(ctx, access.MappingApprove, e.Hash, reason, func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error) {
					return edition.Approve(ctx, tx, e.Hash, by)
				})
				if err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "edition %s is approved: each node takes it within seconds, as holdfast mapping history tells", edition.Short(e.Hash))
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

func mappingRollback() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use:   "rollback [EDITION]",
		Short: "Have every node map by the mappings again that were used before",
		Long: "Rollback takes the edition into use again that was used before the present one. What was mapped since stays as it was sent. Said again,\n" +
			"it goes back one more; name the edition that is to go, and it goes back from that one only. The files in the folder of mappings stay as they are: mend them before you publish them again.",
		Example: "  holdfast mapping rollback --reason 'units are wrong since this morning'",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				of, err := r.goes(ctx, args)
				if err == nil {
					err = r.backIsUsable(ctx)
				}
				if err != nil {
					return err
				}
				s, err := r.step(ctx, access.MappingRollback, "", reason, func(ctx context.Context, tx *store.Tx, by edition.By) (edition.State, error) {
					return edition.RollBack(ctx, tx, of, r.cfg.MappingsPolicy == fourEyes, by)
				})
				if err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "edition %s is used again, in the place of %s", edition.Short(s.Used.Edition), edition.Short(s.Used.Previous))
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// backIsUsable refuses to go back to an edition that no node of this release would take: all of them would go on as they are, and start no more.
func (r *records) backIsUsable(ctx context.Context) error {
	var e edition.Edition
	var hash string
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		if hash, err = edition.Back(ctx, tx); err == nil && hash != "" {
			e, err = edition.Load(ctx, tx, hash)
		}
		return err
	})
	if err != nil || hash == "" {
		return err
	}
	links, err := openLinks(r.cfg.onlyLooking(), slog.New(slog.DiscardHandler))
	defer (&workshop{r.cfg, nil, links}).close()
	if err != nil {
		return err
	}
	return r.cfg.usable(e, links)
}

// usable refuses an edition that was used before and that this release, configuration or contract does not take any more. What is newer advice alone
// is told by doctor.
func (c Config) usable(e edition.Edition, links map[string]link) error {
	set, err := compileKept(e)
	if err == nil {
		err = errors.Join(c.checkAgainst(set, links), c.refuseUnfit(set, links))
	}
	if err == nil {
		return nil
	}
	return errors.Join(err, &problem.Error{
		Kind: problem.Invalid, What: "go back to edition " + edition.Short(e.Hash) + " of the mappings", Why: "this release, configuration or contract does not take it any more",
		Hint: "nothing was changed: mend the mappings in their folder, then holdfast mapping publish --reason …",
	})
}

// goes is the edition that is rolled back: the one that is named, or the one that is used as the command begins.
func (r *records) goes(ctx context.Context, args []string) (of string, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) error {
		if len(args) > 0 {
			of, err = edition.Find(ctx, tx, args[0])
			return err
		}
		s, err := edition.Current(ctx, tx)
		of = s.Used.Edition
		return err
	})
	return of, err
}

func mappingHistory() *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "history",
		Short:   "List which editions of the mappings were used, proposed and tried, by whom, and what each node maps by",
		Example: "  holdfast mapping history",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var steps []edition.Step
				var nodes []edition.Node
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					if steps, err = edition.Steps(ctx, tx, limit); err != nil {
						return err
					}
					nodes, err = edition.Nodes(ctx, tx)
					return err
				})
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), map[string]any{"steps": steps, "nodes": nodes})
				}
				return printHistory(cmd.OutOrStdout(), steps, nodes)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVar(&limit, "limit", 20, "the most steps to list, the latest first")
	return cmd
}

func printHistory(w io.Writer, steps []edition.Step, nodes []edition.Node) error {
	if len(steps) == 0 {
		return sentence(w, "nothing was done with mappings: each node takes its own folder")
	}
	rows := make([]string, 0, len(steps))
	for _, s := range steps {
		rows = append(rows, strings.Join([]string{
			s.At.Local().Format("2006-01-02 15:04:05"), s.Step, edition.Short(s.Edition), orDash(edition.Short(s.Previous)), s.Actor, orDash(s.Reason),
		}, "\t"))
	}
	if err := table(w, "AT\tSTEP\tEDITION\tBEFORE\tBY\tREASON", rows); err != nil {
		return err
	}
	rows = rows[:0]
	for _, n := range nodes {
		rows = append(rows, strings.Join([]string{n.Name, orDash(edition.Short(n.Used)), orDash(edition.Short(n.Tried)), orDash(n.Trouble)}, "\t"))
	}
	fmt.Fprintln(w)
	return table(w, "NODE\tUSES\tTRIES\tTROUBLE", rows)
}
