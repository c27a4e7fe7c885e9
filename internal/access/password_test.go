package access_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"holdfast/internal/access"
)

// TestACrowdAtOneAddressDelaysItsNetworkByOneTurn: it waits for its own, and is told so at once where it is too many; a terminal waits for neither.
func TestACrowdAtOneAddressDelaysItsNetworkByOneTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := access.NewUsers("1000", nil)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		turns, ends, refused := []string{}, []func(){}, 0
		ask := func(from, terminal string) {
			go func() {
				done, err := u.Turn(ctx, from, terminal)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					refused++
					return
				}
				turns, ends = append(turns, from+terminal), append(ends, done)
			}()
			synctest.Wait()
		}
		for range 100 {
			ask("2001:db8::bad", "")
		}
		if refused != 83 { // one has its turn, 16 wait
			t.Errorf("%d of 100 were refused at once, want 83", refused)
		}
		ask("2001:db8::2", "")
		ask("2001:db8:1::1", "")
		ask("2001:db8:2::1", "")
		ask("2001:db8::bad", "line 7")
		ends[0]()
		synctest.Wait()
		if want := []string{"2001:db8::bad", "2001:db8:1::1", "2001:db8::badline 7", "2001:db8:2::1"}; !slices.Equal(turns, want) {
			t.Errorf("turns went to %q, want %q: the other two were taken, and the floor has its own", turns, want)
		}
		ends[1]()
		synctest.Wait()
		if got := turns[len(turns)-1]; got != "2001:db8::2" {
			t.Errorf("then to %s, want the colleague in the crowd's network", got)
		}
		cancel()
		synctest.Wait()
		for _, end := range ends[2:] {
			end()
		}
		synctest.Wait()
		if n := u.Waiting(); n != 0 {
			t.Errorf("%d seats are kept though nobody waits, want none", n)
		}
	})
}

// TestACrowdInOneNetworkTakesOneTurn: the others have theirs beside it, and before its next.
func TestACrowdInOneNetworkTakesOneTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		u := access.NewUsers("1000", nil)
		ctx, cancel := context.WithCancel(t.Context())
		var mu sync.Mutex
		var got []string
		var ends []func()
		ask := func(network string) {
			go func() {
				done, err := u.Turn(ctx, network, "")
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				got, ends = append(got, network), append(ends, done)
			}()
			synctest.Wait()
		}
		for range 40 {
			ask("crowd")
		}
		ask("anna")
		ask("ben")
		if want := []string{"crowd", "anna"}; !slices.Equal(got, want) {
			t.Fatalf("%q have a turn, want %q", got, want)
		}
		ends[0]()
		synctest.Wait()
		ends[1]()
		synctest.Wait()
		if want := []string{"crowd", "anna", "ben", "crowd"}; !slices.Equal(got, want) {
			t.Errorf("turns went to %q, want %q", got, want)
		}
		cancel()
		synctest.Wait()
		for _, end := range ends[2:] {
			end()
		}
		if n := u.Waiting(); n != 0 {
			t.Errorf("%d networks are kept though nobody waits, want none", n)
		}
	})
}
