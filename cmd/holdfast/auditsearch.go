package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// searching is what audit search is asked for.
type searching struct {
	filter       audit.Filter
	since, until string
	asJSON       bool
}

// found is what audit search prints as JSON.
type found struct {
	Searched map[string]string `json:"searched"` // each filter with what it was; empty: the whole record
	Matched  int64             `json:"matched"`  // entries in all, on whatever page
	Next     int64             `json:"before,omitempty"`
	Entries  []entryView       `json:"entries"`
}

func auditSearch() *cobra.Command {
	var s searching
	cmd := &cobra.Command{
		Use:   "search [WORD…]",
		Short: "Find entries by person, action, object, time, outcome and words",
		Long: "Find entries, the latest first, and say how many there are in all. Words must all stand somewhere in the entry, also in what was before\n" +
			"and after, in upper or lower case. What --person, --action, --object, --since, --until and --outcome say must all be so.",
		Args:    cobra.ArbitraryArgs,
		Example: "  holdfast audit search --person anna --since 2026-11-01T00:00:00+01:00\n  holdfast audit search --outcome refused --object message/\n  holdfast audit search batch B-77",
		RunE: func(cmd *cobra.Command, words []string) error {
			s.filter.Text = strings.Join(words, " ")
			if err := s.read(); err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				var page []audit.Entry
				var matched int64
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					page, matched, err = audit.Search(ctx, tx, s.filter)
					return err
				})
				if err != nil {
					return err
				}
				return s.print(cmd, page, matched)
			})
		},
	}
	jsonFlag(cmd, &s.asJSON)
	f := cmd.Flags()
	f.StringVar(&s.filter.Person, "person", "", "only what this person did: user:anna, or anna for whatever list of names she is in")
	f.StringVar(&s.filter.Action, "action", "", "only this action, such as link.pause")
	f.StringVar(&s.filter.Object, "object", "", "only what was done to this object, such as order/1000042; with a slash at the end to all of a sort")
	f.StringVar(&s.since, "since", "", "only from this time on, with its zone, such as 2026-11-24T06:00:00+01:00")
	f.StringVar(&s.until, "until", "", "only before this time, with its zone")
	f.StringVar(&s.filter.Outcome, "outcome", "", "only acts that were "+audit.Done+", or that were "+audit.Refused)
	f.Int64Var(&s.filter.Before, "before", 0, "the next page: only entries with a smaller number")
	f.IntVar(&s.filter.Limit, "limit", 50, "the most entries of a page")
	return cmd
}

// read checks what the flags say.
func (s *searching) read() (err error) {
	if s.filter.Since, err = instant("since", s.since); err != nil {
		return err
	}
	if s.filter.Until, err = instant("until", s.until); err != nil {
		return err
	}
	why := ""
	switch f := s.filter; {
	case f.Outcome != "" && f.Outcome != audit.Done && f.Outcome != audit.Refused:
		why = fmt.Sprintf("--outcome is %s or %s", audit.Done, audit.Refused)
	case f.Limit < 1 || f.Limit > 10000:
		why = "--limit is from 1 to 10000"
	case !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until):
		why = "--since is not before --until, so that nothing can match"
	default:
		return nil
	}
	return &problem.Error{Kind: problem.Invalid, What: "search the audit record", Why: why, Hint: "holdfast audit search --help shows examples"}
}

// asked are the filters in words, in the order of the flags.
func (s *searching) asked() (names, values []string) {
	for _, f := range [][2]string{
		{"words", s.filter.Text},
		{"person", s.filter.Person},
		{"action", s.filter.Action},
		{"object", s.filter.Object},
		{"since", s.since},
		{"until", s.until},
		{"outcome", s.filter.Outcome},
	} {
		if f[1] != "" {
			names, values = append(names, f[0]), append(values, f[1])
		}
	}
	return names, values
}

func (s *searching) print(cmd *cobra.Command, page []audit.Entry, matched int64) error {
	next := int64(0)
	if len(page) == s.filter.Limit && int64(len(page)) < matched {
		next = page[len(page)-1].Seq
	}
	names, values := s.asked()
	if !s.asJSON {
		return s.printTable(cmd.OutOrStdout(), page, matched, next)
	}
	if as := cmd.Flags().Lookup("output").Value.String(); as == "ndjson" || as == "csv" {
		return printJSON(cmd.OutOrStdout(), entryViews(page))
	}
	out := found{Searched: map[string]string{}, Matched: matched, Next: next, Entries: entryViews(page)}
	for i, name := range names {
		out.Searched[name] = values[i]
	}
	return printJSON(cmd.OutOrStdout(), out)
}

func (s *searching) printTable(w io.Writer, page []audit.Entry, matched, next int64) error {
	if len(page) > 0 {
		if err := printEntries(w, page, len(page)+1); err != nil {
			return err
		}
	}
	names, values := s.asked()
	what := "the whole record"
	if len(names) > 0 {
		parts := make([]string, len(names))
		for i := range names {
			parts[i] = names[i] + " " + values[i]
		}
		what = "the record by " + strings.Join(parts, ", ")
	}
	if s.filter.Action == "" {
		what += " (the heads of lanes left out)"
	}
	if err := sentence(w, "searched %s: %d match, %d shown", what, matched, len(page)); err != nil || next == 0 {
		return err
	}
	return sentence(w, "… and more: the next page has --before %d", next)
}
