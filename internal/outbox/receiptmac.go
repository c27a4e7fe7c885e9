package outbox

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"fmt"
	"strconv"
	"time"
	"unicode/utf8"

	"holdfast/internal/audit"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// How long a kept MAC of a receipt is: the epoch of its key and the MAC, for a run with the first and last number between.
const (
	macOfOne = 8 + sha256.Size
	macOfRun = 8 + 16 + sha256.Size
)

// cellOfReceipt is all that is kept of one delivery beside the message: who changes any of it, or puts it to another message, breaks its MAC.
func cellOfReceipt(d Detail) store.Cell {
	r := d.Receipt
	place := fmt.Appendf(nil, "%d/%d/%d", d.Epoch, d.Number, d.Redelivery)
	var answer []byte
	if len(r.Answer) > 0 {
		sum := sha256.Sum256(r.Answer)
		answer = sum[:]
	}
	return store.Cell{
		Table: "outbox_delivered.receipt", Row: d.ID,
		Bound: [][]byte{
			[]byte(d.Link), place, kept8(d.SentWith), kept8(r.Document), kept8(r.Kind), answer, strconv.AppendInt(nil, int64(r.Status), 10), keptAt(r.At),
			strconv.AppendBool(nil, r.Asked), kept8(r.Signed), kept8(d.Refused), strconv.AppendInt(nil, store.Micros(d.SettledAt), 10),
		},
	}
}

// cellOfRun is all that is kept of one receipt of several messages of a lane.
func cellOfRun(d Detail, first, last int64) store.Cell {
	r := d.Receipt
	return store.Cell{
		Table: "outbox_receipts", Row: d.Lane,
		Bound: [][]byte{
			[]byte(d.Link), fmt.Appendf(nil, "%d/%d/%d", d.Epoch, first, last), kept8(d.SentWith), kept8(r.Kind), strconv.AppendInt(nil, int64(r.Status), 10),
			keptAt(r.At), strconv.AppendInt(nil, store.Micros(d.SettledAt), 10),
		},
	}
}

// kept8 is a text as it is read again: JSON, as which it travels on SQLite, has U+FFFD for each byte that is not UTF-8.
func kept8(s string) []byte {
	if utf8.ValidString(s) {
		return []byte(s)
	}
	return []byte(string([]rune(s)))
}

// keptAt is a time with its zone as it is read again.
func keptAt(at time.Time) []byte {
	if at.IsZero() {
		return nil
	}
	return at.AppendFormat(nil, time.RFC3339Nano)
}

// detail is d as Detail will have it once it is settled, as far as cellOfReceipt and cellOfRun look at it.
func (d Done) detail(link, lane string, at time.Time) Detail {
	p := Detail{SettledAt: at, Redelivery: d.Redelivery, SentWith: d.SentWith, Receipt: d.Receipt}
	p.ID, p.Link, p.Lane, p.Epoch, p.Number = d.ID, link, lane, d.Epoch, d.Number
	return p
}

// macs tells whether receipts bear MACs. A command makes some only once entries of the audit record have theirs, for which it has opened the keyring
// before: none may be waited for in a transaction.
func (o *Outbox) macs(ctx context.Context, tx *store.Tx) (bool, error) {
	if !tx.Seals() || o.signer != nil {
		return tx.Seals(), nil
	}
	return audit.HasMACs(ctx, tx)
}

// macOf is the MAC of a receipt as it is kept, nil where the plant makes none or its keys are not at hand. A receipt is kept all the same.
func (o *Outbox) macOf(ctx context.Context, tx *store.Tx, c store.Cell, between ...int64) ([]byte, error) {
	if is, err := o.macs(ctx, tx); err != nil || !is {
		return nil, err
	}
	mac, epoch, err := tx.MAC(ctx, c)
	if problem.KindOf(err) == problem.Unavailable {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("authenticate a receipt: %w", err)
	}
	out := binary.BigEndian.AppendUint64(make([]byte, 0, macOfRun), uint64(epoch)) //nolint:gosec // read back as it is
	for _, n := range between {
		out = binary.BigEndian.AppendUint64(out, uint64(n)) //nolint:gosec // read back as it is
	}
	return append(out, mac...), nil
}

// vouch is the MAC of what nobody would believe without one: where entries of the audit record have theirs, and no key is at hand, it is an error of kind
// Unavailable instead of nil.
func (o *Outbox) vouch(ctx context.Context, tx *store.Tx, c store.Cell, what string) ([]byte, error) {
	mac, err := o.macOf(ctx, tx, c)
	if mac != nil || err != nil {
		return mac, err
	}
	if is, err := audit.HasMACs(ctx, tx); err != nil || !is {
		return nil, err
	}
	return nil, &problem.Error{
		Kind: problem.Unavailable, What: what, Why: "the plant's keyring is not at hand, and nobody would believe it", Hint: "bring the keyring back; until then it waits",
	}
}

// vouches tells whether all that vouch is for has a MAC that counts.
func (o *Outbox) vouches(ctx context.Context, tx *store.Tx) (bool, error) {
	if is, err := o.macs(ctx, tx); is || err != nil {
		return is, err
	}
	return audit.HasMACs(ctx, tx)
}

// genuine tells whether the plant has made a MAC, as macOf gives it, of a cell.
func genuine(ctx context.Context, tx *store.Tx, c store.Cell, mac []byte) (bool, error) {
	if len(mac) != macOfOne {
		return false, nil
	}
	err := tx.CheckMAC(ctx, c, int64(binary.BigEndian.Uint64(mac)), mac[8:]) //nolint:gosec // as macOf has written it
	if k := problem.KindOf(err); k == problem.Integrity || k == problem.NotFound {
		return false, nil
	}
	return err == nil, err
}

// CheckReceipt is an error of kind Integrity if what is kept of a delivery beside the message is not what the plant has written. has tells whether it
// bears a MAC; without one nothing is known.
func (o *Outbox) CheckReceipt(ctx context.Context, tx *store.Tx, d Detail) (has bool, err error) {
	if len(d.ReceiptMAC) == 0 {
		return false, nil
	}
	number := func(at int) int64 { return int64(binary.BigEndian.Uint64(d.ReceiptMAC[at:])) } //nolint:gosec // as macOf has written it
	r := d.Receipt
	switch len(d.ReceiptMAC) {
	case macOfOne:
		if !d.AnswerLost {
			return true, tx.CheckMAC(ctx, cellOfReceipt(d), number(0), d.ReceiptMAC[8:])
		}
	case macOfRun:
		first, last := number(8), number(16)
		nothing := r.Document == "" && len(r.Answer) == 0 && !d.AnswerLost && !r.Asked && r.Signed == "" && d.Refused == ""
		if nothing && d.Redelivery == 0 && d.Number >= first && d.Number <= last {
			return true, tx.CheckMAC(ctx, cellOfRun(d, first, last), number(0), d.ReceiptMAC[24:])
		}
	}
	return true, &problem.Error{
		Kind: problem.Integrity, What: "check the receipt of message " + d.ID, Why: "it is not what stood there", Hint: "the database was altered behind Holdfast: find out by whom",
	}
}

// rewrite changes what is kept of deliveries beside their messages. Each bears a MAC of what it becomes if it was what its MAC says; of one that somebody
// has altered, or that has none, the MAC stays as it is.
func (o *Outbox) rewrite(ctx context.Context, tx *store.Tx, rows []full, change func(*full)) error {
	for i := range rows {
		f := &rows[i]
		if err := f.openAnswer(ctx, tx); err != nil {
			return err
		}
		was := f.detail(tx)
		change(f)
		var err error
		if f.ReceiptMAC, err = o.macAfter(ctx, tx, was, f.detail(tx)); err != nil {
			return err
		}
		n, err := tx.Exec(ctx, `UPDATE outbox_delivered SET document = ?, doc_kind = ?, answered = ?, refused = ?, receipt_mac = ?
			WHERE link = ? AND lane = ? AND epoch = ? AND number = ? AND redelivery = ?`,
			f.Document, f.DocKind, f.Answered, f.Refused, f.ReceiptMAC, f.Link, f.Lane, f.Epoch, f.Number, f.Redelivery)
		if err != nil || n != 1 {
			return fmt.Errorf("write what is kept of the delivery of message %s (%d): %w", f.ID, n, cmp.Or(err, sql.ErrNoRows))
		}
	}
	return nil
}

// macAfter is the MAC that a receipt bears once it was has become is.
func (o *Outbox) macAfter(ctx context.Context, tx *store.Tx, was, is Detail) ([]byte, error) {
	if len(was.ReceiptMAC) == 0 {
		return nil, nil
	}
	if makes, err := o.macs(ctx, tx); err != nil || !makes {
		return nil, err
	}
	_, err := o.CheckReceipt(ctx, tx, was)
	if k := problem.KindOf(err); k == problem.Integrity || k == problem.NotFound {
		return was.ReceiptMAC, nil
	}
	if err != nil {
		return nil, err
	}
	return o.macOf(ctx, tx, cellOfReceipt(is))
}

// openAnswer has the answer of the ERP as it was given; of one that was altered there is none.
func (f *full) openAnswer(ctx context.Context, tx *store.Tx) (err error) {
	text, err := tx.Unseal(ctx, cellOfAnswer(f.ID, f.Redelivery), f.AnswerBy, f.Answer)
	if problem.KindOf(err) == problem.Integrity {
		f.Answer, f.AnswerLost = nil, true
		return nil
	}
	f.Answer = text
	return err
}
