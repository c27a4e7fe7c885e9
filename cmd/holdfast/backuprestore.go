package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/backup"
	"holdfast/internal/job"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

func backupRestore() *cobra.Command {
	var o chosen
	var database, from, trust string
	var asJSON bool
	cmd := &cobra.Command{
		Use: "restore FOLDER [BACKUP]", Short: "Make a plant of a copy, in a new folder", Args: cobra.RangeArgs(1, 2),
		Long: "Restore unpacks a copy (by default the newest, from the place that reaches furthest) into a folder that has nothing: configuration,\n" +
			"mappings, keyring and database. A plant on\n" +
			"PostgreSQL is restored into the empty database that --database names.\n\n" +
			"Nothing is sent twice unseen: what was owed when the copy was made is asked for before it is sent, and what is new is counted in a new\n" +
			"epoch. What the plant did after the copy is not in it, and holdfast reconcile does not find it: that asks the ERP for what the plant knows to\n" +
			"have reported. Compare the ERP's documents since the copy with the shop floor's papers. Where the machine is new there is no\n" +
			"configuration yet: --from names the folder that has the copies, and --identity the key that opens them.",
		Example: "  holdfast backup restore /srv/new\n  holdfast backup restore /srv/new --from /mnt/backups --identity recovery.key",
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			url, err := restoredURL(ctx, database)
			if err != nil {
				return err
			}
			id := ""
			if len(args) == 2 {
				id = args[1]
			}
			p, t, err := restoreFrom(ctx, cmd, o, from, trust, id)
			if err != nil {
				return err
			}
			if t.Reaches, err = instant("reaches", o.reaches); err != nil {
				return err
			}
			t.Increments, t.Settle = o.increments.most, func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(access.EndSessions(ctx, tx), job.Restored(ctx, tx))
			}
			folder, err := filepath.Abs(args[0])
			if err != nil {
				return fmt.Errorf("find the folder %s: %w", args[0], err)
			}
			t.Seeds = warnOfSeeds(cmd.ErrOrStderr(), t.Seeds)
			var end func()
			t.Progress, end = bytesOf(cmd.ErrOrStderr(), "fetching")
			got, err := backup.Restore(ctx, p, id, folder, url, t)
			end()
			if err != nil {
				return err
			}
			if asJSON {
				return errors.Join(printJSON(cmd.OutOrStdout(), got), ownFiles(got, url), got.Broken, got.Shut)
			}
			return errors.Join(tellRestored(cmd.OutOrStdout(), got), ownFiles(got, url), got.Broken, got.Shut)
		},
	}
	o.flags(cmd)
	jsonFlag(cmd, &asJSON)
	cmd.Flags().StringVar(&database, "database", "", "an empty PostgreSQL database, for a plant that was on one: env:NAME or file:PATH of its URL, or a URL without a password")
	cmd.Flags().StringVar(&trust, "trust", "", "file that holdfast keys export has written, by which the copy's signature is checked; with --from")
	cmd.Flags().StringVar(&from, "from", "", "folder that has the copies, where there is no configuration")
	return cmd
}

// restoreFrom finds the copies by the configuration, or without one in a folder.
func restoreFrom(ctx context.Context, cmd *cobra.Command, o chosen, from, trust, id string) (backup.Place, backup.Trial, error) {
	if from != "" {
		if o.identity == "" {
			return nil, backup.Trial{}, &problem.Error{Kind: problem.Invalid, What: "restore from " + from, Why: "no key is given", Hint: "name it with --identity"}
		}
		key, err := Config{}.backupKey(ctx, o.identity)
		if err != nil {
			return nil, backup.Trial{}, err
		}
		t := backup.Trial{Key: key, Actor: Config{}.localActor().Name, Work: os.TempDir(), Now: time.Now, Lanes: Config{}.lanesOf(), Seeds: Config{}.seedsIn}
		if err := givenAnchor(&t, o.anchors); err != nil {
			return nil, t, err
		}
		if trust == "" { // bytes, rows and the record's tree are compared nevertheless
			fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: WARNING: nobody checks who has signed the copy; whoever could write to %s could have made it. "+
				"--trust FILE checks it, by what holdfast keys export has written\n", from)
			return backup.Folder(from), t, nil
		}
		t.TrustBy, err = trustFile(trust)
		return backup.Folder(from), t, err
	}
	cfg, err := configOf(cmd)
	if err != nil {
		return nil, backup.Trial{}, err
	}
	if err := cfg.keyringThere(ctx); err != nil {
		return nil, backup.Trial{}, err
	}
	places, err := cfg.backupPlaces(ctx)
	if err != nil {
		return nil, backup.Trial{}, err
	}
	p, err := o.pick(places)
	if err != nil {
		return nil, backup.Trial{}, err
	}
	if o.place == "" && len(places) > 1 {
		p = furthest(ctx, cmd, places, id, p)
	}
	t, err := cfg.backupTrial(ctx, nil, o)
	return p, t, err
}

// furthest is the place that lost least, and says which: one may lag behind another, or have lost its last increments. It is last where none can be read.
func furthest(ctx context.Context, cmd *cobra.Command, places []backup.Place, id string, last backup.Place) backup.Place {
	p, through, unread := backup.Furthest(ctx, places, id)
	if unread != nil {
		fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: WARNING: not every place could be looked at, and one may reach further: %v\n", unread)
	}
	if p == nil {
		return last
	}
	fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: %s reaches furthest, up to %s; --place names another\n", p, through.Local().Format("2006-01-02 15:04:05 MST"))
	return p
}

// trustFile trusts the roots in a file of holdfast keys export, and the keys of the plant that they have certified since.
func trustFile(file string) (func(ctx context.Context, restored *store.DB) (backup.Trust, error), error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, &problem.Error{Kind: problem.NotFound, What: "read " + file, Why: why(err), Hint: "give the file that holdfast keys export has written"}
	}
	b, err := seal.ParseBundle(text)
	if err != nil {
		return nil, err
	}
	return func(ctx context.Context, restored *store.DB) (backup.Trust, error) {
		err := restored.View(ctx, func(tx *store.Tx) (err error) {
			b.Keys, err = archive(ctx, tx)
			return err
		})
		return b.Trust(), err
	}, nil
}

// restoredURL reads --database. Arguments can be read by everybody on the machine, so that none may have a password.
func restoredURL(ctx context.Context, database string) (string, error) {
	if kind, _, _ := strings.Cut(database, ":"); kind == "env" || kind == "file" {
		return Config{}.secret(ctx, database)
	}
	u, err := url.Parse(database)
	if err != nil { // its words may repeat the URL
		return "", &problem.Error{Kind: problem.Invalid, What: "read --database", Why: "it is no URL", Hint: "write env:NAME or file:PATH, where the URL is"}
	}
	if _, has := u.User.Password(); has || u.Query().Has("password") {
		return "", &problem.Error{
			Kind: problem.Invalid, What: "read --database", Why: "it has a password, which everybody on this machine can read in the list of processes",
			Hint: "change that password, and write env:NAME or file:PATH, where the URL is",
		}
	}
	return database, nil
}

// restoredTrust is backupTrust by the keyring that the configuration names, which is not the one in the copy: a copy must not vouch for itself.
func (c Config) restoredTrust(ctx context.Context, db *store.DB) (backup.Trust, error) {
	by, err := c.backupTrust(ctx, db)
	return by, c.noKeyring(err)
}

// keyringThere refuses to restore without the keyring on this machine: the MACs of the audit record in the copy could not be read, and it would look altered.
func (c Config) keyringThere(ctx context.Context) error {
	if c.Keys.Kind != keysLocal {
		return nil
	}
	k, err := c.openKeyring(ctx, time.Now, slog.New(slog.DiscardHandler))
	if err == nil {
		_, _, err = k.Roots(ctx)
	}
	return c.noKeyring(err)
}

// noKeyring says what else can be done where the keyring is missing; other errors stay as they are.
func (c Config) noKeyring(err error) error {
	if problem.KindOf(err) != problem.NotFound {
		return err
	}
	return &problem.Error{
		Kind: problem.NotFound, What: "check who has signed the backup", Why: "the plant's keyring is not there (keys of " + c.file + "): " + err.Error(),
		Hint: "put it back, or restore without it, since a copy has it: --from FOLDER --identity FILE, and --trust FILE with what holdfast keys export has written; without that, whoever could write to the folder could have made the copy",
	}
}

// ownFiles refuses to be content with a configuration that was restored and leads to another database than the one that was, or elsewhere for its mappings or keys.
func ownFiles(r backup.Restored, url string) error {
	file := filepath.Join(r.Folder, r.ConfigFile())
	cfg, err := loadConfig(file)
	if err != nil {
		return err
	}
	own := "sqlite:" + filepath.Join(r.Folder, r.DatabaseFile())
	if r.Dialect != string(store.SQLite) {
		own = url
	}
	var errs []error
	if there, err := cfg.databaseURL(context.Background()); err != nil || there != own {
		errs = append(errs, &problem.Error{
			Kind: problem.Conflict, What: "make " + file + " ready", Why: "its database.url leads to another database than the one that was restored",
			Hint: "write the restored one there before anything is started: a plant that begins with another one would count its messages anew",
		})
	}
	all := cfg.backupFiles()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		at := filepath.Join(r.Folder, filepath.FromSlash(name))
		if _, err := os.Stat(at); err != nil || all[name] == at || all[name] == cfg.Audit.Checkpoints {
			continue // the checkpoints outside the database may well lie elsewhere
		}
		errs = append(errs, &problem.Error{
			Kind: problem.Conflict, What: "make " + file + " ready", Why: fmt.Sprintf("it leads to %s, and what was copied of that is in %s", all[name], at),
			Hint: "write " + name + " there before anything is started, or put the files where it leads",
		})
	}
	return errors.Join(errs...)
}

// wholeLanes is the line that says how many lanes are whole; those that are not are told as what is wrong.
func wholeLanes(r backup.Restored) string {
	if r.Broken != nil {
		return count(r.WholeLanes, "lane is", "lanes are") + " whole, and others are NOT: they are named below\n"
	}
	return count(r.WholeLanes, "lane is", "lanes are") + " whole: no number is missing, and each message follows the one before it\n"
}

// lackingOf is Config.lacking of the configuration that was restored; ownFiles tells if it cannot be read.
func lackingOf(r backup.Restored) string {
	cfg, err := loadConfig(filepath.Join(r.Folder, r.ConfigFile()))
	if err != nil || cfg.Backup == nil {
		return ""
	}
	return cfg.lacking()
}

// notInCopy says what a person has to do again of what was done after the copy, before the first start: what was owed goes out as it was then.
func notInCopy(r backup.Restored) string {
	file := filepath.Join(r.Folder, r.ConfigFile())
	return "what people and the plant did after that moment is not in it either, and holdfast reconcile does not find it. A message that was discarded, edited or put off since is owed as it\n" +
		"was before, and goes out unless the ERP has it; what was paused since goes on. Where that may be, before the first start: holdfast link pause LINK --reason TEXT --config " + file + ",\n" +
		"do it again by what you have of it (SIEM, papers), then holdfast link resume. And compare the ERP's documents since then with the shop floor's papers\n"
}

// whenSent says from when on something of what was owed can go out, by the configuration that was restored; "" where nothing was owed, or no link asks.
func whenSent(r backup.Restored) string {
	cfg, err := loadConfig(filepath.Join(r.Folder, r.ConfigFile()))
	if err != nil || r.Doubtful == 0 { // ownFiles tells the error
		return ""
	}
	var links []string
	for _, name := range slices.Sorted(maps.Keys(cfg.Links)) {
		if ask := cfg.patience(name); ask > 0 {
			links = append(links, name+" "+short(ask))
		}
	}
	if len(links) == 0 {
		return ""
	}
	return "what the ERP does not have goes out once ask_after of its link has passed since it was first asked for (" + strings.Join(links, ", ") + "); until then status says IN DOUBT\n"
}

func tellRestored(w io.Writer, r backup.Restored) error {
	file := filepath.Join(r.Folder, r.ConfigFile())
	signed := "its signature was not checked"
	if r.Signer != "" {
		signed = "signed by " + r.Signer
	}
	signed += andAnchor(r.Anchor)
	_, err := fmt.Fprintf(w, "backup %s of %s%s is restored into %s: %s, %s, %s\n"+
		"%sit took %s\n%s owed then; each is asked for before it is sent. New messages begin an epoch of their own.\n%s"+
		"every session has ended. What was changed of tokens, accounts, passkeys and badges after %s is not in it, and nobody can know it: what was revoked, disabled or used up\n"+
		"since counts again. Before the first start look at: holdfast access token list, holdfast access user list, both with --config %s\n"+
		"%s%s"+
		"next: look at %s, then holdfast doctor --config %s\n", r.ID, r.Made.Local().Format("2006-01-02 15:04:05 MST"), advanced(r.Increments, r.Through), r.Folder,
		count(int64(len(r.Tables)), "table", "tables"), count(int64(len(r.Parts)), "file", "files"), signed, wholeLanes(r), short(time.Duration(r.Took*float64(time.Second))), count(r.Doubtful, "message was", "messages were"), whenSent(r), r.Through.Local().Format("2006-01-02 15:04:05 MST"), file, notInCopy(r), lackingOf(r), file, file)
	return err
}
