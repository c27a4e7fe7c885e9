package wire

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"
)

func TestASealedConnectionWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		w := &conn{Conn: near}
		if !w.seal(0) {
			t.Error("nothing was written, but it is not so certain")
		}
		if _, err := w.Write([]byte("late")); !errors.Is(err, errSealed) {
			t.Errorf("err = %v, want errSealed", err)
		}
	})
}

// TestAWriteUnderWayCounts has a write that the other side does not take: it may have taken a part of it.
func TestAWriteUnderWayCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		w := &conn{Conn: near}
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = w.Write([]byte("half"))
		}()
		synctest.Wait()
		if w.seal(0) {
			t.Error("a write was under way, but nothing is said to be sent")
		}
		_, _ = near.Close(), far.Close()
		<-done
	})
}

// TestASecondConnectionIsForOneThatNeverGotAnything: whatever reason a later net/http may find to send again.
func TestASecondConnectionIsForOneThatNeverGotAnything(t *testing.T) {
	for _, written := range []bool{false, true} {
		first, second := &conn{Conn: discard{}}, &conn{Conn: discard{}}
		_, _ = first.Write([]byte("an earlier request"))
		var a attempt
		a.got(httptrace.GotConnInfo{Conn: first})
		if written {
			_, _ = first.Write([]byte("POST"))
		}
		a.got(httptrace.GotConnInfo{Conn: second})
		_, err := second.Write([]byte("POST"))
		if denied := errors.Is(err, errSealed); denied != written {
			t.Errorf("written on the first: %t; second denied: %t", written, denied)
		}
		if a.neverSent() {
			t.Errorf("written on the first: %t; said to be never sent", written)
		}
	}
}

type discard struct{ net.Conn }

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func TestTheClockEndsTheTimeOfARequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		w := &conn{Conn: near}
		w.carry(func() error { return Over(deadline{ctx}) })
		time.Sleep(time.Second)
		if _, err := w.Write([]byte("late")); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err = %v, want that the time is over", err)
		}
		if !w.seal(0) {
			t.Error("nothing was written, but it is not so certain")
		}
	})
}

// deadline is a context that never says itself that its time is over.
type deadline struct{ context.Context }

func (deadline) Err() error { return nil }

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)
	tests := []struct {
		name, value, date string
		want              time.Duration
		given             bool
	}{
		{"none", "", "", 0, false},
		{"seconds", "120", "", 2 * time.Minute, true},
		{"zero", "0", "", 0, true},
		{"more than we wait", "86400", "", time.Hour, true},
		{"more than fits", "99999999999999999999", "", 0, false},
		{"a date by our clock", "Tue, 24 Nov 2026 06:00:30 GMT", "", 30 * time.Second, true},
		{"a date by the clock of the far side", "Tue, 24 Nov 2015 06:00:30 GMT", "Tue, 24 Nov 2015 06:00:00 GMT", 30 * time.Second, true},
		{"a date in the past", "Tue, 24 Nov 2015 06:00:30 GMT", "", 0, true},
		{"the two older forms of a date", "Tuesday, 24-Nov-26 06:00:10 GMT", "", 10 * time.Second, true},
		{"negative", "-5", "", 0, false},
		{"nonsense", "soon", "", 0, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			h := http.Header{"Retry-After": {tt.value}, "Date": {tt.date}}
			got, given := RetryAfter(h, now, time.Hour)
			if got != tt.want || given != tt.given {
				t.Errorf("got %s, %t; want %s, %t", got, given, tt.want, tt.given)
			}
		})
	}
}

// TestAReadMayBeRepeated: it changes nothing, and a connection that has died must not make it fail.
func TestAReadMayBeRepeated(t *testing.T) {
	first, second := &conn{Conn: discard{}}, &conn{Conn: discard{}}
	a := attempt{repeat: true}
	a.got(httptrace.GotConnInfo{Conn: first})
	_, _ = first.Write([]byte("GET"))
	a.got(httptrace.GotConnInfo{Conn: second})
	if _, err := second.Write([]byte("GET")); err != nil {
		t.Errorf("err = %v, want the second attempt let through", err)
	}
	if a.neverSent() {
		t.Error("said to be never sent, though it was written")
	}
}

// TestAttemptsKeepTheFirstTime: until the outcome is known, and no longer.
func TestAttemptsKeepTheFirstTime(t *testing.T) {
	a, now := NewAttempts(), time.Unix(1_000, 0)
	a.Note("m1", now)
	if got := a.Since("m1", now.Add(time.Minute)); !got.Equal(now) {
		t.Errorf("got %s, want when it was noted, %s", got, now)
	}
	a.Drop("m1")
	later := now.Add(time.Hour)
	if got := a.Since("m1", later); !got.Equal(later) {
		t.Errorf("got %s, want %s: nothing is known of it any more", got, later)
	}
	if got := a.Since("m1", later.Add(time.Hour)); !got.Equal(later) {
		t.Errorf("got %s, want %s: the wait has begun", got, later)
	}
}
