// Package amqp is the asynchronous link: it publishes what the plant owes to a RabbitMQ exchange and takes in what an ERP has put
// into a queue. It alone knows Watermill, whose Publisher, Subscriber and Router it offers and uses, and amqp091-go, over which the
// transport is its own.
//
// # Guarantees of what goes out
//
//   - Delivered means that the broker has confirmed the message and has not returned it: on a quorum queue it is on the disks of a
//     majority. Many messages wait for their confirms at once, in one window on one channel, in the order in which they were sent.
//   - A message that no queue takes (basic.return, 312 NO_ROUTE) is Refused, never Delivered: every publish is mandatory.
//   - A message that the broker turns away (basic.nack: a full queue, a queue without a leader) is Again, and counts as the link's
//     trouble: it says nothing about the message and spends no attempt.
//   - What was not written because there is no connection, or because the broker has blocked it, is Again: certainly not sent.
//   - A message whose confirm was lost with its connection is Unsure. Nobody can ask a broker what it has, therefore Ask answers
//     Again: send it again under the same message ID. The contract of this link is that receivers drop an ID that they know.
//   - A broker that blocks us (memory, disk) is never written to, and no write can hang: each has a time limit that ends the
//     connection.
//
// # Guarantees of what comes in
//
//   - A message is acknowledged only after the function given to Run has accepted it. What it does not accept is kept and offered
//     again, in order, and nothing more is taken from the broker than Receive.InFlight.
//   - An acknowledgement belongs to the connection on which its message came: one that is late never reaches a later connection,
//     whose numbers mean other messages.
//   - Messages are handed on in the broker's order. That order holds over reconnects and several nodes if the queue has a single active
//     consumer, as one has that this package declares to receive from.
//   - A message that is no CloudEvent is handed on all the same, without a kind, so that the inbox can put it into quarantine.
//
// Connections are made again for ever, with jittered pauses; credentials are read anew for each, and now and then in between.
// No secret stands in a Config, an error or a log line.
package amqp

import (
	"context"
	"fmt"
	"log/slog"

	"golang.org/x/sync/semaphore"

	door "holdfast/adapters/wire"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// Resolve gives the secret that a reference such as "env:ERP_TOKEN" or "file:/run/secrets/erp" names. Its error must not
// contain the secret.
type Resolve func(ctx context.Context, reference string) (string, error)

// Link is one asynchronous connection to one ERP. It is safe for concurrent use.
type Link struct {
	cfg     Config
	resolve Resolve
	out     *Publisher // nil without Config.Publish
	log     *slog.Logger
	guard   *door.Guard         // of the user
	hands   *semaphore.Weighted // bytes of large bodies, see load
	seal    message.Encrypter   // nil for none
	opener  message.Decrypter   // nil for none
}

// Open checks the configuration and begins to connect. The broker may be away; Status tells. The caller closes the link.
func Open(cfg Config, resolve Resolve, log *slog.Logger) (*Link, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	l := &Link{cfg: cfg.withDefaults(), resolve: resolve, log: log, guard: newGuard(), hands: semaphore.NewWeighted(handBytes)}
	if cfg.Publish == nil {
		return l, nil
	}
	var err error
	l.out, err = newPublisher(cfg, resolve, log, l.guard)
	return l, err
}

// newGuard is one whose secret is had anew for each connection in any case. What looks like a refusal once may be a broker that hung and then died.
func newGuard() *door.Guard {
	g := door.NewGuard(func() {})
	g.Spare = 1
	return g
}

// WhenDenied has f told that the broker refuses the link's user: when it begins, and each hour while it lasts. f must not call the link.
func (l *Link) WhenDenied(f func(why error)) { l.guard.WhenDenied(f) }

// Close waits for the confirms that are outstanding, up to Config.StopTimeout, and gives up the connection.
func (l *Link) Close() {
	if l.out != nil {
		_ = l.out.Close() // what is still outstanding, its callers were told
	}
}

// Status tells how the connection for what goes out stands. A link that only receives is always idle here.
func (l *Link) Status() Status {
	if l.out == nil {
		return Status{State: Idle}
	}
	return l.out.Status()
}

// Accepts tells whether a mapping may name this target: it becomes the routing key.
func (l *Link) Accepts(target string) error {
	if len(target) > maxShort {
		return &problem.Error{
			Kind: problem.Invalid, What: fmt.Sprintf("target %.40q… of a mapping", target),
			Why: fmt.Sprintf("a routing key has at most %d bytes", maxShort), Hint: "write a shorter one",
		}
	}
	return nil
}

// Check makes one connection and looks at the exchanges and queues, for the doctor. It declares nothing.
func (l *Link) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*l.cfg.ConnectTimeout)
	defer cancel()
	k := newKeeper("check", l.cfg, l.resolve, l.log, l.guard)
	s, err := k.dial(ctx)
	if err != nil {
		return err
	}
	defer s.close(soon())
	return s.verify(l.cfg.Exchanges, l.cfg.Queues)
}
