package console

import (
	"net/http"
	"slices"
	"strings"

	"holdfast/internal/problem"
)

// keptView is a form that came from somebody who was signed out meanwhile: what they typed, to be sent once they are in again.
type keptView struct {
	To     string
	Fields [][2]string // all that is sent again
	Typed  [][2]string // of it, what a person reads
}

// keeps answers the form of somebody whose session has ended with a page that holds what they typed; false if it is no such form. Nothing of it is
// kept here: it stands in the page of the browser that has sent it. The forms of an account are left out, for what is typed in them is secret.
func (c *Console) keeps(w http.ResponseWriter, r *http.Request, err error) bool {
	if c.SignIn == nil || problem.KindOf(err) != problem.Unknown || r.Method != http.MethodPost || r.Header.Get("HX-Request") != "" ||
		strings.HasPrefix(r.URL.Path, Root+"account/") || r.Header.Get("Content-Type") != "application/x-www-form-urlencoded" {
		return false
	}
	c.shown(func(r *http.Request) (*page, error) {
		v := keptView{To: r.URL.RequestURI()}
		v.Fields = fieldsOf(r)
		for _, f := range v.Fields {
			if f[1] != "" && !slices.Contains([]string{"key", "version"}, f[0]) {
				v.Typed = append(v.Typed, f)
			}
		}
		return &page{name: "kept", Title: "You were signed out", Body: v, status: problem.Unknown.HTTPStatus()}, nil
	})(w, r)
	return true
}
