package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"

	"holdfast/cmd/holdfast/internal/rabbit"
	"holdfast/internal/message"
)

// brokerSide is what the demo runs besides when plant and ERP talk through RabbitMQ: the broker, and what puts the ERP behind it.
type brokerSide struct {
	address, user, password string
	names                   string       // what exchanges and queues begin with
	node                    *rabbit.Node // of the run's own; nil for a broker of the user's
	given                   *givenBroker // of the user's; nil for one of the run's own

	erp      *erpSide
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
		err = s.mq.reach(ctx, s.flags)
	} else {
		err = s.mq.start(ctx, filepath.Join(s.flags.data, "rabbitmq"))
	}
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(s.flags.data, passwordFile), []byte(s.mq.password+"\n"), 0o600); err != nil {
		return fmt.Errorf("keep the password of the broker: %w", err)
	}
	s.mq.erp, err = openERPSide(s.flags.data, s.initial(), s.mq.address, s.lastNumbers(), s.logger().With("side", "erp"))
	return err
}

// start starts a broker in a folder of its own.
func (b *brokerSide) start(ctx context.Context, dir string) (err error) {
	if b.node, err = rabbit.Open(dir); err != nil {
		return err
	}
	b.address, b.user, b.password = b.node.Address, b.node.User, b.node.Password
	return b.node.Start(ctx)
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
	if s.sap != nil {
		return s.sap.cut()
	}
	if s.mq == nil {
		s.mock.Down(0)
		return nil
	}
	s.mq.down.Store(true)
	if s.mq.given != nil {
		s.mq.given.mended = s.mq.given.wire.Cut()
		return nil
	}
	return s.mq.node.Stop()
}

// mend joins them again.
func (s *stage) mend(ctx context.Context) error {
	if s.sap != nil {
		return s.sap.mend()
	}
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
	if s.sap != nil {
		return s.sap.IsDown()
	}
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
		errs = append(errs, b.erp.close())
	}
	if b.node != nil {
		errs = append(errs, b.node.Close())
	}
	if b.given != nil {
		errs = append(errs, b.given.close(b.erp))
	}
	return errors.Join(errs...)
}
