package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

func newAudit() *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "See who did what, and prove that nobody has altered the record of it",
		Long: "Each act of a person and each event of its keys is an entry of a record that only grows: a Merkle tree, whose checkpoints the node\n" +
			"signs every minute and also writes outside the database. Who changes, removes or puts in an entry behind Holdfast is found out.",
	}
	cmd.AddCommand(auditList(), auditVerify(), auditProve(), auditExport(), auditKeys())
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
}

func entryViewOf(e audit.Entry) entryView {
	return entryView{e.Seq, e.At, e.Actor, e.From, e.Action, e.Object, e.Reason, string(e.Before), string(e.After), e.Outcome}
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
		rows = append(rows, fmt.Sprintf("%d\t%s\t%s\t%s\t%s\t%s\t%s", e.Seq, e.At.Format(time.RFC3339), orDash(e.Actor), e.Action, orDash(e.Object), e.Outcome, orDash(e.Reason)))
	}
	if err := table(w, "NUMBER\tAT\tACTOR\tACTION\tOBJECT\tOUTCOME\tREASON", rows); err != nil || len(list) < limit {
		return err
	}
	return andMore(w, len(list))
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

// verification is what audit verify is told.
type verification struct {
	checkpoints  []string // files or folders
	export       string
	proof        string
	keys         string
	anchors      []string
	asJSON       bool
	outsideFound int
}

func auditVerify() *cobra.Command {
	var v verification
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the whole record against its checkpoints, inside and outside the database",
		Long: "Check every entry, its place, the hashes over it and every checkpoint with its signatures, and hold all of it against the checkpoints\n" +
			"that were written outside the database (audit.checkpoints). It changes nothing. It exits with 8 if anything is not as it was sealed,\n" +
			"and names the entry.\n\n" +
			"--export and --proof check a file of holdfast audit export or holdfast audit prove instead, with nothing but --keys, a file of\n" +
			"holdfast keys export. Give --checkpoints copies that the machine of the database could not write to: they are what counts.",
		Example: "  holdfast audit verify\n  holdfast audit verify --checkpoints /mnt/auditor/audit\n  holdfast audit verify --export audit.jsonl --keys plant-1000.keys.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case v.proof != "":
				return v.verifyProof(cmd)
			case v.export != "":
				return v.verifyExport(cmd)
			default:
				return v.verifyRecord(cmd)
			}
		},
	}
	jsonFlag(cmd, &v.asJSON)
	cmd.Flags().StringArrayVar(&v.checkpoints, "checkpoints", nil, "file or folder with checkpoints from outside the database, instead of audit.checkpoints; may be given again")
	cmd.Flags().StringVar(&v.export, "export", "", "check this file of holdfast audit export instead of the database")
	cmd.Flags().StringVar(&v.proof, "proof", "", "check this file of holdfast audit prove instead of the database")
	cmd.Flags().StringVar(&v.keys, "keys", "", "file of holdfast keys export that tells whose signatures count, instead of asking the keyring")
	cmd.Flags().StringArrayVar(&v.anchors, "anchor", nil, "public key of Vault's anchor, as holdfast audit keys prints it; may be given again")
	cmd.MarkFlagsMutuallyExclusive("export", "proof")
	return cmd
}

// outside reads the checkpoints to compare with.
func (v *verification) outside(paths []string, must bool) ([]audit.Checkpoint, error) {
	var all []audit.Checkpoint
	for _, p := range paths {
		some, _, err := audit.ReadCopies(p)
		if problem.KindOf(err) == problem.NotFound && !must {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	v.outsideFound = len(all)
	return all, nil
}

// fromFiles is what checks signatures by the files that were named; nil without any.
func (v *verification) fromFiles(origin string) (audit.Signatures, error) {
	if v.keys == "" {
		return nil, nil
	}
	text, err := os.ReadFile(v.keys)
	if err != nil {
		return nil, &problem.Error{Kind: problem.NotFound, What: "read the keys " + v.keys, Why: why(err), Hint: "make the file with: holdfast keys export"}
	}
	b, err := seal.ParseBundle(text)
	if err != nil {
		return nil, err
	}
	anchors, err := v.anchorKeys(origin)
	return notes(origin, b, anchors), err
}

func (v *verification) anchorKeys(origin string) ([]ed25519.PublicKey, error) {
	keys := make([]ed25519.PublicKey, 0, len(v.anchors))
	for _, a := range v.anchors {
		k, err := seal.ParseNoteKey(seal.AnchorName(origin), a)
		if err != nil {
			return nil, err
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (v *verification) verifyRecord(cmd *cobra.Command) error {
	return with(cmd, func(ctx context.Context, r *records) error {
		paths, origin := v.checkpoints, r.cfg.auditOrigin()
		if paths == nil && r.cfg.Audit.Checkpoints != "" {
			paths = []string{r.cfg.Audit.Checkpoints}
		}
		outside, err := v.outside(paths, v.checkpoints != nil)
		if err != nil {
			return err
		}
		by, err := v.fromFiles(origin)
		if err == nil && by == nil {
			by = v.fromKeyring(ctx, cmd.ErrOrStderr(), r)
		}
		if err != nil {
			return err
		}
		var report audit.Report
		err = r.db.View(ctx, func(tx *store.Tx) (err error) {
			report, err = audit.Verify(ctx, tx, origin, outside, by)
			return err
		})
		if err != nil {
			return err
		}
		return v.print(cmd.OutOrStdout(), report, r.db.Now())
	})
}

// fromKeyring asks the plant's own keyring. Where that does not answer, signatures are left unchecked, which is said.
func (v *verification) fromKeyring(ctx context.Context, w io.Writer, r *records) audit.Signatures {
	if r.cfg.Keys.Kind == "" {
		return nil
	}
	origin := r.cfg.auditOrigin()
	b, k, err := r.bundle(ctx)
	anchors, aerr := anchorsOf(ctx, k)
	if given, gerr := v.anchorKeys(origin); len(given) > 0 || gerr != nil {
		anchors, aerr = given, gerr
	}
	for _, e := range []error{err, aerr} {
		if e != nil {
			fmt.Fprintf(w, "holdfast: signatures are not all checked: %v\n", e)
		}
	}
	if err != nil {
		return nil
	}
	return notes(origin, b, anchors)
}

func (v *verification) verifyExport(cmd *cobra.Command) error {
	f, err := os.Open(v.export)
	if err != nil {
		return &problem.Error{Kind: problem.NotFound, What: "read " + v.export, Why: why(err), Hint: "make the file with: holdfast audit export"}
	}
	defer f.Close()
	outside, err := v.outside(v.checkpoints, true)
	if err != nil {
		return err
	}
	origin, err := audit.ExportOrigin(f)
	if err != nil {
		return err
	}
	by, err := v.fromFiles(origin)
	if err != nil {
		return err
	}
	report, err := audit.VerifyExport(f, origin, outside, by)
	if err != nil {
		return err
	}
	return v.print(cmd.OutOrStdout(), report, time.Now())
}

func (v *verification) verifyProof(cmd *cobra.Command) error {
	text, err := os.ReadFile(v.proof)
	if err != nil {
		return &problem.Error{Kind: problem.NotFound, What: "read " + v.proof, Why: why(err), Hint: "make the file with: holdfast audit prove NUMBER"}
	}
	p, err := audit.CheckProof(string(text))
	if err != nil {
		return err
	}
	by, err := v.fromFiles(p.Checkpoint.Origin)
	if err != nil {
		return err
	}
	if by == nil {
		return &problem.Error{
			Kind: problem.Invalid, What: "check " + v.proof, Why: "there are no keys to check its checkpoint with", Hint: "name a file of holdfast keys export with --keys",
		}
	}
	signers, wrong, err := p.Checkpoint.Check(by)
	if err == nil && len(signers) == 0 {
		err = errors.Join(append([]error{&problem.Error{
			Kind: problem.Integrity, What: "check " + v.proof, Why: "nobody whose key is known has signed its checkpoint", Hint: "use the keys of the plant that it is of",
		}}, wrong...)...)
	}
	if err != nil {
		return err
	}
	w := cmd.OutOrStdout()
	if v.asJSON {
		return printJSON(w, map[string]any{"entry": entryViewOf(p.Entry), "place": p.Place, "signed_by": signers, "checkpoint_at": p.Checkpoint.At, "origin": p.Checkpoint.Origin})
	}
	if err := printEntries(w, []audit.Entry{p.Entry}, 2); err != nil {
		return err
	}
	return sentence(w, "it is in the record of %s, and was there at %s: signed by %v", p.Checkpoint.Origin, p.Checkpoint.At.Format(time.RFC3339), signers)
}

func (v *verification) print(w io.Writer, r audit.Report, now time.Time) error {
	if v.asJSON {
		return errors.Join(printJSON(w, r), r.Err())
	}
	fmt.Fprintf(w, "%s in the tree, %d waiting for the next checkpoint\n", count(r.Entries, "entry", "entries"), r.Waiting)
	last := "there is none"
	if !r.Last.IsZero() {
		last = fmt.Sprintf("the last one covers %s and is %s old", count(r.Covered, "entry", "entries"), ago(now, r.Last))
	}
	fmt.Fprintf(w, "%s inside, %d from outside; %s\n", count(r.Checkpoints, "checkpoint", "checkpoints"), r.Outside, last)
	fmt.Fprintf(w, "signatures: %d of nodes, %d of the anchor, %d not checked, %d of revoked keys; %s not signed\n",
		r.Signed, r.Anchored, r.Unchecked, r.Revoked, count(r.Unsigned, "checkpoint", "checkpoints"))
	for _, x := range r.Wrong {
		fmt.Fprintf(w, "WRONG: %s\n", x.What)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "… and %d more\n", r.More)
	}
	if err := r.Err(); err != nil {
		return err
	}
	fmt.Fprintln(w, "nothing is wrong: the record is what was sealed")
	if v.outsideFound == 0 {
		return sentence(w, "there are no checkpoints from outside the database: a record that was cut or written anew as a whole would not be noticed")
	}
	return nil
}
