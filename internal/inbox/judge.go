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

const (
	maxName = 400            // bytes of an ID, source, kind, key or lane at most
	maxLead = 24 * time.Hour // how far a message's time may lie after its coming; a zone that was mixed up lies within
)

// storable refuses what cannot be kept or found again.
func (i *Inbox) storable(m message.Message, version string) error {
	invalid := func(why string) error {
		return &problem.Error{Kind: problem.Invalid, What: accepting(m), Why: why, Hint: "the sender must be repaired"}
	}
	for _, f := range [...]struct {
		name, value string
		needed      bool
	}{
		{"id", m.ID, true},
		{"source", m.Source, true},
		{"kind", m.Kind, true},
		{"key", m.Key, m.Number == 0},
		{"lane", m.Lane, m.Number > 0},
		{"object version", version, false},
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
		return invalid("its number, epoch or version is below zero or cannot be read")
	case m.Time.IsZero():
		return invalid("its time is missing")
	case m.Time.Year() < 1970 || m.Time.Year() > 9999:
		return invalid("its time is before 1970 or after 9999")
	case m.Size() > int64(i.cfg.MaxBody):
		return &problem.Error{
			Kind: problem.TooLarge, What: accepting(m), Why: fmt.Sprintf("its body has %d bytes, more than %d", m.Size(), i.cfg.MaxBody),
			Hint: "send less in one message, or raise inbox.max_body",
		}
	}
	return nil
}

// accepting is what is tried with a message.
func accepting(m message.Message) string {
	return fmt.Sprintf("accept message %q of %q", short(m.ID), short(m.Source))
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

// wasPast tells whether the number of a message of an epoch that has ended was passed in that epoch: it was applied, and is forgotten.
// Of an epoch of which nothing is written down nobody knows.
func wasPast(ctx context.Context, tx *store.Tx, r row) (bool, error) {
	var next int64
	err := tx.Get(ctx, &next, `SELECT next_number FROM inbox_epochs WHERE source = ? AND stream = ? AND epoch = ?`, r.Source, r.Stream, r.Epoch)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return false, fmt.Errorf("read where epoch %d of %s ended: %w", r.Epoch, r.Stream, err)
	}
	return r.Number < next, nil
}

// judge decides, before a message is stored, whether it may wait, or belongs in quarantine from the beginning.
func (d *desk) judge(ctx context.Context, a *arrival, s *stream) error {
	r := &a.row
	if r.numbered() && r.Epoch > s.Epoch && r.Number == 1 {
		if err := d.beginEpoch(ctx, r.Epoch, s); err != nil {
			return err
		}
	}
	switch {
	case d.poison(a.in):
		r.quarantine(problem.Internal, fmt.Sprintf("its transport has delivered it %d times without success", a.in.Deliveries),
			"look into the log for what happened when it came; replay it to have it applied, or discard it")
		return nil
	case !r.numbered():
		return d.judgeAge(ctx, a)
	case r.Epoch < s.Epoch:
		r.quarantine(problem.Conflict, fmt.Sprintf("number %d of epoch %d in lane %s came after epoch %d had begun", r.Number, r.Epoch, r.Lane, s.Epoch),
			"look whether the plant has acted on it; then replay it to have it applied now, or discard it")
	case !s.ahead(*r):
		r.quarantine(problem.Conflict, fmt.Sprintf("number %d of lane %s was skipped before it came", r.Number, r.Lane),
			"replay it to have it applied now, after its successors, or discard it")
	case r.Epoch == s.Epoch && r.Number == s.Next:
	case s.Waiting >= int64(d.cfg.MaxEarly) || s.Bytes+r.size() > d.cfg.MaxEarlyBytes:
		hint := "nothing to do for this one: it is applied in its turn. Have the missing message sent again, or skip it"
		if s.Held != 0 {
			hint = fmt.Sprintf("nothing to do for this one: it is applied in its turn. Replay or discard message %d, which holds the lane", s.Held)
		}
		r.quarantine(tooEarly, fmt.Sprintf("lane %s has %d waiting for number %d", r.Lane, s.Waiting, s.Next), hint)
	}
	return nil
}

// judgeAge quarantines a message that may have been applied and forgotten, and one whose time would not tell that later. One with
// an object version is decided by that: what was applied last is never forgotten.
func (d *desk) judgeAge(ctx context.Context, a *arrival) error {
	r := &a.row
	if r.ObjectVersion != "" {
		return nil
	}
	before, err := d.horizon(ctx, r.Source)
	if err != nil {
		return err
	}
	at := store.FromMicros(before).Format(time.RFC3339)
	switch {
	case !a.in.Undated && r.Time.After(d.tx.Now.Add(maxLead)):
		r.quarantine(problem.Conflict, fmt.Sprintf("its time, %s, is yet to come: it could not be told later whether it was applied",
			r.Time.Format(time.RFC3339)), "have the clock of its sender put right; then replay or discard it")
	case a.in.Undated && before > 0:
		r.quarantine(problem.Conflict, fmt.Sprintf("it has no time, and messages of %s up to %s are forgotten: it may have been applied", r.Source, at),
			"look whether the plant has acted on it; then replay or discard it, and have its sender give a time or version")
	case before > 0 && store.Micros(r.Time.Time) <= before:
		r.quarantine(problem.Conflict, fmt.Sprintf("it is too old to know: messages of %s up to %s are forgotten, it may have been applied", r.Source, at),
			"look whether the plant has acted on it; then replay or discard it")
	}
	return nil
}

// horizon is how far a source's messages without number and version are forgotten; 0 if none is.
func (d *desk) horizon(ctx context.Context, source string) (before int64, err error) {
	before, asked := d.horizons[source]
	if asked {
		return before, nil
	}
	err = d.tx.Get(ctx, &before, `SELECT before_at FROM inbox_horizons WHERE source = ?`, source)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return 0, fmt.Errorf("read how far %s is remembered: %w", source, err)
	}
	d.horizons[source] = before
	return before, nil
}

// quarantine has the message stored as one that a person must look at.
func (r *row) quarantine(kind problem.Kind, reason, hint string) {
	r.State, r.Problem, r.Reason, r.Hint = Quarantined, string(kind), reason, hint
}
