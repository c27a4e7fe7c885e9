package outbox_test

import (
	"context"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// doubt is how many messages of the link may have been sent without an answer, and since when the oldest, counted from at.
func (b box) doubt() (n int64, since time.Duration) {
	b.t.Helper()
	b.do(func(ctx context.Context, tx *store.Tx) error {
		links, err := b.Links(ctx, tx)
		if err == nil && links[0].Doubtful > 0 {
			n, since = links[0].Doubtful, links[0].DoubtAt.Sub(at)
		}
		return err
	})
	return n, since
}

// unanswered gives a claim back whose first message was sent and got no answer.
func unanswered(c outbox.Claim) outbox.Settlement {
	return outbox.Settlement{
		Lane: c.Lane, Token: c.Token, Release: true, SentTo: c.Messages[0].Number,
		Next: outbox.Next{ID: c.Messages[0].ID, Sent: true, Verdict: message.Unsure, Reason: "no answer within 2s", After: time.Second},
	}
}

// TestAMessageWithoutAnAnswerIsInDoubtUntilThereIsOne: also while it is sent once more, and since the first time. What is sent for the
// first time, what waits behind it and what a replay has not sent yet are not.
func TestAMessageWithoutAnAnswerIsInDoubtUntilThereIsOne(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		is := func(when string, want int64, wantSince time.Duration) {
			t.Helper()
			if got, since := b.doubt(); got != want || since != wantSince {
				t.Errorf("%s: got %d in doubt since %s, want %d since %s", when, got, since, want, wantSince)
			}
		}
		owe(t, b.db, b.Outbox, "o1", "a", "b")
		is("before it is sent", 0, 0)
		c := b.claim("n1", 1, 1)[0]
		is("in hand for the first time", 0, 0)
		b.clock.forward(time.Minute)
		b.settle(unanswered(c))
		is("without an answer", 1, time.Minute)
		for range 2 {
			b.clock.forward(time.Hour)
			c = b.claim("n1", 1, 1)[0]
			is("sent once more", 1, time.Minute)
			b.settle(unanswered(c))
			is("without an answer again", 1, time.Minute)
		}
		b.clock.forward(time.Hour)
		b.settle(done(b.claim("n1", 1, 1)[0], 1))
		is("answered", 0, 0)
		b.do(func(ctx context.Context, tx *store.Tx) error {
			_, err := b.Replay(ctx, tx, "erp", "o1", outbox.Range{From: 1, To: 1}, "restored from last night")
			return err
		})
		is("to be replayed", 0, 0)
		b.clock.forward(time.Hour)
		c = b.claim("n1", 1, 1)[0]
		is("replayed for the first time", 0, 0)
		b.settle(unanswered(c))
		is("replayed without an answer", 1, 4*time.Hour+time.Minute)
	})
}

// TestWhatAKilledNodeHadInHandIsInDoubt: nobody has written down what became of it, and since when is not known.
func TestWhatAKilledNodeHadInHandIsInDoubt(t *testing.T) {
	each(t, func(t *testing.T, b box) {
		owe(t, b.db, b.Outbox, "o1", "a", "b", "c")
		b.clock.forward(time.Hour)
		b.claim("n1", 1, 2)
		if n, _ := b.doubt(); n != 0 {
			t.Errorf("got %d in doubt while the lease holds, want none", n)
		}
		b.clock.forward(time.Hour)
		if n, since := b.doubt(); n != 2 || since != 0 {
			t.Errorf("got %d in doubt since %s, want both that were in hand, since they are owed", n, since)
		}
	})
}
