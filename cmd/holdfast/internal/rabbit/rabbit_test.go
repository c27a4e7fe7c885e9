package rabbit_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os/exec"
	"testing"

	"holdfast/cmd/holdfast/internal/rabbit"
)

// TestANodeOfOnesOwn starts, stops and starts again, and is gone after Close.
func TestANodeOfOnesOwn(t *testing.T) {
	if _, err := exec.LookPath("rabbitmq-server"); err != nil {
		t.Skip("skipped for want of rabbitmq-server")
	}
	n, err := rabbit.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(n.Address)
	if err != nil {
		t.Fatal(err)
	}
	dial := func() error {
		c, err := net.Dial("tcp", u.Host)
		if err == nil {
			err = c.Close()
		}
		return err
	}
	for range 2 {
		if err := n.Start(t.Context()); err != nil {
			t.Fatal(errors.Join(err, n.Close()))
		}
		if err := dial(); err != nil {
			t.Error(err)
		}
		for _, control := range []func(context.Context) error{n.Fill, n.Free, n.Limit, n.Unlimit, n.CloseConnections} {
			if err := control(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := n.Stop(); err != nil {
			t.Error(err)
		}
		if dial() == nil {
			t.Error("it listens after its end")
		}
	}
	if err := n.Close(); err != nil {
		t.Error(err)
	}
}
