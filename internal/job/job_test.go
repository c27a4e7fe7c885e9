package job_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"holdfast/internal/audit"
	"holdfast/internal/job"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

var start = time.Date(2026, 11, 27, 3, 0, 0, 0, time.UTC)

// clock is the process's clock, which a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) read() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) forward(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.now = c.now.Add(d) }

// world is an outbox with an ERP that takes what it is sent, but for what a test says.
type world struct {
	t      *testing.T
	db     *store.DB
	clock  *clock
	out    *outbox.Outbox
	jobs   *job.Jobs
	got    []string        // what the ERP was sent, by event
	refuse map[string]bool // events that the ERP refuses
	has    map[string]bool // events of which it says that it has them, when it is asked
}

// each runs test on both databases.
func each(t *testing.T, cfg job.Config, test func(t *testing.T, w *world)) {
	t.Helper()
	c := &clock{}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		c.now = start
		out := outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp", Mapping: "all"}}, "urn:plant:1", outbox.Config{})
		w := &world{t: t, db: db, clock: c, out: out, jobs: job.New(db, out, cfg, slog.New(slog.DiscardHandler)), refuse: map[string]bool{}, has: map[string]bool{}}
		test(t, w)
	}, storetest.WithClock(c.read))
}

func (w *world) do(fn func(ctx context.Context, tx *store.Tx) error) {
	w.t.Helper()
	if err := w.try(fn); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) try(fn func(ctx context.Context, tx *store.Tx) error) error {
	return w.db.InTx(w.t.Context(), func(tx *store.Tx) error { return fn(w.t.Context(), tx) })
}

// owe appends n events to a lane: its name and a number each.
func (w *world) owe(lane string, n int) {
	w.t.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) error {
		for i := range n {
			id := fmt.Sprintf("%s-%d", lane, i+1)
			err := w.out.Append(ctx, tx, message.Message{
				ID: id, Kind: "operation.confirmed", Version: 1, Key: lane, Time: tx.Now, Body: []byte(`{"id":"` + id + `"}`),
				Place: message.Place{Role: message.Event},
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	w.clock.forward(time.Second)
}

// relay moves everything that can be moved, as the relay does.
func (w *world) relay() {
	w.t.Helper()
	for {
		var claims []outbox.Claim
		w.do(func(ctx context.Context, tx *store.Tx) (err error) {
			claims, err = w.out.Claim(ctx, tx, "n1", "erp", 100, 10)
			return err
		})
		if len(claims) == 0 {
			return
		}
		for _, c := range claims {
			s := w.settlement(c)
			w.do(func(ctx context.Context, tx *store.Tx) error {
				_, _, err := w.out.Settle(ctx, tx, "erp", []outbox.Settlement{s})
				return err
			})
		}
	}
}

func (w *world) settlement(c outbox.Claim) outbox.Settlement {
	s := outbox.Settlement{Lane: c.Lane, Token: c.Token, Release: true, SentTo: c.SentTo}
	for _, q := range c.Messages {
		var body struct{ ID string }
		if err := unmarshal(q.Body, &body); err != nil {
			w.t.Fatal(err)
		}
		if w.refuse[body.ID] {
			s.SentTo = q.Number - 1
			s.Next = outbox.Next{State: outbox.Parked, ID: q.ID, Sent: true, Reason: "the ERP answered 422: no such material", Verdict: message.Refused}
			return s
		}
		d := outbox.Done{ID: q.ID, Epoch: q.Epoch, Number: q.Number, Redelivery: q.Redelivery, Role: q.Role, SentWith: "all@1", Sent: true}
		d.Receipt = message.Receipt{Document: "D-" + body.ID, Status: 201, At: start}
		if q.Redelivery > 0 && w.has[body.ID] {
			d.Sent, d.Receipt.Asked = false, true
		} else {
			w.got = append(w.got, body.ID)
		}
		s.Done = append(s.Done, d)
	}
	return s
}

// begin plans and starts a job of what r chooses.
func (w *world) begin(r job.Request) job.Job {
	w.t.Helper()
	b := w.plan(r)
	w.do(func(ctx context.Context, tx *store.Tx) (err error) {
		b, err = w.jobs.Start(ctx, tx, b.ID, "local:anna", "ERP was restored", b.Counts.Total)
		return err
	})
	return b
}

func (w *world) plan(r job.Request) (b job.Job) {
	w.t.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) (err error) {
		b, err = w.jobs.Plan(ctx, tx, r, "local:anna")
		return err
	})
	return b
}

// run steps and relays a number of times, a second apart.
func (w *world) run(times int) {
	w.t.Helper()
	for range times {
		if _, err := w.jobs.Step(w.t.Context()); err != nil {
			w.t.Fatal(err)
		}
		w.relay()
		w.clock.forward(time.Second)
	}
}

func (w *world) job(id string) (b job.Job) {
	w.t.Helper()
	w.do(func(ctx context.Context, tx *store.Tx) (err error) {
		b, err = w.jobs.Get(ctx, tx, id)
		return err
	})
	return b
}

func TestTheSetIsFrozenAndKeepsTheOrderOfLanes(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		w.owe("o1", 3)
		w.owe("o2", 2)
		w.relay()
		w.got = nil
		b := w.plan(job.Request{Choice: outbox.Choice{Link: "erp"}, Canary: -1})
		w.owe("o3", 4)
		w.relay()
		w.got = nil
		w.do(func(ctx context.Context, tx *store.Tx) error {
			for _, most := range []int{3, 4, 100} { // also where the choice by now chooses more than the count goes
				n, err := w.jobs.Newer(ctx, tx, b, most)
				if err != nil || n != min(4, most) {
					t.Errorf("%d newer ones of at most %d (%v), want %d", n, most, err, min(4, most))
				}
			}
			return nil
		})
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.jobs.Start(ctx, tx, b.ID, "local:anna", "ERP was restored", 5)
			return err
		})
		w.has["o1-2"] = true
		w.run(4)
		if want := []string{"o1-1", "o1-3", "o2-1", "o2-2"}; !cmp.Equal(sorted(w.got), want) || !inLanes(w.got) {
			t.Errorf("the ERP got %q, want %q, each lane in its order", w.got, want)
		}
		got := w.job(b.ID)
		if want := (job.Counts{Total: 5, Delivered: 4, Had: 1}); got.State != job.Done || got.Counts != want {
			t.Errorf("got %s with %+v, want done with %+v", got.State, got.Counts, want)
		}
		w.wantAudited(b.ID, 5)
	})
}

// wantAudited wants an entry for each message, joined by the job's name.
func (w *world) wantAudited(id string, want int) {
	w.t.Helper()
	n := 0
	w.do(func(ctx context.Context, tx *store.Tx) error {
		n = 0
		list, err := audit.List(ctx, tx, audit.Filter{Action: "msg.replay", Limit: 1000})
		for _, e := range list {
			if e.Actor == "local:anna" && e.Reason == "ERP was restored (job "+id+")" {
				n++
			}
		}
		return err
	})
	if n != want {
		w.t.Errorf("%d entries of job %s in the audit record, want %d", n, id, want)
	}
}

func TestCanaryStopsForALook(t *testing.T) {
	tests := []struct {
		name      string
		refused   bool
		goOn      bool
		wantState job.State
		want      job.Counts
	}{
		{"delivered", false, false, job.Paused, job.Counts{Total: 5, Waiting: 4, Delivered: 1}},
		{"delivered, and told to go on", false, true, job.Done, job.Counts{Total: 5, Delivered: 5}},
		{"refused, and told to go on", true, true, job.Paused, job.Counts{Total: 5, Waiting: 4, Failed: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, job.Config{}, func(t *testing.T, w *world) {
				for i := range 5 {
					w.owe(fmt.Sprintf("o%d", i+1), 1)
				}
				w.relay()
				w.got = nil
				w.refuse["o1-1"] = tt.refused
				b := w.begin(job.Request{GoOn: tt.goOn})
				w.run(5)
				got := w.job(b.ID)
				if got.State != tt.wantState || got.Counts != tt.want || (got.Why == "") != (tt.wantState == job.Done) {
					t.Errorf("got %s (%s) with %+v, want %s with %+v", got.State, got.Why, got.Counts, tt.wantState, tt.want)
				}
			})
		})
	}
}

func TestWhatStandsStillIsTriedAgainAndItsLaneFollows(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		w.refuse["o1-2"] = true
		w.owe("o1", 5)
		w.owe("o2", 1)
		w.relay()
		if want := []string{"o1-1", "o2-1"}; !cmp.Equal(sorted(w.got), want) {
			t.Fatalf("the ERP got %q, want %q", w.got, want)
		}
		only4 := outbox.Choice{IDs: []string{outbox.MessageID("erp", "o1-4")}}
		err := w.try(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.jobs.Plan(ctx, tx, job.Request{Choice: only4}, "local:anna")
			return err
		})
		if problem.KindOf(err) != problem.Conflict {
			t.Errorf("number 4 alone: %v, want a conflict that names number 2", err)
		}
		w.refuse["o1-2"], w.got = false, nil
		b := w.begin(job.Request{Choice: outbox.Choice{Failed: true, Why: "No Such Material"}})
		w.run(3)
		if want := []string{"o1-2", "o1-3", "o1-4", "o1-5"}; !slices.Equal(w.got, want) {
			t.Errorf("the ERP got %q, want %q", w.got, want)
		}
		if got := w.job(b.ID); got.State != job.Done || got.Counts.Delivered != 1 {
			t.Errorf("got %s with %+v, want done with one delivered", got.State, got.Counts)
		}
	})
}

func TestOneThatFailsHoldsUpItsLaneAlone(t *testing.T) {
	tests := []struct {
		name    string
		refused string
		want    job.Counts // before somebody repairs it
		after   job.Counts
	}{
		{"what was not handed out yet is left alone", "o1-1", job.Counts{Total: 6, Delivered: 3, Failed: 1, Skipped: 2}, job.Counts{Total: 6, Delivered: 3, Failed: 1, Skipped: 2}},
		{"what was handed out follows it", "o1-2", job.Counts{Total: 6, Delivered: 4, Failed: 1, Released: 1}, job.Counts{Total: 6, Delivered: 6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, job.Config{}, func(t *testing.T, w *world) {
				w.owe("o1", 3)
				w.owe("o2", 3)
				w.relay()
				w.got = nil
				w.refuse[tt.refused] = true
				b := w.begin(job.Request{Canary: -1, Rate: 10})
				w.run(4)
				if got := w.job(b.ID); got.Counts != tt.want {
					t.Errorf("got %+v, want %+v", got.Counts, tt.want)
				}
				w.refuse[tt.refused] = false
				w.do(func(ctx context.Context, tx *store.Tx) error {
					return w.out.Resume(ctx, tx, "erp", "o1", "material exists now")
				})
				w.run(3)
				if got := w.job(b.ID); got.State != job.Done || got.Counts != tt.after {
					t.Errorf("repaired: got %s with %+v, want done with %+v", got.State, got.Counts, tt.after)
				}
				if !inLanes(w.got) {
					t.Errorf("the ERP got %q: a lane is out of order", w.got)
				}
			})
		})
	}
}

func TestAKilledNodeLeavesNothingDoubledOrMissing(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		for i := range 4 {
			w.owe(fmt.Sprintf("o%d", i+1), 5)
		}
		w.relay()
		w.got = nil
		b := w.begin(job.Request{Canary: -1, Rate: 4})
		w.run(2)
		ctx, kill := context.WithCancel(t.Context())
		kill()
		if _, err := w.jobs.Step(ctx); err == nil {
			t.Error("a step of a process that is gone succeeded")
		}
		others := []*job.Jobs{
			job.New(w.db, w.out, job.Config{}, slog.New(slog.DiscardHandler)), job.New(w.db, w.out, job.Config{}, slog.New(slog.DiscardHandler)),
		}
		for range 8 { // two nodes at once
			var both sync.WaitGroup
			for _, o := range others {
				both.Go(func() {
					if _, err := o.Step(t.Context()); err != nil {
						t.Error(err)
					}
				})
			}
			both.Wait()
			w.relay()
			w.clock.forward(time.Second)
		}
		if got := w.job(b.ID); got.State != job.Done || got.Counts.Delivered != 20 {
			t.Errorf("got %s with %+v, want done with 20 delivered", got.State, got.Counts)
		}
		once := slices.Compact(sorted(w.got))
		if len(w.got) != 20 || len(once) != 20 || !inLanes(w.got) {
			t.Errorf("the ERP got %d, %d different ones: %q, want 20 once each in their order", len(w.got), len(once), w.got)
		}
	})
}

func TestRateHoldsAndChanges(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		for i := range 30 {
			w.owe(fmt.Sprintf("o%02d", i+1), 1)
		}
		w.relay()
		w.got = nil
		b := w.begin(job.Request{Canary: -1, Rate: 2})
		w.run(4)
		if n := len(w.got); n > 9 || n < 7 {
			t.Errorf("%d were sent in about 4 s at 2 a second", n)
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.jobs.SetRate(ctx, tx, b.ID, 1000)
			return err
		})
		w.run(2)
		if n := len(w.got); n != 30 {
			t.Errorf("%d were sent in the end, want 30", n)
		}
	})
}

func TestPauseAndCancelStopWhatWasNotSent(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		w.owe("o1", 9)
		w.relay()
		w.got = nil
		b := w.begin(job.Request{Canary: -1, Rate: 3})
		w.run(1)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.jobs.Pause(ctx, tx, b.ID, "local:ben", "the ERP is slow")
			return err
		})
		sent := len(w.got)
		w.run(3)
		if got := w.job(b.ID); len(w.got) != sent || got.State != job.Paused || got.Counts.Delivered != sent || got.Why != "local:ben: the ERP is slow" {
			t.Errorf("paused after %d: %d are sent, and it is %+v", sent, len(w.got), got)
		}
		w.do(func(ctx context.Context, tx *store.Tx) error { _, err := w.jobs.Resume(ctx, tx, b.ID); return err })
		w.run(1)
		w.do(func(ctx context.Context, tx *store.Tx) error { _, err := w.jobs.Cancel(ctx, tx, b.ID); return err })
		sent = len(w.got)
		w.run(3)
		got := w.job(b.ID)
		if want := (job.Counts{Total: 9, Delivered: sent, Skipped: 9 - sent}); len(w.got) != sent || sent == 9 || got.State != job.Cancelled || got.Counts != want {
			t.Errorf("cancelled after %d: %d are sent, and it is %s with %+v", sent, len(w.got), got.State, got.Counts)
		}
	})
}

func TestWhatWasChangedSinceIsNotSent(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		w.refuse["o1-1"], w.refuse["o2-1"] = true, true
		w.owe("o1", 1)
		w.owe("o2", 1)
		w.owe("o3", 1)
		w.relay()
		b := w.plan(job.Request{Choice: outbox.Choice{Failed: true}, Canary: -1})
		w.got = nil
		w.do(func(ctx context.Context, tx *store.Tx) error {
			if err := w.out.Amend(ctx, tx, outbox.MessageID("erp", "o1-1"), []byte(`{"id":"o1-1","text":"as it was made"}`), "corrected"); err != nil {
				return err
			}
			return w.out.Discard(ctx, tx, outbox.MessageID("erp", "o2-1"), "not wanted")
		})
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.jobs.Start(ctx, tx, b.ID, "local:anna", "all is well now", 2)
			return err
		})
		for range 2 { // one each, before the outbox moves anything
			if _, err := w.jobs.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.clock.forward(time.Second)
		}
		if got := w.job(b.ID); got.Counts.Skipped != 2 || got.State != job.Done {
			t.Errorf("got %s with %+v, want done with both skipped", got.State, got.Counts)
		}
	})
}

func TestFourEyes(t *testing.T) {
	each(t, job.Config{ReplayOver: 2}, func(t *testing.T, w *world) {
		w.owe("o1", 3)
		w.relay()
		w.got = nil
		b := w.begin(job.Request{Canary: -1})
		w.run(2)
		if got := w.job(b.ID); got.State != job.Approval || len(w.got) != 0 {
			t.Errorf("got %s with %d sent, want approval with none", got.State, len(w.got))
		}
		approve := func(by string) error {
			return w.try(func(ctx context.Context, tx *store.Tx) error { _, err := w.jobs.Approve(ctx, tx, b.ID, by); return err })
		}
		if err := approve("local:anna"); problem.KindOf(err) != problem.Denied {
			t.Errorf("own approval: %v, want denied", err)
		}
		if err := approve("local:ben"); err != nil {
			t.Fatal(err)
		}
		if err := approve("local:cleo"); problem.KindOf(err) != problem.Conflict {
			t.Errorf("approved twice: %v, want a conflict", err)
		}
		w.run(3)
		if got := w.job(b.ID); got.State != job.Done || got.ApprovedBy != "local:ben" || len(w.got) != 3 {
			t.Errorf("got %+v with %d sent, want done, by ben, with 3", got, len(w.got))
		}
	})
}

func TestActsThatDoNotFitAreRefused(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		w.owe("o1", 2)
		w.relay()
		b := w.plan(job.Request{})
		type act = func(ctx context.Context, tx *store.Tx) error
		tests := []struct {
			name string
			act  act
			want problem.Kind
		}{
			{"start with another number", func(ctx context.Context, tx *store.Tx) error {
				_, err := w.jobs.Start(ctx, tx, b.ID, "a", "r", 3)
				return err
			}, problem.Precondition},
			{"pause what does not run", func(ctx context.Context, tx *store.Tx) error {
				_, err := w.jobs.Pause(ctx, tx, b.ID, "a", "r")
				return err
			}, problem.Conflict},
			{"resume what does not wait", func(ctx context.Context, tx *store.Tx) error { _, err := w.jobs.Resume(ctx, tx, b.ID); return err }, problem.Conflict},
			{"approve what asks for none", func(ctx context.Context, tx *store.Tx) error {
				_, err := w.jobs.Approve(ctx, tx, b.ID, "b")
				return err
			}, problem.Conflict},
			{"a rate of none", func(ctx context.Context, tx *store.Tx) error { _, err := w.jobs.SetRate(ctx, tx, b.ID, 0); return err }, problem.Invalid},
			{"a job that is not there", func(ctx context.Context, tx *store.Tx) error { _, err := w.jobs.Get(ctx, tx, "x"); return err }, problem.NotFound},
			{"a plan of nothing", func(ctx context.Context, tx *store.Tx) error {
				_, err := w.jobs.Plan(ctx, tx, job.Request{Choice: outbox.Choice{Link: "other"}}, "a")
				return err
			}, problem.NotFound},
			{"a plan of what is not there", func(ctx context.Context, tx *store.Tx) error {
				_, err := w.jobs.Plan(ctx, tx, job.Request{Choice: outbox.Choice{IDs: []string{"x"}}}, "a")
				return err
			}, problem.NotFound},
			{"a rate below none", func(ctx context.Context, tx *store.Tx) error {
				_, err := w.jobs.Plan(ctx, tx, job.Request{Rate: -1}, "a")
				return err
			}, problem.Invalid},
		}
		for _, tt := range tests {
			if err := w.try(tt.act); problem.KindOf(err) != tt.want {
				t.Errorf("%s: got %v, want %q", tt.name, err, tt.want)
			}
		}
	})
}
