package outbox

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// confirmed tells whether all that there is to keep of d is that it was sent and taken, as of what a broker confirms.
func (d Done) confirmed() bool {
	return d.Number > 0 && d.Sent && d.Redelivery == 0 && d.Role != message.Void && d.Receipt.Document == "" && d.Receipt.Answer == nil && !d.Receipt.Asked && d.Receipt.Signed == ""
}

// alike tells whether one receipt can stand for both.
func (d Done) alike(e Done) bool {
	return d.SentWith == e.SentWith && d.Receipt.Kind == e.Receipt.Kind && d.Receipt.Status == e.Receipt.Status
}

// isRun tells whether one receipt can stand for all that s has settled: confirmed messages from the head of the lane on, without a gap.
// One that is given again cannot: its messages may have been settled before, and queued again by a person since.
func (s Settlement) isRun(l *lane) bool {
	if s.Again || len(s.Done) == 0 {
		return false
	}
	for i, d := range s.Done {
		if !d.confirmed() || !d.alike(s.Done[0]) || d.Epoch != l.Epoch || d.Number != l.Head+int64(i) {
			return false
		}
	}
	return true
}

// unsettled leaves out what is settled already: the answer to the commit of an earlier settlement was lost, and this one repeats it.
func (s Settlement) unsettled(l *lane) []Done {
	if !s.Again {
		return s.Done
	}
	return slices.DeleteFunc(slices.Clone(s.Done), func(d Done) bool {
		return d.Number > 0 && d.Redelivery == 0 && (d.Epoch < l.Epoch || d.Epoch == l.Epoch && d.Number < l.Head)
	})
}

// keepReceipts settles runs: their messages stay where they are until they are filed, and are before the heads of their lanes from now on.
func (o *Outbox) keepReceipts(ctx context.Context, tx *store.Tx, link string, locked map[string]*lane, runs []Settlement) error {
	if len(runs) == 0 {
		return nil
	}
	n := len(runs)
	lanes, with, kinds, answered, macs := make([]string, n), make([]string, n), make([]string, n), make([]string, n), make([][]byte, n)
	epochs, firsts, lasts, status := make([]int64, n), make([]int64, n), make([]int64, n), make([]int64, n)
	delivered := 0
	for i, s := range runs {
		l, first, last := locked[s.Lane], s.Done[0], s.Done[len(s.Done)-1]
		lanes[i], epochs[i], firsts[i], lasts[i] = s.Lane, l.Epoch, l.Head, last.Number
		with[i], kinds[i], status[i] = first.SentWith, first.Receipt.Kind, int64(first.Receipt.Status)
		if at := last.Receipt.At; !at.IsZero() {
			answered[i] = at.Format(time.RFC3339Nano)
		}
		said := first
		said.Receipt.At = last.Receipt.At
		var err error
		if macs[i], err = o.macOf(ctx, tx, cellOfRun(said.detail(link, s.Lane, tx.Now), l.Head, last.Number), l.Head, last.Number); err != nil {
			return err
		}
		delivered += len(s.Done)
		l.Head, l.Pending = last.Number+1, l.Pending-int64(len(s.Done))
	}
	g := store.Give(
		store.Col("lane", lanes), store.Col("epoch", epochs), store.Col("first_number", firsts), store.Col("last_number", lasts),
		store.Col("sent_with", with), store.Col("doc_kind", kinds), store.Col("status", status), store.Col("answered", answered),
		store.Col("receipt_mac", macs),
	)
	err := tx.Later(ctx, `INSERT INTO outbox_receipts (link, settled_at, lane, epoch, first_number, last_number, sent_with, doc_kind, status, answered, receipt_mac)
		SELECT CAST(? AS TEXT), CAST(? AS BIGINT), lane, epoch, first_number, last_number, sent_with, doc_kind, status, answered, receipt_mac FROM `+g.Table(tx, "g"),
		append([]any{link, store.Micros(tx.Now)}, g.Args(tx)...)...)
	if err != nil {
		return fmt.Errorf("keep receipts of link %s: %w", link, err)
	}
	return o.count(ctx, tx, link, delivered, 0)
}

// count adds to what a link has settled since the database was made. From the first on, the link is known to be up.
func (o *Outbox) count(ctx context.Context, tx *store.Tx, link string, delivered, voided int) error {
	err := tx.Later(ctx, `INSERT INTO outbox_links (link, delivered, voided, last_at, changed_at) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT (link) DO UPDATE SET delivered = outbox_links.delivered + excluded.delivered,
			voided = outbox_links.voided + excluded.voided, last_at = excluded.last_at,
			changed_at = CASE WHEN outbox_links.changed_at = 0 THEN excluded.changed_at ELSE outbox_links.changed_at END`,
		link, delivered, voided, store.Micros(tx.Now), store.Micros(tx.Now))
	if err != nil {
		return fmt.Errorf("count what link %s delivered: %w", link, err)
	}
	return nil
}

// isReceiptOf joins a receipt r with the messages m that it settles.
const isReceiptOf = `m.link = r.link AND m.lane = r.lane AND m.epoch = r.epoch AND m.number >= r.first_number AND m.number <= r.last_number`

// File moves messages that were settled before a time into outbox_delivered, those of up to limit receipts, and what a clock has settled
// that was far ahead. It says how many receipts there were, and when the first of them was written. Several nodes may do so at once, and a
// node that is killed has filed all of them or none.
func (o *Outbox) File(ctx context.Context, tx *store.Tx, before time.Time, limit int) (n int, oldest time.Time, err error) {
	var found []struct {
		ID int64
		At int64 `db:"settled_at"`
	}
	err = tx.Select(ctx, &found, `SELECT id, settled_at FROM outbox_receipts WHERE settled_at < ? OR settled_at > ?
		ORDER BY id LIMIT `+strconv.Itoa(limit)+tx.SkipLocked(),
		store.Micros(before), store.Micros(tx.Now.Add(o.astray())))
	ids := make([]int64, 0, len(found))
	for _, f := range found {
		ids = append(ids, f.ID)
	}
	if err == nil {
		err = file(ctx, tx, ids)
	}
	if err != nil || len(found) == 0 {
		return 0, oldest, err
	}
	return len(ids), store.FromMicros(found[0].At), nil
}

// Unfiled is how many receipts are not filed yet. Once the relays of all nodes have ended in order, there is none.
func (o *Outbox) Unfiled(ctx context.Context, tx *store.Tx) (n int64, err error) {
	if err := tx.Get(ctx, &n, `SELECT COUNT(*) FROM outbox_receipts`); err != nil {
		return 0, fmt.Errorf("count the receipts that are not filed: %w", err)
	}
	return n, nil
}

// fileLane does so for one lane, which is locked. Whoever changes a lane by a person's word finds in outbox_messages what it owes and
// nothing else.
func fileLane(ctx context.Context, tx *store.Tx, link, name string) error {
	var ids []int64
	err := tx.Select(ctx, &ids, `SELECT id FROM outbox_receipts WHERE link = ? AND lane = ?`+tx.ForUpdate(), link, name)
	if err == nil {
		err = file(ctx, tx, ids)
	}
	if err != nil {
		return fmt.Errorf("file settled messages of lane %s of link %s: %w", name, link, err)
	}
	return nil
}

// file moves the messages of receipts that are locked.
func file(ctx context.Context, tx *store.Tx, ids []int64) (err error) {
	if len(ids) == 0 {
		return nil
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("file settled messages: %w", err)
		}
	}()
	list := store.Give(store.Col("id", ids))
	const into = `INSERT INTO outbox_delivered (` + kept + `, signature, sends, settled_at, sent_with, document, doc_kind, answer, status, answered, asked, receipt_mac) `
	const with = `signature, sends + 1, settled_at, sent_with, '', doc_kind, NULL, status, answered, FALSE, receipt_mac FROM `
	if tx.Dialect() == store.Postgres {
		_, err := tx.Exec(ctx, `WITH r AS (DELETE FROM outbox_receipts WHERE id = ANY (ARRAY(SELECT g.id FROM `+list.Table(tx, "g")+`)) RETURNING *),
			gone AS (DELETE FROM outbox_messages AS m USING r WHERE `+isReceiptOf+`
				RETURNING m.*, r.settled_at, r.sent_with, r.doc_kind, r.status, r.answered, r.receipt_mac)
			`+into+`SELECT `+kept+`, `+with+`gone`, list.Args(tx)...)
		return err
	}
	receipts := list.Table(tx, "g") + ` CROSS JOIN outbox_receipts AS r ON r.id = g.id`
	messages := receipts + ` CROSS JOIN outbox_messages AS m ON ` + isReceiptOf
	for _, statement := range []string{
		into + `SELECT m.` + strings.ReplaceAll(kept, ", ", ", m.") + `, ` + with + messages,
		`DELETE FROM outbox_messages WHERE rowid IN (SELECT m.rowid FROM ` + messages + `)`,
		`DELETE FROM outbox_receipts WHERE id IN (SELECT g.id FROM ` + list.Table(tx, "g") + `)`,
	} {
		if _, err := tx.Exec(ctx, statement, list.Args(tx)...); err != nil {
			return err
		}
	}
	return nil
}
