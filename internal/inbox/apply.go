package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/mapping"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Run applies what comes in, polls the feeds, alerts gaps and forgets what is old, until ctx ends. It then finishes the transaction
// in hand and returns nil.
func (i *Inbox) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	workers := i.cfg.Workers
	if i.db.Dialect() == store.SQLite {
		workers = 1
	}
	for range workers {
		g.Go(func() error { return i.work(ctx) })
	}
	g.Go(func() error { return i.watch(ctx) })
	for _, f := range i.cfg.Feeds {
		g.Go(func() error { return i.receive(ctx, f) })
	}
	return g.Wait()
}

// work applies whatever is due, again when woken, and now and then without that.
func (i *Inbox) work(ctx context.Context) error {
	woken, stop := i.db.Subscribe(Topic)
	defer stop()
	pause := i.cfg.Retry
	for ctx.Err() == nil {
		n, err := i.Step(ctx)
		wait := i.cfg.Poll
		switch {
		case err != nil && ctx.Err() == nil:
			i.log.ErrorContext(ctx, "the inbox cannot work", "err", err)
			wait, pause = pause, min(2*pause, i.cfg.MaxRetry)
		case n > 0:
			pause = i.cfg.Retry
			continue
		default:
			pause = i.cfg.Retry
		}
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-woken:
		case <-t.C:
		}
		t.Stop()
	}
	return nil
}

// Step applies up to a batch of the messages that are due and says how many it settled or quarantined. Run does this all the time.
func (i *Inbox) Step(ctx context.Context) (int, error) {
	var failed *row // its turn ended without a verdict: what went wrong says nothing about the message
	var n int
	err := i.db.InTx(ctx, func(tx *store.Tx) error {
		failed, n = nil, 0
		for n < i.cfg.Batch {
			s, found, err := claim(ctx, tx)
			if err != nil || !found {
				return err
			}
			if failed, err = i.turn(ctx, tx, s); err != nil {
				return err
			}
			n++
		}
		return nil
	})
	if err == nil {
		return n, nil
	}
	if failed == nil || ctx.Err() != nil {
		return 0, err
	}
	return 1, i.postpone(ctx, *failed, err)
}

// claim locks a stream that is due, the longest waiting first; one that another process has in hand is passed over.
func claim(ctx context.Context, tx *store.Tx) (s stream, found bool, err error) {
	err = tx.Get(ctx, &s, `SELECT `+streamColumns+` FROM inbox_streams WHERE due_at > 0 AND held = 0 AND due_at <= ? ORDER BY due_at LIMIT 1`+
		tx.SkipLocked(), store.Micros(tx.Now))
	if errors.Is(err, sql.ErrNoRows) {
		return stream{}, false, nil
	}
	if err != nil {
		return stream{}, false, fmt.Errorf("look for messages to apply: %w", err)
	}
	return s, true, nil
}

// turn applies the head of a stream and moves the stream on. With an error that ends the transaction comes the message whose
// effect it was, if it was one's.
func (i *Inbox) turn(ctx context.Context, tx *store.Tx, s stream) (*row, error) {
	r, found, err := s.head(ctx, tx)
	if err != nil {
		return nil, err
	}
	if !found {
		if err := s.rest(ctx, tx); err != nil {
			return nil, err
		}
		return nil, s.save(ctx, tx)
	}
	v, err := i.effect(ctx, tx, s, r)
	if err != nil {
		return &r, err
	}
	if err := i.conclude(ctx, tx, &s, r, v); err != nil {
		return nil, err
	}
	return nil, s.save(ctx, tx)
}

// verdict is what became of a message.
type verdict struct {
	state  State
	reason string
	why    *problem.Error // Quarantined
}

// effect maps a message and has the plant act on it. A refusal undoes only what the plant did for this message. The error, if any,
// says nothing about the message.
func (i *Inbox) effect(ctx context.Context, tx *store.Tx, s stream, r row) (v verdict, err error) {
	if r.Role == string(message.Void) {
		return verdict{state: Voided, reason: "its sender voided it"}, nil
	}
	newer, err := newerThan(r.ObjectVersion, s.Version)
	switch {
	case err != nil:
		return refused(r, &problem.Error{Kind: problem.Invalid, Why: err.Error(), Hint: "discard it, or have the sender name one kind of version"}), nil
	case !newer:
		return verdict{state: Superseded, reason: fmt.Sprintf("version %s of the object was applied before, this is version %s", s.Version, r.ObjectVersion)}, nil
	}
	var left bool
	err = tx.Savepoint(ctx, func() error {
		left = false
		m := r.message()
		if r.Mapping != "" {
			if m, err = i.mapper.ApplyIn(ctx, r.Mapping, m, i.resolver(tx, r)); errors.Is(err, mapping.ErrLeftOut) {
				left = true
				return nil
			}
			if err != nil {
				return fmt.Errorf("map %s %s: %w", r.Kind, r.ID, err)
			}
		}
		return i.apply(ctx, tx, m)
	})
	switch {
	case err == nil && left:
		return verdict{state: LeftOut, reason: "mapping " + r.Mapping + " leaves it out"}, nil
	case err == nil:
		return verdict{state: Done}, nil
	}
	if p, ok := refusal(err); ok {
		return refused(r, p), nil
	}
	return verdict{}, err
}

func refused(r row, p *problem.Error) verdict {
	why := *p
	if why.What == "" {
		why.What = fmt.Sprintf("apply %s %s", r.Kind, r.ID)
	}
	return verdict{state: Quarantined, reason: short(why.Error()), why: &why}
}

// refusal is the problem that says no to a message for good.
func refusal(err error) (*problem.Error, bool) {
	p, ok := errors.AsType[*problem.Error](err)
	if !ok || p.Kind == problem.Unavailable || p.Kind == problem.Full || p.Kind == problem.Internal {
		return nil, false
	}
	return p, true
}

func (i *Inbox) resolver(tx *store.Tx, r row) mapping.Resolver {
	if i.cfg.Resolve == nil {
		return nil
	}
	return func(ctx context.Context, object string) (string, bool, error) {
		return i.cfg.Resolve(ctx, tx, r.Link, object)
	}
}

// conclude writes what became of a message and moves its stream on, in the transaction of the effect.
func (i *Inbox) conclude(ctx context.Context, tx *store.Tx, s *stream, r row, v verdict) error {
	s.Attempts, s.Trouble = 0, ""
	s.count(r, -1)
	if v.state == Quarantined {
		if r.ordered() {
			s.Held = r.Seq
		}
		i.log.WarnContext(ctx, "a message is quarantined", "message", r.ID, "kind", r.Kind, "key", r.Key, "reason", v.reason)
		if err := quarantine(ctx, tx, r.Seq, v.why); err != nil {
			return err
		}
		return s.rest(ctx, tx)
	}
	if err := settle(ctx, tx, r.Seq, v.state, v.reason); err != nil {
		return err
	}
	s.advance(r)
	if (v.state == Done || v.state == LeftOut) && r.ObjectVersion != "" && !r.numbered() { // a mapping has seen it: what is older comes late
		s.Version = r.ObjectVersion
		if err := supersede(ctx, tx, r); err != nil {
			return err
		}
	}
	return s.rest(ctx, tx)
}

// advance goes past a number whose turn it was. If the next one is missing, that is a gap of its own.
func (s *stream) advance(r row) {
	if r.numbered() && r.Epoch == s.Epoch && r.Number == s.Next {
		s.Next++
		s.GapSince, s.GapAlerted = 0, false
	}
}

func quarantine(ctx context.Context, tx *store.Tx, seq int64, why *problem.Error) error {
	_, err := tx.Exec(ctx, `UPDATE inbox_messages SET state = ?, problem = ?, reason = ?, hint = ?, settled_at = 0 WHERE seq = ?`,
		Quarantined, string(why.Kind), short(why.Error()), short(why.Hint), seq)
	if err != nil {
		return fmt.Errorf("quarantine message %d: %w", seq, err)
	}
	return nil
}

// supersede settles what waits in quarantine with an older version of an object that was applied in a newer one.
func supersede(ctx context.Context, tx *store.Tx, r row) error {
	var older []row
	err := tx.Select(ctx, &older, `SELECT `+columns+` FROM inbox_messages WHERE source = ? AND stream = ? AND state = 'quarantined'
		AND object_version <> ''`, r.Source, r.Stream)
	if err != nil {
		return fmt.Errorf("look for older versions of %s in quarantine: %w", r.Stream, err)
	}
	for _, o := range older {
		newer, err := newerThan(o.ObjectVersion, r.ObjectVersion)
		if err != nil || newer {
			continue
		}
		if err := settle(ctx, tx, o.Seq, Superseded, "version "+r.ObjectVersion+" of the object was applied after this one was refused"); err != nil {
			return err
		}
	}
	return nil
}

// postpone has the stream of a message try again after a pause that grows. An outage, however long, spends no attempt; what fails
// for no known reason is quarantined when its attempts are spent.
func (i *Inbox) postpone(ctx context.Context, r row, cause error) error {
	i.log.WarnContext(ctx, "a message could not be applied and is tried again", "message", r.ID, "kind", r.Kind, "key", r.Key,
		"attempt", r.Attempts+1, "err", cause)
	return i.db.InTx(ctx, func(tx *store.Tx) error {
		s, err := lock(ctx, tx, r.Source, r.Stream, laneOf(r))
		if err != nil {
			return err
		}
		now, found, err := find(ctx, tx, `seq = ? AND state = 'ready'`, r.Seq)
		if err != nil || !found {
			return err // another process has settled it meanwhile
		}
		if problem.KindOf(cause) == problem.Internal {
			if now.Attempts++; now.Attempts >= i.cfg.Attempts {
				if err := i.conclude(ctx, tx, &s, now, exhausted(now, cause)); err != nil {
					return err
				}
				return s.save(ctx, tx)
			}
			if _, err := tx.Exec(ctx, `UPDATE inbox_messages SET attempts = ? WHERE seq = ?`, now.Attempts, now.Seq); err != nil {
				return fmt.Errorf("count the attempts of message %d: %w", r.Seq, err)
			}
		}
		s.Attempts++
		s.Trouble = short(cause.Error())
		s.DueAt = store.Micros(tx.Now.Add(i.pause(s.Attempts)))
		return s.save(ctx, tx)
	})
}

func exhausted(r row, cause error) verdict {
	return refused(r, &problem.Error{
		Kind: problem.Internal, Why: fmt.Sprintf("it failed %d times: %s", r.Attempts, short(cause.Error())),
		Hint: "this is a defect: look into the log, and replay the message once it is repaired",
	})
}

func (i *Inbox) pause(attempts int) time.Duration {
	if attempts > 20 {
		return i.cfg.MaxRetry
	}
	return min(i.cfg.Retry<<(attempts-1), i.cfg.MaxRetry)
}
