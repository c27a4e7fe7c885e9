package main

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/audit"
	"holdfast/internal/backup"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// mostTold is how many mistakes of a copy's lanes are told.
const mostTold = 20

// lanesOf checks the lanes in a database that was restored, as holdfast msg prove does the plant's: their numbers, what each message follows,
// what the audit record holds of them, and, where it is known whose count, the signature of origin of every message. One that is not signed yet,
// since no key counted when it was committed, is signed before it leaves. Without the plant's keyring what was noted as purged is believed, and of what is
// sealed no signature is checked, since the message is what it is over.
func (c Config) lanesOf() func(ctx context.Context, restored *store.DB, by backup.Trust) (int64, error) {
	return func(ctx context.Context, restored *store.DB, by backup.Trust) (whole int64, err error) {
		c.sealLazily(restored)
		trust, _ := by.(*seal.Trust)
		err = restored.View(ctx, func(tx *store.Tx) (err error) {
			whole, err = lanesIn(ctx, tx, trust, c.Keys.Kind != "")
			return err
		})
		return whole, err
	}
}

// lanesIn counts the lanes that are whole. by is nil where nobody knows whose signatures count.
func lanesIn(ctx context.Context, tx *store.Tx, by *seal.Trust, keys bool) (whole int64, err error) {
	look := func(d outbox.Detail) error {
		if by == nil || !keys && d.Sealed || d.Origin == nil && !d.Garbled {
			return nil
		}
		_, err := by.Genuine(d.Message)
		return err
	}
	macs := false
	if keys {
		if _, macs, err = audit.ReceiptsSince(ctx, tx); err != nil {
			return 0, err
		}
	}
	out := outbox.New(nil, "", outbox.Config{})
	lost, err := prove.Held(ctx, tx, out, "", "")
	if err != nil {
		return 0, err
	}
	ends, err := out.Ends(ctx, tx, "", "")
	if err != nil {
		return 0, err
	}
	var wrong []error
	broken := map[[2]string]bool{}
	for _, l := range lost {
		wrong, broken[[2]string{l.Link, l.Lane}] = append(wrong, wrongInCopy(l.Link, l.Lane, l.Defect)), true
	}
	for _, e := range ends {
		defects, err := prove.Order(ctx, tx, out, e, prove.Looks{MACs: macs, Shut: !keys, Look: look})
		if err != nil {
			return 0, err
		}
		for _, d := range defects {
			wrong = append(wrong, wrongInCopy(e.Link, e.Lane, d))
		}
		if len(defects) == 0 && !broken[[2]string{e.Link, e.Lane}] {
			whole++
		}
	}
	return whole, errors.Join(wrong[:min(len(wrong), mostTold)]...)
}

func wrongInCopy(link, lane string, d prove.Defect) error {
	return &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("number %d of lane %s of link %s in the copy", d.Number, lane, link), Why: d.What,
		Hint: "the plant had it so when it was copied: look with holdfast msg prove --all, and verify an older copy",
	}
}
