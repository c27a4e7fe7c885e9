package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// verdict is one request body and whether the contract allows it.
type verdict struct {
	name  string
	body  string
	valid bool
}

// corpus varies the good confirmation by one thing at a time.
func corpus() []verdict {
	with := func(old, new string) string { return strings.Replace(confirmation, old, new, 1) }
	return []verdict{
		{"as it should be", confirmation, true},
		{"an integer above 2^53", with("9007199254740991", "9007199254740993"), true},
		{"the largest int64", with("9007199254740991", "9223372036854775807"), true},
		{"2^63", with("9007199254740991", "9223372036854775808"), false},
		{"1e19 as int64", with("9007199254740991", "1e19"), false},
		{"the largest yield", with("12.500", "9999999999.999"), true},
		{"a digit above the largest", with("12.500", "9999999999.9990001"), false},
		{"a digit below the scale", with("12.500", "12.5000001"), false},
		{"trailing zeros", with("12.500", "12.50000000"), true},
		{"a negative yield", with("12.500", "-0.001"), false},
		{"a member twice", with(`"order":"000001000001"`, `"order":"000001000001","order":"000001000002"`), false},
		{"bytes after the body", confirmation + " x", false},
		{"a read-only member", with(`"order"`, `"id":1,"order"`), false},
		{"an unknown member", with(`"order"`, `"ordre":1,"order"`), false},
		{"a missing member", with(`"unit":"PCE",`, ``), false},
		{"an impossible day", with("2026-11-24\",\"final", "2026-02-30\",\"final"), false},
		{"a time without zone", with("2026-11-24T06:00:00+01:00", "2026-11-24T06:00:00"), false},
		{"a short order number", with("000001000001", "1000001"), false},
		{"text for a number", with("12.500", `"12.500"`), false},
	}
}

// exactRow shows the same bodies to both mocks and counts the right verdicts.
func exactRow(ctx context.Context) ([]Result, error) {
	ours, theirs, err := bothMocks(ctx)
	if err != nil {
		return nil, err
	}
	defer ours.stop()
	defer theirs.stop()
	all, us, them, worse := corpus(), 0, 0, 0
	for _, v := range all {
		mine, err := v.judgedBy(ctx, ours.addr)
		if err != nil {
			return nil, err
		}
		other, err := v.judgedBy(ctx, theirs.addr)
		if err != nil {
			return nil, err
		}
		if mine {
			us++
		}
		if other {
			them++
		}
		if other && !mine {
			worse++
		}
		if !mine || !other {
			fmt.Fprintf(os.Stderr, "bench: exact: %-28s ours right: %-5v prism right: %v\n", v.name, mine, other)
		}
	}
	r := Result{
		Name: "mock: right verdicts on " + fmt.Sprint(len(all)) + " bodies", Unit: "bodies", Value: float64(us), Reference: float64(them),
		Ratio: float64(us) / float64(max(1, them)), Bound: "all right, none worse than Prism", OK: us == len(all) && worse == 0, At: time.Now().UTC(),
	}
	return []Result{r}, nil
}

// judgedBy reports whether a mock's verdict on the body is right.
func (v verdict) judgedBy(ctx context.Context, addr string) (bool, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+addr+"/confirmations", bytes.NewReader([]byte(v.body)))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Plant", "1000")
	client := http.Client{Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return false, ctx.Err() // no answer is no verdict: Prism hangs on bytes after a body
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return false, fmt.Errorf("%s: %w", v.name, err)
	}
	return (resp.StatusCode < 300) == v.valid, nil
}
