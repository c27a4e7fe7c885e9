package relay

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/failsafe-go/failsafe-go/circuitbreaker"
)

func TestBackoffDoublesUpToItsBound(t *testing.T) {
	tests := []struct {
		attempt int
		want    time.Duration // with all its chance
	}{{1, time.Second}, {2, 2 * time.Second}, {5, 16 * time.Second}, {9, 4 * time.Minute}, {60, 4 * time.Minute}, {1000, 4 * time.Minute}}
	for _, tt := range tests {
		for range 100 {
			if got := backoff(tt.attempt, time.Second, 4*time.Minute); got < tt.want/2 || got > tt.want {
				t.Errorf("attempt %d: waits %s, want %s to %s", tt.attempt, got, tt.want/2, tt.want)
			}
		}
	}
}

func TestBreakerOpensAfterFailuresInARowAndProbesWithOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		turns := 0
		b := newBreaker(3, 2*time.Second, func(circuitbreaker.StateChangedEvent) { turns++ })
		for range 2 {
			b.RecordFailure()
		}
		b.RecordSuccess()
		b.RecordFailure()
		b.RecordFailure()
		if b.rest() != 0 || b.probing() {
			t.Error("open before the third failure in a row")
		}
		b.RecordFailure()
		if rest := b.rest(); rest < 1500*time.Millisecond || rest > 2500*time.Millisecond || b.TryAcquirePermit() {
			t.Errorf("rests %s, want about 2 s", rest)
		}
		time.Sleep(3 * time.Second)
		if !b.TryAcquirePermit() || b.TryAcquirePermit() {
			t.Error("a probe is one message")
		}
		b.RecordSuccess()
		if b.probing() || turns != 3 {
			t.Errorf("probing after a good answer, %d turns", turns)
		}
	})
}

func TestPaceOpensUpFromOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(0, 8, 2)
		enter := func() time.Time {
			t.Helper()
			begun, err := p.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return begun
		}
		for range 10 {
			enter()
			p.leave(false)
		}
		if window, _ := p.now(); window != 1 {
			t.Errorf("window %d after failures, want 1", window)
		}
		for range 20 {
			enter()
			p.leave(true)
		}
		if window, _ := p.now(); window != 8 {
			t.Errorf("window %d after good answers, want 8", window)
		}
		for range 8 {
			enter()
		}
		soon, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := p.enter(soon); err == nil {
			t.Error("a ninth request began")
		}
		p.cancel()
		enter()
	})
}

func TestThrottledPaceHalvesOnceARoundAndRampsToTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(40, 100, 2)
		p.window = 100
		var begun []time.Time
		for range 10 {
			b, _ := p.enter(t.Context())
			begun = append(begun, b)
		}
		for _, b := range begun {
			p.throttled(b)
			p.leave(false)
		}
		if _, rate := p.now(); rate != 20 {
			t.Errorf("rate %v after ten answers of one round, want 20", rate)
		}
		b, _ := p.enter(t.Context())
		p.throttled(b)
		p.leave(false)
		if _, rate := p.now(); rate != 10 {
			t.Errorf("rate %v after the next round, want 10", rate)
		}
		for range 60 {
			time.Sleep(time.Second)
			if _, err := p.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.leave(true)
			if _, rate := p.now(); rate > 40 {
				t.Fatalf("rate %v is above the cap", rate)
			}
		}
		if _, rate := p.now(); rate != 40 {
			t.Errorf("rate %v a minute later, want the cap", rate)
		}
	})
}

func TestThrottledPaceWithoutACapForgetsItsRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(0, 4, 2)
		b, _ := p.enter(t.Context())
		p.throttled(b)
		p.leave(false)
		if _, rate := p.now(); rate == 0 || rate > 1 {
			t.Errorf("rate %v, want half of the one request that was made", rate)
		}
		for range 60 {
			time.Sleep(time.Second)
			if _, err := p.enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.leave(true)
		}
		if _, rate := p.now(); rate != 0 {
			t.Errorf("rate %v a minute later, want none", rate)
		}
	})
}

func TestPaceHoldsAsLongAsTheERPAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPace(0, 4, 2)
		p.holdFor(7 * time.Second)
		p.holdFor(2 * time.Second)
		began := time.Now()
		if p.held() != 7*time.Second {
			t.Errorf("held for %s, want 7 s", p.held())
		}
		if _, err := p.enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		if waited := time.Since(began); waited != 7*time.Second {
			t.Errorf("waited %s, want 7 s", waited)
		}
	})
}

func TestClockNoticesWhenItIsSetBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var offset time.Duration
		c := newClock(func() time.Time { return time.Now().Add(offset) })
		for _, tt := range []struct {
			offset time.Duration
			want   bool
		}{{0, false}, {time.Hour, false}, {time.Hour - time.Second, false}, {0, true}, {0, false}, {-3 * time.Second, true}} {
			time.Sleep(time.Second)
			if offset = tt.offset; c.wentBack() != tt.want {
				t.Errorf("offset %s: went back %t", tt.offset, !tt.want)
			}
		}
	})
}
