package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Message is an inbound message as a person sees it.
type Message struct {
	message.Message
	Seq           int64 // row number, in the order of arrival
	State         State
	Mapping       string
	ObjectVersion string
	Digest        string         // of the message as it came
	Original      []byte         // the body as it came, if a person has changed it
	OriginalLarge *message.Large // the same, where it is not in memory
	Problem       problem.Kind
	Reason        string // why it is in its state
	Hint          string // what to do, for a message in quarantine
	Attempts      int
	ReceivedAt    time.Time
	SettledAt     time.Time // zero while it waits
}

// Corrected tells whether a person has given the message another body.
func (m Message) Corrected() bool { return m.Original != nil || m.OriginalLarge != nil }

func (r row) seen(tx *store.Tx) Message {
	return Message{
		Message: r.message(r.Large.Large(tx.DB())), Seq: r.Seq, State: r.State, Mapping: r.Mapping, ObjectVersion: r.ObjectVersion, Digest: r.Digest, Original: r.Original,
		OriginalLarge: r.OriginalLarge.Large(tx.DB()),
		Problem:       problem.Kind(r.Problem), Reason: r.Reason, Hint: r.Hint, Attempts: r.Attempts,
		ReceivedAt: store.FromMicros(r.ReceivedAt), SettledAt: store.FromMicros(r.SettledAt),
	}
}

// Filter chooses messages; empty fields choose all.
type Filter struct {
	State  State
	Source string
	Key    string
	Lane   string
	ID     string
	Links  []string // only of these; nil means of any
	Before int64    // row number: only older ones, for paging; 0 for the newest
	Limit  int      // default 100, most 1,000
}

// Messages lists messages, newest first, without their bodies: a page of them could fill the memory. Message reads those.
func (i *Inbox) Messages(ctx context.Context, tx *store.Tx, f Filter) ([]Message, error) {
	where, args := "1 = 1", []any{}
	if f.State == Quarantined { // said in the statement, so that the index of these is used
		where, f.State = "state = 'quarantined'", ""
	}
	for _, c := range []struct {
		clause string
		value  string
	}{{"state = ?", string(f.State)}, {"source = ?", f.Source}, {"key = ?", f.Key}, {"lane = ?", f.Lane}, {"id = ?", f.ID}} {
		if c.value != "" {
			where, args = where+" AND "+c.clause, append(args, c.value)
		}
	}
	if f.Links != nil {
		where += " AND link IN (''" + strings.Repeat(", ?", len(f.Links)) + ")"
		for _, l := range f.Links {
			args = append(args, l)
		}
	}
	if f.Before > 0 {
		where, args = where+" AND seq < ?", append(args, f.Before)
	}
	if f.Limit <= 0 {
		f.Limit = 100
	}
	var rows []row
	err := tx.Select(ctx, &rows, `SELECT `+listed+` FROM inbox_messages WHERE `+where+` ORDER BY seq DESC LIMIT ?`, append(args, min(f.Limit, 1000))...)
	if err != nil {
		return nil, fmt.Errorf("list inbound messages: %w", err)
	}
	out := make([]Message, len(rows))
	for n, r := range rows {
		out[n] = r.seen(tx)
	}
	return out, nil
}

// Message is one message by its row number; NotFound if there is none.
func (i *Inbox) Message(ctx context.Context, tx *store.Tx, seq int64) (Message, error) {
	r, found, err := find(ctx, tx, `seq = ?`, seq)
	if err == nil && !found {
		err = &problem.Error{
			Kind: problem.NotFound, What: fmt.Sprintf("read inbound message %d", seq), Why: "there is no such message", Hint: "it may have been forgotten: see the horizon in the status",
		}
	}
	if err == nil {
		if err = r.unseal(ctx, tx); problem.KindOf(err) == problem.Integrity { // what was altered has no body
			r.Body, r.Original, err = nil, nil, nil
		}
	}
	return r.seen(tx), err
}

// Lane is a stream of messages as a person sees it: a lane of a sender that counts, or an object.
type Lane struct {
	Source   string
	Name     string // the lane, or "object/KIND/KEY"
	Numbered bool
	Epoch    int64     // of Next; a later one than was applied last if the first number of that one is missing
	Next     int64     // the number that is next
	Version  string    // of the object, as last applied
	Waiting  int64     // messages
	Bytes    int64     // of their bodies
	Held     int64     // row number of the message in quarantine that it waits for; 0 if none
	GapSince time.Time // since when Next is missing; zero if it is not
	Alerted  bool      // the gap has lasted for Config.GapAlert
	Due      time.Time // when the next one is tried; zero if there is none to try
	Attempts int       // that failed in a row
	Trouble  string    // what went wrong last
}

func (s stream) seen() Lane {
	l := Lane{
		Source: s.Source, Name: s.Stream, Numbered: s.Lane != "", Epoch: s.Epoch, Next: s.Next, Version: s.Version, Waiting: s.Waiting, Bytes: s.Bytes,
		Held: s.Held, GapSince: store.FromMicros(s.GapSince), Alerted: s.GapAlerted, Due: store.FromMicros(s.DueAt), Attempts: s.Attempts, Trouble: s.Trouble,
	}
	if l.Numbered {
		l.Name = s.Lane
		l.Epoch, l.Next = s.next()
	}
	return l
}

// Lanes lists the streams in which something waits or is held, by name and source. after is the Cursor of the last one of the page
// before, "" for the first page; Invalid if it is neither.
func (i *Inbox) Lanes(ctx context.Context, tx *store.Tx, source, after string, limit int) ([]Lane, error) {
	name, of, ok := strings.Cut(after, "\x00")
	if after != "" && !ok || !utf8.ValidString(after) || strings.ContainsRune(of, 0) {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "list inbound lanes", Why: "the cursor is not one that a list gave", Hint: "begin again without a cursor",
			Fields: []problem.Field{{Pointer: "cursor", Why: "is not that of an earlier page"}},
		}
	}
	var rows []stream
	err := tx.Select(ctx, &rows, `SELECT `+streamColumns+`, `+gapEpoch+` FROM inbox_streams WHERE `+busy+` AND (? = '' OR source = ?)
		AND (stream, source) > (?, ?) ORDER BY stream, source LIMIT ?`, source, source, name, of, min(max(limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("list inbound lanes: %w", err)
	}
	out := make([]Lane, len(rows))
	for n, s := range rows {
		out[n] = s.seen()
	}
	return out, nil
}

// Cursor is where a list of lanes goes on behind this one. It may hold any character.
func (l Lane) Cursor() string {
	if l.Numbered {
		return "lane/" + l.Name + "\x00" + l.Source
	}
	return l.Name + "\x00" + l.Source
}

// Lane is one lane of a sender that counts; NotFound if nothing ever came in it.
func (i *Inbox) Lane(ctx context.Context, tx *store.Tx, source, lane string) (Lane, error) {
	var s stream
	err := tx.Get(ctx, &s, `SELECT `+streamColumns+`, `+gapEpoch+` FROM inbox_streams WHERE source = ? AND stream = ?`, source, "lane/"+lane)
	if errors.Is(err, sql.ErrNoRows) {
		return Lane{}, &problem.Error{Kind: problem.NotFound, What: "read lane " + lane + " of " + source, Why: "there is no such lane", Hint: "list those that wait"}
	}
	if err != nil {
		return Lane{}, fmt.Errorf("read lane %s of %s: %w", lane, source, err)
	}
	return s.seen(), nil
}

// Rejected is a message that could not be believed.
type Rejected struct {
	Seq        int64
	Source     string // as it claimed
	ID         string // as it claimed
	Kind       string
	Link       string
	Body       []byte // its beginning, where the reason says so
	Problem    problem.Kind
	Reason     string
	ReceivedAt time.Time
}

// RejectedMessages lists what could not be believed, newest first; before is a row number, for paging, or 0.
func (i *Inbox) RejectedMessages(ctx context.Context, tx *store.Tx, before int64, limit int) ([]Rejected, error) {
	var rows []struct {
		Seq                             int64
		Source, ID, Kind, Link, Problem string
		Reason                          string
		Body                            []byte
		Sealed                          int64
		ReceivedAt                      int64 `db:"received_at"`
	}
	err := tx.Select(ctx, &rows, `SELECT seq, source, id, kind, link, body, sealed, problem, reason, received_at FROM inbox_rejected
		WHERE (? = 0 OR seq < ?) ORDER BY seq DESC LIMIT ?`, before, before, min(max(limit, 1), 1000))
	if err != nil {
		return nil, fmt.Errorf("list rejected messages: %w", err)
	}
	out := make([]Rejected, len(rows))
	for n, r := range rows {
		r.Body, err = tx.Unseal(ctx, cellOfRejected(r.Source, r.ID, r.Kind, r.Link, r.ReceivedAt), r.Sealed, r.Body)
		if err != nil && problem.KindOf(err) != problem.Integrity {
			return nil, fmt.Errorf("open rejected message %d: %w", r.Seq, err)
		}
		out[n] = Rejected{r.Seq, r.Source, r.ID, r.Kind, r.Link, r.Body, problem.Kind(r.Problem), r.Reason, store.FromMicros(r.ReceivedAt)}
	}
	return out, nil
}

// Status is the inbox in numbers, for metrics and alerts.
type Status struct {
	Waiting     int64 // messages whose turn has not come, or that are tried again
	Quarantined int64
	Held        int64 // lanes that wait for a message in quarantine
	Gaps        int64 // lanes in which a number is missing
	Alerted     int64 // of these, for longer than Config.GapAlert
	Trouble     int64 // lanes whose message failed and is tried again
	Rejected    int64 // messages that could not be believed, as far as they are kept
	OldestGap   time.Time
	Feeds       []FeedStatus
	Horizons    []Horizon
}

// Horizon says how far back messages of a source are forgotten.
type Horizon struct {
	Source    string
	Before    time.Time // the latest time of a forgotten message
	Forgotten int64     // how many
	At        time.Time // when the last of them was forgotten
}

// FeedStatus is a polled source.
type FeedStatus struct {
	Name     string
	Cursor   string
	PolledAt time.Time // of the last successful call; zero if there was none
	Trouble  string    // what went wrong last; "" if the last call went well
}

// Status counts what waits. Its cost grows with that, not with history.
func (i *Inbox) Status(ctx context.Context, tx *store.Tx) (Status, error) {
	var n struct {
		Waiting, Held, Gaps, Alerted, Trouble, Oldest int64
	}
	err := tx.Get(ctx, &n, `SELECT CAST(COALESCE(SUM(waiting), 0) AS BIGINT) AS waiting, COUNT(CASE WHEN held > 0 THEN 1 END) AS held,
		COUNT(CASE WHEN gap_since > 0 THEN 1 END) AS gaps, COUNT(CASE WHEN gap_alerted THEN 1 END) AS alerted,
		COUNT(CASE WHEN trouble <> '' THEN 1 END) AS trouble, CAST(COALESCE(MIN(CASE WHEN gap_since > 0 THEN gap_since END), 0) AS BIGINT) AS oldest
		FROM inbox_streams WHERE `+busy)
	if err != nil {
		return Status{}, fmt.Errorf("count what waits in the inbox: %w", err)
	}
	s := Status{Waiting: n.Waiting, Held: n.Held, Gaps: n.Gaps, Alerted: n.Alerted, Trouble: n.Trouble, OldestGap: store.FromMicros(n.Oldest)}
	if err := tx.Get(ctx, &s.Quarantined, `SELECT COUNT(*) FROM inbox_messages WHERE state = 'quarantined'`); err != nil {
		return Status{}, fmt.Errorf("count the quarantine: %w", err)
	}
	if err := tx.Get(ctx, &s.Rejected, `SELECT COUNT(*) FROM inbox_rejected`); err != nil {
		return Status{}, fmt.Errorf("count rejected messages: %w", err)
	}
	if s.Feeds, err = feeds(ctx, tx); err != nil {
		return Status{}, err
	}
	s.Horizons, err = horizons(ctx, tx)
	return s, err
}

func feeds(ctx context.Context, tx *store.Tx) ([]FeedStatus, error) {
	var rows []struct {
		Name, Place, Trouble string
		PolledAt             int64 `db:"polled_at"`
	}
	if err := tx.Select(ctx, &rows, `SELECT name, place, trouble, polled_at FROM inbox_cursors ORDER BY name`); err != nil {
		return nil, fmt.Errorf("read the cursors: %w", err)
	}
	out := make([]FeedStatus, len(rows))
	for n, r := range rows {
		out[n] = FeedStatus{r.Name, r.Place, store.FromMicros(r.PolledAt), r.Trouble}
	}
	return out, nil
}

func horizons(ctx context.Context, tx *store.Tx) ([]Horizon, error) {
	var rows []struct {
		Source      string
		Before      int64 `db:"before_at"`
		Forgotten   int64
		ForgottenAt int64 `db:"forgotten_at"`
	}
	if err := tx.Select(ctx, &rows, `SELECT source, before_at, forgotten, forgotten_at FROM inbox_horizons ORDER BY source`); err != nil {
		return nil, fmt.Errorf("read the horizons: %w", err)
	}
	out := make([]Horizon, len(rows))
	for n, r := range rows {
		out[n] = Horizon{r.Source, store.FromMicros(r.Before), r.Forgotten, store.FromMicros(r.ForgottenAt)}
	}
	return out, nil
}
