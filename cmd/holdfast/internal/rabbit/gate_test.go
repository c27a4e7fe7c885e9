package rabbit_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"testing"

	"golang.org/x/sync/errgroup"

	"holdfast/cmd/holdfast/internal/rabbit"
)

// TestAGateIsShutAndOpened: what passed is cut, nothing passes while it is shut, and it passes again.
func TestAGateIsShutAndOpened(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var run errgroup.Group
	run.Go(func() error {
		for {
			c, err := l.Accept()
			if err != nil {
				return nil
			}
			run.Go(func() error { _, _ = io.Copy(c, c); return c.Close() }) // an echo; who cuts it is the test
		}
	})
	g, err := rabbit.OpenGate(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	run.Go(func() error { return g.Run(ctx) })
	echo := func() (net.Conn, error) {
		c, err := net.Dial("tcp", g.Addr())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(c, "hello\n"); err != nil {
			return c, err
		}
		_, err = bufio.NewReader(c).ReadString('\n')
		return c, err
	}
	open, err := echo()
	if err != nil {
		t.Errorf("through the open gate: %v", err)
	}
	g.Shut()
	if _, err := open.Read(make([]byte, 1)); err == nil {
		t.Error("a connection outlives the shutting of the gate")
	}
	if c, err := echo(); err == nil {
		t.Errorf("through the shut gate to %s", c.RemoteAddr())
	}
	g.Open()
	if _, err := echo(); err != nil {
		t.Errorf("through the gate that is open again: %v", err)
	}
	stop()
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if err := run.Wait(); err != nil {
		t.Error(err)
	}
}
