package amqp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	amqp091 "github.com/rabbitmq/amqp091-go"

	"holdfast/internal/problem"
)

// prepare declares the exchanges and queues, or looks whether they are there. It has a channel of its own, which an error closes.
func (s *session) prepare(declare bool, exchanges []Exchange, queues []Queue) error {
	if !declare {
		return s.verify(exchanges, queues)
	}
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	for _, e := range exchanges {
		if err := ch.ExchangeDeclare(e.Name, cmp.Or(e.Kind, "topic"), true, false, false, false, e.arguments()); err != nil {
			return misplaced("declare exchange", e.Name, err)
		}
	}
	for _, q := range queues {
		if err := s.declare(q); err != nil {
			return misplaced("declare queue", q.Name, err)
		}
		for _, b := range q.Bindings {
			if err := ch.QueueBind(q.Name, b.Key, b.Exchange, false, nil); err != nil {
				return misplaced(fmt.Sprintf("bind to exchange %q the queue", b.Exchange), q.Name, err)
			}
		}
	}
	return ch.Close()
}

// declare makes a queue, or finds it as it should be. From RabbitMQ 4.0 on a quorum queue drops what was given back 20 times, by a lost connection
// too, unless it was declared to have no limit. One that was made before, without that word, is left as it is, and the log says so; one that has
// it is known by it to an older broker as well.
func (s *session) declare(q Queue) error {
	words := []any{nil}
	if q.Kind != "classic" && q.DeliveryLimit == 0 && q.DeadLetter == "" {
		words = append(words, unlimited)
	}
	if s.drops {
		slices.Reverse(words)
	}
	err := s.declareLimited(q, words[0])
	if lib, ok := errors.AsType[*amqp091.Error](err); !ok || lib.Code != amqp091.PreconditionFailed || len(words) == 1 {
		return err
	}
	if s.declareLimited(q, words[1]) != nil {
		return err // the first says what is wrong
	}
	if words[1] == nil {
		s.log.Warn("the broker drops what this queue has offered 20 times: it was made without a word on that",
			"queue", q.Name, "hint", "give it a dead-letter exchange by a policy, or have it made anew when it is empty")
	}
	return nil
}

// unlimited is the delivery limit of a queue that has none. RabbitMQ before 4.0 takes it for 0, so that no queue may be made there with it.
const unlimited = -1

// declareLimited has a channel of its own, which a refusal closes. Without a limit it says none.
func (s *session) declareLimited(q Queue, limit any) error {
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	args := q.arguments()
	if limit != nil {
		args["x-delivery-limit"] = limit
	}
	if _, err := ch.QueueDeclare(q.Name, true, false, false, false, args); err != nil {
		return err
	}
	return ch.Close()
}

// dropsByItself tells whether a broker of that version has a delivery limit where none was asked for. An older one takes -1 for 0
// (rabbitmq-server pull requests 11937 and 12250, both in 4.0).
func dropsByItself(version any) bool {
	v, _ := version.(string)
	major, _, _ := strings.Cut(v, ".")
	n, err := strconv.Atoi(major)
	return err == nil && n >= 4
}

// verify looks whether exchanges and queues are there, tells all that are not, and changes nothing.
func (s *session) verify(exchanges []Exchange, queues []Queue) error {
	var all []error
	for _, e := range exchanges {
		if e.Name == "" {
			continue // the default exchange is always there, and may not be declared
		}
		all = append(all, s.look("look for exchange", e.Name, func(ch *amqp091.Channel) error {
			return ch.ExchangeDeclarePassive(e.Name, cmp.Or(e.Kind, "topic"), true, false, false, false, nil)
		}))
	}
	for _, q := range queues {
		all = append(all, s.look("look for queue", q.Name, func(ch *amqp091.Channel) error {
			_, err := ch.QueueDeclarePassive(q.Name, true, false, false, false, nil)
			return err
		}))
		if s.conn.IsClosed() {
			break
		}
	}
	return errors.Join(all...)
}

// look asks for one thing on a channel of its own: the broker closes that on which something is not found.
func (s *session) look(what, name string, ask func(*amqp091.Channel) error) error {
	ch, err := s.conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	if err := ask(ch); err != nil {
		return misplaced(what, name, err)
	}
	return ch.Close()
}

func (e Exchange) arguments() amqp091.Table {
	if e.Alternate == "" {
		return nil
	}
	return amqp091.Table{"alternate-exchange": e.Alternate}
}

// arguments are those of a queue that RabbitMQ 3.10 and all later ones understand.
func (q Queue) arguments() amqp091.Table {
	args := amqp091.Table{"x-queue-type": cmp.Or(q.Kind, "quorum")}
	set := func(name string, value any, wanted bool) {
		if wanted {
			args[name] = value
		}
	}
	set("x-delivery-limit", q.DeliveryLimit, q.DeliveryLimit > 0)
	set("x-dead-letter-exchange", q.DeadLetter, q.DeadLetter != "")
	set("x-dead-letter-routing-key", q.DeadLetterKey, q.DeadLetterKey != "")
	set("x-dead-letter-strategy", "at-least-once", q.AtLeastOnce)
	set("x-max-length", q.MaxLength, q.MaxLength > 0)
	set("x-overflow", "reject-publish", q.Reject)
	set("x-single-active-consumer", true, q.SingleActive)
	return args
}

// misplaced is an exchange or queue that is not as the configuration has it.
func misplaced(what, name string, err error) error {
	p := &problem.Error{
		Kind: problem.Unavailable, What: fmt.Sprintf("%s %q", what, name), Why: words(err),
		Hint: "the link tries again by itself",
	}
	var lib *amqp091.Error
	if !errors.As(err, &lib) {
		return p
	}
	switch lib.Code {
	case amqp091.NotFound:
		p.Kind = problem.NotFound
		p.Why = "it is not on the broker, or what it refers to is not: " + lib.Reason
		p.Hint = "have it made by whoever owns the broker, or set declare: true; the link goes on by itself"
	case amqp091.PreconditionFailed:
		if refusedSize(lib) > 0 {
			p.Why = "a body is larger than the broker takes: " + lib.Reason
			p.Hint = "raise max_message_size on the broker, or send less in one message; what it refuses waits for a person, all else is sent again"
			break
		}
		p.Why = "it is there, but made otherwise: " + lib.Reason
		p.Hint = "change the configuration to what is there, or set declare: false, or have it deleted when it is empty"
	case amqp091.AccessRefused:
		p.Why = "the user may not: " + lib.Reason
		p.Hint = "give the user the right to configure it, or set declare: false"
	}
	return p
}
