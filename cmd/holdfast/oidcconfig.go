package main

import (
	"context"
	"crypto/tls"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/httpapi"
)

// OIDCConfig is one OpenID Connect provider that people sign in at.
type OIDCConfig struct {
	Issuer string              `yaml:"issuer"` // iss of its tokens, to the letter
	Client string              `yaml:"client"` // client_id of this plant
	Secret string              `yaml:"secret"` // reference to its client_secret; left out: PKCE alone
	CA     string              `yaml:"ca"`     // certificates that it is believed by; left out: those of the system
	Scopes []string            `yaml:"scopes"` // besides openid and profile
	Name   string              `yaml:"name"`   // claim that people are called by
	Groups string              `yaml:"groups"` // claim with their groups
	Roles  map[string][]string `yaml:"roles"`  // by group
	MFA    access.MFA          `yaml:"mfa"`
	Fresh  time.Duration       `yaml:"fresh"` // after which it is asked again, where it answers
	Keep   time.Duration       `yaml:"keep"`  // how long what it said counts where it does not
}

func (c Config) checkOIDC(k *checker, p *access.Policy) {
	a := c.Access
	if (len(a.OIDC) > 0 || a.URL != "") && !secure(a.URL) {
		k.wrong("access.url", "it is no https address", "write where browsers open the console, such as https://plant.example:8420; providers send people back there, and passkeys are bound to it")
	}
	for _, name := range slices.Sorted(maps.Keys(a.OIDC)) {
		at, o := "access.oidc."+name, a.OIDC[name]
		checkName(k, at, name)
		if !secure(o.Issuer) || o.Client == "" {
			k.wrong(at, "it needs an issuer of https and a client", "write the issuer as its metadata has it, and the client_id that it gave this plant")
		}
		if len(o.Roles) == 0 {
			k.wrong(at+".roles", "no group has a role, so nobody can sign in", "write roles: {GROUP: [viewer]}")
		}
		for group, roles := range o.Roles {
			checkRoles(k, p, at+".roles."+group, roles)
		}
		k.among(at+".mfa.claim", o.MFA.Claim, "acr", "amr", "acrs")
		if len(o.MFA.AnyOf) == 0 {
			k.wrong(at+".mfa.any_of", "nothing says that a second factor was shown", "write the values that the provider uses, such as [mfa]")
		}
		if o.Fresh < 0 || o.Keep < 0 {
			k.wrong(at, "fresh and keep are not negative", "leave them out for 1h and 12h")
		}
	}
}

// secure tells whether an address is one of https, or of this machine.
func secure(address string) bool {
	u, err := url.Parse(address)
	return err == nil && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == "" && (u.Scheme == "https" || u.Scheme == "http" && httpapi.Loopback(u.Hostname()))
}

// providers are those that people sign in at; nil where there are none.
func (c Config) providers(s *access.Sessions) (*access.Providers, error) {
	if len(c.Access.OIDC) == 0 {
		return nil, nil //nolint:nilnil // no provider is not an error
	}
	all := map[string]access.Provider{}
	for name, o := range c.Access.OIDC {
		client, err := c.clientOf(o.CA)
		if err != nil {
			return nil, err
		}
		p := access.Provider{
			Issuer: o.Issuer, Client: o.Client, URL: strings.TrimSuffix(c.Access.URL, "/"), Scopes: o.Scopes, Name: o.Name, Groups: o.Groups, Roles: o.Roles, MFA: o.MFA,
			Fresh: o.Fresh, Keep: o.Keep, HTTP: client,
		}
		if o.Secret != "" {
			p.Secret = func(ctx context.Context) (string, error) { return c.secret(ctx, o.Secret) }
		}
		all[name] = p
	}
	return access.NewProviders(s, all), nil
}

// clientOf asks servers of people and machines: it waits ten seconds at most, follows nobody elsewhere, and believes the certificates of a file if there is one.
func (c Config) clientOf(ca string) (*http.Client, error) {
	client := &http.Client{
		Timeout: 10 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	if ca == "" {
		return client, nil
	}
	pool, err := certificates(c.beside(ca))
	if err != nil {
		return nil, err
	}
	client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}
	return client, nil
}
