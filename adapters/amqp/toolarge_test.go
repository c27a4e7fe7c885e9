package amqp

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"holdfast/internal/message"
)

// TestABodyThatTheBrokerNeverTakesIsRefused: RabbitMQ ends the channel at a body over its max_message_size (16 MiB from 4.0 on, while Holdfast takes
// 64), and with it all that waits for confirms. Were the one that did it only unknown, it would be sent again, and end the next channel, for ever.
func TestABodyThatTheBrokerNeverTakesIsRefused(t *testing.T) {
	b := private(t)
	const most = 100_000
	if err := b.MaxMessage(t.Context(), most); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.MaxMessage(context.WithoutCancel(t.Context()), 134217728) }()
	c, _ := toQueue(t, b)
	l := open(t, b, c)
	big := delivery(t, "big")
	big.Doc = message.Document{Mapping: "m@1", Target: c.Publish.Key, Body: []byte(`"` + strings.Repeat("x", most) + `"`)}
	for try := range 3 {
		var got []message.Outcome
		until(t, "it is sent", func() bool { // and not met by a connection that is just being closed for the one before
			connected(t, l)
			got = l.Deliver(t.Context(), []message.Delivery{delivery(t, fmt.Sprint("before-", try)), big, delivery(t, fmt.Sprint("after-", try))})
			return got[1].Verdict != message.Again
		})
		t.Logf("generation %d: before %s, big %s (%v), after %s", l.Status().Generation, got[0].Verdict, got[1].Verdict, got[1].Err, got[2].Verdict)
		if got[1].Verdict != message.Refused {
			t.Errorf("try %d: the body that is too large is %s, want %s", try, got[1].Verdict, message.Refused)
		}
		if got[2].Verdict == message.Refused {
			t.Errorf("try %d: the message behind it is refused with it", try)
		}
	}
}
