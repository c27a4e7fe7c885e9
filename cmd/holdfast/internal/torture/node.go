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

// node is the one real process under torture. Whoever kills it starts it again through restart; workers meanwhile meet refused
// connections and try again, as an MES would.
type node struct {
	serve   func() *exec.Cmd // a new process on the same configuration
	ready   string           // URL of /readyz
	control string           // path of the control socket
	log     io.Writer

	mu     sync.Mutex // guards below
	cmd    *exec.Cmd
	exited chan error // result of cmd.Wait
	starts int
}

func (n *node) start(ctx context.Context) error {
	n.mu.Lock()
	cmd := n.serve()
	cmd.Stdout, cmd.Stderr = n.log, n.log
	if err := cmd.Start(); err != nil {
		n.mu.Unlock()
		return fmt.Errorf("start the plant: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	n.cmd, n.exited = cmd, exited
	n.starts++
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
		if get(ctx, n.ready) == nil {
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

// restart ends the process by sig and starts a new one. After SIGTERM it must end by itself with status 0.
func (n *node) restart(ctx context.Context, sig syscall.Signal) error {
	if err := n.end(ctx, sig); err != nil {
		return err
	}
	return n.start(ctx)
}

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

// freeze stops the process in its tracks for d.
func (n *node) freeze(ctx context.Context, d time.Duration) error {
	if err := n.signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze the plant: %w", err)
	}
	pause(ctx, d)
	if err := n.signal(syscall.SIGCONT); err != nil {
		return fmt.Errorf("wake the plant: %w", err)
	}
	return nil
}

// tell sends one line to the control socket, which serve opens for torture only.
func (n *node) tell(line string) error {
	c, err := net.DialTimeout("unix", n.control, 5*time.Second)
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
