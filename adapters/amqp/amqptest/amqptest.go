// Package amqptest gives tests a RabbitMQ: the shared one, with an exchange and a queue of the test's own, or one that the test may stop,
// start and starve.
//
// # Guarantees
//
//   - Names are new for each test, and what has them is deleted at its end.
//   - A broker of one's own listens on ports of its own, keeps its data in a folder of its own, and is gone after Stop. It is started by
//     deploy/dev/services, as the shared one is.
package amqptest

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp091 "github.com/rabbitmq/amqp091-go"
)

// Broker is one RabbitMQ node.
type Broker struct {
	Address  string // without credentials
	User     string
	Password string
	URL      string // with them

	dir      string // of a broker of one's own, "" for the shared one
	services string // the script that rules it
}

// Shared is the broker that HOLDFAST_TEST_RABBITMQ names. Without that variable the test is skipped, and fails where CI is set.
func Shared(tb testing.TB) *Broker {
	tb.Helper()
	address := os.Getenv("HOLDFAST_TEST_RABBITMQ")
	if address == "" {
		if os.Getenv("CI") != "" {
			tb.Fatal("HOLDFAST_TEST_RABBITMQ is not set, and CI skips nothing: run deploy/dev/services up")
		}
		tb.Skip("skipped for want of RabbitMQ: set HOLDFAST_TEST_RABBITMQ, or run make test, which starts one")
	}
	b, err := parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func parse(address string) (*Broker, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("read the address of RabbitMQ: %w", err)
	}
	b := &Broker{URL: address, User: u.User.Username()}
	b.Password, _ = u.User.Password()
	u.User = nil
	b.Address = u.String()
	return b, nil
}

// Start starts a broker of one's own; it takes some ten seconds. The caller stops it.
func Start(ctx context.Context) (*Broker, error) {
	_, file, _, _ := runtime.Caller(0)
	services := filepath.Join(filepath.Dir(file), "../../../deploy/dev/services")
	dir, err := os.MkdirTemp("", "holdfast-amqptest-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for RabbitMQ: %w", err)
	}
	own := &Broker{dir: dir, services: services}
	if err := os.Chmod(dir, 0o755); err != nil { // the server runs as another user
		return nil, fmt.Errorf("open the folder to RabbitMQ: %w", err)
	}
	if err := own.Restore(ctx); err != nil {
		return nil, err
	}
	out, err := own.run(ctx, "env")
	if err != nil {
		return nil, err
	}
	found := regexp.MustCompile(`HOLDFAST_TEST_RABBITMQ='([^']+)'`).FindStringSubmatch(out)
	if found == nil {
		return nil, fmt.Errorf("start RabbitMQ: no address in %q", out)
	}
	b, err := parse(found[1])
	if err != nil {
		return nil, err
	}
	b.dir, b.services = dir, services
	return b, nil
}

// environment is that of the script for a broker of one's own: no other address, packages only, and no PostgreSQL.
func (b *Broker) environment() []string {
	return []string{
		"HOLDFAST_DEV_DIR=" + b.dir, "HOLDFAST_DEV_FROM=packages", "HOLDFAST_TEST_RABBITMQ=", "HOLDFAST_TEST_RABBITMQ_MANAGEMENT=",
		"HOLDFAST_TEST_POSTGRES=none",
	}
}

func (b *Broker) run(ctx context.Context, args ...string) (string, error) {
	if b.dir == "" {
		return "", fmt.Errorf("%s: the shared broker is not the test's to rule", strings.Join(args, " "))
	}
	cmd := exec.CommandContext(ctx, b.services, args...)
	cmd.Env = append(os.Environ(), b.environment()...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}

// Halt stops the broker; its messages stay.
func (b *Broker) Halt(ctx context.Context) error {
	_, err := b.run(ctx, "down")
	return err
}

// Restore starts it again.
func (b *Broker) Restore(ctx context.Context) error {
	_, err := b.run(ctx, "up")
	return err
}

// Stop stops the broker for good and deletes its data.
func (b *Broker) Stop(ctx context.Context) error {
	err := b.Halt(ctx)
	if err == nil {
		err = os.RemoveAll(b.dir)
	}
	return err
}

// RestartCommand stops and starts it, as a command for who wants one.
func (b *Broker) RestartCommand() []string {
	return append(append([]string{"env"}, b.environment()...), "sh", "-c", `"$0" down && "$0" up`, b.services)
}

// CloseConnections has the broker close every connection, so many times, each time when ready has returned: it is given how many closes
// there were. One by one: close_all_connections fails, and closes no more, when a connection has just ended by itself.
//
// One command does it all, since each takes seconds to start; the broker waits for a file before each close.
func (b *Broker) CloseConnections(ctx context.Context, times int, ready func(closes int)) error {
	gate, err := os.MkdirTemp(b.dir, "gate-")
	if err == nil {
		err = os.Chmod(gate, 0o755) // the server runs as another user
	}
	if err != nil {
		return fmt.Errorf("make a gate for the closes: %w", err)
	}
	closed := make(chan error, 1)
	go func() {
		_, err := b.run(ctx, "rabbitmqctl", "-q", "-t", "1800", "eval", fmt.Sprintf(
			`W = fun W(F) -> case filelib:is_file(F) of true -> ok; false -> timer:sleep(5), W(F) end end, `+
				`[begin W("%s/" ++ integer_to_list(N)), [catch rabbit_networking:close_connection(C, <<"a test">>) || C <- rabbit_networking:connections()] end`+
				` || N <- lists:seq(1, %d)], ok.`, gate, times))
		closed <- err
	}()
	for n := range times {
		ready(n)
		if err := os.WriteFile(filepath.Join(gate, fmt.Sprint(n+1)), nil, 0o600); err != nil {
			return fmt.Errorf("open the gate for a close: %w", err)
		}
	}
	return <-closed
}

// Alarm makes the broker believe that it has no memory left; it then takes nothing.
func (b *Broker) Alarm(ctx context.Context) error {
	_, err := b.run(ctx, "rabbitmqctl", "-q", "set_vm_memory_high_watermark", "absolute", "1")
	return err
}

// Relieve ends the alarm.
func (b *Broker) Relieve(ctx context.Context) error {
	_, err := b.run(ctx, "rabbitmqctl", "-q", "set_vm_memory_high_watermark", "absolute", "1GB")
	return err
}

// MaxMessage has the broker take no body of more bytes on channels that are opened from then on.
func (b *Broker) MaxMessage(ctx context.Context, bytes int) error {
	_, err := b.run(ctx, "rabbitmqctl", "-q", "eval", fmt.Sprintf("application:set_env(rabbit, max_message_size, %d).", bytes))
	return err
}

// Name is a name that nobody else has. Queues and exchanges of this name are deleted when the test ends.
func (b *Broker) Name(tb testing.TB) string {
	tb.Helper()
	name := "test." + strings.ReplaceAll(uuid.NewString(), "-", "")
	tb.Cleanup(func() {
		_ = b.Do(func(ch *amqp091.Channel) error {
			_, err := ch.QueueDelete(name, false, false, false)
			return err
		})
		_ = b.Do(func(ch *amqp091.Channel) error { return ch.ExchangeDelete(name, false, false) })
	})
	return name
}

// Do runs fn on a channel of a connection of its own.
func (b *Broker) Do(fn func(ch *amqp091.Channel) error) error {
	conn, err := amqp091.DialConfig(b.URL, amqp091.Config{Dial: amqp091.DefaultDial(10 * time.Second)})
	if err != nil {
		return fmt.Errorf("connect to RabbitMQ: %w", err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		return fmt.Errorf("open a channel: %w", err)
	}
	return fn(ch)
}

// Queue makes a queue of the test's own with these arguments, and returns its name.
func (b *Broker) Queue(tb testing.TB, args amqp091.Table) string {
	tb.Helper()
	name := b.Name(tb)
	err := b.Do(func(ch *amqp091.Channel) error {
		_, err := ch.QueueDeclare(name, true, false, false, false, args)
		return err
	})
	if err != nil {
		tb.Fatalf("make a queue: %v", err)
	}
	return name
}

// Drain takes every message that the queue has now.
func (b *Broker) Drain(tb testing.TB, queue string) []amqp091.Delivery {
	tb.Helper()
	var all []amqp091.Delivery
	err := b.Do(func(ch *amqp091.Channel) error {
		for {
			d, ok, err := ch.Get(queue, true)
			if err != nil || !ok {
				return err
			}
			all = append(all, d)
		}
	})
	if err != nil {
		tb.Fatalf("drain queue %s: %v", queue, err)
	}
	return all
}

// Put publishes messages straight to a queue and waits for the confirms.
func (b *Broker) Put(tb testing.TB, queue string, messages ...amqp091.Publishing) {
	tb.Helper()
	err := b.Do(func(ch *amqp091.Channel) error {
		if err := ch.Confirm(false); err != nil {
			return err
		}
		var last *amqp091.DeferredConfirmation
		for _, m := range messages {
			var err error
			if last, err = ch.PublishWithDeferredConfirm("", queue, true, false, m); err != nil {
				return err
			}
		}
		if last != nil && !last.Wait() {
			return fmt.Errorf("the broker turned it away")
		}
		return nil
	})
	if err != nil {
		tb.Fatalf("put messages into %s: %v", queue, err)
	}
}
