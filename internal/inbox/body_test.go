package inbox_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"holdfast/internal/body"
	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// series is a body of about so many bytes.
func series(size int) []byte { return []byte(`{"curve":[` + strings.Repeat("1.25,", size/5) + `0]}`) }

func sumOf(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

func large(id, key string, text []byte) message.Incoming {
	in := plain(id, key)
	in.Body = text
	return in
}

// reading has the plant read each body to its end, in the transaction of the effect, and keep its digest.
func (w *world) reading(cfg inbox.Config) {
	w.Inbox = inbox.New(w.db, mapper{}, func(ctx context.Context, tx *store.Tx, m message.Message) error {
		r, err := m.Open(ctx)
		if err != nil {
			return err
		}
		defer r.Close()
		sum := sha256.New()
		if _, err := io.Copy(sum, r); err != nil {
			return err
		}
		m.Body, m.Large = []byte(hex.EncodeToString(sum.Sum(nil))), nil
		return w.plant.apply(ctx, tx, m)
	}, cfg, quiet())
}

// read is what the plant has read of a message.
func (w *world) read(id string) (sums []string) {
	w.t.Helper()
	w.tx(func(tx *store.Tx) error {
		return tx.Select(w.t.Context(), &sums, `SELECT body FROM effects WHERE id = ?`, id)
	})
	return sums
}

// bodies is how many large ones are kept once the sweep had its time.
func (w *world) bodies() (n int) {
	w.t.Helper()
	w.clock.add(2 * body.Loose)
	if _, err := body.Sweep(w.t.Context(), w.db); err != nil {
		w.t.Fatal(err)
	}
	w.tx(func(tx *store.Tx) error { return tx.Get(w.t.Context(), &n, `SELECT COUNT(*) FROM bodies`) })
	return n
}

func (w *world) detail(id string) (m inbox.Message) {
	w.t.Helper()
	seq := w.seq(id)
	w.tx(func(tx *store.Tx) (err error) { m, err = w.Message(w.t.Context(), tx, seq); return err })
	return m
}

func whole(t *testing.T, m message.Message) string {
	t.Helper()
	r, err := m.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return sumOf(b)
}

func TestALargeBodyIsTakenOnceQuarantinedAndReplayed(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.reading(inbox.Config{})
		text := series(1 << 20)
		w.plant.set("a", refusal("not yet"))
		if taken := w.all(large("a", "o1", text), plain("b", "o2")); !taken[0].Fresh || taken[0].Err != nil {
			t.Fatalf("taken %+v", taken)
		}
		w.drain()
		if taken := w.all(large("a", "o1", text)); taken[0].Fresh || taken[0].Rejected != 0 {
			t.Errorf("the same again was taken as %+v", taken[0])
		}
		if taken := w.all(large("a", "o1", series(1<<20+5))); taken[0].Rejected == 0 {
			t.Errorf("another body under the same ID was taken as %+v", taken[0])
		}
		m := w.detail("a")
		if m.State != inbox.Quarantined || m.Large == nil || len(m.Body) != 0 || m.Size() != int64(len(text)) || m.Digest != large("a", "o1", text).Digest() {
			t.Errorf("in quarantine: %s, %d bytes, digest %s", m.State, m.Size(), m.Digest)
		}
		if got, want := w.bodies(), 1; got != want { // nothing stays of the rejected one but its beginning
			t.Errorf("%d bodies are kept, want %d", got, want)
		}
		w.plant.set("a", nil)
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, m.Seq) })
		w.drain()
		if got := w.read("a"); len(got) != 1 || got[0] != sumOf(text) {
			t.Errorf("the plant has read %q, want %s once", got, sumOf(text))
		}
		w.wantStates(map[string]inbox.State{"a": inbox.Done, "b": inbox.Done})
	})
}

func TestALargeBodyThatAPersonChangesIsKeptAsItCame(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.reading(inbox.Config{})
		came, second := series(300<<10), series(400<<10)
		w.plant.set("a", refusal("wrong series"))
		w.all(large("a", "o1", came))
		w.drain()
		for _, text := range [][]byte{[]byte(`{}`), second} {
			w.tx(func(tx *store.Tx) error { return w.Edit(t.Context(), tx, w.seqIn(tx, "a"), text) })
			m := w.detail("a")
			if got, want := whole(t, m.Message), sumOf(text); got != want {
				t.Errorf("changed to %s, want %s", got, want)
			}
			if got, want := whole(t, message.Message{Body: m.Original, Large: m.OriginalLarge}), sumOf(came); got != want {
				t.Errorf("it came as %s, want %s", got, want)
			}
		}
		if got := w.bodies(); got != 2 {
			t.Errorf("%d bodies are kept, want both", got)
		}
	})
}

func TestLargeBodiesGoWithWhatIsForgotten(t *testing.T) {
	cfg := inbox.Config{KeepFor: 24 * time.Hour}
	each(t, cfg, func(t *testing.T, w *world) {
		w.reading(cfg)
		text := series(300 << 10)
		w.all(large("a", "o1", text))
		w.drain()
		w.clock.add(20 * time.Hour)
		w.all(large("b", "o2", text))
		w.drain()
		w.clock.add(5 * time.Hour)
		forget := func(want int) {
			t.Helper()
			if n, err := w.Forget(t.Context()); err != nil || n != want {
				t.Errorf("forgot %d, %v, want %d", n, err, want)
			}
		}
		forget(1)
		if got := w.bodies(); got != 1 || whole(t, w.detail("b").Message) != sumOf(text) {
			t.Errorf("%d bodies are kept, want that of the message that is remembered", got)
		}
		w.clock.add(24 * time.Hour)
		forget(1)
		if got := w.bodies(); got != 0 {
			t.Errorf("%d bodies are kept, want none", got)
		}
	})
}

// TestOfARejectedMessageOnlyTheBeginningIsKept is about anybody who can publish: what he sends must not fill the disk.
func TestOfARejectedMessageOnlyTheBeginningIsKept(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		text := series(300 << 10)
		for n, receive := range []func(message.Incoming) inbox.Taken{w.receive, func(in message.Incoming) inbox.Taken { return w.all(in)[0] }} {
			bad := large("r", "o3", text)
			bad.Claimed = "another"
			if taken := receive(bad); taken.Rejected == 0 {
				t.Fatalf("taken as %+v", taken)
			}
			w.tx(func(tx *store.Tx) error {
				list, err := w.RejectedMessages(t.Context(), tx, 0, 10)
				if err != nil {
					return err
				}
				if len(list) != n+1 || !bytes.Equal(list[0].Body, text[:4<<10]) || !strings.Contains(list[0].Reason, strconv.Itoa(len(text))) ||
					!strings.Contains(list[0].Reason, fmt.Sprintf("%x", sha256.Sum256(text))) {
					t.Errorf("%d rejected, %d bytes of the last: %s", len(list), len(list[0].Body), list[0].Reason)
				}
				var bodies int
				err = tx.Get(t.Context(), &bodies, `SELECT COUNT(*) FROM bodies`)
				if bodies != 0 {
					t.Errorf("%d bodies are written, want none", bodies)
				}
				return err
			})
		}
	})
}

// TestAFloodOfRejectedMessagesIsBoundedAtOnce looks at the rows and the lines of the log before anything is tidied.
func TestAFloodOfRejectedMessagesIsBoundedAtOnce(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		const keep, flood = 5, 1000
		var logged bytes.Buffer
		in := inbox.New(w.db, nil, nil, inbox.Config{KeepRejected: keep}, slog.New(slog.NewTextHandler(&logged, nil)))
		bad := make([]message.Incoming, flood)
		for n := range bad {
			bad[n] = plain(fmt.Sprint("bad", n), "o1")
			bad[n].Claimed = "another"
		}
		for part := range slices.Chunk(bad, 100) {
			if _, err := in.ReceiveAll(t.Context(), part, "erp"); err != nil {
				t.Fatal(err)
			}
		}
		var kept int
		w.tx(func(tx *store.Tx) error { return tx.Get(t.Context(), &kept, `SELECT COUNT(*) FROM inbox_rejected`) })
		if most := keep + 200; kept > most {
			t.Errorf("%d are kept, want %d at most", kept, most)
		}
		if n := strings.Count(logged.String(), "is rejected"); n == 0 || n > 120 { // the minute may have changed
			t.Errorf("%d lines of the log, want some, 120 at most", n)
		}
	})
}

// TestALargeBodyThatComesAgainIsNotWrittenAgain is about a transport that gives a message many times.
func TestALargeBodyThatComesAgainIsNotWrittenAgain(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.reading(inbox.Config{})
		for range 5 {
			w.all(large("a", "o1", series(300<<10)), large("b", "o2", series(300<<10)))
		}
		w.tx(func(tx *store.Tx) error {
			var got int
			err := tx.Get(t.Context(), &got, `SELECT COUNT(*) FROM bodies`)
			if got != 1 {
				t.Errorf("%d bodies were written, want 1", got)
			}
			return err
		})
	})
}

// TestALargeBodyOfAnEffectAtOnceStays is about messages that are stored as settled, with and without a number.
func TestALargeBodyOfAnEffectAtOnceStays(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.reading(inbox.Config{})
		text := series(300 << 10)
		first := numbered(1)
		first.Body = text
		w.all(large("a", "o1", text), first)
		w.wantStates(map[string]inbox.State{"a": inbox.Done, "m1": inbox.Done})
		if got := w.bodies(); got != 1 {
			t.Errorf("%d bodies are kept, want that of both", got)
		}
		for _, id := range []string{"a", "m1"} {
			if m := w.detail(id); m.Large == nil || whole(t, m.Message) != sumOf(text) {
				t.Errorf("the body of %s is not kept", id)
			}
		}
	})
}

// TestEarlyLargeBodiesAreCountedInFull has those that were put aside come back, also in a new epoch: nothing must be left in the count
// that bounds how many bytes wait.
func TestEarlyLargeBodiesAreCountedInFull(t *testing.T) {
	cfg := inbox.Config{MaxEarly: 2}
	each(t, cfg, func(t *testing.T, w *world) {
		w.reading(cfg)
		give := func(epoch, number int64, size int) {
			in := numbered(number)
			in.ID, in.Epoch, in.Body = fmt.Sprintf("%d/%d", epoch, number), epoch, series(size)
			w.all(in)
		}
		waits := func(want int64) {
			t.Helper()
			w.tx(func(tx *store.Tx) error {
				var got int64
				err := tx.Get(t.Context(), &got, `SELECT bytes FROM inbox_streams`)
				if got != want {
					t.Errorf("%d bytes are said to wait, want %d", got, want)
				}
				return err
			})
		}
		for n := int64(2); n < 8; n++ {
			give(1, n, 300<<10)
		}
		give(1, 1, 10)
		w.drain()
		waits(0)
		w.plant.set("1/8", refusal("not yet"))
		give(1, 8, 10)
		give(1, 9, 300<<10)
		give(1, 10, 10)
		give(2, 1, 400<<10)
		w.drain()
		waits(int64(len(series(300<<10)) + len(series(10)) + len(series(400<<10))))
		w.plant.set("1/8", nil)
		w.tx(func(tx *store.Tx) error { return w.Replay(t.Context(), tx, w.seqIn(tx, "1/8")) })
		w.drain()
		waits(0)
	})
}

// TestAnOldNodeForgetsAMessageWithALargeBody deletes it as a node of a release does that knows no large bodies.
func TestAnOldNodeForgetsAMessageWithALargeBody(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.all(large("a", "o1", series(300<<10)), large("b", "o2", series(400<<10)))
		w.drain()
		w.tx(func(tx *store.Tx) error {
			_, err := tx.Exec(t.Context(), `DELETE FROM inbox_messages WHERE id = 'a'`)
			return err
		})
		if _, err := w.Forget(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := w.bodies(); got != 1 {
			t.Errorf("%d bodies are kept, want that of the message that is there", got)
		}
	})
}

func TestABodyThatAPersonHasReplacedTwiceGoes(t *testing.T) {
	each(t, inbox.Config{}, func(t *testing.T, w *world) {
		w.plant.set("a", refusal("no"))
		w.all(plain("a", "o1"))
		w.drain()
		seq := w.seq("a")
		for _, text := range [][]byte{series(300 << 10), series(400 << 10), []byte(`{}`)} {
			w.tx(func(tx *store.Tx) error { return w.Edit(t.Context(), tx, seq, text) })
		}
		if got := w.bodies(); got != 0 {
			t.Errorf("%d bodies are kept that no message names", got)
		}
	})
}

func TestBodyOverTheLimitIsRejectedWithAHint(t *testing.T) {
	cfg := inbox.Config{MaxBody: 1 << 20}
	each(t, cfg, func(t *testing.T, w *world) {
		w.reading(cfg)
		taken := w.all(large("a", "o1", series(2<<20)))
		if taken[0].Rejected == 0 || !strings.Contains(taken[0].Reason, "more than 1048576") {
			t.Errorf("taken as %+v", taken[0])
		}
		l, err := body.Keep(t.Context(), w.db, bytes.NewReader(series(2<<20)), "", message.MaxBody)
		if err != nil {
			t.Fatal(err)
		}
		in := plain("b", "o1")
		in.Body, in.Large = nil, l
		if taken := w.receive(in); taken.Rejected == 0 || !strings.Contains(taken.Reason, "more than 1048576") {
			t.Errorf("taken as %+v", taken)
		}
		var list []inbox.Rejected
		w.tx(func(tx *store.Tx) (err error) { list, err = w.RejectedMessages(t.Context(), tx, 0, 10); return err })
		if len(list) != 2 || list[0].Problem != problem.TooLarge || len(list[0].Body) != 4<<10 || !bytes.Equal(list[1].Body, list[0].Body) {
			t.Errorf("rejected: %d", len(list))
		}
	})
}
