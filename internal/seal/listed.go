package seal

import (
	"context"
	"errors"
	"math"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// saidFor is for how long what the keyring has said of its roots and lists is used before it is asked again.
const saidFor = 5 * time.Minute

// said is what the keyring has said, and when.
type said struct {
	Bundle
	at time.Time
}

// ask is what the keyring says of its roots and lists, or has said no longer ago than age.
func (r *Ring) ask(ctx context.Context, age time.Duration) (Bundle, error) {
	now := r.cfg.Now()
	if last := r.said.Load(); last != nil && now.Sub(last.at) < age && !now.Before(last.at) {
		return last.Bundle, nil
	}
	roots, lists, err := r.from.Roots(ctx)
	if err != nil {
		return Bundle{}, err
	}
	b := Bundle{Roots: roots, Lists: lists}
	r.said.Store(&said{b, now})
	return b, nil
}

// listNames is why a key is revoked that nobody has revoked here.
const listNames = "the keyring's list of revoked keys names it"

// lookUp has the node notice that its own key is on the keyring's list: it signs nothing more with it, writes down that it counts for nothing, and
// gets another one if the keyring still gives it one. A keyring that does not answer is asked again later; the node goes on meanwhile. So it is with
// the keys of other nodes, and with those that the archive no longer calls revoked, which takes no keyring.
func (r *Ring) lookUp(ctx context.Context) {
	now := r.cfg.Now()
	if at := time.UnixMicro(r.look.Load()); now.Before(at) && at.Sub(now) <= r.cfg.Look {
		return
	}
	r.look.Store(now.Add(min(r.cfg.Look, mostPause)).UnixMicro()) // if it fails
	b, err := r.ask(ctx, 0)
	if err == nil {
		err = r.judge(ctx, b)
	}
	if judged := r.others(ctx, b); judged != nil {
		err = errors.Join(judged, err) // a keyring that is away does not hide it
	}
	if err == nil {
		r.look.Store(now.Add(r.cfg.Look).UnixMicro())
	} else if ctx.Err() == nil && problem.KindOf(err) != problem.Unavailable { // one that is away is told of where it matters
		r.log.ErrorContext(ctx, "it cannot be seen whether the node's key was revoked", "part", "keys", "err", err)
	}
}

// judge holds the node's key against the lists.
func (r *Ring) judge(ctx context.Context, b Bundle) error {
	k := r.key.Load()
	since, is := listed(b.Lists, b.Roots, k.chain)
	if !is {
		return nil
	}
	err := r.db.InTx(ctx, func(tx *store.Tx) error {
		if since.After(tx.Now) { // by a clock that is ahead; the entry of the record is not later
			since = tx.Now
		}
		a, err := Find(ctx, tx, k.id)
		if err != nil || !a.Revoked.IsZero() {
			return err
		}
		if _, err := end(ctx, tx, k.id, `UPDATE seal_keys SET revoked_at = ?, reason = ? WHERE id = ? AND revoked_at = 0`, store.Micros(since), listNames); err != nil {
			return err
		}
		tx.AfterCommit(func() {
			r.log.ErrorContext(ctx, "ALARM: the node's key was revoked at the keyring: it signs nothing more", "part", "keys", "key", k.id, "since", since)
		})
		return r.record(ctx, tx, KeyListed, k.id)
	})
	if err == nil || problem.KindOf(err) == problem.NotFound {
		k.revoked.Store(true) // once it is on record: another key takes its place, and nobody looks at this one again
	}
	return err
}

// Unsigned is how often a message was not signed for want of a key that counts, and Late how many were signed later that had no signature, since
// the node started.
func (r *Ring) Unsigned() (missed, late int64) { return r.missed.Load(), r.lately.Load() }

// Trust is what checks the signatures of every node of the plant, as keyring and archive know them now: the archive is read each time, the keyring
// is asked every few minutes. While it does not answer, what it said last counts: no check waits for it.
func (r *Ring) Trust(ctx context.Context) (*Trust, error) {
	b, err := r.Bundle(ctx)
	if err != nil {
		return nil, err
	}
	return b.Trust(), nil
}

// TrustSaid is Trust by what the keyring has said last, which Run asks for every few minutes: the keyring is asked only if it has said nothing yet. While
// it has not, as after a cold start, who certified the node's own key is trusted alone.
func (r *Ring) TrustSaid(ctx context.Context) (*Trust, error) {
	b, err := r.bundle(ctx, math.MaxInt64)
	if chain := r.key.Load().chain; problem.KindOf(err) == problem.Unavailable && len(chain) > 1 {
		b, err = r.archived(ctx, Bundle{Roots: chain[1:]})
	}
	if err != nil {
		return nil, err
	}
	return b.Trust(), nil
}

// Bundle is what Trust goes by.
func (r *Ring) Bundle(ctx context.Context) (Bundle, error) { return r.bundle(ctx, saidFor) }

func (r *Ring) bundle(ctx context.Context, age time.Duration) (Bundle, error) {
	b, err := r.ask(ctx, age)
	if last := r.said.Load(); problem.KindOf(err) == problem.Unavailable && last != nil {
		b, err = last.Bundle, nil
	}
	if err != nil {
		return Bundle{}, err
	}
	return r.archived(ctx, b)
}

// archived is a bundle with the keys of the archive.
func (r *Ring) archived(ctx context.Context, b Bundle) (Bundle, error) {
	err := r.db.View(ctx, func(tx *store.Tx) (err error) {
		if b.Keys, err = Archive(ctx, tx); err == nil {
			_, err = r.cfg.Decided.Heed(ctx, tx, b.Keys)
		}
		return err
	})
	return b, err
}
