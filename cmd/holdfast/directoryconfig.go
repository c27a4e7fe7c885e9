package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"time"

	"holdfast/internal/access"
)

// DirectoryConfig is the Active Directory in which people have their accounts.
type DirectoryConfig struct {
	URLs     []string            `yaml:"urls"`     // of its controllers, asked in this order: ldaps://, or ldap:// with StartTLS
	Base     string              `yaml:"base"`     // DN below which its people and groups are
	User     string              `yaml:"user"`     // that it is read as
	Password string              `yaml:"password"` // reference to that user's
	CA       string              `yaml:"ca"`       // certificates that its controllers are believed by; left out: those of the system
	Roles    map[string][]string `yaml:"roles"`    // by group
	Sync     time.Duration       `yaml:"sync"`     // how often those who are signed in are looked up
	Keep     time.Duration       `yaml:"keep"`     // how long what it said counts where it does not answer
}

// mostSync keeps whoever is removed from staying in for a minute.
const mostSync = 30 * time.Second

func (c Config) checkDirectory(k *checker, p *access.Policy) {
	d, at := c.Access.Directory, "access.directory"
	if d == nil {
		return
	}
	if len(d.URLs) == 0 {
		k.wrong(at+".urls", "there is none", "write [ldaps://dc1.plant.example]")
	}
	for i, s := range d.URLs {
		if u, err := url.Parse(s); err != nil || u.Hostname() == "" || u.User != nil || u.Scheme != "ldaps" && u.Scheme != "ldap" || u.Path+u.RawQuery+u.Fragment != "" {
			k.wrong(fmt.Sprintf("%s.urls[%d]", at, i), "it is no address of a controller", "write ldaps://HOST, or ldap://HOST, where TLS is begun before anything is said")
		}
	}
	if d.Base == "" || d.User == "" || d.Password == "" {
		k.wrong(at, "base, user and password are required", "write base: DC=plant,DC=example, and a user that may read it, with a reference to its password")
	}
	if len(d.Roles) == 0 {
		k.wrong(at+".roles", "no group has a role, so nobody can sign in", "write roles: {GROUP: [viewer]}")
	}
	for _, group := range slices.Sorted(maps.Keys(d.Roles)) {
		checkRoles(k, p, at+".roles."+group, d.Roles[group])
	}
	if d.Sync < 0 || d.Sync > mostSync || d.Keep < 0 {
		k.wrong(at, fmt.Sprintf("sync is %s at most, and neither it nor keep is negative", mostSync), "leave them out for 20s and 12h: whoever is removed has to be out within a minute")
	}
}

// members keeps up with the directory, and has s ask it; nil where there is none.
func (c Config) members(s *access.Sessions, log *slog.Logger) (*access.Members, error) {
	d := c.Access.Directory
	if d == nil {
		return nil, nil //nolint:nilnil // no directory is not an error
	}
	cfg := access.Directory{
		URLs: d.URLs, Base: d.Base, User: d.User, Roles: d.Roles, Sync: d.Sync, Keep: d.Keep,
		Password: func(ctx context.Context) (string, error) { return c.secret(ctx, d.Password) },
	}
	if d.CA != "" {
		pool, err := certificates(c.beside(d.CA))
		if err != nil {
			return nil, err
		}
		cfg.TLS = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return access.NewDirectory(s, cfg, log), nil
}
