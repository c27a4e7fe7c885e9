package main

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"holdfast/adapters/amqp"
	"holdfast/adapters/erpmock"
	"holdfast/adapters/erpmock/idocport"
	"holdfast/internal/message"
	"holdfast/internal/problem"
)

// idocFlags are what erp mock is told of IDocs.
type idocFlags struct {
	on, drops          bool
	in, to             string
	user, passwordFrom string
	broker, from       string // and to is a queue
}

// flags adds those of IDocs.
func (f *idocFlags) flags(cmd *cobra.Command) {
	fl := cmd.Flags()
	fl.BoolVar(&f.on, "idoc", false, "serve SAP's port for IDocs at "+idocport.Path+"; with --idoc-in also a folder")
	fl.StringVar(&f.in, "idoc-in", "", "folder from which IDocs are taken as well")
	fl.StringVar(&f.to, "idoc-to", "", "folder or address (http://…/idoc) to which confirmations (ALEAUD01) go; they wait without one")
	fl.StringVar(&f.user, "idoc-user", "", "user to sign in as at that address")
	fl.StringVar(&f.passwordFrom, "idoc-password", "", "variable of the environment that has its password, as env:NAME")
	fl.StringVar(&f.broker, "idoc-broker", "", "broker (amqp://USER@HOST/VHOST) through which IDocs go instead: they are taken from --idoc-from, and --idoc-to is a queue. The password is that of --idoc-password")
	fl.StringVar(&f.from, "idoc-from", "", "queue from which IDocs are taken")
	fl.BoolVar(&f.drops, "idoc-drops-known", false, "drop an IDoc whose number is known, as a check of a customer's own does; standard SAP books it again")
	cmd.MarkFlagsMutuallyExclusive("spec", "idoc")
	cmd.MarkFlagsMutuallyExclusive("edmx", "idoc")
}

// openIDocMock makes a SAP that speaks IDocs.
func openIDocMock(f mockFlags) (m mock, of string, err error) {
	cfg := idocport.Config{In: f.idoc.in, User: f.idoc.user, DropsKnown: f.idoc.drops, Seed: f.seed, Ledger: f.ledger}
	if f.idoc.broker != "" {
		cfg.In = ""
	} else if strings.HasPrefix(f.idoc.to, "http://") || strings.HasPrefix(f.idoc.to, "https://") {
		cfg.Partner = f.idoc.to
	} else {
		cfg.Out = f.idoc.to
	}
	if f.idoc.passwordFrom != "" {
		if cfg.Password = os.Getenv(strings.TrimPrefix(f.idoc.passwordFrom, "env:")); cfg.Password == "" {
			return nil, "", &problem.Error{
				Kind: problem.Invalid, What: "serve IDocs", Why: f.idoc.passwordFrom + " has no password", Hint: "set the variable, and name it as --idoc-password env:NAME",
			}
		}
	}
	if f.faults != "" {
		schedule, err := readSchedule(f.faults)
		if err != nil {
			return nil, "", err
		}
		cfg.Faults = schedule.Faults
	}
	var mq *amqp.Link
	if f.idoc.broker != "" {
		if mq, err = f.idoc.openBroker(cfg.Password); err != nil {
			return nil, "", err
		}
		cfg.Pay = payOver(mq)
	}
	p, err := idocport.New(cfg)
	if err != nil && mq != nil {
		mq.Close()
	}
	if errors.Is(err, erpmock.ErrLedgerTaken) {
		return nil, "", ledgerTaken(f.ledger)
	}
	if err != nil {
		return nil, "", invalid("serve IDocs", err)
	}
	if mq != nil {
		return brokerPort{p, mq}, "a SAP that speaks IDocs through " + f.idoc.from + " and " + f.idoc.to, nil
	}
	return p, "SAP's port for IDocs at " + idocport.Path, nil
}

// openBroker begins to connect to the broker, whose queues the plant makes.
func (f idocFlags) openBroker(password string) (*amqp.Link, error) {
	u, err := url.Parse(f.broker)
	if err != nil || u.User == nil || f.from == "" || f.to == "" || password == "" {
		return nil, &problem.Error{
			Kind: problem.Invalid, What: "serve IDocs through a broker", Why: "--idoc-broker has no user, or --idoc-from, --idoc-to or --idoc-password is missing",
			Hint: "write --idoc-broker amqp://USER@HOST/VHOST --idoc-password env:NAME --idoc-from QUEUE --idoc-to QUEUE",
		}
	}
	user := u.User.Username()
	u.User = nil
	return amqp.Open(amqp.Config{
		Addresses: []string{u.String()}, User: user, Password: "env:PASSWORD", Declare: new(bool),
		Publish: &amqp.Publish{Key: f.to}, Receive: &amqp.Receive{Queue: f.from},
	}, func(context.Context, string) (string, error) { return password, nil }, slog.New(slog.DiscardHandler))
}

// payOver brings the partner what it is owed over a broker.
func payOver(mq *amqp.Link) idocport.Pay {
	return func(ctx context.Context, number, text string) error {
		one := amqp.Parcel{Of: message.Message{ID: number}, ID: number, Media: "application/xml", Body: []byte(text)}
		if out := mq.Carry(ctx, []amqp.Parcel{one})[0]; out.Verdict != message.Delivered {
			return out.Err
		}
		return nil
	}
}

// brokerPort is a port whose IDocs go by a broker.
type brokerPort struct {
	*idocport.Port
	broker *amqp.Link
}

// Run takes and sends IDocs until ctx ends.
func (p brokerPort) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Port.Run(ctx) })
	g.Go(func() error {
		asItIs := func(body []byte) ([]message.Incoming, error) {
			return []message.Incoming{{Message: message.Message{Body: body}}}, nil
		}
		return p.broker.RunReading(ctx, asItIs, func(_ context.Context, batch []message.Incoming) error {
			for _, in := range batch {
				if err := p.Take("AMQP", "", in.Body); err != nil {
					return err
				}
			}
			return nil
		})
	})
	return g.Wait()
}

// Close gives up the broker, too.
func (p brokerPort) Close() error {
	p.broker.Close()
	return p.Port.Close()
}

// busy is a mock that does something by itself.
type busy interface {
	Run(ctx context.Context) error
}
