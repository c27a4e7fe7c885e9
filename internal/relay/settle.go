package relay

import (
	"context"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

const (
	maxSettle   = 500                    // settlements in one transaction
	settleAgain = 5 * time.Millisecond   // pause while an append has a lane locked
	settleLater = 250 * time.Millisecond // pause while the database does not answer
	aloneTries  = 3                      // failures of one lane's settlement by itself before the lane is parked
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
	busy, lost, err := w.record(ctx, all)
	if err != nil && !passing(ctx, err) {
		return w.settleApart(ctx, all, err)
	}
	if err != nil {
		w.log.Warn("the relay waits for the database", "link", w.name, "what", "answers are not recorded yet", "err", err)
		return all, settleLater
	}
	w.settled(all, busy, lost)
	if len(busy) > 0 {
		return busy, settleAgain
	}
	return nil, 0
}

func (w *runner) record(ctx context.Context, all []outbox.Settlement) (busy, lost []outbox.Settlement, err error) {
	err = w.db.InTx(ctx, func(tx *store.Tx) (err error) {
		busy, lost, err = w.out.Settle(ctx, tx, w.name, all)
		return err
	})
	if err != nil {
		for i := range all {
			all[i].Again = true
		}
	}
	return busy, lost, err
}

// passing tells that it is worth giving the same settlements again: the database is away or full, or the end has come.
func passing(ctx context.Context, err error) bool {
	k := problem.KindOf(err)
	return k == problem.Unavailable || k == problem.Full || ctx.Err() != nil
}

// settleApart settles lane by lane what failed together, for a reason that does not pass, and parks a lane that fails alone: it
// must not hold up the others for ever. What was reported of one claim stays together: were a later part recorded without an earlier
// one, that would release the lane, and the earlier part come too late for ever.
func (w *runner) settleApart(ctx context.Context, all []outbox.Settlement, why error) ([]outbox.Settlement, time.Duration) {
	claims := byClaim(all)
	w.log.Error("answers cannot be recorded together; lane by lane now", "link", w.name, "lanes", len(claims), "err", why)
	var again []outbox.Settlement
	for _, of := range claims {
		busy, lost, err := w.record(ctx, of)
		for n := 1; n < aloneTries && err != nil && !passing(ctx, err); n++ {
			_ = pause(ctx, settleLater, nil)
			busy, lost, err = w.record(ctx, of)
		}
		if err != nil && !passing(ctx, err) && w.abandon(ctx, of[0], err) == nil {
			continue
		}
		if err != nil {
			again = append(again, of...)
			continue
		}
		w.settled(of, busy, lost)
		again = append(again, busy...)
	}
	return again, settleLater
}

// byClaim puts the settlements of one claim together, in their order.
func byClaim(all []outbox.Settlement) [][]outbox.Settlement {
	var claims [][]outbox.Settlement
	at := make(map[outbox.Holding]int, len(all))
	for _, s := range all {
		h := outbox.Holding{Lane: s.Lane, Token: s.Token}
		i, ok := at[h]
		if !ok {
			i = len(claims)
			at[h], claims = i, append(claims, nil)
		}
		claims[i] = append(claims[i], s)
	}
	return claims
}

// abandon parks a lane whose settlement the database does not take.
func (w *runner) abandon(ctx context.Context, s outbox.Settlement, why error) error {
	h := outbox.Holding{Lane: s.Lane, Token: s.Token}
	err := w.db.InTx(ctx, func(tx *store.Tx) error {
		return w.out.Abandon(ctx, tx, w.name, h, "the answer cannot be recorded: "+why.Error())
	})
	if err != nil {
		w.log.Error("a lane whose answers cannot be recorded is not parked either", "link", w.name, "lane", s.Lane, "err", err)
		return err
	}
	w.log.Error("a lane is parked: its answers cannot be recorded", "link", w.name, "lane", s.Lane, "err", why)
	w.free(h)
	return nil
}

// settled frees the lanes of settlements that the database took, or that came too late.
func (w *runner) settled(all, busy, lost []outbox.Settlement) {
	again := make(map[outbox.Holding]bool, len(busy))
	for _, s := range busy {
		again[outbox.Holding{Lane: s.Lane, Token: s.Token}] = true
	}
	var gone []outbox.Holding
	for _, s := range lost {
		w.metrics.fenced.WithLabelValues(w.name).Inc()
		w.log.Warn("a lease was lost before its lane was settled", "link", w.name, "lane", s.Lane)
		gone = append(gone, outbox.Holding{Lane: s.Lane, Token: s.Token})
	}
	for _, s := range all {
		if h := (outbox.Holding{Lane: s.Lane, Token: s.Token}); s.Release && !again[h] {
			gone = append(gone, h)
		}
	}
	if len(gone) > 0 {
		w.free(gone...)
	}
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

func doneOf(q outbox.Queued, with string, r message.Receipt) *outbox.Done {
	return &outbox.Done{
		ID: q.ID, Epoch: q.Epoch, Number: q.Number, Redelivery: q.Redelivery, Creates: q.Creates, Role: q.Role, SentWith: with, Receipt: r,
	}
}
