package rabbit_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/cmd/holdfast/internal/rabbit"
)

// TestTheDefinitionsGiveNobodyMoreThanItNeeds, on a real broker that has loaded deploy/rabbitmq/definitions.json: the plant sends to its
// exchange and reads its queue, the ERP the other way round, and neither makes, writes or reads anything else.
func TestTheDefinitionsGiveNobodyMoreThanItNeeds(t *testing.T) {
	if _, err := exec.LookPath("rabbitmq-server"); err != nil {
		t.Skip("skipped for want of rabbitmq-server")
	}
	n, err := rabbit.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if err := n.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	file, err := filepath.Abs("../../../../deploy/rabbitmq/definitions.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"import_definitions", file}, {"change_password", "plant-1000", "p"}, {"change_password", "erp-1000", "e"}} {
		if err := n.Control(ctx, args...); err != nil {
			t.Fatal(err)
		}
	}
	publish := func(exchange string) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error {
			if err := ch.Confirm(false); err != nil {
				return err
			}
			d, err := ch.PublishWithDeferredConfirmWithContext(ctx, exchange, "k", true, false, amqp091.Publishing{Body: []byte("1")})
			if err != nil {
				return err
			}
			closed := ch.NotifyClose(make(chan *amqp091.Error, 1))
			select {
			case err := <-closed:
				return err
			case <-d.Done():
				return nil
			}
		}
	}
	read := func(queue string) func(*amqp091.Channel) error {
		return func(ch *amqp091.Channel) error {
			_, err := ch.Consume(queue, "", false, false, false, false, nil)
			return err
		}
	}
	declare := func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare("another", true, false, false, false, nil)
		return err
	}
	tests := []struct {
		name, user string
		act        func(*amqp091.Channel) error
		may        bool
	}{
		{"the plant sends", "plant-1000:p", publish("from-plant"), true},
		{"the plant reads what is for it", "plant-1000:p", read("to-plant"), true},
		{"the plant writes to itself", "plant-1000:p", publish("to-plant"), false},
		{"the plant writes to the default exchange", "plant-1000:p", publish(""), false},
		{"the plant reads what is for the ERP", "plant-1000:p", read("from-plant.erp"), false},
		{"the plant makes a queue", "plant-1000:p", declare, false},
		{"the ERP sends", "erp-1000:e", publish("to-plant"), true},
		{"the ERP reads what is for it", "erp-1000:e", read("from-plant.erp"), true},
		{"the ERP writes as the plant", "erp-1000:e", publish("from-plant"), false},
		{"the ERP reads dead letters", "erp-1000:e", read("dead"), false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := within(n, tt.user, tt.act); (err == nil) != tt.may {
				t.Errorf("got %v, want it allowed: %t", err, tt.may)
			}
		})
	}
}

// within runs act on a channel of a user's own connection.
func within(n *rabbit.Node, user string, act func(*amqp091.Channel) error) error {
	conn, err := amqp091.Dial(strings.Replace(n.Address, "amqp://", "amqp://"+user+"@", 1) + "plant-1000")
	if err != nil {
		return err
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return err
	}
	return act(ch)
}
