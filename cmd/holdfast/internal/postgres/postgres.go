// Package postgres runs a PostgreSQL server of one's own, for a run that may end and start it.
//
// # Guarantees
//
//   - The server listens on loopback only, on a port that was free, under a password made for it, and keeps all it has in one folder. No
//     installed server or its data is touched.
//   - fsync stays on: what it has committed survives its end, in order or not.
//   - Close ends it, Remove removes the folder.
//
// PostgreSQL refuses to run as root; for root it runs as the user postgres.
package postgres

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"holdfast/internal/port"
	"holdfast/internal/problem"
)

// Server is one PostgreSQL server. It is for one goroutine at a time.
type Server struct {
	URL string // of a database in it

	dir    string
	bin    string
	port   int
	as     *syscall.Credential // nil: this user
	log    *os.File
	server *exec.Cmd
	exited chan error
}

// Open makes an empty server in a folder of its own below the system's temporary one, which every user reaches. Its output goes to a
// file named here. It starts nothing.
func Open(ctx context.Context, log string) (s *Server, err error) {
	bin, err := find()
	if err != nil {
		return nil, err
	}
	ports, err := port.Free(1)
	if err != nil {
		return nil, err
	}
	s = &Server{bin: bin, port: ports[0]}
	if s.as, err = other(); err != nil {
		return nil, err
	}
	if s.log, err = os.Create(log); err != nil {
		return nil, fmt.Errorf("open the log of PostgreSQL: %w", err)
	}
	if s.dir, err = os.MkdirTemp("", "holdfast-postgres-"); err != nil {
		return nil, errors.Join(fmt.Errorf("make the folder of PostgreSQL: %w", err), s.log.Close())
	}
	if err := s.init(ctx); err != nil {
		return nil, errors.Join(err, s.Close(), s.Remove())
	}
	return s, nil
}

// find looks for the newest server that is installed.
func find() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	slices.SortFunc(found, func(a, b string) int { return version(b) - version(a) })
	if len(found) > 0 {
		return filepath.Dir(found[0]), nil
	}
	p, err := exec.LookPath("initdb")
	if err != nil {
		return "", &problem.Error{
			Kind: problem.NotFound, What: "start PostgreSQL", Why: "its server is not installed here",
			Hint: "install it (Debian: apt-get install postgresql), or name a database with --database, without postgres-restart", Cause: err,
		}
	}
	return filepath.Dir(p), nil
}

// version is the number in a path of Debian's.
func version(path string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
	return n
}

// other is the user as whom the server runs, where this one is root.
func other() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, &problem.Error{
			Kind: problem.NotFound, What: "start PostgreSQL", Why: "it does not run as root, and there is no user postgres", Hint: "call this as another user", Cause: err,
		}
	}
	uid, uerr := strconv.ParseUint(u.Uid, 10, 32)
	gid, gerr := strconv.ParseUint(u.Gid, 10, 32)
	if err := errors.Join(uerr, gerr); err != nil {
		return nil, fmt.Errorf("read the numbers of user postgres: %w", err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// init makes the server's files. Durability is under test, so that the defaults stay: fsync, full pages, synchronous commits.
func (s *Server) init(ctx context.Context) error {
	password, pwfile := rand.Text(), filepath.Join(s.dir, "password")
	if err := os.WriteFile(pwfile, []byte(password), 0o600); err != nil {
		return fmt.Errorf("keep the password of PostgreSQL: %w", err)
	}
	if s.as != nil {
		for _, f := range []string{s.dir, pwfile} {
			if err := os.Chown(f, int(s.as.Uid), int(s.as.Gid)); err != nil {
				return fmt.Errorf("give the folder of PostgreSQL to its user: %w", err)
			}
		}
	}
	cmd := s.command(exec.CommandContext(ctx, s.program("initdb"), "-D", s.data(), "-U", "holdfast", "--auth=scram-sha-256", "--pwfile="+pwfile, //nolint:gosec // a program of the system
		"--encoding=UTF8", "--locale=C"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("make the files of PostgreSQL: %w: %s", err, strings.TrimSpace(out.String()))
	}
	s.URL = fmt.Sprintf("postgres://holdfast:%s@127.0.0.1:%d/postgres?sslmode=disable", password, s.port)
	return nil
}

func (s *Server) program(name string) string { return filepath.Join(s.bin, name) }

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// command has a program run as the server's user, in a process group of its own: a Ctrl-C at the terminal is for us alone.
func (s *Server) command(cmd *exec.Cmd) *exec.Cmd {
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, s.log, s.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: s.as}
	return cmd
}

// patience is how long the server may take for its start, with the recovery after a crash, and for an orderly end.
const patience = 3 * time.Minute

// Start starts the server and returns when it answers.
func (s *Server) Start(ctx context.Context) error {
	cmd := s.command(exec.Command(s.program("postgres"), "-D", s.data(), //nolint:gosec // a program of the system
		"-c", "listen_addresses=127.0.0.1", "-c", fmt.Sprintf("port=%d", s.port), "-c", "unix_socket_directories=", "-c", "max_connections=300"))
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start PostgreSQL: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	s.server, s.exited = cmd, exited
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		ask := exec.CommandContext(ctx, s.program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", strconv.Itoa(s.port)) //nolint:gosec // a program of the system
		if ask.Run() == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return s.failed(context.Cause(ctx))
		case err := <-exited:
			s.server = nil
			return s.failed(err)
		case <-tick.C:
		}
	}
}

func (s *Server) failed(err error) error {
	return &problem.Error{Kind: problem.Unavailable, What: "start PostgreSQL", Why: "it does not answer", Hint: "read " + s.log.Name(), Cause: err}
}

// Stop ends the server: in order, which ends every session and writes what is in memory, or at once, as a crash would.
func (s *Server) Stop(ctx context.Context, atOnce bool) error {
	if s.server == nil {
		return nil
	}
	sig := syscall.SIGINT
	if atOnce {
		sig = syscall.SIGQUIT
	}
	if err := s.server.Process.Signal(sig); err != nil {
		return fmt.Errorf("end PostgreSQL: %w", err)
	}
	insist := time.AfterFunc(patience, func() { _ = s.server.Process.Kill() })
	defer insist.Stop()
	select {
	case <-s.exited: //nolint:errcheck // ended by a signal, as it should
		s.server = nil
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the server; what it has is kept.
func (s *Server) Close() error {
	return errors.Join(s.Stop(context.Background(), true), s.log.Close())
}

// Remove removes all that a closed server has.
func (s *Server) Remove() error {
	if err := os.RemoveAll(s.dir); err != nil {
		return fmt.Errorf("remove the files of PostgreSQL: %w", err)
	}
	return nil
}
