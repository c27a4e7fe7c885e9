package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"holdfast/adapters/amqp"
	"holdfast/adapters/rest"
	"holdfast/cmd/holdfast/internal/erpbroker"
	"holdfast/cmd/holdfast/internal/rabbit"
	"holdfast/internal/message"
)

// brokerSide is what the demo runs besides when plant and ERP talk through RabbitMQ: the broker, and what puts the ERP behind it.
type brokerSide struct {
	address, user, password string
	names                   string       // what exchanges and queues begin with
	node                    *rabbit.Node // of the run's own; nil for a broker of the user's
	given                   *givenBroker // of the user's; nil for one of the run's own

	broker   *amqp.Link // the ERP's
	api      *rest.Link // to the ERP itself
	erp      *erpbroker.ERP
	down     atomic.Bool
	restarts int
}

// passwordFile is where the configuration of a demo finds the broker's password.
const passwordFile = "broker-password"

// openBroker starts the broker, or finds a way to that of the user, and opens the ERP behind it. What the broker holds stays for a later
// demo on the same folder.
func (s *stage) openBroker(ctx context.Context) (err error) {
	s.mq = &brokerSide{}
	if s.flags.broker != "" {
		err = s.mq.reach(s.flags, "plant-"+s.set.Plant.Number)
	} else {
		err = s.mq.start(ctx, filepath.Join(s.flags.data, "rabbitmq"))
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.flags.data, passwordFile), []byte(s.mq.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep the password of the broker: %w", err)
	}
	return s.openERPSide()
}

// start starts a broker in a folder of its own.
func (b *brokerSide) start(ctx context.Context, dir string) (err error) {
	if b.node, err = rabbit.Open(dir); err != nil {
		return err
	}
	b.address, b.user, b.password = b.node.Address, b.node.User, b.node.Password
	return b.node.Start(ctx)
}

// secret is the broker's password.
func (b *brokerSide) secret(context.Context, string) (string, error) { return b.password, nil }

// openERPSide opens what stands between broker and ERP. It calls the ERP by the same link that a plant over HTTP would use.
func (s *stage) openERPSide() error {
	text, err := s.initial().write()
	if err != nil {
		return err
	}
	cfg, err := parseConfig(filepath.Join(s.flags.data, "erp.yaml"), text)
	if err != nil {
		return err
	}
	rules, err := loadMappings(cfg)
	if err != nil {
		return err
	}
	log := s.logger().With("side", "erp")
	if s.mq.api, err = rest.Open(cfg.Links["erp"].REST, cfg.secret, log); err != nil {
		return err
	}
	if s.mq.broker, err = amqp.Open(s.mq.link("plant-"+s.set.Plant.Number), s.mq.secret, log); err != nil {
		return err
	}
	s.mq.erp, err = erpbroker.Open(s.mq.broker, s.mq.api, rules, erpbroker.Config{
		Mapping: "erp-out", Source: "urn:erp", Numbers: filepath.Join(s.flags.data, "erp.numbers"), Last: s.lastNumbers(),
	}, log)
	return err
}

// link is the ERP's end of the queues, made as the plant's configuration makes them.
func (b *brokerSide) link(plant string) amqp.Config {
	fromPlant, fromERP := b.names+"erp.from-"+plant, b.names+plant+".from-erp"
	plant, erp := b.names+plant, b.names+"erp"
	return amqp.Config{
		Addresses: []string{b.address}, User: b.user, Password: "file:" + passwordFile, Exchanges: []amqp.Exchange{{Name: plant}, {Name: erp}},
		Queues: []amqp.Queue{
			{Name: fromPlant, SingleActive: true, Bindings: []amqp.Binding{{Exchange: plant, Key: "#"}}},
			{Name: fromERP, SingleActive: true, Bindings: []amqp.Binding{{Exchange: erp, Key: "#"}}},
		},
		Publish: &amqp.Publish{Exchange: erp},
		Receive: &amqp.Receive{Queue: fromPlant, InFlight: 5000},
	}
}

// lastNumbers is how far the ERP's journal goes in each lane; nil for an ERP that begins.
func (s *stage) lastNumbers() map[string]int64 {
	if !s.mock.Restored() {
		return nil
	}
	last := map[string]int64{}
	for _, e := range s.mock.Effects() {
		if e.Lane != "" {
			last[e.Lane] = max(last[e.Lane], e.LaneNumber)
		}
	}
	return last
}

// cut parts plant and ERP: over HTTP the ERP cannot be reached, over RabbitMQ the broker is stopped, or both are cut off from it.
func (s *stage) cut() error {
	if s.mq == nil {
		s.mock.Down(0)
		return nil
	}
	s.mq.down.Store(true)
	if s.mq.given != nil {
		s.mq.given.gate.Shut()
		return nil
	}
	return s.mq.node.Stop()
}

// mend joins them again.
func (s *stage) mend(ctx context.Context) error {
	if s.mq == nil {
		s.mock.Up()
		return nil
	}
	restarted, err := s.mq.mend(ctx)
	if err != nil {
		return err
	}
	if restarted {
		s.mq.restarts++
	}
	s.mq.down.Store(false)
	return nil
}

// mend has the broker be there again, and tells whether it was restarted.
func (b *brokerSide) mend(ctx context.Context) (restarted bool, err error) {
	if b.given != nil {
		return b.given.mend(ctx)
	}
	return true, b.node.Start(ctx)
}

func (s *stage) isCut() bool {
	if s.mq == nil {
		return s.mock.IsDown()
	}
	return s.mq.down.Load()
}

// answered tells whether the ERP has answered all that was delivered. Over HTTP an answer comes with the delivery.
func (s *stage) answered(ctx context.Context) (bool, error) {
	if s.mq == nil {
		return true, nil
	}
	list, err := s.messages(ctx)
	for _, d := range list {
		if d.Settled && d.Role != message.Void && d.Receipt.Document == "" && d.Refused == "" {
			return false, err
		}
	}
	return err == nil, err
}

// close ends the ERP's side, then the broker.
func (b *brokerSide) close() error {
	var errs []error
	if b.erp != nil {
		errs = append(errs, b.erp.Close())
	}
	if b.broker != nil {
		b.broker.Close()
	}
	if b.api != nil {
		b.api.Close()
	}
	if b.node != nil {
		errs = append(errs, b.node.Close())
	}
	if b.given != nil {
		errs = append(errs, b.given.close())
	}
	return errors.Join(errs...)
}
