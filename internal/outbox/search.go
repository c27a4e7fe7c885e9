package outbox

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Found is a message in a list: what people know it by and where it stands. It has no body: a page of bodies could fill the memory.
type Found struct {
	Link, Lane    string
	Epoch, Number int64
	ID, Event     string
	Kind, Key     string
	Role          message.Role
	CreatedAt     time.Time
	SettledAt     time.Time // zero if it is still owed
	Redelivery    int       // how often a person had it delivered again
	Attempts      int
	Document      string // the ERP's number of it
	Refused       string // what the ERP said against it after it was delivered
	LaneState     Lane   // of what is still owed
}

// Head tells whether it is the message that its lane stands at.
func (f Found) Head() bool { return f.SettledAt.IsZero() && f.LaneState.At(f.place()) }

// Behind tells whether another message of its lane comes before it.
func (f Found) Behind() bool { return f.SettledAt.IsZero() && f.LaneState.Before(f.place()) }

func (f Found) place() message.Place { return message.Place{Epoch: f.Epoch, Number: f.Number} }

// Search chooses messages for people who look for them; zero fields choose all.
type Search struct {
	Link, Kind    string
	Lanes         []string // of any link; with IDs: either
	IDs           []string
	Owed, Settled bool // only those; both or none means all
	Refused       bool // only those that the ERP has refused after they were delivered
	Held          bool // with Owed: only those that wait for a person to let them go (Hold)
	From, To      time.Time
	All           []Either // and each of these
	Limit         int      // default 50, at most 1,000
	nothing       bool
}

// Either is met by a message of one of the lanes, by one of the messages, or by one at which a lane stands still for a reason of a pattern
// (Pattern; for Stuck alone). None of them is met by nothing; Not turns it round.
type Either struct {
	Lanes, IDs []string
	Like       string
	Not        bool
}

func (e Either) turned(condition string) string {
	if e.Not {
		return "NOT (" + condition + ")"
	}
	return condition
}

// Nobody is the search that finds nothing: for words that stand for nothing in the plant.
func Nobody() Search { return Search{nothing: true} }

type foundRow struct {
	Link, Lane, ID, Event, Kind, Key, Role, Document, Refused string
	Epoch, Number                                             int64
	Redelivery, Attempts                                      int
	CreatedAt                                                 int64  `db:"created_at"`
	SettledAt                                                 int64  `db:"settled_at"`
	HeadAt                                                    int64  `db:"head_at"`
	Because                                                   string // of stuckAt: the reason of its lane
}

const (
	foundHot = `m.link, m.lane, m.epoch, m.number, m.id, m.event, m.kind, m.key, m.role, m.created_at, m.redelivery, m.attempts`
	searched = foundHot + `, COALESCE(r.settled_at, 0) AS settled_at, '' AS document, '' AS refused
		FROM outbox_messages AS m LEFT JOIN outbox_receipts AS r ON ` + isReceiptOf
	searchedCold = foundHot + `, m.settled_at, m.document, m.refused FROM outbox_delivered AS m`
)

func (r foundRow) found() Found {
	return Found{
		Link: r.Link, Lane: r.Lane, Epoch: r.Epoch, Number: r.Number, ID: r.ID, Event: r.Event, Kind: r.Kind, Key: r.Key, Role: message.Role(r.Role),
		CreatedAt: store.FromMicros(r.CreatedAt), SettledAt: store.FromMicros(r.SettledAt), Redelivery: r.Redelivery, Attempts: r.Attempts,
		Document: r.Document, Refused: r.Refused,
	}
}

// Search lists messages by the time of their append, newest first, from where cursor ended, as Messages does. next is empty at the end.
func (o *Outbox) Search(ctx context.Context, tx *store.Tx, s Search, cursor string) (list []Found, next string, err error) {
	if s.nothing {
		return nil, "", nil
	}
	limit := max(1, min(cmp.Or(s.Limit, 50), 1000))
	links, err := o.linkNames(ctx, tx)
	if err != nil {
		return nil, "", err
	}
	where, args, err := s.where(tx, links, cursor)
	if err != nil {
		return nil, "", err
	}
	order := " ORDER BY m.created_at DESC, m.id DESC, m.redelivery DESC LIMIT " + strconv.Itoa(limit+1)
	parts, all := []string{}, []any{}
	for _, p := range []struct {
		from, and string
		want      bool
	}{{searched, s.filed(), !s.Refused}, {searchedCold, "", s.Refused || s.Settled || !s.Owed}} {
		if p.want {
			parts = append(parts, `SELECT * FROM (SELECT `+p.from+where+p.and+order+`) AS p`+strconv.Itoa(len(parts)))
			all = append(all, args...)
		}
	}
	var rows []foundRow
	if err := tx.Select(ctx, &rows, strings.Join(parts, " UNION ALL ")+strings.ReplaceAll(order, "m.", ""), all...); err != nil {
		return nil, "", fmt.Errorf("search messages: %w", err)
	}
	if len(rows) > limit {
		rows = rows[:limit]
		l := rows[limit-1]
		next = fmt.Sprintf("%d_%s_%d", l.CreatedAt, l.ID, l.Redelivery)
	}
	return o.withLanes(ctx, tx, rows, next)
}

// withLanes adds the state of the lane to what is still owed, each lane read once.
func (o *Outbox) withLanes(ctx context.Context, tx *store.Tx, rows []foundRow, next string) ([]Found, string, error) {
	list := make([]Found, 0, len(rows))
	lanes := map[[2]string]Lane{}
	for _, r := range rows {
		f := r.found()
		var err error
		if f.LaneState, err = o.laneOnce(ctx, tx, lanes, Detail{Message: message.Message{Place: message.Place{Link: f.Link, Lane: f.Lane}}, Settled: r.SettledAt > 0}); err != nil {
			return nil, "", err
		}
		list = append(list, f)
	}
	return list, next, nil
}

func (s Search) filed() string {
	switch {
	case s.Owed == s.Settled:
		return ""
	case s.Owed && s.Held:
		return " AND r.id IS NULL AND m.not_before >= " + strconv.FormatInt(store.Micros(heldUntil()), 10)
	case s.Owed:
		return " AND r.id IS NULL"
	default:
		return " AND r.id > 0"
	}
}

// where is the condition on a message m of either table.
func (s Search) where(tx *store.Tx, links []string, cursor string) (string, []any, error) {
	where, args := " WHERE 1 = 1", []any{}
	add := func(condition string, value ...any) { where, args = where+" AND "+condition, append(args, value...) }
	if s.Link != "" {
		add(unsought(tx, "m.link")+" = ?", s.Link)
	}
	if s.Kind != "" {
		add("m.kind = ?", s.Kind)
	}
	if len(s.Lanes)+len(s.IDs) > 0 {
		either, values := Either{Lanes: s.Lanes, IDs: s.IDs}.found(links)
		add(either, values...)
	}
	for _, e := range s.All {
		either, values := e.found(links)
		add(e.turned(either), values...)
	}
	if !s.From.IsZero() {
		add("m.created_at >= ?", store.Micros(s.From))
	}
	if !s.To.IsZero() {
		add("m.created_at < ?", store.Micros(s.To))
	}
	if s.Refused {
		add("m.refused <> ''")
	}
	if cursor == "" {
		return where, args, nil
	}
	parts := strings.Split(cursor, "_")
	if len(parts) != 3 {
		return "", nil, badCursor()
	}
	at, err1 := strconv.ParseInt(parts[0], 10, 64)
	again, err2 := strconv.Atoi(parts[2])
	if err1 != nil || err2 != nil {
		return "", nil, badCursor()
	}
	add("(m.created_at, m.id, m.redelivery) < (?, ?, ?)", at, parts[1], again)
	return where, args, nil
}

// found is one of the lanes or one of the messages. A lane is asked for on each link by its name, so that the primary key finds it.
func (e Either) found(links []string) (string, []any) {
	alternatives, args := []string{}, []any{}
	oneOf := func(column string, values []string) string {
		for _, v := range values {
			args = append(args, v)
		}
		return column + " IN (?" + strings.Repeat(", ?", len(values)-1) + ")"
	}
	if len(e.Lanes) > 0 && len(links) > 0 {
		alternatives = append(alternatives, oneOf("m.link", links)+" AND "+oneOf("m.lane", e.Lanes))
	}
	if len(e.IDs) > 0 {
		alternatives = append(alternatives, oneOf("m.id", e.IDs))
	}
	if len(alternatives) == 0 {
		return "1 = 0", nil
	}
	return "(" + strings.Join(alternatives, " OR ") + ")", args
}

// stuck is the same of the lane o that stands still, and of its reason.
func (e Either) stuck() (string, []any) {
	alternatives, args := []string{}, []any{}
	for _, p := range []struct {
		values       []string
		before, back string
	}{
		{e.Lanes, "o.lane IN (", ")"},
		{e.IDs, "EXISTS (SELECT 1 FROM outbox_messages AS i WHERE i.link = o.link AND i.lane = o.lane AND i.epoch = o.head_epoch AND i.number = o.head AND i.id IN (", "))"},
	} {
		if len(p.values) == 0 {
			continue
		}
		alternatives = append(alternatives, p.before+"?"+strings.Repeat(", ?", len(p.values)-1)+p.back)
		for _, v := range p.values {
			args = append(args, v)
		}
	}
	if e.Like != "" {
		alternatives, args = append(alternatives, `reason LIKE ? ESCAPE '\'`), append(args, e.Like)
	}
	if len(alternatives) == 0 {
		return "1 = 0", nil
	}
	return "(" + strings.Join(alternatives, " OR ") + ")", args
}

// unsought is a column by whose values SQLite must not look rows up: it would then sort all that a link has, where the index that has the rows in
// the order of the list ends after a page of them. PostgreSQL knows that by its statistics.
func unsought(tx *store.Tx, column string) string {
	if tx.Dialect() == store.SQLite {
		return "+" + column
	}
	return column
}

// StuckFilter chooses messages at which lanes stand still; zero fields choose all.
type StuckFilter struct {
	Link  string
	Kind  string
	Group string    // the reason is this one, as Alike has it
	Like  string    // a pattern of Pattern that the reason fits
	All   []Either  // and each of these
	From  time.Time // made at this time or later, as in Search
	To    time.Time // and before this
	Limit int       // default 50, at most 1,000
}

// Stuck lists the messages at which lanes stand still until a person acts, parked or unknown, the one that was owed first at the top, from
// where cursor ended. next is empty at the end.
func (o *Outbox) Stuck(ctx context.Context, tx *store.Tx, f StuckFilter, cursor string) (list []Found, next string, err error) {
	limit := max(1, min(cmp.Or(f.Limit, 50), 1000))
	links, err := o.linkNames(ctx, tx)
	if err != nil {
		return nil, "", err
	}
	var rows []foundRow
	for _, link := range links {
		if f.Link != "" && f.Link != link {
			continue
		}
		for _, state := range []string{"state = 'parked'", "state = 'unknown'"} {
			more, err := stuckOf(ctx, tx, f, link, state, cursor, limit+1)
			if err != nil {
				return nil, "", err
			}
			rows = append(rows, more...)
		}
	}
	slices.SortFunc(rows, func(a, b foundRow) int {
		return cmp.Or(cmp.Compare(a.HeadAt, b.HeadAt), cmp.Compare(a.Link, b.Link), cmp.Compare(a.Lane, b.Lane))
	})
	if len(rows) > limit {
		rows = rows[:limit]
		l := rows[limit-1]
		next = l.cursor()
	}
	return o.withLanes(ctx, tx, rows, next)
}

// cursor is where a list of what stands still goes on behind it.
func (r foundRow) cursor() string { return fmt.Sprintf("%d_%s/%s", r.HeadAt, r.Link, r.Lane) }

// stuckOf is stuckAt for what a pattern cannot say: it leaves out what is of other groups.
func stuckOf(ctx context.Context, tx *store.Tx, f StuckFilter, link, state, cursor string, limit int) (rows []foundRow, err error) {
	for {
		more, err := stuckAt(ctx, tx, f, link, state, cursor, limit)
		if err != nil {
			return nil, err
		}
		for _, r := range more {
			if cursor = r.cursor(); f.Group == "" || Alike(r.Because) == f.Group {
				rows = append(rows, r)
			}
		}
		if len(more) < limit || len(rows) >= limit {
			return rows, nil
		}
	}
}

// stuckAt lists those of one link and one state, by an index that has them in this order. A word of the reason is looked for in each.
func stuckAt(ctx context.Context, tx *store.Tx, f StuckFilter, link, state, cursor string, limit int) (rows []foundRow, err error) {
	where, args := "link = ? AND owing AND "+state, []any{link}
	add := func(condition string, value ...any) { where, args = where+" AND "+condition, append(args, value...) }
	if f.Kind != "" {
		add("EXISTS (SELECT 1 FROM outbox_messages AS k WHERE k.link = o.link AND k.lane = o.lane AND k.epoch = o.head_epoch AND k.number = o.head AND k.kind = ?)", f.Kind)
	}
	for _, e := range f.All {
		either, values := e.stuck()
		add(e.turned(either), values...)
	}
	for _, pattern := range []string{f.Like, around(f.Group)} {
		if pattern != "" {
			add(`reason LIKE ? ESCAPE '\'`, pattern)
		}
	}
	if !f.From.IsZero() {
		add("head_at >= ?", store.Micros(f.From))
	}
	if !f.To.IsZero() {
		add("head_at < ?", store.Micros(f.To))
	}
	if cursor != "" {
		at, after, lane, err := laneCursor(cursor)
		if err != nil {
			return nil, err
		}
		add("head_at >= ? AND (head_at, link, lane) > (?, ?, ?)", at, at, after, lane)
	}
	err = tx.Select(ctx, &rows, `SELECT `+foundHot+`, 0 AS settled_at, '' AS document, '' AS refused, page.head_at, page.reason AS because FROM
		(SELECT link, lane, head_epoch, head, head_at, reason FROM outbox_lanes AS o WHERE `+where+` ORDER BY head_at, link, lane LIMIT `+strconv.Itoa(limit)+`) AS page
		JOIN outbox_messages AS m ON m.link = page.link AND m.lane = page.lane AND m.epoch = page.head_epoch AND m.number = page.head`, args...)
	if err != nil {
		return nil, fmt.Errorf("list messages at which lanes stand still: %w", err)
	}
	return rows, nil
}

// Named lists the lanes and messages that a number of the ERP's stands for on any link.
func (o *Outbox) Named(ctx context.Context, tx *store.Tx, number string) (lanes, ids []string, err error) {
	links, err := o.linkNames(ctx, tx)
	if err != nil {
		return nil, nil, err
	}
	for _, link := range links {
		var objects []string
		err := tx.Select(ctx, &objects, `SELECT object FROM outbox_refs WHERE link = ? AND number = ? AND number <> '' LIMIT 100`, link, number)
		if err != nil {
			return nil, nil, fmt.Errorf("find what number %s stands for: %w", number, err)
		}
		for _, object := range objects {
			sort, id, _ := strings.Cut(object, "/")
			if sort == "order" {
				lanes = append(lanes, id)
			} else {
				ids = append(ids, MessageID(link, id))
			}
		}
	}
	return lanes, ids, nil
}

// linkNames are the links of the routes and those that anything was ever owed to, also where the configuration has them no more. It reads one
// lane of each.
func (o *Outbox) linkNames(ctx context.Context, tx *store.Tx) (names []string, err error) {
	if err := tx.Select(ctx, &names, `WITH RECURSIVE n (link) AS (SELECT MIN(link) FROM outbox_lanes
		UNION ALL SELECT (SELECT MIN(link) FROM outbox_lanes WHERE link > n.link) FROM n WHERE n.link IS NOT NULL)
		SELECT link FROM n WHERE link IS NOT NULL UNION SELECT link FROM outbox_links`); err != nil {
		return nil, fmt.Errorf("list the links: %w", err)
	}
	for _, r := range o.routes {
		names = append(names, r.Link)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// badLink is told where nothing was ever owed to a link.
func badLink(name string) error {
	return &problem.Error{Kind: problem.NotFound, What: "link " + name, Why: "nothing was ever owed to a link of that name", Hint: "see holdfast link list"}
}

// LinkState is the state of one link; NotFound if nothing was ever owed to it.
func (o *Outbox) LinkState(ctx context.Context, tx *store.Tx, name string) (Link, error) {
	all, err := o.Links(ctx, tx)
	if err != nil {
		return Link{}, err
	}
	for _, l := range all {
		if l.Name == name {
			return l, nil
		}
	}
	return Link{}, badLink(name)
}
