package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"holdfast/internal/access"
	"holdfast/internal/httpapi"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// AccessConfig says who may do what. Where the file has no such section the API takes every call of its own machine, and no other.
type AccessConfig struct {
	Roles     map[string]access.Role   `yaml:"roles"`     // each replaces the built-in one of its name, or is one more
	Apart     []access.Apart           `yaml:"apart"`     // who has done the one does not do the other; left out: the built-in ones
	Shell     map[string][]string      `yaml:"shell"`     // accounts of the machine with their roles; left out: who can open the database may do everything
	People    map[string]string        `yaml:"people"`    // accounts of the machine with whom they belong to, by the name in the console
	Clients   map[string]access.Client `yaml:"clients"`   // machines that are known by their certificates
	Issuers   []IssuerConfig           `yaml:"issuers"`   // OAuth2 servers whose access tokens are taken
	URL       string                   `yaml:"url"`       // of the console as browsers open it; where providers send people back, and what passkeys are bound to
	OIDC      map[string]OIDCConfig    `yaml:"oidc"`      // providers that people sign in at
	Directory *DirectoryConfig         `yaml:"directory"` // an Active Directory that people have accounts in
	Badges    *BadgesConfig            `yaml:"badges"`    // by which people of providers and directories sign in at terminals
	StepUp    access.StepUp            `yaml:"step_up"`   // what people do only soon after showing the second factor
	Sign      []string                 `yaml:"sign"`      // actions that a person signs, in the console or by a command, or patterns of them
	Idle      time.Duration            `yaml:"idle"`      // after which a session in the console has ended that nobody uses
	Longest   time.Duration            `yaml:"longest"`   // after which it has ended however it is used
}

// IssuerConfig is one OAuth2 server.
type IssuerConfig struct {
	Issuer   string                      `yaml:"issuer"`   // iss of its tokens
	Audience string                      `yaml:"audience"` // aud that they must have
	JWKS     string                      `yaml:"jwks"`     // address of its keys
	CA       string                      `yaml:"ca"`       // certificates that its address is believed by; left out: those of the system
	Outage   time.Duration               `yaml:"outage"`   // how long its keys count while they cannot be read again
	Clients  map[string]access.JWTClient `yaml:"clients"`
}

// APITLSConfig is the certificate of the API's listener.
type APITLSConfig struct {
	Cert     string `yaml:"cert"`
	Key      string `yaml:"key"`
	ClientCA string `yaml:"client_ca"` // who issues the certificates of access.clients
	Least    string `yaml:"least"`     // 1.3, or 1.2 for callers that know no better
}

func (c Config) checkAccess(k *checker) {
	t, a := c.API.TLS, c.Access
	if (t.Cert == "") != (t.Key == "") {
		k.wrong("api.tls", "it has a certificate or a key, and not both", "write cert and key, or neither")
	}
	if t.Least != "" {
		k.among("api.tls.least", t.Least, "1.2", "1.3")
	}
	check := httpapi.CheckLoopback
	if t.Cert != "" && a != nil {
		check = httpapi.CheckAddress
	}
	if err := check(c.API.Listen); err != nil {
		p, _ := errors.AsType[*problem.Error](err)
		k.wrong("api.listen", p.Why, p.Hint)
	}
	if a == nil {
		return
	}
	if a.Idle < 0 || a.Longest < 0 {
		k.wrong("access", "idle and longest are not negative", "leave them out for 15m and 12h")
	}
	p, err := c.policy()
	if err != nil {
		e, _ := errors.AsType[*problem.Error](err)
		k.wrong("access", e.What+": "+e.Why, e.Hint)
		return
	}
	d := access.New(nil).Under(p)
	if c.MappingsPolicy != fourEyes && (d.Signs(access.MappingPublish) || d.Signs(access.MappingApprove)) {
		k.wrong("access.sign", "mappings are to be signed, and a changed file in their folder is used without that", "write mappings_policy: four_eyes, by which a folder counts for nothing until it is published")
	}
	for user, roles := range a.Shell {
		checkRoles(k, p, "access.shell."+user, roles)
	}
	for account, name := range a.People {
		if err := access.CheckName(strings.TrimPrefix(strings.TrimPrefix(name, "oidc:"), "ad:")); err != nil {
			e, _ := errors.AsType[*problem.Error](err)
			k.wrong("access.people."+account, e.Why, "write the name that its person signs in by: holdfast access user list")
		}
	}
	c.checkClients(k, p)
	c.checkOIDC(k, p)
	c.checkDirectory(k, p)
	checkBadges(k, a.Badges)
	named := map[string]bool{}
	for i, s := range a.Issuers {
		at := fmt.Sprintf("access.issuers[%d]", i)
		checkIssuer(k, p, at, s)
		if named[s.Issuer] {
			k.wrong(at+".issuer", "it is named twice", "write all its clients in one place")
		}
		named[s.Issuer] = true
	}
}

func checkRoles(k *checker, p *access.Policy, at string, roles []string) {
	for i, role := range roles {
		k.among(fmt.Sprintf("%s[%d]", at, i), role, p.Roles()...)
	}
}

func (c Config) checkClients(k *checker, p *access.Policy) {
	if len(c.Access.Clients) > 0 && c.API.TLS.ClientCA == "" {
		k.wrong("access.clients", "nothing says who issues their certificates", "name the certificates of their CA in api.tls.client_ca")
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(c.Access.Clients)) {
		at, m := "access.clients."+name, c.Access.Clients[name]
		checkName(k, at, name)
		checkRoles(k, p, at+".roles", m.Roles)
		digits, err := hex.DecodeString(m.SHA256)
		given := slices.DeleteFunc([]string{m.URI, m.DNS, m.SHA256}, func(s string) bool { return s == "" })
		switch id := strings.ToLower(strings.Join(given, " ")); {
		case len(given) != 1:
			k.wrong(at, "it has none of uri, dns and sha256, or more than one", "write the one by which its certificate is known")
		case m.SHA256 != "" && (err != nil || len(digits) != 32):
			k.wrong(at+".sha256", "it is no SHA-256 fingerprint of 64 hexadecimal digits", "openssl x509 -noout -fingerprint -sha256 prints it; leave the colons out")
		case seen[id] != "":
			k.wrong(at, "it is the certificate of "+seen[id], "give each machine a certificate of its own")
		default:
			seen[id] = name
		}
	}
}

func checkName(k *checker, at, name string) {
	if err := access.CheckName(name); err != nil {
		p, _ := errors.AsType[*problem.Error](err)
		k.wrong(at, p.Why, p.Hint)
	}
}

func checkIssuer(k *checker, p *access.Policy, at string, s IssuerConfig) {
	if s.Issuer == "" || s.Audience == "" {
		k.wrong(at, "issuer and audience are required", "write what its tokens have as iss and as aud; the audience is this plant, and nobody else takes such a token")
	}
	if u, err := url.Parse(s.JWKS); err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !httpapi.Loopback(u.Hostname())) {
		k.wrong(at+".jwks", "it is no https address", "write the jwks_uri of the server's metadata, such as https://login.example/keys")
	}
	if s.Outage < 0 {
		k.wrong(at+".outage", "it is negative", "leave it out for 12h")
	}
	seen := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(s.Clients)) {
		if other := seen[s.Clients[name].ID]; other != "" {
			k.wrong(at+".clients."+name+".id", "it is the client of "+other, "give each machine a client of its own")
		}
		seen[s.Clients[name].ID] = name
		checkName(k, at+".clients."+name, name)
		checkRoles(k, p, at+".clients."+name+".roles", s.Clients[name].Roles)
		if s.Clients[name].ID == "" {
			k.wrong(at+".clients."+name+".id", "it is missing", "write the client_id that the server gave the machine")
		}
	}
}

// policy is who may do what; nil where the configuration does not say it.
func (c Config) policy() (*access.Policy, error) {
	if c.Access == nil {
		return nil, nil //nolint:nilnil // no policy is not an error
	}
	p, err := access.NewPolicy(c.Plant.Number, c.Access.Roles, c.Access.Apart)
	if err != nil {
		return nil, err
	}
	if p, err = p.Demand(c.Access.StepUp); err != nil {
		return nil, err
	}
	return p.Sign(c.Access.Sign)
}

// gate is what the API asks who calls, with the issuers of tokens that it believes; nil where the configuration does not say who may do what.
func (c Config) gate(db *store.DB) (*access.Gate, *access.Issuers, error) {
	p, err := c.policy()
	if p == nil || err != nil {
		return nil, nil, err
	}
	bearers, err := c.issuers(db.Now)
	if err != nil {
		return nil, nil, err
	}
	return access.NewGate(db, p, c.Access.Clients, bearers), bearers, nil
}

// sessions are those of people in the console.
func (c Config) sessions(db *store.DB, p *access.Policy) *access.Sessions {
	s := access.SessionConfig{Idle: c.Access.Idle, Absolute: c.Access.Longest, Secure: c.API.TLS.Cert != ""}
	return access.NewSessions(db, access.NewUsers(c.Plant.Number, p), s)
}

// passkeys are those of the console's own address; nil where the file has none, or one without a name, for which browsers keep none.
func (c Config) passkeys(s *access.Sessions) (*access.Passkeys, error) {
	u, err := url.Parse(c.Access.URL)
	if err != nil || u.Hostname() == "" || net.ParseIP(u.Hostname()) != nil {
		return nil, nil //nolint:nilnil // no passkeys are not an error
	}
	return access.NewPasskeys(s, c.Access.URL)
}

func (c Config) issuers(now func() time.Time) (*access.Issuers, error) {
	var all []access.Issuer
	for _, s := range c.Access.Issuers {
		client, err := c.clientOf(s.CA)
		if err != nil {
			return nil, err
		}
		i := access.Issuer{URL: s.Issuer, Audience: s.Audience, Keys: s.JWKS, Outage: s.Outage, Clients: s.Clients, Client: client}
		all = append(all, i)
	}
	return access.NewIssuers(all, now), nil
}

// certificates reads a file of certificates.
func certificates(file string) (*x509.CertPool, error) {
	text, err := os.ReadFile(file)
	pool := x509.NewCertPool()
	if err == nil && pool.AppendCertsFromPEM(text) {
		return pool, nil
	}
	bad := &problem.Error{Kind: problem.Invalid, What: "read the certificates " + file, Why: "there are none in it", Hint: "name a PEM file with the certificates of the CA"}
	if err != nil {
		bad.Why = why(err)
	}
	return nil, bad
}

// apiScheme is by what the API and the console are called.
func (c Config) apiScheme() string {
	if c.API.TLS.Cert == "" {
		return "http"
	}
	return "https"
}

// modern are the suites of TLS 1.2 with forward secrecy and authenticated encryption, which RFC 9325 section 4.2 recommends; those of 1.3 all are.
var modern = []uint16{
	tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
	tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
	tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
}

// tlsOf is how the API's listener speaks TLS; nil where it has no certificate.
func (c Config) tlsOf() (*tls.Config, error) {
	t := c.API.TLS
	if t.Cert == "" {
		return nil, nil //nolint:nilnil // no TLS is not an error
	}
	pair := &keyPair{cert: c.beside(t.Cert), key: c.beside(t.Key)}
	if _, err := pair.get(nil); err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS13, GetCertificate: pair.get}
	if t.Least == "1.2" {
		cfg.MinVersion, cfg.CipherSuites = tls.VersionTLS12, modern
	}
	if t.ClientCA == "" {
		return cfg, nil
	}
	var err error
	cfg.ClientAuth = tls.VerifyClientCertIfGiven // a token does as well
	cfg.ClientCAs, err = certificates(c.beside(t.ClientCA))
	return cfg, err
}

// listenAPI opens the API's listener: on any address where it speaks TLS and knows its callers, else on a loopback address.
func (c Config) listenAPI(ctx context.Context) (net.Listener, error) {
	t, err := c.tlsOf()
	switch {
	case err != nil:
		return nil, err
	case t == nil:
		return httpapi.Listen(ctx, c.API.Listen)
	case c.Access == nil:
		if err := httpapi.CheckLoopback(c.API.Listen); err != nil {
			return nil, err
		}
	}
	return httpapi.ListenTLS(ctx, c.API.Listen, t)
}

// keyPair is a certificate with its key, read anew when its file has changed: a renewed one is used without a restart.
type keyPair struct {
	cert, key string

	mu   sync.Mutex
	pair *tls.Certificate
	at   time.Time // when the file was written that pair is of
}

// get is the certificate for a connection. One that cannot be read leaves the last one in use.
func (p *keyPair) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	info, err := os.Stat(p.cert)
	if err == nil && (p.pair == nil || !info.ModTime().Equal(p.at)) {
		var pair tls.Certificate
		if pair, err = tls.LoadX509KeyPair(p.cert, p.key); err == nil {
			p.pair, p.at = &pair, info.ModTime()
		}
	}
	if p.pair != nil {
		return p.pair, nil
	}
	return nil, &problem.Error{
		Kind: problem.Invalid, What: "read the certificate " + p.cert + " with its key", Why: why(err), Hint: "give api.tls.cert and api.tls.key PEM files that belong together",
	}
}
