package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/amqp"
	"holdfast/cmd/holdfast/internal/line"
	"holdfast/cmd/holdfast/internal/rabbit"
	"holdfast/internal/body"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// passage is an outbox and an inbox with a RabbitMQ between them. What the one owes, the other writes into a ledger, in the transaction
// of each effect. Broker, wire and databases are the test's own, and are struck while messages pass.
type passage struct {
	t        *testing.T
	node     *rabbit.Node
	wire     *line.Line
	out      *outbox.Outbox
	sender   *store.DB
	receiver *store.DB
	in       *inbox.Inbox
	work     errgroup.Group

	answered [8]atomic.Int64 // by lane: the acts that were answered, each of which owes one message
	effects  atomic.Int64    // as the ledger was seen last
	larges   atomic.Int64    // effects of messages with large bodies, those undone included
	spoilt   atomic.Int64    // of these, bodies that were not what was owed
	voided   atomic.Int64    // as the sender has counted last
}

const (
	passageLink = "erp"
	// passageAhead is how many messages are owed and without effect at any time: whatever is struck, it is in the middle of a batch.
	passageAhead = 400
	// Each tenth message of a lane expires soon: one that is not sent by then, as while a strike lasts, is delivered as a void.
	passageExpires, passageExpiry = 10, 200 * time.Millisecond
	// Some of the first in each lane are larger than what a row takes: they stand beside their messages, on either side.
	passageLarge, passageLargest, passageSize = 33, 990, 300 << 10
)

// passageBody is what the act n in lane has to say.
func passageBody(lane string, n int64) map[string]any {
	said := map[string]any{"n": n}
	if n <= passageLargest && n%passageLarge == 0 && n%passageExpires != 0 {
		said["curve"] = strings.Repeat(fmt.Sprintf("%s-%d ", lane, n), passageSize/4)[:passageSize]
	}
	return said
}

// openPassage lays everything between two empty databases, and starts it. What it returns ends the writers, waits until all is through
// and ends everything.
func openPassage(t *testing.T, sender, receiver string) (p *passage, finish func()) {
	t.Helper()
	p = &passage{t: t, out: outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: passageLink}}, "urn:plant:1000", outbox.Config{Lease: tortureLease})}
	p.sender = p.openDatabase(sender, `CREATE TABLE acts (id TEXT PRIMARY KEY)`)
	ledger := `CREATE TABLE ledger (seq BIGSERIAL PRIMARY KEY, id TEXT NOT NULL, lane TEXT NOT NULL, number BIGINT NOT NULL)`
	if p.sender.Dialect() == store.SQLite {
		ledger = `CREATE TABLE ledger (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, lane TEXT NOT NULL, number INTEGER NOT NULL)`
	}
	p.receiver = p.openDatabase(receiver, ledger)
	p.in = inbox.New(p.receiver, nil, p.enter, inbox.Config{Poll: torturePoll}, slog.New(slog.DiscardHandler))
	p.openBroker()
	from, to := p.openLinks()
	mover := relay.New(p.sender, p.out, nil, seal.Chain, map[string]relay.Link{passageLink: {Deliverer: from, Concurrency: 500, Start: 500}},
		relay.Config{Poll: torturePoll, Probe: torturePoll, Backoff: 100 * time.Millisecond}, slog.New(slog.DiscardHandler))
	f := &floors{inbox: p.in}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	for _, run := range []func(context.Context) error{
		p.wire.Run, mover.Run, p.in.Run, p.sender.Run, p.receiver.Run, p.look,
		func(ctx context.Context) error { return to.Run(ctx, f.accept(passageLink)) },
	} {
		p.work.Go(func() error { return run(ctx) })
	}
	enough := p.write()
	t.Cleanup(func() {
		enough()
		stop()
		if err := p.work.Wait(); err != nil {
			t.Error(err)
		}
	})
	return p, func() {
		enough()
		p.drain()
	}
}

func (p *passage) openDatabase(url, table string) *store.DB {
	p.t.Helper()
	db, err := store.Open(p.t.Context(), url, store.Config{})
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = db.Close() }) // its server may be gone
	err = db.InTx(p.t.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(p.t.Context(), table)
		return err
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return db
}

// openBroker starts a RabbitMQ, and lays the wire to it.
func (p *passage) openBroker() {
	p.t.Helper()
	var err error
	if p.node, err = rabbit.Open(filepath.Join(p.t.TempDir(), "rabbitmq")); err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		if err := p.node.Close(); err != nil {
			p.t.Error(err)
		}
	})
	if err := p.node.Start(p.t.Context()); err != nil {
		p.t.Fatal(err)
	}
	u, err := url.Parse(p.node.Address)
	if err != nil {
		p.t.Fatal(err)
	}
	if p.wire, err = line.Open(p.t.Context(), u.Host); err != nil {
		p.t.Fatal(err)
	}
}

// openLinks opens both ends of the queue, each with connections of its own through the wire.
func (p *passage) openLinks() (from, to *amqp.Link) {
	p.t.Helper()
	both := amqp.Config{
		Addresses: []string{"amqp://" + p.wire.Address() + "/"}, User: p.node.User, Password: "env:PASSWORD", StopTimeout: 2 * time.Second,
		Exchanges: []amqp.Exchange{{Name: "plant"}},
		Queues:    []amqp.Queue{{Name: "erp", SingleActive: true, Bindings: []amqp.Binding{{Exchange: "plant", Key: "#"}}}},
	}
	open := func(c amqp.Config) *amqp.Link {
		l, err := amqp.Open(c, func(context.Context, string) (string, error) { return p.node.Password, nil }, slog.New(slog.DiscardHandler))
		if err != nil {
			p.t.Fatal(err)
		}
		p.t.Cleanup(l.Close)
		return l
	}
	send, receive := both, both
	send.Publish = &amqp.Publish{Exchange: "plant"}
	receive.Receive = &amqp.Receive{Queue: "erp"}
	return open(send), open(receive)
}

// enter is the effect of a message. The ledger would take it twice.
func (p *passage) enter(ctx context.Context, tx *store.Tx, m message.Message) error {
	if m.Large != nil {
		got, err := m.Read(ctx, message.MaxBody)
		if err != nil {
			return err
		}
		want, err := json.Marshal(passageBody(m.Lane, m.Number))
		if p.larges.Add(1); err != nil || !bytes.Equal(got, want) {
			p.spoilt.Add(1)
		}
	}
	_, err := tx.Exec(ctx, `INSERT INTO ledger (id, lane, number) VALUES (?, ?, ?)`, m.ID, m.Lane, m.Number)
	return err
}

// look reads from time to time how far the ledger is, and what became a void. While its database is away it is as far as it was.
func (p *passage) look(ctx context.Context) error {
	for sleep(ctx, 50*time.Millisecond) == nil {
		var n int64
		err := p.receiver.View(ctx, func(tx *store.Tx) error { return tx.Get(ctx, &n, `SELECT coalesce(max(seq), 0) FROM ledger`) })
		if err == nil {
			p.effects.Store(n)
		}
		if l, err := p.links(ctx); err == nil {
			p.voided.Store(l.Voided)
		}
	}
	return nil
}

// links is what the sender says of its link.
func (p *passage) links(ctx context.Context) (l outbox.Link, err error) {
	err = p.sender.View(ctx, func(tx *store.Tx) error {
		links, err := p.out.Links(ctx, tx)
		if len(links) == 1 {
			l = links[0]
		}
		return err
	})
	return l, err
}

// through is how many messages need nothing more.
func (p *passage) through() int64 { return p.effects.Load() + p.voided.Load() }

// owed is how many messages were promised so far.
func (p *passage) owed() (n int64) {
	for lane := range p.answered {
		n += p.answered[lane].Load()
	}
	return n
}

// write starts a writer for each lane. What it returns has them finish the act in hand.
func (p *passage) write() (enough func()) {
	ctx, stop := context.WithCancel(p.t.Context())
	var writers sync.WaitGroup
	for lane := range p.answered {
		writers.Go(func() {
			for n := 1; ctx.Err() == nil; n++ {
				for p.owed()-p.through() >= passageAhead && sleep(ctx, 2*time.Millisecond) == nil {
				}
				for p.act(lane, n) != nil && !p.t.Failed() {
					time.Sleep(20 * time.Millisecond)
				}
				p.answered[lane].Add(1)
			}
		})
	}
	return sync.OnceFunc(func() {
		stop()
		writers.Wait()
	})
}

// act is a change of the plant that owes a message. One that was committed though its answer was lost is not done again.
func (p *passage) act(lane, n int) error {
	ctx := context.WithoutCancel(p.t.Context())
	return p.sender.InTx(ctx, func(tx *store.Tx) error {
		id := fmt.Sprintf("%d-%d", lane, n)
		fresh, err := tx.Exec(ctx, `INSERT INTO acts (id) VALUES (?) ON CONFLICT DO NOTHING`, id)
		if err != nil || fresh == 0 {
			return err
		}
		m, err := message.New(id, "goods.issued", fmt.Sprint(lane), tx.Now, passageBody(fmt.Sprint(lane), int64(n)))
		if err != nil {
			return err
		}
		if n%passageExpires == 0 {
			return p.out.Append(ctx, tx, m, outbox.Expires(tx.Now.Add(passageExpiry)))
		}
		return p.out.Append(ctx, tx, m)
	})
}

// patience only ends a test that would never end: it is far beyond what a loaded machine needs.
const patience = 5 * time.Minute

// goesOn waits until messages pass again.
func (p *passage) goesOn(after string) {
	p.t.Helper()
	begin := p.effects.Load()
	err := until(p.t.Context(), patience, "messages pass after "+after, func() (bool, error) { return p.effects.Load() > begin+200, nil })
	if err != nil {
		p.t.Fatal(err)
	}
}

// drain waits until all that was owed is in the ledger or a void, and nothing more comes, and until it is in the sender's history.
func (p *passage) drain() {
	p.t.Helper()
	ctx := p.t.Context()
	err := until(ctx, patience, "all that is owed has arrived", func() (bool, error) {
		l, err := p.links(ctx)
		return l.Owed == 0 && p.through() >= p.owed(), err
	})
	if err == nil {
		err = until(ctx, patience, "all that is settled is filed", func() (filed bool, err error) {
			err = p.sender.View(ctx, func(tx *store.Tx) error {
				n, err := p.out.Unfiled(ctx, tx)
				filed = n == 0
				return err
			})
			return filed, err
		})
	}
	if err == nil {
		err = sleep(ctx, 2*time.Second) // in which a second one could come
	}
	if err != nil {
		p.t.Error(err)
	}
}

// place is where a message stands in its lane.
type place struct {
	Lane   string
	Number int64
}

// voids are the places of messages that have expired, by the sender's history, which must have each message once: no more and no fewer
// than there were acts, and none that is still owed.
func (p *passage) voids() map[place]bool {
	p.t.Helper()
	var settled []struct {
		place
		Role string
	}
	var left int
	err := p.sender.View(p.t.Context(), func(tx *store.Tx) error {
		err := tx.Get(p.t.Context(), &left, `SELECT COUNT(*) FROM outbox_messages`)
		if err != nil {
			return err
		}
		return tx.Select(p.t.Context(), &settled, `SELECT lane, number, role FROM outbox_delivered`)
	})
	if err != nil {
		p.t.Fatal(err)
	}
	voids := map[place]bool{}
	for _, s := range settled {
		if s.Role == string(message.Void) {
			voids[s.place] = true
			if s.Number%passageExpires != 0 {
				p.t.Errorf("number %d of lane %s became a void, and does not expire", s.Number, s.Lane)
			}
		}
	}
	l, err := p.links(p.t.Context())
	if n := int64(len(settled)); err != nil || n != p.owed() || left != 0 || l.Delivered+l.Voided != n || l.Voided != int64(len(voids)) {
		p.t.Errorf("of %d acts %d are in the history, %d of them as voids, and %d rows are owed; counted are %d and %d voids (%v)",
			p.owed(), n, len(voids), left, l.Delivered, l.Voided, err)
	}
	return voids
}

// judge holds the ledger against the acts that were answered.
func (p *passage) judge() {
	p.t.Helper()
	p.judgeBodies(p.sender)
	p.judgeBodies(p.receiver)
	if p.larges.Load() == 0 || p.spoilt.Load() > 0 {
		p.t.Errorf("of %d large bodies %d came otherwise than they were owed", p.larges.Load(), p.spoilt.Load())
	}
	voids := p.voids()
	var entries []struct {
		ID     string
		Lane   string
		Number int64
	}
	err := p.receiver.View(p.t.Context(), func(tx *store.Tx) error {
		return tx.Select(p.t.Context(), &entries, `SELECT id, lane, number FROM ledger ORDER BY seq`)
	})
	if err != nil {
		p.t.Fatal(err)
	}
	var doubled, disordered, lost int64
	seen, last := map[string]bool{}, map[string]int64{}
	pass := func(lane string) { // voids have no effect
		for voids[place{lane, last[lane] + 1}] {
			last[lane]++
		}
	}
	for _, e := range entries {
		pass(e.Lane)
		switch {
		case seen[e.ID]:
			doubled++
		case e.Number != last[e.Lane]+1:
			disordered++
			p.t.Logf("number %d of lane %s took effect after number %d", e.Number, e.Lane, last[e.Lane])
		}
		seen[e.ID] = true
		last[e.Lane] = max(last[e.Lane], e.Number)
	}
	for lane := range p.answered {
		pass(fmt.Sprint(lane))
		lost += max(0, p.answered[lane].Load()-last[fmt.Sprint(lane)])
	}
	p.t.Logf("%d acts, %d effects, %d expired: lost %d, doubled %d, out of order %d", p.owed(), len(entries), len(voids), lost, doubled, disordered)
	if lost+doubled+disordered != 0 || p.owed() == 0 || int64(len(entries)+len(voids)) != p.owed() {
		p.t.Errorf("of %d acts: lost %d, doubled %d, out of order %d, %d effects, %d expired", p.owed(), lost, doubled, disordered, len(entries), len(voids))
	}
}

// judgeBodies has the sweep take what it may once its time has come, and looks whether what messages hold is there and whole, and nothing
// else is.
func (p *passage) judgeBodies(db *store.DB) {
	p.t.Helper()
	ctx := p.t.Context()
	err := db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE bodies SET loose_at = 1 WHERE loose_at > 0`)
		return err
	})
	for swept := body.Swept; err == nil && swept == body.Swept; {
		swept, err = body.Sweep(ctx, db)
	}
	var kept struct{ Bodies, Held, Cut, Lost int64 }
	if err == nil {
		err = db.View(ctx, func(tx *store.Tx) (err error) {
			if kept.Lost, err = body.Lost(ctx, tx); err != nil {
				return err
			}
			return tx.Get(ctx, &kept, `SELECT (SELECT COUNT(*) FROM bodies) AS bodies, (SELECT COUNT(DISTINCT body) FROM body_holds) AS held,
				(SELECT COUNT(*) FROM bodies AS b WHERE b.size <> (SELECT SUM(LENGTH(c.bytes)) FROM body_chunks AS c WHERE c.body = b.id)) AS cut`)
		})
	}
	if err != nil || kept.Bodies == 0 || kept.Bodies != kept.Held || kept.Cut != 0 || kept.Lost != 0 {
		p.t.Errorf("%d bodies are kept, %d of them held, %d not whole, %d lost (%v)", kept.Bodies, kept.Held, kept.Cut, kept.Lost, err)
	}
}
