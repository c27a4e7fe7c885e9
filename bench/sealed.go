package main

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// sealedRow measures a signature and a seal together against the primitives alone, then has the relay bring messages to RabbitMQ that are
// signed and sealed at rest, and the same that are neither. Both turns are filled by Append, since what is signed and sealed is so there.
func sealedRow(ctx context.Context, o options) ([]Result, error) {
	b, err := openBroker()
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.declare(); err != nil {
		return nil, err
	}
	results, err := sealedBoth(ctx, o)
	if err != nil {
		return nil, err
	}
	for _, dialect := range []store.Dialect{store.SQLite, store.Postgres} {
		turn := func(sealed bool) func(context.Context) (float64, error) {
			return func(ctx context.Context) (float64, error) {
				return sealedTurn(ctx, b, dialect, o.of(relayMessages), sealed)
			}
		}
		name := fmt.Sprintf("signed and sealed → RabbitMQ, %s", dialect)
		m, err := contest(ctx, o.rounds, contestant{name, turn(true)}, contestant{"neither", turn(false)})
		if err != nil {
			return results, fmt.Errorf("%s: %w", dialect, err)
		}
		results = append(results, atLeast(name+", to neither", "1/s", m[name], m["neither"], 0.85))
	}
	return results, nil
}

func sealedTurn(ctx context.Context, b *broker, dialect store.Dialect, n int, sealed bool) (float64, error) {
	y, err := openYard(ctx, dialect)
	if err != nil {
		return 0, err
	}
	defer y.close()
	if sealed {
		ring, _, err := y.keys(ctx)
		if err != nil {
			return 0, err
		}
		y.out.SignWith(ring)
	}
	if err := y.appendAll(ctx, n, max(1, n/5)); err != nil {
		return 0, err
	}
	return y.relayFor(ctx, b, n)
}

// keys has the yard seal what it keeps from now on, and gives what it signs with.
func (y *yard) keys(ctx context.Context) (*seal.Ring, *seal.Rest, error) {
	var rest *seal.Rest
	ring, err := y.withLocal(ctx, func(local *seal.Local) (err error) {
		rest, err = seal.OpenRest(ctx, y.db, local, seal.RestConfig{
			Begin: func(context.Context, *store.Tx) (may, whole bool, err error) { return true, true, nil },
		}, slog.New(slog.DiscardHandler))
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	y.db.SealWith(rest)
	return ring, rest, nil
}

// ring is what a node of the yard signs with.
func (y *yard) ring(ctx context.Context) (*seal.Ring, error) {
	return y.withLocal(ctx, func(*seal.Local) error { return nil })
}

// withLocal makes a keyring, a key by it, and whatever else do takes from it. The keyring is gone then: what was taken stays in memory.
func (y *yard) withLocal(ctx context.Context, do func(*seal.Local) error) (*seal.Ring, error) {
	dir, err := os.MkdirTemp("", "holdfast-bench-keys-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	safe := seal.NewSafe(dir, "bench", seal.Work)
	if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
		return nil, err
	}
	node := seal.NodeURI(benchSource, "bench")
	local := seal.NewLocal(safe, node, 24*time.Hour, time.Now)
	if err := do(local); err != nil {
		return nil, err
	}
	return seal.OpenRing(ctx, y.db, local, nil, node, seal.RingConfig{}, slog.New(slog.DiscardHandler))
}

// appendAll owes n messages of 1 KiB in that many lanes.
func (y *yard) appendAll(ctx context.Context, n, lanes int) error {
	body := kilobyte()
	for from := 0; from < n; from += 500 {
		err := y.db.InTx(ctx, func(tx *store.Tx) error {
			for i := from; i < min(n, from+500); i++ {
				err := y.out.Append(ctx, tx, message.Message{
					ID: fmt.Sprintf("s-%d", i), Kind: benchKind, Version: 1, Key: fmt.Sprintf("o%d", i%lanes), Time: tx.Now, Body: body,
				})
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if y.db.Dialect() != store.Postgres {
		return nil
	}
	return y.db.InTx(ctx, func(tx *store.Tx) error { // the planner must know how many there are
		_, err := tx.Exec(ctx, "ANALYZE")
		return err
	})
}

// sealedBoth measures a message signed and sealed, and verified and opened, against the primitives alone, in µs of processor time.
func sealedBoth(ctx context.Context, o options) ([]Result, error) {
	y, err := openYard(ctx, store.SQLite)
	if err != nil {
		return nil, err
	}
	defer y.close()
	ring, rest, err := y.keys(ctx)
	if err != nil {
		return nil, err
	}
	trust, err := ring.Trust(ctx)
	if err != nil {
		return nil, err
	}
	m := unsigned()
	s, err := ring.SignMessage(m, m.Digest())
	if err != nil {
		return nil, err
	}
	m.Origin = &s
	cell := cellOf(m)
	var kept []byte
	var epoch int64
	err = y.db.InTx(ctx, func(tx *store.Tx) (err error) { kept, epoch, err = rest.Seal(ctx, tx, cell, m.Body); return err })
	if err != nil {
		return nil, err
	}
	give := func(tx *store.Tx) error {
		if _, err := ring.SignMessage(m, m.Digest()); err != nil {
			return err
		}
		_, _, err := rest.Seal(ctx, tx, cell, m.Body)
		return err
	}
	take := func(tx *store.Tx) error {
		body, err := rest.Unseal(ctx, tx, cell, epoch, kept)
		if err != nil {
			return err
		}
		m.Body = body
		_, err = trust.VerifyMessage(m)
		return err
	}
	return y.againstBare(ctx, o, m.Body, give, take)
}

// againstBare has both take turns with the primitives.
func (y *yard) againstBare(ctx context.Context, o options, body []byte, give, take func(*store.Tx) error) ([]Result, error) {
	bare, err := newBare(body)
	if err != nil {
		return nil, err
	}
	n := o.of(5000)
	each := func(do func(tx *store.Tx) error) func(context.Context) (float64, error) {
		return func(ctx context.Context) (float64, error) {
			from := y.spentSoFar(ctx).self
			err := y.db.View(ctx, func(tx *store.Tx) error { // in one transaction, as a commit of many has it
				for range n {
					if err := do(tx); err != nil {
						return err
					}
				}
				return nil
			})
			return (y.spentSoFar(ctx).self - from) / float64(n), err
		}
	}
	const gives, takes, bareGives, bareTakes = "sign and seal 1 KiB", "verify and open 1 KiB", "Ed25519 and AES-GCM give", "Ed25519 and AES-GCM take"
	medians, err := contest(ctx, o.rounds,
		contestant{gives, each(give)}, contestant{bareGives, each(func(*store.Tx) error { bare.give(); return nil })},
		contestant{takes, each(take)}, contestant{bareTakes, each(func(*store.Tx) error { return bare.take() })})
	if err != nil {
		return nil, err
	}
	return []Result{
		atMost(gives+", to the primitives", "µs", medians[gives], medians[bareGives], 2),
		atMost(takes+", to the primitives", "µs", medians[takes], medians[bareTakes], 2),
	}, nil
}

// bare is the primitives alone.
type bare struct {
	private         ed25519.PrivateKey
	aead            cipher.AEAD
	body, sig, kept []byte
}

func newBare(body []byte) (*bare, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(private.Seed())
	if err != nil {
		return nil, err
	}
	b := &bare{private: private, body: body}
	if b.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
		return nil, err
	}
	b.sig, b.kept = b.give()
	return b, nil
}

func (b *bare) give() (sig, kept []byte) {
	return ed25519.Sign(b.private, b.body), b.aead.Seal(nil, nil, b.body, nil)
}

func (b *bare) take() error {
	if !ed25519.Verify(b.private.Public().(ed25519.PublicKey), b.body, b.sig) { //nolint:forcetypeassert // it is one
		return errors.New("the signature is not good")
	}
	_, err := b.aead.Open(nil, nil, b.kept, nil)
	return err
}

// cellOf is one such as the outbox has for a message, with a lane's own secret.
func cellOf(m message.Message) store.Cell {
	return store.Cell{
		Table: "outbox_messages", Row: m.ID, Own: make([]byte, 32),
		Bound: [][]byte{
			[]byte(m.Link), []byte(m.Lane), []byte("1/7"), []byte(m.Role), nil, []byte(m.Prev), []byte(m.Digest()), m.Origin.Bytes(),
		},
	}
}
