package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// ReceiptsBegin is the action of the entry from which on the receipt of each delivered message has a MAC under a key of the plant's keyring. What has none
// and is of a message that was made later was put in.
const ReceiptsBegin = "receipts.macs"

// receiptsBegun is what such an entry says, or that of MACsBegin where both began at once.
type receiptsBegun struct {
	All bool `json:"all"` // all that was delivered before has one too
}

// ReceiptsUnbegun tells whether receipts may begin to have MACs: nothing says that they have, and no entry was removed that could have said so. That is an error of
// kind Integrity: what somebody has put in by then would count as from before.
func ReceiptsUnbegun(ctx context.Context, tx *store.Tx) (bool, error) {
	_, begun, err := receiptsSaid(ctx, tx)
	if err != nil || begun != nil {
		return false, err
	}
	is, err := HasMACs(ctx, tx)
	if err != nil || !is {
		return err == nil, err
	}
	whole, err := chainsWhole(ctx, tx)
	if err == nil && !whole {
		err = begunBefore("receipts")
	}
	return err == nil, err
}

// begunBefore is why MACs are not begun with.
func begunBefore(of string) error {
	return &problem.Error{
		Kind: problem.Integrity, What: "begin to give " + of + " MACs", Why: "the audit record is not as it was written, so that they may have had some before",
		Hint: "ALARM: somebody has altered it, so that what is forged counts as from before they had any: holdfast audit verify tells more; put back a backup",
	}
}

// BeginReceipts says that each receipt has a MAC from now on, where entries have MACs and none has said so yet: who calls it has asked ReceiptsUnbegun, before
// this transaction, since that reads the whole record. begin does what is to be done for that in their transaction, and tells whether there are receipts that have none.
func BeginReceipts(ctx context.Context, tx *store.Tx, actor string, begin func(ctx context.Context, tx *store.Tx) (without bool, err error)) error {
	if is, err := HasMACs(ctx, tx); err != nil || !is {
		return err
	}
	_, begun, err := receiptsSaid(ctx, tx)
	if err != nil || begun != nil {
		return err
	}
	begun, err = receiptsFrom(ctx, tx, begin)
	if err != nil {
		return err
	}
	text, err := json.Marshal(begun)
	if err != nil {
		return fmt.Errorf("begin to give receipts MACs: %w", err)
	}
	return Append(ctx, tx, Entry{Actor: actor, Action: ReceiptsBegin, Object: record, After: text})
}

// receiptsFrom is what the entry says that begins with them now. No node looks for that any more.
func receiptsFrom(ctx context.Context, tx *store.Tx, begin func(ctx context.Context, tx *store.Tx) (without bool, err error)) (*receiptsBegun, error) {
	without, err := begin(ctx, tx)
	var at treeRow
	if err == nil {
		err = treeGone(tx.Get(ctx, &at, selectTree+tx.ForUpdate()))
	}
	if err == nil {
		at.Receipts = 0
		err = at.write(ctx, tx)
	}
	if err != nil {
		return nil, fmt.Errorf("begin to give receipts MACs: %w", err)
	}
	return &receiptsBegun{All: !without}, nil
}

// ReceiptsSince is since when messages are made of which each receipt has a MAC; is tells whether that was begun. The zero time is from the first on: also
// where the record was altered, so that it does not tell whether it was begun.
func ReceiptsSince(ctx context.Context, tx *store.Tx) (since time.Time, is bool, err error) {
	if is, err = HasMACs(ctx, tx); err != nil || !is {
		return since, false, err
	}
	at, begun, err := receiptsSaid(ctx, tx)
	switch {
	case err != nil:
		return since, false, err
	case begun == nil:
		whole, err := chainsWhole(ctx, tx)
		return since, err == nil && !whole, err
	case !begun.All:
		since = at
	}
	return since, true, nil
}

// Since is ReceiptsSince for who asks often: where nothing says that receipts have MACs the whole record is read for the answer, but every ten minutes.
// It is safe for use by many goroutines.
type Since struct {
	mu    sync.Mutex
	asked time.Time // guarded by mu, as what follows
	since time.Time
	is    bool
}

// Receipts is ReceiptsSince, as it was at most ten minutes ago.
func (s *Since) Receipts(ctx context.Context, tx *store.Tx) (since time.Time, is bool, err error) {
	begun, err := ReceiptsBegun(ctx, tx)
	if err != nil {
		return since, false, err
	}
	if begun {
		return ReceiptsSince(ctx, tx)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.asked.IsZero() || tx.Now.Sub(s.asked).Abs() >= patience {
		if since, is, err = ReceiptsSince(ctx, tx); err != nil {
			return since, false, err
		}
		s.asked, s.since, s.is = tx.Now, since, is
	}
	return s.since, s.is, nil
}

// ReceiptsBegun tells whether an entry that the plant has written says that they have MACs. That there is none proves nothing: see ReceiptsSince.
func ReceiptsBegun(ctx context.Context, tx *store.Tx) (bool, error) {
	_, is, err := ReceiptsBegunAt(ctx, tx)
	return is, err
}

// ReceiptsBegunAt is ReceiptsBegun, and when that entry was written.
func ReceiptsBegunAt(ctx context.Context, tx *store.Tx) (at time.Time, is bool, err error) {
	at, begun, err := receiptsSaid(ctx, tx)
	return at, begun != nil, err
}

// receiptsSaid is what the earliest entry says that was written by the plant and begins with them, and when; nil if there is none.
func receiptsSaid(ctx context.Context, tx *store.Tx) (at time.Time, begun *receiptsBegun, err error) {
	var rows []row
	var away error // of an entry whose key is not at hand: it may have been put in, so that another one counts all the same
	err = tx.Select(ctx, &rows, selectEntries+` WHERE object = ? AND action IN (?, ?) ORDER BY seq`, record, MACsBegin, ReceiptsBegin)
	if err != nil {
		return at, nil, fmt.Errorf("read since when receipts have MACs: %w", err)
	}
	for _, r := range rows {
		good, err := r.genuine(ctx, tx)
		if problem.KindOf(err) == problem.Unavailable {
			away = err
			continue
		}
		if err != nil {
			return at, nil, err
		}
		if !good {
			continue
		}
		if r.Action == ReceiptsBegin {
			begun = &receiptsBegun{}
			err = json.Unmarshal(r.New, begun)
		} else {
			var said macsBegun
			err = json.Unmarshal(r.New, &said)
			begun = said.Receipts
		}
		if err != nil {
			return at, nil, fmt.Errorf("read audit entry %d: %w", r.Seq, err)
		}
		if begun != nil {
			return store.FromMicros(r.At), begun, nil
		}
	}
	return at, nil, away
}

// genuine tells whether an entry has a MAC of the plant's.
func (r row) genuine(ctx context.Context, tx *store.Tx) (bool, error) {
	if r.Chain == 0 || len(r.MAC) == 0 {
		return false, nil
	}
	cell, err := r.cell(r.entry())
	if err == nil {
		err = tx.CheckMAC(ctx, cell, r.Epoch, r.MAC)
	}
	if k := problem.KindOf(err); k == problem.Integrity || k == problem.NotFound {
		return false, nil
	}
	return err == nil, err
}

// Genuine are the entries of what was done by an action to an object, as far as the plant has written them, the earliest first. Unavailable while one cannot
// be judged.
func Genuine(ctx context.Context, tx *store.Tx, action, object string) ([]Entry, error) {
	list, open, err := Judged(ctx, tx, action, object)
	if err == nil {
		err = open.Why
	}
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Open are entries of which nobody can tell whether the plant has written them, for want of a key: each may have been put in.
type Open struct {
	Entries []Entry
	Why     error // of the last of them; nil if there are none
}

// Judged is Genuine for who can do without an entry that cannot be judged. An entry without a MAC is believed where none has one, or where it had its place
// before they began, and the plant says since then what was there.
func Judged(ctx context.Context, tx *store.Tx, action, object string) (list []Entry, open Open, err error) {
	var rows []row
	err = tx.Select(ctx, &rows, selectEntries+` WHERE object = ? AND action = ? AND outcome = ? ORDER BY seq`, object, action, Done)
	if err != nil || len(rows) == 0 {
		return nil, open, err
	}
	good, unsure, away, err := written(ctx, tx, rows)
	if err != nil {
		return nil, open, fmt.Errorf("read the audit entries of %s %s: %w", action, object, err)
	}
	for _, r := range good {
		list = append(list, r.entry())
	}
	for _, r := range unsure {
		open.Entries = append(open.Entries, r.entry())
		open.Why = fmt.Errorf("read the audit entries of %s %s: %w", action, object, away)
	}
	return list, open, nil
}

// written are those of the entries that the plant has written: one without a MAC is believed where none has one, or where it had its place before they
// began. unsure are those that cannot be judged, as the key is not at hand, which away tells of.
func written(ctx context.Context, tx *store.Tx, rows []row) (good, unsure []row, away, err error) {
	if len(rows) == 0 {
		return nil, nil, nil, nil
	}
	macs, err := HasMACs(ctx, tx)
	if err == nil && !macs {
		err = tx.Get(ctx, &macs, selectHad, record, MACsBegin) // somebody has taken away what says so
	}
	if err != nil || !macs {
		return rows, nil, nil, err
	}
	for _, r := range rows {
		is := false
		if r.Chain == 0 {
			is, err = r.before(ctx, tx)
		} else {
			is, err = r.genuine(ctx, tx)
		}
		switch {
		case problem.KindOf(err) == problem.Unavailable:
			unsure, away = append(unsure, r), err
		case err != nil:
			return nil, nil, nil, err
		case is:
			good = append(good, r)
		}
	}
	return good, unsure, away, nil
}

// before tells whether an entry had its place before MACs began, by an entry of MACsBegin that the plant has written, and whether it is what was there then:
// who can write the database can write any place for it, and any hash of the tree.
func (r row) before(ctx context.Context, tx *store.Tx) (bool, error) {
	var own []int64
	var away error
	if err := tx.Select(ctx, &own, selectPlace, r.Seq); err != nil || len(own) == 0 {
		return false, err
	}
	var rows []row
	if err := tx.Select(ctx, &rows, selectEntries+` WHERE object = ? AND action = ? AND chain > 0 ORDER BY seq`, record, MACsBegin); err != nil {
		return false, err
	}
	for _, m := range rows {
		good, err := m.genuine(ctx, tx)
		if problem.KindOf(err) == problem.Unavailable {
			away = err
			continue
		}
		if err != nil {
			return false, err
		}
		if !good {
			continue
		}
		var said macsBegun
		if err := json.Unmarshal(m.New, &said); err != nil {
			return false, fmt.Errorf("read audit entry %d: %w", m.Seq, err)
		}
		switch {
		case own[0] >= said.WithoutMAC:
			return false, nil
		case said.Root != tlog.Hash{}:
			return r.at(ctx, tx, own[0], Mark{Size: said.WithoutMAC, Root: said.Root})
		}
		return r.remembered(ctx, tx, own[0], m.Seq)
	}
	return false, away
}

// remembered tells whether an entry is at a place by the first checkpoint over it that the record remembers since another entry, of which
// the plant says so by a MAC: where MACs began with an earlier release, which did not say what was there by then.
func (r row) remembered(ctx context.Context, tx *store.Tx, leaf, since int64) (bool, error) {
	var away error
	for after, more := since, true; more; {
		var rows []row
		err := tx.Select(ctx, &rows, selectEntries+` WHERE object = ? AND action = ? AND old IS NOT NULL AND chain > 0 AND seq > ? ORDER BY seq LIMIT 100`, lanes, LanesMoved, after)
		if err != nil {
			return false, err
		}
		for _, e := range rows {
			after = e.Seq
			good, err := e.genuine(ctx, tx)
			if problem.KindOf(err) == problem.Unavailable {
				away = err
			} else if err != nil {
				return false, err
			}
			if m, is, err := e.entry().Mark(); good && is && err == nil && m.Size > leaf {
				return r.at(ctx, tx, leaf, m)
			}
		}
		more = len(rows) == 100
	}
	return false, away
}

// at tells whether an entry is what a tree has at a place.
func (r row) at(ctx context.Context, tx *store.Tx, leaf int64, of Mark) (bool, error) {
	h, err := r.entry().hash()
	if err != nil {
		return false, nil //nolint:nilerr // it is not text, and was never written by Holdfast
	}
	path, err := tlog.ProveRecord(of.Size, leaf, stored(ctx, tx))
	if problem.KindOf(err) == problem.Integrity {
		return false, nil
	}
	return err == nil && tlog.CheckRecord(path, of.Size, of.Root, leaf, h) == nil, err
}

// chainsWhole tells whether every entry since they have MACs is there as it was written, of a record whose entries have MACs.
func chainsWhole(ctx context.Context, tx *store.Tx) (bool, error) {
	m := newMACs(false)
	for after, more := int64(0), true; more; {
		var rows []row
		if err := tx.Select(ctx, &rows, selectEntries+` WHERE seq > ? ORDER BY seq LIMIT ?`, after, atOnce); err != nil {
			return false, fmt.Errorf("read audit entries: %w", err)
		}
		for _, r := range rows {
			wrong, _, err := m.judge(ctx, tx, r)
			if k := problem.KindOf(err); wrong != "" || k == problem.Integrity || k == problem.NotFound {
				return false, nil
			}
			if err != nil {
				return false, err
			}
			after = r.Seq
		}
		more = len(rows) == atOnce
	}
	wrong, err := m.heads(ctx, tx)
	return len(wrong) == 0 && m.began, err
}
