package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

func msgProve() *cobra.Command {
	f := outbox.Filter{OldestFirst: true, Limit: 10_000}
	cmd := &cobra.Command{
		Use:   "prove",
		Short: "Print what was signed of messages, for those who check that nothing is missing or altered",
		Long: "Print what each message says of itself, with its signature, a line each: attributes, place in its lane, predecessor and the SHA-256 of\n" +
			"its data, without the data. holdfast verify checks it, on whatever machine, with the plant's public keys alone.",
		Example: "  holdfast msg prove --link erp --lane o1 > o1.proof",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error { return r.prove(ctx, cmd.OutOrStdout(), f) })
		},
	}
	cmd.Flags().StringVar(&f.Link, "link", "", "only messages to this link")
	cmd.Flags().StringVar(&f.Lane, "lane", "", "only messages of this lane")
	return cmd
}

// prove writes the statements of all messages that the filter chooses, a page at a time.
func (r *records) prove(ctx context.Context, w io.Writer, f outbox.Filter) error {
	for cursor := ""; ; {
		var list []outbox.Detail
		err := r.db.View(ctx, func(tx *store.Tx) (err error) {
			list, cursor, err = r.out.Messages(ctx, tx, f, cursor)
			return err
		})
		if err != nil {
			return err
		}
		for _, d := range list {
			if err := prove.Write(w, d.Message); err != nil {
				return err
			}
		}
		if cursor == "" {
			return nil
		}
	}
}

func newVerify() *cobra.Command {
	var keys string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check what holdfast msg prove has printed, with public keys alone",
		Long: "Check each signature, and that the messages of each lane follow one another without a gap, from the first to the last that is there.\n" +
			"It needs neither configuration, database nor network. FILE - is standard input.",
		Example: "  holdfast verify o1.proof --keys plant-1000.keys.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lanes, err := verify(cmd.InOrStdin(), args[0], keys)
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(cmd.OutOrStdout(), lanes)
			}
			for _, l := range lanes {
				fmt.Fprintf(cmd.OutOrStdout(), "lane %s of link %s: numbers %d to %d are whole and signed, %d of them void; head %s\n", l.Lane, l.Link, l.First, l.Last, l.Voids, l.Head)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&keys, "keys", "", "file that holdfast keys export has printed (required)")
	jsonFlag(cmd, &asJSON)
	if err := cmd.MarkFlagRequired("keys"); err != nil {
		panic(err) // the flag is defined two lines above
	}
	return cmd
}

// verify checks a file of statements by a file of keys. A file without statements proves nothing, and is refused.
func verify(stdin io.Reader, file, keys string) ([]prove.Lane, error) {
	text, err := os.ReadFile(keys) //nolint:gosec // the caller names it
	if err != nil {
		return nil, unread(keys, err)
	}
	b, err := seal.ParseBundle(text)
	if err != nil {
		return nil, err
	}
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // the caller names it
		if err != nil {
			return nil, unread(file, err)
		}
		defer f.Close()
		stdin = f
	}
	trust := b.Trust()
	lanes, err := prove.Read(stdin, prove.NewWitness(func() (*seal.Trust, error) { return trust, nil }))
	if err == nil && len(lanes) == 0 {
		return nil, &problem.Error{Kind: problem.NotFound, What: "check " + file, Why: "there is no message in it", Hint: "print it anew: holdfast msg prove"}
	}
	return lanes, err
}

// unread is why a file that the caller has named is not read.
func unread(file string, err error) error {
	return &problem.Error{Kind: problem.NotFound, What: "read " + file, Why: why(err), Hint: "name the file that was printed"}
}
