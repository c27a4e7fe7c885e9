package outbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// curve is a body of about so many bytes, as a measurement series is.
func curve(size int) []byte {
	return []byte(`{"curve":[` + strings.Repeat("1.25,", size/5) + `0]}`)
}

// oweBody appends a message with a body.
func oweBody(b box, id, key string, text []byte) {
	b.t.Helper()
	m := event(id, key)
	m.Body = text
	b.do(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, m) })
}

// whole is the body of a message, wherever it stands.
func whole(t *testing.T, m message.Message) []byte {
	t.Helper()
	r, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// bodies is how many large ones are kept once the sweep had its time.
func (b box) bodies() (n int) {
	b.t.Helper()
	b.clock.forward(2 * body.Loose)
	if _, err := body.Sweep(b.t.Context(), b.db); err != nil {
		b.t.Fatal(err)
	}
	b.do(func(ctx context.Context, tx *store.Tx) error { return tx.Get(ctx, &n, `SELECT COUNT(*) FROM bodies`) })
	return n
}

func (b box) purge(want int64) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) error {
		n, err := b.Purge(ctx, tx, 100)
		if n != want {
			b.t.Errorf("purged %d, want %d", n, want)
		}
		return err
	})
}

func TestALargeBodyStandsBesideItsMessage(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		for _, size := range []int{100, body.DefaultInline - 20, body.DefaultInline + 20, 3 << 20} {
			b.Outbox = everything(outbox.Config{})
			text := curve(size)
			id := string(rune('a' + len(text)%26))
			oweBody(b, id, "o1", text)
			c := b.claim("n1", 1, 1)[0]
			q := c.Messages[0]
			if got, want := q.Large != nil, len(text) > body.DefaultInline; got != want || q.Size() != int64(len(text)) {
				t.Errorf("%d bytes: beside the message: %t of %d bytes, want %t", len(text), got, q.Size(), want)
			}
			inMemory := q.Message
			inMemory.Body, inMemory.Large = text, nil
			if q.Stored != inMemory.Digest() {
				t.Errorf("%d bytes: the digest is not that of the body in memory", len(text))
			}
			if _, err := message.Verify(t.Context(), seal.Chain(q.Stored), q.Message); err != nil {
				t.Error(err)
			}
			if !bytes.Equal(whole(t, q.Message), text) {
				t.Errorf("%d bytes came back otherwise", len(text))
			}
			b.settle(done(c, 1))
			if d := b.message(id); !d.Settled || !bytes.Equal(whole(t, d.Message), text) {
				t.Errorf("%d bytes: settled %t, or its body is another", len(text), d.Settled)
			}
		}
		chain(t, b.db, b.Outbox, "o1", 4)
	})
}

// TestAnOldNodePurgesAMessageWithALargeBody deletes it as a node of a release does that knows no large bodies.
func TestAnOldNodePurgesAMessageWithALargeBody(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		oweBody(b, "m1", "1000042", curve(300<<10))
		oweBody(b, "m2", "1000043", curve(400<<10))
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `DELETE FROM outbox_messages WHERE event = 'm1'`)
			return err
		})
		b.purge(0)
		if got := b.bodies(); got != 1 {
			t.Errorf("%d bodies are kept, want that of the message that is there", got)
		}
	})
}

func TestABodyOutlivesThePurgeOfOneOfItsMessages(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.Outbox = outbox.New([]outbox.Route{{Kinds: []string{"*"}, Link: "erp"}, {Kinds: []string{"*"}, Link: "lake"}}, "urn:plant:1000",
			outbox.Config{Keep: 24 * time.Hour})
		text := curve(400 << 10)
		oweBody(b, "a", "o1", text)
		oweBody(b, "b", "o1", text)
		if got := b.bodies(); got != 1 {
			t.Errorf("%d bodies are kept, want the one that all four messages have", got)
		}
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		b.clock.forward(25 * time.Hour)
		b.purge(1)
		if got := b.bodies(); got != 1 || !bytes.Equal(whole(t, b.message("b").Message), text) {
			t.Errorf("%d bodies are kept after the first message is purged, want one", got)
		}
	})
}

func TestABodyStaysThroughReplayAmendmentAndVoid(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		b.Outbox = everything(outbox.Config{Keep: 24 * time.Hour})
		first, second := curve(300<<10), curve(500<<10)
		oweBody(b, "a", "o1", first)
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1}, "lost")
			return err
		})
		b.clock.forward(25 * time.Hour)
		b.purge(1) // the first delivery; the message is owed again
		c := b.claim("n1", 1, 1)[0]
		if b.bodies() != 1 || !bytes.Equal(whole(t, c.Messages[0].Message), first) {
			t.Error("the body of a message that is replayed is gone with its first delivery")
		}
		b.settle(done(b.claim("n2", 1, 1)[0], 1))

		oweBody(b, "b", "o2", first)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(
				b.Amend(ctx, tx, outbox.MessageID("erp", "b"), second, "the wrong series"),
				b.Discard(ctx, tx, numbered(ctx, tx, "o2", 1), "no series at all"),
			)
		})
		d := b.message("b")
		if d.Large != nil || string(d.Body) != `{"reason":"no series at all"}` || d.Digest != d.Message.Digest() {
			t.Errorf("void: %+v", d)
		}
		if len(d.History) != 2 {
			t.Fatalf("history: %+v", d.History)
		}
		for i, want := range [][]byte{first, second} {
			if got := whole(t, message.Message{Body: d.History[i].Body, Large: d.History[i].Large}); !bytes.Equal(got, want) {
				t.Errorf("history %d has %d bytes, want %d", i, len(got), len(want))
			}
		}
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		if got := b.bodies(); got != 2 {
			t.Errorf("%d bodies are kept, want both of the history", got)
		}
		b.clock.forward(25 * time.Hour)
		b.purge(2)
		if got := b.bodies(); got != 0 {
			t.Errorf("%d bodies are kept of messages of which nothing is left", got)
		}
	})
}

// TestNothingIsLeftOfAReplayThatIsGivenUp has the first delivery be purged meanwhile: with the replay goes the last that is kept of the
// message, and with it its bodies and its history. A purge would not find them.
func TestNothingIsLeftOfAReplayThatIsGivenUp(t *testing.T) {
	for _, tt := range []struct {
		name   string
		purged int64
	}{{"the first delivery is kept", 0}, {"the first delivery was purged", 1}} {
		t.Run(tt.name, func(t *testing.T) {
			each(t, func(t *testing.T, b box) {
				b.Outbox = everything(outbox.Config{Keep: 24 * time.Hour})
				oweBody(b, "a", "o1", curve(300<<10))
				b.do(func(ctx context.Context, tx *store.Tx) error {
					return b.Amend(ctx, tx, outbox.MessageID("erp", "a"), []byte(`{"n":1}`), "the wrong series")
				})
				b.settle(done(b.claim("n1", 1, 1)[0], 1))
				b.do(func(ctx context.Context, tx *store.Tx) error {
					_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1}, "lost")
					return err
				})
				if tt.purged > 0 {
					b.clock.forward(25 * time.Hour)
				}
				b.purge(tt.purged)
				b.do(func(ctx context.Context, tx *store.Tx) error {
					return b.Discard(ctx, tx, numbered(ctx, tx, "o1", 1), "not needed")
				})
				left := 1 - int(tt.purged)
				if bodies, events := b.bodies(), b.rows("outbox_events"); bodies != left || events != 3*left {
					t.Errorf("%d bodies and %d events are kept, want %d and %d", bodies, events, left, 3*left)
				}
			})
		})
	}
}

func TestABodyThatNobodyOwesIsSwept(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		undone := errors.New("the order is refused")
		m := event("a", "o1")
		m.Body = curve(1 << 20)
		err := b.try(func(ctx context.Context, tx *store.Tx) error { return errors.Join(b.Append(ctx, tx, m), undone) })
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		l, err := body.Keep(t.Context(), b.db, bytes.NewReader(m.Body), "", message.MaxBody)
		if err != nil {
			t.Fatal(err)
		}
		m.Body, m.Large = nil, l
		err = b.try(func(ctx context.Context, tx *store.Tx) error { return errors.Join(b.Append(ctx, tx, m), undone) })
		if !errors.Is(err, undone) {
			t.Fatal(err)
		}
		if got := b.bodies(); got != 0 {
			t.Errorf("%d bodies are left of messages that were never owed", got)
		}
		err = b.try(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, m) })
		if problem.KindOf(err) != problem.Unavailable {
			t.Errorf("append with a body that is gone: got %v, want a problem of kind %s", err, problem.Unavailable)
		}
		m.Body, m.Large = make([]byte, message.MaxBody+1), nil
		err = b.try(func(ctx context.Context, tx *store.Tx) error { return b.Append(ctx, tx, m) })
		if problem.KindOf(err) != problem.TooLarge {
			t.Errorf("append over the limit: got %v, want a problem of kind %s", err, problem.TooLarge)
		}
	})
}

// TestTheBodiesOfOneClaimAreBounded has more due than there is memory for: each claim takes what fits, in order, and the next one the
// rest.
func TestTheBodiesOfOneClaimAreBounded(t *testing.T) {
	const bound = 1 << 20
	each(t, func(t *testing.T, b box) {
		b.Outbox = everything(outbox.Config{ClaimBytes: bound})
		want := map[string][]byte{}
		for i, size := range []int{200 << 10, 30, 9000, 250 << 10, 100 << 10} {
			for _, lane := range []string{"o1", "o2", "o3", "o4"} {
				id := fmt.Sprintf("%s-%d", lane, i)
				want[outbox.MessageID("erp", id)] = curve(size)
				oweBody(b, id, lane, curve(size))
			}
		}
		got := 0
		for range len(want) {
			claims := b.claim("n1", 10, 5)
			var sum int64
			for _, c := range claims {
				sum += c.Bytes()
				for _, q := range c.Messages {
					if _, err := message.Verify(t.Context(), seal.Chain(q.Stored), q.Message); err != nil || !bytes.Equal(q.Body, want[q.ID]) {
						t.Errorf("message %d of lane %s: %d bytes, want %d; %v", q.Number, c.Lane, len(q.Body), len(want[q.ID]), err)
					}
					got++
				}
			}
			if sum > bound {
				t.Errorf("the bodies of a claim have %d bytes, more than %d", sum, bound)
			}
			for _, c := range claims {
				b.settle(done(c, len(c.Messages)))
			}
		}
		if got != len(want) {
			t.Errorf("claimed %d messages, want %d", got, len(want))
		}
		for _, lane := range []string{"o1", "o2", "o3", "o4"} {
			if l := b.lane(lane); l.Owed != 0 || l.State != outbox.Open {
				t.Errorf("lane %s owes %d and is %s: %s", lane, l.Owed, l.State, l.Reason)
			}
		}
	})
}
