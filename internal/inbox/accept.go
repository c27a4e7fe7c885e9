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
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// maxName is the most characters of an ID, source, kind, key or lane.
const maxName = 400

// How says what is done with a message beside what it says of itself.
type How struct {
	Link          string // that it came through; "" keeps the message's own
	Mapping       string // that makes an event of the plant out of it; "" if it is one already
	ObjectVersion string // see message.Incoming
}

// Taken says what became of a message that was received.
type Taken struct {
	Fresh    bool  // stored now; false if it was known already
	Rejected int64 // row number in quarantine of a message that could not be believed or read; 0 if it was taken
	Reason   string
}

// Receive verifies what came in and accepts it; what cannot be believed, or says nothing that could be stored, is kept as rejected.
// After the commit the sender may be told that it was taken. An error means that it was not: Unavailable if too much waits already.
func (i *Inbox) Receive(ctx context.Context, tx *store.Tx, in message.Incoming, link string) (Taken, error) {
	v, err := message.Verify(ctx, seal.Inbound(in.Claimed), in.Message)
	if err == nil {
		var fresh bool
		fresh, err = i.Accept(ctx, tx, v, How{Link: link, Mapping: in.Mapping, ObjectVersion: in.ObjectVersion})
		if err == nil {
			return Taken{Fresh: fresh}, nil
		}
	}
	switch problem.KindOf(err) {
	case problem.Invalid, problem.TooLarge, problem.Duplicate, problem.Integrity, problem.Denied:
		seq, rerr := i.Reject(ctx, tx, in.Message, link, err)
		return Taken{Rejected: seq, Reason: err.Error()}, rerr
	default:
		return Taken{}, err
	}
}

// Accept stores a message, once by (source, id), in tx. fresh is false if it was known already, or is of a number that was applied
// long ago. Errors: Invalid or TooLarge for a message that cannot be stored, Duplicate if its ID or number is taken by another one,
// Unavailable if too many wait in its lane for a missing one: the sender must send it again.
func (i *Inbox) Accept(ctx context.Context, tx *store.Tx, v message.Verified, how How) (fresh bool, err error) {
	m := v.Message()
	if err := i.storable(m, how); err != nil {
		return false, err
	}
	r := newRow(m, how)
	s, err := lock(ctx, tx, r.Source, r.Stream, laneOf(r))
	if err != nil {
		return false, err
	}
	if known, err := i.known(ctx, tx, r, s); known || err != nil {
		return false, err
	}
	if err := i.judge(ctx, tx, &r, &s); err != nil {
		return false, err
	}
	if taken, err := insert(ctx, tx, &r); err != nil || !taken {
		return false, err
	}
	if r.State == Ready {
		s.count(r, 1)
	}
	if r.State == Quarantined && r.ordered() && s.Held == 0 && !r.numbered() {
		s.Held = r.Seq
	}
	if err := s.rest(ctx, tx); err != nil {
		return false, err
	}
	if err := s.save(ctx, tx); err != nil {
		return false, err
	}
	tx.Wake(Topic)
	return true, nil
}

func laneOf(r row) string {
	if r.numbered() {
		return r.Lane
	}
	return ""
}

// storable refuses what cannot be kept or found again.
func (i *Inbox) storable(m message.Message, how How) error {
	what := fmt.Sprintf("accept message %q of %q", short(m.ID), short(m.Source))
	invalid := func(why string) error {
		return &problem.Error{Kind: problem.Invalid, What: what, Why: why, Hint: "the sender must be repaired"}
	}
	for _, f := range []struct {
		name, value string
		needed      bool
	}{
		{"id", m.ID, true},
		{"source", m.Source, true},
		{"kind", m.Kind, true},
		{"key", m.Key, m.Number == 0},
		{"lane", m.Lane, m.Number > 0},
		{"object version", how.ObjectVersion, false},
		{"trace", m.Trace, false},
		{"creates", m.Creates, false},
		{"cause", m.Cause, false},
		{"prev", m.Prev, false},
		{"refers", m.Refers, false},
		{"role", string(m.Role), false},
	} {
		switch {
		case f.needed && f.value == "":
			return invalid("its " + f.name + " is missing")
		case len(f.value) > maxName:
			return invalid(fmt.Sprintf("its %s is longer than %d bytes", f.name, maxName))
		case !utf8.ValidString(f.value) || strings.ContainsRune(f.value, 0):
			return invalid("its " + f.name + " is not text")
		}
	}
	switch {
	case m.Number < 0 || m.Epoch < 0 || m.Version < 0:
		return invalid("its number, epoch or version is below zero")
	case m.Time.IsZero():
		return invalid("its time is missing")
	case m.Time.Year() < 1970 || m.Time.Year() > 9999:
		return invalid("its time is before 1970 or after 9999")
	case len(m.Body) > i.cfg.MaxBody:
		return &problem.Error{
			Kind: problem.TooLarge, What: what, Why: fmt.Sprintf("its body has %d bytes, more than %d", len(m.Body), i.cfg.MaxBody),
			Hint: "send less in one message, or raise inbox.max_body",
		}
	}
	return nil
}

// known tells whether the message was taken before: by its ID, or by a number that is past.
func (i *Inbox) known(ctx context.Context, tx *store.Tx, r row, s stream) (bool, error) {
	old, found, err := find(ctx, tx, `source = ? AND id = ?`, r.Source, r.ID)
	if err != nil {
		return false, err
	}
	if found {
		if old.Content == r.Content && old.Kind == r.Kind && old.Key == r.Key {
			return true, nil
		}
		return false, duplicate(r, "this ID was used for another message", "the sender must give each message an ID of its own")
	}
	if !r.numbered() {
		return false, nil
	}
	old, found, err = find(ctx, tx, `source = ? AND stream = ? AND epoch = ? AND number = ?`, r.Source, r.Stream, r.Epoch, r.Number)
	if err != nil {
		return false, err
	}
	if found {
		return false, duplicate(r, fmt.Sprintf("number %d of lane %s was used for message %s", r.Number, r.Lane, old.ID), "the sender must count its messages")
	}
	skipped, err := wasSkipped(ctx, tx, r)
	past := r.Epoch < s.Epoch || r.Epoch == s.Epoch && r.Number < s.Next
	return past && !skipped, err // forgotten, but its number says that it was applied
}

func duplicate(r row, why, hint string) error {
	return &problem.Error{Kind: problem.Duplicate, What: fmt.Sprintf("accept message %q of %q", short(r.ID), short(r.Source)), Why: why, Hint: hint}
}

func wasSkipped(ctx context.Context, tx *store.Tx, r row) (bool, error) {
	var at int64
	err := tx.Get(ctx, &at, `SELECT skipped_at FROM inbox_skips WHERE source = ? AND stream = ? AND epoch = ? AND number = ?`,
		r.Source, r.Stream, r.Epoch, r.Number)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the skipped numbers of %s: %w", r.Stream, err)
	}
	return true, nil
}

// judge decides, before a message is stored, whether it may wait, is too old to know, or comes after its number was skipped.
func (i *Inbox) judge(ctx context.Context, tx *store.Tx, r *row, s *stream) error {
	switch {
	case !r.numbered():
		return i.judgeAge(ctx, tx, r)
	case r.Epoch > s.Epoch && r.Number == 1:
		return i.beginEpoch(ctx, tx, r, s)
	case r.Epoch == s.Epoch && r.Number < s.Next || r.Epoch < s.Epoch:
		r.quarantine(problem.Conflict, fmt.Sprintf("number %d of lane %s was skipped before it came", r.Number, r.Lane),
			"replay it to have it applied now, after its successors, or discard it")
		return nil
	case r.Epoch == s.Epoch && r.Number == s.Next:
		return nil
	case s.Waiting >= int64(i.cfg.MaxEarly) || s.Bytes+int64(len(r.Body)) > i.cfg.MaxEarlyBytes:
		return &problem.Error{
			Kind: problem.Unavailable, What: fmt.Sprintf("accept message %d of lane %s", r.Number, r.Lane),
			Why:  fmt.Sprintf("%d messages wait there for number %d already", s.Waiting, s.Next),
			Hint: "have the missing message sent again, or skip it",
		}
	}
	return nil
}

// judgeAge quarantines a message that may have been applied and forgotten. One with an object version is decided by that: what
// was applied last is never forgotten.
func (i *Inbox) judgeAge(ctx context.Context, tx *store.Tx, r *row) error {
	if r.ObjectVersion != "" {
		return nil
	}
	var before int64
	err := tx.Get(ctx, &before, `SELECT before_at FROM inbox_horizons WHERE source = ?`, r.Source)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read how far %s is remembered: %w", r.Source, err)
	}
	if store.Micros(r.Time.Time) <= before {
		r.quarantine(problem.Conflict, fmt.Sprintf("it is too old to know: messages of %s up to %s are forgotten, it may have been applied",
			r.Source, store.FromMicros(before).Format(time.RFC3339)), "look whether the plant has acted on it; then replay or discard it")
	}
	return nil
}

// beginEpoch starts the count of a lane anew, as its sender does after it was restored from a copy. What still waited for a number
// of the old count will never get it.
func (i *Inbox) beginEpoch(ctx context.Context, tx *store.Tx, r *row, s *stream) error {
	reason := fmt.Sprintf("its sender began epoch %d while number %d was missing", r.Epoch, s.Next)
	_, err := tx.Exec(ctx, `UPDATE inbox_messages SET state = ?, problem = ?, reason = ?, hint = ? WHERE source = ? AND stream = ? AND state = 'ready'
		AND epoch < ?`, Quarantined, problem.Conflict, reason, "replay it if the plant should act on it, or discard it", r.Source, r.Stream, r.Epoch)
	if err != nil {
		return fmt.Errorf("end epoch %d of %s: %w", s.Epoch, r.Stream, err)
	}
	var left struct {
		Count int64
		Bytes int64
	}
	err = tx.Get(ctx, &left, `SELECT COUNT(*) AS count, CAST(COALESCE(SUM(LENGTH(body)), 0) AS BIGINT) AS bytes FROM inbox_messages
		WHERE source = ? AND stream = ? AND state = 'ready'`, r.Source, r.Stream)
	if err != nil {
		return fmt.Errorf("count what waits in %s: %w", r.Stream, err)
	}
	s.Epoch, s.Next, s.Waiting, s.Bytes, s.GapSince, s.GapAlerted = r.Epoch, 1, left.Count, left.Bytes, 0, false
	s.Attempts, s.Trouble = 0, "" // they were the old count's
	return nil
}

// quarantine has the message stored as one that a person must look at.
func (r *row) quarantine(kind problem.Kind, reason, hint string) {
	r.State, r.Problem, r.Reason, r.Hint = Quarantined, string(kind), reason, hint
}

// Reject keeps a message that could not be believed, under a row number. Its text is cut to what the columns take.
func (i *Inbox) Reject(ctx context.Context, tx *store.Tx, m message.Message, link string, why error) (int64, error) {
	body := m.Body
	if len(body) > i.cfg.MaxBody {
		body = body[:i.cfg.MaxBody]
	}
	if body == nil {
		body = []byte{}
	}
	var seq int64
	err := tx.Get(ctx, &seq, `INSERT INTO inbox_rejected (source, id, kind, link, body, problem, reason, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		RETURNING seq`, short(m.Source), short(m.ID), short(m.Kind), link, body, string(problem.KindOf(why)), short(why.Error()), store.Micros(tx.Now))
	if err != nil {
		return 0, fmt.Errorf("keep a rejected message: %w", err)
	}
	i.log.WarnContext(ctx, "a message from outside is rejected", "link", link, "source", short(m.Source), "message", short(m.ID), "kind", short(m.Kind), "err", why)
	return seq, nil
}

// short is a text that every column and log takes.
func short(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "�"), "\x00", "�")
	if len(s) > maxName {
		return strings.ToValidUTF8(s[:maxName], "") + "…"
	}
	return s
}
