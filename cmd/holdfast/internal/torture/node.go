package torture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// readyWithin is how long a process may take from its start to its first "ready", on a busy machine.
const readyWithin = 60 * time.Second

// Node is how one process of the plant is started and reached.
type Node struct {
	Name    string           // relay.node of its configuration
	Serve   func() *exec.Cmd // a new process on the same configuration
	API     string           // its base URL
	Ready   string           // its /readyz
	Control string           // its control socket
	Log     io.Writer        // its output
}

// node is one real process under torture. Whoever kills it starts it again; workers meanwhile meet refused
// connections and try again, as an MES would.
type node struct {
	Node

	mu     sync.Mutex // guards below
	cmd    *exec.Cmd
	exited chan error // result of cmd.Wait
	starts int
	ahead  time.Duration // how far its clock was moved, forth or back; a new process begins at the true time
}

func (n *node) start(ctx context.Context) error {
	n.mu.Lock()
	cmd := n.Serve()
	cmd.Stdout, cmd.Stderr = n.Log, n.Log
	if err := cmd.Start(); err != nil {
		n.mu.Unlock()
		return fmt.Errorf("start the plant: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	n.cmd, n.exited = cmd, exited
	n.starts++
	n.ahead = 0
	n.mu.Unlock()
	return n.waitReady(ctx)
}

// waitReady polls /readyz: only the process itself knows when it is, and says it nowhere else.
func (n *node) waitReady(ctx context.Context) error {
	ctx, stop := context.WithTimeoutCause(ctx, readyWithin, fmt.Errorf("the plant was not ready within %s", readyWithin))
	defer stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if get(ctx, n.Ready) == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err := <-n.exited:
			n.exited <- err
			return fmt.Errorf("the plant ended by itself: %w", cmpErr(err, errors.New("exit status 0")))
		case <-tick.C:
		}
	}
}

func get(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, res.Status)
	}
	return nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func (n *node) signal(sig os.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.cmd.Process.Signal(sig)
}

// kill ends the process at once, if it was started.
func (n *node) kill() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.cmd != nil {
		_ = n.cmd.Process.Kill() // it may have ended
	}
}

// turnClock moves the process's own clock.
func (n *node) turnClock(by time.Duration) error {
	if err := n.tell(fmt.Sprintf("clock %s", by)); err != nil {
		return err
	}
	n.mu.Lock()
	n.ahead += by
	n.mu.Unlock()
	return nil
}

// clock is how far the process's clock is ahead of the true time.
func (n *node) clock() time.Duration {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.ahead
}

// end ends the process by sig. After SIGTERM it must end by itself with status 0.
func (n *node) end(ctx context.Context, sig syscall.Signal) error {
	if err := n.signal(sig); err != nil {
		return fmt.Errorf("send %s to the plant: %w", sig, err)
	}
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(readyWithin):
		return fmt.Errorf("the plant did not end within %s of %s", readyWithin, sig)
	case err := <-n.exited:
		if sig == syscall.SIGTERM && err != nil {
			return fmt.Errorf("an orderly stop ended badly: %w", err)
		}
		return nil
	}
}

// freeze stops the process in its tracks until meanwhile returns.
func (n *node) freeze(meanwhile func() error) error {
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze the plant: %w", err)
	}
	err := meanwhile()
	if werr := n.signal(syscall.SIGCONT); werr != nil {
		return errors.Join(err, fmt.Errorf("wake the plant: %w", werr))
	}
	return err
}

// tell sends one line to the control socket, which serve opens for torture only.
func (n *node) tell(line string) error {
	c, err := net.DialTimeout("unix", n.Control, 5*time.Second)
	if err != nil {
		return fmt.Errorf("reach the control socket: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return fmt.Errorf("reach the control socket: %w", err)
	}
	if _, err := fmt.Fprintln(c, line); err != nil {
		return fmt.Errorf("tell the plant %q: %w", line, err)
	}
	answer := make([]byte, 256)
	k, err := c.Read(answer)
	if err != nil {
		return fmt.Errorf("tell the plant %q: %w", line, err)
	}
	if got := string(answer[:k]); got != "ok\n" {
		return fmt.Errorf("tell the plant %q: it answered %q", line, got)
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
