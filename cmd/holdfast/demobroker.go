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
	node     *rabbit.Node
	broker   *amqp.Link // the ERP's
	api      *rest.Link // to the ERP itself
	erp      *erpbroker.ERP
	down     atomic.Bool
	restarts int
}

// passwordFile is where the configuration of a demo finds the broker's password.
const passwordFile = "broker-password"

// openBroker starts the broker and opens the ERP behind it. Its data stay in the demo's folder: a later demo goes on with them.
func (s *stage) openBroker(ctx context.Context) (err error) {
	s.mq = &brokerSide{}
	if s.mq.node, err = rabbit.Open(filepath.Join(s.flags.data, "rabbitmq")); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.flags.data, passwordFile), []byte(s.mq.node.Password+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep the password of the broker: %w", err)
	}
	if err := s.mq.node.Start(ctx); err != nil {
		return err
	}
	return s.openERPSide()
}

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
	if s.mq.broker, err = amqp.Open(s.erpLink(), func(context.Context, string) (string, error) { return s.mq.node.Password, nil }, log); err != nil {
		return err
	}
	s.mq.erp, err = erpbroker.Open(s.mq.broker, s.mq.api, rules, erpbroker.Config{
		Mapping: "erp-out", Source: "urn:erp", Numbers: filepath.Join(s.flags.data, "erp.numbers"), Last: s.lastNumbers(),
	}, log)
	return err
}

// erpLink is the ERP's end of the queues, made as the plant's configuration makes them.
func (s *stage) erpLink() amqp.Config {
	plant := "plant-" + s.set.Plant.Number
	return amqp.Config{
		Addresses: []string{s.mq.node.Address}, User: s.mq.node.User, Password: "file:" + passwordFile,
		Exchanges: []amqp.Exchange{{Name: plant}, {Name: "erp"}},
		Queues: []amqp.Queue{
			{Name: "erp.from-" + plant, SingleActive: true, Bindings: []amqp.Binding{{Exchange: plant, Key: "#"}}},
			{Name: plant + ".from-erp", SingleActive: true, Bindings: []amqp.Binding{{Exchange: "erp", Key: "#"}}},
		},
		Publish: &amqp.Publish{Exchange: "erp"},
		Receive: &amqp.Receive{Queue: "erp.from-" + plant, InFlight: 5000},
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

// cut parts plant and ERP: over HTTP the ERP cannot be reached, over RabbitMQ the broker is stopped, for both.
func (s *stage) cut() error {
	if s.mq == nil {
		s.mock.Down(0)
		return nil
	}
	s.mq.down.Store(true)
	return s.mq.node.Stop()
}

// mend joins them again.
func (s *stage) mend(ctx context.Context) error {
	if s.mq == nil {
		s.mock.Up()
		return nil
	}
	if err := s.mq.node.Start(ctx); err != nil {
		return err
	}
	s.mq.down.Store(false)
	s.mq.restarts++
	return nil
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
	return errors.Join(errs...)
}
