package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"holdfast/internal/access"
	"holdfast/internal/store"
)

func newAccess() *cobra.Command {
	cmd := &cobra.Command{
		Use: "access", Short: "See who may do what, give machines tokens and people accounts, take them back",
		Long: "Who calls the API says who it is, and may do what its roles permit, where holdfast.yaml has a section access (docs/access.md).\n" +
			"These commands print the roles, make and revoke the tokens that machines call with, and keep the accounts of people.",
	}
	cmd.AddCommand(accessRoles(), accessActions(), accessToken(), accessUser(), accessGlass())
	return cmd
}

func accessRoles() *cobra.Command {
	return &cobra.Command{
		Use: "roles", Short: "Print which role has which permission, as it is in force", Example: "  holdfast access roles", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			p, err := cfg.policyOrDefault()
			if err != nil {
				return err
			}
			return printRoles(cmd.OutOrStdout(), p, cfg.Access != nil)
		},
	}
}

// policyOrDefault is the policy, or the built-in one where the configuration has none yet.
func (c Config) policyOrDefault() (*access.Policy, error) {
	if p, err := c.policy(); p != nil || err != nil {
		return p, err
	}
	return access.NewPolicy(c.Plant.Number, nil, nil)
}

// printRoles prints a row for each permission: which role has it, on every link or on some, and which of its actions where not all.
func printRoles(w io.Writer, p *access.Policy, inForce bool) error {
	roles := p.Roles()
	rows := []string{}
	for _, permission := range permissions() {
		cells := []string{permission}
		for _, role := range roles {
			cells = append(cells, cellOf(p, role, permission))
		}
		rows = append(rows, strings.Join(cells, "\t"))
	}
	if err := table(w, "PERMISSION\t"+strings.Join(roles, "\t"), rows); err != nil || inForce {
		return err
	}
	return sentence(w, "holdfast.yaml has no section access: these are the built-in roles, and nobody is held to them yet")
}

func permissions() []string {
	var out []string
	for _, a := range access.Actions() {
		if !slices.Contains(out, a.Permission) {
			out = append(out, a.Permission)
		}
	}
	return out
}

func cellOf(p *access.Policy, role, permission string) string {
	may, some, all := 0, 0, 0
	for _, a := range access.Actions() {
		if a.Permission != permission {
			continue
		}
		all++
		r := access.Rights{Roles: []string{role}}
		if p.May(r, a.Name, "") {
			may++
		} else if p.MayOnSome(r, a.Name) {
			some++
		}
	}
	switch {
	case may == all:
		return "yes"
	case may+some == 0:
		return "-"
	case may+some < all:
		return "in part"
	default:
		return "some links"
	}
}

func accessActions() *cobra.Command {
	return &cobra.Command{
		Use: "actions", Short: "Print every action with the permission that it needs", Example: "  holdfast access actions", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rows := make([]string, 0, len(access.Actions()))
			for _, a := range access.Actions() {
				rows = append(rows, a.Name+"\t"+a.Permission+"\t"+a.Summary)
			}
			return table(cmd.OutOrStdout(), "ACTION\tPERMISSION\tWHAT IT DOES", rows)
		},
	}
}

func accessToken() *cobra.Command {
	cmd := &cobra.Command{Use: "token", Short: "Give machines tokens, list them, take them back"}
	cmd.AddCommand(tokenCreate(), tokenList(), tokenRevoke())
	return cmd
}

func tokenCreate() *cobra.Command {
	var roles, may, links []string
	var days int
	var reason string
	cmd := &cobra.Command{
		Use: "create NAME", Short: "Make a token and print it, this once",
		Long: "Make a token and print it, this once: only a hash of it is kept. Whoever has it may do what its roles and --may permit, on the links\n" +
			"of --link only if there are any. Two tokens of one name are good at the same time, so that one replaces the other without a gap.",
		Example: "  holdfast access token create terminal-7 --role operator --days 365 --reason 'terminal of line 7'",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				p, err := r.cfg.policyOrDefault()
				if err != nil {
					return err
				}
				t := access.Token{Name: args[0], Rights: access.Rights{Roles: roles, Links: links}}
				if len(may) > 0 {
					t.Rights.Own = []access.Grant{{May: may}}
				}
				shown := ""
				err = r.act(ctx, access.TokenCreate, "token/"+args[0], reason, func(ctx context.Context, tx *store.Tx) (err error) {
					t, shown, err = p.MakeToken(ctx, tx, r.cfg.localActor().Name, t, time.Duration(days)*24*time.Hour)
					return err
				})
				if err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: token %s of %s is good until %s; it is shown this once\n", t.ID, t.Name, t.Expires.Format(time.RFC3339))
				if r.cfg.Access == nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "holdfast: %s has no section access: nobody asks for tokens yet\n", r.cfg.file)
				}
				_, err = fmt.Fprintln(cmd.OutOrStdout(), shown)
				return err
			})
		},
	}
	cmd.Flags().StringArrayVar(&roles, "role", nil, "a role of holdfast access roles; may be given again")
	cmd.Flags().StringArrayVar(&may, "may", nil, "a permission or an action of holdfast access actions, besides the roles; may be given again")
	cmd.Flags().StringArrayVar(&links, "link", nil, "only on this link, or links of this pattern; may be given again")
	cmd.Flags().IntVar(&days, "days", 90, "how many days it is good for, 400 at most")
	reasonFlag(cmd, &reason)
	return cmd
}

func tokenList() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the tokens, the newest first", Example: "  holdfast access token list", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var list []access.Token
				err := r.db.View(ctx, func(tx *store.Tx) (err error) {
					list, err = access.Tokens(ctx, tx)
					return err
				})
				if err != nil {
					return err
				}
				if asJSON {
					return printJSON(cmd.OutOrStdout(), tokenViews(list, r.db.Now()))
				}
				return printTokens(cmd.OutOrStdout(), list, r.db.Now())
			})
		},
	}
	jsonFlag(cmd, &asJSON)
	return cmd
}

// tokenView is a token as --json prints it.
type tokenView struct {
	ID      string     `json:"id"`
	Name    string     `json:"name"`
	Good    bool       `json:"good"`
	Roles   []string   `json:"roles,omitempty"`
	May     []string   `json:"may,omitempty"`
	Links   []string   `json:"links,omitempty"`
	MadeBy  string     `json:"made_by"`
	MadeAt  time.Time  `json:"made_at"`
	Expires time.Time  `json:"expires_at"`
	Revoked *time.Time `json:"revoked_at,omitempty"`
	Used    *time.Time `json:"used_in_hour,omitempty"`
}

func tokenViews(list []access.Token, now time.Time) []tokenView {
	out := make([]tokenView, 0, len(list))
	for _, t := range list {
		v := tokenView{
			ID: t.ID, Name: t.Name, Good: t.Good(now), Roles: t.Rights.Roles, Links: t.Rights.Links, MadeBy: t.MadeBy, MadeAt: t.MadeAt, Expires: t.Expires,
			Revoked: some(t.Revoked), Used: some(t.Used),
		}
		for _, g := range t.Rights.Own {
			v.May = append(v.May, g.May...)
		}
		out = append(out, v)
	}
	return out
}

func printTokens(w io.Writer, list []access.Token, now time.Time) error {
	if len(list) == 0 {
		return sentence(w, "there are no tokens")
	}
	rows := make([]string, 0, len(list))
	for _, v := range tokenViews(list, now) {
		state := "good until " + v.Expires.Format(time.DateOnly)
		switch {
		case v.Revoked != nil:
			state = "revoked " + v.Revoked.Format(time.DateOnly)
		case !v.Good:
			state = "ended " + v.Expires.Format(time.DateOnly)
		}
		used := "never"
		if v.Used != nil {
			used = v.Used.Format(time.DateTime)
		}
		rows = append(rows, strings.Join([]string{v.ID, v.Name, state, orDash(strings.Join(slices.Concat(v.Roles, v.May), " ")), orDash(strings.Join(v.Links, " ")), used, v.MadeBy}, "\t"))
	}
	return table(w, "ID\tNAME\tSTATE\tMAY\tLINKS\tUSED IN HOUR OF\tMADE BY", rows)
}

func tokenRevoke() *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "revoke ID|NAME", Short: "Have a token, or every token of a name, count for nothing from its next call on", Example: "  holdfast access token revoke terminal-7 --reason 'stolen'",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return with(cmd, func(ctx context.Context, r *records) error {
				var n int64
				err := r.act(ctx, access.TokenRevoke, "token/"+args[0], reason, func(ctx context.Context, tx *store.Tx) (err error) {
					n, err = access.RevokeToken(ctx, tx, args[0])
					return err
				})
				if err != nil {
					return err
				}
				return sentence(cmd.OutOrStdout(), "%s no longer good: nobody calls with it", count(n, "token is", "tokens are"))
			})
		},
	}
	reasonFlag(cmd, &reason)
	return cmd
}
