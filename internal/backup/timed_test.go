package backup_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"holdfast/internal/backup"
	"holdfast/internal/problem"
)

// hung is a place that takes what it is given up to a point, and then says nothing any more until it is left.
type hung struct {
	backup.Folder
	takes int64
}

func (h hung) Put(ctx context.Context, _ string, r io.Reader) error {
	_, _ = io.CopyN(io.Discard, r, h.takes)
	<-ctx.Done()
	return ctx.Err()
}

func (h hung) Get(ctx context.Context, _ string) (io.ReadCloser, error) {
	r, w := io.Pipe()
	context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) })
	return r, nil
}

func (h hung) List(ctx context.Context) ([]string, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// slow gives a byte after each pause.
type slow struct {
	left  int
	pause time.Duration
}

func (s *slow) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.pause)
	s.left--
	b[0] = 'x'
	return 1, nil
}

// TestAPlaceMayBeSilentForItsLimit and no longer, whatever it is asked; how long we take ourselves is not its fault.
func TestAPlaceMayBeSilentForItsLimit(t *testing.T) {
	folder := backup.Folder(t.TempDir())
	const limit = 30 * time.Second
	tests := []struct {
		name string
		do   func(ctx context.Context) error
		took time.Duration // zero: it succeeds
	}{
		{"list", func(ctx context.Context) error { _, err := backup.Timed(hung{}, limit).List(ctx); return err }, limit},
		{"write", func(ctx context.Context) error {
			return backup.Timed(hung{takes: 3}, limit).Put(ctx, "a", strings.NewReader("what is long"))
		}, limit},
		{"read", func(ctx context.Context) error {
			r, err := backup.Timed(hung{}, limit).Get(ctx, "a")
			if err != nil {
				return err
			}
			time.Sleep(time.Hour)
			_, err = io.Copy(io.Discard, r)
			return errors.Join(err, r.Close())
		}, time.Hour + limit},
		{"slow to give", func(ctx context.Context) error { return backup.Timed(folder, limit).Put(ctx, "a", &slow{3, time.Hour}) }, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				err := tt.do(t.Context())
				if took := time.Since(began); tt.took > 0 && (problem.KindOf(err) != problem.Unavailable || took != tt.took) || tt.took == 0 && err != nil {
					t.Errorf("got %v after %s, want it ended after %s", err, took, tt.took)
				}
			})
		})
	}
}

// TestAPlaceThatWasSilentRestsForAWhile: it costs each round its limit else.
func TestAPlaceThatWasSilentRestsForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := backup.Timed(hung{}, time.Minute)
		for _, want := range []time.Duration{time.Minute, 0, 0} {
			began := time.Now()
			if _, err := p.List(t.Context()); problem.KindOf(err) != problem.Unavailable || time.Since(began) != want {
				t.Errorf("got %v after %s, want %s", err, time.Since(began), want)
			}
		}
		time.Sleep(10 * time.Minute)
		began := time.Now()
		if _, err := p.List(t.Context()); err == nil || time.Since(began) != time.Minute {
			t.Errorf("got %v after %s, want it asked again", err, time.Since(began))
		}
	})
}

// TestASilentServerHoldsUpNoOtherPlace: one that takes connections by SSH's port and never says a word is the first place, and the second has copy and
// increments. A real connection is what is ended.
func TestASilentServerHoldsUpNoOtherPlace(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	private, host := sshKey(t)
	far := &backup.SFTP{Address: l.Addr().String(), User: "holdfast", Folder: "/x", PrivateKey: private, HostKey: line(host.PublicKey())}
	s := newSite(t, "sqlite:"+filepath.Join(t.TempDir(), "plant.db"))
	s.opt.Places = []backup.Place{backup.Timed(far, 50*time.Millisecond), s.near}
	log, err := backup.OpenLog(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.opt.Log = log
	if _, err := backup.Create(t.Context(), s.src, s.opt); problem.KindOf(err) != problem.Unavailable || !strings.Contains(err.Error(), "silent") {
		t.Errorf("got %v, want the place that is silent", err)
	}
	s.owe("o1", 3)
	if through, err := log.Ship(t.Context(), s.src, s.opt); through.IsZero() || problem.KindOf(err) != problem.Unavailable {
		t.Errorf("shipped through %s, %v", through, err)
	}
	if proof, err := backup.Verify(t.Context(), s.near, "", s.trial(s.own)); err != nil || proof.Increments != 1 {
		t.Errorf("got %+v, %v, want copy and increment", proof, err)
	}
}

// TestAPlaceThatFailsIsAnAlarmOfItsOwn, once, while the others have what they need.
func TestAPlaceThatFailsIsAnAlarmOfItsOwn(t *testing.T) {
	near, away, stuck := backup.Folder(t.TempDir()), gone{backup.Folder(t.TempDir())}, full{backup.Folder(t.TempDir())}
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{made: map[string]int{}, proved: map[string]int{}}
		told := map[string]int{}
		c.s = backup.Schedule{
			Every: 24 * time.Hour, Places: []backup.Place{away, near, stuck}, Now: time.Now, Make: c.make, Prove: c.prove,
			Pruned: func(context.Context, backup.Place, []string) error { return nil }, Raise: c.raise, Logger: slog.New(slog.DiscardHandler),
			Failing: func(_ context.Context, p backup.Place, _ string) error {
				c.mu.Lock()
				defer c.mu.Unlock()
				told[p.String()]++
				return nil
			},
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.s.Run(ctx) }()
		time.Sleep(5 * time.Hour)
		c.mu.Lock()
		if told[away.String()] != 1 || told[stuck.String()] != 1 || len(told) != 2 {
			t.Errorf("told of %v, want each of the two once", told)
		}
		c.mu.Unlock()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// TestAPlaceThatLagsBehindIsAnAlarm: it has a copy that is young enough, and not what follows that in the other; were the other lost, that would be too. It is told once, and
// not of a place that has as much.
func TestAPlaceThatLagsBehindIsAnAlarm(t *testing.T) {
	near, same, lags := backup.Folder(t.TempDir()), backup.Folder(t.TempDir()), backup.Folder(t.TempDir())
	synctest.Test(t, func(t *testing.T) {
		c := &clockwork{made: map[string]int{}, proved: map[string]int{}}
		told := map[string][]string{}
		c.s = backup.Schedule{
			Every: 24 * time.Hour, Ship: 30 * time.Second, Places: []backup.Place{lags, near, same}, Now: time.Now, Make: c.make, Prove: c.prove,
			Pruned: func(context.Context, backup.Place, []string) error { return nil }, Raise: c.raise, Logger: slog.New(slog.DiscardHandler),
			Failing: func(_ context.Context, p backup.Place, why string) error {
				c.mu.Lock()
				defer c.mu.Unlock()
				told[p.String()] = append(told[p.String()], why)
				return nil
			},
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- c.s.Run(ctx) }()
		time.Sleep(time.Hour)
		all, err := backup.List(t.Context(), near, nil)
		if err != nil || len(all) != 1 {
			t.Fatalf("%d copies, %v, want one", len(all), err)
		}
		for n := 1; n <= 20; n++ {
			time.Sleep(15 * time.Minute)
			inc := fmt.Sprintf(`{"manifest":{"base":%q,"number":%d,"made":%q}}`+"\n", all[0].ID, n, time.Now().UTC().Format(time.RFC3339))
			for _, p := range []backup.Place{near, same} {
				if err := p.Put(t.Context(), fmt.Sprintf("%s.%06d.inc", all[0].ID, n), strings.NewReader(inc)); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.mu.Lock()
		if why := told[lags.String()]; len(told) != 1 || len(why) != 1 || !strings.Contains(why[0], "could bring the plant back to "+all[0].Made.Format(time.RFC3339)+" and no further; ") {
			t.Errorf("told %q, want of the one place once, with how far it and another reach", told)
		}
		c.mu.Unlock()
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// ahead is a place that reads all it is given, and then sends a byte after each pause.
type ahead struct {
	backup.Folder
	pause time.Duration
	bytes int
}

func (a ahead) Put(ctx context.Context, _ string, r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return err
	}
	for range a.bytes {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(a.pause):
		}
		_, _ = backup.Sending(ctx).Read(make([]byte, 1))
	}
	return nil
}

// TestWhatIsSentAfterItWasReadIsNoSilence: a store that is given pieces has the time that a piece takes on a slow line.
func TestWhatIsSentAfterItWasReadIsNoSilence(t *testing.T) {
	const limit = 30 * time.Second
	synctest.Test(t, func(t *testing.T) {
		if err := backup.Timed(ahead{pause: limit - time.Second, bytes: 100}, limit).Put(t.Context(), "a", strings.NewReader("x")); err != nil {
			t.Error(err)
		}
		if err := backup.Timed(ahead{pause: limit + time.Second, bytes: 2}, limit).Put(t.Context(), "a", strings.NewReader("x")); problem.KindOf(err) != problem.Unavailable {
			t.Errorf("got %v, want it silent", err)
		}
	})
}
