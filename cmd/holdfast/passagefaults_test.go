package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"holdfast/cmd/holdfast/internal/disk"
	"holdfast/cmd/holdfast/internal/postgres"
	"holdfast/internal/store"
)

// strike is what happens to a passage. It returns when it is over.
type strike struct {
	name string
	do   func(ctx context.Context) error
}

// hold has a fault last for a moment.
func hold(begin func() (undo func())) func(context.Context) error {
	return func(ctx context.Context) error {
		defer begin()()
		return sleep(ctx, 700*time.Millisecond)
	}
}

// ofBroker are the strikes at the broker and at the line to it, but for its restart.
func (p *passage) ofBroker() []strike {
	return []strike{
		{"connections closed", p.node.CloseConnections},
		{"a delay", hold(func() func() { return p.wire.Delay(50 * time.Millisecond) })},
		{"a cut", hold(p.wire.Cut)},
		{"a limit", hold(p.wire.Limit)},
		{"a reset", func(context.Context) error { p.wire.Reset(); return nil }},
		{"a full disk of the broker", func(ctx context.Context) error {
			if err := p.node.Fill(ctx); err != nil {
				return err
			}
			return errors.Join(sleep(ctx, time.Second), p.node.Free(ctx))
		}},
	}
}

// suffer restarts the broker as often as asked, in the middle of a batch, and after each time has some of the others happen in turn.
func (p *passage) suffer(restarts int, others []strike) {
	p.t.Helper()
	ctx := p.t.Context()
	p.goesOn("the start")
	each := 3
	for i := range restarts {
		strikes := []strike{{"a restart of the broker", p.node.Restart}}
		for j := range each {
			strikes = append(strikes, others[(i*each+j)%len(others)])
		}
		for _, s := range strikes {
			if err := s.do(ctx); err != nil {
				p.t.Fatalf("%s: %v", s.name, err)
			}
			p.goesOn(s.name)
		}
		p.t.Logf("restart %d: %d acts, %d effects", i+1, p.owed(), p.effects.Load())
	}
}

// restarts is how often a test restarts its broker.
func restarts() int {
	if os.Getenv("HOLDFAST_TEST_LONG") != "" {
		return 50
	}
	return 3
}

// lacking skips a test for want of something, and fails it where CI is set.
func lacking(t *testing.T, what string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case os.Getenv("CI") != "":
		t.Fatalf("%s, and CI skips nothing: %v", what, err)
	default:
		t.Skipf("skipped for want of %s: %v", what, err)
	}
}

// TestFromOutboxToInboxOnPostgreSQL: the broker is restarted in the middle of a batch, its connections are closed, the line is slow, cut,
// narrow and broken, and PostgreSQL, which holds both sides, is ended in the middle of transactions, in order and as by a crash. By the
// receiver's ledger nothing is lost, doubled or out of order in a lane.
func TestFromOutboxToInboxOnPostgreSQL(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("rabbitmq-server")
	lacking(t, "RabbitMQ's server", err)
	server, err := postgres.Open(t.Context(), filepath.Join(t.TempDir(), "postgres.log"))
	lacking(t, "a PostgreSQL server", err)
	t.Cleanup(func() {
		if err := errors.Join(server.Close(), server.Remove()); err != nil {
			t.Error(err)
		}
	})
	if err := server.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sides [2]string
	for i, name := range []string{"sender", "receiver"} {
		if sides[i], _, err = store.NewSchema(t.Context(), server.URL, name); err != nil {
			t.Fatal(err)
		}
	}
	p, finish := openPassage(t, sides[0], sides[1])
	restart := func(atOnce bool) func(context.Context) error {
		return func(ctx context.Context) error {
			if err := server.Stop(ctx, atOnce); err != nil {
				return err
			}
			return server.Start(ctx)
		}
	}
	p.suffer(restarts(), append(p.ofBroker(), strike{"an orderly restart of PostgreSQL", restart(false)}, strike{"a crash of PostgreSQL", restart(true)}))
	finish()
	p.judge()
}

// TestFromOutboxToInboxOnAFullDisk: the same with both databases on one SQLite disk, which fills up and is freed.
func TestFromOutboxToInboxOnAFullDisk(t *testing.T) {
	t.Parallel()
	_, err := exec.LookPath("rabbitmq-server")
	lacking(t, "RabbitMQ's server", err)
	dir := filepath.Join(t.TempDir(), "small")
	small, err := disk.Open(t.Context(), dir)
	lacking(t, "a small disk, which takes root", err)
	t.Cleanup(func() {
		if err := small.Close(); err != nil {
			t.Error(err)
		}
	})
	p, finish := openPassage(t, "sqlite:"+filepath.Join(dir, "sender.db"), "sqlite:"+filepath.Join(dir, "receiver.db"))
	full := strike{"a full disk", func(ctx context.Context) error {
		if err := small.Fill(); err != nil {
			return err
		}
		return errors.Join(sleep(ctx, time.Second), small.Free())
	}}
	p.suffer(restarts(), []strike{full, p.ofBroker()[0], p.ofBroker()[2]})
	finish()
	p.judge()
}
