package job_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/job"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestAGroupIsReplayedAndNoOther: what a group counts, what its list shows and what is replayed are the same, also where its reason is a part of another.
func TestAGroupIsReplayedAndNoOther(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		reasons := []string{
			"no such material", "no such material in storage location 0001, and period is closed", "not that: no such material", "no\tsuch  material ",
			"no such old material", "order 4711: no such material", "order 4712: no such material", "order 4711: really no such material", "M7021", "M7022 M7023", "100 %",
		}
		for i, r := range reasons {
			l := fmt.Sprintf("o%d", i+1)
			w.refuse[l+"-1"] = true
			w.owe(l, 1)
			w.relay()
			w.do(func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Exec(ctx, `UPDATE outbox_lanes SET reason = ? WHERE lane = ?`, r, l)
				return err
			})
		}
		w.do(func(ctx context.Context, tx *store.Tx) error {
			groups, err := w.out.Groups(ctx, tx)
			if err != nil {
				return err
			}
			if len(groups) != 9 {
				t.Errorf("%d groups, want 9: %+v", len(groups), groups)
			}
			for _, g := range groups {
				shown := 0
				for cursor, more := "", true; more; more = cursor != "" { // a page at a time
					list, next, err := w.out.Stuck(ctx, tx, outbox.StuckFilter{Link: g.Link, Group: g.Reason, Limit: 1}, cursor)
					if err != nil {
						return err
					}
					shown, cursor = shown+len(list), next
				}
				choice := outbox.Choice{Link: g.Link, Failed: true, Group: g.Reason}
				b, err := w.jobs.Plan(ctx, tx, job.Request{Choice: choice}, "anna")
				if err != nil {
					return err
				}
				ids, err := w.out.ChosenIDs(ctx, tx, choice, 1)
				if int64(shown) != g.Lanes || int64(b.Counts.Total) != g.Lanes || len(ids) != 1 || err != nil {
					t.Errorf("group %q has %d lanes; its list shows %d, its plan has %d, and %q are chosen (%v)", g.Reason, g.Lanes, shown, b.Counts.Total, ids, err)
				}
			}
			return nil
		})
	})
}

// TestWhatCannotBeSentAgainIsLeftOutAndNamed: of what a comparison has found lost one is owed again already; the others are repaired.
func TestWhatCannotBeSentAgainIsLeftOutAndNamed(t *testing.T) {
	each(t, job.Config{}, func(t *testing.T, w *world) {
		ids := []string{"never-was"}
		for _, l := range []string{"o1", "o2", "o3"} {
			w.owe(l, 1)
			ids = append(ids, outbox.MessageID("erp", l+"-1"))
		}
		w.relay()
		w.got = nil
		w.do(func(ctx context.Context, tx *store.Tx) error {
			if _, err := w.out.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1, To: 1}, "restored"); err != nil {
				return err
			}
			return w.out.PauseLane(ctx, tx, "erp", "o1", "look first")
		})
		for _, list := range [][]string{ids[:2], ids} {
			err := w.try(func(ctx context.Context, tx *store.Tx) error {
				_, err := w.jobs.Plan(ctx, tx, job.Request{Choice: outbox.Choice{IDs: list}, Some: len(list) == 2}, "anna")
				return err
			})
			if err == nil {
				t.Errorf("%q are planned, want why the first cannot be sent", list)
			}
		}
		b := w.begin(job.Request{Choice: outbox.Choice{IDs: ids}, Some: true, Canary: -1})
		if !strings.HasPrefix(b.Why, "2 left out; ") || !strings.Contains(b.Why, "never-was") || !strings.Contains(b.Why, ids[1]) || !strings.Contains(b.Why, "still owed") {
			t.Errorf("the job says %q, want what was left out", b.Why)
		}
		w.run(3)
		if got := w.job(b.ID); got.State != job.Done || got.Counts.Delivered != 2 || len(w.got) != 2 {
			t.Errorf("%s with %+v; the ERP got %q, want o2 and o3", got.State, got.Counts, w.got)
		}
	})
}
