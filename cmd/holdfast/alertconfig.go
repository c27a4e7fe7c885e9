package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/mail"
	"time"

	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/httpapi"
	"holdfast/internal/store"
)

// AlertsConfig says who is told of alerts, besides the record and the collectors of siem.
type AlertsConfig struct {
	Again    time.Duration   `yaml:"again"` // in which the same about the same is told once
	Webhooks []WebhookConfig `yaml:"webhooks"`
	Mail     *MailConfig     `yaml:"mail"`
}

// WebhookConfig is an address that is told by HTTP.
type WebhookConfig struct {
	Name   string `yaml:"name"` // under which the plant remembers what it was told
	URL    string `yaml:"url"`
	Secret string `yaml:"secret"` // reference to what the calls are signed with; left out: they are not
	CA     string `yaml:"ca"`     // certificates that it is believed by; left out: those of the system
	Least  string `yaml:"least"`  // warning or critical
}

// MailConfig is the server that takes mails, and who gets them.
type MailConfig struct {
	Server   string   `yaml:"server"`   // host:port
	TLS      string   `yaml:"tls"`      // starttls or implicit, which is from the first byte; left out: implicit on port 465, starttls on every other
	User     string   `yaml:"user"`     // left out: nobody signs in
	Password string   `yaml:"password"` // reference
	CA       string   `yaml:"ca"`       // certificates that it is believed by; left out: those of the system
	From     string   `yaml:"from"`
	To       []string `yaml:"to"`
	Least    string   `yaml:"least"` // warning or critical
}

func (c Config) checkAlerts(k *checker) {
	if c.Alerts.Again < 0 {
		k.wrong("alerts.again", "it is negative", "leave it out for 1h")
	}
	seen := map[string]bool{"mail": true}
	for i, w := range c.Alerts.Webhooks {
		at := fmt.Sprintf("alerts.webhooks[%d]", i)
		if !collectorName.MatchString(w.Name) || seen[w.Name] {
			k.wrong(at+".name", "it is missing, used twice, or no name of small letters, digits and hyphens", "write name: oncall")
		}
		seen[w.Name] = true
		if !secure(w.URL) {
			k.wrong(at+".url", "it is no https address", "write https://oncall.example/hook")
		}
		if w.Secret != "" {
			checkReference(k, at+".secret", w.Secret)
		}
		checkLeast(k, at, w.Least)
	}
	m := c.Alerts.Mail
	if m == nil {
		return
	}
	if _, port, err := net.SplitHostPort(m.Server); err != nil || port == "" {
		k.wrong("alerts.mail.server", "it is no host and port", "write mail.example:587")
	}
	for i, address := range append([]string{m.From}, m.To...) {
		if a, err := mail.ParseAddress(address); err != nil || a.Address != address {
			k.wrong("alerts.mail", fmt.Sprintf("address %d of from and to is none", i+1), "write plant-1000@example.com, without a name")
		}
	}
	if len(m.To) == 0 {
		k.wrong("alerts.mail.to", "nobody gets the mails", "write to: [oncall@example.com]")
	}
	if m.TLS != "" {
		k.among("alerts.mail.tls", m.TLS, "starttls", "implicit")
	}
	if (m.User == "") != (m.Password == "") {
		k.wrong("alerts.mail.password", "a user and a password belong together, and one is missing", "write both, or neither")
	}
	if m.Password != "" {
		checkReference(k, "alerts.mail.password", m.Password)
	}
	checkLeast(k, "alerts.mail", m.Least)
}

func checkLeast(k *checker, at, least string) {
	if least != "" {
		k.among(at+".least", least, alert.Warning, alert.Critical)
	}
}

// channels are those who are told of alerts.
func (c Config) channels() ([]alert.Channel, error) {
	var all []alert.Channel
	for _, w := range c.Alerts.Webhooks {
		client, err := c.clientOf(w.CA)
		if err != nil {
			return nil, err
		}
		hook := alert.Webhook{URL: w.URL, Client: client}
		if w.Secret != "" {
			hook.Secret = func(ctx context.Context) (string, error) { return c.secret(ctx, w.Secret) }
		}
		all = append(all, alert.Channel{Name: w.Name, To: hook, Plant: c.Plant.Number, Least: w.Least, Again: c.Alerts.Again})
	}
	m := c.Alerts.Mail
	if m == nil {
		return all, nil
	}
	host, port, _ := net.SplitHostPort(m.Server)
	to := alert.Mail{
		Implicit: m.TLS == "implicit" || m.TLS == "" && port == "465",
		Server:   m.Server, User: m.User, From: m.From, To: m.To, TLS: &tls.Config{MinVersion: tls.VersionTLS12}, Plain: m.TLS == "" && m.CA == "" && m.User == "" && port != "465" && httpapi.Loopback(host),
		Password: func(ctx context.Context) (string, error) { return c.secret(ctx, m.Password) },
	}
	if m.CA != "" {
		pool, err := certificates(c.beside(m.CA))
		if err != nil {
			return nil, err
		}
		to.TLS.RootCAs = pool
	}
	return append(all, alert.Channel{Name: "mail", To: to, Plant: c.Plant.Number, Least: m.Least, Again: c.Alerts.Again}), nil
}

// alerting holds the record against the rules, looks for what it does not show, and tells the channels.
func (p *process) alerting(tree *audit.Tree) ([]part, error) {
	channels, err := p.cfg.channels()
	if err != nil {
		return nil, err
	}
	again := cmp.Or(p.cfg.Alerts.Again, time.Hour)
	rules := alert.NewRules(p.db, tree.Place, p.cfg.node(), p.alerts, again, p.log)
	all := []part{{"rules", rules.Run}, {"threats", func(ctx context.Context) error {
		return alert.Watch(ctx, p.db, p.alerts, again, p.cfg.node(), p.probes(tree), p.log)
	}}}
	for _, c := range channels {
		c.Metric = p.tel.registry
		all = append(all, part{"alerts " + c.Name, alert.NewChannel(p.db, tree.Place, p.cfg.node(), c, p.log).Run})
	}
	return all, nil
}

// probes look for what the record does not show.
func (p *process) probes(tree *audit.Tree) []alert.Probe {
	node := "node/" + p.cfg.node()
	all := []alert.Probe{{Name: "threat.audit-gap", Object: "audit/record", Look: func(context.Context) (string, error) {
		return tree.Gap(), nil
	}}}
	all = append(all, alert.Probe{Name: "threat.audit-clock", Object: "audit/record", Look: func(context.Context) (string, error) {
		if at := tree.Ahead(); !at.IsZero() {
			return "a checkpoint says " + at.UTC().Format(time.RFC3339) + ", which has not come: the clock of the node that made it was ahead. See that the clocks of all nodes are right " +
				"(NTP). The record goes on, and remembers what it holds until then as of that time: a message whose key ends before is not vouched for", nil
		}
		return "", nil
	}})
	all = append(all, alert.Probe{Name: "message.altered", Object: "tokens", Look: func(ctx context.Context) (string, error) {
		return "", p.tokens.Tell(ctx, p.db) // of what was found where an act ended by it
	}})
	if p.ring != nil {
		all = append(all, alert.Probe{Name: "threat.keys-running-out", Object: node, Look: func(context.Context) (string, error) {
			if s := p.ring.State(); s.Half {
				return fmt.Sprintf("the node's key cannot be certified anew; it signs for another %s, until %s", short(s.Left), s.Until.UTC().Format(time.RFC3339)), nil
			}
			return "", nil
		}})
		all = append(all, unsignedProbes(node, p.ring.Unsigned)...)
	}
	if p.rest != nil {
		all = append(all, alert.Probe{Name: "threat.seeds", Object: node, Look: func(context.Context) (string, error) { return p.rest.Alarm(), nil }})
	}
	if p.directory != nil {
		all = append(all, alert.Probe{Name: "threat.directory-unread", Object: "access/directory", Look: func(context.Context) (string, error) {
			if unread := p.directory.Unread(); len(unread) > 0 {
				return fmt.Sprintf("the directory's user may not read %s, of %s; let it read their tokenGroups", count(int64(len(unread)), "person", "people"), unread[0]), nil
			}
			return "", nil
		}})
	}
	for link := range p.cfg.Links { // a day's messages are counted
		all = append(all, alert.Probe{Name: "threat.traffic", Object: "link/" + link, Every: time.Hour, Look: func(ctx context.Context) (why string, err error) {
			err = p.db.View(ctx, func(tx *store.Tx) error {
				earlier, last, err := p.outbox.Traffic(ctx, tx, link)
				why = alert.Unusual("messages to "+link, earlier, last)
				return err
			})
			return why, err
		}})
	}
	return all
}
