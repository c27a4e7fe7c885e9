package outbox_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// TestAReplayAndAnEditAtTheSameTimeSendNothingTwiceNorUnapproved: whichever of them locks the lane first wins, and the relay may come before both.
// A message goes once for each time that it is owed, always in one form, and in the corrected one only if that was approved.
func TestAReplayAndAnEditAtTheSameTimeSendNothingTwiceNorUnapproved(t *testing.T) {
	eachOfTwo(t, func(t *testing.T, b box) {
		sent := map[string]string{} // body, by message and how often it was owed
		relay := func() error {
			var claims []outbox.Claim
			err := b.try(func(ctx context.Context, tx *store.Tx) (err error) {
				claims, err = b.Claim(ctx, tx, "n1", "erp", 100, 10)
				return err
			})
			for _, c := range claims {
				for _, q := range c.Messages {
					is := fmt.Sprint(q.ID, " ", q.Redelivery)
					if was, twice := sent[is]; twice {
						t.Errorf("%s was sent twice: %s, then %s", is, was, q.Body)
					}
					sent[is] = string(q.Body)
				}
			}
			var rest []outbox.Settlement
			for _, c := range claims {
				rest = append(rest, done(c, len(c.Messages)))
			}
			for err == nil && len(rest) > 0 { // who holds the lane has the relay settle it later
				now := rest
				err = b.try(func(ctx context.Context, tx *store.Tx) (err error) {
					rest, _, err = b.Settle(ctx, tx, "erp", now)
					return err
				})
			}
			return err
		}
		for round := range 12 {
			lane := fmt.Sprint("lane", round)
			first, last := outbox.MessageID("erp", lane+"-1"), outbox.MessageID("erp", lane+"-2")
			owe(t, b.db, b.Outbox, lane, lane+"-1")
			if err := relay(); err != nil {
				t.Fatal(err)
			}
			owe(t, b.db, b.Outbox, lane, lane+"-2")
			right := fmt.Sprintf(`{"id":%q,"right":true}`, lane+"-2")
			w, err := b.ask(outbox.Wish{Message: last, Act: outbox.ToAmend, Body: []byte(right)})
			if err != nil {
				t.Fatal(err)
			}
			var replayed, approved, relayed error
			var all sync.WaitGroup
			all.Go(func() {
				replayed = b.try(func(ctx context.Context, tx *store.Tx) error {
					_, err := b.Replay(ctx, tx, "erp", lane, outbox.Range{From: 1}, "the ERP was restored")
					return err
				})
			})
			all.Go(func() { approved = b.approve(w.ID, "user:ben") })
			all.Go(func() { relayed = relay() })
			all.Wait()
			if replayed != nil || relayed != nil || approved != nil && problem.KindOf(approved) != problem.Conflict && problem.KindOf(approved) != problem.NotFound {
				t.Fatalf("replay %v, relay %v, approval %v", replayed, relayed, approved)
			}
			for range 4 {
				if err := relay(); err != nil {
					t.Fatal(err)
				}
			}
			if was, again := sent[first+" 0"], sent[first+" 1"]; again == "" || again != was {
				t.Errorf("the first went as %s, and then as %s", was, again)
			}
			body, again := sent[last+" 0"], sent[last+" 1"]
			if strings.Contains(body, `"right"`) != (approved == nil) || again != "" && again != body {
				t.Errorf("approved %v: sent as %s, and then as %q", approved, body, again)
			}
		}
	})
}
