package inbox

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Source gives what an ERP has to say. Poll reads on from cursor ("" at first) and says where to go on next; it may give a message
// again, under the same ID, and must not leave one out. It is never called while a transaction is open. An error that has RetryAfter() time.Duration in its
// chain says how long the ERP asks to be left alone.
type Source interface {
	Poll(ctx context.Context, cursor string) (batch []message.Incoming, next string, err error)
}

// Feed is a Source that Run polls.
type Feed struct {
	Name   string        // of the cursor; must not change
	Link   string        // that the messages come through
	Every  time.Duration // pause after a call that gave nothing; default 5 s
	Source Source
	// Ended, where a source reads all that there is each time, tells that a place which it gave ends a reading: the next one waits. Nil: the source
	// is asked again while it gives what is new.
	Ended func(place string) bool
	// Held tells how long the link's ERP has asked not to be called from now on, as after an answer that denies us a right: so long it is not
	// polled either. Nil: never.
	Held func(ctx context.Context, tx *store.Tx) (time.Duration, error)
	// Hold keeps for how long from now on the link's ERP has asked not to be called, in the answer to this feed: nothing is sent to it meanwhile, by no
	// node. Nil: the feed alone rests.
	Hold func(ctx context.Context, tx *store.Tx, wait time.Duration) error
}

// retryAfter is how long an error says that its ERP asks to be left alone, 0 if it does not.
func retryAfter(err error) time.Duration {
	var asks interface{ RetryAfter() time.Duration }
	if errors.As(err, &asks) {
		return asks.RetryAfter()
	}
	return 0
}

// held is how long a feed rests because its link does.
type held time.Duration

func (h held) Error() string { return "its link rests for " + time.Duration(h).String() }

const (
	defaultEvery = 5 * time.Second
	feedLease    = 15 * time.Second // at least; after a crash, another node polls the feed that much later
	deniedRest   = time.Minute      // before a source that refuses us is asked again: a person must give the right first
)

// receive polls one feed until ctx ends. Of several nodes one polls it; the others stand by. A node that was killed takes its own
// feeds back at once.
func (i *Inbox) receive(ctx context.Context, f Feed) error {
	f.Every = cmp.Or(f.Every, defaultEvery)
	owner, failures := cmp.Or(i.cfg.Node, uuid.NewString()), 0
	for ctx.Err() == nil {
		more, err := i.pollOnce(ctx, f, owner)
		wait := f.Every
		if h, ok := errors.AsType[held](err); ok {
			wait = min(wait, time.Duration(h))
		} else if failures = i.tell(ctx, f, failures, err); failures > 0 {
			wait = max(wait, i.rest(failures, err))
		} else if more {
			continue
		}
		t := time.NewTimer(wait + rand.N(wait/10+1))
		select {
		case <-ctx.Done():
		case <-t.C:
		}
		t.Stop()
	}
	return i.release(context.WithoutCancel(ctx), f, owner)
}

// rest is how long a feed that cannot be polled is left alone.
func (i *Inbox) rest(failures int, err error) time.Duration {
	least := retryAfter(err)
	if problem.KindOf(err) == problem.Denied {
		least = max(least, deniedRest)
	}
	return max(least, i.pause(failures))
}

// tell logs when a feed begins to fail and when that ends; what it says in between stands in the status. It counts the failures in
// a row.
func (i *Inbox) tell(ctx context.Context, f Feed, failures int, err error) int {
	switch {
	case ctx.Err() != nil:
		return failures
	case err == nil && failures > 0:
		i.log.InfoContext(ctx, "a source can be polled again", "link", f.Link, "feed", f.Name)
		return 0
	case err == nil:
		return 0
	}
	level := slog.LevelDebug
	if failures == 0 {
		level = slog.LevelWarn
	}
	i.log.Log(ctx, level, "a source cannot be polled", "link", f.Link, "feed", f.Name, "attempt", failures+1, "err", err)
	i.note(ctx, f, err)
	return failures + 1
}

// pollOnce asks the source once and accepts what it gives with the new cursor, in one transaction. more tells that the source had
// something and may have more.
func (i *Inbox) pollOnce(ctx context.Context, f Feed, owner string) (more bool, err error) {
	cursor, mine, err := i.hold(ctx, f, owner)
	if err != nil || !mine {
		return false, err
	}
	batch, next, err := f.Source.Poll(ctx, cursor)
	if err != nil {
		return false, fmt.Errorf("poll %s: %w", f.Name, err)
	}
	came := i.arriveAll(ctx, batch, f.Link)
	if err := i.asideAll(came, i.keep(ctx)); err != nil {
		return false, fmt.Errorf("keep what %s gave: %w", f.Name, err)
	}
	err = i.db.InTx(ctx, func(tx *store.Tx) error {
		n, err := tx.Exec(ctx, `UPDATE inbox_cursors SET polled_at = ?, trouble = '' WHERE name = ? AND owner = ? AND place = ?`,
			store.Micros(tx.Now), f.Name, owner, cursor)
		if err == nil && n > 0 && next != cursor { // a cursor may be a megabyte, and most polls bring nothing
			n, err = tx.Exec(ctx, `UPDATE inbox_cursors SET place = ? WHERE name = ? AND owner = ?`, next, f.Name, owner)
		}
		if err != nil {
			return fmt.Errorf("keep the cursor of %s: %w", f.Name, err)
		}
		if n == 0 {
			return &problem.Error{Kind: problem.Unavailable, What: "poll " + f.Name, Why: "another process has polled it meanwhile", Hint: "nothing to do"}
		}
		_, err = i.take(ctx, tx, came, false)
		return err
	})
	return err == nil && len(batch) > 0 && next != cursor && (f.Ended == nil || !f.Ended(next)), err
}

// hold takes or renews the right to poll a feed and reads its cursor. A right that lasts longer than any that is given comes from
// a clock that was wrong, and holds nobody up.
func (i *Inbox) hold(ctx context.Context, f Feed, owner string) (cursor string, mine bool, err error) {
	err = i.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `INSERT INTO inbox_cursors (name) VALUES (?) ON CONFLICT (name) DO NOTHING`, f.Name)
		if err != nil {
			return fmt.Errorf("begin the cursor of %s: %w", f.Name, err)
		}
		until := store.Micros(tx.Now.Add(max(feedLease, 3*f.Every)))
		n, err := tx.Exec(ctx, `UPDATE inbox_cursors SET owner = ?, lease_until = ?
			WHERE name = ? AND (owner = ? OR lease_until < ? OR lease_until > ?)`,
			owner, until, f.Name, owner, store.Micros(tx.Now), until)
		if err != nil {
			return fmt.Errorf("take the feed %s: %w", f.Name, err)
		}
		if mine = n > 0; !mine {
			return nil
		}
		if f.Held != nil {
			if rest, err := f.Held(ctx, tx); err != nil || rest > 0 {
				return cmp.Or(err, error(held(rest)))
			}
		}
		if err := tx.Get(ctx, &cursor, `SELECT place FROM inbox_cursors WHERE name = ?`, f.Name); err != nil {
			return fmt.Errorf("read the cursor of %s: %w", f.Name, err)
		}
		return nil
	})
	return cursor, mine, err
}

// note keeps what went wrong, for the status, and how long the link is to be left alone; if that fails too, the log has it.
func (i *Inbox) note(ctx context.Context, f Feed, cause error) {
	err := i.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE inbox_cursors SET trouble = ? WHERE name = ?`, short(cause.Error()), f.Name)
		if wait := retryAfter(cause); err == nil && wait > 0 && f.Hold != nil {
			err = f.Hold(ctx, tx, wait)
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		i.log.ErrorContext(ctx, "the trouble of a source cannot be kept", "feed", f.Name, "err", err)
	}
}

// forgetTroubles takes the trouble away from feeds that are not polled any more: nothing else would ever end it.
func (i *Inbox) forgetTroubles(ctx context.Context) {
	names := []string{""}
	for _, f := range i.cfg.Feeds {
		names = append(names, f.Name)
	}
	err := i.db.InTx(ctx, func(tx *store.Tx) error {
		query, args, err := tx.In(`UPDATE inbox_cursors SET trouble = '' WHERE trouble <> '' AND name NOT IN (?)`, names)
		if err == nil {
			_, err = tx.Exec(ctx, query, args...)
		}
		return err
	})
	if err != nil && ctx.Err() == nil {
		i.log.ErrorContext(ctx, "the trouble of a source that is not polled any more cannot be taken away", "err", err)
	}
}

// release lets another process poll at once.
func (i *Inbox) release(ctx context.Context, f Feed, owner string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	err := i.db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `UPDATE inbox_cursors SET owner = '', lease_until = 0 WHERE name = ? AND owner = ?`, f.Name, owner)
		return err
	})
	if err != nil {
		i.log.WarnContext(ctx, "a feed is not released; another process takes it when its lease ends", "feed", f.Name, "err", err)
	}
	return nil
}

// ReadAgain has every feed of a link read again from the beginning, and names them; what is known already has no effect again. NotFound if the link
// has none, which is so of an ERP that sends by itself.
func (i *Inbox) ReadAgain(ctx context.Context, tx *store.Tx, link string) (feeds []string, err error) {
	if err := tx.Select(ctx, &feeds, `SELECT name FROM inbox_cursors ORDER BY name`); err != nil {
		return nil, fmt.Errorf("list the feeds of link %s: %w", link, err)
	}
	feeds = slices.DeleteFunc(feeds, func(name string) bool { return !strings.HasPrefix(name, link+"/") })
	if len(feeds) == 0 {
		return nil, &problem.Error{
			Kind: problem.NotFound, What: "read again what comes over link " + link, Why: "nothing is read there: its ERP sends by itself, or was never read",
			Hint: "have the ERP send it again",
		}
	}
	for _, name := range feeds {
		if err := i.ResetCursor(ctx, tx, name); err != nil {
			return nil, err
		}
	}
	return feeds, nil
}

// ResetCursor has a feed read again from the beginning; what is known already has no effect again. NotFound without such a feed.
func (i *Inbox) ResetCursor(ctx context.Context, tx *store.Tx, feed string) error {
	n, err := tx.Exec(ctx, `UPDATE inbox_cursors SET place = '' WHERE name = ?`, feed)
	if err != nil {
		return fmt.Errorf("reset the cursor of %s: %w", feed, err)
	}
	if n == 0 {
		return &problem.Error{Kind: problem.NotFound, What: "reset the cursor of " + feed, Why: "there is no such feed", Hint: "see the feeds in the status"}
	}
	return nil
}
