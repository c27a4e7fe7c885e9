package main

import (
	"context"
	"errors"
	"fmt"

	"holdfast/internal/audit"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/prove"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// mostTold is how many mistakes of a copy's lanes are told.
const mostTold = 20

// lanesOf checks the lanes in a database that was restored on trial, as holdfast msg prove does the plant's: their numbers, what each message follows,
// what the audit record holds of them, and the signature of origin of every message. by is nil in a plant without keys. One that is not signed yet,
// since no key counted when it was committed, is signed before it leaves.
func (c Config) lanesOf(by *seal.Trust) func(ctx context.Context, restored *store.DB) error {
	return func(ctx context.Context, restored *store.DB) error {
		if by != nil {
			c.sealLazily(restored)
		}
		return restored.View(ctx, func(tx *store.Tx) error { return lanesIn(ctx, tx, by) })
	}
}

func lanesIn(ctx context.Context, tx *store.Tx, by *seal.Trust) error {
	look := func(d outbox.Detail) error {
		if by == nil || d.Origin == nil && !d.Garbled {
			return nil
		}
		_, err := by.Genuine(d.Message)
		return err
	}
	_, macs, err := audit.ReceiptsSince(ctx, tx)
	if err != nil {
		return err
	}
	out := outbox.New(nil, "", outbox.Config{})
	lost, err := prove.Held(ctx, tx, out, "", "")
	if err != nil {
		return err
	}
	ends, err := out.Ends(ctx, tx, "", "")
	if err != nil {
		return err
	}
	var wrong []error
	for _, l := range lost {
		wrong = append(wrong, wrongInCopy(l.Link, l.Lane, l.Defect))
	}
	for _, e := range ends {
		if len(wrong) >= mostTold {
			break
		}
		defects, err := prove.Order(ctx, tx, out, e, macs, look)
		if err != nil {
			return err
		}
		for _, d := range defects {
			wrong = append(wrong, wrongInCopy(e.Link, e.Lane, d))
		}
	}
	return errors.Join(wrong[:min(len(wrong), mostTold)]...)
}

func wrongInCopy(link, lane string, d prove.Defect) error {
	return &problem.Error{
		Kind: problem.Integrity, What: fmt.Sprintf("number %d of lane %s of link %s in the copy", d.Number, lane, link), Why: d.What,
		Hint: "the plant had it so when it was copied: look with holdfast msg prove --all, and verify an older copy",
	}
}
