package relay

import (
	"context"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Reach gives a place for one more lane of link (outbox.Hand): where this node serves the link, nothing keeps a request from beginning now, and
// so few lanes are in hand that it need not wait for them. In a backlog lanes are claimed, in their order.
func (r *Relay) Reach(link, lane string, bytes int) (node string, p outbox.Place) {
	at, ok := r.runners[link]
	if !ok {
		return "", nil
	}
	w := at.Load()
	if w == nil {
		return "", nil
	}
	mine := &place{runner: w, lane: lane, held: w.holding(0, w.cfg.Term(), time.Now(), w.db.Now())}
	if mine.held.bytes = int64(bytes); !w.reach(mine) {
		return "", nil
	}
	return w.cfg.Node, mine
}

// place is kept for a lane while the transaction is under way that appends to it.
type place struct {
	*runner
	lane   string
	held   hand  // as it is once the transaction is committed
	number int64 // of the message; 0 while the lane is not taken
}

// reach keeps a place, if there is one.
func (w *runner) reach(p *place) bool {
	if w.breaker.probing() {
		return false
	}
	window, _ := w.pace.now()
	room, _ := w.room()
	w.mu.Lock()
	defer w.mu.Unlock()
	_, inHand := w.hands[p.lane]
	_, placed := w.places[p.lane]
	if room <= 0 || w.reached == 0 || w.reached != p.held.term || inHand || placed || len(w.hands)+len(w.places) >= window {
		return false
	}
	w.places[p.lane] = p
	return true
}

// Take says that the lane is in hand once the transaction is committed.
func (p *place) Take(token, number int64) { p.held.token, p.number = token, number }

// End has the lane in hand, or nothing. Of a lane that may have been left in this node's name, nobody knows under which token, the next look at
// leases makes an end.
func (p *place) End(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.places, p.lane)
	switch {
	case err == nil && p.number == 0: // it waits for a claim, or is in hand by another append
	case err == nil && !p.shut:
		p.hands[p.lane] = p.held
		p.Relay.hands.Add(1)
		p.taken = append(p.taken, outbox.Taken{Holding: outbox.Holding{Lane: p.lane, Token: p.held.token}, Number: p.number})
	case p.number != 0, problem.KindOf(err) == problem.Unavailable:
		p.unsure, p.reached = true, 0
	}
	token(p.picked)
	if p.unsure && len(p.places) == 0 {
		token(p.freed)
	}
}

// reachable has lanes be taken by appends in this term of the node's name, unless one may have been left in it.
func (w *runner) reachable(term uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.unsure {
		w.reached = term
	}
}

// onlyHolding lists the lanes that are in hand, or may be by a transaction under way, and takes it that nothing else is in this node's name. A
// lane for which a place is kept is passed over whatever its token, and may be left from before: so no more places are given until the
// transactions under way have ended, and the list is made once more without them. Else a lane that is appended to all the time would stay.
func (w *runner) onlyHolding() []outbox.Holding {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reached, w.unsure = 0, len(w.places) > 0
	list := w.holdings()
	for lane := range w.places {
		list = append(list, outbox.Holding{Lane: lane})
	}
	return list
}

// leftUnsure tells that an append may have left a lane in this node's name, and that no other append hides it any more.
func (w *runner) leftUnsure() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.unsure && len(w.places) == 0
}

// pickUp hands what appends have taken to those who send, until the runner is shut and nothing is left.
func (w *runner) pickUp(ctx context.Context) {
	for range w.picked {
		w.mu.Lock()
		all, last := w.taken, w.shut && len(w.places) == 0
		w.taken = nil
		w.mu.Unlock()
		if len(all) > 0 {
			w.pass(w.read(ctx, all))
		}
		if last {
			return
		}
	}
}

// read makes claims of lanes that were taken. What cannot be sent as it is, or not be read now, is given back.
func (w *runner) read(ctx context.Context, all []outbox.Taken) []outbox.Claim {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), w.cfg.Grace)
	defer cancel()
	var claims []outbox.Claim
	err := w.db.View(ctx, func(tx *store.Tx) (err error) {
		claims, err = w.out.Taken(ctx, tx, w.name, all)
		return err
	})
	if err != nil {
		w.log.Warn("lanes that were taken are given back", "link", w.name, "lanes", len(all), "err", err)
		claims = nil
	}
	read := make(map[string]bool, len(claims))
	for _, c := range claims {
		read[c.Lane] = true
	}
	for _, t := range all {
		if !read[t.Lane] {
			w.reports <- outbox.Settlement{Lane: t.Lane, Token: t.Token, Release: true, SentTo: t.Number - 1}
		}
	}
	return claims
}

// close ends the taking of lanes, and waits for the transactions that may have taken one, for Config.Grace at the most: what commits later
// is asked for by the next who claims it.
func (w *runner) close() {
	w.mu.Lock()
	w.reached = 0
	w.mu.Unlock()
	for end := time.Now().Add(w.cfg.Grace); w.placed() > 0 && time.Now().Before(end); {
		_ = pause(context.Background(), settleAgain, nil)
	}
	w.mu.Lock()
	w.shut = true
	clear(w.places)
	w.mu.Unlock()
	token(w.picked)
}

func (w *runner) placed() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.places)
}
