package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/internal/store"
)

// control lets torture, and nobody else, set the process's own clock and slow its database calls down. It is open only where
// serve was told a path for it.
type control struct {
	offset atomic.Int64 // nanoseconds that the clock is ahead of the machine's
	slow   atomic.Int64 // nanoseconds that each statement waits
}

// hooks are what the store calls.
func (c *control) hooks() store.Config {
	return store.Config{
		Now: func() time.Time { return time.Now().Add(time.Duration(c.offset.Load())) },
		Before: func(ctx context.Context, _ string) error {
			wait := time.Duration(c.slow.Load())
			if wait <= 0 {
				return nil
			}
			t := time.NewTimer(wait)
			defer t.Stop()
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-t.C:
				return nil
			}
		},
	}
}

// run listens on a unix socket at path until ctx ends. Each connection is one line, answered by ok or by what is wrong.
func (c *control) run(ctx context.Context, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clear the control socket: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error {
		<-ctx.Done()
		return l.Close()
	})
	g.Go(func() error {
		for {
			conn, err := l.Accept()
			if err != nil {
				return nil //nolint:nilerr // closed: ctx has ended
			}
			g.Go(func() error { c.serve(conn); return nil })
		}
	})
	return g.Wait()
}

func (c *control) serve(conn net.Conn) {
	defer conn.Close()
	if conn.SetDeadline(time.Now().Add(5*time.Second)) != nil {
		return
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return
	}
	if err := c.do(strings.TrimSpace(line)); err != nil {
		fmt.Fprintf(conn, "%v\n", err)
		return
	}
	fmt.Fprintln(conn, "ok")
}

// do carries out one line: "clock +1h" sets the clock ahead of the machine's (or back: -1h), "slow 50ms" has each statement wait.
// Both say how far altogether, so that 0s ends them.
func (c *control) do(line string) error {
	verb, value, _ := strings.Cut(line, " ")
	d, err := time.ParseDuration(value)
	if err != nil {
		return fmt.Errorf("%q is no length of time", value)
	}
	switch verb {
	case "clock":
		c.offset.Store(int64(d))
	case "slow":
		c.slow.Store(int64(max(0, d)))
	default:
		return fmt.Errorf("%q is neither clock nor slow", verb)
	}
	return nil
}
