package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/inbox"
	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

func mappingDiff() *cobra.Command {
	var limit int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "diff BEFORE AFTER",
		Short: "Show what other mappings would change in the messages that were recorded",
		Long: "Diff maps the newest messages of the plant's database by two sets of mappings, and shows what would differ in each document. It sends\n" +
			"nothing. Each set is a folder or an edition: used, proposed, tried, or the first letters of its hash. Shipped mappings are taken where\n" +
			"a set has none of the same name; \"-\" stands for these alone.",
		Example: "  holdfast mapping diff mappings mappings.next\n  holdfast mapping diff used proposed",
		Args:    cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				before, err := r.named(ctx, args[0])
				if err != nil {
					return err
				}
				after, err := r.named(ctx, args[1])
				if err != nil {
					return err
				}
				effects, looked, others, err := r.effects(ctx, before, after, limit)
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), effects)
				}
				return printEffects(cmd.OutOrStdout(), before.Changes(after), effects, looked, others)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().IntVar(&limit, "limit", 200, "the most messages to map of those that went out, and of those that came in, the newest first")
	return cmd
}

// named is the shipped mappings with those of a folder or an edition in their place.
func (r *records) named(ctx context.Context, name string) (*mapping.Set, error) {
	sources := []fs.FS{mapping.Library()}
	if name != "-" {
		if _, errFolder := os.ReadDir(name); errFolder != nil {
			e, err := r.candidate(ctx, []string{name})
			if problem.KindOf(err) == problem.NotFound && name == "used" {
				e, err = r.cfg.base(ctx, r.db) // before the first was published
			}
			if problem.KindOf(err) == problem.NotFound && strings.ContainsAny(name, "/.") {
				return nil, noFolder(name, errFolder)
			}
			if err != nil {
				return nil, err
			}
			return compileKept(e)
		}
		sources = append(sources, os.DirFS(name))
	}
	set, err := mapping.Load(sources...)
	return set, toldMistakes(err)
}

// effects maps what is recorded by both sets: what went out, and what came in. Looked is how many messages were mapped, and others how many were
// not, since their mapping is the same in both.
func (r *records) effects(ctx context.Context, before, after *mapping.Set, limit int) (out []mapping.Effect, looked, others int, err error) {
	changed := map[string]bool{}
	for _, c := range before.Changes(after) {
		changed[c.Name] = true
	}
	compare := func(name, kind string, m message.Message, refs mapping.Resolver) {
		if !changed[before.Name(name, kind)] && !changed[after.Name(name, kind)] {
			others++
			return
		}
		looked++
		if e := mapping.Compare(ctx, before, after, name, m, refs); len(e.Differences) > 0 {
			out = append(out, e)
		}
	}
	ctx, done, err := r.reading(ctx)
	if err != nil {
		return nil, 0, 0, err
	}
	defer done()
	err = r.db.View(ctx, func(tx *store.Tx) error {
		out, looked, others = nil, 0, 0
		list, _, err := r.out.Messages(ctx, tx, outbox.Filter{Limit: limit}, "")
		if err != nil {
			return err
		}
		for _, brief := range list {
			if brief.Mapping == "" {
				continue
			}
			d, err := r.out.Message(ctx, tx, brief.ID)
			if err != nil {
				return err
			}
			compare(d.Mapping, d.Kind, d.Message, r.references(tx, d.Message))
		}
		came, err := r.in.Messages(ctx, tx, inbox.Filter{Limit: limit})
		if err != nil {
			return err
		}
		for _, brief := range came {
			if brief.Mapping == "" || brief.Role == message.Void {
				continue
			}
			m, err := r.in.Message(ctx, tx, brief.Seq)
			if err != nil {
				return err
			}
			compare(m.Mapping, "", m.Message, r.in.References(tx, m.Link))
		}
		return nil
	})
	return out, looked, others, err
}

// reading has what came in read by the contracts of the links, as a running plant reads it.
func (r *records) reading(ctx context.Context) (context.Context, func(), error) {
	links, err := openLinks(r.cfg.onlyLooking(), slog.New(slog.DiscardHandler))
	w := &workshop{cfg: r.cfg, links: links}
	if err != nil {
		w.close()
		return ctx, nil, err
	}
	return mapping.Reading(ctx, documentsOf(links)), w.close, nil
}

// references are the ERP's numbers that are known of what a message names.
func (r *records) references(tx *store.Tx, m message.Message) mapping.Resolver {
	return func(ctx context.Context, object string) (string, bool, error) {
		return r.out.Reference(ctx, tx, m.Link, object)
	}
}

func printEffects(w io.Writer, changes []mapping.Change, effects []mapping.Effect, looked, others int) error {
	for _, c := range changes {
		fmt.Fprintf(w, "%s: %s → %s\n", c.Name, hashOf(c.Before), hashOf(c.After))
	}
	printDifferences(w, effects)
	if len(changes) == 0 {
		return sentence(w, "no mapping differs")
	}
	if looked == 0 {
		return sentence(w, "none of the %s that are recorded is mapped by what differs, so that this proves nothing", count(others, "message", "messages"))
	}
	return sentence(w, "%d of %s would be mapped differently; %d more are mapped by what is the same in both", len(effects), count(looked, "message", "messages"), others)
}

func printDifferences(w io.Writer, effects []mapping.Effect) {
	for _, e := range effects {
		fmt.Fprintf(w, "%s %s\n", e.Kind, e.Message)
		for _, d := range e.Differences {
			fmt.Fprintf(w, "  %s\n    - %s\n    + %s\n", d.At, orDash(d.Want), orDash(d.Got))
		}
	}
}

// hashOf is the hash in a mapping's version.
func hashOf(v string) string {
	_, hash, ok := strings.Cut(v, "@")
	if !ok {
		return "none"
	}
	return hash
}
