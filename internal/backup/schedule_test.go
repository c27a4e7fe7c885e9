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
	broken bool           // this and what follows is guarded by mu
	made   map[string]int // copies by place
	proved map[string]int
	alarms []string
	by     backup.Trust
}

func (c *clockwork) make(ctx context.Context, to []backup.Place) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, p := range to {
		c.made[p.String()]++
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
	all, err := backup.List(ctx, p, nil)
	if err != nil || len(all) == 0 {
		return errors.Join(err, errors.New("nothing to prove"))
	}
	c.proved[p.String()]++
	return p.Put(ctx, all[0].ID+".proven.json", strings.NewReader(fmt.Sprintf(`{"manifest":{"id":%q}}`, all[0].ID)))
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
		c := &clockwork{made: map[string]int{}, proved: map[string]int{}}
		c.s = backup.Schedule{
			Every: 24 * time.Hour, Keep: backup.Keep{Count: 4}, Places: []backup.Place{near, far}, Now: time.Now,
			Make: c.make, Prove: c.prove, Pruned: func(context.Context, backup.Place, []string) error { return nil },
			Raise: c.raise, Logger: slog.New(slog.DiscardHandler),
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.s.Run(ctx) }()
		time.Sleep(8*24*time.Hour + time.Hour)
		c.mu.Lock()
		if c.made[near.String()] < 8 || c.made[near.String()] > 9 || c.proved[near.String()] < 3 || c.proved[far.String()] < 3 || len(c.alarms) > 0 {
			t.Errorf("in eight days %v copies were made, %v proven, alarms %v", c.made, c.proved, c.alarms)
		}
		for _, p := range c.s.Places {
			if all, err := backup.List(ctx, p, nil); err != nil || len(all) < 4 || len(all) > 6 {
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
		c := &clockwork{made: map[string]int{}, proved: map[string]int{}}
		c.s = backup.Schedule{
			Every: 24 * time.Hour, Places: []backup.Place{away, near}, Now: time.Now, Make: c.make, Prove: c.prove,
			Pruned: func(context.Context, backup.Place, []string) error { return nil }, Raise: c.raise, Logger: slog.New(slog.DiscardHandler),
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.s.Run(ctx) }()
		time.Sleep(4*24*time.Hour + time.Hour)
		c.mu.Lock()
		if c.made[near.String()] < 4 || c.made[near.String()] > 5 || c.proved[near.String()] < 4 || len(c.alarms) > 0 {
			t.Errorf("in four days %v copies were made, %v proven, alarms %v", c.made, c.proved, c.alarms)
		}
		c.mu.Unlock()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// full is a place that can be listed and takes nothing.
type full struct{ backup.Folder }

func (full) Put(context.Context, string, io.Reader) error { return errors.New("no space is left") }

// TestAFullPlaceRepeatsNoCopyElsewhere: it is tried again alone.
func TestAFullPlaceRepeatsNoCopyElsewhere(t *testing.T) {
	near, stuck := backup.Folder(t.TempDir()), full{backup.Folder(t.TempDir())}
	synctest.Test(t, func(t *testing.T) {
		c := run(t, near, stuck)
		time.Sleep(2*24*time.Hour + time.Hour)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.made[near.String()] > 3 || c.made[stuck.String()] < 24 {
			t.Errorf("in two days %v copies were made, want one a day where there is room", c.made)
		}
	})
}

// run has a schedule of a copy a day run until the test ends.
func run(t *testing.T, places ...backup.Place) *clockwork {
	t.Helper()
	c := &clockwork{made: map[string]int{}, proved: map[string]int{}}
	c.s = backup.Schedule{
		Every: 24 * time.Hour, Places: places, Now: time.Now, Make: c.make, Prove: c.prove, Trust: c.trust,
		Pruned: func(context.Context, backup.Place, []string) error { return nil }, Raise: c.raise, Logger: slog.New(slog.DiscardHandler),
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- c.s.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

// trust is nobody's, unless the test says whose.
func (c *clockwork) trust(context.Context) (backup.Trust, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by, nil
}

// TestADateThatNobodyHasSignedStopsNothing: whoever can write to a place can put a copy of next year there, and a proof of it.
func TestADateThatNobodyHasSignedStopsNothing(t *testing.T) {
	near := backup.Folder(t.TempDir())
	for name, text := range map[string]string{
		"20990101T000000Z-000000.tar.zst.age": "x", "20990101T000000Z-000000.json": `{"manifest":{"id":"20990101T000000Z-000000","made":"2099-01-01T00:00:00Z"}}`,
		"20990101T000000Z-000000.proven.json": `{"manifest":{"id":"20990101T000000Z-000000"}}`,
	} {
		if err := near.Put(t.Context(), name, strings.NewReader(text)); err != nil {
			t.Fatal(err)
		}
	}
	synctest.Test(t, func(t *testing.T) {
		c := run(t, near)
		c.mu.Lock()
		c.by = &signer{newKey(t)}
		c.mu.Unlock()
		time.Sleep(4 * 24 * time.Hour)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.made[near.String()] < 3 || len(c.alarms) != 1 {
			t.Errorf("in four days %v copies were made and %d alarms raised, want both: nothing that is there can be believed", c.made, len(c.alarms))
		}
	})
}

// TestARecoveryPointThatIsTooOldIsAnAlarm: once each time, and also where it is one of before the start.
func TestARecoveryPointThatIsTooOldIsAnAlarm(t *testing.T) {
	near, folder := backup.Folder(t.TempDir()), t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{made: map[string]int{}, proved: map[string]int{}, broken: true}
		if err := c.make(t.Context(), []backup.Place{near}); err != nil { // of an earlier life
			t.Fatal(err)
		}
		time.Sleep(3 * time.Minute)
		log, err := backup.OpenLog(folder)
		if err != nil {
			t.Fatal(err)
		}
		c.s = backup.Schedule{
			Every: 24 * time.Hour, Ship: 30 * time.Second, Behind: 5 * time.Minute, Places: []backup.Place{near}, Log: log, Now: time.Now, Late: c.raise,
			Make: func(context.Context, []backup.Place) error { return errors.New("no room") }, Logger: slog.New(slog.DiscardHandler),
			Shipped: func(context.Context) (time.Time, error) {
				c.mu.Lock()
				defer c.mu.Unlock()
				if c.broken {
					return time.Time{}, errors.New("no route to it")
				}
				return time.Now(), nil
			},
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.s.RunLog(ctx) }()
		want := func(after time.Duration, broken bool, alarms int) {
			t.Helper()
			time.Sleep(after)
			c.mu.Lock()
			defer c.mu.Unlock()
			if len(c.alarms) != alarms {
				t.Errorf("got %d alarms %q, want %d", len(c.alarms), c.alarms, alarms)
			}
			c.broken = broken
		}
		want(time.Minute, true, 0)    // four minutes old
		want(2*time.Minute, true, 1)  // six
		want(time.Hour, false, 1)     // told
		want(10*time.Minute, true, 1) // it is shipped again
		want(4*time.Minute, true, 1)  // four minutes
		want(2*time.Minute, false, 2) // six
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
