package relay

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/outbox"
	"holdfast/internal/store"
)

// TestRequestEndsWithItsLease has a lane in hand whose lease of ten seconds is renewed, or not, while clocks move.
func TestRequestEndsWithItsLease(t *testing.T) {
	tests := []struct {
		name    string
		after   time.Duration // what passes, by the monotonic clock
		jump    time.Duration // what the other clock moves beside it
		renewed bool          // after five seconds
		lost    bool          // after five seconds
		want    error         // of a request that is about to begin then
		left    time.Duration
	}{
		{"within the lease", 6 * time.Second, 0, false, false, nil, 4 * time.Second},
		{"after the lease", 10 * time.Second, 0, false, false, errLease, 0},
		{"renewed meanwhile", 12 * time.Second, 0, true, false, nil, 3 * time.Second},
		{"taken by another node", 6 * time.Second, 0, false, true, errLease, 0},
		{"the machine was suspended", time.Second, 12 * time.Second, false, false, errLease, -3 * time.Second},
		{"the clock was set back", 12 * time.Second, -time.Hour, false, false, errLease, -2 * time.Second},
		{"longer than the link's timeout", 31 * time.Second, -time.Hour, true, false, context.DeadlineExceeded, -16 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var offset atomic.Int64
				db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) }})
				if err != nil {
					t.Fatal(err)
				}
				defer db.Close()
				r := New(db, outbox.New(nil, "urn:p", outbox.Config{}), nil, nil, map[string]Link{"erp": {}}, Config{}, slog.New(slog.DiscardHandler))
				w := newRunner(r, "erp", r.links["erp"])
				w.hands["o1"] = w.holding(7, 1, time.Now(), db.Now())
				l := &lane{runner: w, claim: outbox.Claim{Lane: "o1", Token: 7}}
				ctx, cancel := w.term(t.Context(), l)
				defer cancel()
				time.AfterFunc(5*time.Second, func() {
					w.mu.Lock()
					defer w.mu.Unlock()
					switch {
					case tt.renewed && tt.after < 30*time.Second:
						w.hands["o1"] = w.holding(7, 1, time.Now(), db.Now())
					case tt.renewed:
						w.hands["o1"] = hand{token: 7, term: 1, mono: time.Now().Add(time.Hour), wall: db.Now().Add(time.Hour)}
					case tt.lost:
						w.hands["o1"] = hand{token: 7}
					}
				})
				time.Sleep(tt.after)
				offset.Store(int64(tt.jump))
				synctest.Wait()
				if (tt.want == nil) != (ctx.Err() == nil) || tt.want != nil && !errors.Is(context.Cause(ctx), tt.want) {
					t.Errorf("err = %v because of %v, want %v", ctx.Err(), context.Cause(ctx), tt.want)
				}
				if got := w.ours("o1", 7); tt.after < 30*time.Second && got != tt.left {
					t.Errorf("ours for %s, want %s", got, tt.left)
				}
			})
		})
	}
}

// TestARequestForManyEndsWithTheFirstLease: another node may have that lane in hand, and what is sent together is sent or not.
func TestARequestForManyEndsWithTheFirstLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		r := New(db, outbox.New(nil, "urn:p", outbox.Config{}), nil, nil, map[string]Link{"erp": {}}, Config{}, slog.New(slog.DiscardHandler))
		w := newRunner(r, "erp", r.links["erp"])
		w.hands["o1"], w.hands["o2"] = w.holding(7, 1, time.Now(), db.Now()), w.holding(8, 1, time.Now(), db.Now())
		of := func(name string, token int64) *lane {
			return &lane{runner: w, claim: outbox.Claim{Lane: name, Token: token}}
		}
		ctx, cancel := w.term(t.Context(), of("o1", 7), of("o2", 8))
		defer cancel()
		time.Sleep(6 * time.Second)
		if err := ctx.Err(); err != nil {
			t.Errorf("within both leases: %v", err)
		}
		w.mu.Lock()
		w.hands["o2"] = hand{token: 8} // taken by another node
		w.mu.Unlock()
		if ctx.Err() == nil || !errors.Is(context.Cause(ctx), errLease) {
			t.Errorf("err = %v because of %v, want %v", ctx.Err(), context.Cause(ctx), errLease)
		}
	})
}

// TestACallHasTheTimeOfAllItsRequests: what has begun last is not cut off for what came before it, and a Deliverer that hangs is given up all the same.
func TestACallHasTheTimeOfAllItsRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := store.Open(t.Context(), "sqlite::memory:", store.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		r := New(db, outbox.New(nil, "urn:p", outbox.Config{}), nil, nil, map[string]Link{"erp": {Timeout: 30 * time.Second, Requests: 3}}, Config{}, slog.New(slog.DiscardHandler))
		w := newRunner(r, "erp", r.links["erp"])
		var both []*lane
		for i, name := range []string{"o1", "o2"} {
			token := int64(i + 1)
			w.hands[name] = hand{token: token, term: 1, mono: time.Now().Add(time.Hour), wall: db.Now().Add(time.Hour)} // as it is renewed
			both = append(both, &lane{runner: w, claim: outbox.Claim{Lane: name, Token: token}})
		}
		for _, of := range [][]*lane{both[:1], both} {
			ctx, cancel := w.term(t.Context(), of...)
			time.Sleep(time.Duration(len(of))*90*time.Second - time.Millisecond)
			if err := ctx.Err(); err != nil {
				t.Errorf("%d messages of three requests each: %v before their time", len(of), err)
			}
			time.Sleep(time.Millisecond)
			synctest.Wait()
			if err := ctx.Err(); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%d messages: %v after their time", len(of), err)
			}
			cancel()
		}
	})
}
