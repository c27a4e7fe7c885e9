package inbox

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"holdfast/internal/problem"
)

// later is an error that says how long to wait.
type later struct{ error }

func (later) RetryAfter() time.Duration { return 7 * time.Minute }

// TestASourceThatRefusesUsIsAskedEachMinute, as a link is: until a person gives the right, each call is one in vain. One that puts us off is asked when it says.
func TestASourceThatRefusesUsIsAskedEachMinute(t *testing.T) {
	i := &Inbox{cfg: Config{Retry: time.Second, MaxRetry: 30 * time.Second}}
	denied := fmt.Errorf("poll orders: %w", &problem.Error{Kind: problem.Denied, Why: "403"})
	for _, tt := range []struct {
		failures int
		err      error
		want     time.Duration
	}{
		{1, denied, time.Minute},
		{50, denied, time.Minute},
		{1, errors.New("away"), time.Second},
		{50, errors.New("away"), 30 * time.Second},
		{1, fmt.Errorf("poll orders: %w", later{errors.New("429")}), 7 * time.Minute},
	} {
		if got := i.rest(tt.failures, tt.err); got != tt.want {
			t.Errorf("after %d failures (%v): %s, want %s", tt.failures, tt.err, got, tt.want)
		}
	}
}
