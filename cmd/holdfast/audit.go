package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "See who did what, and prove that nobody has altered the record of it",
		Long: "Each act of a person and each event of its keys is an entry of a record that only grows: a Merkle tree, whose checkpoints the node\n" +
			"signs every minute and also writes outside the database. Who changes or removes an entry, or puts one in before others, behind Holdfast is\n" +
			"found out; docs/audit.md says what is not.",
	}
	cmd.AddCommand(auditList(), auditSearch(), auditVerify(), auditProve(), auditExport(), auditKeys())
	return cmd
}

func auditList() *cobra.Command {
	var f audit.Filter
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List who did what, the latest first",
		Example: "  holdfast audit list --action link.pause",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var list []audit.Entry
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					list, err = audit.List(ctx, tx, f)
					return err
				})
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), entryViews(list))
				}
				return printEntries(cmd.OutOrStdout(), list, f.Limit)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&f.Actor, "actor", "", "only what this one did, such as local:anna")
	cmd.Flags().StringVar(&f.Action, "action", "", "only this action, such as link.pause")
	cmd.Flags().StringVar(&f.Object, "object", "", "only what was done to this object, such as order/1000042; with a slash at the end to all of a sort")
	cmd.Flags().Int64Var(&f.Before, "before", 0, "only entries with a smaller number")
	cmd.Flags().IntVar(&f.Limit, "limit", 50, "the most entries to list")
	return cmd
}

// entryView is an entry as --json prints it.
type entryView struct {
	Seq     int64     `json:"number"`
	At      time.Time `json:"at"`
	Actor   string    `json:"actor"`
	From    string    `json:"from,omitempty"`
	Action  string    `json:"action"`
	Object  string    `json:"object"`
	Reason  string    `json:"reason,omitempty"`
	Before  string    `json:"before,omitempty"`
	After   string    `json:"after,omitempty"`
	Outcome string    `json:"outcome"`

	Signature json.RawMessage `json:"signature,omitempty"`
}

func entryViewOf(e audit.Entry) entryView {
	return entryView{e.Seq, e.At, e.Actor, e.From, e.Action, e.Object, e.Reason, string(e.Before), string(e.After), e.Outcome, json.RawMessage(e.Signature)}
}

func entryViews(list []audit.Entry) []entryView {
	views := make([]entryView, 0, len(list))
	for _, e := range list {
		views = append(views, entryViewOf(e))
	}
	return views
}

func printEntries(w io.Writer, list []audit.Entry, limit int) error {
	if len(list) == 0 {
		_, err := fmt.Fprintln(w, "no such entries")
		return err
	}
	rows := make([]string, 0, len(list))
	for _, e := range list {
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s\t%s", e.Seq, e.At.Format(time.RFC3339), orDash(e.Actor), e.Action, orDash(e.Object), e.Outcome, orDash(e.Reason)+meant(e)))
	}
	if err := table(w, "NUMBER\tAT\tACTOR\tACTION\tOBJECT\tOUTCOME\tREASON", rows); err != nil || len(list) < limit {
		return err
	}
	return andMore(w, len(list))
}

// meant is what whoever signed an entry meant by it.
func meant(e audit.Entry) string {
	s, err := e.Signed()
	switch {
	case err != nil:
		return " [its signature is not good]"
	case s == nil:
		return ""
	default:
		return " [signed: " + s.Meaning + "]"
	}
}

func auditProve() *cobra.Command {
	return &cobra.Command{
		Use:   "prove NUMBER",
		Short: "Print the proof that an entry is in the record, for somebody who has only the public keys",
		Long: "Print the proof that an entry is in the record: the entry, its place in the tree, the hashes from there to the root, and the first\n" +
			"checkpoint that covers it (c2sp.org/tlog-proof). It is checked anywhere with: holdfast audit verify --proof FILE --keys FILE.",
		Example: "  holdfast audit prove 4711 > 4711.tlog-proof",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := strconv.ParseInt(args[0], 10, 64)
			if err != nil || seq < 1 {
				return &problem.Error{Kind: problem.Invalid, What: "prove audit entry " + args[0], Why: "it is no number of an entry", Hint: "holdfast audit list shows the numbers"}
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				var proof string
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					proof, err = audit.Prove(ctx, tx, seq)
					return err
				})
				if err != nil {
					return err
				}
				_, err = io.WriteString(cmd.OutOrStdout(), proof)
				return err
			})
		},
	}
}

func auditExport() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "Print the whole record with its checkpoints, to be kept and checked elsewhere",
		Long: "Print every entry that has its place in the tree and every checkpoint, one JSON object a line. It is checked anywhere, without the\n" +
			"database, with: holdfast audit verify --export FILE --keys FILE.",
		Example: "  holdfast audit export > audit.jsonl",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				if err := r.act(ctx, access.AuditExport, "audit", "", func(context.Context, *store.Tx) error { return nil }); err != nil {
					return err
				}
				return audit.Export(ctx, r.db, r.cfg.auditOrigin(), cmd.OutOrStdout())
			})
		},
	}
}

func auditKeys() *cobra.Command {
	return &cobra.Command{
		Use:   "keys",
		Short: "Print the public keys of checkpoints as programs for signed notes read them",
		Long: "Print the public key of each node, and of Vault's anchor where there is one, in the form of Go's note package and of c2sp.org/signed-note:\n" +
			"one a line. What was revoked is not among them.",
		Example: "  holdfast audit keys > audit.vkeys",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				b, k, err := r.bundle(ctx)
				if err != nil {
					return err
				}
				anchors, err := anchorsOf(ctx, k)
				return errors.Join(printNoteKeys(cmd.OutOrStdout(), r.cfg.auditOrigin(), b, anchors), err)
			})
		},
	}
}

func printNoteKeys(w io.Writer, origin string, b seal.Bundle, anchors []ed25519.PublicKey) error {
	for _, k := range b.Keys {
		if !k.Revoked.IsZero() {
			continue
		}
		line, err := k.NoteKey(origin)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, line)
	}
	for _, a := range anchors {
		fmt.Fprintln(w, seal.NoteKey(seal.AnchorName(origin), a))
	}
	return nil
}

// anchorsOf are the keys of the anchor, of a keyring that has one.
func anchorsOf(ctx context.Context, k keyring) ([]ed25519.PublicKey, error) {
	v, ok := k.Keyring.(*seal.Vault)
	if !ok {
		return nil, nil
	}
	return v.Anchors(ctx)
}
