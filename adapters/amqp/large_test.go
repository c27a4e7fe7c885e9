package amqp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"testing"

	"holdfast/adapters/adaptertest"
	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
)

// inMemory keeps a body as package body would.
type inMemory []byte

func (b inMemory) Open(context.Context) (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b)), nil
}

// TestALargeBodyGoesThroughABroker sends one over what a row takes, and one of many frames, to a queue and takes them out of it.
func TestALargeBodyGoesThroughABroker(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Receive = &Receive{Queue: queue}
	l := open(t, b, c)
	got := make(chan message.Incoming)
	stop := running(t, l, func(ctx context.Context, batch []message.Incoming) error {
		for _, in := range batch {
			select {
			case got <- in:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	defer stop()
	for _, size := range []int{256<<10 + 1, 20 << 20} {
		body := bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size]
		m := sample("large")
		m.Body, m.Large = nil, &message.Large{Digest: sha256.Sum256(body), Size: int64(size), Kept: inMemory(body)}
		v, err := message.Verify(t.Context(), adaptertest.Trust{}, m)
		if err != nil {
			t.Fatal(err)
		}
		if o := l.Deliver(t.Context(), []message.Delivery{{Event: v}})[0]; o.Verdict != message.Delivered {
			t.Fatalf("%d bytes: %v", size, o)
		}
		in := <-got
		if in.ID != "large" || !bytes.Equal(in.Body, body) || in.Claimed != m.Digest() {
			t.Errorf("%d bytes came as %d of %s, and claim to be %s, want %s", size, len(in.Body), in.ID, in.Claimed, m.Digest())
		}
	}
}
