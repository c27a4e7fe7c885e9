package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/access"
	"holdfast/internal/alert"
	"holdfast/internal/anomaly"
	"holdfast/internal/edition"
	"holdfast/internal/httpapi"
	"holdfast/internal/inbox"
	"holdfast/internal/job"
	"holdfast/internal/mapping"
	"holdfast/internal/mes"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
	"holdfast/internal/token"
)

// floors is the plant with everything that stands on its database, joined. Commands that look and repair use it as serve does.
type floors struct {
	cfg    Config
	log    *slog.Logger
	db     *store.DB
	seat   *store.Seat  // of a process that relays
	mapsBy string       // the edition that it began with, or the folder as it was then
	rules  *mapping.Set // those that the plant began with

	unvouched bool   // whether these were approved could not be asked yet
	unfit     error  // why they are not those of the folder; nil if they are, or were published
	last      string // the edition that they are then

	live   *mapping.Live // those that it maps by now
	links  map[string]link
	outbox *outbox.Outbox
	plant  *mes.Plant
	inbox  *inbox.Inbox
	doer   *access.Doer
	tokens *token.Tokens
	gate   *access.Gate // nil: the API takes every call of this machine

	sessions *access.Sessions // of people in the console; nil as above
	jobs     *job.Jobs

	alerts  *alert.Alerts
	watch   *anomaly.Watch // nil: nothing is judged
	guard   *seal.Guard
	openers map[string]message.Decrypter // by link: what reads events that are encrypted to the plant
	fetches []*fetchedKeys               // keys of senders that are asked for by HTTP
}

// openFloors opens the database and everything on it. Close ends it.
func openFloors(ctx context.Context, cfg Config, hooks store.Config, log *slog.Logger) (*floors, error) {
	f := &floors{cfg: cfg, log: log, links: map[string]link{}}
	f.mapsBy = cfg.mapsBy(edition.State{}) // before it is read, so that a change meanwhile is seen
	var err error
	if f.rules, f.links, err = cfg.compile(log); err == nil {
		err = cfg.refuseUnfit(f.rules, f.links)
	}
	if err != nil && (len(f.links) < len(cfg.Links) || !cfg.remembers(ctx)) {
		return nil, errors.Join(err, f.Close())
	}
	unfit := err
	if unfit != nil && f.rules != nil {
		unfit = unfitError{err}
	}
	hooks.Log = log
	if err := cfg.refuseBeginning(ctx, log); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if f.db, err = openDatabase(ctx, cfg, hooks); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if err := f.useEdition(ctx, unfit); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	cfg.sealLazily(f.db)
	f.join()
	return f, nil
}

// useEdition takes the published edition of the mappings in the place of the folder's, and refuses what policy does not allow. unfit is what the folder's
// are refused for; nil if for nothing.
func (f *floors) useEdition(ctx context.Context, unfit error) error {
	s, err := currentEdition(ctx, f.db)
	if err != nil {
		return err
	}
	if s.Used.Edition == "" && unfit != nil {
		return f.useLast(ctx, unfit)
	}
	before := f.cfg.mapsBy(s)
	e, err := f.cfg.edition(ctx, f.db, s)
	if err == nil && s.Used.Edition == "" {
		err = f.cfg.vanished(ctx, f.db, e)
	}
	if err != nil && s.Used.Edition == "" {
		return f.useLast(ctx, err) // a folder that compiles may have a file beyond that which cannot be kept, or have none any more
	}
	if err != nil {
		return err
	}
	after := f.cfg.mapsBy(s)
	if before != f.mapsBy || before != after { // e is not what was compiled, or need not be
		compiled := compileEdition
		if s.Used.Edition != "" {
			compiled = compileKept
		}
		if f.rules, err = compiled(e); err == nil {
			found := f.cfg.fit(f.rules, f.links)
			newer(ctx, f.log, found)
			err = errors.Join(f.cfg.checkAgainst(f.rules, f.links), f.cfg.refused(found))
		}
		if err != nil {
			return errors.Join(err, refusedEdition(s))
		}
		f.mapsBy = before
	}
	return keepSet(ctx, f.db, f.rules, e)
}

// useLast has the plant go on by what it mapped by before, where its folder is refused: bad mappings never replace good ones. The error is unfit where
// nothing is remembered, or that does not fit what it is for either.
func (f *floors) useLast(ctx context.Context, unfit error) error {
	if _, unread := f.cfg.folder(); unread != nil {
		unfit = unread // in the words of the reloader, which would else tell of it once more
	}
	hash, err := f.cfg.lastUsed(ctx, f.db)
	if err != nil || hash == "" {
		return errors.Join(unfit, err)
	}
	var e edition.Edition
	err = f.db.View(ctx, func(tx *store.Tx) (err error) {
		e, err = edition.Load(ctx, tx, hash)
		return err
	})
	var rules *mapping.Set
	if err == nil {
		rules, err = compileKept(e)
	}
	if err == nil {
		found := f.cfg.fit(rules, f.links)
		newer(ctx, f.log, found)
		err = errors.Join(f.cfg.checkAgainst(rules, f.links), f.cfg.refused(found))
	}
	if err != nil {
		return unfit
	}
	f.log.ErrorContext(ctx, "ALARM: the mappings in the folder are not used: the plant goes on by those from before", "part", "mapping", "message", edition.Short(hash), "err", unfit)
	f.rules, f.unfit, f.last = rules, unfit, hash
	return keepSet(ctx, f.db, f.rules, e)
}

func openDatabase(ctx context.Context, cfg Config, hooks store.Config) (*store.DB, error) {
	url, err := cfg.databaseURL(ctx)
	if err != nil {
		return nil, err
	}
	hooks.BusyTimeout = cfg.Database.BusyTimeout
	hooks.Readers, hooks.MaxConns = cfg.Database.Readers, cfg.Database.MaxConnections
	return store.Open(ctx, url, hooks)
}

// join builds the floors upon each other; nothing in it can fail.
func (f *floors) join() {
	f.live = mapping.NewLive(f.rules)
	f.live.Recall(f.earlierRules)
	f.live.Read(documentsOf(f.links))
	f.tokens = token.New(f.cfg.Sensitive.config())
	f.alerts = alert.New(f.log)
	f.tokens.AlarmWith(f.alerts)
	f.guard, f.fetches = f.cfg.newGuard(f.db.Now, f.log)
	routes := make([]outbox.Route, 0, len(f.cfg.Routes))
	for _, r := range f.cfg.Routes {
		routes = append(routes, outbox.Route{Kinds: r.Kinds, Link: r.Link, Mapping: r.Mapping, Priority: r.Priority, Expires: r.Expires, Delay: r.Delay})
	}
	f.outbox = outbox.New(routes, f.cfg.Plant.Source, outbox.Config{
		Lease: f.cfg.Outbox.Lease, Backoff: f.cfg.Outbox.Backoff, AskAfter: f.cfg.Outbox.AskAfter, Keep: f.cfg.Outbox.Keep,
		Inline: f.cfg.Outbox.Inline, FourEyes: f.cfg.Policy.FourEyes, RestoredDoubt: f.cfg.Outbox.RestoredDoubt,
	})
	f.outbox.AlarmWith(f.alerts)
	f.outbox.MapBy(f.live.Kept)
	if f.tokens.On() {
		f.outbox.VeilWith(f.tokens)
	}
	p := f.cfg.Plant
	f.watch = f.cfg.watch()
	f.plant = mes.New(owing{f.outbox, f.watch, f.alerts}, mes.Config{
		Number: p.Number, Zone: f.cfg.zone(), OverDelivery: p.OverDelivery, OverIssue: p.OverIssue, OverReceipt: p.OverReceipt,
		Ahead: p.Ahead, OrderPrefix: p.OrderPrefix, LotPrefix: p.LotPrefix, References: f.outbox, Alarm: f.alerts,
	})
	f.inbox = inbox.New(f.db, f.live, f.apply, inbox.Config{
		Node: f.cfg.node(), GapAlert: f.cfg.Inbox.GapAlert, MaxBody: f.cfg.Inbox.MaxBody, Inline: f.cfg.Inbox.Inline, MaxEarly: f.cfg.Inbox.MaxEarly, Batch: f.cfg.Inbox.Batch,
		KeepFor: f.cfg.Inbox.Keep, KeepCount: f.cfg.Inbox.KeepCount, Resolve: f.plantID, Feeds: f.feeds(),
		Guard: f.guard, Alarm: f.alerts, Veil: f.tokens, Clean: f.withoutValues,
	}, f.log)
	f.remember()
	policy, _ := f.cfg.policy() // the check of the configuration has made it before
	f.doer = access.New(f.db).Under(policy)
	f.jobs = job.New(f.db, f.outbox, job.Config{ReplayOver: f.cfg.Policy.ReplayOver}, f.log.With("part", "job"))
}

// owing is the outbox as the plant sees it.
type owing struct {
	out    *outbox.Outbox
	watch  *anomaly.Watch // nil: nothing is judged
	alerts *alert.Alerts
}

// Append owes m, with the trace of the call that caused it, to each link that a route names.
func (o owing) Append(ctx context.Context, tx *store.Tx, m message.Message) error {
	m.Trace = cmp.Or(m.Trace, httpapi.Traceparent(ctx))
	held, err := o.doubtful(ctx, tx, m)
	if err != nil {
		return err
	}
	return o.out.Append(ctx, tx, m, held...)
}

// plantID finds the plant's own name of an ERP's object.
func (f *floors) plantID(ctx context.Context, tx *store.Tx, link, object string) (string, bool, error) {
	kind, number, _ := strings.Cut(object, "/")
	named, known, err := f.outbox.Object(ctx, tx, link, kind, number)
	return strings.TrimPrefix(named, kind+"/"), known, err
}

func (f *floors) feeds() []inbox.Feed {
	var all []inbox.Feed
	for name, l := range f.links {
		for _, p := range feeds(l) {
			all = append(all, inbox.Feed{
				Name: name + "/" + p.Name(), Link: name, Every: p.Every(), Source: p, Ended: p.Ended,
				Held: func(ctx context.Context, tx *store.Tx) (time.Duration, error) { return f.outbox.Held(ctx, tx, name) },
				Hold: func(ctx context.Context, tx *store.Tx, wait time.Duration) error {
					return f.outbox.Hold(ctx, tx, name, wait)
				},
			})
		}
	}
	return all
}

// relay is the mover of what is owed; what is appended from now on may be in its hand at once.
func (f *floors) relay(metrics prometheus.Registerer) *relay.Relay {
	links := map[string]relay.Link{}
	for name, l := range f.links {
		c := f.cfg.Links[name]
		most, first := c.concurrency()
		links[name] = relay.Link{
			Deliverer: l, Rate: float64(c.Rate), Concurrency: most, Start: first, Batch: c.Batch, Together: c.together(), Attempts: c.Attempts, Timeout: c.timeout(), Requests: c.requests(),
		}
	}
	r := relay.New(f.db, f.outbox, f.cfg.mapper(f.live, f.tokens, f.db), seal.Chain, links, relay.Config{
		Node: f.cfg.node(), Poll: f.cfg.Relay.Poll, Grace: f.cfg.Relay.Grace, Backoff: f.cfg.Relay.Backoff,
		Failures: uint(f.cfg.Relay.Failures), Probe: f.cfg.Relay.Probe, Metrics: metrics, Term: f.seat.Term,
	}, f.log.With("part", "relay"))
	f.outbox.HandTo(r)
	return r
}

// numbering tells the plant the ERP's numbers of what it made itself.
func (f *floors) numbering() *mes.Numbering {
	return mes.NewNumbering(f.db, f.plant, f.outbox, f.log.With("part", "numbering"))
}

// api is the plant's own API.
func (f *floors) api() *httpapi.Server {
	c := httpapi.Config{BodyLimit: f.cfg.API.BodyLimit, MaxBody: int64(f.cfg.Inbox.MaxBody), Timeout: f.cfg.API.Timeout, MaxWait: f.cfg.API.MaxWait, CheckAnswers: f.cfg.API.CheckAnswers}
	c.Links = make(map[string]bool, len(f.links))
	for name := range f.links {
		c.Links[name] = len(f.cfg.Links[name].Verify.Senders) > 0
		if len(f.links) == 1 {
			c.Link = name
		}
	}
	return httpapi.New(httpapi.Parts{
		Checker: sendable{f.outbox, f.cfg.mapper(f.live, f.tokens, f.db), f.links, f.live}, Veil: f.tokens, Tokens: f.tokens, Openers: f.openers,
		DB: f.db, Plant: f.plant, Outbox: f.outbox, Jobs: f.jobs, Inbox: f.inbox, Doer: f.doer, Gate: f.gate,
	}, c, f.log.With("part", "api"))
}

// Close closes links and database; it is safe on floors that were opened in part.
func (f *floors) Close() error {
	for _, l := range f.links {
		l.Close()
	}
	if f.db == nil {
		return nil
	}
	if f.seat == nil {
		return f.db.Close()
	}
	return errors.Join(f.seat.Close(), f.db.Close())
}

// node is the name of this process among those of one database.
func (c Config) node() string {
	if c.Relay.Node != "" {
		return c.Relay.Node
	}
	if host, err := os.Hostname(); err == nil {
		return host
	}
	return "holdfast"
}
