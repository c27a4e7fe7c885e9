package inbox

import (
	"context"
	"encoding/json"
	"fmt"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// quarantined locks a message in quarantine and its stream, for a person's act upon it.
func quarantined(ctx context.Context, tx *store.Tx, act string, seq int64) (row, *stream, error) {
	what := fmt.Sprintf("%s inbound message %d", act, seq)
	r, found, err := find(ctx, tx, `seq = ?`, seq)
	if err == nil && !found {
		err = &problem.Error{Kind: problem.NotFound, What: what, Why: "there is no such message", Hint: "list them: holdfast quarantine list"}
	}
	if err != nil {
		return row{}, nil, err
	}
	s, err := lock(ctx, tx, r)
	if err != nil {
		return row{}, nil, err
	}
	if r, _, err = find(ctx, tx, `seq = ?`, seq); err != nil { // as it is, now that nobody else can change it
		return row{}, nil, err
	}
	if r.State != Quarantined {
		return row{}, nil, &problem.Error{
			Kind: problem.Conflict, What: what, Why: "it is " + string(r.State) + ", not in quarantine", Hint: "only a message in quarantine is replayed, changed or discarded",
		}
	}
	return r, s, nil
}

// Locked is a message in quarantine that nobody else changes until the transaction ends. Errors: NotFound; Conflict if it is not in quarantine.
func (i *Inbox) Locked(ctx context.Context, tx *store.Tx, seq int64) (Message, error) {
	if _, _, err := quarantined(ctx, tx, "change", seq); err != nil {
		return Message{}, err
	}
	return i.Message(ctx, tx, seq)
}

// free has the stream go on if it waited for this message.
func (s *stream) free(ctx context.Context, tx *store.Tx, r row) error {
	if s.Held == r.Seq {
		s.Held = 0
	}
	if err := s.rest(ctx, tx, s.look); err != nil {
		return err
	}
	tx.Wake(Topic)
	return s.save(ctx, tx)
}

// Replay has a message in quarantine applied again: at its own place in its lane, or, if that has been passed, now. Errors: NotFound;
// Conflict if it is not in quarantine.
func (i *Inbox) Replay(ctx context.Context, tx *store.Tx, seq int64) error {
	r, s, err := quarantined(ctx, tx, "replay", seq)
	if err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `UPDATE inbox_messages SET state = ?, problem = '', reason = '', hint = '', attempts = 0 WHERE seq = ?`, Ready, seq)
	if err != nil {
		return fmt.Errorf("replay message %d: %w", seq, err)
	}
	s.Attempts, s.Trouble = 0, ""
	s.count(r, 1)
	if s.ahead(r) && s.Held != seq {
		s.Early--
	}
	return s.free(ctx, tx, r)
}

// Edit replaces the body of a message in quarantine, without replaying it. What came is kept beside it. Errors: NotFound; Conflict if
// it is not in quarantine; Invalid if text is not JSON; TooLarge.
func (i *Inbox) Edit(ctx context.Context, tx *store.Tx, seq int64, text []byte) error {
	what := fmt.Sprintf("change inbound message %d", seq)
	switch {
	case !json.Valid(text):
		return &problem.Error{Kind: problem.Invalid, What: what, Why: "the new body is not JSON", Hint: "correct it"}
	case len(text) > i.cfg.MaxBody:
		return &problem.Error{Kind: problem.TooLarge, What: what, Why: fmt.Sprintf("the new body has more than %d bytes", i.cfg.MaxBody), Hint: "shorten it"}
	}
	r, _, err := quarantined(ctx, tx, "change", seq)
	if err != nil {
		return err
	}
	if i.cfg.Veil != nil {
		if text, err = i.cfg.Veil.Veil(ctx, tx, text); err != nil {
			return err
		}
	}
	text, large, err := i.aside(text, keepIn(ctx, tx))
	if err != nil {
		return err
	}
	stored, epoch, err := tx.Seal(ctx, r.cell(), text)
	if err != nil {
		return fmt.Errorf("seal the new body of message %d: %w", seq, err)
	}
	const asItCame = `original IS NULL AND original_large = ''`
	err = tx.Get(ctx, &r, `UPDATE inbox_messages SET original = CASE WHEN `+asItCame+` AND large = '' THEN body ELSE original END,
		original_sealed = CASE WHEN `+asItCame+` AND large = '' THEN sealed ELSE original_sealed END,
		original_large = CASE WHEN `+asItCame+` THEN large ELSE original_large END, body = ?, sealed = ?, large = ? WHERE seq = ?
		RETURNING seq, large, original_large`, stored, epoch, large, seq)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return holdAnew(ctx, tx, r)
}

// Discard takes a message in quarantine out, without effect; its lane goes on behind it, once it is its turn. Errors: NotFound; Conflict if it is not in
// quarantine.
func (i *Inbox) Discard(ctx context.Context, tx *store.Tx, seq int64, reason string) error {
	r, s, err := quarantined(ctx, tx, "discard", seq)
	if err != nil {
		return err
	}
	if err := settle(ctx, tx, []int64{seq}, Discarded, reason); err != nil {
		return err
	}
	s.advance(r)
	return s.free(ctx, tx, r)
}

// Skip lets a lane go on without the message number, which must be the one that it waits for. Should that message come after all,
// it goes to quarantine and holds nothing. Where the first number of a new epoch is missing, to skip that begins the epoch. Errors: NotFound without such a lane; Conflict if the lane does not wait for that number.
func (i *Inbox) Skip(ctx context.Context, tx *store.Tx, source, lane string, number int64) error {
	what := fmt.Sprintf("skip number %d of lane %s of %s", number, lane, source)
	var known int
	err := tx.Get(ctx, &known, `SELECT COUNT(*) FROM inbox_streams WHERE source = ? AND stream = ?`, source, "lane/"+lane)
	if err != nil {
		return fmt.Errorf("look for lane %s of %s: %w", lane, source, err)
	}
	if known == 0 {
		return &problem.Error{Kind: problem.NotFound, What: what, Why: "there is no such lane", Hint: "list them: holdfast quarantine lanes"}
	}
	s, err := lock(ctx, tx, row{Source: source, Stream: "lane/" + lane, Lane: lane, Number: number})
	if err != nil {
		return err
	}
	if err := s.readGap(ctx, tx); err != nil {
		return err
	}
	if why := s.cannotSkip(number); why != "" {
		return &problem.Error{Kind: problem.Conflict, What: what, Why: why, Hint: "look at the lane again"}
	}
	if s.GapEpoch > s.Epoch {
		if err := s.begin(ctx, tx, s.GapEpoch); err != nil {
			return err
		}
	}
	_, err = tx.Exec(ctx, `INSERT INTO inbox_skips (source, stream, epoch, number, skipped_at) VALUES (?, ?, ?, ?, ?)`,
		source, s.Stream, s.Epoch, number, store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	s.Next++
	s.GapSince, s.GapAlerted = 0, false
	return s.free(ctx, tx, row{})
}

func (s stream) cannotSkip(number int64) string {
	epoch, next := s.next()
	switch {
	case s.Held != 0:
		return fmt.Sprintf("the lane waits for message %d in quarantine, not for a missing one", s.Held)
	case s.GapSince == 0:
		return "no message is missing there"
	case number != next:
		return fmt.Sprintf("the missing number is %d of epoch %d", next, epoch)
	}
	return ""
}
