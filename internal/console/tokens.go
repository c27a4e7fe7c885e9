package console

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"holdfast/internal/access"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/token"
)

// tokenView is the form for a token, and what it stands for once that was asked.
type tokenView struct{ Token, Class, Value string }

// tokens answers GET /console/tokens.
func (c *Console) tokens(*http.Request) (*page, error) { return tokensPage(tokenView{}), nil }

func tokensPage(v tokenView) *page {
	return &page{name: "tokens", Title: "Tokens", Section: "Tokens", Body: v}
}

// showToken answers POST /console/tokens/show: with the page itself, since a value stands in no address. Sent twice, it is a look twice:
// nothing of the answer is kept for a repetition.
func (c *Console) showToken(r *http.Request) (*page, error) {
	v := tokenView{Token: strings.TrimSpace(r.PostFormValue("token"))}
	by := actorOf(r.Context())
	err := error(&problem.Error{Kind: problem.Invalid, What: "show what a token stands for", Why: "that is no token", Hint: "copy it whole, with " + token.Prefix})
	if token.Is(v.Token) {
		a := access.Act{Action: access.TokenReveal, Actor: by, Object: "token/" + v.Token, Reason: strings.TrimSpace(r.PostFormValue("reason"))}
		_, err = c.Doer.Do(r.Context(), a, func(ctx context.Context, tx *store.Tx) (access.Result, error) {
			err := c.Tokens.Look(ctx, tx, by.Name)
			if err == nil {
				v.Class, v.Value, err = c.Tokens.Value(ctx, tx, v.Token)
			}
			return access.Result{}, err
		})
	}
	if err != nil { // not what it stands for: the act may have failed at its commit, unrecorded
		err = errors.Join(err, c.Tokens.Tell(r.Context(), c.DB))
		return c.again(r, tokensPage(tokenView{Token: v.Token}), err)
	}
	return tokensPage(v), nil
}
