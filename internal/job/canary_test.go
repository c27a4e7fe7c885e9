package job_test

import (
	"context"
	"fmt"
	"testing"

	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestWhatWasSkippedIsNoCanary: nothing has reached the ERP yet, so the next one goes alone.
func TestWhatWasSkippedIsNoCanary(t *testing.T) {
	tests := []struct {
		name    string
		refused bool
		goOn    bool
		state   job.State
		want    job.Counts
	}{
		{"delivered", false, false, job.Paused, job.Counts{Total: 6, Waiting: 4, Delivered: 1, Skipped: 1}},
		{"delivered, and told to go on", false, true, job.Done, job.Counts{Total: 6, Delivered: 5, Skipped: 1}},
		{"refused, and told to go on", true, true, job.Paused, job.Counts{Total: 6, Waiting: 4, Failed: 1, Skipped: 1}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, job.Config{}, func(t *testing.T, w *world) {
				for i := range 6 {
					w.owe(fmt.Sprintf("o%d", i+1), 1)
				}
				w.relay()
				for i := range 6 {
					w.refuse[fmt.Sprintf("o%d-1", i+1)] = tt.refused
				}
				b := w.plan(job.Request{GoOn: tt.goOn})
				w.do(func(ctx context.Context, tx *store.Tx) error {
					if err := w.out.PauseLane(ctx, tx, "erp", "o1", "look first"); err != nil {
						return err
					}
					_, err := w.jobs.Start(ctx, tx, b.ID, "local:anna", "ERP was restored", b.Counts.Total)
					return err
				})
				w.run(6)
				if got := w.job(b.ID); got.State != tt.state || got.Counts != tt.want {
					t.Errorf("got %s (%s) with %+v, want %s with %+v", got.State, got.Why, got.Counts, tt.state, tt.want)
				}
			})
		})
	}
}

// TestAReplayThatIsGivenUpWasNotDelivered: its lane stood still at the replay, which the job tried again and a person then gave up.
func TestAReplayThatIsGivenUpWasNotDelivered(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		w.owe("o1", 1)
		w.relay()
		w.refuse["o1-1"] = true
		w.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := w.out.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1, To: 1}, "restored")
			return err
		})
		w.relay()
		b := w.begin(job.Request{Choice: outbox.Choice{Failed: true}, Canary: -1})
		w.run(1)
		w.do(func(ctx context.Context, tx *store.Tx) error {
			return w.out.DiscardInDoubt(ctx, tx, outbox.MessageID("erp", "o1-1"), "not wanted any more")
		})
		w.run(2)
		if got, want := w.job(b.ID), (job.Counts{Total: 1, Skipped: 1}); got.State != job.Done || got.Counts != want {
			t.Errorf("got %s with %+v, want done with %+v", got.State, got.Counts, want)
		}
	})
}

// TestNoJobGoesOnByItselfAfterARestore: the lost plant may have ended it. One that asks waits for a person; one that does not ask is over.
func TestNoJobGoesOnByItselfAfterARestore(t *testing.T) {
	for _, force := range []bool{false, true} {
		t.Run(fmt.Sprint("force ", force), func(t *testing.T) {
			each(t, job.Config{}, func(t *testing.T, w *world) {
				for i := range 4 {
					w.owe(fmt.Sprintf("o%d", i+1), 1)
				}
				w.relay()
				w.got = nil
				planned := w.plan(job.Request{Force: force})
				b := w.begin(job.Request{Force: force, Canary: -1, Rate: 1})
				w.run(1)
				was := w.job(b.ID).Counts.Waiting
				if was == 0 || was == 4 {
					t.Fatalf("%d wait when the copy is made, want some", was)
				}
				w.got = nil
				w.do(func(ctx context.Context, tx *store.Tx) error {
					if _, err := w.out.Restored(ctx, tx); err != nil {
						return err
					}
					return job.Restored(ctx, tx)
				})
				w.run(6)
				got := w.job(b.ID)
				if want := map[bool]job.State{false: job.Paused, true: job.Cancelled}[force]; got.State != want || len(w.got) != 0 || got.Counts.Released != 0 {
					t.Errorf("it is %s (%s) with %+v and has sent %q; want %s and nothing sent", got.State, got.Why, got.Counts, w.got, want)
				}
				if force {
					if got.Counts.Skipped != was || w.job(planned.ID).State != job.Cancelled || got.EndedAt.IsZero() {
						t.Errorf("%+v; the plan is %s, want it cancelled", got, w.job(planned.ID).State)
					}
					return
				}
				w.do(func(ctx context.Context, tx *store.Tx) error { _, err := w.jobs.Resume(ctx, tx, b.ID); return err })
				w.run(6)
				if got = w.job(b.ID); got.State != job.Done || w.job(planned.ID).State != job.Planned {
					t.Errorf("once it is resumed it is %s (%s) with %+v; the plan is %s", got.State, got.Why, got.Counts, w.job(planned.ID).State)
				}
			})
		})
	}
}
