package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/message"
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

// prove writes the statements of all messages that the filter chooses, and proofs that the audit record held those by keys that count no more.
func (r *records) prove(ctx context.Context, w io.Writer, f outbox.Filter) error {
	ended, err := r.ended(ctx)
	if err != nil {
		return err
	}
	var vouch prove.Voucher
	err = r.eachMessage(ctx, f, func(m message.Message) error {
		if err := prove.Write(w, m); err != nil {
			return err
		}
		if until, is := ended.of(m); is {
			vouch.Want(m, until)
		}
		return nil
	})
	if err != nil {
		return err
	}
	return r.db.View(ctx, func(tx *store.Tx) error { return vouch.Write(ctx, tx, w) })
}

// eachMessage calls fn with every message that the filter chooses.
func (r *records) eachMessage(ctx context.Context, f outbox.Filter, fn func(message.Message) error) error {
	f.Bare = true
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
			if err := fn(d.Message); err != nil {
				return err
			}
		}
		if cursor == "" {
			return nil
		}
	}
}

// ends are the keys that count no more, and until when each did.
type ends map[seal.KeyID]time.Time

// ended reads them.
func (r *records) ended(ctx context.Context) (ends, error) {
	var keys []seal.Archived
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		keys, err = archive(ctx, tx)
		return err
	})
	ended, now := ends{}, r.db.Now()
	for _, k := range keys {
		if now.After(k.End()) {
			ended[k.Key] = k.End()
		}
	}
	return ended, err
}

// of tells of a message whether it was signed by one of them, and until when that counted.
func (e ends) of(m message.Message) (end time.Time, is bool) {
	if m.Origin != nil {
		end, is = e[m.Origin.Key]
	}
	return end, is
}

// vouched are the lanes with messages by keys that count no more, as prove writes them, for receivers to whom these messages are still to come:
// those that are owed, and those of the last while, which may wait in a broker.
func (r *records) vouched(ctx context.Context, last time.Duration) ([]byte, error) {
	ended, err := r.ended(ctx)
	if err != nil || len(ended) == 0 { // mostly, and the rest reads all that is owed
		return nil, err
	}
	lanes := map[[2]string]outbox.Filter{}
	note := func(m message.Message) error {
		if _, is := ended.of(m); is && (last == 0 || !m.Origin.At.Before(r.db.Now().Add(-last))) {
			lanes[[2]string{m.Link, m.Lane}] = outbox.Filter{Link: m.Link, Lane: m.Lane, OldestFirst: true, Limit: 10_000}
		}
		return nil
	}
	if err := r.eachMessage(ctx, outbox.Filter{Owed: last == 0, OldestFirst: true, Limit: 10_000}, note); err != nil {
		return nil, err
	}
	var text bytes.Buffer
	for _, f := range lanes {
		if err := r.prove(ctx, &text, f); err != nil && problem.KindOf(err) != problem.Conflict { // of a lane that is not all signed
			return nil, err
		}
	}
	return text.Bytes(), nil
}

// verifying is what verify is told.
type verifying struct {
	keys     string
	anchors  []string
	received string
	whole    bool
	asJSON   bool
}

func newVerify() *cobra.Command {
	var v verifying
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check what holdfast msg prove has printed, with public keys alone",
		Long: "Check each signature, and that the messages of each lane follow one another without a gap, from the first to the last that is there.\n" +
			"Of a lane whose first messages are not in the file it says from which number on that holds: the plant has purged them for their age, or\n" +
			"somebody has cut them off. With --whole such a file fails.\n" +
			"What was signed by a key whose certificate has ended, or that was revoked, counts only with a proof in the file that the plant's audit\n" +
			"record held it before, under a checkpoint that a key of today or Vault's anchor has signed: whoever has stolen an old key can write any\n" +
			"time into a signature. It needs neither configuration, database nor network. FILE - is standard input.",
		Example: "  holdfast verify o1.proof --keys plant-1000.keys.json\n  holdfast verify o1.proof --keys plant-1000.keys.json --received 2026-11-27T06:00:00Z",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lanes, err := v.verify(cmd.InOrStdin(), args[0])
			if err != nil {
				return err
			}
			if v.asJSON {
				return printJSON(cmd.OutOrStdout(), lanes)
			}
			for _, l := range lanes {
				from := ""
				if !l.Begins {
					from = fmt.Sprintf(" from number %d of epoch %d on, and nothing says what was before;", l.First, l.Epoch)
				}
				fmt.Fprintf(cmd.OutOrStdout(), "lane %s of link %s:%s numbers %d to %d are whole and signed, %d of them void; head %s\n", l.Lane, l.Link, from, l.First, l.Last, l.Voids, l.Head)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&v.keys, "keys", "", "file that holdfast keys export has printed (required)")
	cmd.Flags().StringArrayVar(&v.anchors, "anchor", nil, "public key of Vault's anchor, as holdfast audit keys prints it; may be given again")
	cmd.Flags().StringVar(&v.received, "received", "", "since when you have had the file, as 2006-01-02T15:04:05Z: keys are judged as of then (default now)")
	cmd.Flags().BoolVar(&v.whole, "whole", false, "fail unless each lane begins with its first message")
	jsonFlag(cmd, &v.asJSON)
	if err := cmd.MarkFlagRequired("keys"); err != nil {
		panic(err) // the flag is defined a few lines above
	}
	return cmd
}

// verify checks a file of statements by a file of keys. A file without statements proves nothing, and is refused.
func (v verifying) verify(stdin io.Reader, file string) ([]prove.Lane, error) {
	by, err := v.by()
	if err != nil {
		return nil, err
	}
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return nil, unread(file, err)
		}
		defer f.Close()
		stdin = f
	}
	lanes, err := prove.Read(stdin, by)
	if err == nil && len(lanes) == 0 {
		return nil, &problem.Error{Kind: problem.NotFound, What: "check " + file, Why: "there is no message in it", Hint: "print it anew: holdfast msg prove"}
	}
	for _, l := range lanes {
		if v.whole {
			err = errors.Join(err, l.Whole())
		}
	}
	return lanes, err
}

// by is what decides whose word counts.
func (v verifying) by() (prove.Keys, error) {
	by := prove.Keys{At: time.Now()}
	text, err := os.ReadFile(v.keys)
	if err != nil {
		return by, unread(v.keys, err)
	}
	b, err := seal.ParseBundle(text)
	if err != nil {
		return by, err
	}
	by.Trust = b.Trust()
	for _, a := range v.anchors {
		name, _, _ := strings.Cut(a, "+")
		k, err := seal.ParseNoteKey(name, a)
		if err != nil {
			return by, err
		}
		by.Anchors = append(by.Anchors, k)
	}
	if v.received != "" {
		if by.At, err = time.Parse(time.RFC3339, v.received); err != nil || by.At.After(time.Now()) {
			return by, &problem.Error{
				Kind: problem.Invalid, What: "read --received " + v.received, Why: "it is no time, or none that has been", Hint: "write it as 2026-11-27T06:00:00Z", Cause: err,
			}
		}
	}
	return by, nil
}

// unread is why a file that the caller has named is not read.
func unread(file string, err error) error {
	return &problem.Error{Kind: problem.NotFound, What: "read " + file, Why: why(err), Hint: "name the file that was printed"}
}
