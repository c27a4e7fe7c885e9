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
			oneByOne(t, func(t *testing.T, p *plant) {
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

// TestWhatIsSettledIsFiledBeforeRunReturns stops a relay in the moment between: the release before, which may be started next, takes each
// row that is not filed for one that is owed.
func TestWhatIsSettledIsFiledBeforeRunReturns(t *testing.T) {
	oneByOne(t, func(t *testing.T, p *plant) {
		p.erp.Answer = func(_ context.Context, d message.Delivery, _ int) (message.Outcome, bool) {
			if d.Event.Message().Lane == "o0" {
				time.Sleep(2 * time.Second) // so that filing gives way
			}
			return message.Outcome{Verdict: message.Delivered, Receipt: message.Receipt{Kind: "message"}}, true
		}
		p.oweMany(200, 1)
		stop := p.start()
		time.Sleep(time.Second)
		if n := p.rows("outbox_receipts"); n <= 64 {
			t.Errorf("%d receipts wait to be filed, want more than are filed in one transaction", n)
		}
		stop()
		if left, owed, filed := p.rows("outbox_receipts"), p.rows("outbox_messages"), p.rows("outbox_delivered"); left != 0 || owed != 0 || filed != 200 {
			t.Errorf("%d receipts are left, %d messages owed and %d filed, want none, none and 200", left, owed, filed)
		}
	})
}

// rows counts what a table has.
func (p *plant) rows(table string) (n int) {
	p.t.Helper()
	err := p.act(func(ctx context.Context, tx *store.Tx) error { return tx.Get(ctx, &n, `SELECT COUNT(*) FROM `+table) })
	if err != nil {
		p.t.Fatal(err)
	}
	return n
}
