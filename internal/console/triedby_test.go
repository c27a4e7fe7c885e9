package console_test

import (
	"context"
	"strings"
	"testing"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestAParkedMessageNamesTheMappingThatItWasTriedBy, with its edition, on its page; once the lane goes on by another edition, nobody says it of the old.
func TestAParkedMessageNamesTheMappingThatItWasTriedBy(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		p := open(t, db)
		if got := p.detail(p.stuck).TriedBy(); got != "" {
			t.Errorf("tried by a program without editions, it names %q", got)
		}
		p.out.MapBy(func() string { return "0123456789abcdef0123" })
		again := func(ctx context.Context, tx *store.Tx) error { return p.out.Retry(ctx, tx, p.stuck, "look") }
		p.tx(func(tx *store.Tx) error { return again(t.Context(), tx) })
		if got := p.detail(p.stuck).TriedBy(); got != "" {
			t.Errorf("while it waits it names %q", got)
		}
		p.deliver(outbox.Next{State: outbox.Parked, Reason: p.reason}, "")
		if got := p.detail(p.stuck).TriedBy(); got != "0123456789abcdef0123" {
			t.Errorf("parked again, it names %q", got)
		}
		_, page := p.get("/console/messages/" + p.stuck)
		if !strings.Contains(page, "erp-out, of edition 0123456789ab, by which it is parked") {
			t.Errorf("the page does not name it: %s", p.says(page))
		}
	})
}
