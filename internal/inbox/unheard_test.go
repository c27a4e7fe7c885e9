package inbox_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"holdfast/internal/inbox"
	"holdfast/internal/message"
	"holdfast/internal/problem"
	"holdfast/internal/store"
	"holdfast/internal/store/storetest"
)

// TestABatchWhoseCommitWasNotHeardOfHasItsEffectOnce has PostgreSQL keep a batch, and its answer get lost on the way: the link offers the
// batch again, as after any error, and to another node as well.
func TestABatchWhoseCommitWasNotHeardOfHasItsEffectOnce(t *testing.T) {
	rawURL := storetest.PostgresURL(t)
	direct := openAt(t, rawURL)
	w := newWorld(t, direct, &clock{at: time.Date(2026, 11, 24, 6, 0, 0, 0, time.UTC)}, inbox.Config{})
	way, through := newWay(t, rawURL)
	unheard := inbox.New(openAt(t, through), mapper{}, func(ctx context.Context, tx *store.Tx, m message.Message) error {
		err := w.plant.apply(ctx, tx, m)
		if m.ID == "m3" {
			way.deaf.Store(true)
		}
		return err
	}, inbox.Config{}, quiet())
	w.all(numbered(1))
	batch := []message.Incoming{plain("a", "o2"), numbered(2), versioned("o3", "1"), numbered(3)}
	_, err := unheard.ReceiveAll(t.Context(), batch, "erp")
	if problem.KindOf(err) != problem.Unavailable {
		t.Fatalf("the answer was heard: %v", err)
	}
	w.wantEffects("m1", "a", "m2", "o3@1", "m3") // else nothing was kept, and this test shows nothing
	way.deaf.Store(false)
	for _, in := range []*inbox.Inbox{unheard, w.Inbox} {
		all, err := in.ReceiveAll(t.Context(), append(batch, numbered(4)), "erp")
		if err != nil {
			t.Fatal(err)
		}
		for n, taken := range all[:len(batch)] {
			if taken.Fresh || taken.Rejected != 0 || taken.Err != nil {
				t.Errorf("message %d came again and was taken as %+v", n, taken)
			}
		}
	}
	w.wantEffects("m1", "a", "m2", "o3@1", "m3", "m4")
}

func openAt(t *testing.T, rawURL string) *store.DB {
	t.Helper()
	db, err := store.Open(t.Context(), rawURL, store.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// way is one to PostgreSQL. While it is deaf the answer that ends a transaction is lost with its connection: what the server has done is done.
type way struct{ deaf atomic.Bool }

func newWay(t *testing.T, rawURL string) (*way, string) {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal("the URL of the database cannot be read")
	}
	target := u.Host
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u.Host = l.Addr().String()
	p := &way{}
	go func() {
		for {
			here, err := l.Accept()
			if err != nil {
				return
			}
			go p.carry(here, target)
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	return p, u.String()
}

func (p *way) carry(here net.Conn, target string) {
	defer here.Close()
	there, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer there.Close()
	go func() {
		_, _ = io.Copy(there, here)
		_ = there.Close() // and with it the other direction
	}()
	idle := []byte{'Z', 0, 0, 0, 5, 'I'} // ReadyForQuery, outside of any transaction (PostgreSQL's protocol 3.0)
	buf := make([]byte, 64<<10)
	for {
		n, err := there.Read(buf)
		if err != nil || p.deaf.Load() && bytes.HasSuffix(buf[:n], idle) {
			return
		}
		if _, err := here.Write(buf[:n]); err != nil {
			return
		}
	}
}
