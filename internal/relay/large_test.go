package relay_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/body"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/relay"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// TestWhatIsInHandIsBoundedInBytes has an ERP that answers late, and more due than there is memory for.
func TestWhatIsInHandIsBoundedInBytes(t *testing.T) {
	const size, most = 200 << 10, 48<<20 + 16<<20 // what is in hand, and the claim that goes beyond it
	bubble(t, func(t *testing.T, p *plant) {
		p.link.Concurrency, p.link.Start = 300, 300
		p.erp.Answer = func(_ context.Context, _ message.Delivery, _ int) (message.Outcome, bool) {
			time.Sleep(20 * time.Second) // longer than a lease
			return message.Outcome{Verdict: message.Delivered}, true
		}
		p.link.Timeout = time.Hour
		text := append([]byte(`{"a":"`), bytes.Repeat([]byte{'x'}, size)...)
		text = append(text, `"}`...)
		var ids []string
		for n := range 500 {
			m := event(fmt.Sprintf("e%d", n), "operation.confirmed", fmt.Sprintf("o%d", n))
			m.Body = text
			p.owe(m)
			ids = append(ids, m.ID)
		}
		stop := p.start()
		for range 10 {
			time.Sleep(7 * time.Second)
			var n int
			err := p.act(func(ctx context.Context, tx *store.Tx) error {
				return tx.Get(ctx, &n, `SELECT COUNT(*) FROM outbox_lanes WHERE lease_owner <> ''`)
			})
			if err != nil || n*size > most {
				t.Errorf("%d lanes with %d MiB are in hand, want at most %d MiB; %v", n, n*size>>20, most>>20, err)
			}
		}
		time.Sleep(5 * time.Minute)
		stop()
		p.wantOnce(ids...)
	})
}

// oweLarge has the plant owe a message with a large body.
func (p *plant) oweLarge(id string, text []byte) {
	p.t.Helper()
	l, err := body.Keep(p.t.Context(), p.db, bytes.NewReader(text), "", message.MaxBody)
	if err != nil {
		p.t.Fatal(err)
	}
	m := event(id, "operation.confirmed", "o1")
	m.Body, m.Large = nil, l
	p.owe(m)
}

// TestManyBodiesThatNothingRefersToGoSoon is about a burst of messages that were not taken: what they left must not grow faster than it goes.
func TestManyBodiesThatNothingRefersToGoSoon(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		for n := range 50 {
			if _, err := body.Keep(t.Context(), p.db, strings.NewReader(strconv.Itoa(n)), "", message.MaxBody); err != nil {
				t.Fatal(err)
			}
		}
		p.cfg.House = time.Hour
		p.runFor(body.Loose + 20*time.Minute) // one look at the house after they may go
		var left int
		err := p.act(func(ctx context.Context, tx *store.Tx) error {
			return tx.Get(ctx, &left, `SELECT COUNT(*) FROM bodies`)
		})
		if err != nil || left != 0 {
			t.Errorf("%d bodies are left, %v, want none", left, err)
		}
	})
}

func TestALargeBodyThatWasAlteredIsNotSent(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		p.oweLarge("a", bytes.Repeat([]byte{'1'}, 300<<10))
		err := p.act(func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Exec(ctx, `UPDATE body_chunks SET bytes = ? WHERE seq = 4`, bytes.Repeat([]byte{'2'}, 44<<10))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		p.runFor(time.Minute)
		if l := p.lane("o1"); l.State != outbox.Parked || len(p.erp.Calls()) > 0 {
			t.Errorf("the lane is %s after %d calls: %s", l.State, len(p.erp.Calls()), l.Reason)
		}
	})
}

// hesitant is the check of a database that does not answer for a while.
type hesitant struct {
	message.Verifier
	until time.Time
}

func (h hesitant) Verify(ctx context.Context, m message.Message) error {
	if time.Now().Before(h.until) {
		return &problem.Error{Kind: problem.Unavailable, What: "read a body", Why: "the database does not answer"}
	}
	return h.Verifier.Verify(ctx, m)
}

func TestALargeBodyThatCannotBeReadJustNowParksNothing(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		p.oweLarge("a", bytes.Repeat([]byte{'1'}, 300<<10))
		until := time.Now().Add(time.Minute)
		check := func(stored string) message.Verifier { return hesitant{seal.Chain(stored), until} }
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		r := relay.New(p.db, p.out, p.rule, check, map[string]relay.Link{"erp": p.link}, p.cfg, slog.New(slog.DiscardHandler))
		go func() { done <- r.Run(ctx) }()
		time.Sleep(30 * time.Second)
		if l := p.lane("o1"); l.State != outbox.Open || l.Owed != 1 {
			t.Errorf("the lane is %s and owes %d: %s", l.State, l.Owed, l.Reason)
		}
		time.Sleep(5 * time.Minute)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		p.wantOnce("a")
	})
}
