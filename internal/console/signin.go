package console

import (
	"net/http"
	"net/url"
	"strings"

	"holdfast/internal/access"
	"holdfast/internal/problem"
)

// SignIn lets people in and out, for a plant that they sign in to. The Gate then knows them by their session.
type SignIn interface {
	SignIn(r *http.Request, name, password, code string) error // Unknown, TooMany: in words that tell a guesser nothing
	// SignOut says where the person's session at their provider is ended too; "" if they have none.
	SignOut(r *http.Request, everywhere bool) (elsewhere string, err error)
	// Sign is the signature of the session's person under an act; it is judged with the act.
	Sign(r *http.Request, meaning, password, code string) *access.Signature
}

// Elsewhere lets in who signs in at a provider. What comes back counts only in the browser that began, which the cookies see to.
type Elsewhere interface {
	Names() []string
	Begin(r *http.Request, provider, back string, fresh bool) (to string, cookie *http.Cookie, err error)
	Finish(r *http.Request, provider string) (back string, cookie *http.Cookie, err error)
}

// signInView is the form, with the providers that one can sign in at instead.
type signInView struct {
	Back      string
	Fresh     bool
	Providers []string
	Passkeys  bool
	Badges    bool
}

func (c *Console) signInForm(to string, fresh bool) *page {
	v := signInView{Back: back(to), Fresh: fresh, Passkeys: c.Passkeys != nil, Badges: c.Badges != nil}
	if c.Elsewhere != nil {
		v.Providers = c.Elsewhere.Names()
	}
	return &page{name: "signin", Title: "Sign in", Body: v}
}

// signIn shows the form, and lets in who fills it in rightly.
func (c *Console) signIn(r *http.Request) (*page, error) {
	p := c.signInForm(r.FormValue("back"), r.FormValue("fresh") != "")
	if r.Method != http.MethodPost {
		return p, nil
	}
	err := c.SignIn.SignIn(r, r.PostFormValue("name"), r.PostFormValue("password"), r.PostFormValue("code"))
	if err == nil {
		return &page{to: back(r.FormValue("back"))}, nil
	}
	return c.notIn(r, p, err)
}

// notIn is the form again, with why nobody was let in.
func (c *Console) notIn(r *http.Request, p *page, err error) (*page, error) {
	switch problem.KindOf(err) {
	case problem.Unknown, problem.TooMany, problem.Denied, problem.Unavailable, problem.NotFound:
		p.Trouble = c.told(r, err)
		p.status = p.Trouble.Kind.HTTPStatus()
		return p, nil
	default:
		return nil, err
	}
}

// leave sends the browser to a provider.
func (c *Console) leave(r *http.Request) (*page, error) {
	to, cookie, err := c.Elsewhere.Begin(r, r.PathValue("provider"), back(r.FormValue("back")), r.FormValue("fresh") != "")
	if err != nil {
		return c.notIn(r, c.signInForm(r.FormValue("back"), false), err)
	}
	return &page{to: to, cookies: []*http.Cookie{cookie}}, nil
}

// comeBack takes in who comes back from a provider.
func (c *Console) comeBack(r *http.Request) (*page, error) {
	to, cookie, err := c.Elsewhere.Finish(r, r.PathValue("provider"))
	if err == nil {
		return &page{to: back(to), cookies: []*http.Cookie{cookie}}, nil
	}
	p, err := c.notIn(r, c.signInForm(to, problem.KindOf(err) == problem.Denied), err) // or the provider would let the same person through again
	if p != nil {
		p.cookies = []*http.Cookie{cookie}
	}
	return p, err
}

// signOut ends the session, or all of them. Who signed in at a provider goes on to end the session there: from a page, since a form may lead to
// no other site.
func (c *Console) signOut(r *http.Request) (*page, error) {
	elsewhere, err := c.SignIn.SignOut(r, r.PostFormValue("everywhere") != "")
	if err != nil || elsewhere == "" {
		return &page{to: Root + "sign-in"}, err
	}
	return &page{name: "signedout", Title: "Signed out", Body: elsewhere}, nil
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
func (c *Console) door() (all []route) {
	if c.SignIn == nil {
		return nil
	}
	all = []route{{"GET " + Root + "sign-in", open, c.signIn}, {"POST " + Root + "sign-in", open, c.signIn}, {"POST " + Root + "sign-out", open, c.signOut}}
	if c.Passkeys != nil {
		all = append(all, route{"POST " + Root + "sign-in/passkey/begin", open, c.askPasskey}, route{"POST " + Root + "sign-in/passkey", open, c.byPasskey})
	}
	if c.Badges != nil {
		all = append(all, route{"GET " + Root + "floor", open, c.floorForm}, route{"POST " + Root + "floor", open, c.byBadge})
	}
	if c.Elsewhere != nil {
		all = append(all, route{"GET " + Root + "sign-in/{provider}", open, c.leave}, route{"GET " + Root + "sign-in/{provider}/done", open, c.comeBack})
	}
	return all
}
