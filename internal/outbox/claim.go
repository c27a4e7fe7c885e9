package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// longest bounds how far ahead a lane's next attempt may lie, so that a clock that was wrong for a while cannot hide a lane.
const longest = time.Hour

// Claim is a lane in the hand of one node, with its first messages in order.
type Claim struct {
	Link, Lane string
	Token      int64  // fences: grows with each claim, and only its holder can settle
	SentTo     int64  // messages up to this number may have been sent by a holder that is gone
	SentBy     string // the set of mappings that the lane names from now on; "": the one in use
	Messages   []Queued
}

// Queued is a message as claimed, not yet verified.
type Queued struct {
	message.Message
	Stored     string // the digest that was committed with it
	Mapping    string
	Attempts   int       // attempts that the ERP refused for the message's own sake
	Ask        bool      // it may have been sent: ask before sending
	Expired    bool      // and once it is known not to be there, it is given back unsent: the next claim makes a void of it
	Doubt      bool      // so it is whatever is known of those before it, see Settlement.Absent
	DoubtAt    time.Time // since when, if nobody can have sent it since; zero otherwise
	SentBy     string    // by an earlier set of mappings, or version of its mapping; "": Claim.SentBy, or nobody knows
	Again      bool      // it was delivered before, and a person wants it replayed
	Redelivery int       // how often it was delivered before
	Replay     Replay    // how; "" once it may have been sent again
	Forced     bool      // a person has forced this replay, whether or not it may have been sent since
	CreatedAt  time.Time // when it was appended
}

// Replay says how a message that was delivered before, or that a person has sent again, goes out. A claim takes the word back, as it marks a message as possibly
// sent; a settlement that knows better restores it (Settlement.Unsent). So a node that is killed leaves a message which is asked for,
// whatever a person had said: a replay makes at most one document more, and that only where the ERP had none or a person forced it.
type Replay string

// The ways to replay a message.
const (
	AskFirst Replay = "ask"   // nothing of it is under way: what the ERP does not have now, it does not have
	Forced   Replay = "force" // it is sent once without asking, by a person's word
)

// lane is what a claim and a settlement read of a lane's row.
type lane struct {
	Lane    string `db:"lane"`
	Head    int64  `db:"head"`
	Epoch   int64  `db:"head_epoch"`
	SentTo  int64  `db:"sent_to"`
	Token   int64  `db:"lease_token"`
	Owner   string `db:"lease_owner"`
	DueAt   int64  `db:"due_at"` // of a lane in hand: when its lease ends
	Pending int64  `db:"pending"`
	Newest  int64  `db:"epoch"` // with Next, the place that the next append takes
	Next    int64  `db:"next_number"`
	State   string `db:"state"`
	Reason  string `db:"reason"`
	own
	by
}

// laneOf reads laneColumns.
func laneOf(r *store.Row) lane {
	return lane{
		Lane: r.Text(), Head: r.Int(), Epoch: r.Int(), SentTo: r.Int(), Token: r.Int(), Owner: r.Text(), DueAt: r.Int(), Pending: r.Int(),
		Newest: r.Int(), Next: r.Int(), State: r.Text(), Reason: r.Text(),
	}
}

// claimColumns are those that a claim and an act read: with the secret of the lane, and how it was marked.
const claimColumns = laneColumns + `, ` + ownColumns + `, ` + byColumns

// claimed reads claimColumns.
func claimed(r *store.Row) lane {
	l := laneOf(r)
	l.own = own{Sealed: r.Bytes(), Epoch: r.Int(), ShreddedAt: r.Int()}
	l.by = by{SentBy: r.Text(), Token: r.Int()}
	return l
}

const laneColumns = `lane, head, head_epoch, sent_to, lease_token, lease_owner, due_at, pending, epoch, next_number, state, reason`

// due is the condition of the partial index outbox_lanes_due; written once, since the planner compares it word by word.
const due = `owing AND state = 'open' AND NOT paused`

// Claim takes up to room lanes of link for node, each with its first perLane messages, and marks these as possibly sent. Urgent
// lanes get six tenths of the room, normal ones three, background one, and what one class leaves the others take; in each class
// three quarters go to the lanes that have been due longest, the rest to the newest, so that live messages do not wait for a
// backlog. The bodies of one claim take no more memory than Config.ClaimBytes, or one body: what is beyond that stays due. A node never takes over a lease of its own name: it holds that lane, or takes it back at its start (TakeBack).
func (o *Outbox) Claim(ctx context.Context, tx *store.Tx, node, link string, room, perLane int) ([]Claim, error) {
	o.expiry.look(tx.Now)
	if room <= 0 {
		return nil, nil
	}
	unready := o.unready()
	if err := o.tellUnsigned(ctx, tx, link, unready); err != nil {
		return nil, err
	}
	names, err := findDue(ctx, tx, node, link, room, unready != nil)
	if err != nil {
		return nil, fmt.Errorf("find the lanes of link %s that are due: %w", link, err)
	}
	if len(names) == 0 {
		return nil, nil
	}
	lanes := make([]lane, 0, len(names))
	err = tx.Read(ctx, func(r *store.Row) { lanes = append(lanes, claimed(r)) }, `SELECT `+claimColumns+` FROM outbox_lanes WHERE link = ?
		AND `+among(tx, "lane")+` AND `+due+` AND due_at <= ? AND lease_owner <> ?`+tx.SkipLocked(), link, listed(tx, names), store.Micros(tx.Now), node)
	if err != nil {
		return nil, fmt.Errorf("lock lanes of link %s: %w", link, err)
	}
	firsts, err := readFirsts(ctx, tx, link, lanes, perLane)
	if err != nil {
		return nil, fmt.Errorf("read the first messages of lanes of link %s: %w", link, err)
	}
	if lanes, err = o.inBounds(ctx, tx, lanes, firsts); err != nil {
		return nil, err
	}
	claims, last := make([]Claim, 0, len(lanes)), make([]int64, 0, len(lanes))
	now := o.sets()
	for _, l := range lanes {
		c, sent, err := o.take(ctx, tx, link, l, firsts[l.Lane], now)
		if err != nil {
			return nil, fmt.Errorf("take lane %s of link %s: %w", l.Lane, link, err)
		}
		if len(c.Messages) > 0 {
			claims, last = append(claims, c), append(last, sent)
		}
	}
	return claims, o.mark(ctx, tx, node, link, claims, last, now)
}

// take makes a claim of a lane and its first messages, to go out by the set of mappings now; last is up to which number they may have been sent
// from then on.
func (o *Outbox) take(ctx context.Context, tx *store.Tx, link string, l lane, rows []row, now string) (c Claim, last int64, err error) {
	c = Claim{Link: link, Lane: l.Lane, Token: l.Token + 1, SentTo: l.SentTo, SentBy: now}
	if len(rows) == 0 { // it must not hold up the others
		return c, 0, o.parkGone(ctx, tx, link, &l, l.Head)
	}
	if err := rows[0].unread; err != nil {
		return Claim{}, 0, o.parkAltered(ctx, tx, link, l.Lane, l.Head, rows[0].altered(err.Error()))
	}
	if rows[0].Skipped {
		_, err := o.parkSkipped(ctx, tx, link, l.Lane)
		return Claim{}, 0, err
	}
	if at := rows[0].NotBefore; at > store.Micros(tx.Now) { // whatever made the lane due did not look at its message
		return c, 0, o.dueLater(ctx, tx, link, l.Lane, at)
	}
	if rows, err = o.unsealFirst(ctx, tx, link, l, rows); err != nil || len(rows) == 0 {
		return Claim{}, 0, err
	}
	for i := range rows {
		w := &rows[i]
		if w.expired(o.expiry.at(tx.Now)) && !w.maySent(l.SentTo) {
			if err := o.mayExpire(w); err != nil {
				if i > 0 {
					rows = rows[:i]
					break
				}
				return Claim{}, 0, o.parkAltered(ctx, tx, link, l.Lane, w.Number, err)
			}
			if err := o.void(ctx, tx, w, voided, "expired at "+store.FromMicros(w.ExpiresAt).Format(time.RFC3339)); err != nil {
				return Claim{}, 0, err
			}
		}
	}
	if rows, err = o.signFirst(ctx, tx, rows); err != nil || len(rows) == 0 {
		return Claim{}, 0, err
	}
	if err := o.remember(ctx, tx, link, l, rows, now); err != nil {
		return Claim{}, 0, err
	}
	last = l.SentTo
	c.Messages = make([]Queued, 0, len(rows))
	for _, w := range rows {
		last = max(last, w.Number)
		q := w.queued(tx, l.SentTo)
		q.Expired = w.expired(o.expiry.at(tx.Now)) // and may have been sent: else it is a void by now
		c.Messages = append(c.Messages, q)
	}
	return c, last, setReplay(ctx, tx, rows[0], "")
}

// queued is a message of a lane of which those up to sentTo may have been sent.
func (w row) queued(tx *store.Tx, sentTo int64) Queued {
	q := Queued{
		Message: w.message(tx), Stored: w.Digest, Mapping: w.Mapping, Attempts: w.Attempts, Ask: w.maySent(sentTo) && w.Replay != Forced, Doubt: w.Doubt,
		Again: w.Redelivery > 0, Redelivery: w.Redelivery, Replay: w.Replay, Forced: w.Forced, SentBy: w.SentBy, CreatedAt: store.FromMicros(w.CreatedAt),
	}
	if w.Doubt && !w.marked(sentTo) {
		q.DoubtAt = store.FromMicros(w.DoubtAt)
	}
	return q
}

// maySent tells whether a message may have been sent: by a holder that is gone, by a plant of which this one is a copy, or because it was delivered before.
func (w row) maySent(sentTo int64) bool { return w.Doubt || w.marked(sentTo) }

// marked tells whether a holder that is gone may have sent a message, which may have sent those up to sentTo, or it was delivered before.
func (w row) marked(sentTo int64) bool { return w.Number <= sentTo || w.Redelivery > 0 }

// mark puts lanes into the hand of node, and their messages down as possibly sent by the set of mappings now.
func (o *Outbox) mark(ctx context.Context, tx *store.Tx, node, link string, claims []Claim, last []int64, now string) error {
	if len(claims) == 0 {
		return nil
	}
	names := make([]string, 0, len(claims))
	for _, c := range claims {
		names = append(names, c.Lane)
	}
	g := store.Give(store.Col("lane", names), store.Col("sent_to", last))
	err := updateLanes(ctx, tx, g, link, `lease_owner = ?, lease_token = lease_token + 1, due_at = ?, sent_to = g.sent_to, scheduled = FALSE,
		sent_by = ?, sent_by_token = lease_token + 1`, node, store.Micros(tx.Now.Add(o.cfg.Lease)), now)
	if err != nil {
		return fmt.Errorf("put lanes of link %s into the hand of %s: %w", link, node, err)
	}
	return nil
}

// setReplay says how a replayed message goes out again.
func setReplay(ctx context.Context, tx *store.Tx, w row, how Replay) error {
	if w.Replay == how {
		return nil
	}
	if _, err := tx.Exec(ctx, `UPDATE outbox_messages SET replay = ?, forced = ? WHERE id = ?`, string(how), w.Forced || how == Forced, w.ID); err != nil {
		return fmt.Errorf("say how message %s is replayed: %w", w.ID, err)
	}
	return nil
}

// readFirsts reads the heads of lanes, and of each what follows it without a gap and without a time that has not come.
func readFirsts(ctx context.Context, tx *store.Tx, link string, lanes []lane, perLane int) (map[string][]row, error) {
	names, epochs, heads := make([]string, 0, len(lanes)), make([]int64, 0, len(lanes)), make([]int64, 0, len(lanes))
	for _, l := range lanes {
		names, epochs, heads = append(names, l.Lane), append(epochs, l.Epoch), append(heads, l.Head)
	}
	g := store.Give(store.Col("lane", names), store.Col("epoch", epochs), store.Col("head", heads))
	rows := make([]row, 0, 2*len(lanes))
	err := tx.Read(ctx, func(r *store.Row) { rows = append(rows, firstOf(r, link)) }, `SELECT `+first+`, CASE WHEN m.number = g.head THEN `+skippedBefore+` ELSE FALSE END FROM `+g.Table(tx, "g")+` CROSS JOIN outbox_messages AS m
		WHERE m.link = ? AND m.lane = g.lane AND m.epoch = g.epoch AND m.number >= g.head AND m.number < g.head + CAST(? AS BIGINT)`,
		append(g.Args(tx), link, perLane)...)
	if err != nil {
		return nil, err
	}
	byLane := make(map[string][]row, len(lanes))
	for len(rows) > 0 { // those of a lane mostly come together
		n, name := 1, rows[0].Lane
		for n < len(rows) && rows[n].Lane == name {
			n++
		}
		if before := byLane[name]; len(before) > 0 {
			byLane[name] = append(before, rows[:n]...)
		} else {
			byLane[name] = rows[:n:n]
		}
		rows = rows[n:]
	}
	for _, l := range lanes {
		list := byLane[l.Lane]
		slices.SortFunc(list, func(a, b row) int { return cmp.Compare(a.Number, b.Number) })
		byLane[l.Lane] = list[:together(list, l.Head, store.Micros(tx.Now))]
	}
	return byLane, nil
}

// together is how many messages of a lane can be handed out at once. A message to replay is taken by itself: the settlement then tells
// whether that one was sent.
func together(rows []row, head, now int64) int {
	for i, w := range rows {
		if w.Number != head+int64(i) || i > 0 && (w.NotBefore > now || w.unread != nil) {
			return i
		}
		if w.Replay != "" {
			return max(1, i)
		}
	}
	return len(rows)
}

func (w row) expired(now time.Time) bool {
	return w.ExpiresAt > 0 && w.ExpiresAt <= store.Micros(now) && w.Role != string(message.Void) && w.Redelivery == 0
}

// candidates are the lanes of each class that are due: those that have been so longest, and the newest, each in that order.
type candidates struct{ oldest, newest map[int64][]string }

// part reads one end of one class: an index range that ends with the room, whatever the size of the table. Of a link that a person has
// paused nothing is read; to ask for that before would cost another round trip.
const part = `SELECT * FROM (SELECT lane, priority, %t AS newest FROM outbox_lanes
	WHERE link = ? AND ` + due + ` AND priority = %d AND due_at <= ? AND lease_owner <> ?%s
	AND NOT EXISTS (SELECT 1 FROM outbox_links AS k WHERE k.link = ? AND k.paused) ORDER BY due_at %s LIMIT %d) AS p%d`

// claimQuery is the statement that finds lanes which are due, and its number of parts; bench prints its plan. Of the newest it reads no
// more than are given a place for being new. The room is rounded up, so that there are few such statements to be kept prepared. signed leaves
// lanes out whose first message is not.
func claimQuery(room int, signed bool) (query string, parts int) {
	only := ""
	if signed {
		only = " AND NOT " + unsignedHead
	}
	most := 1
	for most < room {
		most *= 2
	}
	for _, t := range tenths {
		for _, newest := range []bool{false, true} {
			order, limit := "ASC", most
			if newest {
				order, limit = "DESC", t.places(most)/4
			}
			if parts > 0 {
				query += " UNION ALL "
			}
			query += fmt.Sprintf(part, newest, t.class, only, order, limit, parts)
			parts++
		}
	}
	return query, parts
}

// Plan is what the database says of how it runs the claim (EXPLAIN), a line a row.
func (o *Outbox) Plan(ctx context.Context, tx *store.Tx, link string, room int) ([]string, error) {
	query, parts := claimQuery(room, false)
	args := claimArgs(tx, "a node", link, parts)
	if tx.Dialect() == store.Postgres {
		var lines []string
		err := tx.Select(ctx, &lines, `EXPLAIN (ANALYZE, BUFFERS) `+query, args...)
		return lines, err
	}
	var rows []struct {
		ID, Parent, NotUsed int
		Detail              string
	}
	err := tx.Select(ctx, &rows, `EXPLAIN QUERY PLAN `+query, args...)
	lines := make([]string, 0, len(rows))
	for _, r := range rows {
		lines = append(lines, r.Detail)
	}
	return lines, err
}

func claimArgs(tx *store.Tx, node, link string, parts int) []any {
	args := make([]any, 0, 4*parts)
	for range parts {
		args = append(args, link, store.Micros(tx.Now), node, link)
	}
	return args
}

// findDue reads which lanes are due, and gives at most room of them; with signed those alone whose first message is.
func findDue(ctx context.Context, tx *store.Tx, node, link string, room int, signed bool) ([]string, error) {
	query, parts := claimQuery(room, signed)
	found := candidates{map[int64][]string{}, map[int64][]string{}}
	err := tx.Read(ctx, func(r *store.Row) {
		lane, class := r.Text(), r.Int()
		of := found.oldest
		if r.Bool() {
			of = found.newest
		}
		of[class] = append(of[class], lane)
	}, query, claimArgs(tx, node, link, parts)...)
	if err != nil {
		return nil, err
	}
	return found.share(room), nil
}

// tenth is how many of ten places a class has a right to.
type tenth struct {
	class int64
	of10  int
}

var tenths = [...]tenth{{1, 6}, {0, 3}, {-1, 1}}

// places is the class's share of the room, at least one.
func (t tenth) places(room int) int { return max(1, room*t.of10/10) }

// share chooses at most room lanes. Each class first gets its share, if it has as many; then whatever room is left goes by class.
func (c candidates) share(room int) []string {
	chosen := make([]string, 0, room)
	seen := make(map[string]bool, room)
	take := func(from []string, n int) {
		for _, l := range from {
			if n <= 0 || len(chosen) == room {
				return
			}
			if !seen[l] {
				seen[l], n, chosen = true, n-1, append(chosen, l)
			}
		}
	}
	for _, t := range tenths {
		places := t.places(room)
		take(c.oldest[t.class], places-places/4)
		take(c.newest[t.class], places/4)
	}
	for _, t := range tenths {
		take(c.oldest[t.class], room)
	}
	return chosen
}
