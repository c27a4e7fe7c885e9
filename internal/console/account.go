package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// accountView is what somebody sees of their own account.
type accountView struct {
	Own      bool // it is an account of the plant, which has passkeys
	Fresh    bool // a second factor was shown just now: the ways in can be changed
	Passkeys []access.Passkey
	Takes    bool      // the plant takes passkeys
	Badges   bool      // and badges, of such people
	Badge    time.Time // when theirs was set; zero: they have none
}

// hasAccounts tells whether there is anything that people change of their own account.
func (c *Console) hasAccounts() bool { return c.Passkeys != nil || c.Badges != nil }

// accountRoutes are what people do with their own account, as far as the plant has it.
func (c *Console) accountRoutes(get, post func(path, action string, s show) route) (all []route) {
	if c.hasAccounts() {
		all = append(all, get("account", access.PasskeyAdd, c.account))
	}
	if c.Passkeys != nil {
		all = append(
			all, post("account/passkeys/begin", access.PasskeyAdd, c.invitePasskey), post("account/passkeys", access.PasskeyAdd, c.addPasskey),
			post("account/passkeys/{id}/remove", access.PasskeyRemove, c.removePasskey),
		)
	}
	if c.Badges != nil {
		all = append(all, post("account/badge", access.BadgeSet, c.setBadge), post("account/badge/remove", access.BadgeRemove, c.removeBadge))
	}
	return all
}

// account answers GET /console/account.
func (c *Console) account(r *http.Request) (*page, error) {
	by := actorOf(r.Context())
	v := accountView{Own: strings.HasPrefix(by.Name, "user:"), Fresh: c.DB.Now().Sub(by.Factor) <= access.FreshFactor, Takes: c.Passkeys != nil}
	v.Badges = c.Badges != nil && !v.Own
	err := c.view(r.Context(), func(tx *store.Tx) (err error) {
		if v.Passkeys, err = c.Passkeys.List(r.Context(), tx, by); err == nil && v.Badges {
			v.Badge, err = c.Badges.Since(r.Context(), tx, by)
		}
		return err
	})
	return &page{name: "account", Title: "Your account", Body: v}, err
}

// begun is what a page's script hands to the authenticators, or why it cannot.
func (c *Console) begun(r *http.Request, options json.RawMessage, err error) (*page, error) {
	if err != nil {
		told := c.told(r, err)
		if options, err = json.Marshal(map[string]string{"trouble": told.What + ": " + told.Why + ". " + told.Hint}); err != nil {
			return nil, fmt.Errorf("write what went wrong: %w", err)
		}
	}
	return &page{raw: options, kind: "application/json"}, nil
}

// askPasskey answers POST /console/sign-in/passkey/begin.
func (c *Console) askPasskey(r *http.Request) (*page, error) {
	options, err := c.Passkeys.Ask(r)
	return c.begun(r, options, err)
}

// byPasskey lets in whoever shows a passkey.
func (c *Console) byPasskey(r *http.Request) (*page, error) {
	err := c.Passkeys.SignIn(r, r.PostFormValue("answer"))
	if err == nil {
		return &page{to: back(r.FormValue("back"))}, nil
	}
	return c.notIn(r, c.signInForm(r.FormValue("back"), false), err)
}

// invitePasskey answers POST /console/account/passkeys/begin.
func (c *Console) invitePasskey(r *http.Request) (*page, error) {
	options, err := c.Passkeys.Invite(r, actorOf(r.Context()))
	return c.begun(r, options, err)
}

// addPasskey answers POST /console/account/passkeys.
func (c *Console) addPasskey(r *http.Request) (*page, error) {
	by := actorOf(r.Context())
	made, bad := c.Passkeys.Made(r, by, r.PostFormValue("label"), r.PostFormValue("answer"))
	return c.changedAccount(r, "add-passkey", c.act(r, deed{access.PasskeyAdd, userOf(by), ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		if bad != nil {
			return change{}, bad
		}
		k, err := c.Passkeys.Add(ctx, tx, made)
		return change{after: k}, err
	}))
}

// removePasskey answers POST /console/account/passkeys/{id}/remove.
func (c *Console) removePasskey(r *http.Request) (*page, error) {
	by, id := actorOf(r.Context()), r.PathValue("id")
	return c.changedAccount(r, "", c.act(r, deed{access.PasskeyRemove, userOf(by), ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		return change{before: map[string]string{"passkey": id}}, c.Passkeys.Remove(ctx, tx, by, id)
	}))
}

// setBadge answers POST /console/account/badge. Its form has no key: what is kept of a key would tell of a PIN, and set twice it is the same.
func (c *Console) setBadge(r *http.Request) (*page, error) {
	by := actorOf(r.Context())
	n, bad := c.Badges.Prepare(r.Context(), by, r.PostFormValue("badge"), r.PostFormValue("pin"))
	if bad == nil && r.PostFormValue("pin") != r.PostFormValue("again") {
		bad = &problem.Error{Kind: problem.Invalid, What: "set a badge", Why: "the PIN was typed in two ways", Hint: "type it again"}
	}
	delete(r.PostForm, "key")
	return c.changedAccount(r, "set-badge", c.act(r, deed{access.BadgeSet, userOf(by), ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		if bad != nil {
			return change{}, bad
		}
		return change{}, c.Badges.Set(ctx, tx, n)
	}))
}

// removeBadge answers POST /console/account/badge/remove.
func (c *Console) removeBadge(r *http.Request) (*page, error) {
	by := actorOf(r.Context())
	return c.changedAccount(r, "", c.act(r, deed{access.BadgeRemove, userOf(by), ""}, func(ctx context.Context, tx *store.Tx) (change, error) {
		return change{}, c.Badges.Remove(ctx, tx, by)
	}))
}

// floorSignIn is the form for badge and PIN.
type floorSignIn struct{ Terminal, Back string }

func (c *Console) floorPage(r *http.Request) *page {
	to := back(r.FormValue("back"))
	if to == Root {
		to = Root + "shopfloor"
	}
	return &page{name: "floor", Title: "Shop floor", Floor: true, Body: floorSignIn{c.Badges.Terminal(r), to}}
}

// floorForm answers GET /console/floor.
func (c *Console) floorForm(r *http.Request) (*page, error) { return c.floorPage(r), nil }

// byBadge lets in whoever shows badge and PIN.
func (c *Console) byBadge(r *http.Request) (*page, error) {
	p := c.floorPage(r)
	if err := c.Badges.SignIn(r, r.PostFormValue("badge"), r.PostFormValue("pin")); err != nil {
		return c.notIn(r, p, err)
	}
	return &page{to: p.Body.(floorSignIn).Back}, nil
}

func userOf(by access.Actor) string { return "user/" + strings.TrimPrefix(by.Name, "user:") }

// changedAccount leads back to the page, or shows it with what its act met.
func (c *Console) changedAccount(r *http.Request, did string, err error) (*page, error) {
	if err == nil {
		return &page{to: Root + "account?did=" + did}, nil
	}
	if problem.KindOf(err) == problem.Internal {
		return nil, err
	}
	p, again := c.account(r)
	return c.again(r, p, errOr(err, again))
}
