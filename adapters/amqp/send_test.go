package amqp

import (
	"strings"
	"testing"
	"time"

	"holdfast/adapters/amqp/amqptest"
	"holdfast/internal/message"
)

// sent gives deliveries to Send, each as soon as there is room, and returns their outcomes.
func sent(t *testing.T, l *Link, ids ...string) map[string]message.Outcome {
	t.Helper()
	type told struct {
		id string
		o  message.Outcome
	}
	all := make(chan told, len(ids))
	for _, id := range ids {
		until(t, "room in the window", func() bool {
			return l.Send(delivery(t, id), func(o message.Outcome) { all <- told{id, o} })
		})
	}
	outcomes := map[string]message.Outcome{}
	for range ids {
		select {
		case got := <-all:
			outcomes[got.id] = got.o
		case <-time.After(time.Minute):
			t.Fatalf("%d of %d outcomes were told", len(outcomes), len(ids))
		}
	}
	return outcomes
}

func TestSentIsOnTheQueueInOrder(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	c.Publish.Window = 2 // less than there is to send
	l := open(t, b, c)
	for id, o := range sent(t, l, "a", "b", "c", "d", "e") {
		if o.Verdict != message.Delivered || o.Err != nil || o.Receipt.Kind != "message" {
			t.Errorf("%s: got %v", id, o)
		}
	}
	var got []string
	for _, d := range b.Drain(t, queue) {
		got = append(got, d.MessageId)
	}
	if strings.Join(got, "") != "abcde" {
		t.Errorf("got %q, want a to e", got)
	}
}

func TestOfWhatIsNotSentEachIsTold(t *testing.T) {
	b := amqptest.Shared(t)
	nowhere, _ := toQueue(t, b)
	nowhere.Publish.Key = "no queue has this name"
	closed, _ := toQueue(t, b)
	for _, tt := range []struct {
		name  string
		cfg   Config
		close bool
		want  message.Verdict
		down  bool
	}{
		{"no queue takes it", nowhere, false, message.Refused, false},
		{"the link is closed", closed, true, message.Again, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := open(t, b, tt.cfg)
			if tt.close {
				l.Close()
			}
			if o := sent(t, l, "a")["a"]; o.Verdict != tt.want || o.LinkDown != tt.down || o.Err == nil {
				t.Errorf("got %v, link down %t, want %s with a reason, link down %t", o, o.LinkDown, tt.want, tt.down)
			}
		})
	}
}

// TestABodyThatIsNotInMemoryIsNotSentWithoutIt: what is large is read by Deliver.
func TestABodyThatIsNotInMemoryIsNotSentWithoutIt(t *testing.T) {
	b := amqptest.Shared(t)
	c, queue := toQueue(t, b)
	l := open(t, b, c)
	d := delivery(t, "a")
	d.Doc = message.Document{Mapping: "m@1", Large: &message.Large{Size: 1}}
	l.Send(d, func(o message.Outcome) {
		if o.Verdict != message.Again || o.Err == nil {
			t.Errorf("got %v, want it not sent", o)
		}
	})
	if n := len(b.Drain(t, queue)); n != 0 {
		t.Errorf("%d messages are on the queue, want none", n)
	}
}
