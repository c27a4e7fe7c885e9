package relay_test

import (
	"context"
	"testing"
	"time"

	"holdfast/internal/message"
	"holdfast/internal/store"
)

// TestWhatIsSettledIsFiledSoon has a broker confirm what it is sent: at once while nothing else is to be done, and after a few seconds
// while a request is under way all the time.
func TestWhatIsSettledIsFiledSoon(t *testing.T) {
	for _, tt := range []struct {
		name  string
		busy  bool
		after time.Duration
	}{{"idle", false, 3 * time.Second}, {"busy", true, 8 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, p *plant) {
				p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
					if tt.busy && d.Event.Message().Lane == "o0" {
						time.Sleep(20 * time.Second)
					}
					return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Kind: "message"}}, true
				}
				p.oweMany(100, 3)
				stop := p.start()
				count := func(table string) (n int) {
					err := p.act(func(ctx context.Context, tx *store.Tx) error {
						return tx.Get(ctx, &n, `SELECT COUNT(*) FROM `+table+` WHERE lane <> 'o0'`)
					})
					if err != nil {
						t.Fatal(err)
					}
					return n
				}
				time.Sleep(time.Second / 2)
				if owed := p.links().Owed; owed > 3 || tt.busy && count("outbox_receipts") == 0 {
					t.Errorf("%d are owed, %d receipts wait to be filed, want at most one lane's and some", owed, count("outbox_receipts"))
				}
				time.Sleep(tt.after)
				if left, filed := count("outbox_receipts"), count("outbox_delivered"); left != 0 || filed != 297 {
					t.Errorf("%d receipts are left and %d messages filed, want none and 297", left, filed)
				}
				stop()
			})
		})
	}
}
