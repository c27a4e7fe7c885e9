package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"holdfast/adapters/amqp"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/rest"
	"holdfast/cmd/holdfast/internal/erpbroker"
	"holdfast/cmd/holdfast/internal/rabbit"
	"holdfast/cmd/holdfast/internal/torture"
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
	if t.cfg.Wire, err = torture.OpenWire(ctx, u.Host); err != nil {
		return err
	}
	t.cfg.Broker = t.node
	return t.openERPSide(dir)
}

// openERPSide opens what stands between broker and ERP. It calls the ERP as a plant over HTTP would, and has the queues of the plant.
func (t *tortured) openERPSide(dir string) error {
	log, err := os.Create(filepath.Join(dir, "erp.log"))
	if err != nil {
		return fmt.Errorf("open the log of the ERP's side: %w", err)
	}
	t.atEnd(log.Close)
	said := slog.New(slog.NewTextHandler(log, nil))
	over, berr := t.parse(dir, "erp-broker.yaml", true)
	direct, derr := t.parse(dir, "erp.yaml", false)
	if err := errors.Join(berr, derr); err != nil {
		return err
	}
	rules, err := loadMappings(direct)
	if err != nil {
		return err
	}
	api, err := rest.Open(direct.Links["erp"].REST, direct.secret, said)
	if err != nil {
		return err
	}
	t.atEnd(func() error { api.Close(); return nil })
	broker, err := amqp.Open(otherEnd(over.Links["erp"].AMQP, t.node.Address), over.secret, said)
	if err != nil {
		return err
	}
	t.atEnd(func() error { broker.Close(); return nil })
	t.erpSide, err = erpbroker.Open(broker, api, rules, erpbroker.Config{
		Mapping: "erp-out", Source: "urn:erp", Numbers: filepath.Join(dir, "erp.numbers"),
	}, said)
	if err == nil {
		t.atEnd(t.erpSide.Close)
	}
	return err
}

// parse reads the configuration that a plant would have.
func (t *tortured) parse(dir, name string, broker bool) (Config, error) {
	text, err := t.initial("sqlite:none.db", broker).write()
	if err != nil {
		return Config{}, err
	}
	return parseConfig(filepath.Join(dir, name), text)
}

// otherEnd turns a plant's link round: what the one sends the other receives.
func otherEnd(plant amqp.Config, address string) amqp.Config {
	from, to := plant.Exchanges[0].Name, plant.Receive.Queue
	c := plant
	c.Addresses = []string{address}
	for _, q := range plant.Queues {
		switch {
		case q.Name != to && q.Bindings[0].Exchange == from:
			c.Receive = &amqp.Receive{Queue: q.Name, InFlight: 5000}
		case q.Name == to:
			c.Publish = &amqp.Publish{Exchange: q.Bindings[0].Exchange}
		}
	}
	return c
}

// background runs the ERP and, where there is a broker, what stands between it and the plant.
func (t *tortured) background(ctx context.Context, g *errgroup.Group) {
	g.Go(func() error { return erpmock.Serve(ctx, t.erp, t.mock) })
	if t.erpSide != nil {
		g.Go(func() error { return t.erpSide.Run(ctx) })
		g.Go(func() error { return t.cfg.Wire.Run(ctx) })
	}
}
