package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// verification is what audit verify is told.
type verification struct {
	checkpoints []string // files or folders
	export      string
	proof       string
	keys        string
	anchors     []string
	unsigned    bool
	asJSON      bool
}

func auditVerify() *cobra.Command {
	var v verification
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check the whole record against its checkpoints, inside and outside the database",
		Long: "Check every entry, its place, the hashes over it and every checkpoint with its signatures, and hold all of it against the checkpoints\n" +
			"that were written outside the database (audit.checkpoints). It changes nothing. It exits with 1 if anything is not as it was sealed,\n" +
			"and names the entry.\n\n" +
			"--export and --proof check a file of holdfast audit export or holdfast audit prove instead, with nothing but --keys, a file of\n" +
			"holdfast keys export. Give --checkpoint copies that the machine of the database could not write to: they are what counts.",
		Example: "  holdfast audit verify\n  holdfast audit verify --checkpoint /mnt/auditor/audit\n  holdfast audit verify --export audit.jsonl --keys plant-1000.keys.json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			err := v.run(cmd)
			if problem.KindOf(err) != problem.Integrity {
				return err
			}
			printError(cmd.ErrOrStderr(), err)
			return exitError(notAsSealed)
		},
	}
	jsonFlag(cmd, &v.asJSON)
	cmd.Flags().StringArrayVar(&v.checkpoints, "checkpoint", nil, "file or folder with checkpoints from outside the database, instead of audit.checkpoints; may be given again")
	cmd.Flags().StringVar(&v.export, "export", "", "check this file of holdfast audit export instead of the database")
	cmd.Flags().StringVar(&v.proof, "proof", "", "check this file of holdfast audit prove instead of the database")
	cmd.Flags().StringVar(&v.keys, "keys", "", "file of holdfast keys export that tells whose signatures count, instead of asking the keyring")
	cmd.Flags().StringArrayVar(&v.anchors, "anchor", nil, "public key of Vault's anchor, as holdfast audit keys prints it; may be given again")
	cmd.Flags().BoolVar(&v.unsigned, "without-signatures", false, "check hashes and checkpoints alone where the keyring cannot be read: what somebody wrote anew and did not sign passes")
	cmd.MarkFlagsMutuallyExclusive("export", "proof")
	return cmd
}

// notAsSealed is the exit status of a check that has found something.
const notAsSealed = 1

// run checks what it is told to.
func (v *verification) run(cmd *cobra.Command) error {
	switch {
	case v.proof != "":
		return v.verifyProof(cmd)
	case v.export != "":
		return v.verifyExport(cmd)
	default:
		return v.verifyRecord(cmd)
	}
}

// outside reads the checkpoints to compare with, and tells what is wrong with how they were kept. Each path has some.
func outside(paths []string) (all []audit.Checkpoint, wrong []audit.Wrong, err error) {
	for _, p := range paths {
		some, spoiled, err := audit.ReadCopies(p)
		if err != nil {
			return nil, nil, err
		}
		for _, where := range spoiled {
			wrong = append(wrong, audit.Wrong{What: where + " holds no checkpoint, and no crash explains it: the copies outside were altered"})
		}
		if len(some)+len(spoiled) == 0 {
			return nil, nil, &problem.Error{
				Kind: problem.NotFound, What: "read checkpoints from " + p, Why: "there is none in it", Hint: "name the folder of audit.checkpoints, a copy of it, or a file with a checkpoint",
			}
		}
		all = append(all, some...)
	}
	return all, wrong, nil
}

// ownCopies are the checkpoints outside where the configuration has them kept. None is right only while the database has none either.
func ownCopies(folder string, inside int64) []audit.Wrong {
	if folder == "" || inside == 0 {
		return nil
	}
	return []audit.Wrong{{What: fmt.Sprintf("the database has %s, and %s, where each is written too, has none: name a copy with --checkpoint", count(inside, "checkpoint", "checkpoints"), folder)}}
}

// unvouched tells of checkpoints that the plant must have by its keys and has not. What a key that was revoked has signed need not count any more.
func (r *records) unvouched(ctx context.Context, report audit.Report) (wrong []audit.Wrong, err error) {
	if report.Checkpoints == 0 {
		return nil, nil // it is told already
	}
	err = r.db.View(ctx, func(tx *store.Tx) error {
		keys, err := archive(ctx, tx)
		keys = slices.DeleteFunc(keys, func(a seal.Archived) bool { return !a.Revoked.IsZero() })
		since := mustHaveSealed(keys, tx.Now)
		if !since.IsZero() && report.Last.Before(since.Add(-audit.Slack)) {
			wrong = append(wrong, audit.Wrong{What: "the plant has keys since " + since.Format(time.RFC3339) +
				", and no checkpoint since then has a good signature: they were removed, and the record after the last one may have been written anew"})
		}
		return err
	})
	return wrong, err
}

// fromFiles is what checks signatures by the keys that were named, those of an anchor alone too; nil without any.
func (v *verification) fromFiles(origin string) (audit.Signatures, error) {
	if v.keys == "" && len(v.anchors) == 0 {
		return nil, nil
	}
	var b seal.Bundle
	if v.keys != "" {
		text, err := os.ReadFile(v.keys)
		if err != nil {
			return nil, &problem.Error{Kind: problem.NotFound, What: "read the keys " + v.keys, Why: why(err), Hint: "make the file with: holdfast keys export"}
		}
		if b, err = seal.ParseBundle(text); err != nil {
			return nil, err
		}
	}
	anchors, err := anchorKeys(origin, v.anchors)
	if err != nil {
		return nil, err
	}
	return notes(origin, b, anchors), nil
}

// anchorKeys reads the keys of anchors as they are given.
func anchorKeys(origin string, given []string) ([]ed25519.PublicKey, error) {
	keys := make([]ed25519.PublicKey, 0, len(given))
	for _, a := range given {
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
		points, wrong, err := outside(paths)
		gone := v.checkpoints == nil && problem.KindOf(err) == problem.NotFound
		if err != nil && !gone {
			return err
		}
		by, err := v.fromFiles(origin)
		if err == nil && v.keys == "" && r.cfg.Keys.Kind != "" {
			by, err = v.fromKeyring(ctx, cmd.ErrOrStderr(), r)
		}
		if err != nil {
			return err
		}
		var report audit.Report
		err = r.db.View(ctx, func(tx *store.Tx) (err error) {
			if report, err = audit.Verify(ctx, tx, origin, points, by); err != nil {
				return err
			}
			if wrong, err = unguarded(ctx, tx, wrong); err != nil {
				return err
			}
			lost, err := prove.Held(ctx, tx, r.out, "", "")
			for _, l := range lost {
				wrong = append(wrong, audit.Wrong{Entry: l.Entry, What: fmt.Sprintf("number %d of lane %s of link %s: %s", l.Number, l.Lane, l.Link, l.What)})
			}
			return err
		})
		if err != nil {
			return err
		}
		if gone {
			wrong = append(wrong, ownCopies(r.cfg.Audit.Checkpoints, report.Checkpoints)...)
		}
		if by != nil && err == nil {
			var w []audit.Wrong
			w, err = r.unvouched(ctx, report)
			wrong = append(wrong, w...)
		}
		if err != nil {
			return err
		}
		report.Wrong = append(report.Wrong, wrong...)
		return v.print(cmd.OutOrStdout(), report, r.db.Now())
	})
}

// unguarded are these, and the database's guards that are gone.
func unguarded(ctx context.Context, tx *store.Tx, wrong []audit.Wrong) ([]audit.Wrong, error) {
	more, err := audit.Unguarded(ctx, tx)
	return append(wrong, more...), err
}

// fromKeyring asks the plant's own keyring. Where nothing tells whose signatures count, they are left unchecked only if that is asked for; those of an
// anchor that does not answer are, which is said.
func (v *verification) fromKeyring(ctx context.Context, w io.Writer, r *records) (audit.Signatures, error) {
	origin := r.cfg.auditOrigin()
	anchors, err := anchorKeys(origin, v.anchors)
	if err != nil {
		return nil, err
	}
	b, k, err := r.bundle(ctx)
	var aerr error
	if len(anchors) == 0 {
		anchors, aerr = anchorsOf(ctx, k)
	}
	if e := errors.Join(err, aerr); e != nil {
		fmt.Fprintf(w, "holdfast: signatures are not all checked: %v\n", e)
	}
	switch {
	case err == nil || len(v.anchors) > 0:
		return notes(origin, b, anchors), nil
	case v.unsigned:
		return nil, nil
	}
	return nil, &problem.Error{
		Kind: problem.Unavailable, What: "check the signatures of checkpoints", Why: "whose count cannot be read of the plant's keyring and database",
		Hint: "mend that, give --keys FILE, or check the hashes alone with --without-signatures", Cause: err,
	}
}

func (v *verification) verifyExport(cmd *cobra.Command) error {
	f, err := os.Open(v.export)
	if err != nil {
		return &problem.Error{Kind: problem.NotFound, What: "read " + v.export, Why: why(err), Hint: "make the file with: holdfast audit export"}
	}
	defer f.Close()
	points, wrong, err := outside(v.checkpoints)
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
	report, err := audit.VerifyExport(f, origin, points, by)
	if err != nil {
		return err
	}
	report.Wrong = append(report.Wrong, wrong...)
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
			Kind: problem.Invalid, What: "check " + v.proof, Why: "there are no keys to check its checkpoint with", Hint: "name a file of holdfast keys export with --keys, or a key with --anchor",
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
	if r.Unauthenticated > 0 {
		fmt.Fprintf(w, "MACs: of %s nothing but checkpoints vouches: from before entries had MACs, or their key is not at hand\n", count(r.Unauthenticated, "entry", "entries"))
	}
	for _, x := range r.Wrong {
		fmt.Fprintf(w, "WRONG: %s\n", x.What)
	}
	for _, x := range r.Doubtful {
		fmt.Fprintf(w, "DOUBTFUL: %s: a clock was put back, or somebody put it in\n", x.What)
	}
	if r.More > 0 {
		fmt.Fprintf(w, "… and %d more\n", r.More)
	}
	if err := r.Err(); err != nil {
		return err
	}
	fmt.Fprintln(w, "nothing is wrong: the record is what was sealed")
	if r.Outside == 0 {
		return sentence(w, "there are no checkpoints from outside the database: a record that was cut or written anew as a whole would not be noticed")
	}
	return nil
}
