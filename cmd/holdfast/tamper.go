package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"holdfast/internal/problem"
	"holdfast/internal/store"
)

// tamper moves the process's own clock and slows its database, for torture alone: only the hidden flag --torture-control opens
// the socket that commands it. A line is "clock DURATION" (added to what was said before) or "slow DURATION" (before each
// statement); the answer is "ok" or the reason why not.
type tamper struct {
	offset atomic.Int64 // nanoseconds
	delay  atomic.Int64 // nanoseconds
}

func newTamper() *tamper { return &tamper{} }

// store is the configuration by which a database follows the tampering.
func (t *tamper) store() store.Config {
	return store.Config{
		Now: func() time.Time { return time.Now().Add(time.Duration(t.offset.Load())) },
		Before: func(ctx context.Context, _ string) error {
			d := time.Duration(t.delay.Load())
			if d <= 0 {
				return nil
			}
			timer := time.NewTimer(d)
			defer timer.Stop()
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case <-timer.C:
				return nil
			}
		},
	}
}

// Run listens on a socket that only this user may open, until ctx ends.
func (t *tamper) Run(ctx context.Context, path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old control socket: %w", err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "unix", path)
	if err != nil {
		return fmt.Errorf("open the control socket: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("close the control socket to others: %w", err), l.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("serve the control socket: %w", err)
		}
		t.obey(c)
	}
}

// obey takes one line and answers it.
func (t *tamper) obey(c net.Conn) {
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil {
		return
	}
	answer := "ok"
	if err := t.do(strings.TrimSpace(line)); err != nil {
		answer = err.Error()
	}
	_, _ = fmt.Fprintln(c, answer) // whoever asked has left
}

func (t *tamper) do(line string) error {
	verb, value, _ := strings.Cut(line, " ")
	d, err := time.ParseDuration(value)
	if err != nil {
		return fmt.Errorf("read %q: %w", line, err)
	}
	switch verb {
	case "clock":
		t.offset.Add(int64(d))
	case "slow":
		t.delay.Store(int64(d))
	default:
		return &problem.Error{Kind: problem.Invalid, What: line, Why: "there is no such command", Hint: "clock DURATION or slow DURATION"}
	}
	return nil
}
