package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"holdfast/internal/store"
)

const (
	deepMessages = 1_000_000
	perLane      = 5
	deepest      = 200 // MB resident
)

// depthRow relays 10,000 messages of 1,000,000 that wait, and 10,000 of 10,000, turn by turn, as many to a lane in both.
func depthRow(ctx context.Context, o options) ([]Result, error) {
	b, err := openBroker()
	if err != nil {
		return nil, err
	}
	defer b.close()
	if err := b.declare(); err != nil {
		return nil, err
	}
	deep, err := openYard(ctx, store.Postgres)
	if err != nil {
		return nil, err
	}
	defer deep.close()
	began := time.Now()
	body, n := kilobyte(), o.of(deepMessages)
	if err := deep.stock(ctx, n, n/perLane, body); err != nil {
		return nil, err
	}
	fmt.Fprintf(os.Stderr, "bench: %d messages owed within %s\n", n, time.Since(began).Round(time.Second))
	var highest float64
	shallowName, deepName := fmt.Sprint(o.of(relayMessages), " waiting"), fmt.Sprint(n, " waiting")
	m, err := contest(ctx, o.rounds,
		contestant{shallowName, func(ctx context.Context) (float64, error) {
			shallow, err := openYard(ctx, store.Postgres)
			if err != nil {
				return 0, err
			}
			defer shallow.close()
			if err := shallow.stock(ctx, o.of(relayMessages), o.of(relayMessages)/perLane, body); err != nil {
				return 0, err
			}
			return shallow.relayCold(ctx, b, o.of(relayMessages))
		}},
		contestant{deepName, func(ctx context.Context) (float64, error) {
			f, err := deep.relayCold(ctx, b, o.of(relayMessages))
			if err != nil {
				return 0, err
			}
			mb, err := peak()
			highest = max(highest, mb)
			return f, err
		}},
	)
	if err != nil {
		return nil, err
	}
	memory := plain("highest resident memory meanwhile", "MB", highest)
	memory.Bound, memory.OK = fmt.Sprintf("under %d MB", deepest), highest < deepest
	return []Result{atLeast("outbox → RabbitMQ: "+deepName+" against "+shallowName, "1/s", m[deepName], m[shallowName], 0.9), memory}, nil
}

// relayCold is relayFor by a process that has given its free memory back first, so that the highest is that of the turn alone. What it
// costs to get it again is then paid in every turn.
func (y *yard) relayCold(ctx context.Context, b *broker, n int) (float64, error) {
	if err := forgetPeak(); err != nil {
		return 0, err
	}
	return y.relayFor(ctx, b, n)
}
