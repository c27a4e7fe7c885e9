// Package outbox keeps each message that the plant owes an ERP, in the database and the transaction of the change that caused it.
//
// # Guarantees
//
//   - No loss: once the transaction commits, the message is owed until it is delivered, or voided by a person or its own expiry.
//   - Order: within a lane (link, key) messages carry gapless numbers, taken in the transaction of the append, and a message is
//     handed out only after its predecessors are settled or are handed out with it, in order.
//   - One holder: a lane is claimed under a lease with a fencing token; who has lost the lease cannot settle anything.
//   - Never blindly twice: whatever a holder that is gone may have sent is marked, so that the next one asks before it sends.
//   - Signed: in a plant with keys a message, a void and an amendment is signed in the transaction that commits it, if there is a key
//     that counts at that moment, and none leaves before it is signed.
//   - Flat cost: a claim reads lanes that are due. Neither delivered messages nor parked lanes are in its index, and figures come
//     from the lanes' own counters.
//
// The package owns the tables outbox_links, outbox_lanes, outbox_messages, outbox_receipts, outbox_restores, outbox_delivered, outbox_events,
// outbox_purged, outbox_refs, outbox_booked, outbox_group_notes and outbox_asked; nothing else reads or writes them.
package outbox

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Topic is woken when there is something to claim (store.DB.Subscribe).
const Topic = "outbox"

// Appended is the topic that each committed append wakes, for those who show what is owed.
const Appended = "outbox.appended"

// Settled is the topic that is woken when messages of any link were settled or parked, for those who wait for an answer.
const Settled = "outbox.settled"

// Route says which kinds of message go to which link, through which mapping.
type Route struct {
	Kinds    []string      // patterns of path.Match, such as "order.*"
	Link     string        // the link that is owed the message
	Mapping  string        // the mapping that makes the link's document; "" where the link takes the event itself
	Priority int           // above 0 is urgent, below 0 background; only the sign matters
	Expires  time.Duration // after this time an unsent message becomes a void; 0 means never
	Delay    time.Duration // a message is not sent before it is this old, and none that follows it in its lane
}

// Check tells what is wrong with a route, nil if nothing is. Its error is a *problem.Error of kind Invalid.
func (r Route) Check() error {
	bad := func(why, hint string) error {
		return &problem.Error{Kind: problem.Invalid, What: "route to link " + r.Link, Why: why, Hint: hint}
	}
	if r.Link == "" {
		return bad("it names no link", "write link: and the name of one of the links")
	}
	if len(r.Kinds) == 0 {
		return bad("it names no kinds of message", `write kinds: ["order.*"] or the like`)
	}
	for _, k := range r.Kinds {
		if _, err := path.Match(k, ""); err != nil {
			return bad("the pattern "+k+" is not closed", "close each [ with a ]")
		}
	}
	if r.Expires < 0 {
		return bad("it expires before it is written", "give a time above 0, or none")
	}
	if r.Delay < 0 || r.Expires > 0 && r.Delay >= r.Expires {
		return bad("its delay is below zero, or no shorter than the time after which a message expires", "give a shorter delay, or none")
	}
	return nil
}

func (r Route) takes(kind string) bool {
	return slices.ContainsFunc(r.Kinds, func(pattern string) bool {
		ok, err := path.Match(pattern, kind)
		return err == nil && ok
	})
}

func (r Route) class() int { return cmp.Compare(r.Priority, 0) }

// Config is the tunable part of an Outbox; zero fields mean the default.
type Config struct {
	Lease    time.Duration // how long a claim holds without renewal; default 10 s
	Backoff  time.Duration // the longest wait between two attempts at one message; default 5 min
	AskAfter time.Duration // how long what may have been sent is left to arrive before anybody asks for it; default 2 s
	Keep     time.Duration // how long settled messages are kept; default 90 days
	// RestoredDoubt is how long after a restore what a caller may be repeating is asked for before it is sent; default 24 h.
	RestoredDoubt time.Duration
	// ClaimBytes is how many bytes the bodies of one claim have at most, those that are kept beside their messages not counted; default 16 MiB.
	ClaimBytes int64
	Inline     int // bytes of a body that is kept in its message's own row, a larger one is kept beside it (package body); default 256 KiB
	// FourEyes has a person's correction or discard of a message wait for the approval of another, see Ask.
	FourEyes bool
}

// Outbox appends, hands out and settles messages. It is safe for use by many goroutines.
type Outbox struct {
	routes  []Route
	source  string
	cfg     Config
	expiry  *expiry
	signer  Signer // nil: the plant has no keys
	telling *telling
	alarm   Alarm                // nil: what was altered is told by its lane alone
	veil    Veil                 // nil: bodies are kept as they come
	hand    atomic.Pointer[Hand] // nil: what is appended waits to be claimed
	version func() string        // nil: no lane names what it was sent by
	patrol  *body.Patrol
	begun   atomic.Pointer[begun]
	looked  atomic.Pointer[at] // how far ParkSkipped has come
	lookout lookout
	watch   watch
	vouched atomic.Bool // VouchPurged is done
}

// New returns an Outbox that sends by these routes, in the name of source (CloudEvents source, a URI-reference). For one kind the
// first route to each link counts.
func New(routes []Route, source string, cfg Config) *Outbox {
	cfg.Lease = cmp.Or(cfg.Lease, 10*time.Second)
	cfg.Backoff = cmp.Or(cfg.Backoff, 5*time.Minute)
	cfg.AskAfter = cmp.Or(cfg.AskAfter, 2*time.Second)
	cfg.Keep = cmp.Or(cfg.Keep, 90*24*time.Hour)
	cfg.RestoredDoubt = cmp.Or(cfg.RestoredDoubt, 24*time.Hour)
	cfg.ClaimBytes = cmp.Or(cfg.ClaimBytes, 16<<20)
	cfg.Inline = cmp.Or(cfg.Inline, body.DefaultInline)
	return &Outbox{routes: slices.Clone(routes), source: source, cfg: cfg, expiry: &expiry{}, telling: &telling{last: map[string]time.Time{}}, patrol: &body.Patrol{Of: owner("")}}
}

// Config is the configuration in force, defaults filled in.
func (o *Outbox) Config() Config { return o.cfg }

// options is what an append may add to a message.
type options struct {
	notBefore, expires time.Time
	held               string // why it is held
}

// Option adds to one append.
type Option func(*options)

// NotBefore schedules the message: it is not sent before at, and since order in a lane is absolute, neither is any message that
// follows it in its lane.
func NotBefore(at time.Time) Option { return func(o *options) { o.notBefore = at } }

// Expires has the message become a void if it has not been sent by then. It overrides the route. Where the clock has leapt ahead
// lately, the time until then counts as it passes: such a message may be sent, and is not voided, up to ten minutes late.
func Expires(at time.Time) Option { return func(o *options) { o.expires = at } }

// namespace makes the IDs of a link's messages from those of the events (RFC 9562 section 5.5).
var namespace = uuid.MustParse("6f1d3c0e-5a37-5c8e-9a54-1b0c7e0f4d21")

// MessageID is the CloudEvents id under which link is told of the event: the same each time, different for each link.
func MessageID(link, event string) string {
	return uuid.NewSHA1(namespace, []byte(link+"\n"+event)).String()
}

// Append owes m to each link that a route names, within tx: both or neither. Each link gets a message of its own, with its own ID,
// lane, number and digest. A kind that no route wants is no error. Once tx is committed the relay is woken, or has the lane in its hand already
// (Hand). A Large body must have been kept by package body; one over Config.Inline is kept there.
func (o *Outbox) Append(ctx context.Context, tx *store.Tx, m message.Message, opts ...Option) error {
	var opt options
	for _, f := range opts {
		f(&opt)
	}
	var links []string
	var owed appended
	for _, r := range o.routes {
		if !r.takes(m.Kind) || slices.Contains(links, r.Link) {
			continue
		}
		links = append(links, r.Link)
		var err error
		if m.Body, err = o.veiled(ctx, tx, m.Body); err != nil {
			return err
		}
		if m, err = o.aside(ctx, tx, m); err != nil {
			return err
		}
		if err := o.append(ctx, tx, r, m, opt, &owed); err != nil {
			return fmt.Errorf("owe %s %s to link %s: %w", m.Kind, m.ID, r.Link, err)
		}
	}
	if links != nil {
		owed.wake(tx, len(links))
	}
	return nil
}

// append takes the lane's next number, which locks the lane until tx ends, so that two writers cannot commit out of order. What is signed
// must be known here, number and predecessor with it; else PostgreSQL saves the round trip that tells them.
func (o *Outbox) append(ctx context.Context, tx *store.Tx, r Route, m message.Message, opt options, all *appended) error {
	if m.ID == "" || m.Key == "" {
		return &problem.Error{Kind: problem.Internal, What: "append " + m.Kind, Why: "the message has no ID or no key"}
	}
	if lane := cmp.Or(m.Lane, m.Key); !utf8.ValidString(lane) || strings.ContainsRune(lane, 0) {
		return &problem.Error{
			Kind: problem.Invalid, What: "append " + m.Kind + " " + m.ID, Why: fmt.Sprintf("its lane %q is no text that every database can keep", lane),
			Hint: "name the object without control characters",
		}
	}
	w := row{
		ID: MessageID(r.Link, m.ID), Event: m.ID, Source: cmp.Or(o.source, m.Source), Kind: m.Kind, Version: m.Version, Key: m.Key,
		Time: store.Zoned{Time: m.Time}, Body: m.Body, Large: body.RefOf(m.Large), Creates: m.Creates, Cause: m.Cause, Trace: m.Trace, Mapping: r.Mapping,
		Link: r.Link, Lane: cmp.Or(m.Lane, m.Key), Role: string(message.Event), CreatedAt: store.Micros(tx.Now),
		NotBefore: store.Micros(opt.notBefore), ExpiresAt: store.Micros(opt.expires),
	}
	if w.ExpiresAt == 0 && r.Expires > 0 {
		w.ExpiresAt = store.Micros(tx.Now.Add(r.Expires))
	}
	if r.Delay > 0 {
		w.NotBefore = max(w.NotBefore, store.Micros(tx.Now.Add(r.Delay)))
	}
	if err := w.hold(ctx, tx, m.Large); err != nil {
		return err
	}
	if opt.held != "" {
		if err := history(ctx, tx, row{ID: w.ID}, held, opt.held); err != nil {
			return err
		}
	}
	first, err := o.firstEpoch(ctx, tx)
	if err != nil {
		return err
	}
	o.repeated(tx, &w, first)
	n := o.next(tx, &w, r.class(), first, all)
	if tx.Dialect() == store.Postgres && o.signer == nil && !tx.Seals() {
		err = w.appendAtOnce(ctx, tx, n)
	} else {
		err = o.appendSigned(ctx, tx, &w, n)
	}
	if err != nil {
		return err
	}
	return w.putInDoubt(ctx, tx)
}

// appendSigned takes the number, then writes what was made with it.
func (o *Outbox) appendSigned(ctx context.Context, tx *store.Tx, w *row, n next) error {
	has, taken, err := w.lockPlace(ctx, tx, n.first)
	if err == nil && !taken {
		has, err = w.takeNumber(ctx, tx, n)
	}
	if err != nil {
		return fmt.Errorf("take a number in lane %s: %w", w.Lane, err)
	}
	m := w.message(tx).Summed()
	w.Digest = m.Digest()
	o.sign(m, w)
	if taken {
		token, args := n.token()
		err = n.later(ctx, tx, n.sql()+`, last_digest = excluded.last_digest`, ` RETURNING next_number - 1 AS number`+token, append(n.args(*w, w.Digest), args...))
	} else {
		err = tx.Later(ctx, `UPDATE outbox_lanes SET last_digest = ? WHERE link = ? AND lane = ?`, w.Digest, w.Link, w.Lane)
	}
	if err == nil {
		err = w.giveOwn(ctx, tx, has)
	}
	if err == nil {
		err = w.insert(ctx, tx)
	}
	if err != nil {
		return fmt.Errorf("write message %d of lane %s: %w", w.Number, w.Lane, err)
	}
	return nil
}
