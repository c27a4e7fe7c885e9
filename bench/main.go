// Command bench measures what the issue promises and prints one table row for each figure:
//
//	go run . [row …]
//
// Without names it runs every row. Each figure goes into results.json too, with its reference and
// the bound that it must hold; a bound that does not hold ends the run with status 1.
//
// A row is a file of this package that adds one line to the table in rows.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"text/tabwriter"
	"time"
)

// Result is one figure.
type Result struct {
	Name      string    `json:"name"`
	Unit      string    `json:"unit"`
	Value     float64   `json:"value"`
	Reference float64   `json:"reference,omitempty"` // what it is compared with, in the same unit
	Ratio     float64   `json:"ratio,omitempty"`     // Value to Reference
	Bound     string    `json:"bound,omitempty"`     // what must hold, in words
	OK        bool      `json:"ok"`
	At        time.Time `json:"at"`
}

// row measures one thing. It stops at the end of ctx.
type row struct {
	name string
	what string
	run  func(ctx context.Context) ([]Result, error)
}

// rows is the table of what can be measured, in the order of running.
func rows() []row {
	return []row{
		{"mock", "validated POSTs of the ERP mock against Prism", mockRow},
		{"claim-explain", "plan of the claim behind a million delivered messages", explainRow},
		{"drain", "10,000 messages behind a million delivered ones", drainRow},
		{"exact", "verdicts of the ERP mock against Prism", exactRow},
	}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures the rows named, or does a hidden errand of a row: a server in a process of its own.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == "serve-mock" {
		return serveMock(ctx, args[1:])
	}
	var results []Result
	var errs []error
	for _, r := range rows() {
		if !wanted(r.name, args) {
			continue
		}
		fmt.Fprintf(os.Stderr, "bench: %s: %s\n", r.name, r.what)
		got, err := r.run(ctx)
		results = append(results, got...)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", r.name, err))
		}
	}
	printTable(results)
	if err := appendResults("results.json", results); err != nil {
		errs = append(errs, err)
	}
	for _, r := range results {
		if !r.OK {
			errs = append(errs, fmt.Errorf("%s: %.4g %s does not hold: %s", r.Name, r.Value, r.Unit, r.Bound))
		}
	}
	return errors.Join(errs...)
}

func wanted(name string, args []string) bool {
	for _, a := range args {
		if a == name {
			return true
		}
	}
	return len(args) == 0
}

func printTable(results []Result) {
	w := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "figure\tvalue\tunit\treference\tratio\tbound\tholds")
	for _, r := range results {
		fmt.Fprintf(w, "%s\t%.4g\t%s\t%.4g\t%.2f\t%s\t%v\n", r.Name, r.Value, r.Unit, r.Reference, r.Ratio, r.Bound, r.OK)
	}
	_ = w.Flush() // stdout
}

// appendResults keeps the history of all runs in one JSON array.
func appendResults(path string, results []Result) error {
	var all []Result
	old, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(old, &all)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read %s: %w", path, err)
	}
	b, err := json.MarshalIndent(append(all, results...), "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
