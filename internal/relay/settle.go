package relay

import (
	"context"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

const (
	maxSettle   = 256                    // settlements in one transaction
	settleAgain = 5 * time.Millisecond   // pause while an append has a lane locked
	settleLater = 250 * time.Millisecond // pause while the database does not answer
)

// settle records what the workers report, as much at once as has come in, until reports is closed. A settlement that the database
// does not take is given again; after ctx has ended, for Config.Grace.
func (w *runner) settle(ctx context.Context) {
	hard, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	defer giveUp()
	stop := context.AfterFunc(ctx, func() { _ = pause(hard, 2*w.cfg.Grace, nil); giveUp() })
	defer stop()

	var waiting []outbox.Settlement
	for open := true; open || len(waiting) > 0; {
		if len(waiting) == 0 {
			s, ok := <-w.reports
			if !ok {
				return
			}
			waiting = append(waiting, s)
		}
		waiting, open = w.gather(waiting, open)
		var wait time.Duration
		waiting, wait = w.settleOnce(hard, waiting)
		if hard.Err() != nil {
			w.drop(waiting)
			return
		}
		if wait > 0 {
			_ = pause(hard, wait, nil)
		}
	}
}

// gather adds what has come in meanwhile, without waiting.
func (w *runner) gather(waiting []outbox.Settlement, open bool) ([]outbox.Settlement, bool) {
	for open && len(waiting) < maxSettle {
		select {
		case s, ok := <-w.reports:
			if !ok {
				return waiting, false
			}
			waiting = append(waiting, s)
		default:
			return waiting, true
		}
	}
	return waiting, open
}

// settleOnce returns what has to be settled again, and how long to wait before.
func (w *runner) settleOnce(ctx context.Context, all []outbox.Settlement) ([]outbox.Settlement, time.Duration) {
	var busy, lost []outbox.Settlement
	err := w.db.InTx(ctx, func(tx *store.Tx) (err error) {
		busy, lost, err = w.out.Settle(ctx, tx, w.name, all)
		return err
	})
	if err != nil {
		w.log.Warn("the relay waits for the database", "link", w.name, "what", "answers are not recorded yet", "err", err)
		return all, settleLater
	}
	again := make(map[outbox.Holding]bool, len(busy))
	for _, s := range busy {
		again[outbox.Holding{Lane: s.Lane, Token: s.Token}] = true
	}
	for _, s := range lost {
		w.metrics.fenced.WithLabelValues(w.name).Inc()
		w.log.Warn("a lease was lost before its lane was settled", "link", w.name, "lane", s.Lane)
		w.free(s.Lane, s.Token)
	}
	for _, s := range all {
		if s.Release && !again[outbox.Holding{Lane: s.Lane, Token: s.Token}] {
			w.free(s.Lane, s.Token)
		}
	}
	if len(busy) > 0 {
		return busy, settleAgain
	}
	return nil, 0
}

// drop gives up settlements that the database did not take in time: their leases end by themselves, and whoever takes the lanes
// asks before sending.
func (w *runner) drop(waiting []outbox.Settlement) {
	for range w.reports { // nobody may block on a report
	}
	if len(waiting) > 0 {
		w.log.Error("answers could not be recorded before the end; they will be asked for", "link", w.name, "lanes", len(waiting))
	}
}
