package access

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/errgroup"
)

// Issuer is an OAuth2 server whose access tokens machines call with (client credentials, RFC 9068 or alike).
type Issuer struct {
	URL      string               // iss of its tokens, to the letter
	Audience string               // aud that a token must have: this plant
	Keys     string               // address of its keys (jwks_uri)
	Outage   time.Duration        // how long its keys count while they cannot be read again; default 12h
	Clients  map[string]JWTClient // by the name that they act under
	Client   *http.Client         // asks for its keys
}

// JWTClient is a machine that gets its tokens from an issuer.
type JWTClient struct {
	ID    string   `yaml:"id"`    // client_id, azp or appid of its tokens
	Roles []string `yaml:"roles"` // of the policy
	Links []string `yaml:"links"` // patterns; empty: every link
}

// Issuers tells whose an access token is. It is safe for use by many goroutines.
type Issuers struct{ all []issuer }

type issuer struct {
	Issuer
	keys     *keySet
	verifier *oidc.IDTokenVerifier
}

// NewIssuers returns Issuers. It asks none; Run does, and the first token of each.
func NewIssuers(all []Issuer, now func() time.Time) *Issuers {
	out := &Issuers{}
	for _, i := range all {
		keys := &keySet{url: i.Keys, client: i.Client, now: now, outage: cmp.Or(i.Outage, 12*time.Hour)}
		out.all = append(out.all, issuer{i, keys, oidc.NewVerifier(i.URL, keys, &oidc.Config{ClientID: i.Audience, SupportedSigningAlgs: algorithmNames(), Now: now})})
	}
	return out
}

// Run keeps the keys of each issuer fresh until ctx ends.
func (s *Issuers) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { <-ctx.Done(); return nil }) // where there is no issuer, too
	for _, i := range s.all {
		g.Go(func() error { return i.keys.Run(ctx) })
	}
	return g.Wait()
}

// Bearer implements Bearers: signature, issuer, audience and times of the token are checked, and then whose it is.
func (s *Issuers) Bearer(ctx context.Context, token string) (Actor, error) {
	at := s.of(token)
	if at == nil {
		return Actor{}, unknown("the token is of nobody that this plant believes")
	}
	good, err := at.verifier.Verify(ctx, token)
	if err != nil { // which does not wrap what the keys said
		if lost := at.keys.away(); lost != nil {
			return Actor{}, lost
		}
	}
	if _, ok := errors.AsType[*oidc.TokenExpiredError](err); ok {
		return Actor{}, unknown("the token has expired")
	}
	if err != nil {
		return Actor{}, unknown("the token is not what its issuer gives to callers of this plant")
	}
	var said tokenClaims
	if err := good.Claims(&said); err != nil {
		return Actor{}, unknown("the token cannot be read")
	}
	id, err := said.client()
	if err != nil {
		return Actor{}, err
	}
	for name, c := range at.Clients {
		if c.ID != "" && c.ID == id {
			return Actor{Name: "client:" + name, Rights: Rights{Roles: c.Roles, Links: c.Links}}, nil
		}
	}
	return Actor{}, unknown("the token is of a client that this plant does not know")
}

// tokenClaims are those that tell whose an access token is, and whether it is a machine's own.
type tokenClaims struct {
	Client string          `json:"client_id"` // RFC 9068, section 2.2
	Azp    string          `json:"azp"`       // Keycloak, Entra ID v2
	App    string          `json:"appid"`     // Entra ID v1
	Scopes json.RawMessage `json:"scp"`       // Entra ID: what a person lets the client do in his name; a machine's own token has roles
	Type   string          `json:"idtyp"`     // Entra ID: app or user
	Nonce  json.RawMessage `json:"nonce"`     // OpenID Connect Core 1.0, section 2: of ID tokens

	Session any    `json:"sid"`           // Keycloak: of a person's session, which client credentials have none of
	Earlier any    `json:"session_state"` // the same, of its older releases
	SignIn  any    `json:"auth_time"`     // RFC 9068, section 2.2.1: when a person signed in; AD FS writes a text, into a machine's as well
	Scope   string `json:"scope"`         // with openid: a person has signed in
}

// person tells whether somebody has signed in for the token.
func (c tokenClaims) person() bool {
	at, _ := c.SignIn.(float64)
	return c.Nonce != nil || c.Scopes != nil || c.Type != "" && c.Type != "app" || c.Session != nil || c.Earlier != nil || at > 0 ||
		slices.Contains(strings.Fields(c.Scope), "openid")
}

// client is the machine whose own token it is. sub does not name it: there may stand a person, whose name he chooses.
func (c tokenClaims) client() (string, error) {
	if c.person() {
		return "", unknown("the token is a person's: machines call with one that they got by client credentials")
	}
	id := cmp.Or(c.Client, c.Azp, c.App)
	for _, other := range []string{c.Client, c.Azp, c.App} {
		if other != "" && other != id {
			return "", unknown("the token names two clients")
		}
	}
	if id == "" {
		return "", unknown("the token names no client: client_id, azp or appid is wanted")
	}
	return id, nil
}

// of finds the issuer that a token says it is of. Nothing of the token is believed by that: its issuer's keys decide.
func (s *Issuers) of(token string) *issuer {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		Issuer string `json:"iss"`
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return nil
	}
	for i := range s.all {
		if s.all[i].URL == claims.Issuer {
			return &s.all[i]
		}
	}
	return nil
}
