package inbox

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"holdfast/internal/problem"
)

// TestASourceThatRefusesUsIsAskedEachMinute, as a link is: until a person gives the right, each call is one in vain.
func TestASourceThatRefusesUsIsAskedEachMinute(t *testing.T) {
	i := &Inbox{cfg: Config{Retry: time.Second, MaxRetry: 30 * time.Second}}
	denied := fmt.Errorf("poll orders: %w", &problem.Error{Kind: problem.Denied, Why: "403"})
	for _, tt := range []struct {
		failures int
		err      error
		want     time.Duration
	}{{1, denied, time.Minute}, {50, denied, time.Minute}, {1, errors.New("away"), time.Second}, {50, errors.New("away"), 30 * time.Second}} {
		if got := i.rest(tt.failures, tt.err); got != tt.want {
			t.Errorf("after %d failures (%v): %s, want %s", tt.failures, tt.err, got, tt.want)
		}
	}
}
