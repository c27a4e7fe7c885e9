package odata

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http/httpguts"

	"holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// Resolve gives the secret that a reference such as "env:ERP_PASSWORD" or "file:/run/secrets/erp" names. Its error must not contain
// the secret.
type Resolve func(ctx context.Context, reference string) (string, error)

// credentials resolves the reference once, and again after the ERP refused what it got: secrets are rotated while we run. A token of
// OAuth is fetched by one caller at a time and used until shortly before its end. guard keeps the user from being locked.
type credentials struct {
	auth    Auth
	resolve Resolve
	http    *wire.Client
	guard   *wire.Guard
	most    time.Duration // that the token service can put us off

	mu     sync.Mutex // guards what follows; held while a token is fetched
	header string     // "" is not known
	until  time.Time  // zero: no end
	key    string     // the secret that header was made of
	waits  waits      // of the token service
}

func newCredentials(auth Auth, resolve Resolve, http *wire.Client, most time.Duration) *credentials {
	c := &credentials{auth: auth, resolve: resolve, http: http, most: most}
	c.guard = wire.NewGuard(c.forget)
	if auth.OAuth != nil {
		c.guard.Spare = 1 // a token may only have ended
	}
	return c
}

// forget has the reference resolved, or a token fetched, again.
func (c *credentials) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header = ""
}

// without tells that nothing is said of who we are.
func (c *credentials) without() bool {
	return c.auth.Basic == nil && c.auth.Bearer == "" && c.auth.OAuth == nil
}

// apply signs the request in. answered must be called with the status of its answer, 0 if there was none.
func (c *credentials) apply(ctx context.Context, h http.Header) (answered func(status int), err error) {
	if c.without() {
		return func(int) {}, nil
	}
	return c.guard.Enter(ctx, func(ctx context.Context) (string, error) { return c.sign(ctx, h) })
}

// sign writes the header, and gives the secret that it is made of.
func (c *credentials) sign(ctx context.Context, h http.Header) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.header == "" || !c.until.IsZero() && !c.guard.Now().Before(c.until) {
		if err := c.renew(ctx); err != nil {
			return "", err
		}
	}
	h.Set("Authorization", c.header)
	return c.key, nil
}

func (c *credentials) renew(ctx context.Context) error {
	switch {
	case c.auth.Basic != nil:
		secret, err := c.secret(ctx, c.auth.Basic.Password)
		if err != nil {
			return err
		}
		c.key = secret
		c.header = "Basic " + base64.StdEncoding.EncodeToString([]byte(c.auth.Basic.User+":"+secret))
	case c.auth.OAuth != nil:
		return c.fetch(ctx, c.auth.OAuth)
	default:
		secret, err := c.secret(ctx, c.auth.Bearer)
		if err != nil {
			return err
		}
		c.key = secret
		c.header = "Bearer " + secret
	}
	return nil
}

func denied(why, hint string, cause error) error {
	return &problem.Error{Kind: problem.Denied, What: "credentials of the link", Why: why, Hint: hint, Cause: cause}
}

func (c *credentials) secret(ctx context.Context, ref string) (string, error) {
	secret, err := c.resolve(ctx, ref)
	if err != nil {
		return "", denied(fmt.Sprintf("the secret %s cannot be had", ref), "put it where the reference points, or correct the reference", err)
	}
	if secret == "" || !httpguts.ValidHeaderFieldValue(secret) {
		return "", denied(fmt.Sprintf("the secret %s is empty or has line breaks in it", ref), "store the secret alone, without a line break at its end", nil)
	}
	return secret, nil
}

// early is how long before its end a token is renewed.
const early = 30 * time.Second

// fetch gets a token by client credentials. The secret goes in the Authorization header, as RFC 6749 section 2.3.1 asks for.
func (c *credentials) fetch(ctx context.Context, o *OAuth) error {
	secret, err := c.secret(ctx, o.Secret)
	if err != nil {
		return err
	}
	if err := cmp.Or(c.guard.Resting(secret), c.waits.left(c.guard.Now())); err != nil {
		return err
	}
	form := url.Values{"grant_type": {"client_credentials"}}
	if o.Scope != "" {
		form.Set("scope", o.Scope)
	}
	body := form.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.TokenURL, io.NopCloser(strings.NewReader(body)))
	if err != nil {
		return denied("the token_url is no address", "correct auth.oauth.token_url", err)
	}
	req.ContentLength = int64(len(body))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	req.SetBasicAuth(url.QueryEscape(o.ClientID), url.QueryEscape(secret))
	a, _, err := c.http.Exchange(req)
	if err != nil {
		return &problem.Error{
			Kind: problem.Unavailable, What: "token for the link", Why: "the token service was not reached",
			Hint: "check auth.oauth.token_url and the network", Cause: err,
		}
	}
	if a.Status == http.StatusTooManyRequests || a.Status >= http.StatusInternalServerError {
		return c.away(a)
	}
	var got struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Seconds int64  `json:"expires_in"`
	}
	err = json.Unmarshal(a.Body, &got)
	if a.Status != http.StatusOK || err != nil || got.Token == "" || !strings.EqualFold(got.Type, "Bearer") || !httpguts.ValidHeaderFieldValue(got.Token) {
		why := fmt.Sprintf("the token service answered %s without a bearer token", statusLine(a.Status))
		if a.Status == http.StatusBadRequest || a.Status == http.StatusUnauthorized { // RFC 6749 section 5.2
			c.guard.Refuse(secret, why)
		}
		return denied(why, "check client_id, client_secret and scope", nil)
	}
	c.key = secret
	c.header, c.until = "Bearer "+got.Token, time.Time{}
	if got.Seconds > 0 {
		c.until = c.guard.Now().Add(max(time.Duration(got.Seconds)*time.Second-early, time.Second))
	}
	return nil
}

// away is the problem of a token service that is overloaded or broken: it says nothing of who we are.
func (c *credentials) away(a wire.Answer) error {
	wait, _ := wire.RetryAfter(a.Header, c.guard.Now(), c.most)
	err := &problem.Error{
		Kind: problem.Unavailable, What: "token for the link", Why: "the token service answered " + statusLine(a.Status), Hint: "nothing, if it is well again soon; else ask who runs auth.oauth.token_url",
		Cause: &wire.PutOff{After: wait, Throttled: a.Status == http.StatusTooManyRequests},
	}
	c.waits = putOffBy(err, c.guard.Now())
	return err
}
