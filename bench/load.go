package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
)

// load is what one run of the load generator met.
type load struct {
	perSecond float64
	p50, p99  time.Duration
}

// drive sends the same request over n connections for a time and wants the same status each
// time. It writes HTTP/1.1 itself: a full client on the same two cores would be measured too.
func drive(ctx context.Context, addr string, request []byte, status, n int, d time.Duration) (load, error) {
	all := make([][]time.Duration, n)
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	for i := range n {
		g.Go(func() (err error) {
			all[i], err = connection(ctx, addr, request, status, began.Add(d))
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return load{}, err
	}
	took := time.Since(began)
	times := slices.Concat(all...)
	if len(times) == 0 {
		return load{}, errors.New("no request came through")
	}
	slices.Sort(times)
	return load{float64(len(times)) / took.Seconds(), times[len(times)/2], times[len(times)*99/100]}, nil
}

// connection sends one request after the other until the end.
func connection(ctx context.Context, addr string, request []byte, status int, end time.Time) ([]time.Duration, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	in := bufio.NewReaderSize(conn, 16<<10)
	times := make([]time.Duration, 0, 1<<16)
	for began := time.Now(); began.Before(end) && ctx.Err() == nil; {
		if _, err := conn.Write(request); err != nil {
			return nil, err
		}
		got, err := readAnswer(in)
		if err != nil {
			return nil, err
		}
		if got != status {
			return nil, fmt.Errorf("answered %d, want %d", got, status)
		}
		now := time.Now()
		times = append(times, now.Sub(began))
		began = now
	}
	return times, ctx.Err()
}

// readAnswer reads one answer to its end and gives its status.
func readAnswer(in *bufio.Reader) (status int, err error) {
	length, chunked := 0, false
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		text := strings.TrimRight(string(line), "\r\n")
		if first {
			if _, err := fmt.Sscanf(text, "HTTP/1.1 %d", &status); err != nil {
				return 0, fmt.Errorf("answer begins with %q", text)
			}
			continue
		}
		if text == "" {
			break
		}
		name, value, _ := strings.Cut(text, ":")
		switch value = strings.TrimSpace(value); strings.ToLower(name) {
		case "content-length":
			if length, err = strconv.Atoi(value); err != nil {
				return 0, err
			}
		case "transfer-encoding":
			chunked = strings.EqualFold(value, "chunked")
		}
	}
	if !chunked {
		_, err = in.Discard(length)
		return status, err
	}
	return status, skipChunks(in)
}

func skipChunks(in *bufio.Reader) error {
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(line), 16, 32)
		if err != nil {
			return err
		}
		if _, err := in.Discard(int(n) + 2); err != nil || n == 0 {
			return err
		}
	}
}

// median is the middle of an odd number of figures.
func median[T float64 | time.Duration](figures []T) T {
	s := slices.Sorted(slices.Values(figures))
	return s[len(s)/2]
}

// waitFor polls until a server listens.
func waitFor(ctx context.Context, addr string) error {
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end) && ctx.Err() == nil; time.Sleep(50 * time.Millisecond) {
		if c, err := net.Dial("tcp", addr); err == nil {
			return c.Close()
		}
	}
	return errors.Join(fmt.Errorf("nothing listens on %s within 30 s", addr), ctx.Err())
}

// freeAddr finds a loopback port that is free now.
func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}
