package backup_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/backup"
)

// TestCopiesCountByWhatIsRestoredFromElsewhere: what lies beside the machine is proven every day, and what lies elsewhere never opens. That is an alarm of the copies, and
// one of the place.
func TestCopiesCountByWhatIsRestoredFromElsewhere(t *testing.T) {
	for name, remote := range map[string]bool{"a remote place": true, "another folder of the machine": false} {
		t.Run(name, func(t *testing.T) {
			near, far := backup.Folder(t.TempDir()), backup.Folder(t.TempDir())
			synctest.Test(t, func(t *testing.T) {
				c := &clockwork{made: map[string]int{}, proved: map[string]int{}}
				var failing []string
				c.s = backup.Schedule{
					Every: 24 * time.Hour, Places: []backup.Place{near, far}, Now: time.Now, Make: c.make,
					Remote: func(p backup.Place) bool { return remote && p.String() == far.String() },
					Prove: func(ctx context.Context, p backup.Place) error {
						if p.String() == far.String() {
							return errors.New("the archive has all its bytes, and some are not those that were written")
						}
						return c.prove(ctx, p)
					},
					Failing: func(_ context.Context, p backup.Place, why string) error {
						failing = append(failing, p.String()+": "+why)
						return nil
					},
					Pruned: func(context.Context, backup.Place, []string) error { return nil },
					Raise:  c.raise, Logger: slog.New(slog.DiscardHandler),
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- c.s.Run(ctx) }()
				time.Sleep(10 * 24 * time.Hour)
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.proved[near.String()] < 4 {
					t.Errorf("the near place was proven %d times", c.proved[near.String()])
				}
				if told := slices.ContainsFunc(c.alarms, func(why string) bool { return strings.Contains(why, "from a place on another machine") }); told != remote {
					t.Errorf("alarms of the copies: %v", c.alarms)
				}
				if len(failing) != 1 || !strings.HasPrefix(failing[0], far.String()) || !strings.Contains(failing[0], "none of its copies was restored on trial") {
					t.Errorf("alarms of places: %v", failing)
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestARemotePlaceThatIsProvenIsNoAlarm, nor is the one beside the machine, which has turns of its own.
func TestARemotePlaceThatIsProvenIsNoAlarm(t *testing.T) {
	near, far := backup.Folder(t.TempDir()), backup.Folder(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{made: map[string]int{}, proved: map[string]int{}}
		var failing []string
		c.s = backup.Schedule{
			Every: 24 * time.Hour, Places: []backup.Place{near, far}, Now: time.Now, Make: c.make, Prove: c.prove,
			Remote: func(p backup.Place) bool { return p.String() == far.String() },
			Failing: func(_ context.Context, p backup.Place, why string) error {
				failing = append(failing, p.String()+": "+why)
				return nil
			},
			Pruned: func(context.Context, backup.Place, []string) error { return nil },
			Raise:  c.raise, Logger: slog.New(slog.DiscardHandler),
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.s.Run(ctx) }()
		time.Sleep(20 * 24 * time.Hour)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(failing) > 0 || len(c.alarms) > 0 || c.proved[near.String()] < 18 || c.proved[far.String()] < 18 {
			t.Errorf("proven %v, alarms %v and of places %v", c.proved, c.alarms, failing)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
