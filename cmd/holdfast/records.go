package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/inbox"
	"holdfast/internal/job"
	"holdfast/internal/mes"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/token"
)

// records is what a command on this machine works with: the database of a configuration, whether serve runs or not.
type records struct {
	cfg  Config
	db   *store.DB
	out  *outbox.Outbox
	in   *inbox.Inbox
	doer *access.Doer
	jobs *job.Jobs

	plant *mes.Plant

	tokens *token.Tokens

	pen *pen // nil: nobody is there to sign
}

// openRecords opens the database as it is: it makes none and changes no schema.
func openRecords(ctx context.Context, cfg Config) (*records, error) {
	if path, ok := strings.CutPrefix(cfg.Database.URL, "sqlite:"); ok {
		if _, err := os.Stat(path); err != nil {
			if gone := cfg.refuseBeginning(ctx, slog.New(slog.DiscardHandler)); gone != nil {
				return nil, gone
			}
			return nil, &problem.Error{
				Kind: problem.NotFound, What: "open the database " + path, Why: why(err),
				Hint: "it is made by: holdfast serve --config " + cfg.file + ", or holdfast migrate up --config " + cfg.file,
			}
		}
	}
	db, err := openDatabase(ctx, cfg, store.Config{NoMigrate: true})
	if err != nil {
		return nil, err
	}
	f := &floors{cfg: cfg, log: slog.New(slog.DiscardHandler), db: db}
	cfg.sealLazily(db)
	f.join()
	return &records{cfg: cfg, db: db, out: f.outbox, in: f.inbox, doer: f.doer, jobs: f.jobs, plant: f.plant, tokens: f.tokens}, nil
}

// with opens the records of a command's configuration, has fn work on them, and closes them.
func with(cmd *cobra.Command, fn func(ctx context.Context, r *records) error) error {
	if c := calledFrom(cmd.Context()); c != nil {
		return fn(cmd.Context(), c.records())
	}
	cfg, err := configOf(cmd)
	if err != nil {
		return err
	}
	r, err := openRecords(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	if err := r.current(cmd.Context()); err != nil {
		return errors.Join(err, r.db.Close())
	}
	r.pen = penOf(cmd)
	return errors.Join(fn(cmd.Context(), r), r.db.Close())
}

// current refuses a database whose schema this program does not know, or is ahead of.
func (r *records) current(ctx context.Context) error {
	at, err := r.db.Begun(ctx)
	if err == nil && at.IsZero() {
		err = r.cfg.refuseBeginning(ctx, slog.New(slog.DiscardHandler))
	}
	if err != nil {
		return err
	}
	steps, err := r.db.Migrations(ctx)
	if err != nil {
		return err
	}
	for _, s := range steps {
		if s.Applied.IsZero() {
			return &problem.Error{
				Kind: problem.Conflict, What: "work on " + r.db.String(), Why: "its schema is older than this program: step " + s.Name + " is missing",
				Hint: "bring it up to date with: holdfast migrate up --config " + r.cfg.file,
			}
		}
	}
	return nil
}

// act does one act in the name of the person at this machine, with its entry in the audit record.
func (r *records) act(ctx context.Context, action, object, reason string, fn func(ctx context.Context, tx *store.Tx) error) error {
	_, err := r.do(ctx, access.Act{Action: action, Actor: r.cfg.localActor(), Object: object, Link: linkOf(object), Reason: reason},
		func(ctx context.Context, tx *store.Tx) (access.Result, error) { return access.Result{}, fn(ctx, tx) })
	return err
}

// localActor is whoever calls the program, with the rights that access.shell gives to the account. Whose account access.people knows has
// the name that the console calls them by, so that the record has one name for one person.
func (c Config) localActor() access.Actor {
	if c.by != nil {
		return *c.by
	}
	id := strconv.Itoa(os.Getuid())
	name := "uid-" + id
	if u, err := user.LookupId(id); err == nil { // user.Current believes $USER where the system's list does not have the number
		name = u.Username
	}
	by := access.Actor{Name: "local:" + name, Rights: access.Everything()}
	if c.Access != nil && c.Access.Shell != nil {
		by.Rights = access.Rights{Roles: c.Access.Shell[name]}
	}
	if c.Access != nil && c.Access.People[name] != "" {
		by.Name = c.Access.People[name]
		if !strings.Contains(by.Name, ":") { // oidc: or ad: of who is known elsewhere
			by.Name = "user:" + by.Name
		}
	}
	return by
}

// linkOf is the link that an object is named with; "" where it is named by itself.
func linkOf(object string) string {
	sort, rest, _ := strings.Cut(object, "/")
	if sort != "link" && sort != "lane" {
		return ""
	}
	link, _, _ := strings.Cut(rest, "/")
	return link
}

// reasonFlag is --reason, of every command that changes something.
func reasonFlag(cmd *cobra.Command, reason *string) {
	cmd.Flags().StringVar(reason, "reason", "", "why; kept in the audit record (required)")
	if err := cmd.MarkFlagRequired("reason"); err != nil {
		panic(err)
	}
}

func printJSON(w io.Writer, v any) error {
	if p, ok := w.(*captured); ok {
		p.of(v)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

// ago is how long ago a time was, as a person says it; "-" for no time.
func ago(now, t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := now.Sub(t)
	switch {
	case d < 0:
		return "in " + short(-d)
	default:
		return short(d)
	}
}

func short(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%02dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// orDash is a cell that is never empty.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return strings.Join(strings.Fields(s), " ")
}
