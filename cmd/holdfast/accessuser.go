package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/store"
)

func accessUser() *cobra.Command {
	cmd := &cobra.Command{Use: "user", Short: "Give people accounts, change and end them"}
	cmd.AddCommand(userAdd(), userList(),
		userAct("password NAME", "Give a person another password, take their passkeys and badge away, and end their sessions", access.UserPassword, setPassword),
		userAct("totp NAME", "Give a person another second factor, and end their sessions", access.UserFactor, setFactor),
		userAct("disable NAME", "Let a person in no more, and end their sessions", access.UserDisable, func(ctx context.Context, u *access.Users, tx *store.Tx, c *userCall) error {
			return u.Disable(ctx, tx, c.name)
		}),
		userAct("enable NAME", "Let a person in again", access.UserEnable, func(ctx context.Context, u *access.Users, tx *store.Tx, c *userCall) error {
			return u.Enable(ctx, tx, c.name)
		}),
		userAct("sign-out NAME", "End every session of a person", access.UserSignOut, func(ctx context.Context, u *access.Users, tx *store.Tx, c *userCall) error {
			return u.SignOut(ctx, tx, c.name)
		}))
	return cmd
}

// accessGlass keeps the account for when nobody else gets in.
func accessGlass() *cobra.Command {
	cmd := &cobra.Command{
		Use: "break-glass", Short: "Keep an account for when nobody else gets in: sealed, and opened by two people for a time",
	}
	var length time.Duration
	open := userAct("open NAME", "Open a sealed account for a time, which somebody else has asked for", access.GlassOpen, func(ctx context.Context, u *access.Users, tx *store.Tx, c *userCall) error {
		return u.Open(ctx, tx, c.name, c.by, length)
	})
	open.Flags().DurationVar(&length, "for", time.Hour, "how long it is open, 4h at most")
	seal := userAct("seal NAME", "Seal an account, and end its sessions; nothing unseals it", access.GlassSeal, func(ctx context.Context, u *access.Users, tx *store.Tx, c *userCall) error {
		return u.Seal(ctx, tx, c.name)
	})
	ask := userAct("ask NAME", "Ask for a sealed account to be opened; somebody else opens it within an hour", access.GlassAsk,
		func(context.Context, *access.Users, *store.Tx, *userCall) error { return nil })
	for word, c := range map[string]*cobra.Command{"open": open, "seal": seal, "ask": ask} {
		c.Example = "  holdfast access break-glass " + word + " emergency --reason 'the directory is away and nobody has a code'"
	}
	cmd.AddCommand(seal, ask, open)
	return cmd
}

// userCall is one act on an account, with what is told of it once.
type userCall struct {
	name     string
	by       string // who does it
	password string // new, to be told
	hash     string // of it
	shown    *access.Shown
}

func setPassword(ctx context.Context, u *access.Users, tx *store.Tx, c *userCall) error {
	return u.SetPassword(ctx, tx, c.name, c.hash)
}

func setFactor(ctx context.Context, u *access.Users, tx *store.Tx, c *userCall) error {
	shown, err := u.SetFactor(ctx, tx, c.name)
	c.shown = &shown
	return err
}

func userAdd() *cobra.Command {
	var roles []string
	cmd := userAct("add NAME", "Give a person an account; its password, second factor and recovery codes are printed this once", access.UserAdd,
		func(ctx context.Context, u *access.Users, tx *store.Tx, c *userCall) error {
			shown, err := u.Add(ctx, tx, c.by, c.name, c.hash, roles)
			c.shown = &shown
			return err
		})
	cmd.Example = "  holdfast access user add anna.berg --role shift-lead --reason 'shift A'"
	cmd.Flags().StringArrayVar(&roles, "role", nil, "a role of holdfast access roles; may be given again (required)")
	if err := cmd.MarkFlagRequired("role"); err != nil {
		panic(err)
	}
	return cmd
}

// userAct is a command that does one act on an account and prints what is told of it once.
func userAct(use, summary, action string, do func(ctx context.Context, u *access.Users, tx *store.Tx, c *userCall) error) *cobra.Command {
	var reason string
	word, _, _ := strings.Cut(use, " ")
	cmd := &cobra.Command{
		Use: use, Short: summary, Example: "  holdfast access user " + word + " anna.berg --reason 'asked for by her lead'", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				p, err := r.cfg.policyOrDefault()
				if err != nil {
					return err
				}
				u, c := access.NewUsers(r.cfg.Plant.Number, p), &userCall{name: args[0], by: r.cfg.localActor().Name}
				if action == access.UserAdd || action == access.UserPassword {
					c.password = newPassword()
					if c.hash, err = u.Hash(ctx, c.password); err != nil {
						return err
					}
				}
				err = r.act(ctx, action, "user/"+args[0], reason, func(ctx context.Context, tx *store.Tx) error { return do(ctx, u, tx, c) })
				if err != nil {
					return err
				}
				return c.print(cmd.OutOrStdout())
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}

// newPassword is one that nobody guesses: 25 letters and digits, 129 bits.
func newPassword() string {
	s := strings.ToLower(rand.Text())
	return s[:5] + "-" + s[5:10] + "-" + s[10:15] + "-" + s[15:20] + "-" + s[20:]
}

func (c *userCall) print(w io.Writer) error {
	if c.password == "" && c.shown == nil {
		return sentence(w, "user %s: done", c.name)
	}
	fmt.Fprintf(w, "user %s; what follows is shown this once\n", c.name)
	if c.password != "" {
		fmt.Fprintf(w, "password: %s\n", c.password)
	}
	if c.shown != nil {
		fmt.Fprintf(w, "for the authenticator: %s\n", c.shown.OTPAuth)
		fmt.Fprintf(w, "the same, to be typed: %s\n", c.shown.Secret)
		fmt.Fprintf(w, "recovery codes, each good once: %s\n", strings.Join(c.shown.Recovery, " "))
	}
	return nil
}

// userView is an account as --json prints it.
type userView struct {
	Name       string     `json:"name"`
	Roles      []string   `json:"roles"`
	Disabled   *time.Time `json:"disabled_at,omitempty"`
	MadeBy     string     `json:"made_by"`
	MadeAt     time.Time  `json:"made_at"`
	PasswordAt time.Time  `json:"password_at"`
	Recovery   int        `json:"recovery_codes_left"`
}

func userList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the accounts of people", Example: "  holdfast access user list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				p, err := r.cfg.policyOrDefault()
				if err != nil {
					return err
				}
				var list []access.User
				err = r.db.View(ctx, func(tx *store.Tx) (err error) {
					if list, err = access.NewUsers(r.cfg.Plant.Number, p).List(ctx, tx); err != nil {
						return err
					}
					people, err := access.People(ctx, tx)
					list = append(list, r.cfg.peopleAsUsers(people)...)
					return err
				})
				if err != nil {
					return err
				}
				return printUsers(cmd.OutOrStdout(), list, asJSON)
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// peopleAsUsers are those who have signed in at a provider or by a directory, among the accounts, with the roles that their groups have now.
func (c Config) peopleAsUsers(people []access.Person) []access.User {
	out := make([]access.User, 0, len(people))
	for _, p := range people {
		u := access.User{Name: p.Name, MadeBy: p.Provider + " " + p.Subject, PasswordAt: p.Checked, MadeAt: p.MadeAt, Disabled: p.Disabled}
		if c.Access != nil {
			of := c.Access.OIDC[p.Provider].Roles
			if d := c.Access.Directory; d != nil && strings.HasPrefix(p.Name, "ad:") {
				of = d.Roles
			}
			for _, g := range p.Groups {
				u.Roles = append(u.Roles, of[g]...)
			}
		}
		out = append(out, u)
	}
	return out
}

func printUsers(w io.Writer, list []access.User, asJSON bool) error {
	views, rows := make([]userView, 0, len(list)), make([]string, 0, len(list))
	for _, u := range list {
		views = append(views, userView{u.Name, u.Roles, some(u.Disabled), u.MadeBy, u.MadeAt, u.PasswordAt, u.Recovery})
		state := "may sign in"
		if !u.Disabled.IsZero() {
			state = "disabled " + u.Disabled.Format(time.DateOnly)
		}
		rows = append(rows, fmt.Sprintf("%s\t%s\t%s\t%s\t%d\t%s", u.Name, state, strings.Join(u.Roles, " "), u.PasswordAt.Format(time.DateOnly), u.Recovery, u.MadeBy))
	}
	switch {
	case asJSON:
		return printJSON(w, views)
	case len(list) == 0:
		return sentence(w, "there are no accounts")
	default:
		return table(w, "NAME\tSTATE\tROLES\tPASSWORD OF\tRECOVERY CODES\tMADE BY", rows)
	}
}
