package main

import (
	"context"
	"maps"
	"net/netip"
	"slices"

	"holdfast/internal/access"
)

// BadgesConfig is where people sign in by badge and PIN.
type BadgesConfig struct {
	Key       string            `yaml:"key"`       // reference to what their numbers are hashed by
	Terminals map[string]string `yaml:"terminals"` // addresses or networks by the names of the terminals
}

func checkBadges(k *checker, b *BadgesConfig) {
	if b == nil {
		return
	}
	if b.Key == "" {
		k.wrong("access.badges.key", "it is missing", "write a reference such as file:badge.key, made by openssl rand -hex 32 > badge.key; with another key nobody's badge counts any more")
	}
	if len(b.Terminals) == 0 {
		k.wrong("access.badges.terminals", "there is none, so nobody can sign in by badge", "write terminals: {press-7: 10.1.7.21}")
	}
	for _, name := range slices.Sorted(maps.Keys(b.Terminals)) {
		checkName(k, "access.badges.terminals."+name, name)
		if _, err := network(b.Terminals[name]); err != nil {
			k.wrong("access.badges.terminals."+name, "it is no address and no network", "write 10.1.7.21, or 10.1.7.0/24")
		}
	}
}

// network is a network, or an address as one.
func network(text string) (netip.Prefix, error) {
	if ip, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(ip.Unmap(), ip.Unmap().BitLen()), nil
	}
	of, err := netip.ParsePrefix(text)
	return of.Masked(), err
}

// badges are those that count at the terminals of the configuration; nil where it has none.
func (c Config) badges(s *access.Sessions) *access.Badges {
	b := c.Access.Badges
	if b == nil {
		return nil
	}
	at := map[string]netip.Prefix{}
	for name, text := range b.Terminals {
		at[name], _ = network(text) // which was checked at load
	}
	return access.NewBadges(s, func(ctx context.Context) (string, error) { return c.secret(ctx, b.Key) }, at)
}
