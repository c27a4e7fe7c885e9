package relay_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/outbox"
	"holdfast/internal/problem"
	"holdfast/internal/seal"
	"holdfast/internal/store"
)

// keysAway is a keyring that may be away, and counts how often it is asked then.
type keysAway struct {
	*seal.Local
	down  atomic.Bool
	asked atomic.Int64
}

func (k *keysAway) there() error {
	if !k.down.Load() {
		return nil
	}
	k.asked.Add(1)
	return &problem.Error{Kind: problem.Unavailable, What: "ask the keyring", Why: "the test has taken it away"}
}

// Certify is seal.Keyring.
func (k *keysAway) Certify(ctx context.Context, r *x509.CertificateRequest) ([]*x509.Certificate, error) {
	if err := k.there(); err != nil {
		return nil, err
	}
	return k.Local.Certify(ctx, r)
}

// Wrap is seal.Wrapper.
func (k *keysAway) Wrap(ctx context.Context, n int) ([][]byte, []string, error) {
	if err := k.there(); err != nil {
		return nil, nil, err
	}
	return k.Local.Wrap(ctx, n)
}

// Unwrap is seal.Wrapper.
func (k *keysAway) Unwrap(ctx context.Context, wrapped []string) ([][]byte, error) {
	if err := k.there(); err != nil {
		return nil, err
	}
	return k.Local.Unwrap(ctx, wrapped)
}

// alarms are the alerts of a plant.
type alarms struct{ all chan struct{} }

// Raise is outbox.Alarm.
func (a alarms) Raise(_ context.Context, tx *store.Tx, _, _ string, _ error) error {
	tx.AfterCommit(func() { a.all <- struct{}{} })
	return nil
}

// signing has the plant sign and seal. A certificate lasts seven hours and is replaced after one, so that the keyring may be away for six; epochs
// turn each hour. All that keeps keys runs until stop.
func (p *plant) signing(keys *keysAway) (ring *seal.Ring, stop func()) {
	p.t.Helper()
	safe, ctx := seal.NewSafe(p.t.TempDir(), "correct horse", 10), p.t.Context()
	if err := seal.InitLocal(safe, "1000", time.Now()); err != nil {
		p.t.Fatal(err)
	}
	node := seal.NodeURI("urn:plant:1000", "a")
	keys.Local = seal.NewLocal(safe, node, 7*time.Hour, time.Now)
	ring, err := seal.OpenRing(ctx, p.db, keys, nil, node, seal.RingConfig{Renew: time.Hour}, quiet())
	if err != nil {
		p.t.Fatal(err)
	}
	may := func(context.Context, *store.Tx) (bool, bool, error) { return true, true, nil }
	rest, err := seal.OpenRest(ctx, p.db, keys, seal.RestConfig{Turn: time.Hour, Begin: may}, quiet())
	if err != nil {
		p.t.Fatal(err)
	}
	p.db.SealWith(rest)
	p.out.SignWith(ring)
	ctx, cancel := context.WithCancel(ctx)
	var run errgroup.Group
	run.Go(func() error { return ring.Run(ctx) })
	run.Go(func() error { return rest.Run(ctx) })
	return ring, func() {
		cancel()
		if err := run.Wait(); err != nil {
			p.t.Error(err)
		}
	}
}

// TestThePlantKeepsItsRateForTheWholeBudget takes the keyring away from the moment before a renewal, for as long as it may be away. On the
// bubble's clock whatever waits takes time: what the plant owes and what it takes in is signed, sealed and delivered in none, all the while.
func TestThePlantKeepsItsRateForTheWholeBudget(t *testing.T) {
	bubble(t, func(t *testing.T, p *plant) {
		keys := &keysAway{}
		ring, stopKeys := p.signing(keys)
		defer stopKeys()
		trust, err := ring.Trust(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		acted := 0
		in := inbox.New(p.db, nil, func(context.Context, *store.Tx, message.Message) error { acted++; return nil }, inbox.Config{}, quiet())
		p.cfg.Poll, p.cfg.House = time.Hour, time.Hour // it is woken by what is owed
		defer p.start()()
		time.Sleep(59 * time.Minute)
		keys.down.Store(true)
		var owed []string
		began := time.Now()
		for time.Since(began) < 6*time.Hour {
			burst := time.Now()
			for range 10 {
				id := fmt.Sprintf("e%d", len(owed))
				p.owe(event(id, "operation.confirmed", "o"+id))
				owed = append(owed, id)
				m := event("in-"+id, "order.changed", "o1")
				m.Source = "erp"
				taken, err := in.ReceiveAll(t.Context(), []message.Incoming{{Message: m}}, "erp")
				if err != nil || !taken[0].Fresh || taken[0].Rejected != 0 {
					t.Fatalf("took in %+v, %v", taken, err)
				}
			}
			synctest.Wait()
			if d := time.Since(burst); d != 0 || len(p.erp.Delivered()) != len(owed) {
				t.Fatalf("%s after the keyring went a burst took %s, and %d of %d are delivered", burst.Sub(began), d, len(p.erp.Delivered()), len(owed))
			}
			time.Sleep(5 * time.Minute)
		}
		for n := len(owed); n > 0; {
			done, err := in.Step(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n -= done; done == 0 {
				break
			}
		}
		if acted != len(owed) {
			t.Errorf("%d of %d that were taken in have had their effect", acted, len(owed))
		}
		for _, m := range p.erp.Delivered() {
			if _, err := trust.VerifyMessage(m); err != nil {
				t.Errorf("message %s: %v", m.ID, err)
			}
		}
		p.wantOnce(owed...)
		p.wantSealed(6)
		if got := keys.asked.Load(); got > 2*6*3600/20 {
			t.Errorf("the keyring was asked %d times in six hours by two that need it, want once in half a minute each", got)
		}
	})
}

// wantSealed checks that all that is kept is sealed, by so many epochs at least.
func (p *plant) wantSealed(epochs int) {
	p.t.Helper()
	var plain, used int
	err := p.db.View(p.t.Context(), func(tx *store.Tx) error {
		err := tx.Get(p.t.Context(), &plain, `SELECT (SELECT COUNT(*) FROM outbox_delivered WHERE sealed = 0) + (SELECT COUNT(*) FROM inbox_messages WHERE sealed = 0)`)
		if err == nil {
			err = tx.Get(p.t.Context(), &used, `SELECT COUNT(DISTINCT sealed) FROM outbox_delivered`)
		}
		return err
	})
	if err != nil || plain != 0 || used < epochs {
		p.t.Errorf("%d are kept in plain text, the others by %d epochs, %v; want all sealed, by %d epochs at least", plain, used, err, epochs)
	}
}

// TestAnAlteredMessageIsAnAlertWithinFiveSeconds, whatever was altered of it before its turn, which is when it is looked at. It stays where it is.
// Without seals that is found by the digest alone.
func TestAnAlteredMessageIsAnAlertWithinFiveSeconds(t *testing.T) {
	altered := []string{
		"body = x'00'", "kind = kind||'x'", "version = version + 1", "key = key||'x'", "id = id||'x'", "time = '2026-11-28T00:00:00Z'",
		"source = source||'x'", "role = 'void'", "refers = 'x'", "cause = 'x'", "number = 7", "digest = digest||'x'", "prev = prev||'x'",
		// What is none of its column keeps no other lane from being claimed.
		"time = replace(time, ':', 'a')", "version = 'x'", "created_at = 'x'", "expires_at = 'x'", "attempts = 'x'", "redelivery = 'x'", "sealed = 'x'",
	}
	t.Run("sealed", func(t *testing.T) {
		bubble(t, func(t *testing.T, p *plant) {
			_, stop := p.signing(&keysAway{})
			defer stop()
			p.wantAlerts(append(altered, "signature = NULL"))
		})
	})
	t.Run("not sealed", func(t *testing.T) { bubble(t, func(_ *testing.T, p *plant) { p.wantAlerts(altered) }) })
}

// wantAlerts alters messages, each in a lane of its own, and wants an alert of each.
func (p *plant) wantAlerts(altered []string) {
	p.t.Helper()
	raised := alarms{make(chan struct{}, 1)}
	p.out.AlarmWith(raised)
	defer p.start()()
	for _, set := range altered {
		err := p.act(func(ctx context.Context, tx *store.Tx) error {
			if err := p.out.Append(ctx, tx, event(set, "operation.confirmed", set)); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, `UPDATE outbox_messages SET `+set+` WHERE event = ?`, set)
			return err
		})
		if err != nil {
			p.t.Fatal(err)
		}
		select {
		case <-raised.all:
		case <-time.After(5 * time.Second):
			p.t.Errorf("%s: no alert within five seconds", set)
		}
		if l := p.lane(set); l.State != outbox.Parked {
			p.t.Errorf("%s: the lane is %s, want it parked", set, l.State)
		}
	}
	if left := p.erp.Delivered(); len(left) != 0 {
		p.t.Errorf("%d altered messages left the plant", len(left))
	}
}
