package wire_test

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"holdfast/adapters/wire"
	"holdfast/internal/problem"
)

// door is a far side that knows one secret, behind a Guard.
type door struct {
	t     *testing.T
	guard *wire.Guard

	mu      sync.Mutex
	secret  string // ours
	right   string // its
	refused int
	told    int
}

func newDoor(t *testing.T) *door {
	d := &door{t: t, secret: "old", right: "new"}
	d.guard = wire.NewGuard(func() {})
	d.guard.WhenDenied(func(why error) {
		if d.told++; problem.KindOf(why) != problem.Denied {
			t.Errorf("told %v", why)
		}
	})
	return d
}

// knock has eight workers send forty requests, and gives how many were answered well.
func (d *door) knock() (well int) {
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 5 {
				if d.one() {
					d.mu.Lock()
					well++
					d.mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	return well
}

func (d *door) one() bool {
	var sent string
	left, err := d.guard.Enter(d.t.Context(), func(context.Context) (string, error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		sent = d.secret
		return sent, nil
	})
	if err != nil {
		if problem.KindOf(err) != problem.Denied {
			d.t.Errorf("got %v", err)
		}
		return false
	}
	d.mu.Lock()
	ok := sent == d.right
	if !ok {
		d.refused++
	}
	d.mu.Unlock()
	if ok {
		left(http.StatusCreated)
	} else {
		left(http.StatusUnauthorized)
	}
	return ok
}

// TestNoUserIsLockedByTries: however many requests wait and however often, a secret that was refused rests for longer each time, another is tried
// at once, and somebody hears of it once an hour.
func TestNoUserIsLockedByTries(t *testing.T) {
	d, at := newDoor(t), time.Now()
	d.guard.Now = func() time.Time { return at }
	for _, step := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {59 * time.Second, 1}, {2 * time.Second, 2}, {9 * time.Minute, 2}, {2 * time.Minute, 3}, {59 * time.Minute, 3}, {2 * time.Minute, 4}} {
		at = at.Add(step.after)
		if well := d.knock(); well > 0 || d.refused != step.want {
			t.Errorf("after %s: %d requests were refused, want %d; %d went well", step.after, d.refused, step.want, well)
		}
	}
	if d.told != 2 {
		t.Errorf("told %d times, want at its beginning and an hour later", d.told)
	}
	d.secret = "new"
	if well := d.knock(); well != 40 || d.refused != 4 {
		t.Errorf("%d of 40 went well with another secret, %d refused", well, d.refused)
	}
}

// TestATokenThatEndedRestsFromTheSecondTimeOn: what is refused once may only have come to its end.
func TestATokenThatEndedRestsFromTheSecondTimeOn(t *testing.T) {
	d := newDoor(t)
	d.guard.Spare = 1
	for want := range 3 {
		if d.refused != want || d.told != max(0, want-1) {
			t.Errorf("%d refused, told %d times, want %d and %d", d.refused, d.told, want, max(0, want-1))
		}
		d.one()
	}
	if d.refused != 2 {
		t.Errorf("%d refused, want none while it rests", d.refused)
	}
}

// TestASecretThatCannotBeHadHoldsUpNobody.
func TestASecretThatCannotBeHadHoldsUpNobody(t *testing.T) {
	d := newDoor(t)
	none := errors.New("none")
	if _, err := d.guard.Enter(t.Context(), func(context.Context) (string, error) { return "", none }); !errors.Is(err, none) {
		t.Errorf("got %v", err)
	}
	d.secret = "new"
	if well := d.knock(); well != 40 {
		t.Errorf("%d of 40 went well afterwards", well)
	}
}
