package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sync/errgroup"

	"holdfast/cmd/holdfast/internal/line"
	"holdfast/internal/httpapi"
	"holdfast/internal/problem"
)

// givenBroker is a broker of the user's: it is not stopped for the outage, but plant and ERP are cut off from it.
type givenBroker struct {
	wire    *line.Line
	mended  func() // ends the cut
	restart string // command that restarts it; "" for none
	remove  string // its address past the wire, where what is made on it shall not stay; "" where it stays
}

// namesFile keeps what the exchanges and queues of a folder's demo begin with, on a broker that others use too.
const namesFile = "broker-names"

// reach lays a wire to the broker of --broker. Where the folder does not stay, what was made on the broker does not either.
func (b *brokerSide) reach(ctx context.Context, f demoFlags) error {
	u, err := url.Parse(f.broker)
	bad := func(why string) error {
		return &problem.Error{Kind: problem.Invalid, What: "demo", Why: "--broker " + why, Hint: "write amqp://user:password@127.0.0.1:5672/"} //nolint:gosec // the hint shows where a password stands
	}
	switch {
	case err != nil || u.Scheme != "amqp" || u.User.Username() == "" || u.Port() == "":
		return bad("is no amqp URL with user, password and port")
	case httpapi.CheckLoopback(u.Host) != nil:
		return bad("is on another machine, and the demo would talk to it in plain text")
	}
	b.user = u.User.Username()
	b.password, _ = u.User.Password()
	if b.names, err = demoNames(filepath.Join(f.data, namesFile)); err != nil {
		return err
	}
	b.given = &givenBroker{restart: f.restart}
	if b.given.wire, err = line.Open(ctx, u.Host); err != nil {
		return err
	}
	vhost := cmp.Or(u.EscapedPath(), "/")
	b.address = "amqp://" + b.given.wire.Address() + vhost
	if !f.keep {
		b.given.remove = "amqp://" + u.Host + vhost
	}
	return nil
}

// demoNames are the names of the folder, made anew for a new one.
func demoNames(file string) (string, error) {
	kept, err := os.ReadFile(file)
	if err == nil {
		return string(kept), nil
	}
	names := "demo-" + strings.ToLower(rand.Text()[:8]) + "-"
	if err := os.WriteFile(file, []byte(names), 0o600); err != nil {
		return "", fmt.Errorf("keep the names of the broker's queues: %w", err)
	}
	return names, nil
}

// run works until ctx ends.
func (b *brokerSide) run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	if b.given != nil {
		g.Go(func() error { return b.given.wire.Run(ctx) })
	}
	g.Go(func() error { return b.erp.Run(ctx) })
	return g.Wait()
}

// mend restarts the broker, if there is a command for that, and lets plant and ERP to it again.
func (g *givenBroker) mend(ctx context.Context) (restarted bool, err error) {
	if g.restart != "" {
		out, err := exec.CommandContext(ctx, "sh", "-c", g.restart).CombinedOutput() //nolint:gosec // the user's own command
		if err != nil {
			return false, &problem.Error{
				Kind: problem.Unavailable, What: "restart the broker by " + g.restart, Why: err.Error() + ": " + strings.TrimSpace(string(out)),
				Hint: "correct --broker-restart", Cause: err,
			}
		}
	}
	g.mended()
	return g.restart != "", nil
}

// close ends the wire, and takes away what the demo has made on the broker.
func (g *givenBroker) close(erp *erpSide) error {
	err := g.wire.Close()
	if g.remove != "" && erp != nil {
		err = errors.Join(err, erp.remove(g.remove))
	}
	return err
}
