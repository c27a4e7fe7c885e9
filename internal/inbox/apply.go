package inbox

import (
	"context"
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
	i.forgetTroubles(ctx)
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
		turns, err := i.claim(ctx, tx)
		if err != nil || len(turns) == 0 {
			return err
		}
		if failed, err = i.effects(ctx, tx, turns); err != nil {
			return err
		}
		for _, t := range turns {
			n += max(len(t.done), 1) // a stream that had nothing to do is settled too
		}
		return i.conclude(ctx, tx, turns)
	})
	if err == nil {
		return n, nil
	}
	if failed == nil || ctx.Err() != nil {
		return 0, err
	}
	return 1, i.postpone(ctx, *failed, err)
}

// verdict is what became of a message.
type verdict struct {
	state  State
	reason string
	why    *problem.Error // Quarantined
}

// effects has the plant act on the messages of all turns. Most batches have no refusal: they are tried as a whole, and only where
// something fails is each message tried within a savepoint of its own, so that a refusal undoes only what the plant did for that
// message. An error that is not the database's trouble may have come with the statement of another message (Tx.Later), or with none's:
// it too is looked for message by message, else it would stop them all, time and again. With an error that ends the transaction comes the message whose effect it was, if it was one's.
func (i *Inbox) effects(ctx context.Context, tx *store.Tx, turns []*turn) (*row, error) {
	var failed *row
	err := tx.Savepoint(ctx, func() (err error) {
		for _, t := range turns {
			if failed, err = t.run(ctx, tx, i.effect); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil, nil
	}
	if ctx.Err() != nil || troubled(err) {
		return failed, err
	}
	for _, t := range turns {
		if r, err := t.run(ctx, tx, i.effectAlone); err != nil {
			return r, err
		}
	}
	return nil, nil
}

// effect maps a message and has the plant act on it. The error is what the mapping or the plant says against it.
func (i *Inbox) effect(ctx context.Context, tx *store.Tx, s stream, r row) (v verdict, err error) {
	if err := r.genuine(ctx, tx); err != nil {
		return verdict{}, err
	}
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
	m := r.message(r.Large.Within(tx))
	if r.Mapping != "" {
		m, err = i.mapper.ApplyIn(ctx, r.Mapping, m, i.References(tx, r.Link))
		switch {
		case errors.Is(err, mapping.ErrLeftOut):
			return verdict{state: LeftOut, reason: "mapping " + r.Mapping + " leaves it out"}, nil
		case err != nil:
			return verdict{}, fmt.Errorf("map %s %s: %w", r.Kind, r.ID, err)
		}
	}
	return verdict{state: Done}, i.apply(ctx, tx, m)
}

// effectAlone is effect within a savepoint. The error, if any, says nothing about the message.
func (i *Inbox) effectAlone(ctx context.Context, tx *store.Tx, s stream, r row) (v verdict, err error) {
	err = tx.Savepoint(ctx, func() (err error) {
		v, err = i.effect(ctx, tx, s, r)
		return err
	})
	if p, ok := refusal(err); ok {
		return refused(r, p), nil
	}
	return v, err
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

// References knows the plant's IDs of what a link's ERP names, as the mapping of a message that came from there is given them.
func (i *Inbox) References(tx *store.Tx, link string) mapping.Resolver {
	if i.cfg.Resolve == nil {
		return nil
	}
	return func(ctx context.Context, object string) (string, bool, error) {
		return i.cfg.Resolve(ctx, tx, link, object)
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

// postpone has the stream of a message try again after a pause that grows. An outage, however long, spends no attempt; what fails
// for no known reason is quarantined when its attempts are spent.
func (i *Inbox) postpone(ctx context.Context, r row, cause error) error {
	i.log.WarnContext(ctx, "a message could not be applied and is tried again", "message", r.ID, "kind", r.Kind, "key", r.Key,
		"attempt", r.Attempts+1, "err", cause)
	return i.db.InTx(ctx, func(tx *store.Tx) error {
		s, err := lock(ctx, tx, r)
		if err != nil {
			return err
		}
		now, found, err := find(ctx, tx, `seq = ? AND state = 'ready'`, r.Seq)
		if err != nil || !found {
			return err // another process has settled it meanwhile
		}
		if problem.KindOf(cause) == problem.Internal {
			if now.Attempts++; now.Attempts >= i.cfg.Attempts {
				t := &turn{claimed: *s, stream: s, rows: []row{now}}
				t.end(now, exhausted(now, cause))
				return i.conclude(ctx, tx, []*turn{t})
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
