package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/amqp"
	"holdfast/cmd/holdfast/internal/rabbit"
	"holdfast/internal/httpapi"
	"holdfast/internal/problem"
)

// givenBroker is a broker of the user's: it is not stopped for the outage, but plant and ERP are cut off from it.
type givenBroker struct {
	gate    *rabbit.Gate
	restart string // command that restarts it; "" for none
	clean   func() error
}

// namesFile keeps what the exchanges and queues of a folder's demo begin with, on a broker that others use too.
const namesFile = "broker-names"

// reach opens a gate to the broker of --broker. Where the folder does not stay, what was made on the broker does not either.
func (b *brokerSide) reach(f demoFlags, plant string) error {
	u, err := url.Parse(f.broker)
	bad := func(why string) error {
		return &problem.Error{Kind: problem.Invalid, What: "demo", Why: "--broker " + why, Hint: "write amqp://user:password@127.0.0.1:5672/"}
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
	b.given = &givenBroker{restart: f.restart, clean: func() error { return nil }}
	if b.given.gate, err = rabbit.OpenGate(u.Host); err != nil {
		return err
	}
	vhost := cmp.Or(u.EscapedPath(), "/")
	b.address = "amqp://" + b.given.gate.Addr() + vhost
	if !f.keep {
		b.given.clean = func() error { return b.remove(plant, "amqp://"+u.Host+vhost) }
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
		g.Go(func() error { return b.given.gate.Run(ctx) })
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
	g.gate.Open()
	return g.restart != "", nil
}

func (g *givenBroker) close() error { return errors.Join(g.gate.Close(), g.clean()) }

// remove deletes what the demo has made on a broker, past the gate.
func (b *brokerSide) remove(plant, address string) error {
	cfg := b.link(plant)
	cfg.Addresses, cfg.Publish = []string{address}, nil
	l, err := amqp.Open(cfg, b.secret, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	return l.Remove(ctx)
}
