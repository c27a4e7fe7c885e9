// Package odata calls any OData V2 or V4 service: it reads, queries and follows pages, creates with all that belongs to a document,
// changes under an ETag, calls operations, and joins what waits in one $batch.
//
// # Guarantees
//
//   - A request that does not fit the service's $metadata is never sent; it is refused with every violation.
//   - No text is pasted into an address: keys, literals and names come from the $metadata and are quoted by their types.
//   - One Deliver puts a request on the wire at most once, save that one which the service certainly did not touch is sent once more:
//     with a new CSRF token where its own had ended, and alone where the batch that it was in was refused as such. Redirects are never
//     followed.
//   - "Again" is said only of what certainly took no effect; whatever may have taken effect is Unsure, and is asked about by the
//     message's ID in a field that the ERP keeps.
//   - In a batch each message has a change set of its own. A part counts as done only if its whole change set is; a part that is
//     missing from the answer is Unsure.
//   - Ask says Again only after Config.AskAfter has passed since the last attempt that this process knows of, or since it was first
//     asked: until then the request may still be on its way into the ERP.
//   - Numbers keep every digit, dates their wall clock, moments their instant. Package edm says how.
//   - A secret that the ERP refused is not tried again for a minute, then for ten, then for an hour, by nobody: SAP locks users.
//   - No secret stands in a Config, an error or a log line. Answers are bounded in size and depth.
//
// # What a mapping names
//
// SERVICE/SET makes an entity, with what belongs to it nested under its navigation properties. SERVICE/SET/change changes one that
// the document's parameters name by its key. SERVICE/OPERATION calls a function import, an action or a function; its fields are the
// parameters, and those of the document are the key where it is bound. Values are in edm's plain form.
package odata

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// Link is one connection to one system. It is safe for concurrent use.
type Link struct {
	cfg      Config
	base     *url.URL
	http     *wire.Client
	creds    *credentials
	session  *session
	services map[string]*Client
	polls    []*Poll
	attempts *wire.Attempts
	states   foundStates

	forgetting forgetting

	slots    chan struct{} // one for each request under way
	log      *slog.Logger
	now      func() time.Time
	outdated atomic.Int64 // the age, in nanoseconds, from which SAP's gateway takes a request for one that it has forgotten; 0 is not known
	learnt   atomic.Int64 // how often a $metadata was read that is another one
}

// Open checks the configuration and reads the certificates and the $metadata files that it names. It does not call the ERP, which
// may be away; what needs its $metadata is checked when that is there.
func Open(cfg Config, resolve Resolve, log *slog.Logger) (*Link, error) {
	base, err := cfg.check()
	if err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	client, err := newClient(cfg)
	if err != nil {
		return nil, err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, fmt.Errorf("make a cookie jar: %w", err)
	}
	l := &Link{
		cfg: cfg, base: base, http: client, log: log, now: time.Now, attempts: wire.NewAttempts(), services: map[string]*Client{},
		session: &session{jar: jar, tokens: map[string]token{}, waits: map[string]waits{}}, slots: make(chan struct{}, cfg.Parallel),
		forgetting: forgetting{kept: &forgetfulInMemory{by: map[string]bool{}}, has: map[string]bool{}},
	}
	l.creds = newCredentials(cfg.Auth, resolve, client, cfg.MaxRetryAfter)
	for name, s := range cfg.Services {
		c := &Client{link: l, name: name, cfg: s, path: strings.TrimRight(s.Path, "/")}
		if s.Metadata != "" {
			if err := c.metadata.load(s.Metadata); err != nil {
				return nil, wrong("services."+name+".metadata", err.Error(), "save the service's $metadata there, or leave it out")
			}
		}
		l.services[name] = c
	}
	l.polls, err = l.newPolls()
	return l, err
}

// newClient makes the client side of HTTP.
func newClient(cfg Config) (*wire.Client, error) {
	secure, err := wire.TLS(cfg.TLS.CA, cfg.TLS.Cert, cfg.TLS.Key, cfg.TLS.ServerName)
	if e, ok := errors.AsType[*wire.SettingError](err); ok {
		return nil, wrong(e.Setting, e.Why, "name PEM files that can be read and belong together")
	}
	w := wire.Config{
		Timeout: cfg.Timeout, ConnectTimeout: cfg.ConnectTimeout, IdleTimeout: cfg.IdleTimeout, Idle: cfg.Parallel,
		MaxBody: cfg.MaxBody, TLS: secure,
	}
	if cfg.Proxy != "" {
		if w.Proxy, err = url.Parse(cfg.Proxy); err != nil {
			return nil, wrong("proxy", "it is no address", "for example http://proxy.example:3128")
		}
	}
	return wire.New(w), nil
}

// Close gives up the idle connections. Calls in hand are not disturbed.
func (l *Link) Close() { l.http.Close() }

// WhenDenied has f told that the ERP refuses the link's user or a right of it: when it begins, and each hour while it lasts. It is called
// before the link is used, and f must not call the link.
func (l *Link) WhenDenied(f func(why error)) { l.creds.guard.WhenDenied(f) }

// Service is the client of one service of the configuration.
func (l *Link) Service(name string) (*Client, error) {
	c, ok := l.services[name]
	if !ok {
		return nil, &problem.Error{
			Kind: problem.NotFound, What: fmt.Sprintf("service %q of the link", name), Why: "the link has no service of this name",
			Hint: "it has " + strings.Join(l.Services(), ", "),
		}
	}
	return c, nil
}

// Services are the names of the link's services, in order.
func (l *Link) Services() []string {
	var out []string
	for name := range l.services {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Accepts tells whether a mapping may name this target. What needs a $metadata that is not known yet is taken on trust.
func (l *Link) Accepts(name string) error {
	c, rest, err := l.split(name)
	if err != nil {
		return err
	}
	if m, _ := c.metadata.known(); m != nil {
		_, err = c.target(m, rest)
	}
	return err
}

// Targets are the sets and operations that Accepts takes, of the services whose $metadata is known.
func (l *Link) Targets() (out []string) {
	for name, c := range l.services {
		m, _ := c.metadata.known()
		if m == nil {
			continue
		}
		for _, what := range slices.Concat(slices.Collect(maps.Keys(m.Sets)), slices.Collect(maps.Keys(m.Operations))) {
			for _, whole := range []string{what, what + changed} {
				if _, err := c.target(m, whole); err == nil {
					out = append(out, name+"/"+whole)
				}
			}
		}
	}
	return out
}

// Warnings name what was passed over in the $metadata that is known, the writes whose lost answers a person must settle, and a question that
// may come too early.
func (l *Link) Warnings() []string {
	var out []string
	if need := mustOutlast(l.cfg.WorkLimit); l.cfg.AskAfter < need {
		out = append(out, fmt.Sprintf("ask_after: %s is less than the %s for which the ERP may work on a request after we gave it up: what is booked later would be sent and booked "+
			"twice. Leave ask_after out, or write as work_limit what the system has (rdisp/max_wprun_time, rdisp/scheduler/prio_normal/max_runtime)", l.cfg.AskAfter, need))
	}
	for _, name := range l.Services() {
		if m, _ := l.services[name].metadata.known(); m != nil {
			for _, w := range m.Warnings {
				out = append(out, name+": $metadata, "+w)
			}
		}
	}
	for _, target := range slices.Sorted(maps.Keys(l.cfg.Writes)) {
		if w := l.cfg.Writes[target]; !w.asks() && !w.Idempotent {
			out = append(out, fmt.Sprintf("%s: a lost answer parks its lane: it names neither id nor ask_fields nor idempotent", target))
		}
	}
	return out
}

// statusLine names a status.
func statusLine(status int) string {
	return strings.TrimSpace(fmt.Sprintf("%d %s", status, http.StatusText(status)))
}
