package relay

import (
	"context"
	"math/rand/v2"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

const (
	fileEvery = time.Second      // how often it is looked for what is to be filed, while something is settled
	fileAfter = 5 * time.Second  // how long what was settled stays unfiled while there is something to send
	fileLate  = 30 * time.Second // after this time filing no longer gives way
	fileChunk = 64               // receipts in one transaction, each of at most a claim's messages of one lane
)

// keepFiling moves settled messages out of the way of those that are owed (outbox.File): all of them while nothing is in hand, and
// otherwise a little at a time, resting as long as it has worked. What is late is filed without rest, so that it keeps up with any load.
// When all is filed it waits until something is settled, with the housekeeping as a net under lost wakes.
func (r *Relay) keepFiling(ctx context.Context) {
	settled, done := r.db.Subscribe(outbox.Settled)
	defer done()
	for ctx.Err() == nil {
		began, now, idle := time.Now(), r.db.Now(), r.hands.Load() == 0
		before := now.Add(-fileAfter)
		if idle {
			before = now.Add(fileLate) // also what a clock has settled that is a little ahead
		}
		n, oldest, err := r.file(ctx, before)
		if err != nil && ctx.Err() == nil {
			r.log.Warn("settled messages are not filed", "err", err)
		}
		switch {
		case err == nil && idle && n < fileChunk:
			_ = pause(ctx, r.cfg.House+rand.N(r.cfg.House/4), settled)
			_ = pause(ctx, fileEvery, nil)
		case err != nil || n < fileChunk:
			_ = pause(ctx, fileEvery+rand.N(fileEvery/4), nil)
		case !idle && now.Sub(oldest) < fileLate:
			_ = pause(ctx, time.Since(began), nil)
		}
	}
}

func (r *Relay) file(ctx context.Context, before time.Time) (n int, oldest time.Time, err error) {
	err = r.db.InTx(ctx, func(tx *store.Tx) (err error) {
		n, oldest, err = r.out.File(ctx, tx, before, fileChunk)
		return err
	})
	return n, oldest, err
}

// fileRest files what is left when nothing is in hand any more, for at most Config.Grace. The release before, which may be what is started
// next, takes whatever is not filed for owed.
func (r *Relay) fileRest(ctx context.Context) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(ctx), r.cfg.Grace)
	defer stop()
	for n := fileChunk; n == fileChunk; {
		var err error
		if n, _, err = r.file(ctx, r.db.Now().Add(fileLate)); err != nil {
			r.log.Warn("settled messages are not filed: start this release once more before the one before", "err", err)
			return
		}
	}
}
