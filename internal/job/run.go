package job

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"holdfast/internal/audit"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Topic is what a change of a job wakes (store.DB.Subscribe).
const Topic = "job"

const (
	tick     = 250 * time.Millisecond // between two steps of a job that runs
	tidyEach = time.Hour              // between two looks at jobs that are to be forgotten

	replayed = "msg.replay" // the action in the audit record, of each message
)

// Run steps the jobs that run until ctx ends. Several nodes may do so on one database.
func (j *Jobs) Run(ctx context.Context) error {
	woken, done := j.db.Subscribe(Topic)
	defer done()
	var tidied time.Time
	for {
		running, err := j.Step(ctx)
		if err == nil && j.db.Now().Sub(tidied).Abs() > tidyEach {
			tidied = j.db.Now()
			err = j.db.InTx(ctx, func(tx *store.Tx) error { return j.forget(ctx, tx) })
		}
		if err != nil && ctx.Err() == nil {
			j.log.WarnContext(ctx, "replay jobs wait: a step of one failed", "err", err)
		}
		wait := j.cfg.Poll + rand.N(j.cfg.Poll/10)
		if running && err == nil {
			wait = tick
		}
		select {
		case <-ctx.Done():
			return nil
		case <-woken:
		case <-time.After(wait):
		}
	}
}

// Step takes every job that runs one step further, and tells whether there is one. What fails in one job keeps none of the others back.
func (j *Jobs) Step(ctx context.Context) (running bool, err error) {
	var ids []string
	err = j.db.View(ctx, func(tx *store.Tx) error {
		return tx.Select(ctx, &ids, `SELECT id FROM replay_jobs WHERE `+live+` ORDER BY id`)
	})
	if err != nil {
		return false, fmt.Errorf("read which jobs run: %w", err)
	}
	var failed []error
	for _, id := range ids {
		failed = append(failed, j.db.InTx(ctx, func(tx *store.Tx) error { return j.step(ctx, tx, id) }))
	}
	return len(ids) > 0, errors.Join(failed...)
}

// live is a job of which something happens: it runs, or what it has handed to the outbox has no outcome yet.
const live = `(state = 'running' OR released > 0)`

// step is one step of one job, under the lock of its row.
type step struct {
	Job
	j        *Jobs
	nextAt   int64
	outcomes []outcome
}

func (j *Jobs) step(ctx context.Context, tx *store.Tx, id string) error {
	var r row
	err := tx.Get(ctx, &r, `SELECT `+columns+` FROM replay_jobs WHERE id = ? AND `+live+tx.SkipLocked(), id)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // it has ended, or another node has it in hand
	}
	if err != nil {
		return fmt.Errorf("lock job %s: %w", id, err)
	}
	b, err := r.job()
	if err != nil {
		return err
	}
	s := &step{Job: b, j: j, nextAt: r.NextAt}
	if err := s.settle(ctx, tx); err != nil {
		return err
	}
	if s.State == Running {
		s.stop()
	}
	if s.State == Running {
		if err := s.release(ctx, tx); err != nil {
			return err
		}
	}
	if s.State == Running && s.Counts.Waiting == 0 && s.Counts.Released == 0 {
		s.State = Done
	}
	return errors.Join(keep(ctx, tx, id, s.outcomes), s.save(ctx, tx))
}

// settle reads what became of the messages that the outbox has, and of those that had failed: a person may have repaired one since.
func (s *step) settle(ctx context.Context, tx *store.Tx) error {
	list, err := s.j.underWay(ctx, tx, s.ID)
	if err != nil || len(list) == 0 {
		return err
	}
	ids := make([]string, 0, len(list))
	for _, i := range list {
		ids = append(ids, i.ID)
	}
	fates, err := s.j.out.Fates(ctx, tx, ids)
	if err != nil {
		return err
	}
	for _, i := range list {
		state, why := i.became(fates[i.ID])
		if state != i.State {
			s.outcomes = append(s.outcomes, outcome{i.Seq, state, why})
			*s.Counts.of(i.State)--
			*s.Counts.of(state)++
		}
	}
	return nil
}

// of is the figure of a state.
func (c *Counts) of(state string) *int {
	switch state {
	case "released":
		return &c.Released
	case "delivered":
		return &c.Delivered
	case "had":
		return &c.Had
	case "failed":
		return &c.Failed
	default:
		return &c.Skipped
	}
}

// became is the state that a message has reached. What waits behind one that failed is still under way: it goes when that is repaired.
func (i Item) became(f outbox.Fate) (state, why string) {
	switch {
	case f.Gone:
		return "skipped", "it is no longer kept"
	case f.Settled && (f.Redelivery < i.Redelivery || !i.Stuck && f.Redelivery == i.Redelivery):
		return "skipped", "somebody has given up its replay"
	case f.Settled && f.Void:
		return "skipped", "somebody has discarded it"
	case f.Settled && f.Had:
		return "had", ""
	case f.Settled:
		return "delivered", ""
	case f.Stuck:
		return "failed", f.Why
	default:
		return "released", ""
	}
}

// stop pauses a job whose canary is through or whose failures are too many.
func (s *step) stop() {
	c := s.Counts
	well := c.Delivered + c.Had // what was skipped has shown nothing
	switch {
	case s.Canary > 0 && c.Failed > 0:
		s.State, s.Why = Paused, fmt.Sprintf("%d of the first %d failed; %d were not touched", c.Failed, s.Canary, c.Waiting)
	case c.Failed > s.Tolerance:
		s.State, s.Why = Paused, fmt.Sprintf("%d have failed, more than the %d that were tolerated; %d were not touched", c.Failed, s.Tolerance, c.Waiting)
	case s.Canary > 0 && well >= s.Canary && c.Released == 0:
		s.Canary = 0
		if !s.GoOn && c.Waiting > 0 {
			s.State, s.Why = Paused, fmt.Sprintf("the first %d went well: look at them, then resume it; %d were not touched", well, c.Waiting)
		}
	}
}

// room is how many messages may go now: as the rate says, no more than a second's worth under way, and first the canary alone.
func (s *step) room(now time.Time) int {
	each := time.Second.Microseconds() / int64(s.Rate)
	at := store.Micros(now)
	if far := at + 2*time.Second.Microseconds(); s.nextAt > far { // a clock that was set back
		s.nextAt = at
	}
	s.nextAt = max(s.nextAt, at-time.Second.Microseconds())
	n := 0
	if s.nextAt <= at {
		n = int((at-s.nextAt)/each) + 1
	}
	n = min(n, max(1, s.Rate)-s.Counts.Released, s.Counts.Waiting)
	if s.Canary > 0 {
		n = min(n, s.Canary-(s.Counts.Total-s.Counts.Waiting-s.Counts.Skipped))
	}
	return max(0, n)
}

// release hands messages back to the outbox.
func (s *step) release(ctx context.Context, tx *store.Tx) error {
	n := s.room(tx.Now)
	if n == 0 {
		return nil
	}
	list, err := s.j.Items(ctx, tx, s.ID, "waiting", 0, n)
	if err != nil {
		return err
	}
	for _, i := range list {
		why, err := s.again(ctx, tx, i)
		if err != nil {
			return err
		}
		s.Counts.Waiting--
		if why != "" {
			s.Counts.Skipped++
			s.outcomes = append(s.outcomes, outcome{i.Seq, "skipped", why})
			continue
		}
		s.Counts.Released++
		s.nextAt += time.Second.Microseconds() / int64(s.Rate)
		s.outcomes = append(s.outcomes, outcome{i.Seq, "released", ""})
		if err := s.record(ctx, tx, i); err != nil {
			return err
		}
	}
	return nil
}

// again has one message sent once more; why says why not, if it is not what it was.
func (s *step) again(ctx context.Context, tx *store.Tx, i Item) (why string, err error) {
	l, err := s.j.out.Lane(ctx, tx, i.Link, i.Lane)
	if err != nil {
		return "", err
	}
	stands := l.State == outbox.Parked || l.State == outbox.Unknown
	switch {
	case l.Paused:
		return "a person has paused its lane", nil
	case !i.Stuck && stands:
		return fmt.Sprintf("its lane stands still at message %d: %s", l.Head, l.Reason), nil
	case i.Stuck && (!stands || !l.At(message.Place{Epoch: i.Epoch, Number: i.Number})):
		return "its lane goes on already", nil
	}
	now, err := s.j.out.Choose(ctx, tx, outbox.Choice{IDs: []string{i.ID}}, 1)
	if kind := problem.KindOf(err); kind == problem.Conflict || kind == problem.NotFound {
		return "it is not what it was: " + whyOf(err), nil
	}
	if err != nil {
		return "", err
	}
	if c := now[0]; c.Digest != i.Digest || c.Redelivery != i.Redelivery || c.Failed != i.Stuck {
		return "it was changed or replayed since the job was planned", nil
	}
	if i.Stuck {
		err = s.j.out.Retry(ctx, tx, i.ID, s.says())
	} else {
		_, err = s.j.out.Replay(ctx, tx, i.Link, i.Lane, outbox.Range{Epoch: i.Epoch, From: i.Number, To: i.Number, Force: s.Force}, s.says())
	}
	if kind := problem.KindOf(err); kind == problem.Conflict || kind == problem.NotFound || kind == problem.Invalid {
		return whyOf(err), nil
	}
	return "", err
}

func whyOf(err error) string {
	if p, ok := errors.AsType[*problem.Error](err); ok {
		return p.Why
	}
	return ""
}

// says is the reason that the history of a message keeps.
func (s *step) says() string { return s.Reason + " (job " + s.ID + ")" }

// record keeps in the audit record that a message was sent once more, under the job's name.
func (s *step) record(ctx context.Context, tx *store.Tx, i Item) error {
	after, err := json.Marshal(map[string]any{"job": s.ID, "link": i.Link, "lane": i.Lane, "number": i.Number})
	if err != nil {
		return fmt.Errorf("write what job %s did: %w", s.ID, err)
	}
	return audit.Append(ctx, tx, audit.Entry{Actor: s.StartedBy, Action: replayed, Object: "message/" + i.ID, Reason: s.says(), After: after})
}
