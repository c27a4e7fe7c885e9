package seal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// RestTopic is what a new epoch, and the beginning of sealing, wakes.
const RestTopic = "rest"

// block is how many seals a process reserves of an epoch at a time: what a crash counts too much.
const block = 1 << 18

// begin begins to seal if that is allowed and the keyring gives seeds. A plant that has begun is not asked for again.
func (r *Rest) begin(ctx context.Context) error {
	if r.cfg.Off || r.cfg.Begin == nil || r.began.Load() > 0 {
		return nil
	}
	var may bool
	err := r.db.View(ctx, func(tx *store.Tx) (err error) { may, _, err = r.mayBegin(ctx, tx); return err })
	if err != nil || !may {
		return err
	}
	plain, wrapped, err := r.from.Wrap(ctx, r.cfg.Ahead+1)
	if err != nil {
		r.trouble.Store(&err)
		if r.cfg.Later && problem.KindOf(err) == problem.Unavailable {
			if !r.waits.Swap(true) {
				r.log.ErrorContext(ctx, "ALARM: the plant begins to seal once the keyring answers, and keeps bodies readable until then", "part", "keys", "err", err)
			}
			return nil
		}
		return unbegun(err)
	}
	var ids []int64
	err = r.db.InTx(ctx, func(tx *store.Tx) error {
		may, whole, err := r.mayBegin(ctx, tx)
		if err != nil || !may {
			return err
		}
		if ids, err = keepEpochs(ctx, tx, wrapped); err != nil {
			return err
		}
		return begin(ctx, tx, ids[0], plain[0], whole)
	})
	if err == nil {
		r.learnAll(ids, plain)
		r.waits.Store(false)
	}
	return err
}

// unbegun is why a plant that is to seal does not start: what it kept meanwhile would be readable for whoever has the database.
func unbegun(err error) error {
	if k := problem.KindOf(err); k == problem.NotFound || k == problem.Unavailable || errors.Is(err, errNoLogin) { // it says what to do
		return err
	}
	return &problem.Error{
		Kind: problem.KindOf(err), What: "begin to seal what is kept", Why: "the keyring gives no seeds: " + err.Error(),
		Hint: "let it, at Vault by running deploy/vault/setup plant and node again; or write at_rest: off under keys, and bodies are kept readable", Cause: err,
	}
}

// mayBegin tells whether the plant may begin, and whether it then owes nothing unsealed.
func (r *Rest) mayBegin(ctx context.Context, tx *store.Tx) (may, whole bool, err error) {
	kept, err := readEpochs(ctx, tx)
	if err != nil || kept.beganAt > 0 {
		return false, false, err
	}
	return r.cfg.Begin(ctx, tx)
}

// begin notes that the plant seals; first and seed are the epoch that will be used first.
func begin(ctx context.Context, tx *store.Tx, first int64, seed []byte, whole bool) (err error) {
	beganAt, wholeAt, said := store.Micros(tx.Now), int64(0), []byte(nil)
	if whole {
		wholeAt = beganAt
	} else if said, err = plainUnder(seed, first, beganAt); err != nil {
		return err
	}
	_, err = tx.Exec(ctx, `INSERT INTO rest_state (id, began_at, whole_at, plain) VALUES (1, ?, ?, ?) ON CONFLICT (id) DO NOTHING`, beganAt, wholeAt, said)
	if err != nil {
		return fmt.Errorf("begin to seal: %w", err)
	}
	tx.Wake(RestTopic)
	return nil
}

// Visit brings what is kept and what is at hand into step: it has the keyring make the epochs of the days to come, opens those that other
// nodes have made, and turns the epoch if it is time. A keyring that does not answer leaves all as it is, for as long as epochs lie ready.
func (r *Rest) Visit(ctx context.Context) error {
	r.turn.Lock()
	defer r.turn.Unlock()
	if err := r.begin(ctx); err != nil {
		return err
	}
	kept, err := r.read(ctx)
	if err != nil || kept.beganAt == 0 && len(kept.rows) == 0 {
		return err
	}
	if err := r.top(ctx, &kept); err != nil {
		r.trouble.Store(&err)
	}
	err = r.take(ctx, kept)
	if err == nil && r.cfg.Off {
		return r.allow(ctx, kept)
	}
	if err != nil && r.now.Load() == nil || r.began.Load() == 0 || r.cfg.Off {
		return err
	}
	return errors.Join(err, r.turnEpoch(ctx), r.keep())
}

func (r *Rest) read(ctx context.Context) (kept epochs, err error) {
	err = r.db.View(ctx, func(tx *store.Tx) (err error) { kept, err = readEpochs(ctx, tx); return err })
	return kept, err
}

// top has the keyring make what is missing of the epochs that shall lie ready, and the first one.
func (r *Rest) top(ctx context.Context, kept *epochs) error {
	want := r.cfg.Ahead - len(kept.unused())
	if kept.last() == nil {
		want++
	}
	if kept.beganAt == 0 || r.cfg.Off || want <= 0 {
		return nil
	}
	plain, wrapped, err := r.from.Wrap(ctx, want)
	if err != nil {
		return err
	}
	var ids []int64
	err = r.db.InTx(ctx, func(tx *store.Tx) (err error) { ids, err = keepEpochs(ctx, tx, wrapped); return err })
	if err != nil {
		return err
	}
	r.learnAll(ids, plain)
	*kept, err = r.read(ctx)
	return err
}

func (r *Rest) learnAll(ids []int64, seeds [][]byte) {
	for n, id := range ids {
		r.learn(id, seeds[n])
	}
}

func (r *Rest) learn(id int64, seed []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seeds[id] = seed
	delete(r.closed, id)
}

// take opens the seeds that are not at hand. One whose version the keyring does not show any more keeps no other closed.
func (r *Rest) take(ctx context.Context, kept epochs) error {
	r.began.Store(kept.beganAt)
	defer r.judge(ctx, kept)
	r.ready.Store(int64(len(kept.unused())))
	var ids []int64
	var wrapped []string
	r.mu.RLock()
	for _, row := range kept.rows {
		if r.seeds[row.ID] == nil {
			ids, wrapped = append(ids, row.ID), append(wrapped, row.Wrapped)
		}
	}
	r.mu.RUnlock()
	if len(ids) > 0 {
		if err := r.unwrap(ctx, ids, wrapped); err != nil {
			r.trouble.Store(&err)
			return err
		}
	}
	last := kept.last()
	if last != nil {
		r.latest.Store(last.ID)
	}
	if last != nil && r.lazy && !r.cfg.Off {
		r.now.Store(&epoch{id: last.ID, until: r.cfg.Now().Add(r.cfg.Turn), reserved: block})
	}
	return nil
}

// unwrap opens seeds, all with one call: however many the keyring refuses, it is not asked for each.
func (r *Rest) unwrap(ctx context.Context, ids []int64, wrapped []string) error {
	plain, err := r.from.Unwrap(ctx, wrapped)
	if err != nil && !isDenied(err) {
		return err
	}
	for n, id := range ids {
		if n < len(plain) && plain[n] != nil {
			r.learn(id, plain[n])
		} else if r.shut(id, err) {
			r.log.ErrorContext(ctx, "ALARM: the keyring refuses a seed, and what was sealed by it cannot be read", "part", "keys", "epoch", id, "err", err)
		}
	}
	return nil
}

// shut notes why the seed of an epoch is not shown, and tells whether that is new.
func (r *Rest) shut(id int64, why error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, told := r.closed[id]
	r.closed[id] = why.Error()
	return !told
}

// turnEpoch goes on to the next epoch if that of the moment has had its time or its number of seals, and reserves seals of the one in use.
// Without one that lies ready the last goes on, and an alarm is raised.
func (r *Rest) turnEpoch(ctx context.Context) error {
	now := r.now.Load()
	if now != nil && now.used.Load() <= now.reserved/2 && r.cfg.Now().Before(now.until) {
		return nil
	}
	var use epochRow
	out := false
	err := r.db.InTx(ctx, func(tx *store.Tx) error {
		if _, err := tx.Exec(ctx, `UPDATE rest_state SET began_at = began_at WHERE id = 1`); err != nil { // one node at a time
			return err
		}
		kept, err := readEpochs(ctx, tx)
		if err != nil {
			return err
		}
		var why error
		if use, out, why = r.choose(kept); why != nil {
			return why
		}
		if use.UsedAt == 0 {
			if why = r.carryPlain(ctx, tx, kept, use.ID); why != nil {
				return why
			}
			use.UsedAt = store.Micros(tx.Now)
			tx.Wake(RestTopic)
		}
		_, err = tx.Exec(ctx, `UPDATE rest_epochs SET used_at = ?, seals = seals + ? WHERE id = ?`, use.UsedAt, block, use.ID)
		return err
	})
	if err != nil {
		return fmt.Errorf("turn the epoch of what is sealed at rest: %w", err)
	}
	if out && !r.seedsOut.Load() {
		r.log.ErrorContext(ctx, "ALARM: no seed lies ready, the last epoch goes on", "part", "keys", "epoch", use.ID, "err", r.why())
	}
	r.seedsOut.Store(out)
	until := store.FromMicros(use.UsedAt).Add(r.cfg.Turn)
	if out {
		until = r.cfg.Now().Add(lookAgain)
	}
	r.now.Store(&epoch{id: use.ID, until: until, reserved: block})
	return nil
}

// why is what the keyring said last, nil if it gave what was asked.
func (r *Rest) why() error {
	if t := r.trouble.Load(); t != nil {
		return *t
	}
	return nil
}

// carryPlain makes the statement that what is kept may be unsealed anew, if it holds, under the epoch that is used next.
func (r *Rest) carryPlain(ctx context.Context, tx *store.Tx, kept epochs, next int64) error {
	if kept.at().ID == next || !r.plain(kept) {
		return nil
	}
	return r.sayPlain(ctx, tx, next, kept.beganAt)
}

// choose is the epoch to seal by: the one in use for as long as it lasts, else the next of which the seed is at hand. out tells that there is
// none, and the last one goes on.
func (r *Rest) choose(kept epochs) (use epochRow, out bool, err error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	last := kept.last()
	if last != nil && r.seeds[last.ID] == nil {
		last = nil
	}
	if last != nil && last.Seals < r.cfg.Most && r.cfg.Now().Before(store.FromMicros(last.UsedAt).Add(r.cfg.Turn)) {
		return *last, false, nil
	}
	for _, next := range kept.unused() {
		if r.seeds[next.ID] != nil {
			return next, false, nil
		}
	}
	if last == nil {
		return epochRow{}, false, r.none()
	}
	return *last, true, nil
}

// sealedSeeds is how the seeds are kept for a start without the keyring.
type sealedSeeds map[int64][]byte

// keep seals the seeds for a start without the keyring, when there is a new one.
func (r *Rest) keep() error {
	if r.cfg.Safe == nil {
		return nil
	}
	r.mu.RLock()
	all := make(sealedSeeds, len(r.seeds))
	for id, seed := range r.seeds {
		all[id] = seed
	}
	r.mu.RUnlock()
	if len(all) == r.safeHas {
		return nil
	}
	err := r.cfg.Safe.write(r.cfg.File, all)
	if err == nil {
		r.safeHas = len(all)
	}
	return err
}

// restore takes the seeds of the safe where the keyring does not answer.
func (r *Rest) restore(ctx context.Context, why error) error {
	if err := r.learnSafe(why); err != nil {
		return err
	}
	r.log.WarnContext(ctx, "what is sealed is opened with seeds from the safe", "part", "keys", "err", why)
	kept, err := r.read(ctx)
	if err != nil {
		return err
	}
	if err := r.takeKnown(ctx, kept); err != nil {
		return err
	}
	if r.began.Load() == 0 || r.cfg.Off {
		return nil
	}
	return r.turnEpoch(ctx)
}

// learnSafe learns the seeds of the safe; the error is why where there are none.
func (r *Rest) learnSafe(why error) error {
	if r.cfg.Safe == nil {
		return why
	}
	var all sealedSeeds
	if err := r.cfg.Safe.read(r.cfg.File, &all); err != nil {
		if problem.KindOf(err) == problem.NotFound {
			return why
		}
		return err
	}
	for id, seed := range all {
		r.learn(id, seed)
	}
	r.safeHas = len(all)
	return nil
}

// takeKnown takes what is kept where the keyring does not answer: the seeds that are not at hand are waited for.
func (r *Rest) takeKnown(ctx context.Context, kept epochs) error {
	if err := r.take(ctx, kept); problem.KindOf(err) != problem.Unavailable {
		return err
	}
	return nil
}

// Run keeps epochs ready and turns them until ctx ends, and wraps them anew after a rotation of the wrapping key.
func (r *Rest) Run(ctx context.Context) error {
	changed, cancel := r.db.Subscribe(RestTopic)
	defer cancel()
	for pause := firstPause; ; {
		wait := lookAgain
		err := r.Visit(ctx)
		if err == nil {
			err = r.rewrap(ctx)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil && r.trouble.Load() == nil:
			pause = firstPause
		default:
			if err == nil {
				err = r.why()
			}
			r.tell(ctx, err)
			wait, pause = jitter(pause), min(2*pause, mostPause)
		}
		r.trouble.Store(nil)
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil
		case <-t.C:
		case <-changed:
			t.Stop()
		case <-r.calm(pause):
			t.Stop()
		}
	}
}

// calm is poked, but not while the keyring gives trouble: whoever needs a seed must not quicken the pace.
func (r *Rest) calm(pause time.Duration) <-chan struct{} {
	if pause > firstPause {
		return nil
	}
	return r.poked
}

// tell logs that the keyring gives no seeds, as an error once half of them are used.
func (r *Rest) tell(ctx context.Context, err error) {
	level := slog.LevelWarn
	if r.ready.Load() < int64(r.cfg.Ahead)/2 {
		level = slog.LevelError
	}
	r.log.Log(ctx, level, "the keyring gives no seeds for what is sealed at rest", "part", "keys", "ready", r.ready.Load(), "err", err)
}
