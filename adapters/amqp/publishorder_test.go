package amqp

import (
	"fmt"
	"sync/atomic"
	"testing"

	wm "github.com/ThreeDotsLabs/watermill/message"

	"holdfast/adapters/amqp/amqptest"
)

// TestNothingOvertakesWhatAPublishCouldNotSend: the broker blocks us in the middle of a batch and lets go at once. Whoever publishes the batch again after
// the error must not find later messages of it on the queue before those that were not sent.
func TestNothingOvertakesWhatAPublishCouldNotSend(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Publish.Window = 1
	pub, err := NewPublisher(c, password(b), testlog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	s, err := pub.await(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := make([]*wm.Message, 300)
	for i := range all {
		all[i] = wm.NewMessage(fmt.Sprint(i), []byte("x"))
	}
	var over atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !over.Load() {
			s.window.halt() // as when it is blocked, over before the next message
		}
	}()
	err = pub.Publish(queue, all...)
	over.Store(true)
	<-done
	if err == nil {
		t.Fatal("it was never halted while it waited: the test has shown nothing")
	}
	next := 0
	for _, d := range b.Drain(t, queue) {
		var n int
		_, _ = fmt.Sscan(d.MessageId, &n)
		if n != next {
			t.Fatalf("message %d is on the queue, and %d, which comes before it, was not sent", n, next)
		}
		next++
	}
}
