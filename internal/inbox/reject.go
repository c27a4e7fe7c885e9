package inbox

import (
	"context"
	"fmt"
	"sync"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// Reject keeps a message that could not be believed, under a row number. Its text is cut to what the columns take, and of its body the
// beginning and the digest are kept: whoever can send anything must fill neither the disk nor the log.
func (i *Inbox) Reject(ctx context.Context, tx *store.Tx, m message.Message, link string, why error) (int64, error) {
	text, err := beginning(ctx, tx, m)
	if err != nil {
		return 0, err
	}
	size := int64(len(text))
	if i.cfg.Veil != nil {
		text = i.cfg.Veil.Blot(text)
	}
	reason := short(why.Error())
	if size < m.Size() {
		reason += fmt.Sprintf(" (kept are the first %d of its %d bytes, whose SHA-256 is %x)", size, m.Size(), sum(m))
	}
	source, id, kind, from := short(m.Source), short(m.ID), short(m.Kind), short(link)
	stored, epoch, err := tx.Seal(ctx, cellOfRejected(source, id, kind, from, store.Micros(tx.Now)), text)
	if err != nil {
		return 0, fmt.Errorf("seal a rejected message: %w", err)
	}
	var seq int64
	err = tx.Get(ctx, &seq, `INSERT INTO inbox_rejected (source, id, kind, link, body, sealed, problem, reason, received_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
		RETURNING seq`, source, id, kind, from, stored, epoch, string(problem.KindOf(why)), reason, store.Micros(tx.Now))
	if err != nil {
		return 0, fmt.Errorf("keep a rejected message: %w", err)
	}
	if seq%trimEvery == 0 {
		if err := i.trimRejected(ctx, tx); err != nil {
			return 0, err
		}
	}
	if err := i.alarm(ctx, tx, link, why); err != nil {
		return 0, err
	}
	tx.AfterCommit(func() {
		besides, due := i.lines.due(tx.Now)
		if due {
			i.log.WarnContext(ctx, "a message from outside is rejected", "link", short(link), "source", short(m.Source), "message", short(m.ID), "kind", short(m.Kind),
				"count", besides+1, "err", why)
		}
	})
	return seq, nil
}

// trimEvery is how many messages are rejected until those that are too many are dropped: not more than these are kept besides.
const trimEvery = 200

// dropRejected keeps the newest Config.KeepRejected messages that could not be believed.
func (i *Inbox) dropRejected(ctx context.Context) error {
	return i.db.InTx(ctx, func(tx *store.Tx) error { return i.trimRejected(ctx, tx) })
}

func (i *Inbox) trimRejected(ctx context.Context, tx *store.Tx) error {
	_, err := tx.Exec(ctx, `DELETE FROM inbox_rejected WHERE seq <= (SELECT seq FROM inbox_rejected ORDER BY seq DESC LIMIT 1 OFFSET ?)`, i.cfg.KeepRejected)
	if err != nil {
		return fmt.Errorf("drop old rejected messages: %w", err)
	}
	return nil
}

// mostLines is how many lines a minute the log has of messages that are rejected.
const mostLines = 60

// lines bounds the lines of the log that a stranger can have written.
type lines struct {
	mu      sync.Mutex
	began   time.Time // of the present minute; guarded by mu
	count   int       // guarded by mu
	besides int       // that had no line, since the last one; guarded by mu
}

// due tells whether there may be a line now, and how many before it had none.
func (l *lines) due(now time.Time) (besides int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if since := now.Sub(l.began); since >= time.Minute || since < 0 {
		l.began, l.count = now, 0
	}
	if l.count >= mostLines {
		l.besides++
		return 0, false
	}
	l.count++
	besides, l.besides = l.besides, 0
	return besides, true
}
