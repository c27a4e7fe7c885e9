package inbox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

const (
	lastTries    = 3                   // a message is tried that its transport has delivered Config.MaxDeliveries times
	triesKept    = 30 * 24 * time.Hour // of a message that never came again
	triesForgets = 5 * time.Second     // what is known of a try may take to be written down
)

// lastTry is one more try of a message whose transport counts Config.MaxDeliveries. A broker counts against all that was in hand when a
// channel ended, also while the store was away, and by such a count alone nobody knows whether a message does harm.
type lastTry struct {
	at  int    // in the batch
	key string // in inbox_tries
}

// tryLast writes down which messages of a batch are tried for the last time, before they are looked at, and has them count as tried once less. Those
// that were tried lastTries times, of which nothing else was heard, keep their count: they have brought the process down.
func (i *Inbox) tryLast(ctx context.Context, ins []message.Incoming, link string) ([]message.Incoming, []lastTry, error) {
	var tries []lastTry
	for n, in := range ins {
		if in.Unread == nil && i.poison(in) {
			sum := sha256.Sum256([]byte(link + "\n" + in.Source + "\n" + in.ID))
			tries = append(tries, lastTry{n, hex.EncodeToString(sum[:])})
		}
	}
	if len(tries) == 0 {
		return ins, nil, nil
	}
	lighter := slices.Clone(ins)
	err := i.db.InTx(ctx, func(tx *store.Tx) error {
		copy(lighter, ins)
		for _, t := range tries {
			var n int
			err := tx.Get(ctx, &n, `INSERT INTO inbox_tries (message, tries, tried_at) VALUES (?, 1, ?)
				ON CONFLICT (message) DO UPDATE SET tries = inbox_tries.tries + 1, tried_at = excluded.tried_at RETURNING tries`, t.key, store.Micros(tx.Now))
			if err != nil {
				return fmt.Errorf("write down the last try of a message: %w", err)
			}
			switch {
			case n <= lastTries:
				lighter[t.at].Deliveries = i.cfg.MaxDeliveries - 1
			case n > lastTries+1: // it is not even stored as poison: to verify it is what brings the process down
				lighter[t.at].Unread = &problem.Error{
					Kind: problem.Internal, What: "read message " + ins[t.at].ID, Why: fmt.Sprintf("it was tried %d times, and nothing was heard of any", n-1),
					Hint: "look into the log for what happened when it came; have it sent again once that is mended",
				}
			}
		}
		_, err := tx.Exec(ctx, `DELETE FROM inbox_tries WHERE tried_at < ?`, store.Micros(tx.Now.Add(-triesKept)))
		return err
	})
	return lighter, tries, err
}

// tried forgets the tries of which it is known how they ended, also when ctx has: the message was taken, or was not tried for want of the store.
// Tries that ended with something said against the message still count.
func (i *Inbox) tried(ctx context.Context, tries []lastTry, all []Taken, err error) {
	var ended []string
	for _, t := range tries {
		said := err
		if err == nil {
			said = all[t.at].Err
		}
		if said == nil || ctx.Err() != nil || troubled(said) {
			ended = append(ended, t.key)
		}
	}
	if len(ended) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), triesForgets)
	defer cancel()
	err = i.db.InTx(ctx, func(tx *store.Tx) error {
		query, args, err := tx.In(`DELETE FROM inbox_tries WHERE message IN (?)`, ended)
		if err == nil {
			_, err = tx.Exec(ctx, query, args...)
		}
		return err
	})
	if err != nil { // it then counts as one of several
		i.log.WarnContext(ctx, "a try of a message that ended well still counts against it", "err", err)
	}
}
