package main

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast/internal/access"
	"holdfast/internal/audit"
	"holdfast/internal/console"
	"holdfast/internal/heap"
	"holdfast/internal/httpapi"
	"holdfast/internal/seal"
)

func serveCommand() *cobra.Command {
	var listen, control string
	cmd := &cobra.Command{
		Use:     "serve",
		Short:   "Run a plant",
		Long:    "Run the plant of the configuration until the program is told to end (SIGTERM, Ctrl-C). What is under way is finished first.",
		Example: "  holdfast serve --config /etc/holdfast/holdfast.yaml",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := configOf(cmd)
			if err != nil {
				return err
			}
			if listen != "" {
				cfg.API.Listen = listen
			}
			log, err := newLogger(cfg.Log, cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return serve(cmd.Context(), cfg, control, log)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "", "address of the API, instead of api.listen")
	cmd.Flags().StringVar(&control, "torture-control", "", "socket by which torture moves this process's clock and slows its database")
	if err := cmd.Flags().MarkHidden("torture-control"); err != nil {
		panic(err) // the flag is defined one line above
	}
	return cmd
}

// configOf reads the file that --config names; of a call from elsewhere it is what the server runs by.
func configOf(cmd *cobra.Command) (Config, error) {
	if c := calledFrom(cmd.Context()); c != nil {
		return c.records().cfg, nil
	}
	file, err := cmd.Flags().GetString("config")
	if err != nil {
		return Config{}, err
	}
	return loadConfig(file)
}

// serve runs a plant until ctx ends.
func serve(ctx context.Context, cfg Config, control string, log *slog.Logger) (err error) {
	defer heap.Keep()()
	tamper := newTamper()
	tel, err := openTelemetry(ctx, cfg.Telemetry)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tel.Close(context.WithoutCancel(ctx))) }()
	f, err := openFloors(ctx, cfg, tamper.store(), log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	p := &process{floors: f, tel: tel}
	if err := p.takeSeat(ctx); err != nil { // before the ports: where another process serves this plant, that is what is to be told
		return err
	}
	if err := p.openKeys(ctx); err != nil {
		return err
	}
	if err := p.vouched(ctx); err != nil {
		return err
	}
	if err := p.listen(ctx); err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	if control != "" {
		g.Go(func() error { return tamper.Run(ctx, control) })
	}
	g.Go(func() error { return p.Run(ctx) })
	return g.Wait()
}

// process is a plant with its two listeners: serve runs one, the demo another.
type process struct {
	*floors
	tel  *telemetry
	api  net.Listener
	ops  net.Listener
	keys []part // what keeps the node's keys fresh; none where it has no keyring
	ring *seal.Ring
	rest *seal.Rest // seals what is kept; nil without a keyring

	providers *access.Providers // that people sign in at; nil: there are none
	passkeys  *access.Passkeys  // of the plant's accounts; nil: none is taken
	badges    *access.Badges    // at terminals of the shop floor; nil: none counts
	directory *access.Members   // that people have accounts in; nil: there is none

	issuers *access.Issuers // whose tokens the API believes; nil without access
	anchor  *seal.Vault     // signs checkpoints of the audit record besides; nil without Vault
	record  *audit.Tree     // of the audit record, from openKeys on; nil without a keyring until Run
}

// takeSeat takes the node's name. It refuses beside a process that has it.
func (p *process) takeSeat(ctx context.Context) error {
	seat, err := p.db.TakeSeat(ctx, p.cfg.node())
	if err == nil {
		p.seat = seat
	}
	return err
}

// openKeys gives the node its key, where the plant has a keyring.
func (p *process) openKeys(ctx context.Context) error {
	if p.cfg.Keys.Kind == "" {
		return p.proveLinks(ctx)
	}
	k, err := p.cfg.openKeyring(ctx, p.db.Now, p.log)
	if err != nil {
		return err
	}
	p.tellOpened(k)
	p.cfg.warnOfReadable(ctx, p.log)
	if err := p.cfg.refuseForeignCA(ctx, p.db, k); err != nil {
		return err
	}
	if p.rest, err = p.cfg.openRest(ctx, p.floors, k, p.tel.registry); err != nil {
		return p.cfg.coldStart(err)
	}
	p.db.SealWith(p.rest) // before the ring: what becomes of the node's key is an entry with a MAC
	if p.ring, err = p.cfg.openRing(ctx, p.db, k, p.tel.registry, p.log); err != nil {
		return err
	}
	p.anchor, _ = k.Keyring.(*seal.Vault)
	if err := p.openRecord(ctx); err != nil {
		return err
	}
	p.outbox.SignWith(p.ring)
	p.keys = []part{{"keys", p.ring.Run}, {"rest", p.rest.Run}, {"reseal", p.sealOwed}}
	if k.run != nil {
		p.keys = append(p.keys, part{"keyring", k.run})
	}
	return p.proveLinks(ctx)
}

func (p *process) listen(ctx context.Context) (err error) {
	if p.gate, p.issuers, err = p.cfg.gate(p.db); err != nil {
		return err
	}
	if p.gate != nil {
		p.sessions = p.cfg.sessions(p.db, p.gate.Policy())
		if p.providers, err = p.cfg.providers(p.sessions); err != nil {
			return err
		}
		p.badges = p.cfg.badges(p.sessions)
		if p.passkeys, err = p.cfg.passkeys(p.sessions); err != nil {
			return err
		}
		if p.directory, err = p.cfg.members(p.sessions, p.log); err != nil {
			return err
		}
	}
	if p.api, err = p.cfg.listenAPI(ctx); err != nil {
		return err
	}
	if p.ops, err = httpapi.Listen(ctx, p.cfg.Ops.Listen); err != nil {
		return errors.Join(err, p.api.Close())
	}
	return nil
}

// Run runs every part until ctx ends or one fails. They end one after the other: first the API, so that no work comes in from the
// plant; then the inbox with its feeds, so that none comes from an ERP; then the relay, which finishes what is under way; last what
// these need and what watches them. The seat is taken already.
func (p *process) Run(ctx context.Context) (err error) {
	for name, l := range p.links {
		for _, w := range warnings(l) {
			p.log.WarnContext(ctx, "a contract asks for more than the link can do", "part", "link", "link", name, "warning", w)
		}
	}
	if err := p.warnOfRemoved(ctx); err != nil {
		return errors.Join(err, p.api.Close(), p.ops.Close())
	}
	backups, err := p.backups(ctx)
	if err != nil {
		return errors.Join(err, p.api.Close(), p.ops.Close())
	}
	defer func() { err = errors.Join(err, backups.Turn.Close()) }()
	p.tel.registry.MustRegister(buildInfo(), &inboxFigures{p.db, p.inbox}, p.alerts.Collector())
	api := p.api.Addr().String()
	p.log.InfoContext(ctx, "the plant runs", "part", "serve", "api", api, "console", p.cfg.apiScheme()+"://"+api+console.Root, "ops", p.ops.Addr().String(),
		"database", p.db.String())
	log := p.log.With("part", "serve")
	if p.record == nil {
		p.record = p.tree()
	}
	tree := p.record
	handing, err := p.forwarders(tree)
	if err != nil {
		return errors.Join(err, p.api.Close(), p.ops.Close())
	}
	alerting, err := p.alerting(tree)
	if err != nil {
		return errors.Join(err, p.api.Close(), p.ops.Close())
	}
	watchers := []part{{"audit", tree.Run}, {"store", p.db.Run}, {"seat", p.seat.Run}, {"ops", func(ctx context.Context) error { return p.serveOps(ctx, p.ops) }}}
	if p.issuers != nil {
		watchers = append(watchers, part{"issuers", p.issuers.Run})
	}
	if p.providers != nil {
		watchers = append(watchers, part{"providers", p.providers.Run})
	}
	if p.directory != nil {
		watchers = append(watchers, part{"directory", p.directory.Run})
	}
	watchers = append(append(watchers, handing...), alerting...)
	if p.watch != nil {
		watchers = append(watchers, part{"anomaly", p.tidies})
	}
	err = runStages(ctx, p.bound(), log,
		p.web(),
		append(p.listeners(), part{"inbox", p.inbox.Run}, part{"access", p.doer.Run}, part{"job", p.jobs.Run}, part{"mapping", p.newReloader().Run}, part{"backup", backups.Run},
			part{"backup-log", backups.RunLog}, part{"reconcile", p.reconciler().Run}, part{"settling", p.settling().Run}),
		[]part{{"relay", p.relay(p.tel.registry).Run}, {"numbering", p.numbering().Run}},
		append(p.keys, watchers...),
	)
	log.InfoContext(context.WithoutCancel(ctx), "the plant has stopped")
	return err
}

// bound is how long one stage may take for its end: the relay gives a request its grace, and twice that to record the answer. The API
// waits for its requests about as long.
func (p *process) bound() time.Duration {
	return 4 * cmp.Or(p.cfg.Relay.Grace, 10*time.Second)
}
