package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/erpmock"
	"holdfast/cmd/holdfast/internal/line"
	"holdfast/cmd/holdfast/internal/rabbit"
)

// openBroker starts a RabbitMQ of the run's own, the ERP behind it, and the wire that leads the plant to it. The ERP itself reaches the
// broker directly: what befalls the wire is the plant's to bear, what befalls the broker is for both.
func (t *tortured) openBroker(ctx context.Context, dir string) (err error) {
	if t.node, err = rabbit.Open(filepath.Join(dir, "rabbitmq")); err != nil {
		return err
	}
	t.atEnd(t.node.Close)
	if err := os.WriteFile(filepath.Join(dir, passwordFile), []byte(t.node.Password+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep the password of the broker: %w", err)
	}
	if err := t.node.Start(ctx); err != nil {
		return err
	}
	u, err := url.Parse(t.node.Address)
	if err != nil {
		return fmt.Errorf("read the address of the broker: %w", err)
	}
	if t.cfg.Wire, err = line.Open(ctx, u.Host); err != nil {
		return err
	}
	t.cfg.Broker = t.node
	log, err := os.Create(filepath.Join(dir, "erp.log"))
	if err != nil {
		return fmt.Errorf("open the log of the ERP's side: %w", err)
	}
	t.atEnd(log.Close)
	if t.erpSide, err = openERPSide(dir, t.initial("sqlite:none.db", true), t.node.Address, nil, slog.New(slog.NewTextHandler(log, nil))); err != nil {
		return err
	}
	t.atEnd(t.erpSide.close)
	return nil
}

// background runs the ERP and, where there is a broker, what stands between it and the plant.
func (t *tortured) background(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return erpmock.Serve(ctx, t.erp, t.mock) })
	if t.erpSide != nil {
		g.Go(func() error { return t.erpSide.Run(ctx) })
		g.Go(func() error { return t.cfg.Wire.Run(ctx) })
	}
}
