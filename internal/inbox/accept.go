package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Taken says what became of a message that was received.
type Taken struct {
	Fresh    bool         // stored now; false if it was known already
	Rejected int64        // row number of a message that could not be believed or read, kept as rejected; 0 if it was taken
	Problem  problem.Kind // of Rejected
	Reason   string
	Err      error `json:"-"` // by ReceiveAll: it is not taken, and must be sent again
}

// arrival is one message on its way in.
type arrival struct {
	in    message.Incoming
	link  string
	row   row
	err   error // it cannot be taken: it is kept as rejected
	fresh bool
}

// Receive verifies what came in and stores it, once by (source, id), in tx; what cannot be believed, or says nothing that could be
// stored, is kept as rejected. After the commit the sender may be told that it was taken. An error means that it was not.
func (i *Inbox) Receive(ctx context.Context, tx *store.Tx, in message.Incoming, link string) (Taken, error) {
	return i.receiveOne(ctx, tx, i.arrive(ctx, in, link))
}

// receiveOne does so for one that was looked at. It may be called again with the same.
func (i *Inbox) receiveOne(ctx context.Context, tx *store.Tx, a arrival) (Taken, error) {
	came := []arrival{a}
	if err := i.spend(ctx, tx, &came[0]); err != nil {
		return Taken{}, err
	}
	if err := i.veilAll(ctx, tx, came); err != nil {
		return Taken{}, err
	}
	if err := i.asideAll(came, keepIn(ctx, tx)); err != nil {
		return Taken{}, err
	}
	all, err := i.take(ctx, tx, came, false)
	if err != nil {
		return Taken{}, err
	}
	return all[0], nil
}

// ReceiveAll is Receive of many messages in one transaction of its own, for a link that gives them in batches and acknowledges them
// once this returns. Messages of one lane keep their order. Those whose turn it is have their effect in this transaction too; should
// the plant or a mapping say anything against one of them, none has, and they wait for Run. Should the database refuse the batch for
// the sake of one message, each is received by itself: that one has an Err, or, once its transport has delivered it
// Config.MaxDeliveries times and it was tried three times since, is kept as rejected. One that cannot be judged yet has an Err too, of kind
// Unavailable, and holds up what must not overtake it, but no other; after a quarter of an hour it is kept as rejected. An error means that none is known to be taken: it is
// Unavailable or Full if all of them shall be sent again later.
func (i *Inbox) ReceiveAll(ctx context.Context, ins []message.Incoming, link string) (all []Taken, err error) {
	ins, last, err := i.tryLast(ctx, ins, link)
	if err != nil {
		return nil, err
	}
	all, err = i.receiveAll(ctx, ins, link)
	i.tried(ctx, last, all, err) // not deferred: of a panic nothing is said
	return all, err
}

func (i *Inbox) receiveAll(ctx context.Context, ins []message.Incoming, link string) ([]Taken, error) {
	all := make([]Taken, len(ins))
	now, at := i.sortOut(i.arriveAll(ctx, ins, link), all) // outside of the transaction: on SQLite all others would wait for it
	taken, err := i.receiveNow(ctx, now)
	if err != nil {
		return nil, err
	}
	for n, t := range taken {
		all[at[n]] = t
	}
	return all, nil
}

// receiveNow receives what could be judged: together, or each by itself.
func (i *Inbox) receiveNow(ctx context.Context, came []arrival) (all []Taken, err error) {
	if err := i.veilAll(ctx, nil, came); err != nil {
		return nil, err
	}
	if err := i.asideAll(came, i.keep(ctx)); err != nil {
		return nil, err
	}
	for _, atOnce := range [...]bool{true, false} { // what speaks against an effect may come as late as with the answer to the commit
		err = i.db.InTx(ctx, func(tx *store.Tx) (err error) {
			all, err = i.take(ctx, tx, came, atOnce)
			return err
		})
		if err == nil || ctx.Err() != nil {
			return all, err
		}
	}
	if troubled(err) {
		return nil, err
	}
	return i.receiveEach(ctx, came)
}

// errBehind is the Err of a message that must not be taken before an earlier one.
var errBehind = errors.New("an earlier message about the same object was not taken")

// receiveEach receives each message in a transaction of its own. Once one about an object is not taken, neither are the later ones about
// it that have no number or version to tell their order by.
func (i *Inbox) receiveEach(ctx context.Context, came []arrival) ([]Taken, error) {
	all, held, failed := make([]Taken, len(came)), map[place]bool{}, map[place]bool{}
	for n, a := range came {
		r := placed(a.in.Message, a.in.ObjectVersion)
		if held[r.place()] {
			all[n] = Taken{Err: errBehind}
			continue
		}
		if failed[r.place()] {
			a.in.Deliveries = 0 // it was delivered again for the sake of the one that failed
		}
		err := i.db.InTx(ctx, func(tx *store.Tx) (err error) {
			all[n], err = i.receiveOne(ctx, tx, a)
			return err
		})
		failed[r.place()] = failed[r.place()] || err != nil && !r.numbered() && r.ordered()
		if err != nil && i.poison(a.in) && ctx.Err() == nil && !troubled(err) {
			err = i.db.InTx(ctx, func(tx *store.Tx) (rerr error) {
				all[n] = Taken{Problem: problem.KindOf(err), Reason: err.Error()}
				all[n].Rejected, rerr = i.Reject(ctx, tx, a.in.Message, a.link, err)
				return rerr
			})
		}
		if err != nil {
			all[n] = Taken{Err: err}
			held[r.place()] = failed[r.place()]
		}
	}
	return all, ctx.Err()
}

// troubled tells whether an error is the database's trouble, and says nothing of the message.
func troubled(err error) bool {
	kind := problem.KindOf(err)
	return kind == problem.Unavailable || kind == problem.Full
}

// poison tells whether a message has been delivered so often that there must be something wrong with it.
func (i *Inbox) poison(in message.Incoming) bool { return in.Deliveries >= i.cfg.MaxDeliveries }

// take receives messages in tx, in their order; atOnce has the plant act on those whose turn it is. It may be called again with what
// came.
func (i *Inbox) take(ctx context.Context, tx *store.Tx, came []arrival, atOnce bool) ([]Taken, error) {
	all, good := make([]*arrival, len(came)), make([]*arrival, 0, len(came))
	for n := range came {
		a := came[n]
		all[n] = &a
		if a.err == nil {
			good = append(good, &a)
		}
	}
	if err := i.accept(ctx, tx, good, atOnce); err != nil {
		return nil, err
	}
	out := make([]Taken, len(all))
	for n, a := range all {
		out[n].Fresh = a.fresh
		if a.err == nil {
			continue
		}
		if !rejects(a.err) {
			return nil, a.err
		}
		seq, err := i.Reject(ctx, tx, a.in.Message, a.link, a.err)
		if err != nil {
			return nil, err
		}
		out[n] = Taken{Rejected: seq, Problem: problem.KindOf(a.err), Reason: a.err.Error()}
	}
	return out, nil
}

// rejects tells whether an error says that a message can never be taken.
func rejects(err error) bool {
	switch problem.KindOf(err) {
	case problem.Invalid, problem.TooLarge, problem.Duplicate, problem.Integrity, problem.Denied:
		return true
	default:
		return false
	}
}

func (i *Inbox) arriveAll(ctx context.Context, ins []message.Incoming, link string) []arrival {
	all := make([]arrival, len(ins))
	for n, in := range ins {
		all[n] = i.arrive(ctx, in, link)
	}
	return all
}

// arrive verifies a message and makes its row, before the database is asked anything.
func (i *Inbox) arrive(ctx context.Context, in message.Incoming, link string) arrival {
	a := arrival{in: in, link: link, err: in.Unread}
	if a.err != nil {
		return a
	}
	v, err := i.guard().Check(ctx, in, link)
	if err == nil {
		err = i.storable(v.Message(), in.ObjectVersion)
	}
	if err != nil {
		a.err = err
		return a
	}
	a.row = newRow(v, in)
	a.row.Link = cmp.Or(link, a.row.Link)
	return a
}

// accept stores verified messages, each once by (source, id). What cannot be taken gets its err; the rest takes its place. The
// database is asked a few times for all of them together: a batch costs little more than one message.
func (i *Inbox) accept(ctx context.Context, tx *store.Tx, all []*arrival, atOnce bool) error {
	if len(all) == 0 {
		return nil
	}
	d := desk{Inbox: i, tx: tx, atOnce: atOnce, horizons: map[string]int64{}, heads: map[*stream]bool{}, clear: map[*stream]bool{}}
	var err error
	if d.streams, err = lockAll(ctx, tx, all); err != nil {
		return err
	}
	for _, s := range d.streams {
		d.clear[s] = atOnce && s.isClear()
	}
	if d.known, err = recall(ctx, tx, d.doubtful(all)); err != nil {
		return err
	}
	for _, a := range all {
		if err := d.receive(ctx, a); err != nil {
			return err
		}
	}
	if err := d.effects(ctx); err != nil {
		return err
	}
	if err := d.store(ctx); err != nil {
		return err
	}
	if err := supersede(ctx, tx, d.changed); err != nil {
		return err
	}
	if err := d.rest(ctx); err != nil {
		return err
	}
	return saveAll(ctx, tx, d.streams)
}

// desk takes the messages of one batch in.
type desk struct {
	*Inbox
	tx       *store.Tx
	streams  map[place]*stream
	known    memory
	horizons map[string]int64 // by source, as far as they were asked for
	pending  []*arrival       // judged, not yet stored
	heads    map[*stream]bool // streams whose next message was stored just now

	atOnce  bool             // the plant acts on those whose turn it is
	clear   map[*stream]bool // streams of which every message so far is acted on
	due     []*arrival       // those to act on
	changed []*stream        // objects of which a newer version was applied
}

// receive judges one message and has it stored with the others, unless it is known or cannot be taken.
func (d *desk) receive(ctx context.Context, a *arrival) error {
	s := d.streams[a.row.place()]
	known, err := d.isKnown(ctx, a, s)
	if known || err != nil {
		return err
	}
	if err := d.judge(ctx, a, s); err != nil {
		return err
	}
	d.known.keep(&a.row)
	d.pending = append(d.pending, a)
	switch d.clear[s] = d.clear[s] && a.row.State == Ready && s.isTurn(a.row); {
	case d.clear[s]:
		d.due = append(d.due, a)
		s.advance(a.row)
	case a.row.State == Ready:
		s.count(a.row, 1)
	case s.ahead(a.row):
		s.Early++
	}
	return nil
}

// isKnown tells whether the message was taken before, by its ID or by a number that is past, or cannot be taken, since its ID or
// number is another's.
func (d *desk) isKnown(ctx context.Context, a *arrival, s *stream) (bool, error) {
	r := &a.row
	if old := d.known.byID[identity{r.Source, r.ID}]; old != nil {
		a.err = r.differs(old)
		return true, nil
	}
	if !r.numbered() {
		return false, nil
	}
	if old := d.known.byNumber[r.count()]; old != nil {
		a.err = duplicate(*r, fmt.Sprintf("number %d of lane %s was used for message %s", r.Number, r.Lane, old.ID), "the sender must count its messages")
		return true, nil
	}
	if s.ahead(*r) {
		return false, nil
	}
	if r.Epoch < s.Epoch {
		past, err := wasPast(ctx, d.tx, *r)
		if err != nil || !past {
			return false, err
		}
	}
	skipped, err := wasSkipped(ctx, d.tx, *r)
	return !skipped, err // forgotten, but its number says that it was applied
}

// differs is an error if a message is not the one that was taken under its ID.
func (r row) differs(old *row) error {
	switch {
	case old.Content != r.Content || old.Kind != r.Kind || old.Key != r.Key:
		return duplicate(r, "this ID was used for another message", "the sender must give each message an ID of its own")
	case r.numbered() && old.count() != r.count(): // else its number would be missing for ever, and nobody would know why
		return duplicate(r, "this ID was taken before "+old.where()+", and comes now "+r.where(),
			"the sender must keep the number of a message that it sends again; if it has begun an epoch, skip this number")
	}
	return nil
}

// clash looks at those whose ID the database has found taken, and nobody before: it was not looked for (doubtful), or another process
// was faster.
func (d *desk) clash(ctx context.Context) error {
	var taken []*arrival
	for _, a := range d.pending {
		if a.row.Seq == 0 && a.row.SettledAt == 0 {
			taken = append(taken, a)
		}
	}
	m, err := recall(ctx, d.tx, taken)
	if err != nil {
		return err
	}
	for _, a := range taken {
		if old := m.byID[identity{a.row.Source, a.row.ID}]; old != nil {
			a.err = a.row.differs(old)
		}
	}
	return nil
}

// store writes what was judged so far.
func (d *desk) store(ctx context.Context) error {
	var settled, others []*row
	for _, a := range d.pending {
		if a.row.SettledAt > 0 && a.row.Large == "" { // one with a large body is named by its row number
			settled = append(settled, &a.row)
		} else {
			others = append(others, &a.row)
		}
	}
	for part := range parts(d.tx, settled, insertRows) {
		if err := insertSettled(ctx, d.tx, part); err != nil {
			return err
		}
	}
	for part := range parts(d.tx, others, insertRows) {
		if err := insert(ctx, d.tx, part); err != nil {
			return err
		}
	}
	if err := d.clash(ctx); err != nil {
		return err
	}
	for _, a := range d.pending {
		r, s := &a.row, d.streams[a.row.place()]
		a.fresh = r.Seq != 0 || r.SettledAt > 0
		switch {
		case r.SettledAt > 0 && r.Large != "" && r.Seq == 0:
			return fmt.Errorf("store %s %s: it was taken before, and has had its effect once more", r.Kind, r.ID) // which this undoes
		case r.SettledAt > 0:
		case !a.fresh && r.State == Ready:
			s.count(*r, -1)
		case !a.fresh && s.ahead(*r):
			s.Early--
		case r.State == Ready && s.isTurn(*r):
			d.heads[s] = true
		case r.State == Quarantined && r.ordered() && !r.numbered() && s.Held == 0:
			s.Held = r.Seq
		}
	}
	d.pending = nil
	return nil
}

// rest sets when each stream is due, and wakes those who work if one is.
func (d *desk) rest(ctx context.Context) error {
	due := false
	for _, s := range d.streams {
		due = due || s.DueAt > 0
		if s.DueAt > 0 && s.Held == 0 {
			continue // its turn stays where it was, ahead of those that came later
		}
		look := s.look
		if d.heads[s] {
			look = known(true)
		}
		if err := s.rest(ctx, d.tx, look); err != nil {
			return err
		}
		due = due || s.DueAt > 0
	}
	if due {
		d.tx.Wake(Topic)
	}
	return nil
}

// short is a text that every column and log takes.
func short(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
	if len(s) > maxName {
		return strings.ToValidUTF8(s[:maxName], "") + "…"
	}
	return s
}
