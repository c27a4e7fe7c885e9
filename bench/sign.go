package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// signRow measures what signatures cost: a message signed and checked against the primitives alone, then appends with and without. All in
// processor time, which other work on the machine disturbs least.
func signRow(ctx context.Context, o options) ([]Result, error) {
	results, err := signPrimitives(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, dialect := range []store.Dialect{store.SQLite, store.Postgres} {
		got, err := signAppends(ctx, o, dialect)
		if err != nil {
			return results, fmt.Errorf("%s: %w", dialect, err)
		}
		results = append(results, got)
	}
	return results, nil
}

// atMost is a figure that must not exceed a multiple of its measure.
func atMost(name, unit string, value, reference, wanted float64) Result {
	return Result{
		Name: name, Unit: unit, Value: value, Reference: reference, Ratio: value / reference, Wanted: wanted,
		Bound: fmt.Sprintf("at most %g ×", wanted), OK: value <= wanted*reference, At: time.Now().UTC(),
	}
}

// unsigned is a message of 1 KiB in a lane that is not signed yet.
func unsigned() message.Message {
	return message.Message{
		ID: outbox.MessageID(benchLink, "event"), Source: benchSource, Kind: benchKind, Version: 1, Key: "order1", Time: time.Now(), Body: kilobyte(),
		Place: message.Place{Link: benchLink, Lane: "order1", Epoch: 1, Number: 7, Prev: fmt.Sprintf("%064x", 1), Role: message.Event},
	}
}

func signPrimitives(ctx context.Context, o options) ([]Result, error) {
	y, err := openYard(ctx, store.SQLite)
	if err != nil {
		return nil, err
	}
	defer y.close()
	ring, err := y.ring(ctx)
	if err != nil {
		return nil, err
	}
	trust, err := ring.Trust(ctx)
	if err != nil {
		return nil, err
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	m := unsigned()
	digest, bare := m.Digest(), ed25519.Sign(private, m.Body)
	s, err := ring.SignMessage(m, digest)
	if err != nil {
		return nil, err
	}
	m.Origin = &s
	n := o.of(5000)
	each := func(do func() error) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			from := y.spentSoFar(ctx).self
			for range n {
				if err := do(); err != nil {
					return 0, err
				}
			}
			return (y.spentSoFar(ctx).self - from) / float64(n), nil
		}
	}
	const sign, check = "sign a message of 1 KiB", "verify a message of 1 KiB"
	medians, err := contest(ctx, o.rounds,
		contestant{sign, each(func() error { _, err := ring.SignMessage(m, digest); return err })},
		contestant{"Ed25519 sign", each(func() error { ed25519.Sign(private, m.Body); return nil })},
		contestant{check, each(func() error { _, err := trust.VerifyMessage(m); return err })},
		contestant{"Ed25519 verify", each(func() error { ed25519.Verify(public, m.Body, bare); return nil })})
	if err != nil {
		return nil, err
	}
	return []Result{
		atMost(sign+", to Ed25519 alone", "µs", medians[sign], medians["Ed25519 sign"], 2),
		atMost(check+", to Ed25519 alone", "µs", medians[check], medians["Ed25519 verify"], 2),
	}, nil
}

// signAppends has the same writers append with keys and without, in turns on one database.
func signAppends(ctx context.Context, o options, dialect store.Dialect) (Result, error) {
	y, err := openYard(ctx, dialect)
	if err != nil {
		return Result{}, err
	}
	defer y.close()
	ring, err := y.ring(ctx)
	if err != nil {
		return Result{}, err
	}
	if err := y.db.InTx(ctx, func(tx *store.Tx) error { _, err := tx.Exec(ctx, businessTable); return err }); err != nil {
		return Result{}, err
	}
	with := newOutbox("")
	with.SignWith(ring)
	body, turn, without := kilobyte(), 0, y.out
	cost := func(out *outbox.Outbox) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			turn++
			y.out = out
			from := y.spentSoFar(ctx)
			began := time.Now()
			rate, err := appendRate(ctx, 8, func(ctx context.Context, id, lane string) error {
				return y.owe(ctx, fmt.Sprintf("%d-%s", turn, id), lane, body)
			})
			n := rate * time.Since(began).Seconds()
			now := y.spentSoFar(ctx)
			return (now.self + now.database - from.self - from.database) / max(1, n), err
		}
	}
	name := fmt.Sprintf("append signed, %s, 8 writers", dialect)
	medians, err := contest(ctx, o.rounds, contestant{name, cost(with)}, contestant{"unsigned", cost(without)})
	if err != nil {
		return Result{}, err
	}
	told := plain(name+", to unsigned", "µs of processor", medians[name])
	told.Reference, told.Ratio = medians["unsigned"], medians[name]/medians["unsigned"]
	return told, nil
}
