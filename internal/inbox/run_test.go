package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestACrashRepeatsTheMappingNeverTheEffect ends the process, as far as the database can tell, ahead of every statement in turn.
func TestACrashRepeatsTheMappingNeverTheEffect(t *testing.T) {
	crash := errors.New("killed")
	var left atomic.Int64 // statements until the crash; below zero for none
	left.Store(-1)
	crashes := 0
	before := func(context.Context, string) error {
		if left.Load() >= 0 && left.Add(-1) < 0 {
			crashes++
			return crash
		}
		return nil
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &world{t: t, db: db, plant: &plant{}}
		left.Store(-1)
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `CREATE TABLE effects (id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, call BIGINT NOT NULL)`)
			return err
		})
		w.Inbox = w.another(inbox.Config{Attempts: 1000, Retry: time.Nanosecond, MaxRetry: time.Nanosecond})
		var want []string
		for n := range int64(25) {
			in := numbered(n + 1)
			want = append(want, in.ID)
			left.Store(n % 9) // somewhere between the first statement of Accept and its commit
			acknowledged := db.InTx(t.Context(), func(tx *store.Tx) error {
				_, err := w.Receive(t.Context(), tx, in, "erp")
				return err
			}) == nil
			left.Store(-1)
			if !acknowledged {
				w.fresh(in) // the sender was told nothing, so it sends again
			}
			left.Store(n % 7) // somewhere between the claim and the commit of the effect
			if _, err := w.Step(t.Context()); err != nil && !errors.Is(err, crash) {
				t.Fatal(err)
			}
			left.Store(-1)
			w.drain()
		}
		w.wantEffects(want...)
		if crashes < 40 {
			t.Errorf("only %d crashes were made", crashes)
		}
		crashes = 0
	}, storetest.WithBefore(before))
}

// TestACrashInABatchRepeatsAllOrNothing does the same to batches of several lanes with a refusal among them.
func TestACrashInABatchRepeatsAllOrNothing(t *testing.T) {
	crash := errors.New("killed")
	var left atomic.Int64
	left.Store(-1)
	before := func(context.Context, string) error {
		if left.Load() >= 0 && left.Add(-1) < 0 {
			return crash
		}
		return nil
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &world{t: t, db: db, plant: &plant{}}
		left.Store(-1)
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `CREATE TABLE effects (id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, call BIGINT NOT NULL)`)
			return err
		})
		w.Inbox = w.another(inbox.Config{Attempts: 1000, Retry: time.Nanosecond, MaxRetry: time.Nanosecond, MaxEarly: 2})
		crashed := func(do func() error) bool {
			err := do()
			left.Store(-1)
			if err != nil && !errors.Is(err, crash) {
				t.Fatal(err)
			}
			return err != nil
		}
		const lanes, each = 3, 8
		number := map[int]int64{}
		for n := range int64(each) {
			var batch []message.Incoming
			for lane := range lanes {
				number[lane]++
				in := numbered(each - number[lane] + 1) // the last comes first, so that some are put aside
				in.ID, in.Lane = fmt.Sprintf("%d/%d", lane, in.Number-1), fmt.Sprint("L", lane)
				batch = append(batch, in)
			}
			refused := plain(fmt.Sprint("no", n), fmt.Sprint("o", n))
			w.plant.set(refused.ID, refusal("no"))
			batch = append(batch, refused)
			left.Store(n)
			if crashed(func() error {
				return db.InTx(t.Context(), func(tx *store.Tx) (err error) {
					for _, in := range batch {
						if _, err = w.Receive(t.Context(), tx, in, "erp"); err != nil {
							return err
						}
					}
					return nil
				})
			}) {
				w.all(batch...)
			}
			left.Store(n)
			for _, taken := range w.all(batch...) { // the sender did not hear, and the database fails once more
				if taken.Fresh || taken.Err != nil || taken.Rejected != 0 {
					t.Errorf("taken again as %+v", taken)
				}
			}
			left.Store(2 * n)
			crashed(func() error { _, err := w.Step(t.Context()); return err })
		}
		for n := range int64(40) {
			left.Store(n)
			crashed(func() error { _, err := w.Step(t.Context()); return err })
		}
		w.drain()
		if !inOrder(w.effects()) {
			t.Errorf("effects out of order: %q", w.effects())
		}
		if len(w.effects()) != lanes*each {
			t.Errorf("%d effects, want %d", len(w.effects()), lanes*each)
		}
		if s := w.status(); s.Waiting != 0 || s.Gaps != 0 || s.Quarantined != each {
			t.Errorf("status = %+v, want only what was refused", s)
		}
	}, storetest.WithBefore(before))
}

// TestACrashAfterTheEffectBeforeTheCommit has the transaction fail once the plant has acted.
func TestACrashAfterTheEffectBeforeTheCommit(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		ctx, cancel := context.WithCancel(t.Context())
		dying := inbox.New(w.db, mapper{}, func(ctx context.Context, tx *store.Tx, m message.Message) error {
			defer cancel() // everything after the effect fails, the commit too
			return w.plant.apply(ctx, tx, m)
		}, inbox.Config{}, quiet())
		w.fresh(numbered(1), numbered(2))
		if _, err := dying.Step(ctx); err == nil {
			t.Fatal("the crash was not noticed")
		}
		w.wantEffects()
		for end := time.Now().Add(10 * time.Second); len(w.effects()) == 0 && time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
			w.drain() // PostgreSQL may hold the lane of who has died for a moment yet
		}
		w.wantEffects("m1", "m2")
		if n := w.calls(); n != 3 {
			t.Errorf("the plant was called %d times, want 3", n)
		}
	})
}

// TestManyInboxesNeverDoubleAnEffect runs several on one database while senders repeat themselves.
func TestManyInboxesNeverDoubleAnEffect(t *testing.T) {
	const lanes, each = 6, 15
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &world{t: t, db: db, plant: &plant{}}
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `CREATE TABLE effects (id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, call BIGINT NOT NULL)`)
			return err
		})
		w.Inbox = w.another(inbox.Config{})
		ctx, stop := context.WithCancel(t.Context())
		var running, sending sync.WaitGroup
		for range 3 {
			in := w.another(inbox.Config{Batch: 4, Poll: 10 * time.Millisecond, Retry: time.Millisecond})
			running.Go(func() {
				if err := in.Run(ctx); err != nil {
					t.Errorf("run: %v", err)
				}
			})
		}
		for sender := range 2 { // each sender sends everything, in batches that are not those of the other
			sending.Go(func() {
				var all []message.Incoming
				for n := range int64(each) {
					for lane := range lanes {
						in := numbered(n + 1)
						in.ID, in.Lane = fmt.Sprintf("%d/%d", lane, n), fmt.Sprint("L", lane)
						all = append(all, in)
					}
				}
				for batch := range slices.Chunk(all, 5+4*sender) {
					taken, err := w.ReceiveAll(ctx, batch, "erp")
					if err != nil {
						t.Errorf("receive: %v", err)
					}
					for _, m := range taken {
						if m.Err != nil || m.Rejected != 0 {
							t.Errorf("taken as %+v", m)
						}
					}
				}
			})
		}
		sending.Wait()
		w.until(func() bool { return len(w.effects()) >= lanes*each })
		stop()
		running.Wait()
		got := w.effects()
		slices.Sort(got)
		if !inOrder(w.effects()) {
			t.Errorf("effects out of order: %q", w.effects())
		}
		if len(slices.Compact(got)) != lanes*each || len(got) != lanes*each {
			t.Errorf("%d effects, want %d", len(got), lanes*each)
		}
		if s := w.status(); s.Waiting != 0 {
			t.Errorf("status = %+v, want nothing waiting", s)
		}
	})
}

// inOrder tells whether the effects of each lane, named LANE/NUMBER, come one after the other.
func inOrder(effects []string) bool {
	next := map[string]int{}
	for _, id := range effects {
		lane, number, _ := strings.Cut(id, "/")
		if n, err := strconv.Atoi(number); err != nil || n != next[lane] {
			return false
		}
		next[lane]++
	}
	return true
}

// until waits for something that another goroutine does through the database.
func (w *world) until(ok func() bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 3*time.Minute)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-ctx.Done():
			w.t.Fatal("it does not happen")
		case <-tick.C:
		}
	}
}

// pages is a source of numbered pages; the cursor is the number of the next one.
type pages struct {
	mu    sync.Mutex
	pages [][]message.Incoming
	fail  int // calls that fail first
	calls int
}

func (p *pages) Poll(_ context.Context, cursor string) ([]message.Incoming, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.fail > 0 {
		p.fail--
		return nil, cursor, errors.New("the ERP is away")
	}
	n, _ := strconv.Atoi(cursor)
	if n >= len(p.pages) {
		return nil, cursor, nil
	}
	return p.pages[n], strconv.Itoa(n + 1), nil
}

func (p *pages) polled() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// mend ends the failures.
func (p *pages) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fail = 0
}

func TestAFeedIsPolledToItsEndAndTakenUpThere(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := &world{t: t, db: db, plant: &plant{}}
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `CREATE TABLE effects (id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, call BIGINT NOT NULL)`)
			return err
		})
		bad := numbered(2)
		bad.ID, bad.Claimed = "forged", "00"
		src := &pages{fail: 2, pages: [][]message.Incoming{{numbered(1)}, {bad, numbered(2)}, {numbered(3), numbered(1)}}}
		cfg := inbox.Config{
			Poll: 10 * time.Millisecond, Retry: time.Millisecond, MaxRetry: 2 * time.Millisecond,
			Feeds: []inbox.Feed{{Name: "orders", Link: "sap", Every: 2 * time.Millisecond, Source: src}},
		}
		w.Inbox = w.another(cfg)
		run := func(until func() bool) {
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- w.Run(ctx) }()
			w.until(until)
			stop()
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
		}
		run(func() bool { return len(w.effects()) == 3 })
		w.wantEffects("m1", "m2", "m3")
		s := w.status()
		if len(s.Feeds) != 1 || s.Feeds[0].Cursor != "3" || s.Feeds[0].Trouble != "" || s.Feeds[0].PolledAt.IsZero() || s.Rejected != 1 {
			t.Errorf("status = %+v", s)
		}
		if m := w.list(inbox.Filter{ID: "m1"})[0]; m.Link != "sap" {
			t.Errorf("link = %q, want sap", m.Link)
		}

		src.mu.Lock()
		src.pages = append(src.pages, []message.Incoming{numbered(4)})
		src.mu.Unlock()
		run(func() bool { return len(w.effects()) == 4 })

		w.tx(func(tx *store.Tx) error { return w.ResetCursor(t.Context(), tx, "orders") })
		if err := db.InTx(t.Context(), func(tx *store.Tx) error { return w.ResetCursor(t.Context(), tx, "none") }); err == nil {
			t.Error("a feed that is not there was reset")
		}
		run(func() bool { return w.status().Feeds[0].Cursor == "4" })
		w.wantEffects("m1", "m2", "m3", "m4")
	})
}

// TestAFeedThatFailsSaysSo looks at the trouble that is kept while the source is away, and at the log: a line when it begins to
// fail, a line when that is over, however often it was tried in between.
func TestAFeedThatFailsSaysSo(t *testing.T) {
	db := storetest.SQLite(t)
	if err := db.Ping(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	src := &pages{fail: 1 << 30}
	var log bytes.Buffer
	in := inbox.New(db, mapper{}, (&plant{}).apply, inbox.Config{
		Retry: time.Millisecond, MaxRetry: time.Millisecond,
		Feeds: []inbox.Feed{{Name: "orders", Every: time.Millisecond, Source: src}},
	}, slog.New(slog.NewTextHandler(&log, nil)))
	w := &world{t: t, db: db, Inbox: in}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- in.Run(ctx) }()
	w.until(func() bool {
		f := w.status().Feeds
		return len(f) == 1 && strings.Contains(f[0].Trouble, "the ERP is away") && src.polled() >= 3
	})
	src.mend()
	w.until(func() bool { return w.status().Feeds[0].Trouble == "" })
	stop()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
	for line, want := range map[string]int{"cannot be polled": 1, "can be polled again": 1} {
		if got := strings.Count(log.String(), line); got != want {
			t.Errorf("%q stands %d times in the log, want %d:\n%s", line, got, want, log.String())
		}
	}
}

// TestOneOfTwoPollsAFeed has the other take over when the first one stops.
func TestOneOfTwoPollsAFeed(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		first, second := &pages{}, &pages{}
		start := func(src *pages) (stop func()) {
			in := w.another(inbox.Config{Feeds: []inbox.Feed{{Name: "orders", Every: time.Millisecond, Source: src}}})
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error)
			go func() { done <- in.Run(ctx) }()
			return func() {
				cancel()
				if err := <-done; err != nil {
					t.Errorf("run: %v", err)
				}
			}
		}
		calls := func(p *pages) int {
			p.mu.Lock()
			defer p.mu.Unlock()
			return p.calls
		}
		stopFirst := start(first)
		w.until(func() bool { return calls(first) > 0 })
		stopSecond := start(second)
		n := calls(first)
		w.until(func() bool { return calls(first) > n+3 })
		if calls(second) != 0 {
			t.Error("both polled")
		}
		stopFirst()
		w.until(func() bool { return calls(second) > 0 })
		stopSecond()
	})
}

// TestAKilledNodeTakesItsFeedsBack begins with what a process leaves behind that was killed while it held a feed.
func TestAKilledNodeTakesItsFeedsBack(t *testing.T) {
	tests := []struct {
		name, owner string
		left        time.Duration // of the lease
	}{
		{"its own", "node-1", time.Minute},
		{"another's, given while a clock was a day ahead", "node-2", 26 * time.Hour},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			each(t, inbox.Config{}, func(t *testing.T, w *world) {
				w.tx(func(tx *store.Tx) error {
					_, err := tx.Exec(t.Context(), `INSERT INTO inbox_cursors (name, owner, lease_until) VALUES ('orders', ?, ?)`,
						tt.owner, store.Micros(tx.Now.Add(tt.left)))
					return err
				})
				src := &pages{pages: [][]message.Incoming{{numbered(1)}}}
				in := w.another(inbox.Config{Node: "node-1", Feeds: []inbox.Feed{{Name: "orders", Every: time.Millisecond, Source: src}}})
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan error)
				go func() { done <- in.Run(ctx) }()
				w.until(func() bool { return len(w.effects()) == 1 })
				stop()
				if err := <-done; err != nil {
					t.Errorf("run: %v", err)
				}
			})
		})
	}
}

// FuzzIncoming receives anything: it is taken or rejected, and the inbox comes to rest.
func FuzzIncoming(f *testing.F) {
	f.Add("a", "erp", "order.changed", "o1", "L", int64(1), int64(1), "event", "7", "", []byte(`{}`), int64(1_800_000_000), 0)
	f.Add("b", "erp", "k", "", "L", int64(3), int64(2), "void", "", "00", []byte(nil), int64(-1), 99)
	f.Add("\xff", "\x00", "", "", "", int64(-1), int64(-1), "", "2026-11-24T06:00:00Z", "", []byte("\x00"), int64(1)<<62, -1)
	db := storetest.SQLite(f)
	p := &plant{}
	in := inbox.New(db, mapper{}, p.apply, inbox.Config{MaxBody: 1 << 10, MaxEarly: 5}, quiet())
	ctx := context.Background()
	err := db.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(ctx, `CREATE TABLE effects (id TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL, call BIGINT NOT NULL)`)
		return err
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, id, source, kind, key, lane string, number, epoch int64, role, version, claimed string, body []byte, at int64, deliveries int) {
		m := message.Incoming{
			Message: message.Message{
				ID: id, Source: source, Kind: kind, Version: 1, Key: key, Time: time.Unix(at%1e12, 0).UTC(), Body: body,
				Place: message.Place{Lane: lane, Number: number, Epoch: epoch, Role: message.Role(role)},
			},
			Claimed: claimed, ObjectVersion: version, Deliveries: deliveries, Undated: at%2 == 0,
		}
		var first, second inbox.Taken
		err := db.InTx(ctx, func(tx *store.Tx) (err error) {
			if first, err = in.Receive(ctx, tx, m, "erp"); err != nil {
				return err
			}
			second, err = in.Receive(ctx, tx, m, "erp")
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if second.Fresh {
			t.Errorf("fresh twice: %+v, %+v", first, second)
		}
		for range 1000 {
			n, err := in.Step(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if n == 0 {
				return
			}
		}
		t.Error("the inbox does not come to rest")
	})
}

// TestALostConnectionSpendsNoAttempt has the database break the connection, as pgx says it, more often than a defect is tried.
func TestALostConnectionSpendsNoAttempt(t *testing.T) {
	c := &clock{at: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)}
	cut := true
	before := storetest.WithBefore(func(_ context.Context, statement string) error {
		if cut && strings.Contains(statement, "INSERT INTO effects") {
			return fmt.Errorf("error preprocessing batch (prepare): %w", io.ErrUnexpectedEOF)
		}
		return nil
	})
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		cut = true
		w := newWorld(t, db, c, inbox.Config{})
		w.fresh(numbered(1), numbered(2))
		for range 12 {
			if _, err := w.Step(t.Context()); err != nil {
				t.Fatal(err)
			}
			c.add(time.Minute)
		}
		cut = false
		w.drain()
		w.wantEffects("m1", "m2")
	}, storetest.WithClock(c.now), before)
}

// TestAnErrorThatComesLaterIsThatOfItsMessage has the plant queue a statement (Tx.Later) that the database refuses: the answer comes
// with another message's statement, or after the last.
func TestAnErrorThatComesLaterIsThatOfItsMessage(t *testing.T) {
	for name, wrong := range map[string]string{"with the next message": "m1", "after the last": "m2"} {
		t.Run(name, func(t *testing.T) {
			each(t, inbox.Config{}, func(t *testing.T, w *world) {
				w.tx(func(tx *store.Tx) error {
					_, err := tx.Exec(t.Context(), `CREATE TABLE taken (id BIGINT PRIMARY KEY)`)
					return errors.Join(err, tx.Later(t.Context(), `INSERT INTO taken (id) VALUES (1)`))
				})
				w.Inbox = inbox.New(w.db, mapper{}, func(ctx context.Context, tx *store.Tx, m message.Message) error {
					if err := w.plant.apply(ctx, tx, m); err != nil || m.ID != wrong {
						return err
					}
					return tx.Later(ctx, `INSERT INTO taken (id) VALUES (1)`)
				}, inbox.Config{}, quiet())
				one, two := numbered(1), numbered(1)
				two.ID, two.Lane, two.Body = "m2", "M", []byte(`{"id":"m2"}`)
				w.fresh(one, two)
				for range 20 {
					if _, err := w.Step(t.Context()); err != nil {
						t.Fatal(err)
					}
					w.clock.add(time.Minute)
				}
				want := map[string]inbox.State{"m1": inbox.Done, "m2": inbox.Done}
				want[wrong] = inbox.Quarantined
				w.wantStates(want)
			})
		})
	}
}

// TestAFeedRestsWithItsLink: an ERP that has asked the link not to be called is not polled either, and the feed does not fail for it.
func TestAFeedRestsWithItsLink(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		src := &pages{}
		var rest, asked atomic.Int64
		rest.Store(int64(time.Millisecond))
		in := w.another(inbox.Config{Feeds: []inbox.Feed{{
			Name: "orders", Every: time.Hour, Source: src,
			Held: func(context.Context, *store.Tx) (time.Duration, error) {
				asked.Add(1)
				return time.Duration(rest.Load()), nil
			},
		}}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- in.Run(ctx) }()
		w.until(func() bool { return asked.Load() > 3 })
		if n := src.polled(); n != 0 {
			t.Errorf("polled %d times while the link rests", n)
		}
		if f := w.status().Feeds; len(f) > 1 || len(f) == 1 && f[0].Trouble != "" {
			t.Errorf("got %+v, want no trouble", f)
		}
		rest.Store(0)
		w.until(func() bool { return src.polled() == 1 }) // though Every is an hour
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
}

// putOff is a source whose ERP asks to be left alone.
type putOff struct{}

func (putOff) Poll(context.Context, string) ([]message.Incoming, string, error) {
	return nil, "", &problem.Error{Kind: problem.Unavailable, Why: "429", Cause: wait(7 * time.Minute)}
}

type wait time.Duration

func (w wait) Error() string             { return "later" }
func (w wait) RetryAfter() time.Duration { return time.Duration(w) }

// TestAFeedThatIsPutOffHoldsItsLink: what an ERP asks of a poll, for as long as it asks, holds for what is sent to it too, on every node.
func TestAFeedThatIsPutOffHoldsItsLink(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		var held atomic.Int64
		in := w.another(inbox.Config{Retry: time.Millisecond, Feeds: []inbox.Feed{{
			Name: "orders", Every: time.Millisecond, Source: putOff{},
			Hold: func(_ context.Context, _ *store.Tx, wait time.Duration) error { held.Store(int64(wait)); return nil },
		}}})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- in.Run(ctx) }()
		w.until(func() bool { return held.Load() != 0 })
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if got := time.Duration(held.Load()); got != 7*time.Minute {
			t.Errorf("held for %s, want 7m", got)
		}
	})
}
