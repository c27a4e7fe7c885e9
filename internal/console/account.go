package console

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"holdfast/internal/access"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// accountView is what somebody sees of their own account.
type accountView struct {
	Own      bool // it is an account of the plant, which has passkeys
	Fresh    bool // a second factor was shown just now: the ways in can be changed
	Passkeys []access.Passkey
}

// account answers GET /console/account.
func (c *Console) account(r *http.Request) (*page, error) {
	by := actorOf(r.Context())
	v := accountView{Own: strings.HasPrefix(by.Name, "user:"), Fresh: c.DB.Now().Sub(by.Factor) <= access.FreshFactor}
	err := c.view(r.Context(), func(tx *store.Tx) (err error) {
		v.Passkeys, err = c.Passkeys.List(r.Context(), tx, by)
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
