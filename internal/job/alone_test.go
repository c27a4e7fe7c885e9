package job_test

import (
	"context"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// replay has a range of a lane sent once more, at once.
func (w *world) replay(by, lane string, which outbox.Range) (n int64, err error) {
	err = w.try(func(ctx context.Context, tx *store.Tx) error {
		n, err = w.jobs.Replay(ctx, tx, by, "erp", lane, which, "asked for")
		return err
	})
	return n, err
}

// TestOnePersonReplaysUpToTheLimit, whichever way they come in: a replay of more messages queues none.
func TestOnePersonReplaysUpToTheLimit(t *testing.T) {
	each(t, job.Config{ReplayOver: 2}, func(t *testing.T, w *world) {
		w.owe("o1", 3)
		w.relay()
		for _, force := range []bool{false, true} {
			if _, err := w.replay("local:anna", "o1", outbox.Range{From: 1, Force: force}); problem.KindOf(err) != problem.Denied {
				t.Errorf("three by one person, forced %t: got %v, want it denied", force, err)
			}
		}
		if n, err := w.replay("local:anna", "o1", outbox.Range{From: 1, To: 2}); n != 2 || err != nil {
			t.Errorf("got %d, %v, want the two that one may have, of which none was queued before", n, err)
		}
	})
}

// TestManySmallReplaysAreOneLarge: what a person replays alone in a day is summed, over lanes and jobs, and by whatever name they may have.
func TestManySmallReplaysAreOneLarge(t *testing.T) {
	each(t, job.Config{ReplayOver: 3}, func(t *testing.T, w *world) {
		for _, lane := range []string{"o1", "o2", "o3", "o4", "o5"} {
			w.owe(lane, 2)
		}
		w.relay()
		w.got = nil
		two := outbox.Range{From: 1}
		if n, err := w.replay("local:anna", "o1", two); n != 2 || err != nil {
			t.Fatalf("got %d, %v, want the first two", n, err)
		}
		for _, by := range []string{"local:anna", "user:anna", "user:x", "token:t"} {
			if _, err := w.replay(by, "o2", two); problem.KindOf(err) != problem.Denied || !strings.Contains(err.Error(), "with the 2 that "+by) {
				t.Errorf("two more by %s: got %v, want it denied with what there was", by, err)
			}
		}
		if b := w.begin(job.Request{Choice: outbox.Choice{Lane: "o3"}, Canary: -1}); b.State != job.Approval {
			t.Errorf("two more in a job: got %s, want that it waits for somebody else", b.State)
		} else {
			w.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := w.jobs.Approve(ctx, tx, b.ID, "local:ben")
				return err
			})
		}
		if n, err := w.replay("local:anna", "o4", outbox.Range{From: 1, To: 1}); n != 1 || err != nil {
			t.Errorf("got %d, %v, want the third alone: what another approved does not count", n, err)
		}
		if n, err := w.replay("local:ben", "o2", two); n != 2 || err != nil {
			t.Errorf("got %d, %v, want that another person has their own", n, err)
		}
		w.run(4)
		if got := len(w.got); got != 7 {
			t.Errorf("the ERP got %d messages %q, want 7", got, w.got)
		}
		w.clock.forward(job.Window)
		if b := w.begin(job.Request{Choice: outbox.Choice{Lane: "o5"}, Canary: -1}); b.State != job.Running {
			t.Errorf("a day later: got %s, want it running", b.State)
		}
		if _, err := w.replay("local:anna", "o1", two); problem.KindOf(err) != problem.Denied {
			t.Errorf("two more than the job's: got %v, want it denied", err)
		}
	})
}

// TestTwoReplaysAtOnceAreBothCounted, also where neither sees the other.
func TestTwoReplaysAtOnceAreBothCounted(t *testing.T) {
	each(t, job.Config{ReplayOver: 3}, func(t *testing.T, w *world) {
		lanes := []string{"o1", "o2", "o3", "o4"}
		for _, lane := range lanes {
			w.owe(lane, 2)
		}
		w.relay()
		errs := make([]error, len(lanes))
		var all sync.WaitGroup
		for i, lane := range lanes {
			all.Go(func() {
				errs[i] = w.db.InTx(t.Context(), func(tx *store.Tx) error {
					_, err := w.jobs.Replay(t.Context(), tx, "local:anna", "erp", lane, outbox.Range{From: 1}, "asked for")
					return err
				})
			})
		}
		all.Wait()
		done := 0
		for _, err := range errs {
			if err == nil {
				done++
			} else if problem.KindOf(err) != problem.Denied {
				t.Error(err)
			}
		}
		if done != 1 {
			t.Errorf("%d of 4 replays of two went through, want one", done)
		}
	})
}
