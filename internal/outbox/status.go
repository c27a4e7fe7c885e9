package outbox

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Lane is the state of one lane.
type Lane struct {
	Link, Name string
	State      State
	Paused     bool      // by a person
	Owed       int64     // messages
	Head       int64     // number of the first message owed, or of the next if none is
	HeadEpoch  int64     // in which Head counts
	Epoch      int64     // the newest, in which Next counts
	Next       int64     // number that the next append takes
	OldestAt   time.Time // when the head was appended; zero if nothing is owed
	NotBefore  time.Time // what the head was put off to; zero if it was not
	DueAt      time.Time // when it is tried next; while it is in hand, when the lease ends
	Awaits     string    // Waiting: the object whose number is missing
	Reason     string    // why it stands still, or what the last attempt met
	InHand     string    // the node that is sending; "" if none
	SentTo     int64     // messages up to this number may have been sent
	ChangedAt  time.Time
	MappedBy   string // the edition of the mappings (its hash) by which it was last tried; "" if it was not, or nobody knows
}

// At tells whether the lane stands at the message of that place. After a restore a lane can owe the same number of two epochs.
func (l Lane) At(p message.Place) bool { return l.HeadEpoch == p.Epoch && l.Head == p.Number }

// Before tells whether the lane stands at a message before that place.
func (l Lane) Before(p message.Place) bool {
	return l.HeadEpoch < p.Epoch || l.HeadEpoch == p.Epoch && l.Head < p.Number
}

type laneRow struct {
	Link, Lane, State, Awaits, Reason string
	Paused, Scheduled                 bool
	Pending, Head                     int64
	HeadEpoch                         int64  `db:"head_epoch"`
	Epoch                             int64  `db:"epoch"`
	Next                              int64  `db:"next_number"`
	HeadAt                            int64  `db:"head_at"`
	DueAt                             int64  `db:"due_at"`
	ChangedAt                         int64  `db:"changed_at"`
	Owner                             string `db:"lease_owner"`
	SentTo                            int64  `db:"sent_to"`
	Token                             int64  `db:"lease_token"`
	by
}

const laneStatus = `SELECT link, lane, state, awaits, reason, paused, scheduled, pending, head, head_epoch, epoch, next_number, head_at, due_at, changed_at, lease_owner, sent_to, lease_token, ` + byColumns + ` FROM outbox_lanes`

func (r laneRow) status() Lane {
	if r.Pending == 0 {
		r.HeadAt = 0
	}
	notBefore := int64(0)
	if r.Scheduled && r.Pending > 0 {
		notBefore = r.DueAt
	}
	mappedBy := ""
	if r.by.Token == r.Token {
		mappedBy = r.SentBy
	}
	return Lane{
		Link: r.Link, MappedBy: mappedBy, Name: r.Lane, State: State(r.State), Paused: r.Paused, Owed: r.Pending, Head: r.Head, HeadEpoch: r.HeadEpoch, Epoch: r.Epoch, Next: r.Next,
		OldestAt: store.FromMicros(r.HeadAt), DueAt: store.FromMicros(r.DueAt), Awaits: r.Awaits, Reason: r.Reason, InHand: r.Owner,
		ChangedAt: store.FromMicros(r.ChangedAt), SentTo: r.SentTo, NotBefore: store.FromMicros(notBefore),
	}
}

// Lane is one lane; NotFound if nothing was ever put into it.
func (o *Outbox) Lane(ctx context.Context, tx *store.Tx, link, name string) (Lane, error) {
	var r laneRow
	err := tx.Get(ctx, &r, laneStatus+` WHERE link = ? AND lane = ?`, link, name)
	if errors.Is(err, sql.ErrNoRows) {
		return Lane{}, &problem.Error{
			Kind: problem.NotFound, What: "lane " + name + " of link " + link, Why: "no message was ever put into it",
			Hint: "holdfast lane list shows the lanes of a link",
		}
	}
	if err != nil {
		return Lane{}, fmt.Errorf("read lane %s of link %s: %w", name, link, err)
	}
	return r.status(), nil
}

// OwesOnly refuses, as a Precondition, unless a lane owes exactly so many messages: those that the caller has put into it in this transaction, and
// nothing before them that is on its way or in doubt. Nobody else puts anything into it until the transaction ends.
func (o *Outbox) OwesOnly(ctx context.Context, tx *store.Tx, link, name string, n int64) error {
	if _, err := lockLane(ctx, tx, link, name); err != nil {
		return err
	}
	l, err := o.Lane(ctx, tx, link, name)
	if err != nil || l.Owed == n {
		return err
	}
	return &problem.Error{
		Kind: problem.Precondition, What: "put a repair into lane " + name + " of link " + link, Why: fmt.Sprintf("it owes %d messages with it, and the repair is %d: others are on their way or in doubt", l.Owed, n),
		Hint: "let them end first: holdfast lane show " + link + " " + name + "; then compare again",
	}
}

// LaneFilter chooses lanes that owe something, are paused or parked; zero fields choose all of those.
type LaneFilter struct {
	Link   string
	State  State // Open, Parked, Unknown or Waiting
	Stuck  bool  // only lanes that are Parked or Unknown: a person must act
	Paused bool  // only lanes that a person has paused
	Limit  int   // default 50, at most 10,000
}

// Lanes lists the lanes that owe something and those that are paused or parked, the one that owes longest first, from where cursor ended. next is empty at the end.
func (o *Outbox) Lanes(ctx context.Context, tx *store.Tx, f LaneFilter, cursor string) (list []Lane, next string, err error) {
	limit := max(1, min(cmp.Or(f.Limit, 50), 10_000))
	links, err := o.linkNames(ctx, tx)
	if err != nil {
		return nil, "", err
	}
	var rows []laneRow
	for _, link := range links {
		if f.Link != "" && f.Link != link {
			continue
		}
		for _, part := range f.parts() {
			more, err := f.lanesOf(ctx, tx, link, part, cursor, limit+1)
			if err != nil {
				return nil, "", err
			}
			rows = append(rows, more...)
		}
	}
	slices.SortFunc(rows, func(a, b laneRow) int {
		return cmp.Or(cmp.Compare(a.HeadAt, b.HeadAt), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Lane, b.Lane))
	})
	if len(rows) > limit {
		rows = rows[:limit]
		l := rows[limit-1]
		next = fmt.Sprintf("%d_%s/%s", l.HeadAt, l.Link, l.Lane)
	}
	for _, r := range rows {
		list = append(list, r.status())
	}
	return list, next, nil
}

// parts are conditions that no lane fulfils two of, each with an index that has its lanes in the order of the list.
func (f LaneFilter) parts() []string {
	switch {
	case f.Stuck:
		return []string{"state = 'parked'", "owing AND state = 'unknown'"}
	case f.State == Parked:
		return []string{"state = 'parked'"}
	case f.State == Unknown:
		return []string{"owing AND state = 'unknown'"}
	case f.State == Waiting:
		return []string{"owing AND state = 'waiting'"}
	case f.Paused:
		return []string{"paused"}
	default:
		return []string{"owing", "NOT owing AND (paused OR state = 'parked')"}
	}
}

// lanesOf lists the lanes of one link and one part.
func (f LaneFilter) lanesOf(ctx context.Context, tx *store.Tx, link, part, cursor string, limit int) (rows []laneRow, err error) {
	where, args := " WHERE link = ? AND "+part, []any{link}
	add := func(condition string, value ...any) { where, args = where+" AND "+condition, append(args, value...) }
	if f.State != "" {
		add("state = ?", string(f.State))
	}
	if f.Paused {
		add("paused")
	}
	if cursor != "" {
		at, after, name, err := laneCursor(cursor)
		if err != nil {
			return nil, err
		}
		add("head_at >= ? AND (head_at, link, lane) > (?, ?, ?)", at, at, after, name)
	}
	if err := tx.Select(ctx, &rows, laneStatus+where+` ORDER BY head_at, link, lane LIMIT `+strconv.Itoa(limit), args...); err != nil {
		return nil, fmt.Errorf("list lanes: %w", err)
	}
	return rows, nil
}

// laneCursor reads where a list of lanes ended.
func laneCursor(cursor string) (at int64, link, lane string, err error) {
	first, rest, _ := strings.Cut(cursor, "_")
	link, lane, ok := strings.Cut(rest, "/")
	at, err = strconv.ParseInt(first, 10, 64)
	if err != nil || !ok {
		return 0, "", "", badCursor()
	}
	return at, link, lane, nil
}

// Link is the state of one link. Its figures come from counters, never from counting history.
type Link struct {
	Name      string
	Paused    bool      // by a person
	Reason    string    // of the pause
	Rate      int       // requests a second that a person allows it; 0: what the configuration says
	Breaker   string    // closed, open or half-open, as the relay last saw it
	Trouble   string    // what opened the breaker
	ChangedAt time.Time // of the pause or the breaker, from the first settlement on; zero if it was never used
	Owed      int64     // messages
	Lanes     int64     // lanes that owe something
	Parked    int64     // of these, parked or unknown
	Altered   int64     // of the parked, those that are because somebody has altered the database behind Holdfast
	Waiting   int64     // of these, waiting for a number
	Postponed int64     // lanes whose first message is put off to a later time
	Held      int64     // lanes that a person has paused, whether they owe something or not
	Standing  int64     // messages owed in lanes that wait for a person: parked, unknown or paused
	OldestAt  time.Time // append of the oldest message owed; zero if none is
	Delivered int64     // messages since the database was made
	Voided    int64     // discarded or expired since then
	Refused   int64     // messages that the ERP has refused after they were delivered, see Answer
	LastAt    time.Time // last settlement
	Doubtful  int64     // messages owed that may have been sent, and to which there was no answer
	DoubtAt   time.Time // since when the oldest of them is, or is owed where that is not known; zero if there is none
}

// Owed is how many messages all links together owe.
func (o *Outbox) Owed(ctx context.Context, tx *store.Tx) (n int64, err error) {
	if err := tx.Get(ctx, &n, `SELECT CAST(COALESCE(SUM(pending), 0) AS BIGINT) FROM outbox_lanes WHERE owing`); err != nil {
		return 0, fmt.Errorf("count what is owed: %w", err)
	}
	return n, nil
}

// Links is the state of every link that was ever routed to, by name.
func (o *Outbox) Links(ctx context.Context, tx *store.Tx) ([]Link, error) {
	var rows []struct {
		Link, Reason, Breaker, Trouble                                string
		Paused                                                        bool
		ChangedAt                                                     int64 `db:"changed_at"`
		LastAt                                                        int64 `db:"last_at"`
		Delivered, Voided, Owed, Lanes, Parked, Waiting, Held, Oldest int64
		Refused, Postponed, Altered, Standing                         int64
		Rate                                                          int
	}
	err := tx.Select(ctx, &rows, `WITH p AS MATERIALIZED (SELECT link, CAST(SUM(pending) AS BIGINT) AS owed, SUM(CASE WHEN owing THEN 1 ELSE 0 END) AS lanes,
			MIN(CASE WHEN owing THEN head_at END) AS oldest, SUM(CASE WHEN paused THEN 1 ELSE 0 END) AS held,
			SUM(CASE WHEN state IN ('parked', 'unknown') THEN 1 ELSE 0 END) AS parked,
			CAST(SUM(CASE WHEN paused OR state IN ('parked', 'unknown') THEN pending ELSE 0 END) AS BIGINT) AS standing,
			SUM(CASE WHEN state = 'parked' AND reason LIKE '%behind Holdfast%' THEN 1 ELSE 0 END) AS altered,
			SUM(CASE WHEN state = 'waiting' THEN 1 ELSE 0 END) AS waiting,
			SUM(CASE WHEN owing AND scheduled AND due_at > CAST(? AS BIGINT) THEN 1 ELSE 0 END) AS postponed
			FROM outbox_lanes WHERE owing OR paused OR state = 'parked' GROUP BY link)
		SELECT n.link, COALESCE(k.reason, '') AS reason, COALESCE(k.breaker, 'closed') AS breaker,
		COALESCE(k.trouble, '') AS trouble, COALESCE(k.paused, FALSE) AS paused, COALESCE(k.changed_at, 0) AS changed_at, COALESCE(k.rate, 0) AS rate,
		COALESCE(k.last_at, 0) AS last_at, COALESCE(k.delivered, 0) AS delivered, COALESCE(k.voided, 0) AS voided,
		COALESCE(p.owed, 0) AS owed, COALESCE(p.lanes, 0) AS lanes, COALESCE(p.parked, 0) AS parked, COALESCE(p.altered, 0) AS altered,
		COALESCE(p.waiting, 0) AS waiting, COALESCE(p.held, 0) AS held, COALESCE(p.oldest, 0) AS oldest,
		COALESCE(p.postponed, 0) AS postponed, COALESCE(p.standing, 0) AS standing, COALESCE(r.refused, 0) AS refused
		FROM (SELECT link FROM outbox_links UNION SELECT link FROM p) AS n
		LEFT JOIN outbox_links AS k ON k.link = n.link
		LEFT JOIN p ON p.link = n.link
		LEFT JOIN (SELECT link, COUNT(*) AS refused FROM outbox_delivered WHERE refused <> '' GROUP BY link) AS r ON r.link = n.link
		ORDER BY n.link`, store.Micros(tx.Now))
	if err != nil {
		return nil, fmt.Errorf("read the state of the links: %w", err)
	}
	links := make([]Link, 0, len(rows))
	for _, r := range rows {
		links = append(links, Link{
			Name: r.Link, Paused: r.Paused, Reason: r.Reason, Rate: r.Rate, Breaker: r.Breaker, Trouble: r.Trouble, ChangedAt: store.FromMicros(r.ChangedAt),
			Owed: r.Owed, Lanes: r.Lanes, Parked: r.Parked, Altered: r.Altered, Waiting: r.Waiting, Held: r.Held, Standing: r.Standing, Postponed: r.Postponed, OldestAt: store.FromMicros(r.Oldest),
			Delivered: r.Delivered, Voided: r.Voided, Refused: r.Refused, LastAt: store.FromMicros(r.LastAt),
		})
	}
	return links, addDoubts(ctx, tx, links)
}

// Breakers is the breaker of every link that has one, by name, and when it last changed. Unlike Links it counts nothing.
func (o *Outbox) Breakers(ctx context.Context, tx *store.Tx) ([]Link, error) {
	var rows []struct {
		Link, Breaker, Trouble string
		Paused                 bool
		ChangedAt              int64 `db:"changed_at"`
	}
	if err := tx.Select(ctx, &rows, `SELECT link, breaker, trouble, paused, changed_at FROM outbox_links ORDER BY link`); err != nil {
		return nil, fmt.Errorf("read the breakers of the links: %w", err)
	}
	links := make([]Link, 0, len(rows))
	for _, r := range rows {
		links = append(links, Link{Name: r.Link, Breaker: r.Breaker, Trouble: r.Trouble, Paused: r.Paused, ChangedAt: store.FromMicros(r.ChangedAt)})
	}
	return links, nil
}

// SetBreaker keeps what the relay's breaker of a link says, so that every node and every page shows it.
func (o *Outbox) SetBreaker(ctx context.Context, tx *store.Tx, link, breaker, trouble string) error {
	_, err := tx.Exec(ctx, `INSERT INTO outbox_links (link, breaker, trouble, changed_at) VALUES (?, ?, ?, ?)
		ON CONFLICT (link) DO UPDATE SET breaker = excluded.breaker, trouble = excluded.trouble, changed_at = excluded.changed_at`,
		link, breaker, trouble, store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("keep the breaker of link %s: %w", link, err)
	}
	return nil
}

// Purge deletes up to limit receipts that are older than Config.Keep, each by itself, and says how many it deleted: that of a message
// which was delivered again since stays. The history of a message goes with the last that is kept of it. Lanes keep their counters.
// Called in small chunks it holds up nobody. Each call also looks at some of the messages with large bodies, and ends the holds of those
// that a node of the release before has deleted.
func (o *Outbox) Purge(ctx context.Context, tx *store.Tx, limit int) (int64, error) {
	var rows []gone
	err := tx.Select(ctx, &rows, `DELETE FROM outbox_delivered WHERE (link, lane, epoch, number, redelivery) IN
		(SELECT link, lane, epoch, number, redelivery FROM outbox_delivered WHERE settled_at < ? ORDER BY settled_at LIMIT `+strconv.Itoa(limit)+`)
		RETURNING id, large, link, lane, epoch, number`, store.Micros(tx.Now.Add(-o.cfg.Keep)))
	if err != nil {
		return 0, fmt.Errorf("purge old receipts: %w", err)
	}
	if err := forget(ctx, tx, messagesOf(rows)); err != nil {
		return 0, err
	}
	if err := o.notePurged(ctx, tx, rows); err != nil {
		return 0, err
	}
	if err := o.forgetBooked(ctx, tx); err != nil {
		return 0, err
	}
	_, err = o.patrol.Walk(ctx, tx, holding)
	return int64(len(rows)), err
}
