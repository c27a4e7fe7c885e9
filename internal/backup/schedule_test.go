package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/backup"
)

// clockwork is a schedule whose copies are files of a few bytes: what is tested is when they are made, proven and removed.
type clockwork struct {
	s backup.Schedule

	mu     sync.Mutex
	broken bool // this and what follows is guarded by mu
	made   int
	proved map[string]int
	alarms []string
}

func (c *clockwork) make(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	var errs []error
	for _, p := range c.s.Places {
		id := time.Now().UTC().Format("20060102T150405Z") + "-000000"
		sealed := fmt.Sprintf(`{"manifest":{"id":%q,"made":%q}}`, id, time.Now().UTC().Format(time.RFC3339))
		errs = append(errs, p.Put(ctx, id+".tar.zst.age", strings.NewReader("x")), p.Put(ctx, id+".json", strings.NewReader(sealed)))
	}
	return errors.Join(errs...)
}

func (c *clockwork) prove(ctx context.Context, p backup.Place) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken {
		return errors.New("it cannot be opened")
	}
	all, err := backup.List(ctx, p)
	if err != nil || len(all) == 0 {
		return errors.Join(err, errors.New("nothing to prove"))
	}
	c.proved[p.String()]++
	return p.Put(ctx, all[0].ID+".proven.json", strings.NewReader(fmt.Sprintf(`{"id":%q}`, all[0].ID)))
}

func (c *clockwork) raise(_ context.Context, why string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.alarms = append(c.alarms, why)
	return nil
}

// TestCopiesAreMadeProvenAndRemovedInTime lets days pass. Each day a copy is made in both places and one of them proven in turn; four of them stay. When none can be proven any more, that is an alarm, once.
func TestCopiesAreMadeProvenAndRemovedInTime(t *testing.T) {
	near, far := backup.Folder(t.TempDir()), backup.Folder(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{proved: map[string]int{}}
		c.s = backup.Schedule{
			Every: 24 * time.Hour, Keep: backup.Keep{Count: 4}, Places: []backup.Place{near, far}, Now: time.Now,
			Make: c.make, Prove: c.prove, Pruned: func(context.Context, backup.Place, []string) error { return nil },
			Raise: c.raise, Log: slog.New(slog.DiscardHandler),
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.s.Run(ctx) }()
		time.Sleep(8*24*time.Hour + time.Hour)
		c.mu.Lock()
		if c.made < 8 || c.made > 9 || c.proved[near.String()] < 3 || c.proved[far.String()] < 3 || len(c.alarms) > 0 {
			t.Errorf("in eight days %d copies were made, %v proven, alarms %v", c.made, c.proved, c.alarms)
		}
		for _, p := range c.s.Places {
			if all, err := backup.List(ctx, p); err != nil || len(all) < 4 || len(all) > 6 {
				t.Errorf("%d copies are in %s, %v, want the newest 4 and what was proven last", len(all), p, err)
			}
		}
		c.broken = true
		c.mu.Unlock()
		time.Sleep(4 * 24 * time.Hour)
		c.mu.Lock()
		if len(c.alarms) != 1 {
			t.Errorf("got the alarms %v, want one", c.alarms)
		}
		c.mu.Unlock()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// gone is a place that cannot be reached.
type gone struct{ backup.Folder }

func (gone) Put(context.Context, string, io.Reader) error { return errors.New("no route to it") }

func (gone) List(context.Context) ([]string, error) { return nil, errors.New("no route to it") }

func (gone) Get(context.Context, string) (io.ReadCloser, error) {
	return nil, errors.New("no route to it")
}

// TestAPlaceThatIsAwayStopsNoCopyElsewhere, and does not have the others fill up either.
func TestAPlaceThatIsAwayStopsNoCopyElsewhere(t *testing.T) {
	near, away := backup.Folder(t.TempDir()), gone{backup.Folder(t.TempDir())}
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{proved: map[string]int{}}
		c.s = backup.Schedule{
			Every: 24 * time.Hour, Places: []backup.Place{away, near}, Now: time.Now, Make: c.make, Prove: c.prove,
			Pruned: func(context.Context, backup.Place, []string) error { return nil }, Raise: c.raise, Log: slog.New(slog.DiscardHandler),
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.s.Run(ctx) }()
		time.Sleep(4*24*time.Hour + time.Hour)
		c.mu.Lock()
		if c.made < 4 || c.made > 5 || c.proved[near.String()] < 4 || len(c.alarms) > 0 {
			t.Errorf("in four days %d copies were made, %v proven, alarms %v", c.made, c.proved, c.alarms)
		}
		c.mu.Unlock()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
