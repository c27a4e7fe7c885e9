package outbox

import (
	"context"
	"fmt"
	"slices"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// Hand is a relay of this process that takes lanes with the append that wakes them: a lane which owed nothing is in its hand once the
// transaction of the append is committed, marked as a claim marks it, and needs no claim, which would be durable only after a second
// flush. What is in no hand waits to be claimed, as ever.
type Hand interface {
	// Reach gives the node's name, and a place for a lane of link, if a message of so many bytes that was appended there could be sent at
	// once; no place otherwise. It does not block. The relay keeps the place until it has ended.
	Reach(link, lane string, bytes int) (node string, p Place)
}

// Place is kept for one lane while the transaction is under way that appends to it.
type Place interface {
	// Take says that the transaction, if it is committed, leaves the lane in the hand, with message number under token. It comes before End, or
	// never: the lane was in a hand already, owed something, or is not to be sent.
	Take(token, number int64)
	// End says how the transaction ended (store.Tx.AfterEnd).
	End(err error)
}

// HandTo has appends hand lanes to h from now on; what was appended before waits to be claimed.
func (o *Outbox) HandTo(h Hand) { o.hand.Store(&h) }

// next is how one append takes its number and, where it has a place for it, its lane.
type next struct {
	class int
	first int64 // epoch in which the lane begins if it is new
	all   *appended

	place  Place  // nil: the lane waits to be claimed
	node   string // in whose hand it is
	until  int64  // end of the lease
	sentBy string // the set of mappings that its message goes out by
}

// appended counts the lanes that one append has put in a hand; each is known when its statement is answered.
type appended struct{ taken int }

// wake tells those who show what is owed, and the relays if any lane waits to be claimed.
func (a *appended) wake(tx *store.Tx, links int) {
	tx.AfterCommit(func() {
		if a.taken < links {
			tx.DB().Wake(Topic)
		}
		tx.DB().Wake(Appended)
	})
}

// next asks for a place for w's lane where w could leave as it is: nobody is to be asked for it, it has no time to wait for or to end at, its body stands in its row, and
// what has to be signed can be.
func (o *Outbox) next(tx *store.Tx, w *row, class int, first int64, all *appended) next {
	n := next{class: class, first: first, all: all}
	hand := o.hand.Load()
	if hand == nil || w.Doubt || w.NotBefore > w.CreatedAt || w.ExpiresAt > 0 || w.Large != "" || o.unready() != nil {
		return n
	}
	if n.node, n.place = (*hand).Reach(w.Link, w.Lane, len(w.Body)); n.place == nil {
		return n
	}
	n.sentBy = o.sets()
	n.until = store.Micros(tx.DB().Now().Add(o.cfg.Lease)) // read after the relay has read its clocks: no earlier than it takes the lane for its own
	tx.AfterEnd(n.place.End)
	return n
}

// nextNumber makes a lane if it is new and gives its next number away; what else it sets, and what it returns, follows.
const nextNumber = `
	INSERT INTO outbox_lanes (link, lane, epoch, head_epoch, next_number, pending, head_at, priority, scheduled, due_at, changed_at, last_digest)
	VALUES (?, ?, ?, ?, 2, 1, ?, ?, ?, ?, ?, ?)` + onConflict + `,
		due_at      = CASE WHEN outbox_lanes.pending = 0 AND outbox_lanes.lease_owner = '' THEN excluded.due_at ELSE outbox_lanes.due_at END`

const onConflict = `
	ON CONFLICT (link, lane) DO UPDATE SET
		next_number = outbox_lanes.next_number + 1,
		pending     = outbox_lanes.pending + 1,
		head_epoch  = CASE WHEN outbox_lanes.pending = 0 THEN outbox_lanes.epoch ELSE outbox_lanes.head_epoch END,
		head        = CASE WHEN outbox_lanes.pending = 0 THEN outbox_lanes.next_number ELSE outbox_lanes.head END,
		head_at     = CASE WHEN outbox_lanes.pending = 0 THEN excluded.head_at ELSE outbox_lanes.head_at END,
		scheduled   = CASE WHEN outbox_lanes.pending = 0 THEN excluded.scheduled ELSE outbox_lanes.scheduled END,
		priority    = CASE WHEN outbox_lanes.pending = 0 OR excluded.priority > outbox_lanes.priority
		                   THEN excluded.priority ELSE outbox_lanes.priority END`

// free is the condition of a lane that the append takes along: excluded.lease_owner is "" while the link is paused or held, and
// of a lane in another state, or one that an earlier holder may have sent beyond, only a claim knows what to make.
const free = `excluded.lease_owner <> '' AND outbox_lanes.pending = 0 AND outbox_lanes.lease_owner = '' AND outbox_lanes.state = 'open'
			AND NOT outbox_lanes.paused AND outbox_lanes.sent_to < outbox_lanes.next_number AND outbox_lanes.head_epoch = outbox_lanes.epoch`

// nextTaken is nextNumber that also does what a claim would (mark), in the hand of a node, if nothing speaks against it.
const nextTaken = `
	INSERT INTO outbox_lanes (link, lane, epoch, head_epoch, next_number, pending, head_at, priority, scheduled, due_at, changed_at, last_digest,
		lease_owner, lease_token, sent_to, sent_by, sent_by_token)
	SELECT ?, ?, CAST(? AS BIGINT), CAST(? AS BIGINT), 2, 1, CAST(? AS BIGINT), ?, FALSE, CASE WHEN h.node = '' THEN CAST(? AS BIGINT) ELSE CAST(? AS BIGINT) END, CAST(? AS BIGINT), ?,
		h.node, CASE WHEN h.node = '' THEN 0 ELSE 1 END, CASE WHEN h.node = '' THEN 0 ELSE 1 END,
		CAST(? AS TEXT), CASE WHEN h.node = '' THEN 0 ELSE 1 END
	FROM (SELECT CASE WHEN EXISTS (SELECT 1 FROM outbox_links AS k WHERE k.link = ? AND (k.paused OR k.hold_until > ?)) THEN ''
		ELSE CAST(? AS TEXT) END AS node) AS h WHERE TRUE` + onConflict + `,
		lease_owner = CASE WHEN ` + free + ` THEN excluded.lease_owner ELSE outbox_lanes.lease_owner END,
		lease_token = CASE WHEN ` + free + ` THEN outbox_lanes.lease_token + 1 ELSE outbox_lanes.lease_token END,
		sent_to     = CASE WHEN ` + free + ` THEN outbox_lanes.next_number ELSE outbox_lanes.sent_to END,
		sent_by     = CASE WHEN ` + free + ` THEN excluded.sent_by ELSE outbox_lanes.sent_by END,
		sent_by_token = CASE WHEN ` + free + ` THEN outbox_lanes.lease_token + 1 ELSE outbox_lanes.sent_by_token END,
		due_at      = CASE WHEN ` + free + ` THEN excluded.due_at
		                   WHEN outbox_lanes.pending = 0 AND outbox_lanes.lease_owner = '' THEN excluded.head_at ELSE outbox_lanes.due_at END`

// sql is the statement by which the number is taken.
func (n next) sql() string {
	if n.place == nil {
		return nextNumber
	}
	return nextTaken
}

// args are the parameters of sql; digest is that of the message if it is the first of its lane.
func (n next) args(w row, digest string) []any {
	due := max(w.CreatedAt, w.NotBefore)
	if n.place == nil {
		return []any{w.Link, w.Lane, n.first, n.first, w.CreatedAt, n.class, w.NotBefore > w.CreatedAt, due, w.CreatedAt, digest}
	}
	return []any{w.Link, w.Lane, n.first, n.first, w.CreatedAt, n.class, due, n.until, w.CreatedAt, digest, n.sentBy, w.Link, w.CreatedAt, n.node}
}

// token is the column by which sql tells that it has taken the lane: its number is marked, in a lease that this append has written.
func (n next) token() (column string, args []any) {
	if n.place == nil {
		return "", nil
	}
	return `, CASE WHEN pending = 1 AND lease_owner <> '' AND sent_to = next_number - 1 AND due_at = CAST(? AS BIGINT) THEN lease_token ELSE 0 END AS token`,
		[]any{n.until}
}

// later runs a statement whose answer, number and token, is needed by the place alone (store.Tx.Later).
func (n next) later(ctx context.Context, tx *store.Tx, query, returning string, args []any) error {
	if n.place == nil {
		return tx.Later(ctx, query, args...)
	}
	return tx.ReadLater(ctx, func(r *store.Row) {
		number := r.Int()
		n.taken(r.Int(), number)
	}, query+returning, args...)
}

// taken tells the place that the lane is in the hand, if it is.
func (n next) taken(token, number int64) {
	if n.place != nil && token != 0 {
		n.all.taken++
		n.place.Take(token, number)
	}
}

// Taken is a lane that an append has put in the hand.
type Taken struct {
	Holding
	Number int64 // of the message that is marked as sent, the lane's first
}

// Taken reads lanes that appends have put in the hand, as their claims. It gives those that can be sent as they are. Of the others, which a person or
// another node has touched meanwhile, or which only a claim knows what to make of, nothing was sent: they are given back.
func (o *Outbox) Taken(ctx context.Context, tx *store.Tx, link string, all []Taken) ([]Claim, error) {
	names, of := make([]string, 0, len(all)), make(map[string]Taken, len(all))
	for _, t := range all {
		names, of[t.Lane] = append(names, t.Lane), t
	}
	lanes := make([]lane, 0, len(all))
	err := tx.Read(ctx, func(r *store.Row) { lanes = append(lanes, claimed(r)) }, `SELECT `+claimColumns+` FROM outbox_lanes WHERE link = ?
		AND `+among(tx, "lane")+` AND `+due+` AND NOT EXISTS (SELECT 1 FROM outbox_links AS k WHERE k.link = ? AND (k.paused OR k.hold_until > ?))`,
		link, listed(tx, names), link, store.Micros(tx.Now))
	if err != nil {
		return nil, fmt.Errorf("read lanes of link %s that were taken: %w", link, err)
	}
	lanes = slices.DeleteFunc(lanes, func(l lane) bool {
		t := of[l.Lane]
		return l.Token != t.Token || l.Owner == "" || l.Head != t.Number
	})
	firsts, err := readFirsts(ctx, tx, link, lanes, 1)
	if err == nil {
		lanes, err = o.inBounds(ctx, tx, lanes, firsts)
	}
	if err != nil {
		return nil, fmt.Errorf("read the messages of lanes of link %s that were taken: %w", link, err)
	}
	claims := make([]Claim, 0, len(lanes))
	for _, l := range lanes {
		for _, w := range firsts[l.Lane] {
			if o.asAppended(ctx, tx, link, l, &w) {
				before := l.Head - 1
				claims = append(claims, Claim{Link: link, Lane: l.Lane, Token: l.Token, SentTo: before, SentBy: l.sentBy(), Messages: []Queued{w.queued(tx, before)}})
			}
		}
	}
	return claims, nil
}

// asAppended opens a lane's first message, and tells whether it can be sent without anything that has to be written first.
func (o *Outbox) asAppended(ctx context.Context, tx *store.Tx, link string, l lane, w *row) bool {
	if w.unread != nil || w.Skipped || w.Redelivery > 0 || w.Replay != "" || w.ExpiresAt > 0 || w.Large != "" || w.Role != string(message.Event) {
		return false
	}
	var err error
	if w.own, err = l.open(ctx, tx, link, l.Lane); err == nil {
		err = w.genuine(ctx, tx)
	}
	return err == nil && (o.signer == nil || w.origin() != nil)
}
