package console

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"

	"holdfast/internal/access"
	"holdfast/internal/problem"
)

// signingFields are what a signature is typed in; nothing keeps or shows them again.
func signingFields() []string { return []string{"meaning", "password", "code"} }

// mustSign is an act that its person has yet to sign.
type mustSign struct {
	deed
	error
}

// Unwrap gives why it was refused.
func (m mustSign) Unwrap() error { return m.error }

// toSign is err, with the act where signing it would help.
func toSign(d deed, err error) error {
	if _, ok := errors.AsType[access.Unsigned](err); !ok {
		return err
	}
	return mustSign{d, err}
}

// signView asks for a signature: it says what is signed, and keeps what was typed for the act.
type signView struct {
	Summary, Object, Reason string
	Meanings                []string
	Provider                bool // it is signed by signing in anew at the provider
	To                      string
	Fields                  [][2]string
}

// fieldsOf is what was typed in a form, but for what it was signed with.
func fieldsOf(r *http.Request) (all [][2]string) {
	for _, name := range slices.Sorted(maps.Keys(r.PostForm)) {
		for _, value := range r.PostForm[name] {
			if !slices.Contains(signingFields(), name) {
				all = append(all, [2]string{name, value})
			}
		}
	}
	return all
}

// signPage asks whoever has not signed an act, or not rightly, to do so; nil for any other error.
func (c *Console) signPage(r *http.Request, err error) *page {
	act, ok := errors.AsType[mustSign](err)
	if !ok {
		return nil
	}
	a, _ := access.Lookup(act.action)
	v := signView{
		Summary: a.Summary, Object: act.object, Reason: reasonOf(r, act.action), Meanings: access.Meanings(),
		Provider: strings.HasPrefix(actorOf(r.Context()).Name, "oidc:"), To: r.URL.RequestURI(),
	}
	v.Fields = fieldsOf(r)
	p := &page{name: "sign", Title: "Sign", Body: v, status: problem.Denied.HTTPStatus()}
	if r.PostFormValue("meaning") != "" {
		p.Trouble = c.told(r, act.error)
		p.status = p.Trouble.Kind.HTTPStatus()
	}
	return p
}
