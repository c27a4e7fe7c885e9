package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/backup"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

func newBackup() *cobra.Command {
	cmd := &cobra.Command{
		Use: "backup", Short: "Copy the plant while it works, prove the copies, and make a plant of one",
		Long: "A backup is a copy of one moment: database, configuration, mappings and keyring, encrypted to at least two keys, in every place that\n" +
			"backup.places names. It counts as good once it was fetched, opened and restored on trial.",
	}
	cmd.AddCommand(backupInit(), backupCreate(), backupList(), backupDue(), backupVerify(), backupRestore(), backupPrune())
	return cmd
}

func backupCreate() *cobra.Command {
	var reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "create", Short: "Make a copy and write it to every place", Args: cobra.NoArgs,
		Example: "  holdfast backup create --reason 'before the upgrade'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := (access.Act{Action: access.BackupCreate, Object: "backup", Reason: reason}).Check(); err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				by, err := r.cfg.backupSigner(ctx, r.db)
				if err != nil {
					return err
				}
				anchor, err := r.cfg.backupAnchor(ctx, r.db, cmd.ErrOrStderr())
				if err != nil {
					return err
				}
				places, err := r.cfg.backupPlaces(ctx)
				if err != nil {
					return err
				}
				tell, end := bytesOf(cmd.ErrOrStderr(), "writing")
				var in []string // the places that have it
				m, err := r.cfg.createBackup(ctx, r.db, by, anchor, places, nil, tell, func(place string) error {
					in = append(in, place)
					return nil
				})
				end()
				if len(in) == 0 {
					return err
				}
				if err != nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "backup %s is in %s alone\n", m.ID, strings.Join(in, ", "))
				}
				err = errors.Join(err, r.act(ctx, access.BackupCreate, "backup/"+m.ID, reason, func(context.Context, *store.Tx) error { return nil }))
				r.cfg.tellElsewhere(cmd.ErrOrStderr())
				if asJSON {
					return errors.Join(printJSON(cmd.OutOrStdout(), m), err)
				}
				if err == nil {
					fmt.Fprintf(cmd.OutOrStdout(), "backup %s is in %s: %s, %s owed\nprove it with: holdfast backup verify\n", m.ID,
						count(int64(len(r.cfg.Backup.Places)), "place", "places"), count(int64(len(m.Parts)), "file", "files"), count(m.State.Owed, "message was", "messages were"))
				}
				return err
			})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "a copy by command", "why; kept in the audit record")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// createBackup makes a copy for some places, signed by what is given. log, if there is one, follows it from then on.
func (c Config) createBackup(ctx context.Context, db *store.DB, by backup.Signer, anchor anchoring, to []backup.Place, log *backup.Log, tell func(done, of int64), written func(place string) error) (m backup.Manifest, err error) {
	o := backup.Options{Places: to, Log: log, Progress: tell, Written: written, Signer: by, Anchor: anchor}
	if o.Recipients, err = c.backupRecipients(ctx); err != nil {
		return m, err
	}
	return backup.Create(ctx, c.backupSource(db), o)
}

// backupSigner is the node's own key; nil where the plant has no keyring.
func (c Config) backupSigner(ctx context.Context, db *store.DB) (backup.Signer, error) {
	if c.Keys.Kind == "" {
		return nil, nil //nolint:nilnil // a plant without keys signs nothing
	}
	k, err := c.openKeyring(ctx, db.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	ring, err := c.openRing(ctx, db, k, nil, slog.New(slog.DiscardHandler))
	if err == nil {
		err = c.sealFor(ctx, db, ring)
	}
	if err != nil {
		return nil, err
	}
	return ring, nil
}

// backupTrust checks manifests by the keys of the plant's archive, if it has any.
func (c Config) backupTrust(ctx context.Context, db *store.DB) (backup.Trust, error) {
	if c.Keys.Kind == "" {
		return nil, nil //nolint:nilnil // as above
	}
	k, err := c.openKeyring(ctx, db.Now, slog.New(slog.DiscardHandler))
	if err != nil {
		return nil, err
	}
	roots, lists, err := k.Roots(ctx)
	if err != nil {
		return nil, err
	}
	var archived []seal.Archived
	if err := db.View(ctx, func(tx *store.Tx) (err error) {
		archived, err = archive(ctx, tx)
		return err
	}); err != nil {
		return nil, err
	}
	certificates := make([]seal.Certificate, len(archived))
	for i, a := range archived {
		certificates[i] = a.Certificate
	}
	return seal.NewTrust(roots, lists, certificates), nil
}

func backupList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the copies in every place, and which were proven", Args: cobra.NoArgs, Example: "  holdfast backup list",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			all, err := cfg.copies(cmd.Context(), nil)
			if asJSON {
				return errors.Join(err, printJSON(cmd.OutOrStdout(), all.copies), all.tellLag(cmd.ErrOrStderr()))
			}
			return errors.Join(err, printBackups(cmd.OutOrStdout(), all.copies, time.Now()), all.tellLag(cmd.OutOrStdout()))
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// listed are the copies of every place that can be read, those of one place the newest first, and how far each place reaches.
type listed struct {
	copies  []backup.Copy
	reaches []backup.Reach
	allowed time.Duration // backup.AllowedLag
	another []error       // of the places whose newest copy is of another database than one before it
}

// copies lists them, as far as by believes what is there; nil believes all. Its error is of the places that cannot be read.
func (c Config) copies(ctx context.Context, by backup.Trust) (listed, error) {
	all := listed{copies: []backup.Copy{}}
	places, err := c.backupPlaces(ctx)
	errs := []error{err}
	if err == nil {
		all.allowed = c.Backup.allowedLag()
	}
	for _, p := range places {
		here, err := backup.List(ctx, p, by)
		c.Backup.keep().Mark(here, time.Now().Unix())
		if another := backup.Another(here); another != nil {
			all.another = append(all.another, another)
		}
		if all.copies = append(all.copies, here...); err == nil {
			all.reaches = append(all.reaches, backup.ReachOf(p.String(), here))
		}
		errs = append(errs, err)
	}
	return all, errors.Join(errs...)
}

func (b BackupConfig) keep() backup.Keep {
	return backup.Keep{Count: b.Keep.Count, Days: b.Keep.Days}
}

func (b BackupConfig) allowedLag() time.Duration {
	return backup.AllowedLag(b.Every, b.Ship, b.Behind)
}

// tellLag names each place from which the plant could not be brought back as far as from another, and each whose newest copy is of another database.
func (l listed) tellLag(w io.Writer) error {
	behind, furthest := backup.Lagging(l.reaches, l.allowed)
	var errs []error
	for _, a := range l.another {
		_, err := fmt.Fprintf(w, "WARNING: %v\n", a)
		errs = append(errs, err)
	}
	for _, r := range behind {
		_, err := fmt.Fprintf(w, "WARNING: %s lags behind: %s\n", r.Place, r.Behind(furthest))
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func printBackups(w io.Writer, all []backup.Copy, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "there are no copies yet; make one with: holdfast backup create")
		return err
	}
	rows := make([]string, 0, len(all))
	for _, c := range all {
		proven := "not yet"
		if c.Proven != nil {
			proven = ago(now, c.Proven.At) + " ago, in " + short(time.Duration(c.Proven.Took*float64(time.Second)))
		}
		if c.Trouble != "" {
			proven = "damaged: " + c.Trouble
		}
		if c.Unfinished {
			proven = "unfinished: " + c.Trouble
		}
		if c.Removing {
			proven = "being removed: a removal was cut short, and the next one ends it (holdfast backup prune)"
		}
		age := "unknown"
		if at := cmp.Or(c.Through, c.Made); !at.IsZero() {
			age = ago(now, at)
		}
		rows = append(rows, strings.Join([]string{c.ID, age, fmt.Sprintf("%d KiB", (c.Size+1023)/1024), owed(c), c.Place, proven}, "\t"))
	}
	return table(w, "BACKUP\tAGE\tSIZE\tOWED\tPLACE\tPROVEN", rows)
}

// owed is what a copy owes with its increments, for a table.
func owed(c backup.Copy) string {
	if c.Owed == nil {
		return "-"
	}
	return strconv.FormatInt(*c.Owed, 10)
}

// chosen are the flags that name a copy and what opens it.
type chosen struct {
	place, identity string
	increments      upTo
	reaches         string
	anchors         []string
	tell            func(done, of int64) // how much of it was fetched; may be nil
}

func (o *chosen) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.place, "place", "", "where to take it from, as backup list names it; default: the last of backup.places; of a restore the one that reaches furthest")
	cmd.Flags().StringVar(&o.identity, "identity", "", "file of the key that opens it; default: backup.identity")
	cmd.Flags().StringArrayVar(&o.anchors, "anchor", nil, "public key of Vault's anchor, as holdfast audit keys prints it: a copy that it has not signed is refused, and increments that it has not; may be given again")
	cmd.Flags().StringVar(&o.reaches, "reaches", "", "the moment, with its zone, that the copy must reach with its increments, as you know it from elsewhere: one that ends before is refused")
	cmd.Flags().Var(&o.increments, "increments", "how many of the increments that follow it are restored with it; default: all")
}

// upTo is how many of something, at most; all where nobody has said.
type upTo struct{ most *int64 }

// String is pflag.Value.
func (u *upTo) String() string {
	if u.most == nil {
		return "all"
	}
	return strconv.FormatInt(*u.most, 10)
}

// Set is pflag.Value.
func (u *upTo) Set(text string) error {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 0 {
		return errors.New("it is no number from 0 on")
	}
	u.most = &n
	return nil
}

// Type is pflag.Value.
func (u *upTo) Type() string { return "int" }

// pick finds the place.
func (o *chosen) pick(places []backup.Place) (backup.Place, error) {
	names := make([]string, 0, len(places))
	for _, p := range places {
		if p.String() == o.place {
			return p, nil
		}
		names = append(names, p.String())
	}
	if o.place == "" && len(places) > 0 {
		return places[len(places)-1], nil // the one that is most likely elsewhere
	}
	return nil, &problem.Error{Kind: problem.NotFound, What: "find the place " + o.place, Why: "backup.places has none of this name", Hint: "the places are: " + strings.Join(names, ", ")}
}

func backupVerify() *cobra.Command {
	var o chosen
	var asJSON bool
	cmd := &cobra.Command{
		Use: "verify [BACKUP]", Short: "Fetch a copy, open and restore it on trial, and hold it against its manifest", Args: cobra.MaximumNArgs(1),
		Long: "Verify fetches a copy (by default the newest) from a place, checks every byte of it, opens it, restores it into a database for the trial,\n" +
			"compares rows, audit record and lanes with the manifest that was signed, and checks the numbers of every lane and the signature of every\n" +
			"message. Only then the copy counts as good.",
		Example: "  holdfast backup verify\n  holdfast backup verify --identity recovery.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var end func()
				o.tell, end = bytesOf(cmd.ErrOrStderr(), "fetching")
				proof, wrong := r.cfg.verifyBackup(ctx, r.db, strings.Join(args, ""), r.cfg.localActor().Name, o)
				end()
				wrong = errors.Join(wrong, r.tellLag(ctx, cmd.ErrOrStderr()))
				if proof.ID == "" {
					return wrong
				}
				if asJSON {
					return errors.Join(printJSON(cmd.OutOrStdout(), proof), wrong)
				}
				signed := "not signed"
				if proof.Signer != "" {
					signed = "signed by " + proof.Signer + andAnchor(proof.Anchor)
				}
				_, err := fmt.Fprintf(cmd.OutOrStdout(), "backup %s is whole: fetched from %s, opened by %s, %s%s, restored and compared in %s\n",
					proof.ID, proof.Place, proof.Opened, signed, advanced(proof.Increments, proof.Through), short(time.Duration(proof.Took*float64(time.Second))))
				return errors.Join(err, wrong)
			})
		},
	}
	o.flags(cmd)
	jsonFlag(cmd, &asJSON)
	return cmd
}

// tellLag says which places lag behind, by what the plant's keys have signed: that a copy is proven in one place is no word about another.
func (r *records) tellLag(ctx context.Context, w io.Writer) error {
	by, err := r.cfg.backupTrust(ctx, r.db)
	if err != nil {
		return err
	}
	all, err := r.cfg.copies(ctx, by)
	if err != nil { // a place that cannot be read is told, and keeps nobody from the proof of another
		fmt.Fprintf(w, "WARNING: not every place could be looked at: %v\n", err)
	}
	return all.tellLag(w)
}

// advanced tells how far a copy was brought by the increments that follow it.
func advanced(n int64, through time.Time) string {
	if n == 0 {
		return ""
	}
	return ", with " + count(n, "increment", "increments") + " up to " + through.Local().Format("2006-01-02 15:04:05 MST")
}

// verifyBackup proves a copy and records that, or that it failed.
func (c Config) verifyBackup(ctx context.Context, db *store.DB, id, actor string, o chosen) (backup.Proof, error) {
	places, err := c.backupPlaces(ctx)
	if err != nil {
		return backup.Proof{}, err
	}
	p, err := o.pick(places)
	if err != nil {
		return backup.Proof{}, err
	}
	t, err := c.backupTrial(ctx, db, o)
	if err != nil {
		return backup.Proof{}, err
	}
	t.Increments, t.Progress = o.increments.most, o.tell
	if t.Reaches, err = instant("reaches", o.reaches); err != nil {
		return backup.Proof{}, err
	}
	proof, err := backup.Verify(ctx, p, id, t)
	outcome := map[string]any{"place": p.String(), "seconds": proof.Took, "opened_by": t.Key.Name}
	e := audit.Entry{Actor: actor, Action: access.BackupVerify, Object: "backup/" + cmp.Or(proof.ID, id, "newest")}
	if err != nil {
		outcome["failed"], e.Outcome = err.Error(), audit.Refused
	}
	return proof, errors.Join(err, recordBackup(ctx, db, e, outcome))
}

// recordBackup has in the audit record what became of a copy.
func recordBackup(ctx context.Context, db *store.DB, e audit.Entry, outcome map[string]any) error {
	after, err := json.Marshal(outcome)
	if err != nil {
		return fmt.Errorf("record what became of a backup: %w", err)
	}
	e.After = after
	return db.InTx(ctx, func(tx *store.Tx) error { return audit.Append(ctx, tx, e) })
}

func (c Config) backupTrial(ctx context.Context, db *store.DB, o chosen) (t backup.Trial, err error) {
	t = backup.Trial{Origin: c.auditOrigin(), Work: c.backupWork(), Now: time.Now}
	if t.Key, err = c.backupKey(ctx, o.identity); err != nil {
		return t, err
	}
	if err := c.anchorTrial(ctx, &t, o.anchors); err != nil {
		return t, err
	}
	if t.URL, err = c.databaseURL(ctx); err != nil {
		return t, err
	}
	t.Lanes, t.Seeds = c.lanesOf(), c.seedsIn
	if db == nil { // it is to be restored
		t.Actor, t.TrustBy, t.Keys = c.localActor().Name, c.restoredTrust, c.sealLazily
		return t, nil
	}
	t.Now = db.Now
	if t.Trust, err = c.backupTrust(ctx, db); err != nil {
		return t, err
	}
	t.Signer, err = c.backupSigner(ctx, db)
	return t, err
}

func backupPrune() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "prune", Short: "Remove the copies that backup.keep does not ask for", Args: cobra.NoArgs,
		Long: "Prune removes old copies from every place. The newest that was proven always stays, and so does everything while none was. One that is damaged, or\n" +
			"has no manifest, stays too, and is named.",
		Example: "  holdfast backup prune --reason 'the disk is small'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := (access.Act{Action: access.BackupPrune, Object: "backup", Reason: reason}).Check(); err != nil {
				return err
			}
			return with(cmd, func(ctx context.Context, r *records) error {
				places, err := r.cfg.backupPlaces(ctx)
				if err != nil {
					return err
				}
				by, err := r.cfg.backupTrust(ctx, r.db)
				if err != nil {
					return err
				}
				for _, p := range places {
					gone, err := backup.Prune(ctx, p, r.cfg.Backup.keep(), by, func() int64 { return r.db.Now().Unix() })
					for _, id := range gone {
						fmt.Fprintf(cmd.OutOrStdout(), "removed %s from %s\n", id, p)
						err = errors.Join(err, r.act(ctx, access.BackupPrune, "backup/"+id, reason, func(context.Context, *store.Tx) error { return nil }))
					}
					if err = errors.Join(err, tellDamaged(ctx, cmd.ErrOrStderr(), p, by)); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// tellDamaged names the copies of a place that stay because nobody can tell what they are.
func tellDamaged(ctx context.Context, w io.Writer, p backup.Place, by backup.Trust) error {
	all, err := backup.List(ctx, p, by)
	for _, c := range all {
		if c.Trouble != "" {
			fmt.Fprintf(w, "holdfast: WARNING: %s of %s stays, and nothing can be restored of it: %s\n", c.ID, p, c.Trouble)
		}
	}
	return err
}
