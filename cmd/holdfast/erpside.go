package main

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"time"

	"holdfast/adapters/amqp"
	"holdfast/adapters/rest"
	"holdfast/cmd/holdfast/internal/erpbroker"
)

// erpSide is the ERP of the demo and of torture where a broker stands between it and the plant: it has the other end of the plant's queues,
// and calls the ERP as a plant over HTTP would.
type erpSide struct {
	*erpbroker.ERP // nil until all is open

	queues amqp.Config
	secret amqp.Resolve
	broker *amqp.Link
	calls  *rest.Link
}

// openERPSide opens what is behind a plant's link. Last is how far the ERP's journal goes in each lane; nil for an ERP that begins.
func openERPSide(dir string, plant initial, address string, last map[string]int64, log *slog.Logger) (e *erpSide, err error) {
	over, err := plant.config(filepath.Join(dir, "erp-broker.yaml"))
	if err != nil {
		return nil, err
	}
	plant.Broker = ""
	direct, err := plant.config(filepath.Join(dir, "erp.yaml"))
	if err != nil {
		return nil, err
	}
	rules, err := loadMappings(direct)
	if err != nil {
		return nil, err
	}
	e = &erpSide{queues: otherEnd(over.Links["erp"].AMQP, address), secret: over.secret}
	defer func() {
		if err != nil {
			e, err = nil, errors.Join(err, e.close())
		}
	}()
	if e.calls, err = rest.Open(direct.Links["erp"].REST, direct.secret, log); err != nil {
		return nil, err
	}
	if e.broker, err = amqp.Open(e.queues, e.secret, log); err != nil {
		return nil, err
	}
	e.ERP, err = erpbroker.Open(e.broker, e.calls, rules, erpbroker.Config{
		Mapping: "erp-out", Source: "urn:erp", Numbers: filepath.Join(dir, "erp.numbers"), Last: last,
	}, log)
	return e, err
}

// config reads what write would write to a file. It writes none.
func (in initial) config(file string) (Config, error) {
	text, err := in.write()
	if err != nil {
		return Config{}, err
	}
	return parseConfig(file, text)
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

// remove deletes the exchanges and queues of the link on the broker at this address.
func (e *erpSide) remove(address string) error {
	cfg := e.queues
	cfg.Addresses, cfg.Publish = []string{address}, nil
	l, err := amqp.Open(cfg, e.secret, slog.New(slog.DiscardHandler))
	if err != nil {
		return err
	}
	defer l.Close()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	return l.Remove(ctx)
}

// close closes what is open.
func (e *erpSide) close() error {
	var err error
	if e.ERP != nil {
		err = e.Close()
	}
	if e.broker != nil {
		e.broker.Close()
	}
	if e.calls != nil {
		e.calls.Close()
	}
	return err
}
