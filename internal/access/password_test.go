package access_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"holdfast/internal/access"
)

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
				done, err := u.Turn(ctx, network)
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
