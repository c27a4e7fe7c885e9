// Package rabbit runs a RabbitMQ node of one's own, for a run that may stop and start it.
//
// # Guarantees
//
//   - The node listens on loopback only, on ports that were free, under a password made for it, and keeps all it has in one folder. No
//     installed node, its name, cookie or ports are touched.
//   - What it held before Stop it holds after Start.
//   - Close ends every process that Start began.
package rabbit

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"holdfast/internal/port"
	"holdfast/internal/problem"
)

// Node is one RabbitMQ node. It is for one goroutine at a time.
type Node struct {
	Address  string // amqp://127.0.0.1:port/
	User     string
	Password string

	dir     string
	program string
	port    int
	names   int // port of Erlang's name server
	dist    int // port on which the node would talk to others
	log     *os.File
	epmd    *exec.Cmd
	server  *exec.Cmd
}

// Open prepares a node in a folder, which may hold what an earlier one left. It starts nothing.
func Open(dir string) (*Node, error) {
	program, err := find()
	if err != nil {
		return nil, err
	}
	ports, err := port.Free(3)
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("find the folder of RabbitMQ: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of RabbitMQ: %w", err)
	}
	n := &Node{
		Address: fmt.Sprintf("amqp://127.0.0.1:%d/", ports[0]), User: "holdfast", dir: dir, program: program,
		port: ports[0], names: ports[1], dist: ports[2],
	}
	if err := n.write(); err != nil {
		return nil, err
	}
	n.log, err = os.OpenFile(filepath.Join(dir, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of RabbitMQ: %w", err)
	}
	return n, nil
}

// find looks for the server itself: the wrapper of Debian serves the system's own node only.
func find() (string, error) {
	for _, p := range []string{"/usr/lib/rabbitmq/bin/rabbitmq-server", "/usr/local/sbin/rabbitmq-server", "/opt/homebrew/sbin/rabbitmq-server"} {
		if info, err := os.Stat(p); err == nil && info.Mode().IsRegular() {
			return p, nil
		}
	}
	p, err := exec.LookPath("rabbitmq-server")
	if err != nil {
		return "", &problem.Error{
			Kind: problem.NotFound, What: "start RabbitMQ", Why: "rabbitmq-server is not installed here",
			Hint: "install it (Debian: apt-get install rabbitmq-server), or name a broker with --broker amqp://user:password@host:5672/", Cause: err,
		}
	}
	return p, nil
}

// write writes the node's files. The password is the one of an earlier node of the folder, if there was one.
func (n *Node) write() error {
	secret, err := os.ReadFile(n.file("password"))
	n.Password = cmp.Or(string(secret), rand.Text())
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the password of RabbitMQ: %w", err)
	}
	conf := fmt.Sprintf("listeners.tcp.1 = 127.0.0.1:%d\ndefault_user = %s\ndefault_pass = %s\ndisk_free_limit.absolute = %s\n"+
		"vm_memory_high_watermark.absolute = 1GB\n", n.port, n.User, n.Password, leastFree)
	for name, text := range map[string]string{
		"password": n.Password, "rabbitmq.conf": conf, "enabled_plugins": "[].\n", "advanced.config": "[].\n",
	} {
		if err := os.WriteFile(n.file(name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write the files of RabbitMQ: %w", err)
		}
	}
	return nil
}

func (n *Node) file(name string) string { return filepath.Join(n.dir, name) }

// environment is the node's own: nothing of an installed one is read.
func (n *Node) environment() []string {
	return append(os.Environ(),
		"HOME="+n.dir, "ERL_EPMD_PORT="+strconv.Itoa(n.names), "ERL_EPMD_ADDRESS=127.0.0.1", "RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_NODENAME=holdfast-own@localhost", "RABBITMQ_DIST_PORT="+strconv.Itoa(n.dist), "RABBITMQ_BASE="+n.dir,
		"RABBITMQ_MNESIA_BASE="+n.file("mnesia"), "RABBITMQ_LOG_BASE="+n.file("log"), "RABBITMQ_CONFIG_FILE="+n.file("rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE="+n.file("advanced.config"), "RABBITMQ_ENABLED_PLUGINS_FILE="+n.file("enabled_plugins"),
		"RABBITMQ_PID_FILE="+n.file("server.pid"), "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}", "LANG=C.UTF-8",
	)
}

// begin starts a program in a process group of its own.
func (n *Node) begin(program string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(program, args...) //nolint:gosec // a program of the system, no input of a user
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = n.dir, n.environment(), n.log, n.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", filepath.Base(program), err)
	}
	return cmd, nil
}

// Start starts the node and returns when it takes connections; that is some ten seconds.
func (n *Node) Start(ctx context.Context) (err error) {
	if n.epmd == nil {
		if n.epmd, err = n.begin("epmd", "-port", strconv.Itoa(n.names), "-address", "127.0.0.1"); err != nil {
			return err
		}
		if err := n.listens(ctx, n.names, time.Minute); err != nil {
			return err
		}
	}
	if n.server, err = n.begin(n.program); err != nil {
		return err
	}
	return n.listens(ctx, n.port, 5*time.Minute)
}

// listens waits until somebody listens on a port.
func (n *Node) listens(ctx context.Context, port int, most time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, most)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", "127.0.0.1:"+strconv.Itoa(port))
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return &problem.Error{
				Kind: problem.Unavailable, What: "start RabbitMQ", Why: fmt.Sprintf("nothing listens on 127.0.0.1:%d", port),
				Hint: "read " + n.log.Name(), Cause: context.Cause(ctx),
			}
		case <-tick.C:
		}
	}
}

// Stop ends the node; its connections are cut, and what it holds is kept.
func (n *Node) Stop() error {
	err := end(n.server)
	n.server = nil
	return err
}

// Close ends everything that Start began.
func (n *Node) Close() error {
	errs := []error{n.Stop(), end(n.epmd)}
	n.epmd = nil
	return errors.Join(append(errs, n.log.Close())...)
}

// patience is how long a process may take for its end before it is killed.
const patience = 30 * time.Second

// end asks the group of a process to end, and insists.
func end(cmd *exec.Cmd) error {
	if cmd == nil {
		return nil
	}
	signal := func(s syscall.Signal) error {
		if err := syscall.Kill(-cmd.Process.Pid, s); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end %s: %w", filepath.Base(cmd.Path), err)
		}
		return nil
	}
	err := signal(syscall.SIGTERM)
	insist := time.AfterFunc(patience, func() { _ = signal(syscall.SIGKILL) })
	defer insist.Stop()
	_ = cmd.Wait() // ended by a signal, as it should
	return err
}
