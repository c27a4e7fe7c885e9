package odata

import (
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
// OAuth is fetched by one caller at a time and used until shortly before its end.
//
// SAP locks a user after a few wrong passwords. So a secret that was not accepted yet is tried by one request at a time, and one that was
// refused is left alone for longer each time: nothing is sent meanwhile. Another secret is tried at once.
type credentials struct {
	auth    Auth
	resolve Resolve
	http    *wire.Client
	now     func() time.Time
	denied  func(why error) // hears of a refusal, seldom; nil for nobody

	turn chan struct{} // held by who tries what was not accepted yet

	mu       sync.Mutex // guards what follows; held while a token is fetched
	header   string     // "" is not known
	until    time.Time  // zero: no end
	key      string     // the secret that header was made of
	accepted string     // the secret that the ERP has last taken
	refused  string     // the secret that it has last refused, so many times in a row
	tries    int
	rest     time.Time // until then what was refused is not tried
	told     time.Time // when denied heard of it last
}

// rests are how long a secret is left alone after it was refused once, twice and more often. SAP locks a user at five by default.
func rests() []time.Duration { return []time.Duration{time.Minute, 10 * time.Minute, time.Hour} }

// tellEvery is how often a refusal that lasts is told.
const tellEvery = time.Hour

// without tells that nothing is said of who we are.
func (c *credentials) without() bool {
	return c.auth.Basic == nil && c.auth.Bearer == "" && c.auth.OAuth == nil
}

// apply signs the request in. answered must be called with the status of its answer, 0 if there was none.
func (c *credentials) apply(ctx context.Context, h http.Header) (answered func(status int), err error) {
	if c.without() {
		return func(int) {}, nil
	}
	key, proven, err := c.sign(ctx, h)
	if err != nil {
		return nil, err
	}
	if proven {
		return func(status int) { c.judge(key, status) }, nil
	}
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if key, _, err = c.sign(ctx, h); err != nil { // whoever had the turn may have been refused
		<-c.turn
		return nil, err
	}
	return func(status int) { c.judge(key, status); <-c.turn }, nil
}

// sign writes the header, unless it is one that rests.
func (c *credentials) sign(ctx context.Context, h http.Header) (key string, proven bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.header == "" || !c.until.IsZero() && !c.now().Before(c.until) {
		if err := c.renew(ctx); err != nil {
			return "", false, err
		}
	}
	if err := c.resting(c.key); err != nil {
		c.header = "" // the secret may be another one by then
		return "", false, err
	}
	h.Set("Authorization", c.header)
	return c.key, c.accepted == c.key, nil
}

// resting is the error of a secret that was refused not long ago.
func (c *credentials) resting(key string) error {
	if key != c.refused || !c.now().Before(c.rest) {
		return nil
	}
	return denied(fmt.Sprintf("the ERP has refused them %d times in a row; so that it does not lock the user, they are not tried before %s",
		c.tries, c.rest.Format(time.RFC3339)), hintSignIn, nil)
}

// judge takes in what an answer says of a secret: 401 refuses it, and any other word of the ERP takes it. Errors of 500 and above may be
// those of something before the ERP, and say nothing.
func (c *credentials) judge(key string, status int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case status == http.StatusUnauthorized:
		c.refuse(key, "the ERP answered "+statusLine(status))
	case status != 0 && status < http.StatusInternalServerError && status != http.StatusProxyAuthRequired:
		c.accepted = key
		if c.refused == key {
			c.refused, c.tries, c.rest, c.told = "", 0, time.Time{}, time.Time{}
		}
	}
}

// refuse notes that a secret was not taken. A token of OAuth may only have ended: its secret rests from the second time on.
func (c *credentials) refuse(key, why string) {
	if c.refused != key {
		c.refused, c.tries, c.told = key, 0, time.Time{}
	}
	c.tries++
	c.header, c.accepted = "", ""
	n := c.tries - 1
	if c.auth.OAuth != nil {
		n--
	}
	if all := rests(); n >= 0 {
		c.rest = c.now().Add(all[min(n, len(all)-1)])
		c.tell(denied(why+", and has done so "+fmt.Sprint(c.tries)+" times in a row", hintSignIn, nil))
	}
}

// tell says to who wants to know that we are refused, once, and again while it lasts. The lock is held.
func (c *credentials) tell(why error) {
	if c.denied == nil || !c.told.IsZero() && c.now().Sub(c.told) < tellEvery {
		return
	}
	c.told = c.now()
	c.denied(why)
}

// forbidden takes in an answer that refuses a right, or is a sign-in page's.
func (c *credentials) forbidden(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.header = "" // it is resolved, or a token fetched, again
	c.tell(why)
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
	if err := c.resting(secret); err != nil {
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
	var got struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Seconds int64  `json:"expires_in"`
	}
	err = json.Unmarshal(a.Body, &got)
	if a.Status != http.StatusOK || err != nil || got.Token == "" || !strings.EqualFold(got.Type, "Bearer") || !httpguts.ValidHeaderFieldValue(got.Token) {
		why := fmt.Sprintf("the token service answered %s without a bearer token", statusLine(a.Status))
		if a.Status == http.StatusBadRequest || a.Status == http.StatusUnauthorized { // RFC 6749 section 5.2
			c.refuse(secret, why)
		}
		return denied(why, "check client_id, client_secret and scope", nil)
	}
	c.key = secret
	c.header, c.until = "Bearer "+got.Token, time.Time{}
	if got.Seconds > 0 {
		c.until = c.now().Add(max(time.Duration(got.Seconds)*time.Second-early, time.Second))
	}
	return nil
}
