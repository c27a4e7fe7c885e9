package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"holdfast/adapters/wire"
	"holdfast/internal/alert"
	"holdfast/internal/audit"
	"holdfast/internal/problem"
)

// CollectorConfig is a collector of security events that the audit record is handed on to, by syslog over TLS or by OTLP.
type CollectorConfig struct {
	Name    string            `yaml:"name"`    // under which the plant remembers what it has
	Address string            `yaml:"address"` // host:port, usually 6514
	Form    string            `yaml:"form"`    // syslog, cef or ocsf; otlp: OpenTelemetry logs instead of syslog
	TLS     CollectorTLS      `yaml:"tls"`
	Path    string            `yaml:"path"`    // of otlp; default /v1/logs
	Headers map[string]string `yaml:"headers"` // of otlp: references to what shows who calls, such as Authorization: file:soc.token
}

// CollectorTLS says whom to believe, and who the plant is.
type CollectorTLS struct {
	CA         string `yaml:"ca"`          // PEM file; default the system's
	Cert       string `yaml:"cert"`        // PEM file of the plant's certificate; default none
	Key        string `yaml:"key"`         // PEM file of its key
	ServerName string `yaml:"server_name"` // in the collector's certificate; default the host of address
}

var collectorName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func (c Config) checkSIEM(k *checker) {
	seen := map[string]bool{}
	for i, s := range c.SIEM {
		at := fmt.Sprintf("siem[%d]", i)
		if !collectorName.MatchString(s.Name) || seen[s.Name] {
			k.wrong(at+".name", "it is missing, used twice, or no name of small letters, digits and hyphens", "write name: soc")
		}
		seen[s.Name] = true
		if _, port, err := net.SplitHostPort(s.Address); err != nil || port == "" {
			k.wrong(at+".address", "it is no host and port", "write soc.example:6514")
		}
		if s.Form != "" && !slices.Contains(alert.Forms(), s.Form) {
			k.among(at+".form", s.Form, alert.Forms()...)
		}
		if s.Form != alert.OTLP && (s.Path != "" || len(s.Headers) > 0) {
			k.wrong(at+".form", "syslog has neither path nor headers", "leave them out, or write form: otlp")
		}
		if s.Path != "" && !strings.HasPrefix(s.Path, "/") {
			k.wrong(at+".path", "it does not begin with /", "leave it out for /v1/logs")
		}
		for name, reference := range s.Headers {
			checkReference(k, at+".headers."+name, reference)
		}
		if (s.TLS.Cert == "") != (s.TLS.Key == "") {
			k.wrong(at+".tls.key", "a certificate and its key belong together, and one is missing", "write both, or neither")
		}
	}
}

// forwarders hand the record on to each collector, by the tree that gives entries their places.
func (p *process) forwarders(tree *audit.Tree) ([]part, error) {
	var all []part
	for _, s := range p.cfg.SIEM {
		t, err := wire.TLS(p.cfg.beside(s.TLS.CA), p.cfg.beside(s.TLS.Cert), p.cfg.beside(s.TLS.Key), s.TLS.ServerName)
		if err != nil {
			hint := "correct siem in " + p.cfg.file
			if wrong, ok := errors.AsType[*wire.SettingError](err); ok {
				hint = "correct " + wrong.Setting + " of collector " + s.Name
			}
			return nil, &problem.Error{Kind: problem.Invalid, What: "hand security events on to " + s.Address, Why: err.Error(), Hint: hint, Cause: err}
		}
		to := alert.Collector{
			Name: s.Name, Address: s.Address, TLS: t, Form: alert.Form{Name: s.Form, Plant: p.cfg.Plant.Number, Host: p.cfg.node(), Version: version()}, Path: s.Path,
			Headers: func(ctx context.Context) (map[string]string, error) { return p.cfg.headersOf(ctx, s.Headers) },
		}
		f := alert.NewForwarder(p.db, tree.Place, p.cfg.node(), to, alert.ForwarderConfig{Metrics: p.tel.registry}, p.log)
		all = append(all, part{"siem " + s.Name, func(ctx context.Context) error { return f.Run(ctx) }})
	}
	return all, nil
}

// headersOf are headers by what their references stand for.
func (c Config) headersOf(ctx context.Context, references map[string]string) (map[string]string, error) {
	all := make(map[string]string, len(references))
	for name, reference := range references {
		value, err := c.secret(ctx, reference)
		if err != nil {
			return nil, err
		}
		all[name] = value
	}
	return all, nil
}
