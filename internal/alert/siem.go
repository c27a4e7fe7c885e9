package alert

import (
	"cmp"
	"context"
	"crypto/tls"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Collector is where the record is handed on to, by syslog over TLS (RFC 5424, RFC 5425), or by OTLP where its Form is that.
type Collector struct {
	Name    string // of its place in the record, which outlives the configuration
	Address string // host:port
	TLS     *tls.Config
	Form    Form
	Path    string                                               // of OTLP; default /v1/logs
	Headers func(ctx context.Context) (map[string]string, error) // of OTLP: who calls, asked for each time; nil: none
}

// ForwarderConfig tunes a Forwarder; zero fields mean the default.
type ForwarderConfig struct {
	Every   time.Duration // how often entries are looked for; default 2 s
	Timeout time.Duration // of one connection, from its dial to its confirmed end; default 20 s
	Batch   int           // entries that one connection carries at most; default 500
	Metrics prometheus.Registerer
}

// Forwarder hands the audit record on to a collector, and with it every security event, since each has an entry there.
//
// # Guarantees
//
//   - Nothing is lost: an entry counts as handed on once the collector has closed the connection over which it went, after all that was
//     written to it, as TLS tells (close_notify), or by OTLP once it has answered that it has taken all. Syslog knows no other answer; bytes that
//     lie in a buffer of the network when the collector dies are sent again. While it is away the backlog stays where it is, in the database.
//   - An entry that a collector refuses by OTLP is sent alone and again, until it is taken; what comes after it waits.
//   - In order: by the places of the tree, one connection after the other, by one node at a time.
//   - Who breaks the record does not silence what tells of it: while it stands, so that entries get no places, they are handed on by their numbers,
//     with the place -1. Collectors have them again with their places once it goes on; see ahead.go.
//   - Repetitions are possible, and told by the place that each message bears.
type Forwarder struct {
	db    *store.DB
	place func(ctx context.Context) error
	node  string
	to    Collector
	cfg   ForwarderConfig
	log   *slog.Logger

	carry func(ctx context.Context, entries []placed) error // hands a batch on
	first func(ctx context.Context) error                   // what is done before; nil: nothing
	fresh bool                                              // it begins with what is recorded from its first start on
	once  bool                                              // what was handed on while the record stood is not repeated with its place

	away   bool // of Run
	narrow bool // a batch was refused: entries go one by one, so that what was taken of it is repeated once and not with each attempt
	stands bool // the record does: it gives no places
	behind prometheus.Gauge
	beyond prometheus.Gauge
}

// placed is an entry with its place; -1 where it has none, since the record stands.
type placed struct {
	audit.Entry
	place int64
}

// NewForwarder returns a Forwarder of a node. place gives entries that have none their places (audit.Tree.Place).
func NewForwarder(db *store.DB, place func(ctx context.Context) error, node string, to Collector, cfg ForwarderConfig, log *slog.Logger) *Forwarder {
	cfg.Every, cfg.Timeout, cfg.Batch = cmp.Or(cfg.Every, every), cmp.Or(cfg.Timeout, 20*time.Second), cmp.Or(cfg.Batch, 500)
	f := &Forwarder{db: db, place: place, node: node, to: to, cfg: cfg, log: log.With("part", "siem", "collector", to.Name)}
	if f.carry = f.send; to.Form.Name == OTLP {
		o := &otlp{to: to, timeout: f.cfg.Timeout, records: &records{}}
		f.carry = func(ctx context.Context, entries []placed) error { return f.judged(o.send(ctx, entries)) }
	}
	f.behind = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "holdfast", Subsystem: "siem", Name: "behind_seconds", Help: "Age of the oldest entry that a collector does not have.",
		ConstLabels: prometheus.Labels{"collector": to.Name},
	})
	f.beyond = prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: "holdfast", Subsystem: "siem", Name: "record_stands", Help: "1 while the audit record gives entries no places: what is new is handed on without.",
		ConstLabels: prometheus.Labels{"collector": to.Name},
	})
	if cfg.Metrics != nil {
		cfg.Metrics.MustRegister(f.behind, f.beyond)
	}
	return f
}

// Run hands on until ctx ends. A collector that is away is tried again as long as it takes.
func (f *Forwarder) Run(ctx context.Context) error {
	tick := time.NewTicker(f.cfg.Every)
	defer tick.Stop()
	for {
		f.round(ctx)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// round hands on all that there is, and tells once that the collector is away, and once that it is back.
func (f *Forwarder) round(ctx context.Context) {
	for {
		n, err := f.Forward(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !f.away {
			f.log.ErrorContext(ctx, "security events wait for their collector; none is lost", "err", err)
		}
		if err == nil && n > 0 && f.away {
			f.log.InfoContext(ctx, "the collector of security events is back")
		}
		if err != nil || n > 0 {
			f.away = err != nil
		}
		if err != nil || n == 0 {
			return
		}
	}
}

// Forward hands one batch on and says how many entries that were: 0 if there are none, or another node does it.
func (f *Forwarder) Forward(ctx context.Context) (int, error) {
	from, mine, err := f.lease(ctx)
	if err != nil || !mine {
		return 0, err
	}
	if f.first != nil {
		if err := f.first(ctx); err != nil {
			return 0, err
		}
	}
	stands := f.place(ctx)
	if err := f.stood(ctx, stands); err != nil {
		return 0, err
	}
	entries, next, err := f.page(ctx, from)
	if err != nil || len(entries) == 0 {
		f.narrow = f.narrow && (err != nil || stands != nil)
		if err == nil && stands != nil {
			return f.ahead(ctx)
		}
		return 0, err
	}
	news, err := f.news(ctx, entries)
	if err == nil && len(news) > 0 {
		err = f.carry(ctx, news)
	}
	if err != nil {
		return 0, errors.Join(err, f.trouble(ctx, err))
	}
	return len(entries), f.advance(ctx, from, next, entries)
}

// page reads what is next, and how old it is.
func (f *Forwarder) page(ctx context.Context, from int64) (all []placed, next int64, err error) {
	err = f.db.View(ctx, func(tx *store.Tx) error {
		entries, n, err := audit.Placed(ctx, tx, from, f.most())
		all, next = make([]placed, len(entries)), n
		for i, e := range entries {
			all[i] = placed{e, from + int64(i)}
		}
		f.aged(tx, all)
		return err
	})
	return all, next, err
}

// most is how many entries a batch has at most.
func (f *Forwarder) most() int {
	if f.narrow {
		return 1
	}
	return f.cfg.Batch
}

// aged counts how old the first entry is that is to be handed on.
func (f *Forwarder) aged(tx *store.Tx, all []placed) {
	f.behind.Set(0)
	if len(all) > 0 {
		f.behind.Set(tx.Now.Sub(all[0].At).Seconds())
	}
}

// lease takes the collector for this node, for longer than a connection may last. A place beyond the end of the record is nobody's: who has cut its end
// would have what comes there next handed on to nobody.
func (f *Forwarder) lease(ctx context.Context) (from int64, mine bool, err error) {
	err = f.db.InTx(ctx, func(tx *store.Tx) error {
		var c struct {
			Place, Until int64
			Owner        string
		}
		size, err := audit.Size(ctx, tx)
		if err != nil {
			return err
		}
		var first int64
		if f.fresh {
			first = size
		}
		if _, err := tx.Exec(ctx, `INSERT INTO siem_cursors (collector, place) VALUES (?, ?) ON CONFLICT (collector) DO NOTHING`, f.to.Name, first); err != nil {
			return err
		}
		if err := tx.Get(ctx, &c, `SELECT place, owner, until FROM siem_cursors WHERE collector = ?`+tx.ForUpdate(), f.to.Name); err != nil {
			return err
		}
		from, mine = c.Place, c.Owner == f.node || c.Until <= store.Micros(tx.Now)
		if !mine {
			return nil
		}
		from = min(from, size)
		_, err = tx.Exec(ctx, `UPDATE siem_cursors SET owner = ?, until = ?, place = ? WHERE collector = ?`, f.node, store.Micros(tx.Now.Add(2*f.cfg.Timeout)), from, f.to.Name)
		return err
	})
	if err != nil {
		return 0, false, fmt.Errorf("take collector %s: %w", f.to.Name, err)
	}
	return from, mine, nil
}

// advance notes that the collector has what lies before next. A node whose lease has ended meanwhile notes nothing: its successor sends
// the same again.
func (f *Forwarder) advance(ctx context.Context, from, next int64, had []placed) error {
	err := f.db.InTx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE siem_cursors SET place = ?, sent_at = ?, trouble = '' WHERE collector = ? AND owner = ? AND place = ?`,
			next, store.Micros(tx.Now), f.to.Name, f.node, from)
		if err != nil || n == 0 {
			return err
		}
		return f.forget(ctx, tx, had)
	})
	if err != nil {
		return fmt.Errorf("note what collector %s has: %w", f.to.Name, err)
	}
	return nil
}

func (f *Forwarder) trouble(ctx context.Context, why error) error {
	return f.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE siem_cursors SET trouble = ? WHERE collector = ? AND owner = ?`, why.Error(), f.to.Name, f.node)
		return err
	})
}

// send carries entries over a connection of their own, and returns nil once the collector has read them all.
func (f *Forwarder) send(ctx context.Context, entries []placed) error {
	ctx, cancel := context.WithTimeout(ctx, f.cfg.Timeout)
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.to.Address)
	if err != nil {
		return f.unreached("it was not reached", err)
	}
	defer raw.Close()
	defer context.AfterFunc(ctx, func() { _ = raw.SetDeadline(time.Unix(1, 0)) })()
	end := &watched{Conn: raw}
	c := tls.Client(end, f.tls())
	var stream []byte
	for _, e := range entries {
		stream = frame(stream, f.to.Form.Line(e.Entry, e.place))
	}
	if _, err := c.Write(stream); err != nil {
		return f.unreached("it broke off", err)
	}
	if err := c.CloseWrite(); err != nil {
		return f.unreached("it broke off", err)
	}
	if _, err = io.Copy(io.Discard, io.LimitReader(c, 1<<20)); err == nil && end.ended {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return f.unreached("it did not confirm what it was sent", err)
	}
	return nil
}

// watched tells whether a connection ended by itself. crypto/tls takes that for an end of the collector's too, as web sites ask for it; but only
// close_notify, after which it reads no further, says that the collector has read everything, and not that its machine is gone.
type watched struct {
	net.Conn
	ended bool
}

// Read implements net.Conn.
func (w *watched) Read(b []byte) (int, error) {
	n, err := w.Conn.Read(b)
	w.ended = w.ended || errors.Is(err, io.EOF)
	return n, err
}

// judged is how handing on by OTLP went.
func (f *Forwarder) judged(err error) error {
	if err == nil {
		return nil
	}
	if _, refused := errors.AsType[refusal](err); refused {
		f.narrow = true
		return f.unreached("it does not take them", err)
	}
	return f.unreached("it did not confirm what it was sent", err)
}

// tls is the configuration of a connection: it asks for the name in the address, unless another one is configured.
func (f *Forwarder) tls() *tls.Config {
	c := f.to.TLS.Clone()
	if host, _, err := net.SplitHostPort(f.to.Address); err == nil && c.ServerName == "" {
		c.ServerName = host
	}
	return c
}

func (f *Forwarder) unreached(why string, err error) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "hand security events on to " + f.to.Address, Why: why,
		Hint: "start the collector, or correct siem; what waits is kept and goes first", Cause: err,
	}
}

// Backlog is how a collector stands.
type Backlog struct {
	Collector string
	Place     int64     // of the next entry that it is to have
	Waiting   int64     // entries with a place that it does not have
	SentAt    time.Time // when it last had something; zero for never
	Trouble   string    // why it has not more; "" for nothing
}

// BacklogOf is how a collector stands; the zero Backlog before anything was handed on.
func BacklogOf(ctx context.Context, tx *store.Tx, collector string) (Backlog, error) {
	var c struct {
		Place   int64
		SentAt  int64 `db:"sent_at"`
		Trouble string
	}
	err := tx.Get(ctx, &c, `SELECT place, sent_at, trouble FROM siem_cursors WHERE collector = ?`, collector)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return Backlog{}, fmt.Errorf("read how collector %s stands: %w", collector, err)
	}
	size, err := audit.Size(ctx, tx)
	return Backlog{collector, c.Place, size - c.Place, store.FromMicros(c.SentAt), c.Trouble}, err
}
