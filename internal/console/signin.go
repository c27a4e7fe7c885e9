package console

import (
	"net/http"
	"net/url"
	"strings"

	"holdfast/internal/problem"
)

// SignIn lets people in and out, for a plant that they sign in to. The Gate then knows them by their session.
type SignIn interface {
	SignIn(r *http.Request, name, password, code string) error // Unknown, TooMany: in words that tell a guesser nothing
	SignOut(r *http.Request, everywhere bool) error
}

// signIn shows the form, and lets in who fills it in rightly.
func (c *Console) signIn(r *http.Request) (*page, error) {
	p := &page{name: "signin", Title: "Sign in", Body: back(r.FormValue("back"))}
	if r.Method != http.MethodPost {
		return p, nil
	}
	err := c.SignIn.SignIn(r, r.PostFormValue("name"), r.PostFormValue("password"), r.PostFormValue("code"))
	switch problem.KindOf(err) {
	case "":
		return &page{to: back(r.FormValue("back"))}, nil
	case problem.Unknown, problem.TooMany:
		p.Trouble = c.told(r, err)
		p.status = p.Trouble.Kind.HTTPStatus()
		return p, nil
	default:
		return nil, err
	}
}

// signOut ends the session, or all of them.
func (c *Console) signOut(r *http.Request) (*page, error) {
	return &page{to: Root + "sign-in"}, c.SignIn.SignOut(r, r.PostFormValue("everywhere") != "")
}

// back is a page of the console to go to, the first one for any other address: a link must not lead from here to another site.
func back(to string) string {
	u, err := url.Parse(to)
	if err != nil || u.IsAbs() || u.Host != "" || !strings.HasPrefix(u.Path, Root) || strings.Contains(to, `\`) {
		return Root
	}
	return u.RequestURI()
}

// toSignIn leads who is not signed in to the form, if there is one; false if there is none, or it is no page that was asked for.
func (c *Console) toSignIn(w http.ResponseWriter, r *http.Request, err error) bool {
	if c.SignIn == nil || problem.KindOf(err) != problem.Unknown || r.Method != http.MethodGet || r.Header.Get("Accept") == "text/event-stream" {
		return false
	}
	http.Redirect(w, r, Root+"sign-in?back="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
	return true
}

// door are the pages that anybody may see.
func (c *Console) door(mux *http.ServeMux) {
	if c.SignIn == nil {
		return
	}
	mux.HandleFunc("GET "+Root+"sign-in", c.shown(c.signIn))
	mux.HandleFunc("POST "+Root+"sign-in", c.shown(c.signIn))
	mux.HandleFunc("POST "+Root+"sign-out", c.shown(c.signOut))
}
