package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"holdfast/adapters/erpmock"
)

const (
	mockSpec    = "testdata/confirmation.yaml"
	connections = 8
	runs        = 5
	warmUp      = 2 * time.Second
	measured    = 5 * time.Second
)

const confirmation = `{"messageId":"018f6b1e-7d7f-7c3a-9a59-0f1e2d3c4b5a","order":"000001000001","operation":"0010",` +
	`"workCentre":"WC-0815","yield":12.500,"scrap":0.250,"unit":"PCE","reason":"S1","setupTime":10.5,"machineTime":120.25,` +
	`"labourTime":130.75,"timeUnit":"MIN","personnel":"4711","start":"2026-11-24T06:00:00+01:00","end":"2026-11-24T08:10:00+01:00",` +
	`"postingDate":"2026-11-24","final":false,"sequence":9007199254740991}`

// contender is a mock server in a process of its own.
type contender struct {
	name string
	addr string
	cmd  *exec.Cmd
	per  []float64
	p99  []time.Duration
}

// mockRow runs both mocks on the same document and machine, in turns, and takes medians.
func mockRow(ctx context.Context) ([]Result, error) {
	ours, theirs, err := bothMocks(ctx)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	defer theirs.stop()
	if err := compete(ctx, ours, theirs); err != nil {
		return nil, err
	}
	return mockResults(ours, theirs), nil
}

// bothMocks starts our mock and Prism, which it installs where that has not been done.
func bothMocks(ctx context.Context) (ours, theirs *contender, err error) {
	prism, err := filepath.Abs("prism/node_modules/.bin/prism")
	if err != nil {
		return nil, nil, err
	}
	if _, err := os.Stat(prism); err != nil {
		npm := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-fund", "--no-audit")
		npm.Dir, npm.Stdout, npm.Stderr = "prism", os.Stderr, os.Stderr
		if err := npm.Run(); err != nil {
			return nil, nil, fmt.Errorf("install Prism by npm ci in bench/prism: %w", err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, nil, err
	}
	ours, err = startContender(ctx, "ours", self, func(host, port string) []string {
		return []string{"serve-mock", mockSpec, net.JoinHostPort(host, port)}
	})
	if err != nil {
		return nil, nil, err
	}
	theirs, err = startContender(ctx, "prism", prism, func(host, port string) []string {
		return []string{"mock", mockSpec, "-h", host, "-p", port, "-v", "silent"}
	})
	if err != nil {
		ours.stop()
		return nil, nil, err
	}
	return ours, theirs, nil
}

func startContender(ctx context.Context, name, program string, args func(host, port string) []string) (*contender, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	c := &contender{name: name, addr: addr, cmd: exec.CommandContext(ctx, program, args(host, port)...)}
	c.cmd.Stderr = os.Stderr
	if err := c.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	if err := waitFor(ctx, addr); err != nil {
		c.stop()
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return c, nil
}

func (c *contender) stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM) // it may have ended
	_ = c.cmd.Wait()                          // by our signal
}

// compete measures the contenders in turns, after each has warmed up.
func compete(ctx context.Context, all ...*contender) error {
	for i := range runs + 1 {
		d := measured
		if i == 0 {
			d = warmUp
		}
		for _, c := range all {
			l, err := drive(ctx, c.addr, post(c.addr), 201, connections, d)
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if i == 0 {
				continue
			}
			fmt.Fprintf(os.Stderr, "bench: mock: run %d %-5s %8.0f/s  p50 %s  p99 %s\n", i, c.name, l.perSecond, l.p50, l.p99)
			c.per, c.p99 = append(c.per, l.perSecond), append(c.p99, l.p99)
		}
	}
	return nil
}

func post(addr string) []byte {
	return fmt.Appendf(nil, "POST /confirmations HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nX-Plant: 1000\r\nContent-Length: %d\r\n\r\n%s",
		addr, len(confirmation), confirmation)
}

func mockResults(ours, theirs *contender) []Result {
	us, them := median(ours.per), median(theirs.per)
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	up99, tp99 := ms(median(ours.p99)), ms(median(theirs.p99))
	slow := Result{
		Name: "mock: p99 of the same", Unit: "ms", Value: up99, Reference: tp99, Ratio: up99 / tp99, Wanted: 1, Bound: "no higher than Prism's",
		OK: up99 <= tp99, At: time.Now().UTC(),
	}
	return []Result{atLeast("mock: validated POST, OpenAPI 3.1, against Prism 5.16", "1/s", us, them, 2.5), slow}
}

// serveMock is the errand of the contender "ours".
func serveMock(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("serve-mock FILE ADDR")
	}
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer stop()
	doc, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	m, err := erpmock.New(doc, erpmock.Config{Name: args[0]})
	if err != nil {
		return err
	}
	ln, err := net.Listen("tcp", args[1])
	if err != nil {
		return err
	}
	return errors.Join(erpmock.Serve(ctx, ln, m), m.Close())
}
