package backup

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"holdfast/internal/problem"
)

// Timed is a place that does not hold up the others: an operation is ended that for as long as the limit neither gives nor takes a byte, and for ten
// times as long every other then fails at once. The place must end what it does with the context.
func Timed(p Place, limit time.Duration) Place {
	return &timed{Place: p, limit: limit}
}

type timed struct {
	Place
	limit time.Duration

	mu     sync.Mutex
	silent time.Time // when it was found silent last; guarded by mu
}

// errSilent ends an operation.
var errSilent = errors.New("it does not answer")

// watch ends its context when nothing has moved for the limit.
type watch struct {
	context.Context
	of    *timed
	timer *time.Timer
	stop  context.CancelCauseFunc
}

func (t *timed) watch(ctx context.Context) (*watch, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if rest := 10 * t.limit; !t.silent.IsZero() && time.Since(t.silent) < rest {
		return nil, t.away("it did not answer at " + t.silent.Format(time.RFC3339) + " and is asked again after " + rest.String())
	}
	ctx, stop := context.WithCancelCause(ctx)
	return &watch{ctx, t, time.AfterFunc(t.limit, func() { stop(errSilent) }), stop}, nil
}

func (t *timed) away(why string) error {
	return &problem.Error{
		Kind: problem.Unavailable, What: "reach " + t.String(), Why: why, Hint: "look at that machine and the way there; the place's timeout says how long it may be silent",
	}
}

// movedKey is that of a watch in its own context.
type movedKey struct{}

// Value is context.Context: what works for the place finds the watch.
func (w *watch) Value(key any) any {
	if key == (movedKey{}) {
		return w
	}
	return w.Context.Value(key)
}

// Sending is for a place that reads a piece ahead of sending it: each read says that bytes have gone out. nil if nobody watches.
func Sending(ctx context.Context) io.Reader {
	w, ok := ctx.Value(movedKey{}).(*watch)
	if !ok {
		return nil
	}
	return moved{w}
}

type moved struct{ w *watch }

// Read is io.Reader.
func (m moved) Read(b []byte) (int, error) {
	m.w.timer.Reset(m.w.of.limit)
	return len(b), nil
}

// end is what an operation ended with.
func (w *watch) end(err error) error {
	w.timer.Stop()
	w.stop(context.Canceled)
	w.of.mu.Lock()
	defer w.of.mu.Unlock()
	if err != nil && errors.Is(context.Cause(w.Context), errSilent) {
		w.of.silent = time.Now()
		return w.of.away("it was silent for " + w.of.limit.String())
	}
	if err == nil {
		w.of.silent = time.Time{}
	}
	return err
}

// Put is Place. The time that the reader takes is not the place's.
func (t *timed) Put(ctx context.Context, name string, r io.Reader) error {
	w, err := t.watch(ctx)
	if err != nil {
		return err
	}
	return w.end(t.Place.Put(w, name, giving{r, w}))
}

// giving stops the watch while what is to be written is read.
type giving struct {
	r io.Reader
	w *watch
}

// Read is io.Reader.
func (g giving) Read(b []byte) (int, error) {
	g.w.timer.Stop()
	defer g.w.timer.Reset(g.w.of.limit)
	return g.r.Read(b)
}

// Get is Place. The time between two reads is not the place's.
func (t *timed) Get(ctx context.Context, name string) (io.ReadCloser, error) {
	w, err := t.watch(ctx)
	if err != nil {
		return nil, err
	}
	r, err := t.Place.Get(w, name)
	if err != nil {
		return nil, w.end(err)
	}
	w.timer.Stop()
	return taking{r, w}, nil
}

// taking runs the watch while something is read from the place.
type taking struct {
	io.ReadCloser
	w *watch
}

// Read is io.Reader.
func (t taking) Read(b []byte) (int, error) {
	t.w.timer.Reset(t.w.of.limit)
	n, err := t.ReadCloser.Read(b)
	t.w.timer.Stop()
	if err != nil && !errors.Is(err, io.EOF) {
		err = t.w.end(err)
	}
	return n, err
}

// Close ends the watch.
func (t taking) Close() error { return errors.Join(t.ReadCloser.Close(), t.w.end(nil)) }

// List is Place.
func (t *timed) List(ctx context.Context) ([]string, error) {
	w, err := t.watch(ctx)
	if err != nil {
		return nil, err
	}
	names, err := t.Place.List(w)
	return names, w.end(err)
}

// Remove is Place.
func (t *timed) Remove(ctx context.Context, name string) error {
	w, err := t.watch(ctx)
	if err != nil {
		return err
	}
	return w.end(t.Place.Remove(w, name))
}

func (t *timed) sweep(ctx context.Context, then time.Time) error {
	s, can := t.Place.(sweeper)
	if !can {
		return nil
	}
	w, err := t.watch(ctx)
	if err != nil {
		return err
	}
	return w.end(s.sweep(w, then))
}
